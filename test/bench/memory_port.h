/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port without a NIC: as many frames as the daemon's UMEM, of its size and layout, on the same
 * kind of memory. Frames go round as they do on an AF_XDP socket: free -> RX ring -> pipeline ->
 * free, first in, first out.
 *
 * The RX ring is kept full, as under load: what receive takes out, it puts in again behind, written
 * afresh, so that a packet is as cold as the ring is long, as one that the NIC has written into the
 * last-level cache. What encapsulation wrote over a frame needs no mending, therefore. All of
 * this is the port's cost, which a run with an empty pipeline has just as well (the floor).
 *
 * Frames are sent by going back to the free ones; to deliver one to the kernel costs nothing.
 */
#ifndef FLUXPIN_BENCH_MEMORY_PORT_H
#define FLUXPIN_BENCH_MEMORY_PORT_H

#include <stdint.h>

#include <fluxpin/memory.h>
#include <fluxpin/port.h>

#include "workload.h"

#define MEMORY_PORT_FRAMES 8192 /* umem.frames, a power of two */

struct memory_port {
	struct port port;
	struct workload workload;
	struct memory memory;
	uint32_t batch; /* frames that each receive gives */
	uint32_t rx_head, rx_tail;
	uint32_t free_head, free_tail;
	uint64_t rx[MEMORY_PORT_FRAMES];   /* addresses of the frames' data; all are as long */
	uint64_t free[MEMORY_PORT_FRAMES]; /* addresses of frames */
} __attribute__((aligned(64)));

/* `depth`: frames in the RX ring, batch to MEMORY_PORT_FRAMES / 2. The workload is copied. Returns
 * 0 or -ENOMEM. */
int memory_port_open(struct memory_port *port, const struct workload *workload, uint32_t batch,
		     uint32_t depth);
void memory_port_close(struct memory_port *port);

/* Frames that are neither free nor in the RX ring: none between two batches. */
uint32_t memory_port_missing(const struct memory_port *port);

#endif
