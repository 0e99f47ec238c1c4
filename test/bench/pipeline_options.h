/* SPDX-License-Identifier: BSD-2-Clause */
/* What "fluxpin-bench pipeline" is asked for, and what it found. */
#ifndef FLUXPIN_BENCH_PIPELINE_OPTIONS_H
#define FLUXPIN_BENCH_PIPELINE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "balancer.h"
#include "measurement.h"
#include "mix.h"

struct pipeline_options {
	const struct mix *mix;
	const struct mix *expected;
	uint64_t flows;
	uint32_t capacity;
	uint32_t batch;
	uint32_t depth;
	uint32_t cpu;
	int inner, outer; /* indexes into pipeline_families; -1: by default */
	bool has_cpu;
	bool is_json;
	struct balancer_options balancer;
	struct measurement_options measurement;
};

/* "ipv4", "ipv6", NULL. */
extern const char *const pipeline_families[];

/* Reads the command line, as arguments_read; what was not given is filled in by default. */
int pipeline_options_read(int argc, char **argv, struct pipeline_options *options);

/* A measurement with what the counters said before and after it. */
struct pipeline_result {
	struct measurement measurement;
	struct engine_report before, after;
	enum memory_pages connection_pages;
};

/* Prints it, as a table or one JSON document. Returns an exit status. */
int pipeline_result_print(const struct pipeline_options *options,
			  const struct pipeline_result *result);

#endif
