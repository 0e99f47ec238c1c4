/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables for people: columns as wide as their widest cell, two spaces apart, numbers to the right.
 * The same on a terminal and in a pipe. Rows are kept until they are printed.
 */
#ifndef FLUXPIN_TABLE_H
#define FLUXPIN_TABLE_H

#include <stdint.h>
#include <stdio.h>

#define TABLE_MAX_COLUMNS 16

struct table {
	const char *const *headings; /* column_count of them; one that begins with ">" is of numbers
				      * and goes to the right */
	uint32_t column_count;
	char **cells; /* row after row */
	uint32_t row_count;
	int error; /* -ENOMEM: rows are missing */
};

/* Headings stay the caller's; at most TABLE_MAX_COLUMNS. */
void table_start(struct table *table, const char *const *headings, uint32_t column_count);

/* Adds a row of column_count cells, which are copied; NULL and "" print as "-". */
void table_add(struct table *table, const char *const *cells);

/* Prints headings and rows, if there are any, and releases the table. Returns 0 or -ENOMEM. */
int table_print(struct table *table, FILE *stream);

#endif
