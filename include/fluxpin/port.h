/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port: where a pipeline's frames come from and go to. An AF_XDP socket, a pcap file and the
 * benchmark's memory are ports; the pipeline is the same on all of them.
 *
 *        receive, allocate              send (taken)
 *     port ------------> pipeline ----------------------> port
 *       ^                   |  deliver (borrowed: slow path, the frame stays with the pipeline)
 *       +-------------------+
 *           recycle, drop
 *
 * Ownership: a frame belongs to the pipeline from receive or allocate until send has taken it, or
 * recycle or drop has given it back. Every frame goes back by exactly one of the three, within the
 * same batch; but those of fragments that wait for the first one of their datagram go back in a
 * later batch, in pipeline_finish at the latest.
 *
 * Thread: all calls come from the one worker that owns the port.
 */
#ifndef FLUXPIN_PORT_H
#define FLUXPIN_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/verdict.h>

/* The most frames that receive gives; also the number of bits in deliver's answer. */
#define PORT_BATCH 64

/* The most frames that one call of send, recycle or drop is given: those received, fragments that
 * waited (FRAGMENT_MOST_HELD, and a batch of new ones), and as many that parts of packets took. */
#define PORT_MOST_FRAMES (12 * PORT_BATCH)

/* One Ethernet frame in the port's memory. */
struct frame {
	uint8_t *data;	   /* first byte of the Ethernet header */
	uint64_t address;  /* the port's own handle; the pipeline moves it along with data */
	uint32_t length;   /* bytes from data */
	uint32_t headroom; /* bytes in front of data that may be written */
};

struct port;

struct port_operations {
	/*
	 * Takes up to capacity (at most PORT_BATCH) frames that arrived, and does the port's
	 * housekeeping (reclaims sent frames, refills rings). Never waits. Returns the number.
	 */
	uint32_t (*receive)(struct port *port, struct frame *frames, uint32_t capacity);

	/*
	 * Queues frames for transmission, in order. Never waits. Returns how many were taken, from
	 * the front; the others stay with the caller.
	 */
	uint32_t (*send)(struct port *port, const struct frame *frames, uint32_t count);

	/*
	 * Hands copies of frames, bit for bit, to the kernel. Never waits. Returns a mask: bit i is
	 * set when frame i was accepted; count is at most PORT_BATCH. The frames stay with the
	 * caller.
	 */
	uint64_t (*deliver)(struct port *port, const struct frame *frames, uint32_t count);

	/*
	 * Gives a free frame, without contents: data points to headroom bytes behind its start, and
	 * length is the room from there. `origin` is the address of the received frame of whose
	 * packet it will carry a part; a port that tells frames apart keeps it. Never waits.
	 * Returns false when there is none.
	 */
	bool (*allocate)(struct port *port, uint64_t origin, struct frame *frame);
	/* Gives frames back that were delivered, or allocated and not needed. Never fails. */
	void (*recycle)(struct port *port, const struct frame *frames, uint32_t count);

	/* Gives dropped frames back, each with its reason (enum drop_reason). Never fails. */
	void (*drop)(struct port *port, const struct frame *frames, const uint8_t *reasons,
		     uint32_t count);

	/*
	 * Tells that a packet counts as dropped although its frame was taken by send: some of its
	 * parts were not. `origin` is the frame's address.
	 */
	void (*discard)(struct port *port, uint64_t origin, enum drop_reason reason);
};

/* The head of every port; the port's own state follows it. */
struct port {
	const struct port_operations *operations;
};

#endif
