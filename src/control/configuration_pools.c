/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>

#include "configuration_pools.h"

#define SLOW_START_HIGH_NS (3600 * NANOSECONDS_PER_SECOND)

enum {
	TABLE_SIZE_DEFAULT = 65537,
	/* Below this many slots for each backend their shares differ by more than one percent
	 * (the Maglev paper, section 5.3). */
	SLOTS_PER_BACKEND = 100,
};

static bool is_prime(uint32_t number)
{
	if (number < 4)
		return number >= 2;
	if (number % 2 == 0)
		return false;
	for (uint32_t divisor = 3; divisor <= number / divisor; divisor += 2) {
		if (number % divisor == 0)
			return false;
	}
	return true;
}

bool configuration_is_table_size(uint32_t size)
{
	return size <= TABLE_SIZE_MAX && is_prime(size);
}

/* The smallest prime from `number` on, or the largest in range when there is none. */
static uint32_t nearest_prime(uint32_t number)
{
	uint32_t prime = number;

	while (prime <= TABLE_SIZE_MAX && !is_prime(prime))
		prime++;
	if (prime > TABLE_SIZE_MAX)
		for (prime = TABLE_SIZE_MAX; !is_prime(prime); prime--)
			;
	return prime;
}

static void read_table_size(struct reader *reader, const struct value *value,
			    struct pool_configuration *pool)
{
	uint32_t size = TABLE_SIZE_DEFAULT, count = pool->backend_count;
	struct position position = pool->position;

	pool->table_size = size;
	if (value->node) {
		position = value->node->value_position;
		if (!value_integer(reader, value, 2, TABLE_SIZE_MAX, &size))
			return;
	}
	if (!is_prime(size)) {
		uint32_t prime = nearest_prime(size);

		reader_error(reader, position, "table_size %u is not a prime; the %s is %u", size,
			     prime > size ? "next" : "largest", prime);
	} else if (size <= count) {
		reader_error(reader, position,
			     "table_size %u is not above the number of backends, %u; the next "
			     "prime is %u",
			     size, count, nearest_prime(count + 1));
	} else if (count > 1 && size / count < SLOTS_PER_BACKEND) {
		reader_warn(reader, position,
			    "table_size %u is small for %u backends: their shares will be uneven "
			    "(from %u on they differ by less than 1%%)",
			    size, count, nearest_prime(count * SLOTS_PER_BACKEND));
	}
	pool->table_size = size;
}

static void warn_if_idle(struct reader *reader, const struct pool_configuration *pool)
{
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		if (pool->backends[i].weight > 0)
			return;
	}
	if (pool->backend_count == 0)
		reader_warn(reader, pool->position,
			    "this pool has no backends: packets for it are dropped");
	else
		reader_warn(reader, pool->position,
			    "every backend of this pool has weight 0: new flows are dropped");
}

static void read_pool(struct reader *reader, const struct value *element,
		      struct pool_configuration *pool, struct pool_reading *reading,
		      uint32_t *total)
{
	static const struct key keys[] = {
		{ "name", KEY_STRING, true },	       { "encapsulation", KEY_STRING, false },
		{ "table_size", KEY_INTEGER, false },  { "health_check", KEY_GROUP, false },
		{ "backends", KEY_LIST, false },       { "udp_checksum", KEY_BOOLEAN, false },
		{ "pools", KEY_LIST, false },	       { "on_all_down", KEY_STRING, false },
		{ "slow_start", KEY_DURATION, false },
	};
	enum {
		NAME,
		ENCAPSULATION,
		TABLE_SIZE,
		HEALTH_CHECK,
		BACKENDS,
		UDP_CHECKSUM,
		POOLS,
		ON_ALL_DOWN,
		SLOW_START
	};
	struct value values[COUNT_OF(keys)];
	uint32_t choice = ENCAPSULATION_GRE, all_down = ALL_DOWN_DROP;
	const char *name;

	pool->position = element->node->value_position;
	if (!element->setting)
		return;
	value_read_group(reader, element, "a pool", keys, COUNT_OF(keys), values);
	if (values[NAME].node)
		pool->position = values[NAME].node->value_position;
	if (value_name(reader, &values[NAME], &name))
		pool->name = reader_copy(reader, name);
	value_choice(reader, &values[ENCAPSULATION], encapsulation_names,
		     COUNT_OF(encapsulation_names), &choice);
	pool->encapsulation = (enum encapsulation)choice;
	value_boolean(&values[UDP_CHECKSUM], &pool->udp_checksum);
	value_choice(reader, &values[ON_ALL_DOWN], all_down_names, COUNT_OF(all_down_names),
		     &all_down);
	pool->on_all_down = (enum all_down)all_down;
	value_duration(reader, &values[SLOW_START], 0, SLOW_START_HIGH_NS, &pool->slow_start_ns);
	configuration_read_health_check(reader, &values[HEALTH_CHECK], &pool->health_check);
	if (!values[BACKENDS].node && !values[POOLS].node) {
		reader_error(reader, element->node->value_position,
			     "missing key \"backends\" in a pool");
		return;
	}
	pool_read_backends(reader, &values[BACKENDS], pool, total);
	reading->table_size = values[TABLE_SIZE];
	reading->pools = values[POOLS];
	reading->is_read = true;
}

static void check_pool_names(struct reader *reader)
{
	const struct configuration *configuration = reader->configuration;
	struct name_entry *entries =
		reader_allocate(reader, configuration->pool_count, sizeof(*entries));
	uint32_t count = 0;

	if (!entries)
		return;
	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		if (pool->name)
			entries[count++] = (struct name_entry){ pool->name, pool->position, i };
	}
	names_check_unique(reader, entries, count, "pool");
	free(entries);
}

void configuration_read_pools(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	struct pool_reading *readings;
	uint32_t index = 0, total = 0, count;

	if (!list->setting)
		return;
	count = list->node->child_count;
	if (count > CONFIGURATION_MAX_POOLS) {
		reader_error(reader, list->node->value_position, "too many pools: %u, at most %d",
			     count, CONFIGURATION_MAX_POOLS);
		return;
	}
	configuration->pools = reader_allocate(reader, count, sizeof(*configuration->pools));
	readings = reader_allocate(reader, count, sizeof(*readings));
	if (reader->status != 0)
		goto out;
	configuration->pool_count = count;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element = value_element(reader, list, &nodes[i], index, "a pool");

		read_pool(reader, &element, &configuration->pools[index], &readings[index], &total);
	}
	check_pool_names(reader);
	pools_take_members(reader, readings, total);
	for (uint32_t i = 0; i < count; i++) {
		if (!readings[i].is_read)
			continue;
		warn_if_idle(reader, &configuration->pools[i]);
		read_table_size(reader, &readings[i].table_size, &configuration->pools[i]);
	}
out:
	free(readings);
}
