/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the connection table share. */
#ifndef FLUXPIN_TEST_CONNECTION_SETUP_H
#define FLUXPIN_TEST_CONNECTION_SETUP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/connection_table.h>

#include "packets.h"

/* Sanitizers make a program some ten times as slow: counts are divided by this. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_DIVISOR 20
#else
#define TEST_DIVISOR 1
#endif

#define BUCKET_ENTRIES CONNECTION_BUCKET_ENTRIES

/* A table in exactly as much memory as it asks for. */
static inline void open_table(struct connection_table *table, uint32_t capacity)
{
	size_t size = connection_table_size(capacity);
	void *memory = aligned_alloc(64, size);

	assert_non_null(memory);
	memset(memory, 0, size);
	connection_table_initialise(table, memory, capacity);
}

static inline void close_table(struct connection_table *table)
{
	free(table->buckets);
}

static inline uint32_t slot_count(const struct connection_table *table)
{
	return table->bucket_count * BUCKET_ENTRIES;
}

static inline struct connection *slot_at(const struct connection_table *table, uint32_t slot)
{
	return &table->buckets[slot / BUCKET_ENTRIES].entries[slot % BUCKET_ENTRIES];
}

static inline bool is_in_bucket(const struct connection *entry,
				const struct connection_bucket *bucket)
{
	return entry >= bucket->entries && entry < bucket->entries + BUCKET_ENTRIES;
}

/*
 * The whole table, entry by entry: counted as its counters say, each in one of its two buckets, and
 * none twice. Returns how many are in their first bucket.
 */
static inline uint32_t check_table(const struct connection_table *table)
{
	uint64_t states[CONNECTION_STATE_COUNT] = { 0 };
	uint32_t in_first = 0;

	for (uint32_t slot = 0; slot < slot_count(table); slot++) {
		const struct connection *entry = slot_at(table, slot);
		const struct connection_bucket *first = connection_first_bucket(table, entry->hash);
		const struct connection_bucket *second =
			connection_second_bucket(table, entry->hash);

		states[entry->state]++;
		if (entry->state == CONNECTION_EMPTY)
			continue;
		assert_true(is_in_bucket(entry, first) || is_in_bucket(entry, second));
		in_first += is_in_bucket(entry, first);
		for (int i = 0; i < 2 * BUCKET_ENTRIES; i++) {
			const struct connection *other =
				i < BUCKET_ENTRIES ? &first->entries[i]
						   : &second->entries[i - BUCKET_ENTRIES];

			assert_true(other == entry || other->state == CONNECTION_EMPTY ||
				    other->hash != entry->hash);
		}
	}
	for (int state = 0; state < CONNECTION_STATE_COUNT; state++)
		assert_int_equal(table->states[state], states[state]);
	assert_int_equal(table->count, slot_count(table) - states[CONNECTION_EMPTY]);
	return in_first;
}

#endif
