/* SPDX-License-Identifier: BSD-2-Clause */
/* Rise, fall, damping and jitter, on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../src/control/health_internal.h"

#define SECOND UINT64_C(1000000000)

static const struct health_check_configuration usual = {
	.interval_ns = 2 * SECOND,
	.rise = 2,
	.fall = 3,
};

/* A backend and its clock, which each probe moves by an interval. */
struct backend {
	struct health_check_configuration check;
	struct health_machine machine;
	uint64_t now_ns;
};

static struct backend new_backend(bool is_up)
{
	return (struct backend){ .check = usual, .machine.is_up = is_up, .now_ns = 1000 * SECOND };
}

static bool probe(struct backend *backend, bool is_good)
{
	backend->now_ns += backend->check.interval_ns;
	return health_machine_take(&backend->machine, &backend->check, is_good, backend->now_ns);
}

/* Good probes in a row until it is up. */
static uint32_t rise(struct backend *backend)
{
	uint32_t count = 1;

	while (!probe(backend, true))
		count++;
	assert_true(backend->machine.is_up);
	return count;
}

static void fall(struct backend *backend)
{
	for (uint32_t i = 1; i < backend->check.fall; i++)
		assert_false(probe(backend, false));
	assert_true(probe(backend, false));
	assert_false(backend->machine.is_up);
}

static void test_rise_and_fall(void **state)
{
	struct backend backend = new_backend(true);

	(void)state;
	assert_false(probe(&backend, true));
	fall(&backend);
	assert_int_equal(backend.machine.since_ns, backend.now_ns);
	assert_int_equal(backend.machine.flaps, 1);
	assert_false(probe(&backend, false));
	assert_int_equal(rise(&backend), 2);
	assert_int_equal(backend.machine.since_ns, backend.now_ns);
	assert_int_equal(backend.machine.flaps, 1);
}

static void test_only_probes_in_a_row_count(void **state)
{
	struct backend backend = new_backend(true);

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_false(probe(&backend, false));
		assert_false(probe(&backend, false));
		assert_false(probe(&backend, true));
	}
	fall(&backend);
	for (int i = 0; i < 10; i++) {
		assert_false(probe(&backend, true));
		assert_false(probe(&backend, false));
	}
	assert_int_equal(rise(&backend), 2);
}

static void test_starts_down(void **state)
{
	struct backend backend = new_backend(false);

	(void)state;
	assert_int_equal(rise(&backend), 2);
	assert_int_equal(backend.machine.flaps, 0);
}

static void test_one_each(void **state)
{
	struct backend backend = new_backend(true);

	(void)state;
	backend.check.rise = backend.check.fall = 1;
	assert_true(probe(&backend, false));
	assert_true(probe(&backend, true));
	assert_true(probe(&backend, false));
}

/* 2, 2, 4, 8, ... good probes, up to those of five minutes. */
static void test_damping_doubles(void **state)
{
	static const uint32_t expected[] = { 2, 2, 4, 8, 16, 32, 64 };
	struct backend backend = new_backend(true);

	(void)state;
	for (int i = 0; i < 7; i++) {
		fall(&backend);
		assert_int_equal(health_machine_needed(&backend.machine, &backend.check),
				 expected[i]);
		assert_int_equal(rise(&backend), expected[i]);
	}
	assert_int_equal(backend.machine.flaps, 7);
}

static void test_damping_has_a_limit(void **state)
{
	static const uint64_t intervals[] = { SECOND / 100, SECOND,	  2 * SECOND,
					      299 * SECOND, 301 * SECOND, 3600 * SECOND };

	(void)state;
	for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
		struct backend backend = new_backend(true);
		uint64_t started_ns;

		backend.check.interval_ns = intervals[i];
		/* As if they came at once: none is forgotten. */
		backend.machine.falls = 1000;
		backend.machine.last_fall_ns = backend.now_ns;
		fall(&backend);
		assert_true(backend.machine.falls <= 1000);
		started_ns = backend.now_ns;
		rise(&backend);
		assert_true(backend.now_ns - started_ns <= HEALTH_DAMPING_MAX_NS ||
			    backend.now_ns - started_ns == 2 * intervals[i]);
	}
}

/* One that flaps for ever is not held down for ever. */
static void test_damping_is_bounded_for_ever(void **state)
{
	struct backend backend = new_backend(true);
	uint32_t most = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint32_t needed;

		fall(&backend);
		needed = rise(&backend);
		most = needed > most ? needed : most;
	}
	assert_int_equal(most, HEALTH_DAMPING_MAX_NS / backend.check.interval_ns);
}

static void test_damping_is_forgotten(void **state)
{
	struct backend backend = new_backend(true);

	(void)state;
	for (int i = 0; i < 4; i++) {
		fall(&backend);
		rise(&backend);
	}
	backend.now_ns += HEALTH_FORGET_NS;
	fall(&backend);
	/* Four less one, and this one. */
	assert_int_equal(rise(&backend), 8);
	backend.now_ns += 10 * HEALTH_FORGET_NS;
	fall(&backend);
	assert_int_equal(rise(&backend), 2);
}

static void test_is_damped(void **state)
{
	struct backend backend = new_backend(true);

	(void)state;
	for (int i = 0; i < 3; i++) {
		fall(&backend);
		assert_false(health_machine_is_damped(&backend.machine, &backend.check));
		if (i < 2)
			rise(&backend);
	}
	probe(&backend, true);
	assert_false(health_machine_is_damped(&backend.machine, &backend.check));
	probe(&backend, true);
	assert_true(health_machine_is_damped(&backend.machine, &backend.check));
	probe(&backend, false);
	assert_false(health_machine_is_damped(&backend.machine, &backend.check));
	assert_int_equal(rise(&backend), 4);
	assert_false(health_machine_is_damped(&backend.machine, &backend.check));
}

static void test_jitter(void **state)
{
	static const uint64_t intervals[] = { SECOND / 100, 2 * SECOND, 3600 * SECOND };
	uint64_t random = 1;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		uint64_t interval = intervals[i], least = UINT64_MAX, most = 0, first_most = 0;
		double sum = 0;

		for (int j = 0; j < 100000; j++) {
			uint64_t delay, first;

			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			delay = health_next_delay(interval, random >> 8);
			first = health_first_delay(interval, random >> 8);
			assert_true(first < interval);
			assert_true(health_align(delay, interval) <= delay);
			assert_true(delay - health_align(delay, interval) <
				    interval / HEALTH_STARTS);
			assert_true(health_align(delay, interval) % (interval / HEALTH_STARTS) ==
				    0);
			least = delay < least ? delay : least;
			most = delay > most ? delay : most;
			first_most = first > first_most ? first : first_most;
			sum += (double)delay;
		}
		assert_true(least >= interval / 100 * 95 && least < interval / 1000 * 951);
		assert_true(most <= interval && most > interval / 1000 * 999);
		assert_true(first_most > interval / 100 * 99);
		assert_true(sum / 100000 > (double)interval * 0.974 &&
			    sum / 100000 < (double)interval * 0.976);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rise_and_fall),
		cmocka_unit_test(test_only_probes_in_a_row_count),
		cmocka_unit_test(test_starts_down),
		cmocka_unit_test(test_one_each),
		cmocka_unit_test(test_damping_doubles),
		cmocka_unit_test(test_damping_has_a_limit),
		cmocka_unit_test(test_damping_is_bounded_for_ever),
		cmocka_unit_test(test_damping_is_forgotten),
		cmocka_unit_test(test_is_damped),
		cmocka_unit_test(test_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
