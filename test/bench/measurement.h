/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measures the pipeline against the floor. Machines drift: another guest, a change of clock, a
 * timer. So floor and pipeline alternate in short repetitions, each pipeline is compared with the
 * floor right beside it, and the figure is the median of these differences.
 *
 * The clock is the thread's CPU time, as the scheduler counts it, in nanoseconds: what other
 * processes take of the CPU is not in it. By the wall clock, a busy machine multiplied the same
 * figure.
 */
#ifndef FLUXPIN_BENCH_MEASUREMENT_H
#define FLUXPIN_BENCH_MEASUREMENT_H

#include <stdint.h>

#include "engine.h"
#include "statistics.h"

#define MEASUREMENT_MOST_REPETITIONS 9999

struct measurement_options {
	uint32_t repetitions; /* 1 to MEASUREMENT_MOST_REPETITIONS */
	uint64_t packets;     /* of each repetition; 0: as many as take `seconds` */
	double seconds;	      /* altogether, of CPU time */
};

struct measurement {
	struct statistics floor_ns; /* per packet */
	struct statistics whole_ns;
	struct statistics net_ns;
	uint64_t packets; /* of each repetition, about */
	uint64_t total;	  /* through the pipeline */
};

/* CPU time of the calling thread. Nanoseconds. */
uint64_t measurement_now_ns(void);

/* Returns 0 or -ENOMEM. */
int measurement_run(const struct measurement_options *options, struct engine *engine,
		    const struct forwarding *forwarding, struct measurement *measurement);

#endif
