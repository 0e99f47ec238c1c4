/* SPDX-License-Identifier: BSD-2-Clause */
/* Indexes by name: kept over rounds, reused late and under another generation. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fluxpin/registry.h>

struct given {
	uint16_t index;
	uint16_t generation;
};

static struct registry *open_registry(void)
{
	struct registry *registry;

	assert_int_equal(registry_open(&registry), 0);
	return registry;
}

static struct given acquire(struct registry *registry, const char *name)
{
	struct given given;

	assert_int_equal(registry_acquire(registry, name, &given.index, &given.generation), 0);
	return given;
}

/* What the last commit released. */
struct released {
	uint32_t count;
	uint16_t last;
};

static void count_released(void *context, uint16_t index)
{
	struct released *released = context;

	released->count++;
	released->last = index;
}

static struct released commit(struct registry *registry)
{
	struct released released = { 0 };

	registry_commit(registry, count_released, &released);
	return released;
}

static void test_names_keep_their_index(void **state)
{
	struct registry *registry = open_registry();
	struct given a, b, again;

	(void)state;
	registry_begin(registry);
	a = acquire(registry, "a");
	b = acquire(registry, "b");
	assert_int_not_equal(a.index, b.index);
	assert_int_equal(commit(registry).count, 0);
	for (int round = 0; round < 5; round++) {
		registry_begin(registry);
		again = acquire(registry, "b");
		assert_int_equal(again.index, b.index);
		assert_int_equal(again.generation, b.generation);
		again = acquire(registry, "a");
		assert_int_equal(again.index, a.index);
		assert_int_equal(again.generation, a.generation);
		assert_int_equal(commit(registry).count, 0);
	}
	registry_close(registry);
}

static void test_what_nobody_asks_for_is_released_at_the_commit(void **state)
{
	struct registry *registry = open_registry();
	struct released released;
	struct given b;

	(void)state;
	registry_begin(registry);
	acquire(registry, "a");
	b = acquire(registry, "b");
	commit(registry);
	assert_int_equal(registry_limit(registry), 2);
	registry_begin(registry);
	acquire(registry, "a");
	released = commit(registry);
	assert_int_equal(released.count, 1);
	assert_int_equal(released.last, b.index);
	assert_int_equal(registry_limit(registry), 1);
	registry_close(registry);
}

/* A refused reload: new names go again, old ones stay, asked for or not. */
static void test_an_aborted_round_changes_nothing(void **state)
{
	struct registry *registry = open_registry();
	struct given a, b, again;

	(void)state;
	registry_begin(registry);
	a = acquire(registry, "a");
	b = acquire(registry, "b");
	commit(registry);
	registry_begin(registry);
	acquire(registry, "c");
	acquire(registry, "a");
	registry_abort(registry);
	assert_int_equal(registry_limit(registry), 2);
	registry_begin(registry);
	again = acquire(registry, "a");
	assert_int_equal(again.index, a.index);
	assert_int_equal(again.generation, a.generation);
	again = acquire(registry, "b");
	assert_int_equal(again.index, b.index);
	assert_int_equal(again.generation, b.generation);
	assert_int_equal(commit(registry).count, 0);
	registry_close(registry);
}

/* A connection entry of a removed backend must not fit the one that gets its index next. */
static void test_an_index_is_reused_late_and_under_another_generation(void **state)
{
	struct registry *registry = open_registry();
	struct given first, given;
	uint32_t others = 0;
	char name[16];

	(void)state;
	registry_begin(registry);
	first = acquire(registry, "first");
	commit(registry);
	do {
		snprintf(name, sizeof(name), "%u", others++);
		registry_begin(registry);
		given = acquire(registry, name);
		commit(registry);
		assert_true(others < 70000);
	} while (given.index != first.index);
	assert_true(others > 1000);
	assert_int_not_equal(given.generation, first.generation);
	registry_begin(registry);
	given = acquire(registry, "first");
	commit(registry);
	assert_true(given.index != first.index || given.generation != first.generation);
	registry_close(registry);
}

static void test_it_fills_up_and_says_so(void **state)
{
	struct registry *registry = open_registry();
	bool *used = calloc(65536, sizeof(*used));
	struct given given;
	uint32_t count = 0;
	char name[16];

	(void)state;
	assert_non_null(used);
	registry_begin(registry);
	for (;;) {
		snprintf(name, sizeof(name), "%u", count);
		if (registry_acquire(registry, name, &given.index, &given.generation) != 0)
			break;
		assert_false(used[given.index]);
		used[given.index] = true;
		count++;
	}
	assert_int_equal(count, REGISTRY_SIZE);
	assert_int_equal(registry_acquire(registry, name, &given.index, &given.generation),
			 -ENOSPC);
	registry_abort(registry);
	assert_int_equal(registry_limit(registry), 0);
	free(used);
	registry_close(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_keep_their_index),
		cmocka_unit_test(test_what_nobody_asks_for_is_released_at_the_commit),
		cmocka_unit_test(test_an_aborted_round_changes_nothing),
		cmocka_unit_test(test_an_index_is_reused_late_and_under_another_generation),
		cmocka_unit_test(test_it_fills_up_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
