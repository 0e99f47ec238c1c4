/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames that arrive: one per flow, the flows one after another and then again from the first.
 *
 * A flow's source address (10.0.0.0/8, or the same bits of 2001:db8::/96) and port are its number
 * under a bijection of 40 bits, so two flows never share them, and consecutive frames have nothing
 * in common: the order is a random permutation of the flows, the same in every pass. Nothing is
 * kept per flow. A stored frame per flow would stream through the caches and push out the table
 * that is to be measured; a NIC writes into the few frames of a UMEM only.
 */
#ifndef FLUXPIN_BENCH_WORKLOAD_H
#define FLUXPIN_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "mix.h"

#define WORKLOAD_MOST_FLOWS (UINT64_C(1) << 40)

/* Where frames go, and what their VIP listens on. Host order. */
#define WORKLOAD_VIP	    0xcb00710a /* 203.0.113.10 */
#define WORKLOAD_ELSEWHERE  0xcb007163 /* 203.0.113.99, nobody's VIP */
#define WORKLOAD_PORT	    443
#define WORKLOAD_FRAME_SIZE 80 /* room for the longest frame */

/* The MAC address of the NIC that they arrive at. */
extern const uint8_t workload_mac[6];

struct workload {
	uint8_t frame[WORKLOAD_FRAME_SIZE] __attribute__((aligned(16))); /* source 0.0.0.0:0 */
	uint32_t length;	/* of the frame; without the FCS of 4 bytes */
	uint32_t packet_length; /* of the IP packet in it */
	uint32_t checksum;	/* sum of the IPv4 header's words, raw */
	bool is_ipv6;
	uint64_t flows;
	uint64_t next;
};

void workload_initialise(struct workload *workload, const struct mix *mix, bool is_ipv6,
			 uint64_t flows);

/* Writes the next frame: workload->length bytes, WORKLOAD_FRAME_SIZE may be written. */
void workload_render(struct workload *workload, uint8_t *data);

#endif
