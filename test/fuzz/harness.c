/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/connection_table.h>
#include <fluxpin/pipeline.h>

#include "harness.h"

#define SECOND UINT64_C(1000000000)

/* Bits of the control byte. */
#define CONTROL_ENDS_BATCH(control) ((control)&3)
#define CONTROL_TIME(control)	    ((control) >> 2 & 3)
#define CONTROL_STATE(control)	    ((control) >> 4 & 3)
#define CONTROL_REFUSE		    0x40
#define CONTROL_PIPELINE(control)   ((control) >> 7)

/* Batches after which a pipeline must have run out of work: it takes PORT_BATCH frames in each. */
#define RUNS_MOST (FUZZ_RECORDS / PORT_BATCH + 4)

/* Few, so that an input can fill it. */
#define INBOX_SLOTS 4

#define FRAGMENT_TIMEOUT (2 * SECOND)

struct worker {
	struct fuzz_port port;
	struct connection_table connections;
	struct fragment_table fragments;
	struct inbox inbox;
	void *inbox_memory;
	struct counters counters;
	struct pipeline pipeline;
};

/* Made once; what an input leaves behind is cleared before the next. */
static struct {
	struct worker workers[FUZZ_PIPELINES];
	struct inbox *inboxes[FUZZ_PIPELINES];
	bool is_open;
	uint64_t now;
	/* Of all inputs, for the runner to see that the fuzzer got somewhere. */
	uint64_t forwarded, answered, slow_path, dropped;
} harness;

static void *allocate(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (memory == NULL)
		abort();
	return memory;
}

static void open_worker(struct worker *worker, uint32_t id)
{
	fuzz_port_open(&worker->port, id);
	worker->connections.buckets = allocate(connection_table_size(CONNECTION_MIN_CAPACITY));
	worker->fragments.datagrams = allocate(fragment_table_size(FRAGMENT_MIN_CAPACITY));
	worker->inbox_memory = allocate(inbox_size(INBOX_SLOTS, FUZZ_FRAME_MOST));
	harness.inboxes[id] = &worker->inbox;
	worker->pipeline = (struct pipeline){
		.port = &worker->port.port,
		.connections = &worker->connections,
		.fragments = &worker->fragments,
		.inboxes = harness.inboxes,
		.inbox_count = FUZZ_PIPELINES,
		.inbox_own = id,
		.counters = &worker->counters,
		.vips = allocate(fuzz_vip_limit() * sizeof(struct traffic_counter)),
		.backends = allocate(fuzz_backend_limit() * sizeof(struct traffic_counter)),
	};
}

static void clear_worker(struct worker *worker)
{
	void *memory = worker->connections.buckets;

	memset(memory, 0, connection_table_size(CONNECTION_MIN_CAPACITY));
	connection_table_initialise(&worker->connections, memory, CONNECTION_MIN_CAPACITY);
	fragment_table_initialise(&worker->fragments, worker->fragments.datagrams,
				  FRAGMENT_MIN_CAPACITY, FRAGMENT_MOST_HELD, FRAGMENT_TIMEOUT);
	inbox_initialise(&worker->inbox, worker->inbox_memory, INBOX_SLOTS, FUZZ_FRAME_MOST);
	/* The clock goes back, too. */
	worker->pipeline.echo_limit = worker->pipeline.error_limit = worker->pipeline.search_limit =
		(struct rate_limit){ 0 };
	worker->pipeline.wake_count = 0;
	memset(&worker->counters, 0, sizeof(worker->counters));
	memset(worker->pipeline.vips, 0, fuzz_vip_limit() * sizeof(struct traffic_counter));
	memset(worker->pipeline.backends, 0, fuzz_backend_limit() * sizeof(struct traffic_counter));
}

static void expect(const char *what, uint64_t counted, uint64_t seen)
{
	if (counted != seen)
		fuzz_violation("%s: %" PRIu64 " counted, %" PRIu64 " seen", what, counted, seen);
}

/* The counters of both pipelines together say what the ports saw. */
static void check_counters(bool is_finished)
{
	const struct fuzz_tally *tally = fuzz_ports_tally();
	struct counters sum = { 0 };
	uint64_t dropped = 0;

	for (int i = 0; i < FUZZ_PIPELINES; i++) {
		const struct counters *counters = &harness.workers[i].counters;

		sum.received.packets += counters->received.packets;
		sum.forwarded.packets += counters->forwarded.packets;
		sum.forwarded.bytes += counters->forwarded.bytes;
		sum.slow_path += counters->slow_path;
		sum.answered += counters->answered;
		sum.parts_sent += counters->parts_sent;
		for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
			sum.dropped[reason] += counters->dropped[reason];
	}
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
		expect(drop_reason_label((enum drop_reason)reason), sum.dropped[reason],
		       tally->dropped[reason]);
		dropped += sum.dropped[reason];
	}
	expect("slow path", sum.slow_path, tally->delivered);
	expect("forwarded and answered", sum.forwarded.packets + sum.answered, tally->sent);
	expect("all verdicts", sum.forwarded.packets + sum.answered + sum.slow_path + dropped,
	       tally->received - tally->held - tally->kept);
	/* Of a packet that does not find room in full, some frames are sent and none is counted. */
	if (tally->refused == 0) {
		expect("answers", sum.answered, tally->answer_frames);
		expect("frames forwarded", sum.forwarded.packets + sum.parts_sent,
		       tally->forward_frames);
		expect("bytes forwarded", sum.forwarded.bytes, tally->forward_bytes);
	}
	/* One that is handed over is counted by the worker that takes it. */
	if (sum.received.packets > tally->received ||
	    sum.received.packets < tally->received - tally->held)
		fuzz_violation("%" PRIu64 " received are counted, %" PRIu64 " were, %" PRIu64
			       " of them held",
			       sum.received.packets, tally->received, tally->held);
	if (is_finished) {
		expect("held in the end", 0, tally->held + tally->kept);
		expect("received", sum.received.packets, tally->received);
	}
}

static uint64_t fragments_held(void)
{
	uint64_t held = 0;

	for (int i = 0; i < FUZZ_PIPELINES; i++)
		held += harness.workers[i].fragments.held_count;
	return held;
}

static void run_batches(const struct fuzz_forwarding *forwarding)
{
	uint32_t runs = 0, count;

	fuzz_ports_set_way(forwarding->mtu, forwarding->keeps_tags);
	do {
		count = 0;
		for (int i = 0; i < FUZZ_PIPELINES; i++) {
			count += pipeline_run(&harness.workers[i].pipeline, forwarding->forwarding,
					      harness.now);
			fuzz_ports_check(fragments_held());
		}
		check_counters(false);
		if (++runs > RUNS_MOST)
			fuzz_violation("the pipelines do not come to an end");
	} while (count > 0);
}

static void print_verdicts(void)
{
	fprintf(stderr,
		"verdicts: forwarded %" PRIu64 " answered %" PRIu64 " slow path %" PRIu64
		" dropped %" PRIu64 "\n",
		harness.forwarded, harness.answered, harness.slow_path, harness.dropped);
}

static void add_verdicts(void)
{
	for (int i = 0; i < FUZZ_PIPELINES; i++) {
		const struct counters *counters = &harness.workers[i].counters;

		harness.forwarded += counters->forwarded.packets;
		harness.answered += counters->answered;
		harness.slow_path += counters->slow_path;
		for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
			harness.dropped += counters->dropped[reason];
	}
}

static void start(void)
{
	for (uint32_t i = 0; i < FUZZ_PIPELINES && !harness.is_open; i++)
		open_worker(&harness.workers[i], i);
	if (!harness.is_open)
		atexit(print_verdicts);
	harness.is_open = true;
	for (int i = 0; i < FUZZ_PIPELINES; i++)
		clear_worker(&harness.workers[i]);
	harness.now = 1000 * SECOND;
}

static void finish(void)
{
	fuzz_ports_refuse(false);
	run_batches(&fuzz_forwardings()[0]);
	for (int i = 0; i < FUZZ_PIPELINES; i++)
		pipeline_finish(&harness.workers[i].pipeline);
	fuzz_ports_check(0);
	check_counters(true);
	add_verdicts();
	fuzz_ports_clear();
}

/* What the control byte says of what happens behind the frame. */
static void follow(uint8_t control)
{
	fuzz_ports_refuse(control & CONTROL_REFUSE);
	run_batches(&fuzz_forwardings()[CONTROL_STATE(control)]);
	fuzz_ports_refuse(false);
	if (CONTROL_ENDS_BATCH(control) > 1)
		run_batches(&fuzz_forwardings()[CONTROL_STATE(control)]);
}

int fuzz_run(const uint8_t *data, size_t size, fuzz_build *build)
{
	static const uint64_t steps[] = { 0, SECOND / 1000, 2 * SECOND, 100 * SECOND };
	/* XDP's, and around what each encapsulation adds. */
	static const uint32_t headrooms[16] = { 256, 0,	 6,  19, 20, 23, 24, 31,
						32,  39, 40, 43, 44, 51, 52, 256 };
	static uint8_t frame[FUZZ_FRAME_MOST];
	uint32_t records = 0, frame_length;

	start();
	while (size >= 3 && records++ < FUZZ_RECORDS) {
		uint8_t control = data[0];
		uint32_t length = data[1] | (uint32_t)data[2] << 8;
		uint32_t headroom = headrooms[length >> 12];

		data += 3;
		size -= 3;
		length &= FUZZ_FRAME_MOST - 1;
		if (length > size)
			length = (uint32_t)size;
		harness.now += steps[CONTROL_TIME(control)];
		frame_length = build(data, length, frame);
		if (frame_length != FUZZ_NO_FRAME)
			fuzz_port_queue(&harness.workers[CONTROL_PIPELINE(control)].port, frame,
					frame_length, headroom);
		if (CONTROL_ENDS_BATCH(control))
			follow(control);
		data += length;
		size -= length;
	}
	finish();
	return 0;
}
