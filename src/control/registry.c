/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/registry.h>

#define SMALLEST_WINDOW 1024

struct registered {
	char *name; /* NULL: free */
	uint16_t index;
	uint16_t generation;
	bool acquired; /* in this round */
	bool is_new;   /* since the last commit */
};

struct registry {
	void *tree;	 /* tsearch(3) of entries in use, by name */
	uint32_t cursor; /* where the search for a free index goes on */
	uint32_t limit;
	uint32_t count; /* in use */
	struct registered entries[REGISTRY_SIZE];
};

static int compare_entries(const void *a, const void *b)
{
	const struct registered *left = a, *right = b;

	return strcmp(left->name, right->name);
}

int registry_open(struct registry **result)
{
	struct registry *registry = calloc(1, sizeof(*registry));

	if (registry == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < REGISTRY_SIZE; i++)
		registry->entries[i].index = (uint16_t)i;
	*result = registry;
	return 0;
}

static void release_entry(struct registry *registry, struct registered *entry)
{
	tdelete(entry, &registry->tree, compare_entries);
	free(entry->name);
	entry->name = NULL;
	entry->is_new = false;
	entry->acquired = false;
	registry->count--;
	while (registry->limit > 0 && registry->entries[registry->limit - 1].name == NULL)
		registry->limit--;
}

void registry_close(struct registry *registry)
{
	if (registry == NULL)
		return;
	for (uint32_t i = 0; i < REGISTRY_SIZE; i++)
		if (registry->entries[i].name != NULL)
			release_entry(registry, &registry->entries[i]);
	free(registry);
}

void registry_begin(struct registry *registry)
{
	for (uint32_t i = 0; i < registry->limit; i++)
		registry->entries[i].acquired = false;
}

/*
 * Walks round a window of twice the indexes in use: an index is reused late, so that generations
 * wrap later than any connection lives, and yet the tables by index stay small.
 */
static struct registered *find_free(struct registry *registry)
{
	uint32_t window = 2 * registry->count;

	if (window < SMALLEST_WINDOW)
		window = SMALLEST_WINDOW;
	if (window > REGISTRY_SIZE)
		window = REGISTRY_SIZE;
	for (uint32_t i = 0; i < window; i++) {
		struct registered *entry = &registry->entries[registry->cursor % window];

		registry->cursor = (registry->cursor + 1) % window;
		if (entry->name == NULL)
			return entry;
	}
	return NULL;
}

int registry_acquire(struct registry *registry, const char *name, uint16_t *index,
		     uint16_t *generation)
{
	struct registered key = { .name = (char *)name };
	struct registered *const *found = tfind(&key, &registry->tree, compare_entries);
	struct registered *entry;

	if (found != NULL) {
		entry = *found;
	} else {
		entry = find_free(registry);
		if (entry == NULL)
			return -ENOSPC;
		entry->name = strdup(name);
		if (entry->name == NULL)
			return -ENOMEM;
		if (tsearch(entry, &registry->tree, compare_entries) == NULL) {
			free(entry->name);
			entry->name = NULL;
			return -ENOMEM;
		}
		entry->generation++;
		entry->is_new = true;
		registry->count++;
		if (entry->index >= registry->limit)
			registry->limit = (uint32_t)entry->index + 1;
	}
	entry->acquired = true;
	*index = entry->index;
	*generation = entry->generation;
	return 0;
}

void registry_abort(struct registry *registry)
{
	for (uint32_t i = registry->limit; i > 0; i--)
		if (registry->entries[i - 1].is_new)
			release_entry(registry, &registry->entries[i - 1]);
}

void registry_commit(struct registry *registry, void (*released)(void *context, uint16_t index),
		     void *context)
{
	for (uint32_t i = registry->limit; i > 0; i--) {
		struct registered *entry = &registry->entries[i - 1];

		if (entry->name == NULL)
			continue;
		entry->is_new = false;
		if (entry->acquired)
			continue;
		released(context, entry->index);
		release_entry(registry, entry);
	}
}

uint32_t registry_limit(const struct registry *registry)
{
	return registry->limit;
}

bool registry_is_full(const struct registry *registry)
{
	return registry->count == REGISTRY_SIZE;
}
