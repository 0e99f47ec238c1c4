/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files xsk_port*.c share. */
#ifndef FLUXPIN_XSK_PORT_INTERNAL_H
#define FLUXPIN_XSK_PORT_INTERNAL_H

#include <xdp/xsk.h>

#include <fluxpin/memory.h>
#include <fluxpin/xsk_port.h>

struct xsk_port {
	struct port port;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod tx;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion;
	uint8_t *frames;
	uint64_t *free; /* stack of frame addresses: the one used last is warm in the cache */
	uint32_t free_count;
	uint32_t fill_count; /* given to the kernel to receive into, not yet received */
	uint32_t hand_count;
	uint32_t tx_count; /* given to the kernel to send, not yet completed */
	uint32_t kick_age; /* rounds since the kernel was last told to send */
	uint32_t frame_count;
	uint32_t frame_size;
	uint32_t fill_size;
	int descriptor;
	int tap;
	int backoff_ms; /* sleep while frames are unsent */
	bool zero_copy;
	bool is_busy_polling;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct memory memory;
	/* FLUXPIN_LEDGER only: */
	uint8_t *places;   /* enum place per frame */
	uint64_t *arrived; /* per frame in hand: address behind the packet that arrived in it */
	uint64_t sent_in_place;
};

/* The packet path of such a port. */
extern const struct port_operations xsk_port_operations;

/* Gives free frames to the kernel to receive into. */
void xsk_port_refill(struct xsk_port *port);

/*
 * What XDP_USE_NEED_WAKEUP asks for, though busy polling is on: recvfrom and sendto leave the
 * wake-up of the driver out then (xsk_no_wakeup, net/xdp/xsk.c), poll does not.
 */
void xsk_port_wake_driver(struct xsk_port *port);

#endif
