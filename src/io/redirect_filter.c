/* SPDX-License-Identifier: BSD-2-Clause */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "redirect_internal.h"

static int compare(const void *a, const void *b)
{
	const struct filter_entry *left = a, *right = b;

	return memcmp(&left->key, &right->key, sizeof(left->key));
}

static bool holds(const struct filter_list *list, const struct filter_entry *entry)
{
	return list->count > 0 &&
	       bsearch(entry, list->entries, list->count, sizeof(*list->entries), compare) != NULL;
}

static int put(int map, const struct filter_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (bpf_map_update_elem(map, &list->entries[i].key, &list->entries[i].value,
					BPF_ANY) != 0)
			return -errno;
	return 0;
}

/* Removes from the map what `list` has and `others` has not. */
static void remove_without(int map, const struct filter_list *list,
			   const struct filter_list *others)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (!holds(others, &list->entries[i]))
			bpf_map_delete_elem(map, &list->entries[i].key);
}

/* Makes the map hold `new`, whose entries are then the list's, or leaves it as it was. */
static int replace(struct bpf_map *bpf_map, struct filter_list *list, struct filter_list *new)
{
	int map = bpf_map__fd(bpf_map), error;

	if (new->count > 0)
		qsort(new->entries, new->count, sizeof(*new->entries), compare);
	error = put(map, new);
	if (error != 0) {
		remove_without(map, new, list);
		put(map, list);
		free(new->entries);
		return error;
	}
	remove_without(map, list, new);
	free(list->entries);
	*list = *new;
	return 0;
}

static int allocate(uint32_t count, struct filter_list *list)
{
	*list = (struct filter_list){ .entries = calloc(count + 1, sizeof(*list->entries)) };
	return list->entries != NULL ? 0 : -ENOMEM;
}

static void add_prefix(struct filter_list *list, const struct prefix *prefix)
{
	struct filter_entry *entry = &list->entries[list->count++];

	entry->key.length = prefix->length;
	memcpy(entry->key.address, prefix->address.bytes, sizeof(entry->key.address));
	entry->value = address_is_ipv4(&prefix->address);
}

static int replace_prefixes(struct bpf_map *map, struct filter_list *list,
			    const struct prefix *prefixes, uint32_t count)
{
	struct filter_list new;
	int error = allocate(count, &new);

	if (error != 0)
		return error;
	for (uint32_t i = 0; i < count; i++)
		add_prefix(&new, &prefixes[i]);
	return replace(map, list, &new);
}

int redirect_set_vips(struct redirect *redirect, const struct prefix *prefixes, uint32_t count)
{
	if (!redirect->only_vips)
		return 0;
	return replace_prefixes(redirect->skeleton->maps.vips, &redirect->vips, prefixes, count);
}

/* An address may be for several things. */
static void add_own(struct filter_list *list, const struct address *address, uint8_t use)
{
	struct filter_entry entry = { .key = { .length = 128 }, .value = use };

	memcpy(entry.key.address, address->bytes, sizeof(entry.key.address));
	for (uint32_t i = 0; i < list->count; i++) {
		if (compare(&list->entries[i], &entry) != 0)
			continue;
		list->entries[i].value |= use;
		return;
	}
	list->entries[list->count++] = entry;
}

int redirect_set_tunnels(struct redirect *redirect, const struct decapsulation *ends,
			 const struct address *sources, uint32_t source_count)
{
	static const struct decapsulation none;
	struct filter_list own;
	int error;

	if (!redirect->only_vips)
		return 0;
	if (ends == NULL)
		ends = &none;
	error = replace_prefixes(redirect->skeleton->maps.tunnel_sources, &redirect->tunnel_sources,
				 ends->sources, ends->source_count);
	if (error == 0)
		error = allocate(ends->address_count + source_count, &own);
	if (error != 0)
		return error;
	for (uint32_t i = 0; i < ends->address_count; i++)
		add_own(&own, &ends->addresses[i], REDIRECT_TUNNEL_END);
	for (uint32_t i = 0; i < source_count; i++)
		add_own(&own, &sources[i], REDIRECT_TUNNEL_SOURCE);
	return replace(redirect->skeleton->maps.own_addresses, &redirect->own_addresses, &own);
}

void redirect_release_filters(struct redirect *redirect)
{
	free(redirect->vips.entries);
	free(redirect->tunnel_sources.entries);
	free(redirect->own_addresses.entries);
}
