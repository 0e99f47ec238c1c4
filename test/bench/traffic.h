/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The frames of "fluxpin-bench traffic", and what is counted of those that come back. Shared by the
 * program (traffic_*.c) and its BPF part (traffic.bpf.c).
 *
 * A frame is Ethernet, IPv4 without options, UDP without checksum. Its last bytes, which every
 * encapsulation keeps at the end, are the number of the run and the time at which it was to be
 * sent, on CLOCK_MONOTONIC (bpf_ktime_get_ns is the same clock); 0 where its latency does not
 * count.
 */
#ifndef FLUXPIN_BENCH_TRAFFIC_H
#define FLUXPIN_BENCH_TRAFFIC_H

#include <linux/types.h>

/* The number of a run is this and the process's id. What an earlier one sent, and whoever forwards
 * it held until now, is not counted. */
#define TRAFFIC_FIRST_RUN 0x6e697066

/* Bytes of a frame as it is in memory: the smallest one, 64 on the wire, with the FCS. */
#define TRAFFIC_LENGTH 60

/* Words of 8 bytes that differ from frame to frame: headers and what is in front of the tail. */
#define TRAFFIC_HEAD_WORDS 6

/* Where in a frame the header checksum, the source address and the source port are. */
#define TRAFFIC_CHECKSUM    24
#define TRAFFIC_SOURCE	    26
#define TRAFFIC_SOURCE_PORT 34

/* Flows take this many source ports of one address, from this one on; the next ones have the next
 * address, from 198.18.0.1 on (RFC 2544). */
#define TRAFFIC_PORT_BITS    15
#define TRAFFIC_FIRST_PORT   1024
#define TRAFFIC_FIRST_SOURCE 0xc6120001 /* host byte order */

struct traffic_tail {
	__u32 run;
	__u64 sent_ns;
} __attribute__((packed, aligned(4)));

/* What frames come back as. "l2" is plain. */
#define TRAFFIC_FORMS(X)  \
	X(PLAIN, "plain") \
	X(GRE, "gre")     \
	X(IPIP, "ipip")   \
	X(GUE, "gue")

enum traffic_form {
#define TRAFFIC_FORM_SYMBOL(symbol, label) TRAFFIC_##symbol,
	TRAFFIC_FORMS(TRAFFIC_FORM_SYMBOL)
#undef TRAFFIC_FORM_SYMBOL
	TRAFFIC_FORM_COUNT
};

/*
 * Latencies are counted in buckets that grow with them: 64 for each power of two, so that a bucket
 * is at most 1.6 % wide. Below 64 ns each has its own; from 2^37 ns, 137 s, on all have the last.
 */
#define TRAFFIC_STEP_BITS 6
#define TRAFFIC_STEPS	  (1 << TRAFFIC_STEP_BITS)
#define TRAFFIC_MOST_LOG  36
#define TRAFFIC_BUCKETS	  ((TRAFFIC_MOST_LOG - TRAFFIC_STEP_BITS + 2) * TRAFFIC_STEPS)

/* Counted by each CPU for itself. */
struct traffic_seen {
	__u64 frames[TRAFFIC_FORM_COUNT];
	__u64 bytes;
	__u64 most_ns;
	__u64 latencies[TRAFFIC_BUCKETS];
};

/* BPF has no instruction for it. */
static inline __u32 traffic_log2(__u64 value)
{
	__u32 log = 0;

	for (__u32 step = 32; step > 0; step /= 2) {
		if (value >> step != 0) {
			value >>= step;
			log += step;
		}
	}
	return log;
}

static inline __u32 traffic_bucket(__u64 ns)
{
	__u32 log;

	if (ns < TRAFFIC_STEPS)
		return (__u32)ns;
	log = traffic_log2(ns);
	if (log > TRAFFIC_MOST_LOG)
		return TRAFFIC_BUCKETS - 1;
	return (log - TRAFFIC_STEP_BITS + 1) * TRAFFIC_STEPS +
	       ((__u32)(ns >> (log - TRAFFIC_STEP_BITS)) & (TRAFFIC_STEPS - 1));
}

/* The most that a bucket counts, but for the last one. */
static inline __u64 traffic_bucket_most(__u32 bucket)
{
	__u32 log = bucket / TRAFFIC_STEPS, step = bucket % TRAFFIC_STEPS;

	if (log == 0)
		return bucket;
	return ((__u64)(TRAFFIC_STEPS + step + 1) << (log - 1)) - 1;
}

/*
 * Makes a frame one of a flow. `sum` is the sum of the header's 16-bit words, as they are in
 * memory, without checksum and source address.
 */
static inline void traffic_set_flow(void *frame, __u32 flow, __u32 sum)
{
	__u32 source = __builtin_bswap32(TRAFFIC_FIRST_SOURCE + (flow >> TRAFFIC_PORT_BITS));
	__u16 port = (__u16)(TRAFFIC_FIRST_PORT + (flow & ((1 << TRAFFIC_PORT_BITS) - 1)));

	sum += (source & 0xffff) + (source >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u16 *)((__u8 *)frame + TRAFFIC_CHECKSUM) = (__u16)~sum;
	*(__u16 *)((__u8 *)frame + TRAFFIC_SOURCE) = (__u16)source;
	*(__u16 *)((__u8 *)frame + TRAFFIC_SOURCE + 2) = (__u16)(source >> 16);
	*(__u16 *)((__u8 *)frame + TRAFFIC_SOURCE_PORT) = __builtin_bswap16(port);
}

#endif
