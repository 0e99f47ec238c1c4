/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pipeline with what the daemon's worker has around it: connection table, counters, a clock.
 * What the worker does besides, once a batch (reading the clock, RCU), is not in it.
 *
 * The clock is virtual: ENGINE_PACKET_NS a packet, so that a run does the same on every machine and
 * under an emulator: how often entries are stamped and how far the table's sweep gets.
 */
#ifndef FLUXPIN_BENCH_ENGINE_H
#define FLUXPIN_BENCH_ENGINE_H

#include <stdint.h>

#include <fluxpin/memory.h>
#include <fluxpin/pipeline.h>

#define ENGINE_PACKET_NS 100 /* 10 million packets a second */

struct engine {
	struct pipeline pipeline;
	struct connection_table connections;
	struct fragment_table fragments;
	struct memory fragment_memory;
	struct counters counters;
	struct memory connection_memory;
	struct memory vip_memory;
	struct memory backend_memory;
	uint64_t now_ns;
};

/* What the counters said at one time. */
struct engine_report {
	struct counters counters;
	uint64_t tracked; /* entries in the connection table */
	uint64_t evictions;
	uint64_t untracked;
};

/* Returns 0 or -ENOMEM (close it then, too). */
int engine_open(struct engine *engine, struct port *port, uint32_t capacity);
void engine_close(struct engine *engine);

/* Runs batches of at least that many packets. Returns how many it were: fewer when the port has no
 * more. */
uint64_t engine_run(struct engine *engine, const struct forwarding *forwarding, uint64_t packets);

/* The same with a pipeline that only receives and sends. */
uint64_t engine_run_empty(struct port *port, uint64_t packets);

void engine_read(const struct engine *engine, struct engine_report *report);

#endif
