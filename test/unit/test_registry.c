/* SPDX-License-Identifier: BSD-2-Clause */
/* The registry of indexes: stable, reused late and under another generation, undone exactly. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fluxpin/registry.h>

#include "packets.h"

/* What one round gave to one name. */
struct grant {
	uint16_t index;
	uint16_t generation;
};

/* What a commit released. */
struct released {
	uint32_t count;
	bool indexes[REGISTRY_SIZE];
};

static void note_release(void *context, uint16_t index)
{
	struct released *released = context;

	assert_in_range(index, 0, REGISTRY_SIZE - 1);
	if (released->indexes[index])
		fail_msg("index %u is released twice", index);
	released->indexes[index] = true;
	released->count++;
}

static struct registry *open_registry(void)
{
	struct registry *registry = NULL;

	assert_int_equal(registry_open(&registry), 0);
	return registry;
}

static struct grant acquire(struct registry *registry, uint32_t number)
{
	struct grant grant = { .index = UINT16_MAX };
	char name[24];

	snprintf(name, sizeof(name), "name %u", number);
	if (registry_acquire(registry, name, &grant.index, &grant.generation) != 0)
		fail_msg("no index for %s", name);
	if (grant.index == UINT16_MAX || grant.index >= registry_limit(registry))
		fail_msg("index %u", grant.index);
	return grant;
}

static uint32_t commit(struct registry *registry)
{
	struct released *released = calloc(1, sizeof(*released));
	uint32_t count;

	assert_non_null(released);
	registry_commit(registry, note_release, released);
	count = released->count;
	free(released);
	return count;
}

static bool is_same(struct grant a, struct grant b)
{
	return a.index == b.index && a.generation == b.generation;
}

static void test_empty(void **state)
{
	struct registry *registry = open_registry();

	(void)state;
	assert_int_equal(registry_limit(registry), 0);
	registry_begin(registry);
	assert_int_equal(commit(registry), 0);
	registry_begin(registry);
	registry_abort(registry);
	assert_int_equal(registry_limit(registry), 0);
	registry_close(registry);
	registry_close(NULL);
}

static void test_indexes_stay(void **state)
{
	struct registry *registry = open_registry();
	struct grant grants[200];
	bool is_taken[REGISTRY_SIZE] = { false };

	(void)state;
	registry_begin(registry);
	for (uint32_t i = 0; i < 200; i++) {
		grants[i] = acquire(registry, i);
		assert_false(is_taken[grants[i].index]);
		is_taken[grants[i].index] = true;
		/* Twice in a round is the same. */
		assert_true(is_same(acquire(registry, i), grants[i]));
	}
	assert_int_equal(commit(registry), 0);
	assert_int_equal(registry_limit(registry), 200);
	for (uint32_t round = 0; round < 5; round++) {
		registry_begin(registry);
		for (uint32_t i = 200; i > 0; i--)
			assert_true(is_same(acquire(registry, i - 1), grants[i - 1]));
		assert_int_equal(commit(registry), 0);
	}
	registry_close(registry);
}

static void test_names_are_copied(void **state)
{
	struct registry *registry = open_registry();
	struct grant first, second;
	char name[] = "web\nweb-1\n10.1.0.11";

	(void)state;
	registry_begin(registry);
	assert_int_equal(registry_acquire(registry, name, &first.index, &first.generation), 0);
	memset(name, 'x', sizeof(name) - 1);
	assert_int_equal(registry_acquire(registry, name, &second.index, &second.generation), 0);
	assert_int_not_equal(first.index, second.index);
	assert_int_equal(registry_acquire(registry, "web\nweb-1\n10.1.0.11", &second.index,
					  &second.generation),
			 0);
	assert_int_equal(first.index, second.index);
	commit(registry);
	registry_close(registry);
}

static void test_commit_releases(void **state)
{
	struct released *released = calloc(1, sizeof(*released));
	struct registry *registry = open_registry();
	struct grant grants[10], again;

	(void)state;
	assert_non_null(released);
	registry_begin(registry);
	for (uint32_t i = 0; i < 10; i++)
		grants[i] = acquire(registry, i);
	registry_commit(registry, note_release, released);
	assert_int_equal(released->count, 0);

	registry_begin(registry);
	for (uint32_t i = 0; i < 10; i += 2)
		acquire(registry, i);
	/* Until the commit the old ones are still held. */
	again = acquire(registry, 100);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_not_equal(again.index, grants[i].index);
	registry_commit(registry, note_release, released);
	assert_int_equal(released->count, 5);
	for (uint32_t i = 1; i < 10; i += 2)
		assert_true(released->indexes[grants[i].index]);
	assert_int_equal(registry_limit(registry), again.index + 1);

	registry_begin(registry);
	assert_int_equal(commit(registry), 6);
	assert_int_equal(registry_limit(registry), 0);
	registry_close(registry);
	free(released);
}

/* A name that leaves and comes back is another one: its old connections are gone. */
static void test_generations(void **state)
{
	struct registry *registry = open_registry();
	uint16_t last[REGISTRY_SIZE] = { 0 };
	bool was_used[REGISTRY_SIZE] = { false };
	uint32_t reused = 0;

	(void)state;
	for (uint32_t round = 0; round < 5000; round++) {
		struct grant grant;

		registry_begin(registry);
		grant = acquire(registry, round % 3);
		if (was_used[grant.index]) {
			assert_int_not_equal(grant.generation, last[grant.index]);
			reused++;
		}
		was_used[grant.index] = true;
		last[grant.index] = grant.generation;
		commit(registry);
	}
	assert_true(reused > 1000);
	registry_close(registry);
}

/* With few names, an index that was given back is left alone for a thousand others. */
static void test_reuse_is_late(void **state)
{
	struct registry *registry = open_registry();
	uint32_t last_use[REGISTRY_SIZE] = { 0 };

	(void)state;
	for (uint32_t round = 1; round < 6000; round++) {
		struct grant grant;

		registry_begin(registry);
		acquire(registry, 999999);
		grant = acquire(registry, round);
		assert_in_range(grant.index, 0, 1023);
		if (last_use[grant.index] != 0)
			assert_true(round - last_use[grant.index] > 1000);
		last_use[grant.index] = round;
		commit(registry);
	}
	registry_close(registry);
}

static void test_abort_restores(void **state)
{
	struct registry *registry = open_registry();
	struct grant grants[50];
	uint64_t random = 18;

	(void)state;
	registry_begin(registry);
	for (uint32_t i = 0; i < 50; i++)
		grants[i] = acquire(registry, i);
	commit(registry);
	for (uint32_t round = 0; round < 200; round++) {
		uint32_t limit = registry_limit(registry);

		registry_begin(registry);
		for (uint32_t i = 0; i < 100; i++)
			acquire(registry, test_random_below(&random, 120));
		registry_abort(registry);
		assert_int_equal(registry_limit(registry), limit);
		if (round % 10 != 0)
			continue;
		registry_begin(registry);
		for (uint32_t i = 0; i < 50; i++)
			assert_true(is_same(acquire(registry, i), grants[i]));
		assert_int_equal(commit(registry), 0);
	}
	/* Nothing of the aborted rounds is left to release. */
	registry_begin(registry);
	assert_int_equal(commit(registry), 50);
	registry_close(registry);
}

static void test_exhaustion(void **state)
{
	struct registry *registry = open_registry();
	bool *is_taken = calloc(REGISTRY_SIZE, sizeof(*is_taken));
	uint16_t index = 77, generation = 78;
	struct grant first;

	(void)state;
	assert_non_null(is_taken);
	registry_begin(registry);
	for (uint32_t i = 0; i < REGISTRY_SIZE; i++) {
		struct grant grant = acquire(registry, i);

		if (is_taken[grant.index])
			fail_msg("index %u is given out twice", grant.index);
		is_taken[grant.index] = true;
	}
	assert_int_equal(registry_limit(registry), REGISTRY_SIZE);
	assert_int_equal(registry_acquire(registry, "one more", &index, &generation), -ENOSPC);
	assert_int_equal(index, 77);
	assert_int_equal(generation, 78);
	first = acquire(registry, 0);
	commit(registry);

	/* The old state still holds all but what a commit gives back. */
	registry_begin(registry);
	for (uint32_t i = 0; i < REGISTRY_SIZE; i++)
		if (i != 1234)
			acquire(registry, i);
	assert_int_equal(registry_acquire(registry, "one more", &index, &generation), -ENOSPC);
	registry_abort(registry);
	registry_begin(registry);
	for (uint32_t i = 0; i < REGISTRY_SIZE; i++)
		if (i != 1234)
			acquire(registry, i);
	assert_int_equal(commit(registry), 1);
	registry_begin(registry);
	assert_int_equal(registry_acquire(registry, "one more", &index, &generation), 0);
	assert_true(is_same(acquire(registry, 0), first));
	assert_int_equal(registry_acquire(registry, "two more", &index, &generation), -ENOSPC);
	assert_true(registry_is_full(registry));
	registry_abort(registry);
	free(is_taken);
	registry_close(registry);
}

/* ---- random rounds against a model ---- */

#define NAMES 5000

struct model_name {
	bool is_held;	  /* since a commit */
	bool is_acquired; /* in this round */
	struct grant grant;
};

static void test_against_model(void **state)
{
	struct model_name *names = calloc(NAMES, sizeof(*names));
	int32_t *holders = malloc(REGISTRY_SIZE * sizeof(*holders));
	struct registry *registry = open_registry();
	uint64_t random = 19;

	(void)state;
	assert_non_null(names);
	assert_non_null(holders);
	memset(holders, 0xff, REGISTRY_SIZE * sizeof(*holders));
	for (uint32_t round = 0; round < 300; round++) {
		uint32_t density = 1 + test_random_below(&random, 100), limit = 0, expected = 0;
		bool is_committed = test_random_below(&random, 3) > 0;

		registry_begin(registry);
		for (uint32_t i = 0; i < NAMES; i++) {
			struct grant grant;

			if (test_random_below(&random, 100) >= density)
				continue;
			grant = acquire(registry, i);
			if (names[i].is_held && !is_same(grant, names[i].grant))
				fail_msg("round %u: name %u has another index", round, i);
			if (!names[i].is_held && holders[grant.index] >= 0)
				fail_msg("round %u: index %u is held", round, grant.index);
			holders[grant.index] = (int32_t)i;
			names[i].grant = grant;
			names[i].is_acquired = true;
		}
		for (uint32_t i = 0; i < NAMES; i++) {
			struct model_name *name = &names[i];
			bool was_held = name->is_held;

			if (is_committed)
				name->is_held = name->is_acquired;
			expected += was_held && !name->is_held;
			if (!name->is_held && (was_held || name->is_acquired))
				holders[name->grant.index] = -1;
			name->is_acquired = false;
			if (name->is_held && name->grant.index >= limit)
				limit = name->grant.index + 1u;
		}
		if (is_committed)
			assert_int_equal(commit(registry), expected);
		else
			registry_abort(registry);
		assert_int_equal(registry_limit(registry), limit);
	}
	registry_close(registry);
	free(holders);
	free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_indexes_stay),
		cmocka_unit_test(test_names_are_copied),
		cmocka_unit_test(test_commit_releases),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_reuse_is_late),
		cmocka_unit_test(test_abort_restores),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
