/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maglev tables against a plain implementation of the rules in maglev.h: every kind of probing that
 * this machine has gives the same tables; and walks are permutations of the slots.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../../src/dataplane/maglev_internal.h"
#include "maglev_sets.h"

/* Rule 3. */
static void share_turns(const struct maglev_permutation *walks, uint32_t count, uint32_t size,
			uint32_t *shares)
{
	uint64_t sum = 0, given = 0;
	bool *done = calloc(count, sizeof(*done));

	assert_non_null(done);
	for (uint32_t i = 0; i < count; i++)
		sum += walks[i].weight;
	for (uint32_t i = 0; i < count; i++) {
		shares[i] = (uint32_t)((uint64_t)size * walks[i].weight / sum);
		done[i] = shares[i] == 0;
		shares[i] += shares[i] == 0;
		given += shares[i];
	}
	for (; given < size; given++) {
		uint32_t best = count;
		uint64_t rest, most = 0;

		for (uint32_t i = 0; i < count; i++) {
			rest = (uint64_t)size * walks[i].weight % sum;
			if (!done[i] && (best == count || rest > most)) {
				best = i;
				most = rest;
			}
		}
		assert_int_not_equal(best, count);
		done[best] = true;
		shares[best]++;
	}
	free(done);
}

/* Rules 4 and 5. */
static void fill_plainly(const struct maglev_permutation *walks, uint32_t count, uint32_t size,
			 uint16_t *slots)
{
	uint32_t *shares = calloc(count, sizeof(*shares)), *turns = calloc(count, sizeof(*turns));
	uint64_t *steps = calloc(count, sizeof(*steps));

	assert_true(shares != NULL && turns != NULL && steps != NULL);
	share_turns(walks, count, size, shares);
	memset(slots, 0xff, size * sizeof(*slots));
	for (uint32_t filled = 0; filled < size; filled++) {
		uint32_t first = count;
		uint64_t slot;

		for (uint32_t i = 0; i < count; i++) {
			/* turns[i] / weight[i] < turns[first] / weight[first] */
			if (turns[i] < shares[i] &&
			    (first == count || (uint64_t)turns[i] * walks[first].weight <
						       (uint64_t)turns[first] * walks[i].weight))
				first = i;
		}
		assert_int_not_equal(first, count);
		turns[first]++;
		do
			slot = (walks[first].offset + steps[first]++ * walks[first].skip) % size;
		while (slots[slot] != MAGLEV_NO_BACKEND);
		slots[slot] = walks[first].index;
	}
	free(steps);
	free(turns);
	free(shares);
}

static void compare(const struct maglev_permutation *walks, uint32_t count, uint32_t size)
{
	const struct maglev_probing *probings[] = { &maglev_probing_portable,
						    maglev_probing_avx2() };
	uint16_t *expected = calloc(size, sizeof(*expected));
	uint16_t *slots = malloc(size * sizeof(*slots));

	assert_true(expected != NULL && slots != NULL);
	fill_plainly(walks, count, size, expected);
	for (uint32_t p = 0; p < 2 && probings[p] != NULL; p++) {
		memset(slots, 0xa5, size * sizeof(*slots));
		assert_int_equal(maglev_populate_by(probings[p], walks, count, size, slots), 0);
		for (uint32_t i = 0; i < size; i++)
			if (slots[i] != expected[i])
				fail_msg("probing %u, %u backends, M=%u: slot %u is %u, not %u", p,
					 count, size, i, slots[i], expected[i]);
	}
	free(slots);
	free(expected);
}

/* Weights of the kinds that matter: all equal, few values, any, one heavy one. */
static void set_weights(struct maglev_permutation *walks, uint32_t count, uint32_t kind,
			uint64_t *random)
{
	uint32_t equal = 1 + test_random_below(random, UINT16_MAX);
	uint32_t heavy = test_random_below(random, count);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t weight = kind == 0    ? equal
				  : kind == 1  ? 1 + test_random_below(random, 4)
				  : kind == 2  ? 1 + test_random_below(random, UINT16_MAX)
				  : i == heavy ? UINT16_MAX
					       : 1 + test_random_below(random, 2);

		walks[i].weight = (uint16_t)weight;
	}
}

static void compare_random(uint32_t runs, const uint32_t *sizes, uint32_t size_count,
			   uint32_t most_backends, uint64_t seed)
{
	struct maglev_permutation *walks = calloc(most_backends, sizeof(*walks));
	uint64_t random = seed;

	assert_non_null(walks);
	for (uint32_t run = 0; run < runs; run++) {
		uint32_t size = sizes[run % size_count];
		uint32_t most = most_backends < size ? most_backends : size;
		uint32_t count = run % 7 == 0 ? most : 1 + test_random_below(&random, most);

		for (uint32_t i = 0; i < count; i++) {
			walks[i].offset = test_random_below(&random, size);
			walks[i].skip = 1 + test_random_below(&random, size - 1);
			walks[i].index = (uint16_t)(65000 - 3 * i);
		}
		set_weights(walks, count, run % 4, &random);
		compare(walks, count, size);
	}
	free(walks);
}

static void test_small_tables(void **state)
{
	static const uint32_t sizes[] = { 2, 3, 5, 7, 11, 13, 31, 37, 61, 67, 97, 251, 257, 509 };

	(void)state;
	compare_random(1500, sizes, sizeof(sizes) / sizeof(sizes[0]), 509, 1);
}

/* Large enough for groups, and for several windows of turns. */
static void test_middle_tables(void **state)
{
	static const uint32_t sizes[] = { 1009, 4099, 8209, 16411 };

	(void)state;
	compare_random(60, sizes, sizeof(sizes) / sizeof(sizes[0]), 700, 2);
}

static void test_default_table(void **state)
{
	static const uint32_t sizes[] = { SMALL_TABLE };

	(void)state;
	compare_random(8, sizes, 1, 300, 3);
}

/* The product of offset or step and skip takes more than 32 bits. */
static void test_large_table(void **state)
{
	static const uint32_t sizes[] = { LARGE_TABLE };

	(void)state;
	compare_random(4, sizes, 1, 20, 4);
}

/* The first ones of the table get a slot each. */
static void test_more_backends_than_slots(void **state)
{
	struct maglev_permutation walks[40];
	uint64_t random = 5;

	(void)state;
	for (uint32_t run = 0; run < 40; run++) {
		for (uint32_t i = 0; i < 40; i++) {
			walks[i].offset = test_random_below(&random, 31);
			walks[i].skip = 1 + test_random_below(&random, 30);
			walks[i].index = (uint16_t)i;
		}
		set_weights(walks, 40, run % 4, &random);
		compare(walks, 40, 31);
	}
}

/*
 * Walks by name visit each slot once, in exact arithmetic, for every kind of size. So do two on the
 * same walk, which take turns along it.
 */
static void check_walk(const struct maglev_backend *backend, uint32_t size)
{
	struct maglev_permutation walk = maglev_permutation_of(backend, size);
	const struct maglev_permutation walks[] = { { walk.offset, walk.skip, 1, 3 },
						    { walk.offset, walk.skip, 1, 4 } };
	uint8_t *visited = calloc(size, sizeof(*visited));
	uint16_t *slots = calloc(size, sizeof(*slots));

	assert_true(visited != NULL && slots != NULL);
	assert_in_range(walk.offset, 0, size - 1);
	assert_in_range(walk.skip, 1, size - 1);
	assert_int_equal(maglev_populate(walks, 2, size, slots), 0);
	for (uint64_t j = 0; j < size; j++) {
		uint64_t slot = (walk.offset + j * walk.skip) % size;

		if (visited[slot]++ != 0)
			fail_msg("M=%u: slot %u twice", size, (uint32_t)slot);
		if (slots[slot] != 3 + j % 2)
			fail_msg("M=%u: slot %u is %u", size, (uint32_t)slot, slots[slot]);
	}
	free(slots);
	free(visited);
}

static void test_permutations(void **state)
{
	/* The last is the largest that a configuration allows. */
	static const uint32_t sizes[] = { 2,	       3,     5,      7,	   251,
					  SMALL_TABLE, 92681, 131071, LARGE_TABLE, 16777213 };

	(void)state;
	for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (uint32_t run = 0; run < (sizes[s] < LARGE_TABLE ? 4 : 1); run++) {
			char name[16];
			struct maglev_backend backend = { .name = name, .weight = 1 };

			snprintf(name, sizeof(name), "10.0.0.%u", run);
			check_walk(&backend, sizes[s]);
		}
	}
}

/* Without a division, and without luck: where the rest is small, quotients are rounded down. */
static void test_multiplication(void **state)
{
	static const uint32_t sizes[] = { 2, 3, 251, SMALL_TABLE, LARGE_TABLE, 16777213 };
	uint64_t random = 10;

	(void)state;
	for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		uint32_t size = sizes[s];
		struct maglev_modulus modulus = maglev_modulus_of(size);

		for (uint32_t run = 0; run < 10000; run++) {
			uint32_t a = size - 1 - test_random_below(&random, size) % (1 + run);
			uint32_t b = size - 1 - test_random_below(&random, size) % (1 + run / 2);

			assert_int_equal(maglev_multiply(&modulus, a, b), (uint64_t)a * b % size);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_tables),
		cmocka_unit_test(test_middle_tables),
		cmocka_unit_test(test_default_table),
		cmocka_unit_test(test_large_table),
		cmocka_unit_test(test_more_backends_than_slots),
		cmocka_unit_test(test_permutations),
		cmocka_unit_test(test_multiplication),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
