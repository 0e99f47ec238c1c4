/* SPDX-License-Identifier: BSD-2-Clause */
#include "neighbours_internal.h"

#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE (offsetof(struct asked, kind) + sizeof(enum asked_kind))

_Static_assert(KEY_SIZE == sizeof(struct address) + sizeof(int) + sizeof(enum asked_kind),
	       "the key is compared as bytes and has no padding");

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, KEY_SIZE);
}

struct asked *asked_find(const struct neighbours *neighbours, enum asked_kind kind,
			 const struct address *address, int index)
{
	const struct asked key = { .address = *address, .index = index, .kind = kind };
	struct asked *const *node = tfind(&key, &neighbours->tree, compare_keys);

	return node == NULL ? NULL : *node;
}

struct asked *asked_obtain(struct neighbours *neighbours, enum asked_kind kind,
			   const struct address *address, int index)
{
	struct asked *asked = asked_find(neighbours, kind, address, index);

	if (asked == NULL) {
		asked = calloc(1, sizeof(*asked));
		if (asked == NULL)
			return NULL;
		asked->address = *address;
		asked->index = index;
		asked->kind = kind;
		if (tsearch(asked, &neighbours->tree, compare_keys) == NULL) {
			free(asked);
			return NULL;
		}
		asked->next = neighbours->first;
		neighbours->first = asked;
	}
	asked->is_in_round = true;
	return asked;
}

bool asked_is_answered_by(const struct asked *asked, const struct neighbour_entry *entry)
{
	bool is_valid = neighbour_entry_is_valid(entry);

	return is_valid == asked->is_valid && asked->is_managed == neighbour_entry_is_ours(entry) &&
	       (!is_valid || memcmp(asked->mac, entry->mac, sizeof(asked->mac)) == 0);
}

bool asked_is_over(const struct neighbours *neighbours, int index)
{
	for (const struct asked *asked = neighbours->first; asked != NULL; asked = asked->next) {
		if (asked->index == index)
			return true;
	}
	return false;
}

void asked_remove(struct neighbours *neighbours, struct asked **link)
{
	struct asked *asked = *link;

	*link = asked->next;
	tdelete(asked, &neighbours->tree, compare_keys);
	free(asked);
}
