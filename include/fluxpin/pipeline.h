/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pipeline: takes a batch from a port, decides on every packet and gives every frame back.
 *
 *     receive -> parse -> match VIP -> select backend -> encapsulate -> send
 *                  |          |              |                |           |
 *                drop     slow path        drop             drop        drop
 *
 * Fragments to a VIP are the business of one worker of the NIC, chosen by addresses and protocol:
 * the others put copies into its inbox. Those that come before the first of their datagram wait in
 * the fragment table. ICMP errors about a tracked flow go from worker to worker until one has the
 * flow on record.
 *
 * One loop per stage over the whole batch, so that the memory that the next stage needs is on its
 * way while the others of the batch are worked on (Maglev, section 3.2).
 *
 * Thread: one worker per pipeline. No system call (but those of the port), lock or allocation.
 */
#ifndef FLUXPIN_PIPELINE_H
#define FLUXPIN_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/connection_table.h>
#include <fluxpin/counters.h>
#include <fluxpin/flow.h>
#include <fluxpin/forwarding.h>
#include <fluxpin/fragment_table.h>
#include <fluxpin/inbox.h>
#include <fluxpin/packet.h>
#include <fluxpin/port.h>
#include <fluxpin/rate_limit.h>

struct pipeline {
	struct port *port;
	struct connection_table *connections;
	struct fragment_table *fragments;
	struct counters *counters;
	struct traffic_counter *vips;	  /* by VIP index, 65536 of them: matched, as received */
	struct traffic_counter *backends; /* by backend index, 65536 of them: sent */
	uint32_t interface;		  /* ordinal into forwarding.interfaces */
	struct rate_limit echo_limit;	  /* zeroed; of answers to echo requests */
	struct rate_limit error_limit;	  /* of errors of our own */
	struct rate_limit search_limit;	  /* of errors whose flow other workers are to look for */
	struct rate_limit fragment_limit; /* of first fragments, likewise */
	struct inbox *const *inboxes;	  /* of the NIC's workers, in one order; NULL: one alone */
	uint32_t inbox_count;
	uint32_t inbox_own; /* which of them is this worker's */
	/* Workers, by number of their inbox, that sleep and have got something in the last batch:
	 * the caller wakes them and sets the count to 0. */
	uint16_t wakes[PORT_BATCH];
	uint32_t wake_count;
	uint64_t generation;   /* zeroed; of the forwarding whose settings are in use */
	struct flow_seed seed; /* of that forwarding's hash_seed */
};

/*
 * Runs one batch. now_ns is a monotonic clock in nanoseconds. Returns the number of frames
 * received and taken from the inbox, 0 when there was nothing to do.
 */
uint32_t pipeline_run(struct pipeline *pipeline, const struct forwarding *forwarding,
		      uint64_t now_ns);

/*
 * Ends: fragments that still wait, and what is left in the inbox, are dropped and counted. No
 * worker hands anything over any more. Thread: the worker's, or any when it has ended.
 */
void pipeline_finish(struct pipeline *pipeline);

/*
 * Runs every stage but receiving and sending for one packet, whose frame is the caller's and must
 * not exceed what any destination's MTU holds: the port is not used and may be NULL. On return the
 * packet has its verdict, reason and frame as they would be sent. Returns whether a VIP takes the
 * packet: vip and hash are then set, and backend, unless the verdict is a drop for NO_BACKEND.
 */
bool pipeline_trace(struct pipeline *pipeline, const struct forwarding *forwarding, uint64_t now_ns,
		    struct packet *packet);

#endif
