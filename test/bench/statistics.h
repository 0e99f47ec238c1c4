/* SPDX-License-Identifier: BSD-2-Clause */
/* Median, least and most of repetitions, and documents made of them. */
#ifndef FLUXPIN_BENCH_STATISTICS_H
#define FLUXPIN_BENCH_STATISTICS_H

#include <stdint.h>

#include <jansson.h>

struct statistics {
	double median;
	double min;
	double max;
};

/* The least one first. */
void statistics_sort(double *values, uint32_t count);

/* Of `count` sorted values, at least one: the least that so many of them, 0 to 1, do not exceed. */
double statistics_percentile(const double *values, uint32_t count, double share);

/* Of `count` values, at least one, which are sorted thereby. */
struct statistics statistics_of(double *values, uint32_t count);

/* { "median": ..., "min": ..., "max": ... }; a new reference. */
json_t *statistics_to_json(const struct statistics *statistics);

/* Prints a document to standard output and releases it; NULL stands for one that could not be made.
 * Returns an exit status. */
int print_document(json_t *document);

#endif
