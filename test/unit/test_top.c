/* SPDX-License-Identifier: BSD-2-Clause */
/* Rates of fluxpin top, from made-up replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../src/cli/top.h"

#define BACKENDS 5000

/* Of the i-th backend after so many looks. */
static json_int_t packets(int i, int look)
{
	return (json_int_t)look * (i * 7919 % BACKENDS);
}

/* Backends from `first` on, in the order of their numbers. */
static struct top_look *look_at(int first, int look, const struct top_look *previous)
{
	json_t *status =
		json_pack("{s:I, s:I, s:{}, s:{s:{}}}", "uptime_ms", (json_int_t)(1000 * look),
			  "clock_ms", (json_int_t)(1000 * look), "workers", "totals", "drops");
	json_t *vips = json_pack("{s:[]}", "vips"), *array = json_array(), *backends;
	struct top_look *made;

	for (int i = first; i < BACKENDS; i++)
		json_array_append_new(array, json_pack("{s:s, s:o, s:I}", "pool", "web", "name",
						       json_sprintf("b%d", i), "packets",
						       packets(i, look)));
	backends = json_pack("{s:o}", "backends", array);
	made = top_read(status, vips, backends, previous);
	assert_non_null(made);
	json_decref(status);
	json_decref(vips);
	json_decref(backends);
	return made;
}

static void test_rates_are_of_their_rows_in_any_order(void **state)
{
	const struct top_view view = { .sort = { 0, 3, 3, 1 } };
	struct top_look *before = look_at(1, 1, NULL), *now;
	const struct top_rows *rows;

	(void)state;
	top_sort(before, &view);
	now = look_at(0, 2, before);
	rows = &now->panes[TOP_BACKENDS];
	assert_int_equal(rows->count, BACKENDS);
	/* The first is new, so that all others have moved by one place. */
	assert_true(rows->rows[0].cells[3].rate == 0);
	for (int i = 1; i < BACKENDS; i++)
		assert_true(rows->rows[i].cells[3].rate == (double)packets(i, 1));
	top_sort(now, &view);
	for (int i = 1; i < BACKENDS; i++)
		assert_true(rows->rows[i - 1].cells[3].rate >= rows->rows[i].cells[3].rate);
	top_release(before);
	top_release(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates_are_of_their_rows_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
