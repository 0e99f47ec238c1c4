/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include <fluxpin/counters.h>
#include <fluxpin/memory.h>
#include <fluxpin/tap.h>
#include <fluxpin/xsk_port.h>

/* In copy mode one sendto sends at most 32 frames (TX_BATCH_SIZE, net/xdp/xsk.c), so a batch of
 * 64 needs two, and one with all parts and fragments that waited 24; one more takes up what an
 * earlier batch left. */
#define KICKS_PER_BATCH (PORT_MOST_FRAMES / 32 + 1)

/* In copy mode every frame that the receiver has not consumed holds a socket buffer. The default
 * limit is reached by some 200 frames; this one by none that the TX ring can hold. */
#define SEND_BUFFER (64 << 20)

enum place {
	PLACE_FREE,
	PLACE_FILL,
	PLACE_HAND,
	PLACE_TX,
};

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
	uint32_t frame_count;
	uint32_t frame_size;
	uint32_t fill_size;
	int descriptor;
	int tap;
	int backoff_ms; /* sleep while frames are unsent */
	bool zero_copy;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct memory memory;
	/* FLUXPIN_LEDGER only: */
	uint8_t *places;   /* enum place per frame */
	uint64_t *arrived; /* per frame in hand: address behind the packet that arrived in it */
	uint64_t sent_in_place;
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

static void refill(struct xsk_port *port)
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

	for (int i = 0; i < KICKS_PER_BATCH && waiting > 0; i++) {
		uint32_t before = waiting;

		if (!xsk_ring_prod__needs_wakeup(&port->tx))
			return;
		if (sendto(port->descriptor, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN)
			return;
		waiting = tx_waiting(port);
		if (port->zero_copy || waiting == before)
			return;
	}
}

static uint32_t receive_frames(struct port *base, struct frame *frames, uint32_t capacity)
{
	struct xsk_port *port = from_port(base);
	uint32_t first = 0, count;

	reclaim_sent(port);
	refill(port);
	if (port->tx_count > 0)
		kick_tx(port);
	if (xsk_ring_prod__needs_wakeup(&port->fill))
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

static const struct port_operations operations = {
	.receive = receive_frames,
	.send = send_frames,
	.deliver = deliver_frames,
	.allocate = allocate_frame,
	.recycle = recycle_frames,
	.drop = drop_frames,
	.discard = discard,
};

static int create_umem(struct xsk_port *port)
{
	struct xsk_umem_config config = {
		.fill_size = port->fill_size,
		/* A completion slot is reserved for each frame that the kernel takes to send. */
		.comp_size = port->frame_count / 2,
		.frame_size = port->frame_size,
		.frame_headroom = 0,
	};
	uint64_t size = (uint64_t)port->frame_count * port->frame_size;
	int error = memory_map(size, &port->memory);

	if (error != 0)
		return error;
	port->frames = port->memory.base;
	return xsk_umem__create(&port->umem, port->frames, size, &port->fill, &port->completion,
				&config);
}

static int create_socket(struct xsk_port *port, const struct xsk_port_options *options)
{
	struct xsk_socket_config config = {
		.rx_size = port->frame_count / 4,
		.tx_size = port->frame_count / 4,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.xdp_flags = 0,
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP |
					 (options->zero_copy ? XDP_ZEROCOPY : XDP_COPY)),
	};
	int size = SEND_BUFFER;
	int error = xsk_socket__create_shared(&port->socket, options->interface, options->queue,
					      port->umem, &port->rx, &port->tx, &port->fill,
					      &port->completion, &config);

	if (error != 0)
		return error;
	port->descriptor = xsk_socket__fd(port->socket);
	/* Needs CAP_NET_ADMIN, which binding needs too; with less, the plain call does what it can.
	 */
	if (setsockopt(port->descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
		setsockopt(port->descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

int xsk_port_open(const struct xsk_port_options *options, struct xsk_port **result)
{
	struct xsk_port *port = calloc(1, sizeof(*port));
	int error = -ENOMEM;

	if (port == NULL)
		return -ENOMEM;
	port->port.operations = &operations;
	port->frame_count = options->frames;
	port->frame_size = options->frame_size;
	port->fill_size = options->frames / 2;
	port->tap = options->tap;
	port->zero_copy = options->zero_copy;
	port->descriptor = -1;
	port->free = calloc(options->frames, sizeof(*port->free));
	port->places = calloc(options->frames, sizeof(*port->places));
	port->arrived = calloc(options->frames, sizeof(*port->arrived));
	if (port->free == NULL || port->places == NULL || port->arrived == NULL)
		goto fail;
	error = create_umem(port);
	if (error != 0)
		goto fail;
	error = create_socket(port, options);
	if (error != 0)
		goto fail;
	for (uint32_t i = options->frames; i > 0; i--)
		port->free[port->free_count++] = (uint64_t)(i - 1) * options->frame_size;
	refill(port);
	*result = port;
	return 0;
fail:
	xsk_port_close(port);
	return error;
}

void xsk_port_close(struct xsk_port *port)
{
	if (port == NULL)
		return;
	if (port->socket != NULL)
		xsk_socket__delete(port->socket);
	if (port->umem != NULL)
		xsk_umem__delete(port->umem);
	memory_unmap(&port->memory);
	free(port->arrived);
	free(port->places);
	free(port->free);
	free(port);
}

struct port *xsk_port_port(struct xsk_port *port)
{
	return &port->port;
}

int xsk_port_descriptor(const struct xsk_port *port)
{
	return port->descriptor;
}

bool xsk_port_is_zero_copy(const struct xsk_port *port)
{
	struct xdp_options options = { 0 };
	socklen_t size = sizeof(options);

	return getsockopt(port->descriptor, SOL_XDP, XDP_OPTIONS, &options, &size) == 0 &&
	       (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

bool xsk_port_is_bound(const struct xsk_port *port)
{
	int error = 0;
	socklen_t size = sizeof(error);

	/* xsk_notifier of the kernel leaves ENETDOWN there; a link that is down does not. */
	return getsockopt(port->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error == 0;
}

enum memory_pages xsk_port_pages(const struct xsk_port *port)
{
	return port->memory.pages;
}

void xsk_port_sleep(struct xsk_port *port, int wake, int timeout_ms)
{
	struct pollfd descriptors[] = {
		{ .fd = port->descriptor, .events = POLLIN },
		{ .fd = wake, .events = POLLIN },
	};

	/* A frame that the receiver holds on to may stay unsent for long: 1, 2, 4 ms and so on. */
	if (port->tx_count == 0) {
		port->backoff_ms = 0;
	} else {
		port->backoff_ms = port->backoff_ms == 0 ? 1 : port->backoff_ms * 2;
		if (port->backoff_ms < timeout_ms)
			timeout_ms = port->backoff_ms;
		else
			port->backoff_ms = timeout_ms;
	}
	if (poll(descriptors, 2, timeout_ms) > 0 && descriptors[0].revents != 0)
		port->backoff_ms = 0;
}

void xsk_port_read_ledger(const struct xsk_port *port, struct xsk_ledger *ledger)
{
	uint32_t rx = __atomic_load_n(port->rx.producer, __ATOMIC_ACQUIRE) - port->rx.cached_cons;
	uint32_t completion = __atomic_load_n(port->completion.producer, __ATOMIC_ACQUIRE) -
			      port->completion.cached_cons;

	ledger->free = port->free_count;
	ledger->rx = rx;
	ledger->fill = port->fill_count - rx;
	ledger->completion = completion;
	ledger->tx = port->tx_count - completion;
	ledger->hand = port->hand_count;
}

int xsk_port_read_statistics(const struct xsk_port *port, struct xsk_statistics *statistics)
{
	struct xdp_statistics raw = { 0 };
	socklen_t size = sizeof(raw);

	/* Before Linux 5.9 only the first three fields; the kernel writes what fits. */
	if (getsockopt(port->descriptor, SOL_XDP, XDP_STATISTICS, &raw, &size) != 0)
		return -errno;
	statistics->rx_dropped = raw.rx_dropped;
	statistics->rx_invalid = raw.rx_invalid_descs;
	statistics->tx_invalid = raw.tx_invalid_descs;
	statistics->rx_ring_full = raw.rx_ring_full;
	statistics->fill_ring_empty = raw.rx_fill_ring_empty_descs;
	statistics->tx_ring_empty = raw.tx_ring_empty_descs;
	return 0;
}

uint64_t xsk_port_sent_in_place(const struct xsk_port *port)
{
	return counter_read(&port->sent_in_place);
}

uint32_t xsk_port_unsent(const struct xsk_port *port)
{
	return port->tx_count;
}
