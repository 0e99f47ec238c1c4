/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables for people: columns by their widest cell, numbers to the right, nothing behind the last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "table.h"

static void assert_prints(struct table *table, const char *expected)
{
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	assert_non_null(stream);
	assert_int_equal(table_print(table, stream), 0);
	fclose(stream);
	assert_string_equal(text, expected);
	free(text);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	static const char *const headings[] = { "NAME", ">PACKETS", "STATE" };
	const char *const rows[][3] = { { "a", "1", "up" },
					{ "longer-name", "1234567890", "down" },
					{ "b", "20", "up, drained" } };
	struct table table;

	(void)state;
	table_start(&table, headings, 3);
	for (int i = 0; i < 3; i++)
		table_add(&table, rows[i]);
	assert_prints(&table, "NAME            PACKETS  STATE\n"
			      "a                     1  up\n"
			      "longer-name  1234567890  down\n"
			      "b                    20  up, drained\n");
}

static void empty_cells_are_dashes_and_utf8_counts_by_characters(void **state)
{
	static const char *const headings[] = { "A", "B", ">C" };
	const char *const rows[][3] = { { NULL, "", "1" }, { "\xc3\xa4\xc3\xb6", "x", "" } };
	struct table table;

	(void)state;
	table_start(&table, headings, 3);
	table_add(&table, rows[0]);
	table_add(&table, rows[1]);
	assert_prints(&table, "A   B  C\n"
			      "-   -  1\n"
			      "\xc3\xa4\xc3\xb6  x  -\n");
}

static void without_rows_nothing_is_printed(void **state)
{
	static const char *const headings[] = { "A" };
	struct table table;

	(void)state;
	table_start(&table, headings, 1);
	assert_prints(&table, "");
}

static void many_rows_are_kept(void **state)
{
	static const char *const headings[] = { ">N" };
	struct table table;
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	(void)state;
	table_start(&table, headings, 1);
	for (int i = 0; i < 1000; i++) {
		char number[16];
		const char *cell = number;

		snprintf(number, sizeof(number), "%d", i);
		table_add(&table, &cell);
	}
	assert_int_equal(table_print(&table, stream), 0);
	fclose(stream);
	assert_int_equal(length, 1001 * 4);
	assert_string_equal(text + 1000 * 4, "999\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(empty_cells_are_dashes_and_utf8_counts_by_characters),
		cmocka_unit_test(without_rows_nothing_is_printed),
		cmocka_unit_test(many_rows_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
