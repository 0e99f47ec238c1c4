/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <fluxpin/connection_table.h>
#include <fluxpin/counters.h>

#define ENTRIES_PER_BUCKET 4

_Static_assert(sizeof(struct connection) == 16, "16 bytes per flow");
_Static_assert(sizeof(struct connection_bucket) == 64, "a bucket is a cache line");

static uint64_t bucket_count(uint32_t capacity)
{
	uint64_t count = 1;

	while (count * ENTRIES_PER_BUCKET < capacity)
		count *= 2;
	return count;
}

size_t connection_table_size(uint32_t capacity)
{
	return bucket_count(capacity) * sizeof(struct connection_bucket);
}

void connection_table_initialise(struct connection_table *table, void *memory, uint32_t capacity,
				 uint32_t tcp_idle_seconds, uint32_t udp_idle_seconds)
{
	*table = (struct connection_table){
		.buckets = memory,
		.mask = bucket_count(capacity) - 1,
		.idle = {
			[CONNECTION_SYN] = CONNECTION_SYN_IDLE,
			[CONNECTION_ESTABLISHED] = (uint16_t)tcp_idle_seconds,
			[CONNECTION_CLOSING] = CONNECTION_CLOSING_IDLE,
			[CONNECTION_DATAGRAM] = (uint16_t)udp_idle_seconds,
		},
	};
}

static struct connection_bucket *first_bucket(const struct connection_table *table, uint64_t hash)
{
	return &table->buckets[hash & table->mask];
}

static struct connection_bucket *second_bucket(const struct connection_table *table, uint64_t hash)
{
	/* The uppermost bits, of which the first bucket uses none; odd, so that it is another one.
	 */
	return &table->buckets[(hash ^ (hash >> 43 | 1)) & table->mask];
}

/* Seconds since the entry was last seen. */
static uint16_t age_of(const struct connection *entry, uint64_t second)
{
	return (uint16_t)((uint16_t)second - entry->last_seen);
}

static bool is_live(const struct connection_table *table, const struct connection *entry,
		    uint64_t second)
{
	return entry->state != CONNECTION_EMPTY &&
	       age_of(entry, second) <= table->idle[entry->state];
}

struct connection *connection_find(const struct connection_table *table, uint64_t hash,
				   uint64_t second)
{
	struct connection_bucket *bucket = first_bucket(table, hash);

	for (int candidate = 0; candidate < 2; candidate++) {
		for (int i = 0; i < ENTRIES_PER_BUCKET; i++) {
			struct connection *entry = &bucket->entries[i];

			if (entry->hash == hash && is_live(table, entry, second))
				return entry;
		}
		bucket = second_bucket(table, hash);
	}
	return NULL;
}

/* A slot for a new flow: a free or dead one, else the oldest one that has only sent a SYN. */
static struct connection *find_slot(const struct connection_table *table, uint64_t hash,
				    uint64_t second)
{
	struct connection_bucket *bucket = first_bucket(table, hash);
	struct connection *oldest_syn = NULL;

	for (int candidate = 0; candidate < 2; candidate++) {
		for (int i = 0; i < ENTRIES_PER_BUCKET; i++) {
			struct connection *entry = &bucket->entries[i];

			if (!is_live(table, entry, second))
				return entry;
			if (entry->state == CONNECTION_SYN &&
			    (oldest_syn == NULL ||
			     age_of(entry, second) > age_of(oldest_syn, second)))
				oldest_syn = entry;
		}
		bucket = second_bucket(table, hash);
	}
	return oldest_syn;
}

struct connection *connection_insert(struct connection_table *table, uint64_t hash,
				     enum connection_state state, uint16_t backend,
				     uint16_t generation, uint64_t second)
{
	struct connection *entry = find_slot(table, hash, second);

	if (entry == NULL) {
		counter_add(&table->untracked, 1);
		return NULL;
	}
	if (entry->state == CONNECTION_EMPTY)
		counter_add(&table->count, 1);
	else if (is_live(table, entry, second))
		counter_add(&table->evictions, 1);
	*entry = (struct connection){
		.hash = hash,
		.backend = backend,
		.generation = generation,
		.last_seen = (uint16_t)second,
		.state = (uint8_t)state,
	};
	return entry;
}

static void sweep_bucket(struct connection_table *table, struct connection_bucket *bucket,
			 uint64_t second)
{
	uint64_t freed = 0;

	for (int i = 0; i < ENTRIES_PER_BUCKET; i++) {
		struct connection *entry = &bucket->entries[i];

		if (entry->state != CONNECTION_EMPTY && !is_live(table, entry, second)) {
			entry->state = CONNECTION_EMPTY;
			freed++;
		}
	}
	if (freed > 0)
		counter_add(&table->count, -freed);
}

void connection_sweep(struct connection_table *table, uint64_t second, uint32_t budget)
{
	uint64_t all = table->mask + 1;

	if (second > table->sweep_second) {
		table->sweep_due +=
			(second - table->sweep_second) * (all / CONNECTION_SWEEP_SECONDS + 1);
		if (table->sweep_due > all)
			table->sweep_due = all;
		table->sweep_second = second;
	}
	for (; table->sweep_due > 0 && budget > 0; table->sweep_due--, budget--) {
		sweep_bucket(table, &table->buckets[table->sweep_position], second);
		table->sweep_position = (table->sweep_position + 1) & table->mask;
	}
}
