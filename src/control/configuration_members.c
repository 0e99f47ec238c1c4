/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pools of pools: a pool that names others in `pools` has their backends, too, under its own
 * encapsulation and health check. What comes in by several ways is there once.
 */
#include <stdlib.h>
#include <string.h>

#include "configuration_pools.h"

/* Pools that one may contain, with those that they contain. */
#define POOLS_CONTAINED_MAX 1000

struct members {
	struct reader *reader;
	const struct pool_reading *readings;
	struct name_entry *names; /* of all pools, sorted */
	uint32_t name_count;
	uint32_t **contained; /* by pool: indexes of those that it names */
	uint32_t *contained_count;
	uint32_t *own_count; /* backends */
	uint32_t *seen;	     /* by pool: one more than the pool that was there last */
	uint32_t total;
};

static void find_contained(struct members *members, uint32_t pool)
{
	struct reader *reader = members->reader;
	const struct value *list = &members->readings[pool].pools;
	const struct node *nodes = reader->tree->nodes;
	uint32_t index = 0;

	if (!list->setting)
		return;
	members->contained[pool] =
		reader_allocate(reader, list->node->child_count, sizeof(uint32_t));
	if (reader->status != 0)
		return;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element =
			value_string_element(reader, list, &nodes[i], index, "a pool");
		const struct name_entry *found;
		const char *name;

		if (!value_string(&element, &name))
			continue;
		found = names_find(members->names, members->name_count, name);
		if (found == NULL)
			reader_error(reader, nodes[i].value_position, "unknown pool \"%.63s\"",
				     name);
		else
			members->contained[pool][members->contained_count[pool]++] = found->index;
	}
}

/* The pools that `pool` contains, itself first, into list[]. Returns how many; 0 after an error. */
static uint32_t close_over(struct members *members, uint32_t pool,
			   uint32_t list[static POOLS_CONTAINED_MAX + 1])
{
	struct reader *reader = members->reader;
	uint32_t count = 1;

	list[0] = pool;
	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t j = 0; j < members->contained_count[list[i]]; j++) {
			uint32_t next = members->contained[list[i]][j];

			if (next == pool) {
				reader_error(
					reader, members->readings[pool].pools.node->value_position,
					"the pool contains itself%s%s%s",
					i > 0 ? ", through \"" : "",
					i > 0 ? reader->configuration->pools[list[i]].name : "",
					i > 0 ? "\"" : "");
				return 0;
			}
			if (members->seen[next] == pool + 1)
				continue;
			if (count > POOLS_CONTAINED_MAX) {
				reader_error(reader,
					     members->readings[pool].pools.node->value_position,
					     "the pool contains more than %d others",
					     POOLS_CONTAINED_MAX);
				return 0;
			}
			members->seen[next] = pool + 1;
			list[count++] = next;
		}
	}
	return count;
}

static int compare_backends(const void *a, const void *b)
{
	const struct backend_configuration *left = *(const struct backend_configuration *const *)a;
	const struct backend_configuration *right = *(const struct backend_configuration *const *)b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : (left > right) - (left < right);
}

/* Names must stay unique: leaves out what came in twice. All of `backends` have names. */
static uint32_t unite(struct members *members, uint32_t pool,
		      struct backend_configuration *backends, uint32_t count)
{
	const struct pool_configuration *pools = members->reader->configuration->pools;
	struct backend_configuration **sorted =
		reader_allocate(members->reader, count, sizeof(struct backend_configuration *));
	uint32_t kept = 0;

	if (sorted == NULL)
		return count;
	for (uint32_t i = 0; i < count; i++)
		sorted[i] = &backends[i];
	qsort(sorted, count, sizeof(struct backend_configuration *), compare_backends);
	for (uint32_t i = 1, first = 0; i < count; i++) {
		if (strcmp(sorted[i]->name, sorted[first]->name) != 0) {
			first = i;
			continue;
		}
		/* Two in one pool were reported with that one. */
		if (!address_equal(&sorted[i]->address, &sorted[first]->address) &&
		    sorted[i]->origin != sorted[first]->origin)
			reader_error(members->reader,
				     members->readings[pool].pools.node->value_position,
				     "backend name \"%s\" is in the pools \"%s\" and \"%s\", with "
				     "different addresses",
				     sorted[i]->name, pools[sorted[first]->origin].name,
				     pools[sorted[i]->origin].name);
		if (sorted[i]->origin != pool) {
			free(sorted[i]->name);
			sorted[i]->name = NULL;
		}
	}
	free(sorted);
	for (uint32_t i = 0; i < count; i++)
		if (backends[i].name != NULL)
			backends[kept++] = backends[i];
	return kept;
}

/* Takes copies of the own backends of the pools of list[] into the first of them. */
static void take(struct members *members, const uint32_t *list, uint32_t pool_count)
{
	struct reader *reader = members->reader;
	struct pool_configuration *pools = reader->configuration->pools, *pool = &pools[list[0]];
	struct backend_configuration *backends;
	uint32_t count = 0, index = 0;

	for (uint32_t i = 0; i < pool_count; i++)
		count += members->own_count[list[i]];
	members->total += count - members->own_count[list[0]];
	if (members->total > CONFIGURATION_MAX_BACKENDS) {
		reader_error(reader, members->readings[list[0]].pools.node->value_position,
			     "too many backends: %u with those of the pools before, at most %d",
			     members->total, CONFIGURATION_MAX_BACKENDS);
		return;
	}
	backends = reader_allocate(reader, count, sizeof(*backends));
	if (backends == NULL)
		return;
	for (uint32_t i = 0; i < pool_count; i++) {
		const struct pool_configuration *from = &pools[list[i]];

		for (uint32_t j = 0; j < members->own_count[list[i]]; j++, index++) {
			backends[index] = from->backends[j];
			if (i == 0)
				continue;
			backends[index].name =
				from->backends[j].name == NULL
					? NULL
					: reader_copy(reader, from->backends[j].name);
		}
	}
	free(pool->backends);
	pool->backends = backends;
	pool->backend_count = count;
	/* Without a name there was an error, and nothing comes of it. */
	for (uint32_t i = 0; i < count; i++)
		if (backends[i].name == NULL)
			return;
	pool->backend_count = unite(members, list[0], backends, count);
}

/* Keeps which pools these are. */
static void note_contained(struct members *members, const uint32_t *list, uint32_t pool_count)
{
	struct pool_configuration *pool = &members->reader->configuration->pools[list[0]];

	pool->contained =
		reader_allocate(members->reader, pool_count - 1, sizeof(*pool->contained));
	if (pool->contained == NULL)
		return;
	memcpy(pool->contained, &list[1], (pool_count - 1) * sizeof(*pool->contained));
	pool->contained_count = pool_count - 1;
}

bool configuration_contains(const struct configuration *configuration, uint32_t pool,
			    uint32_t other)
{
	const struct pool_configuration *in = &configuration->pools[pool];

	for (uint32_t i = 0; i < in->contained_count; i++)
		if (in->contained[i] == other)
			return true;
	return pool == other;
}

static void release(struct members *members)
{
	for (uint32_t i = 0; members->contained && i < members->reader->configuration->pool_count;
	     i++)
		free(members->contained[i]);
	free(members->contained);
	free(members->contained_count);
	free(members->own_count);
	free(members->seen);
	free(members->names);
}

static bool open_members(struct members *members)
{
	struct reader *reader = members->reader;
	const struct configuration *configuration = reader->configuration;
	uint32_t count = configuration->pool_count;

	members->names = reader_allocate(reader, count, sizeof(*members->names));
	members->contained = reader_allocate(reader, count, sizeof(uint32_t *));
	members->contained_count = reader_allocate(reader, count, sizeof(uint32_t));
	members->own_count = reader_allocate(reader, count, sizeof(uint32_t));
	members->seen = reader_allocate(reader, count, sizeof(uint32_t));
	if (reader->status != 0)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		members->own_count[i] = pool->backend_count;
		if (pool->name != NULL)
			members->names[members->name_count++] =
				(struct name_entry){ pool->name, pool->position, i };
	}
	names_sort(members->names, members->name_count);
	return true;
}

void pools_take_members(struct reader *reader, const struct pool_reading *readings, uint32_t total)
{
	struct members members = { .reader = reader, .readings = readings, .total = total };
	uint32_t list[POOLS_CONTAINED_MAX + 1];
	uint32_t count = reader->configuration->pool_count;

	if (count > 0 && open_members(&members)) {
		for (uint32_t i = 0; i < count; i++)
			find_contained(&members, i);
		for (uint32_t i = 0; i < count && reader->status == 0; i++) {
			uint32_t pools =
				members.contained_count[i] > 0 ? close_over(&members, i, list) : 0;

			if (pools == 0)
				continue;
			take(&members, list, pools);
			note_contained(&members, list, pools);
		}
	}
	release(&members);
}
