/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The BPF part of "fluxpin-bench traffic" in the kernel: loaded, attached to the interface, read.
 * It goes with the process, however that ends.
 */
#ifndef FLUXPIN_BENCH_TRAFFIC_RECEIVER_H
#define FLUXPIN_BENCH_TRAFFIC_RECEIVER_H

#include "traffic.h"
#include "traffic_options.h"

struct traffic_bpf;

struct traffic_receiver {
	struct traffic_bpf *skeleton;
	int link;
	uint32_t cpu_count;
	struct traffic_seen *by_cpu;
};

/*
 * Loads both programs, for frames that begin as `frame`, and attaches the receiving one to the
 * interface; then waits until it has a carrier, which some drivers drop for it. Says what fails and
 * returns false.
 */
bool traffic_receiver_open(struct traffic_receiver *receiver, const struct traffic_options *options,
			   const uint8_t *frame);

/* What was counted so far, of all CPUs. Returns false when it cannot be read. */
bool traffic_receiver_read(struct traffic_receiver *receiver, struct traffic_seen *seen);

/* Frames of all forms. */
uint64_t traffic_seen_frames(const struct traffic_seen *seen);

/*
 * The least latency that this share of those counted, from 0 to 1, did not exceed, as the end of
 * its bucket; but never more than the largest one. `count` is their number, at least 1.
 */
uint64_t traffic_seen_latency(const struct traffic_seen *seen, uint64_t count, double share);

void traffic_receiver_close(struct traffic_receiver *receiver);

#endif
