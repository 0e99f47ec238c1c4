/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "statistics.h"

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

void statistics_sort(double *values, uint32_t count)
{
	if (count > 0)
		qsort(values, count, sizeof(*values), compare);
}

double statistics_percentile(const double *values, uint32_t count, double share)
{
	double rank = share * count;
	uint32_t index = (uint32_t)rank;

	/* The first whole number that is not below the rank, counted from 1. */
	if (index == rank && index > 0)
		index--;
	return values[index < count ? index : count - 1];
}

struct statistics statistics_of(double *values, uint32_t count)
{
	statistics_sort(values, count);
	return (struct statistics){
		.median = count % 2 == 1 ? values[count / 2]
					 : (values[count / 2 - 1] + values[count / 2]) / 2,
		.min = values[0],
		.max = values[count - 1],
	};
}

json_t *statistics_to_json(const struct statistics *statistics)
{
	return json_pack("{s:f, s:f, s:f}", "median", statistics->median, "min", statistics->min,
			 "max", statistics->max);
}

int print_document(json_t *document)
{
	int error;

	if (document == NULL) {
		fputs("fluxpin-bench: out of memory\n", stderr);
		return EXIT_FAILED;
	}
	error = json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(document);
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}
