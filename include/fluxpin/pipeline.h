/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pipeline: takes a batch from a port, decides on every packet and gives every frame back.
 *
 *     receive -> parse -> match VIP -> select backend -> encapsulate -> send
 *                  |          |              |                |           |
 *                drop     slow path        drop             drop        drop
 *
 * One loop per stage over the whole batch, so that the memory that the next stage needs is on its
 * way while the others of the batch are worked on (Maglev, section 3.2).
 *
 * Thread: one worker per pipeline. No system call (but those of the port), lock or allocation.
 */
#ifndef FLUXPIN_PIPELINE_H
#define FLUXPIN_PIPELINE_H

#include <stdint.h>

#include <fluxpin/connection_table.h>
#include <fluxpin/counters.h>
#include <fluxpin/forwarding.h>
#include <fluxpin/packet.h>
#include <fluxpin/port.h>
#include <fluxpin/rate_limit.h>

struct pipeline {
	struct port *port;
	struct connection_table *connections;
	struct counters *counters;
	struct traffic_counter *vips;	  /* by VIP index, 65536 of them: matched, as received */
	struct traffic_counter *backends; /* by backend index, 65536 of them: sent */
	uint32_t interface;		  /* ordinal into forwarding.interfaces */
	struct rate_limit echo_limit;	  /* zeroed; of answers to echo requests */
	struct rate_limit error_limit;	  /* of errors of our own */
	uint64_t generation;		  /* zeroed; of the forwarding whose settings are in use */
};

/*
 * Runs one batch. now_ns is a monotonic clock in nanoseconds. Returns the number of frames
 * received, 0 when there was nothing to do.
 */
uint32_t pipeline_run(struct pipeline *pipeline, const struct forwarding *forwarding,
		      uint64_t now_ns);

#endif
