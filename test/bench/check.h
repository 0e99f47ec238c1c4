/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether what ran is what was to be measured: the counters of the measured packets against what
 * the mix says, so that a figure can never be of something else.
 */
#ifndef FLUXPIN_BENCH_CHECK_H
#define FLUXPIN_BENCH_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "mix.h"

struct check {
	const struct mix *mix;
	uint64_t packets;	/* through the pipeline, between the two reports */
	uint32_t frame_length;	/* as received */
	uint32_t packet_length; /* the IP packet in it */
	uint32_t header_length; /* that encapsulation puts in front of it, Ethernet included */
};

/* Says on standard error what is not as it has to be. Returns whether all is. */
bool check_reports(const struct check *check, const struct engine_report *before,
		   const struct engine_report *after);

#endif
