/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of "fluxpin-bench traffic", as they are made at first. */
#ifndef FLUXPIN_BENCH_TRAFFIC_FRAME_H
#define FLUXPIN_BENCH_TRAFFIC_FRAME_H

#include <linux/types.h>

#include "traffic_options.h"

/*
 * Writes the frame of the first flow, without a time, TRAFFIC_LENGTH bytes. Returns false when the
 * interface's MAC address cannot be read, which is said.
 */
bool traffic_frame_make(const struct traffic_options *options, uint8_t *frame);

/* What traffic_set_flow needs of it. */
uint32_t traffic_frame_sum(const uint8_t *frame);

/* The number of the run that is in it. */
uint32_t traffic_frame_run(const uint8_t *frame);

#endif
