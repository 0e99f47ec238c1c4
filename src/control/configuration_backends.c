/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "configuration_pools.h"

#define WEIGHT_DEFAULT 100

static void read_backend(struct reader *reader, const struct value *element,
			 struct backend_configuration *backend)
{
	static const struct key keys[] = {
		{ "name", KEY_STRING, false },
		{ "address", KEY_STRING, true },
		{ "weight", KEY_INTEGER, false },
	};
	enum {
		NAME,
		ADDRESS,
		WEIGHT
	};
	struct value values[COUNT_OF(keys)];
	char buffer[ADDRESS_TEXT_SIZE];
	uint32_t weight = WEIGHT_DEFAULT;
	const char *name = NULL;

	backend->position = element->node->value_position;
	backend->weight = WEIGHT_DEFAULT;
	if (!element->setting)
		return;
	value_read_group(reader, element, "a backend", keys, COUNT_OF(keys), values);
	if (value_address(reader, &values[ADDRESS], &backend->address) && !values[NAME].node)
		name = address_format(&backend->address, buffer);
	if (values[ADDRESS].node)
		backend->position = values[ADDRESS].node->value_position;
	if (values[NAME].node)
		backend->position = values[NAME].node->value_position;
	value_integer(reader, &values[WEIGHT], 0, CONFIGURATION_MAX_WEIGHT, &weight);
	backend->weight = (uint16_t)weight;
	if (value_name(reader, &values[NAME], &name) || name)
		backend->name = reader_copy(reader, name);
}

static void check_backend_names(struct reader *reader, const struct pool_configuration *pool)
{
	struct name_entry *entries = reader_allocate(reader, pool->backend_count, sizeof(*entries));
	uint32_t count = 0;

	if (!entries)
		return;
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		const struct backend_configuration *backend = &pool->backends[i];

		if (backend->name)
			entries[count++] =
				(struct name_entry){ backend->name, backend->position, i };
	}
	names_check_unique(reader, entries, count, "backend");
	free(entries);
}

void pool_read_backends(struct reader *reader, const struct value *list,
			struct pool_configuration *pool, uint32_t *total)
{
	const struct node *nodes = reader->tree->nodes;
	uint32_t index = 0;

	if (!list->setting)
		return;
	*total += list->node->child_count;
	if (*total > CONFIGURATION_MAX_BACKENDS) {
		reader_error(reader, list->node->value_position,
			     "too many backends: %u with those of the pools before, at most %d",
			     *total, CONFIGURATION_MAX_BACKENDS);
		return;
	}
	pool->backends = reader_allocate(reader, list->node->child_count, sizeof(*pool->backends));
	if (reader->status != 0)
		return;
	pool->backend_count = list->node->child_count;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element = value_element(reader, list, &nodes[i], index, "a backend");

		read_backend(reader, &element, &pool->backends[index]);
		pool->backends[index].origin = (uint32_t)(pool - reader->configuration->pools);
	}
	check_backend_names(reader, pool);
}

bool configuration_has_backend(const struct configuration *configuration, const char *pool,
			       const char *backend)
{
	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		const struct pool_configuration *in = &configuration->pools[i];

		if (in->is_peers || strcmp(in->name, pool) != 0)
			continue;
		for (uint32_t j = 0; j < in->backend_count; j++)
			if (strcmp(in->backends[j].name, backend) == 0)
				return true;
	}
	return false;
}
