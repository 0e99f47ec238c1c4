/* SPDX-License-Identifier: BSD-2-Clause */
/* The packet path: all that a worker does with its socket. */
#include "xsk_port_internal.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

#include <fluxpin/counters.h>
#include <fluxpin/tap.h>

/* In copy mode before Linux 6.17 one sendto sends at most 32 frames (TX_BATCH_SIZE, net/xdp/xsk.c),
 * so a batch of 64 needs two, and one with all parts and fragments that waited 24; one more takes
 * up what an earlier batch left. */
#define KICKS_PER_BATCH (PORT_MOST_FRAMES / 32 + 1)

/* A driver in zero-copy that was told to send goes on by itself, and asks to be told of what comes
 * later all the time. So each batch is mentioned once; but once more after this many rounds, half
 * of what a worker spins before it sleeps, in case that the call failed. */
#define ROUNDS_BEFORE_KICK 16

enum place {
	PLACE_FREE,
	PLACE_FILL,
	PLACE_HAND,
	PLACE_TX,
};

static struct xsk_port *from_port(struct port *port)
{
	return (struct xsk_port *)((char *)port - offsetof(struct xsk_port, port));
}

/* Records that a frame moves. A move from elsewhere is a bug of ours: a frame was lost or doubled.
 */
static void move(struct xsk_port *port, uint64_t address, enum place from, enum place to)
{
#ifdef FLUXPIN_LEDGER
	uint64_t frame = address / port->frame_size;

	assert(frame < port->frame_count);
	assert(port->places[frame] == from);
	port->places[frame] = (uint8_t)to;
#else
	(void)port;
	(void)address;
	(void)from;
	(void)to;
#endif
}

/* Notes where the packet of a frame in hand ends; 0 for a frame that none arrived in. */
static void note_arrival(struct xsk_port *port, uint64_t address, uint64_t end)
{
#ifdef FLUXPIN_LEDGER
	port->arrived[address / port->frame_size] = end;
#else
	(void)port;
	(void)address;
	(void)end;
#endif
}

/* Counts a frame that is sent if it is the one in which its packet arrived: the outer header grew
 * in front, so that the packet ends where it did, or earlier, without padding. */
static void count_in_place(struct xsk_port *port, const struct frame *frame)
{
#ifdef FLUXPIN_LEDGER
	uint64_t arrived = port->arrived[frame->address / port->frame_size];

	if (arrived != 0 && frame->address + frame->length <= arrived)
		counter_add(&port->sent_in_place, 1);
#else
	(void)port;
	(void)frame;
#endif
}

static uint64_t frame_start(const struct xsk_port *port, uint64_t address)
{
	return address & ~((uint64_t)port->frame_size - 1);
}

static void push_free(struct xsk_port *port, uint64_t address, enum place from)
{
	address = frame_start(port, address);
	move(port, address, from, PLACE_FREE);
	port->free[port->free_count++] = address;
}

static void reclaim_sent(struct xsk_port *port)
{
	uint32_t first = 0, count;

	if (port->tx_count == 0)
		return;
	count = xsk_ring_cons__peek(&port->completion, port->tx_count, &first);
	if (count == 0)
		return;
	for (uint32_t i = 0; i < count; i++)
		push_free(port, *xsk_ring_cons__comp_addr(&port->completion, first + i), PLACE_TX);
	xsk_ring_cons__release(&port->completion, count);
	port->tx_count -= count;
}

void xsk_port_refill(struct xsk_port *port)
{
	uint32_t count = port->fill_size - port->fill_count;
	uint32_t first = 0;

	if (count > port->free_count)
		count = port->free_count;
	/* In whole batches: each submit touches a cache line that the kernel polls. */
	if (count < PORT_BATCH && port->fill_count > port->fill_size / 2)
		return;
	count = xsk_prod_nb_free(&port->fill, count) < count ? xsk_prod_nb_free(&port->fill, count)
							     : count;
	if (count == 0 || xsk_ring_prod__reserve(&port->fill, count, &first) != count)
		return;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = port->free[--port->free_count];

		move(port, address, PLACE_FREE, PLACE_FILL);
		*xsk_ring_prod__fill_addr(&port->fill, first + i) = address;
	}
	xsk_ring_prod__submit(&port->fill, count);
	port->fill_count += count;
}

/* Frames in the TX ring that the kernel has not looked at. */
static uint32_t tx_waiting(const struct xsk_port *port)
{
	return port->tx.cached_prod - __atomic_load_n(port->tx.consumer, __ATOMIC_ACQUIRE);
}

/*
 * Tells the kernel to send. EAGAIN, EBUSY, ENOBUFS and ENETDOWN mean later; other errors show up as
 * a full ring, which drops and counts, so none is handled here. Stops when a call moves nothing.
 */
static void kick_tx(struct xsk_port *port)
{
	uint32_t waiting = tx_waiting(port);

	port->kick_age = 0;
	for (int i = 0; i < KICKS_PER_BATCH && waiting > 0; i++) {
		uint32_t before = waiting;

		/* With busy polling nobody else runs the driver. */
		if (!xsk_ring_prod__needs_wakeup(&port->tx) && !port->is_busy_polling)
			return;
		if (sendto(port->descriptor, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN)
			return;
		waiting = tx_waiting(port);
		/* virtio_net sends by another NAPI instance than the one that is polled. */
		if (port->is_busy_polling && waiting == before &&
		    xsk_ring_prod__needs_wakeup(&port->tx))
			xsk_port_wake_driver(port);
		if (port->zero_copy || waiting == before)
			return;
	}
}

/* Has the driver put what came into the RX ring. */
static void poll_queue(struct xsk_port *port)
{
	if (xsk_cons_nb_avail(&port->rx, 1) > 0)
		return;
	recvfrom(port->descriptor, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	/* It found no frame to receive into, and waits to be told that there are some. */
	if (xsk_ring_prod__needs_wakeup(&port->fill))
		xsk_port_wake_driver(port);
}

static uint32_t receive_frames(struct port *base, struct frame *frames, uint32_t capacity)
{
	struct xsk_port *port = from_port(base);
	uint32_t first = 0, count;

	reclaim_sent(port);
	xsk_port_refill(port);
	if (port->tx_count > 0 && ++port->kick_age >= ROUNDS_BEFORE_KICK)
		kick_tx(port);
	if (port->is_busy_polling)
		poll_queue(port);
	else if (xsk_ring_prod__needs_wakeup(&port->fill))
		recvfrom(port->descriptor, NULL, 0, MSG_DONTWAIT, NULL, NULL);

	count = xsk_ring_cons__peek(&port->rx, capacity, &first);
	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *descriptor = xsk_ring_cons__rx_desc(&port->rx, first + i);

		move(port, descriptor->addr, PLACE_FILL, PLACE_HAND);
		note_arrival(port, descriptor->addr, descriptor->addr + descriptor->len);
		frames[i] = (struct frame){
			.data = port->frames + descriptor->addr,
			.address = descriptor->addr,
			.length = descriptor->len,
			.headroom = (uint32_t)(descriptor->addr & (port->frame_size - 1)),
		};
	}
	if (count > 0)
		xsk_ring_cons__release(&port->rx, count);
	port->fill_count -= count;
	port->hand_count += count;
	return count;
}

static uint32_t send_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	struct xsk_port *port = from_port(base);
	uint32_t first = 0, room = xsk_prod_nb_free(&port->tx, count);

	if (room < count) {
		kick_tx(port);
		reclaim_sent(port);
		room = xsk_prod_nb_free(&port->tx, count);
	}
	if (count > room)
		count = room;
	if (count == 0 || xsk_ring_prod__reserve(&port->tx, count, &first) != count)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		struct xdp_desc *descriptor = xsk_ring_prod__tx_desc(&port->tx, first + i);

		move(port, frames[i].address, PLACE_HAND, PLACE_TX);
		count_in_place(port, &frames[i]);
		descriptor->addr = frames[i].address;
		descriptor->len = frames[i].length;
		descriptor->options = 0;
	}
	xsk_ring_prod__submit(&port->tx, count);
	port->hand_count -= count;
	port->tx_count += count;
	kick_tx(port);
	return count;
}

static uint64_t deliver_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	const struct xsk_port *port = from_port(base);
	uint64_t accepted = 0;

	if (port->tap < 0)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		if (tap_write(port->tap, frames[i].data, frames[i].length))
			accepted |= UINT64_C(1) << i;
	return accepted;
}

static bool allocate_frame(struct port *base, uint64_t origin, struct frame *frame)
{
	struct xsk_port *port = from_port(base);
	uint64_t address;

	(void)origin;
	if (port->free_count == 0)
		return false;
	address = port->free[--port->free_count];
	move(port, address, PLACE_FREE, PLACE_HAND);
	note_arrival(port, address, 0);
	port->hand_count++;
	*frame = (struct frame){
		.data = port->frames + address + XSK_HEADROOM,
		.address = address + XSK_HEADROOM,
		.length = port->frame_size - XSK_HEADROOM,
		.headroom = XSK_HEADROOM,
	};
	return true;
}

static void recycle_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	struct xsk_port *port = from_port(base);

	for (uint32_t i = 0; i < count; i++)
		push_free(port, frames[i].address, PLACE_HAND);
	port->hand_count -= count;
}

static void drop_frames(struct port *base, const struct frame *frames, const uint8_t *reasons,
			uint32_t count)
{
	(void)reasons;
	recycle_frames(base, frames, count);
}

static void discard(struct port *base, uint64_t origin, enum drop_reason reason)
{
	(void)base;
	(void)origin;
	(void)reason;
}

const struct port_operations xsk_port_operations = {
	.receive = receive_frames,
	.send = send_frames,
	.deliver = deliver_frames,
	.allocate = allocate_frame,
	.recycle = recycle_frames,
	.drop = drop_frames,
	.discard = discard,
};
