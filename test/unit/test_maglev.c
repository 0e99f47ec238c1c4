/* SPDX-License-Identifier: BSD-2-Clause */
/* Maglev tables: the paper's example, evenness, weights, order and disruption. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fluxpin/maglev.h>

#include "packets.h"

#define SMALL_TABLE 65537
#define LARGE_TABLE 655373
#define MOST	    2000

/* Backends with names that last as long as the test. */
struct set {
	char names[MOST][24];
	struct maglev_backend backends[MOST];
	uint32_t count;
};

static struct set *new_set(uint32_t count, uint16_t weight)
{
	struct set *set = calloc(1, sizeof(*set));

	assert_non_null(set);
	assert_in_range(count, 0, MOST);
	set->count = count;
	for (uint32_t i = 0; i < count; i++) {
		snprintf(set->names[i], sizeof(set->names[i]), "backend-%u", i);
		set->backends[i] = (struct maglev_backend){ .name = set->names[i],
							    .weight = weight,
							    .index = (uint16_t)i };
	}
	return set;
}

static uint16_t *build(const struct set *set, uint32_t size)
{
	/* Exactly sized, for AddressSanitizer to fence. */
	uint16_t *slots = malloc(size * sizeof(*slots));

	assert_non_null(slots);
	memset(slots, 0xa5, size * sizeof(*slots));
	assert_int_equal(maglev_build(set->backends, set->count, size, slots), 0);
	return slots;
}

static void shuffle(struct set *set, uint64_t *random)
{
	for (uint32_t i = set->count; i > 1; i--) {
		uint32_t other = test_random_below(random, i);
		struct maglev_backend backend = set->backends[i - 1];

		set->backends[i - 1] = set->backends[other];
		set->backends[other] = backend;
	}
}

/* Slots by backend index; fails on an index beyond count. */
static uint32_t *count_slots(const uint16_t *slots, uint32_t size, uint32_t count)
{
	uint32_t *shares = calloc(count + 1, sizeof(*shares));

	assert_non_null(shares);
	for (uint32_t i = 0; i < size; i++) {
		if (slots[i] >= count)
			fail_msg("slot %u names backend %u", i, slots[i]);
		shares[slots[i]]++;
	}
	return shares;
}

/* Maglev, section 3.4, table 1. */
static void test_paper_example(void **state)
{
	static const struct maglev_permutation before[] = { { 3, 4, 1, 0 },
							    { 0, 2, 1, 1 },
							    { 3, 1, 1, 2 } };
	static const struct maglev_permutation after[] = { { 3, 4, 1, 0 }, { 3, 1, 1, 2 } };
	static const uint16_t expected_before[] = { 1, 0, 1, 0, 2, 2, 0 };
	static const uint16_t expected_after[] = { 0, 0, 0, 0, 2, 2, 2 };
	uint16_t slots[7];

	(void)state;
	assert_int_equal(maglev_populate(before, 3, 7, slots), 0);
	assert_memory_equal(slots, expected_before, sizeof(slots));
	assert_int_equal(maglev_populate(after, 2, 7, slots), 0);
	assert_memory_equal(slots, expected_after, sizeof(slots));
}

/* Half the weight is a turn in every other round, from the first one on. */
static void test_weighted_turns(void **state)
{
	static const struct maglev_permutation walks[] = { { 0, 1, 2, 8 }, { 3, 1, 1, 9 } };
	static const uint16_t expected[] = { 8, 8, 8, 9, 9, 8, 8 };
	uint16_t slots[7];

	(void)state;
	assert_int_equal(maglev_populate(walks, 2, 7, slots), 0);
	assert_memory_equal(slots, expected, sizeof(slots));
}

/* h1, h2 and the order can never change silently: clusters run two versions at a time. */
static void test_known_answer(void **state)
{
	static const uint16_t expected[] = { 0, 0, 2, 1, 2, 0, 1, 1, 1, 0, 1, 1,
					     0, 2, 2, 2, 0, 1, 0, 2, 0, 2, 1 };
	struct set *set = new_set(3, 100);
	uint16_t *slots = build(set, 23);

	(void)state;
	assert_int_equal(sizeof(expected), 23 * sizeof(*slots));
	assert_memory_equal(slots, expected, sizeof(expected));
	free(slots);
	free(set);
}

static void test_evenness(void **state)
{
	static const uint32_t counts[] = { 1, 2, 3, 10, 100, 1000, 2000 };
	static const uint32_t sizes[] = { SMALL_TABLE, LARGE_TABLE };

	(void)state;
	for (uint32_t s = 0; s < 2; s++) {
		for (uint32_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			struct set *set = new_set(counts[c], 100);
			uint16_t *slots = build(set, sizes[s]);
			uint32_t *shares = count_slots(slots, sizes[s], counts[c]);
			uint32_t least = sizes[s] / counts[c];
			uint32_t most = (sizes[s] + counts[c] - 1) / counts[c];

			for (uint32_t i = 0; i < counts[c]; i++)
				assert_in_range(shares[i], least, most);
			free(shares);
			free(slots);
			free(set);
		}
	}
}

/* max/avg and min/avg of 1000 backends, as computed from the paper's algorithm. */
static void test_paper_evenness(void **state)
{
	static const struct {
		uint32_t size;
		double max, min, tolerance;
	} cases[] = { { SMALL_TABLE, 1.007, 0.992, 0.0005 },
		      { LARGE_TABLE, 1.0010, 0.9994, 0.00005 } };

	(void)state;
	for (uint32_t c = 0; c < 2; c++) {
		struct set *set = new_set(1000, 1);
		uint16_t *slots = build(set, cases[c].size);
		uint32_t *shares = count_slots(slots, cases[c].size, 1000);
		uint32_t most = 0, least = UINT32_MAX;
		double max, min;

		for (uint32_t i = 0; i < 1000; i++) {
			most = shares[i] > most ? shares[i] : most;
			least = shares[i] < least ? shares[i] : least;
		}
		max = most * 1000.0 / cases[c].size;
		min = least * 1000.0 / cases[c].size;
		if (max > cases[c].max + cases[c].tolerance ||
		    max < cases[c].max - cases[c].tolerance)
			fail_msg("M=%u: max/avg %f", cases[c].size, max);
		if (min > cases[c].min + cases[c].tolerance ||
		    min < cases[c].min - cases[c].tolerance)
			fail_msg("M=%u: min/avg %f", cases[c].size, min);
		free(shares);
		free(slots);
		free(set);
	}
}

/* Two load balancers: other input order, other indexes, weights in other units. */
static void test_same_set_same_table(void **state)
{
	uint64_t random = 5;

	(void)state;
	for (uint32_t run = 0; run < 20; run++) {
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

/*
 * The bound that holds for every set: with w_max the largest weight, W the sum, N the number of
 * backends (weights above 0) and S = M * w / W the exact share,
 *
 *     S - N * w / W - 1  <  slots  <  S + w / w_max + 1   (at most S + 2)
 *
 * Above, since the number r of rounds begun has (r - 1) * W / w_max <= M, and a backend has had at
 * most ceil(r * w / w_max) turns. Below, since each of the N backends may be ahead by one turn.
 */
static void check_shares(const struct set *set, const uint32_t *shares, uint32_t size)
{
	double sum = 0, largest = 0, used = 0;

	for (uint32_t i = 0; i < set->count; i++) {
		sum += set->backends[i].weight;
		used += set->backends[i].weight > 0;
		if (set->backends[i].weight > largest)
			largest = set->backends[i].weight;
	}
	for (uint32_t i = 0; i < set->count; i++) {
		double weight = set->backends[i].weight, exact = size * weight / sum;
		double slots = shares[set->backends[i].index];

		if (slots <= exact - used * weight / sum - 1 ||
		    slots >= exact + weight / largest + 1)
			fail_msg("weight %.0f of %.0f: %.0f slots for %.2f", weight, sum, slots,
				 exact);
		if (weight > 0 && used <= size && slots < 1)
			fail_msg("weight %.0f of %.0f: no slot", weight, sum);
	}
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
	static const uint32_t sizes[] = { 251, SMALL_TABLE };

	(void)state;
	for (uint32_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		for (uint32_t s = 0; s < 2; s++) {
			struct set *set = new_set(cases[c].count, 0);
			uint32_t *shares;
			uint16_t *slots;

			for (uint32_t i = 0; i < set->count; i++)
				set->backends[i].weight = cases[c].weights[i];
			slots = build(set, sizes[s]);
			shares = count_slots(slots, sizes[s], set->count);
			check_shares(set, shares, sizes[s]);
			for (uint32_t i = 0; i < set->count; i++)
				if (set->backends[i].weight == 0)
					assert_int_equal(shares[i], 0);
			free(shares);
			free(slots);
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
	static const uint32_t sizes[] = { 1009, 4099, SMALL_TABLE };
	uint64_t random = 6;

	(void)state;
	for (uint32_t run = 0; run < 60; run++) {
		struct set *set = new_set(1 + test_random_below(&random, 200), 0);
		uint32_t bits = 1 + test_random_below(&random, 16);
		uint32_t size = sizes[run % 3], *shares;
		uint16_t *slots;

		for (uint32_t i = 0; i < set->count; i++)
			set->backends[i].weight =
				(uint16_t)(test_random(&random) & ((1u << bits) - 1));
		set->backends[0].weight = 1;
		slots = build(set, size);
		shares = count_slots(slots, size, set->count);
		check_shares(set, shares, size);
		free(shares);
		free(slots);
		free(set);
	}
}

/* One heavy backend beside many light ones: nearly every round belongs to one backend alone. */
static void test_one_heavy_weight(void **state)
{
	struct set *set = new_set(1000, 1);
	uint32_t *shares;
	uint16_t *slots;

	(void)state;
	set->backends[500].weight = UINT16_MAX;
	slots = build(set, SMALL_TABLE);
	shares = count_slots(slots, SMALL_TABLE, set->count);
	check_shares(set, shares, SMALL_TABLE);
	free(shares);
	free(slots);
	free(set);
}

/* Share of slots that name another backend after k random ones of `set` were removed. */
static double changed_share(const struct set *set, const uint16_t *before, uint32_t size,
			    uint32_t k, uint64_t *random)
{
	struct set *rest = malloc(sizeof(*rest));
	uint32_t changed = 0;
	uint16_t *after;

	assert_non_null(rest);
	memcpy(rest, set, sizeof(*rest));
	for (uint32_t i = 0; i < k; i++) {
		uint32_t gone = test_random_below(random, rest->count);

		rest->count--;
		rest->backends[gone] = rest->backends[rest->count];
	}
	after = build(rest, size);
	for (uint32_t i = 0; i < size; i++)
		changed += before[i] != after[i];
	free(after);
	free(rest);
	return (double)changed / size;
}

/*
 * The paper's figure 12 at M = 65537. The means of 200 runs were computed as 0.68 % and 3.33 %;
 * fewer runs are made here, so a tenth of that is allowed either way.
 */
static void test_disruption(void **state)
{
	static const struct {
		uint32_t removed;
		double expected;
	} cases[] = { { 1, 0.0068 }, { 10, 0.0333 } };
	struct set *set = new_set(1000, 100);
	uint16_t *before = build(set, SMALL_TABLE);
	uint64_t random = 7;

	(void)state;
	for (uint32_t c = 0; c < 2; c++) {
		const uint32_t runs = 40;
		double sum = 0;

		for (uint32_t run = 0; run < runs; run++)
			sum += changed_share(set, before, SMALL_TABLE, cases[c].removed, &random);
		if (sum / runs < cases[c].expected * 0.9 || sum / runs > cases[c].expected * 1.1)
			fail_msg("%u removed: %.3f %% changed", cases[c].removed, sum / runs * 100);
	}
	free(before);
	free(set);
}

/* Weight 0 and absence are the same: what draining relies on. */
static void test_no_weight_is_absence(void **state)
{
	struct set *set = new_set(50, 10);
	uint16_t *drained, *removed;

	(void)state;
	set->backends[49].weight = 0;
	drained = build(set, 4099);
	set->count = 49;
	removed = build(set, 4099);
	assert_memory_equal(drained, removed, 4099 * sizeof(*drained));
	free(removed);
	free(drained);
	free(set);
}

static void test_few_backends(void **state)
{
	static const uint32_t sizes[] = { 2, 3, 5, 7, 251, LARGE_TABLE };

	(void)state;
	for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (uint32_t count = 0; count < 12; count++) {
			struct set *set = new_set(count, 100);
			uint16_t *slots = build(set, sizes[s]);

			if (count == 0) {
				for (uint32_t i = 0; i < sizes[s]; i++)
					assert_int_equal(slots[i], MAGLEV_NO_BACKEND);
			} else {
				uint32_t *shares = count_slots(slots, sizes[s], count);

				/* More backends than slots: one each, until there are no more. */
				for (uint32_t i = 0; i < count; i++)
					assert_in_range(shares[i], sizes[s] / count,
							(sizes[s] + count - 1) / count);
				free(shares);
			}
			free(slots);
			for (uint32_t i = 0; i < count; i++)
				set->backends[i].weight = 0;
			slots = build(set, sizes[s]);
			for (uint32_t i = 0; i < sizes[s]; i++)
				if (slots[i] != MAGLEV_NO_BACKEND)
					fail_msg("a slot for weight 0");
			free(slots);
			free(set);
		}
	}
}

/* A lone walk takes every slot once: nothing is left free, and it needs exactly M steps. */
static void test_permutations_are_complete(void **state)
{
	static const uint32_t sizes[] = { 2, 3, 5, 7, 251 };

	(void)state;
	for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		uint32_t size = sizes[s];

		for (uint32_t offset = 0; offset < size; offset += 1 + size / 16) {
			for (uint32_t skip = 1; skip < size; skip++) {
				const struct maglev_permutation walks[] = {
					{ offset, skip, 1, 3 }, { offset, skip, 1, 4 }
				};
				uint16_t slots[251];
				bool visited[251] = { false };

				assert_int_equal(maglev_populate(walks, 2, size, slots), 0);
				/* Two on the same walk take turns along it. */
				for (uint32_t j = 0; j < size; j++) {
					uint32_t slot = (offset + j * skip) % size;

					assert_false(visited[slot]);
					visited[slot] = true;
					assert_int_equal(slots[slot], 3 + j % 2);
				}
			}
		}
	}
}

static void test_slot_of_hash(void **state)
{
	uint32_t counts[251] = { 0 };
	uint64_t random = 8;

	(void)state;
	assert_int_equal(maglev_slot(0, SMALL_TABLE), 0);
	assert_int_equal(maglev_slot(UINT64_MAX, SMALL_TABLE), SMALL_TABLE - 1);
	assert_int_equal(maglev_slot(UINT64_MAX, LARGE_TABLE), LARGE_TABLE - 1);
	assert_int_equal(maglev_slot(UINT64_MAX, 2), 1);
	assert_int_equal(maglev_slot(UINT64_C(0x80000000) << 32, SMALL_TABLE), SMALL_TABLE / 2);
	assert_int_equal(maglev_slot(UINT32_MAX, SMALL_TABLE), 0);
	for (uint32_t i = 0; i < 251 * 1000; i++)
		counts[maglev_slot(test_random(&random), 251)]++;
	for (uint32_t i = 0; i < 251; i++)
		assert_in_range(counts[i], 850, 1150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paper_example),
		cmocka_unit_test(test_weighted_turns),
		cmocka_unit_test(test_known_answer),
		cmocka_unit_test(test_evenness),
		cmocka_unit_test(test_paper_evenness),
		cmocka_unit_test(test_same_set_same_table),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_envoy_weights),
		cmocka_unit_test(test_random_weights),
		cmocka_unit_test(test_one_heavy_weight),
		cmocka_unit_test(test_disruption),
		cmocka_unit_test(test_no_weight_is_absence),
		cmocka_unit_test(test_few_backends),
		cmocka_unit_test(test_permutations_are_complete),
		cmocka_unit_test(test_slot_of_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
