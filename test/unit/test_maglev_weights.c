/* SPDX-License-Identifier: BSD-2-Clause */
/* Maglev tables of different weights: shares, order, weight 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "maglev_sets.h"

/* Due at 0, 1/2, 1, 3/2, 2 and at 0, 1. */
static void test_turns(void **state)
{
	static const struct maglev_permutation walks[] = { { 0, 1, 2, 8 }, { 3, 1, 1, 9 } };
	static const uint16_t expected[] = { 8, 8, 8, 9, 9, 8, 8 };
	uint16_t slots[7];

	(void)state;
	assert_int_equal(maglev_populate(walks, 2, 7, slots), 0);
	assert_memory_equal(slots, expected, sizeof(slots));
}

/* Two load balancers: other input order, other indexes, weights in other units. */
static void test_same_set_same_table(void **state)
{
	uint64_t random = 5;

	(void)state;
	for (uint32_t run = 0; run < 40; run++) {
		uint32_t count = 1 + test_random_below(&random, 300);
		struct set *set = new_set(count, 1);
		const char *names[MOST];
		uint16_t *first, *second;

		for (uint32_t i = 0; i < count; i++)
			set->backends[i].weight = (uint16_t)(test_random_below(&random, 50) * 7);
		set->backends[0].weight = 7;
		first = build(set, 4099);
		shuffle(set, &random);
		second = build(set, 4099);
		assert_memory_equal(first, second, 4099 * sizeof(*first));
		free(second);

		for (uint32_t i = 0; i < count; i++) {
			set->backends[i].index = (uint16_t)(60000 - i * 3);
			names[i] = set->backends[i].name;
			set->backends[i].weight = (uint16_t)(set->backends[i].weight / 7);
		}
		second = build(set, 4099);
		for (uint32_t i = 0; i < 4099; i++)
			assert_string_equal(set->names[first[i]], names[(60000 - second[i]) / 3]);
		free(second);
		free(first);
		free(set);
	}
}

/* Names that differ late, early, in length or in a byte above 127: strcmp's order all the same. */
static void test_order_of_names(void **state)
{
	static const char *const sorted[] = {
		"",
		"10.0.0.1",
		"10.0.0.10",
		"10.0.0.2",
		"2001:db8::10:1",
		"2001:db8::10:12",
		"2001:db8::10:2",
		"Web",
		"a",
		"aaaaaaaaaaaaaaaaaaaa",
		"aaaaaaaaaaaaaaaaaaaab",
		"aaaaaaaaaaaaaaaaaaab",
		"a\x80",
		"a\xff",
		"b",
		"c",
		"c\xc3\xa4",
		"d",
		"e",
		"web",
		"web-",
		"web-1",
		"web-\xc3\xa4",
		"x",
		"\xff",
	};
	enum {
		COUNT = sizeof(sorted) / sizeof(sorted[0])
	};
	struct maglev_backend backends[COUNT];
	struct maglev_permutation walks[COUNT];
	uint16_t expected[251], slots[251];
	uint64_t random = 9;

	(void)state;
	for (uint32_t i = 0; i < COUNT; i++) {
		backends[i] = (struct maglev_backend){ sorted[i], 5, (uint16_t)i };
		walks[i] = maglev_permutation_of(&backends[i], 251);
		assert_true(i == 0 || strcmp(sorted[i - 1], sorted[i]) < 0);
	}
	assert_int_equal(maglev_populate(walks, COUNT, 251, expected), 0);
	for (uint32_t run = 0; run < 100; run++) {
		for (uint32_t i = COUNT; i > 1; i--) {
			uint32_t other = test_random_below(&random, i);
			struct maglev_backend backend = backends[i - 1];

			backends[i - 1] = backends[other];
			backends[other] = backend;
		}
		assert_int_equal(maglev_build(backends, COUNT, 251, slots), 0);
		assert_memory_equal(slots, expected, sizeof(slots));
	}
}

/*
 * With S = M * w / W the exact share, slots are within one of S, or 1, for every backend, if that
 * can be: if the shares rounded down, or 1, are no more than M in all. Otherwise those of less than
 * one slot get one each, as far as there are slots, and no other gets more than its share.
 */
static void check_shares(const struct set *set, const uint32_t *shares, uint32_t size)
{
	uint64_t sum = 0, used = 0, least = 0;

	for (uint32_t i = 0; i < set->count; i++) {
		sum += set->backends[i].weight;
		used += set->backends[i].weight > 0;
	}
	for (uint32_t i = 0; i < set->count; i++) {
		uint64_t weight = set->backends[i].weight, whole = size * weight / sum;

		least += whole > 0 ? whole : weight > 0;
	}
	for (uint32_t i = 0; i < set->count; i++) {
		uint64_t weight = set->backends[i].weight, whole = size * weight / sum;
		uint64_t below = least <= size ? whole : 0;
		uint64_t above = whole + (size * weight % sum > 0);
		uint64_t slots = shares[set->backends[i].index];

		if (slots < below || slots > above)
			fail_msg("M=%u, weight %lu of %lu: %lu slots", size, (unsigned long)weight,
				 (unsigned long)sum, (unsigned long)slots);
		if (weight > 0 && used <= size && slots < 1)
			fail_msg("M=%u, weight %lu of %lu: no slot", size, (unsigned long)weight,
				 (unsigned long)sum);
	}
}

static void build_and_check_shares(const struct set *set, uint32_t size)
{
	uint16_t *slots = build(set, size);
	uint32_t *shares = count_slots(slots, size, set->count);

	check_shares(set, shares, size);
	free(shares);
	free(slots);
}

static void test_weights(void **state)
{
	static const struct {
		uint16_t weights[8];
		uint32_t count;
	} cases[] = {
		{ { 1, 2 }, 2 },
		{ { 1, 2, 3, 4 }, 4 },
		{ { 100, 100, 100, 50 }, 4 },
		{ { 100, 100, 100, 99 }, 4 },
		{ { 65535, 1 }, 2 },
		{ { 65535, 1, 1, 1, 1, 1, 1, 1 }, 8 },
		{ { 65535, 65534, 32768, 2, 3, 5, 7, 11 }, 8 },
		{ { 0, 5, 0, 7 }, 4 },
		{ { 9, 0 }, 2 },
	};
	static const uint32_t sizes[] = { 2, 7, 251, SMALL_TABLE, LARGE_TABLE };

	(void)state;
	for (uint32_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			struct set *set = new_set(cases[c].count, 0);

			for (uint32_t i = 0; i < set->count; i++)
				set->backends[i].weight = cases[c].weights[i];
			build_and_check_shares(set, sizes[s]);
			free(set);
		}
	}
}

/* The figures of Envoy's test of weighted Maglev. */
static void test_envoy_weights(void **state)
{
	struct set *set = new_set(2, 1);
	uint32_t *shares;
	uint16_t *slots;

	(void)state;
	set->backends[1].weight = 2;
	slots = build(set, SMALL_TABLE);
	shares = count_slots(slots, SMALL_TABLE, 2);
	assert_int_equal(shares[0], 21846);
	assert_int_equal(shares[1], 43691);
	free(shares);
	free(slots);
	free(set);
}

static void test_random_weights(void **state)
{
	static const uint32_t sizes[] = { 211, 1009, 4099, SMALL_TABLE };
	uint64_t random = 6;

	(void)state;
	for (uint32_t run = 0; run < 200; run++) {
		struct set *set = new_set(1 + test_random_below(&random, 200), 0);
		uint32_t bits = 1 + test_random_below(&random, 16);

		for (uint32_t i = 0; i < set->count; i++)
			set->backends[i].weight =
				(uint16_t)(test_random(&random) & ((1u << bits) - 1));
		set->backends[0].weight = 1;
		build_and_check_shares(set, sizes[run % 4]);
		free(set);
	}
}

/* So many light backends that the heavy one has to give way. */
static void test_one_heavy_weight(void **state)
{
	static const uint32_t sizes[] = { 1999, 2003, SMALL_TABLE };
	static const uint32_t expected[] = { 1000, 1004, 64538 };
	struct set *set = new_set(1000, 1);

	(void)state;
	set->backends[500].weight = UINT16_MAX;
	for (uint32_t s = 0; s < 3; s++) {
		uint16_t *slots = build(set, sizes[s]);
		uint32_t *shares = count_slots(slots, sizes[s], set->count);

		for (uint32_t i = 0; i < set->count; i++)
			assert_int_equal(shares[i], i == 500 ? expected[s] : 1);
		free(shares);
		free(slots);
	}
	free(set);
}

/* As many backends as a configuration may have, and one that outweighs them all. */
static void test_most_backends(void **state)
{
	enum {
		COUNT = 65535
	};
	struct maglev_backend *backends = calloc(COUNT, sizeof(*backends));
	char(*names)[16] = calloc(COUNT, sizeof(*names));
	uint16_t *slots = calloc(LARGE_TABLE, sizeof(*slots));
	uint32_t *shares;

	(void)state;
	assert_non_null(backends);
	assert_non_null(names);
	assert_non_null(slots);
	for (uint32_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "%u", i);
		backends[i] = (struct maglev_backend){ names[i], 1, (uint16_t)i };
	}
	backends[77].weight = UINT16_MAX;
	assert_int_equal(maglev_build(backends, COUNT, LARGE_TABLE, slots), 0);
	shares = count_slots(slots, LARGE_TABLE, COUNT);
	/* 655373 / 131069 is 5.0002. */
	for (uint32_t i = 0; i < COUNT; i++)
		assert_in_range(shares[i], i == 77 ? 327689 : 5, i == 77 ? 327690 : 6);
	free(shares);
	free(slots);
	free(names);
	free(backends);
}

/* Weight 0 and absence are the same: what draining relies on. */
static void test_no_weight_is_absence(void **state)
{
	static const uint32_t sizes[] = { 4099, SMALL_TABLE };

	(void)state;
	for (uint32_t s = 0; s < 2; s++) {
		struct set *set = new_set(100, 10);
		uint16_t *drained, *removed;

		for (uint32_t i = 0; i < 100; i++)
			set->backends[i].weight = (uint16_t)(i < 50 ? 1 + i % 9 : 0);
		drained = build(set, sizes[s]);
		set->count = 50;
		removed = build(set, sizes[s]);
		assert_memory_equal(drained, removed, sizes[s] * sizeof(*drained));
		free(removed);
		free(drained);
		free(set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_same_set_same_table),
		cmocka_unit_test(test_order_of_names),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_envoy_weights),
		cmocka_unit_test(test_random_weights),
		cmocka_unit_test(test_one_heavy_weight),
		cmocka_unit_test(test_most_backends),
		cmocka_unit_test(test_no_weight_is_absence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
