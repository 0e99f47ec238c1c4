/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fluxpin/fragment_table.h>

#include "packets.h"

#define CAPACITY FRAGMENT_MIN_CAPACITY
#define SECOND	 UINT64_C(1000000000)
#define TIMEOUT	 (2 * SECOND)
#define UNITS	 64 /* of the datagrams of the model */

static int open_table(void **state)
{
	struct fragment_table *table = calloc(1, sizeof(*table));
	void *memory = aligned_alloc(64, (fragment_table_size(CAPACITY) + 63) / 64 * 64);

	if (table == NULL || memory == NULL)
		return -1;
	/* It need not be zeroed. */
	memset(memory, 0xa5, fragment_table_size(CAPACITY));
	fragment_table_initialise(table, memory, CAPACITY, FRAGMENT_MOST_HELD, TIMEOUT);
	*state = table;
	return 0;
}

static int close_table(void **state)
{
	struct fragment_table *table = *state;

	free(table->datagrams);
	free(table);
	return 0;
}

static enum fragment_fit note(struct datagram *datagram, uint32_t start, uint32_t units, bool more)
{
	const struct fragment fragment = { .offset = (uint16_t)start,
					   .units = (uint16_t)units,
					   .more = more };

	return fragment_table_note(datagram, &fragment);
}

/* All that the table may hold is found, nothing else is; the oldest are the first to go. */
static void test_find(void **state)
{
	struct fragment_table *table = *state;

	assert_null(fragment_table_oldest(table, true));
	/* No more than one in each bucket, on average. */
	assert_in_range(table->mask + 1, CAPACITY, 2 * CAPACITY);
	for (uint64_t key = 0; key < CAPACITY; key++) {
		assert_false(fragment_table_is_full(table));
		/* Every fourth bucket: chains. */
		assert_non_null(fragment_table_add(table, key * 4, key));
	}
	assert_true(fragment_table_is_full(table));
	assert_int_equal(table->count, CAPACITY);
	for (uint64_t key = 0; key < 4 * CAPACITY; key++) {
		struct datagram *datagram = fragment_table_find(table, key);

		assert_int_equal(datagram != NULL, key % 4 == 0);
		if (datagram != NULL)
			assert_int_equal(datagram->key, key);
	}
	for (uint64_t key = 0; key < CAPACITY; key++) {
		struct datagram *oldest = fragment_table_oldest(table, true);

		assert_int_equal(oldest->key, key * 4);
		fragment_table_remove(table, oldest);
		assert_null(fragment_table_find(table, key * 4));
	}
	assert_int_equal(table->count, 0);
	assert_null(fragment_table_oldest(table, true));
}

/* Decided datagrams stand in a queue of their own, by when they were. */
static void test_queues(void **state)
{
	struct fragment_table *table = *state;
	struct datagram *datagrams[4];

	for (uint64_t key = 0; key < 4; key++)
		datagrams[key] = fragment_table_add(table, key, key);
	fragment_table_decide(table, datagrams[2], DATAGRAM_CHOSEN, 10);
	fragment_table_decide(table, datagrams[0], DATAGRAM_KERNEL, 11);
	fragment_table_decide(table, datagrams[3], DATAGRAM_REFUSED, 12);
	assert_ptr_equal(fragment_table_oldest(table, true), datagrams[1]);
	assert_ptr_equal(fragment_table_oldest(table, false), datagrams[2]);
	fragment_table_decide(table, datagrams[2], DATAGRAM_REFUSED, 13);
	assert_ptr_equal(fragment_table_oldest(table, false), datagrams[0]);
	fragment_table_remove(table, datagrams[0]);
	assert_ptr_equal(fragment_table_oldest(table, false), datagrams[3]);
	fragment_table_remove(table, datagrams[1]);
	assert_null(fragment_table_oldest(table, true));
	assert_ptr_equal(fragment_table_find(table, 3), datagrams[3]);
	/* The time counts from the decision; a clock that goes back makes nothing old. */
	assert_false(fragment_table_is_expired(table, datagrams[3], 12 + TIMEOUT));
	assert_true(fragment_table_is_expired(table, datagrams[3], 13 + TIMEOUT));
	assert_false(fragment_table_is_expired(table, datagrams[3], 0));
}

/* Against a bitmap: a million fragments of datagrams that are begun again and again. */
static void test_model(void **state)
{
	struct fragment_table *table = *state;
	struct datagram *datagram = fragment_table_add(table, 1, 0);
	uint64_t random = 3, counts[3] = { 0 }, completed = 0;
	uint32_t end = 0, pieces;
	bool seen[2 * UNITS] = { false };

	for (uint32_t i = 0; i < 1000000; i++) {
		uint32_t start = test_random_below(&random, UNITS);
		uint32_t units = 1 + test_random_below(&random, 1 + i % 8);
		bool more = start + units < UNITS && test_random_below(&random, 50) > 0;
		enum fragment_fit expected = FRAGMENT_FITS, got;
		uint32_t known = 0, highest = 0;

		for (uint32_t at = 0; at < 2 * UNITS; at++)
			if (seen[at]) {
				known += at >= start && at < start + units;
				highest = at + 1;
			}
		if (known == units)
			expected = FRAGMENT_DUPLICATE;
		else if (known > 0 || (end != 0 && (!more || start + units > end)) ||
			 (!more && highest > start + units))
			expected = FRAGMENT_OVERLAPS;
		pieces = 0;
		for (uint32_t at = 0; at < 2 * UNITS; at++)
			pieces += seen[at] && (at == 0 || !seen[at - 1]);
		if (expected == FRAGMENT_FITS && pieces == FRAGMENT_MOST_RANGES &&
		    !(start > 0 && seen[start - 1]) && !seen[start + units])
			expected = FRAGMENT_OVERLAPS;
		got = note(datagram, start, units, more);
		assert_int_equal(got, expected);
		counts[got]++;
		if (got == FRAGMENT_FITS) {
			memset(seen + start, true, units);
			if (!more)
				end = start + units;
		}
		known = 0;
		for (uint32_t at = 0; at < end; at++)
			known += seen[at];
		assert_int_equal(fragment_table_is_complete(datagram), end != 0 && known == end);
		if (!fragment_table_is_complete(datagram) && test_random_below(&random, 300) > 0)
			continue;
		completed += fragment_table_is_complete(datagram);
		fragment_table_remove(table, datagram);
		datagram = fragment_table_add(table, i, 0);
		memset(seen, false, sizeof(seen));
		end = 0;
	}
	for (int fit = 0; fit < 3; fit++)
		assert_in_range(counts[fit], 1000, 1000000);
	assert_in_range(completed, 100, 1000000);
}

/* At the limits of what 16 bits hold. */
static void test_offsets(void **state)
{
	struct datagram *datagram = fragment_table_add(*state, 1, 0);

	assert_int_equal(note(datagram, 8191, 1, false), FRAGMENT_FITS);
	assert_int_equal(note(datagram, 0, 8190, true), FRAGMENT_FITS);
	assert_false(fragment_table_is_complete(datagram));
	assert_int_equal(note(datagram, 8190, 1, true), FRAGMENT_FITS);
	assert_true(fragment_table_is_complete(datagram));
	assert_int_equal(note(datagram, 8192, 1, true), FRAGMENT_OVERLAPS);
}

/* Packets come out by offset, those of one datagram only, and room is given back. */
static void test_hold(void **state)
{
	struct fragment_table *table = *state;
	struct datagram *one = fragment_table_add(table, 1, 0),
			*two = fragment_table_add(table, 2, 0);
	struct packet packet = { .verdict = VERDICT_HELD };
	uint64_t random = 9;

	for (int round = 0; round < 5; round++) {
		uint16_t order[FRAGMENT_MOST_HELD];

		for (uint16_t i = 0; i < FRAGMENT_MOST_HELD; i++) {
			uint32_t j = test_random_below(&random, i + 1u);

			order[i] = order[j];
			order[j] = i;
		}
		for (uint32_t i = 0; i < FRAGMENT_MOST_HELD; i++) {
			packet.frame.address = order[i];
			assert_true(fragment_table_hold(table, order[i] % 3 == 0 ? two : one,
							&packet, order[i]));
		}
		assert_int_equal(table->held_count, FRAGMENT_MOST_HELD);
		assert_false(fragment_table_hold(table, one, &packet, 0));
		fragment_table_sort(table, one);
		fragment_table_sort(table, two);
		for (uint32_t i = 0; i < FRAGMENT_MOST_HELD; i++) {
			if (i % 3 == 0)
				continue;
			assert_true(fragment_table_take(table, one, &packet));
			assert_int_equal(packet.frame.address, i);
		}
		assert_false(fragment_table_take(table, one, &packet));
		for (uint32_t i = 0; i < FRAGMENT_MOST_HELD; i += 3) {
			assert_true(fragment_table_take(table, two, &packet));
			assert_int_equal(packet.frame.address, i);
		}
		assert_int_equal(table->held_count, 0);
	}
}

/* Any number of them, in any order. */
static void test_sort(void **state)
{
	struct fragment_table *table = *state;
	struct datagram *datagram = fragment_table_add(table, 1, 0);
	struct packet packet = { .verdict = VERDICT_HELD };
	uint64_t random = 5;

	for (uint32_t count = 0; count <= FRAGMENT_MOST_HELD; count++) {
		for (uint32_t order = 0; order < 3; order++) {
			uint16_t offsets[FRAGMENT_MOST_HELD];

			for (uint16_t i = 0; i < count; i++) {
				uint32_t j = order == 2 ? test_random_below(&random, i + 1u) : i;

				offsets[i] = offsets[j];
				offsets[j] = (uint16_t)(order == 1 ? count - i : i + 1u);
			}
			for (uint32_t i = 0; i < count; i++) {
				packet.frame.address = offsets[i];
				assert_true(
					fragment_table_hold(table, datagram, &packet, offsets[i]));
			}
			fragment_table_sort(table, datagram);
			for (uint32_t i = 1; i <= count; i++) {
				assert_true(fragment_table_take(table, datagram, &packet));
				assert_int_equal(packet.frame.address, i);
			}
			assert_false(fragment_table_take(table, datagram, &packet));
		}
	}
}

static void test_held_limit(void **state)
{
	struct fragment_table *table = *state;
	struct packet packet = { .verdict = VERDICT_HELD };
	struct datagram *datagram;

	fragment_table_initialise(table, table->datagrams, CAPACITY, 3, TIMEOUT);
	datagram = fragment_table_add(table, 1, 0);
	for (uint16_t i = 0; i < 3; i++)
		assert_true(fragment_table_hold(table, datagram, &packet, i));
	assert_false(fragment_table_hold(table, datagram, &packet, 3));
	assert_true(fragment_table_take(table, datagram, &packet));
	assert_true(fragment_table_hold(table, datagram, &packet, 3));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_table, close_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_find), TEST(test_queues),	TEST(test_model), TEST(test_offsets),
		TEST(test_hold), TEST(test_held_limit), TEST(test_sort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
