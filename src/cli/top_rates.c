/* SPDX-License-Identifier: BSD-2-Clause */
/* What became more between two looks, by the second. */
#include "top.h"

#include <stdlib.h>
#include <string.h>

static int compare_keys(const void *a, const void *b)
{
	const struct top_row *const *left = a, *const *right = b;

	return strcmp((*left)->key, (*right)->key);
}

/* Rows by their keys: they are sorted by what is looked at, and there may be 65,000. NULL without
 * memory. */
static const struct top_row **index_rows(const struct top_rows *rows)
{
	const struct top_row **index = calloc(rows->count + 1, sizeof(*index));

	for (uint32_t i = 0; index != NULL && i < rows->count; i++)
		index[i] = &rows->rows[i];
	if (index != NULL)
		qsort(index, rows->count, sizeof(*index), compare_keys);
	return index;
}

static void set_rate(struct top_cell *cell, const struct top_cell *before, double seconds)
{
	/* A counter that went back began anew. */
	cell->rate = before != NULL && seconds > 0 && cell->value >= before->value
			     ? (cell->value - before->value) / seconds
			     : 0;
}

static void set_pane_rates(struct top_rows *rows, const struct top_rows *previous, double seconds)
{
	const struct top_row **index = index_rows(previous);

	for (uint32_t i = 0; index != NULL && i < rows->count; i++) {
		const struct top_row *row = &rows->rows[i];
		const struct top_row **before =
			bsearch(&row, index, previous->count, sizeof(*index), compare_keys);

		/* One that is new was 0 before. */
		for (uint32_t j = 0; j < TOP_MAX_COLUMNS && before != NULL; j++)
			set_rate(&rows->rows[i].cells[j], &(*before)->cells[j], seconds);
	}
	free(index);
}

void top_set_rates(struct top_look *look, const struct top_look *previous, double seconds)
{
	struct {
		struct top_cell *now;
		const struct top_cell *before;
	} totals[] = {
		{ &look->received, &previous->received },
		{ &look->received_bytes, &previous->received_bytes },
		{ &look->forwarded, &previous->forwarded },
		{ &look->forwarded_bytes, &previous->forwarded_bytes },
		{ &look->slow_path, &previous->slow_path },
		{ &look->answered, &previous->answered },
		{ &look->dropped, &previous->dropped },
	};

	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++)
		set_rate(totals[i].now, totals[i].before, seconds);
	for (int pane = 0; pane < TOP_PANE_COUNT; pane++)
		set_pane_rates(&look->panes[pane], &previous->panes[pane], seconds);
}
