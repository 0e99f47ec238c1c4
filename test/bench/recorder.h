/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port in front of a memory port that notes to which backend each flow's packet was sent, by the
 * outer destination address of the frame itself (balancer.h). For GRE and IPIP over IPv4.
 */
#ifndef FLUXPIN_BENCH_RECORDER_H
#define FLUXPIN_BENCH_RECORDER_H

#include <stdint.h>

#include "memory_port.h"

struct recorder {
	struct port port;
	struct memory_port *inner;
	uint16_t *backends; /* by flow, of the packet sent last */
	uint32_t flows;	    /* of the workload */
	uint32_t next;	    /* the flow of the next packet sent */
};

/* `backends` is the caller's, `flows` of them, and may be changed between two runs. */
void recorder_initialise(struct recorder *recorder, struct memory_port *inner, uint16_t *backends,
			 uint32_t flows);

#endif
