/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/rate_limit.h>

#include "packets.h"

#define SECOND UINT64_C(1000000000)

/* How many of `count` tokens are given at that time. */
static uint32_t take(struct rate_limit *limit, uint32_t rate, uint64_t now_ns, uint32_t count)
{
	uint32_t given = 0;

	for (uint32_t i = 0; i < count; i++)
		given += rate_limit_take(limit, rate, now_ns);
	return given;
}

/* A second's worth at once, whenever the first call is; then one per 1/rate seconds, not earlier.
 */
static void test_burst_and_refill(void **state)
{
	static const uint32_t rates[] = { 1, 2, 3, 10, 1000, 999999, 1000000 };
	static const uint64_t starts[] = { 0, 1, SECOND, UINT64_C(1) << 62 };

	(void)state;
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
			struct rate_limit limit = { 0 };
			uint32_t rate = rates[r];
			uint64_t now = starts[s];
			uint64_t wait = (SECOND + rate - 1) / rate; /* until a whole token */

			assert_int_equal(take(&limit, rate, now, rate + 5), rate);
			now += wait - 1;
			assert_false(rate_limit_take(&limit, rate, now));
			now++;
			assert_true(rate_limit_take(&limit, rate, now));
			assert_false(rate_limit_take(&limit, rate, now));
			/* Silence does not save up more than a second's worth. */
			now += 3600 * SECOND;
			assert_int_equal(take(&limit, rate, now, rate + 5), rate);
		}
	}
}

/* The highest rate, from a bucket that is all but empty: nothing overflows. */
static void test_highest_rate(void **state)
{
	const uint64_t all = RATE_LIMIT_MAX * SECOND;
	struct rate_limit limit = { .missing = all - SECOND, .updated_ns = SECOND };

	(void)state;
	assert_int_equal(take(&limit, RATE_LIMIT_MAX, SECOND, 5), 1);
	/* One a nanosecond. */
	assert_int_equal(take(&limit, RATE_LIMIT_MAX, SECOND + 7, 20), 7);
	assert_true(limit.missing == all);
	assert_true(rate_limit_take(&limit, RATE_LIMIT_MAX, 2 * SECOND + 7));
	assert_true(limit.missing == SECOND);
	/* So much later that what it regained would have more than 64 bits. */
	assert_true(rate_limit_take(&limit, RATE_LIMIT_MAX, 2 * SECOND + 7 + 18446744074));
	assert_true(limit.missing == SECOND);
	assert_true(rate_limit_take(&limit, RATE_LIMIT_MAX, UINT64_MAX));
	assert_true(limit.missing == SECOND);
}

static void test_none(void **state)
{
	struct rate_limit limit = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		assert_false(rate_limit_take(&limit, 0, i * SECOND));
	assert_true(rate_limit_take(&limit, 1, 100 * SECOND));
}

/* Over a long time the rate is kept to exactly, however the calls are spread. */
static void test_long_run(void **state)
{
	uint64_t random = 7;

	(void)state;
	for (uint32_t run = 0; run < 20; run++) {
		struct rate_limit limit = { 0 };
		uint32_t rate = 1 + test_random_below(&random, 5000), given = 0;
		uint64_t start = test_random(&random) >> 2, now = start, most;

		given += take(&limit, rate, now, rate);
		for (uint32_t i = 0; i < 200000; i++) {
			/* More often than there are tokens, with gaps below a second. */
			now += test_random_below(&random, (uint32_t)(SECOND / rate));
			given += rate_limit_take(&limit, rate, now);
		}
		most = rate + (uint64_t)((unsigned __int128)(now - start) * rate / SECOND);
		assert_in_range(given, most - 1, most);
	}
}

/* A clock that stands still or goes back pays nothing, and does not pay twice afterwards. */
static void test_clock(void **state)
{
	struct rate_limit limit = { 0 };

	(void)state;
	assert_int_equal(take(&limit, 10, 5 * SECOND, 20), 10);
	assert_int_equal(take(&limit, 10, 4 * SECOND, 20), 0);
	assert_int_equal(take(&limit, 10, 5 * SECOND, 20), 0);
	assert_int_equal(take(&limit, 10, 5 * SECOND + SECOND / 2, 20), 5);
	assert_int_equal(take(&limit, 10, 5 * SECOND, 20), 0);
	assert_int_equal(take(&limit, 10, 5 * SECOND + SECOND / 2, 20), 0);
}

/* A reload changes the rate: a lower one counts from its own second's worth, and a higher one at
 * once gives what it has more. */
static void test_rate_changes(void **state)
{
	struct rate_limit limit = { 0 };

	(void)state;
	assert_int_equal(take(&limit, 1000000, SECOND, 1000000), 1000000);
	assert_int_equal(take(&limit, 2, SECOND, 5), 0);
	assert_int_equal(take(&limit, 2, SECOND + SECOND / 2, 5), 1);
	assert_int_equal(take(&limit, 2, 3 * SECOND, 5), 2);
	assert_int_equal(take(&limit, 100, 3 * SECOND, 200), 98);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_refill),
		cmocka_unit_test(test_highest_rate),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_long_run),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_rate_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
