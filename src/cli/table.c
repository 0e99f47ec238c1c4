/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

void table_start(struct table *table, const char *const *headings, uint32_t column_count)
{
	*table = (struct table){ .headings = headings, .column_count = column_count };
}

void table_add(struct table *table, const char *const *cells)
{
	size_t used = (size_t)table->row_count * table->column_count;
	char **grown;

	if (table->error != 0)
		return;
	/* Grown whenever the number of rows reaches a power of two. */
	if ((table->row_count & (table->row_count - 1)) == 0) {
		size_t rows = table->row_count == 0 ? 1 : 2 * (size_t)table->row_count;

		grown = reallocarray(table->cells, rows * table->column_count, sizeof(*grown));
		if (grown == NULL) {
			table->error = -ENOMEM;
			return;
		}
		table->cells = grown;
	}
	for (uint32_t i = 0; i < table->column_count; i++) {
		const char *cell = cells[i] != NULL && *cells[i] != '\0' ? cells[i] : "-";

		table->cells[used + i] = strdup(cell);
		if (table->cells[used + i] == NULL)
			table->error = -ENOMEM;
	}
	table->row_count++;
}

static bool is_right(const char *heading)
{
	return heading[0] == '>';
}

static const char *heading_text(const char *heading)
{
	return is_right(heading) ? heading + 1 : heading;
}

/* Characters of UTF-8 text: what it takes in a column. */
static int text_width(const char *text)
{
	int width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void print_cell(const char *text, int width, bool right, bool is_last, FILE *stream)
{
	int padding = width - text_width(text);

	if (right)
		fprintf(stream, "%*s", padding, "");
	fputs(text, stream);
	if (is_last)
		fputc('\n', stream);
	else
		fprintf(stream, "%*s", right ? 2 : padding + 2, "");
}

static void print_rows(const struct table *table, FILE *stream)
{
	int widths[TABLE_MAX_COLUMNS];

	for (uint32_t i = 0; i < table->column_count; i++) {
		widths[i] = text_width(heading_text(table->headings[i]));
		for (uint32_t row = 0; row < table->row_count; row++) {
			int width = text_width(table->cells[(size_t)row * table->column_count + i]);

			widths[i] = width > widths[i] ? width : widths[i];
		}
	}
	for (uint32_t i = 0; i < table->column_count; i++)
		print_cell(heading_text(table->headings[i]), widths[i],
			   is_right(table->headings[i]), i + 1 == table->column_count, stream);
	for (uint32_t row = 0; row < table->row_count; row++)
		for (uint32_t i = 0; i < table->column_count; i++)
			print_cell(table->cells[(size_t)row * table->column_count + i], widths[i],
				   is_right(table->headings[i]), i + 1 == table->column_count,
				   stream);
}

int table_print(struct table *table, FILE *stream)
{
	int error = table->error;

	if (error == 0 && table->row_count > 0)
		print_rows(table, stream);
	for (size_t i = 0; i < (size_t)table->row_count * table->column_count; i++)
		free(table->cells[i]);
	free(table->cells);
	table->cells = NULL;
	table->row_count = 0;
	return error;
}
