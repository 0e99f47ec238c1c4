/* SPDX-License-Identifier: BSD-2-Clause */
#include "echo_socket.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/port.h>

/* As in src/control/worker.c and src/io/xsk_port.c. */
#define ROUNDS_BEFORE_SLEEP 32
#define ROUNDS_BEFORE_KICK  16
#define SLEEP_MS	    1000
#define BUSY_SLEEP_MS	    1
#define SEND_BUFFER	    (64 << 20)

/* How many frames a sendto sends in copy mode (linux/if_xdp.h, Linux 6.17); 32 if not told. */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/* Frames that the kernel sends in one call in copy mode (TX_BATCH_SIZE, net/xdp/xsk.c). */
#define FRAMES_PER_CALL 32

int echo_socket_open(struct echo_socket *echo, const struct echo_options *options)
{
	struct xsk_umem_config umem = {
		.fill_size = options->frames / 2,
		.comp_size = options->frames / 2,
		.frame_size = options->frame_size,
	};
	struct xsk_socket_config config = {
		.rx_size = options->frames / 4,
		.tx_size = options->frames / 4,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags =
			(uint16_t)(XDP_USE_NEED_WAKEUP |
				   (options->mode == ECHO_ZERO_COPY ? XDP_ZEROCOPY : XDP_COPY)),
	};
	struct xdp_options granted = { 0 };
	socklen_t granted_size = sizeof(granted);
	uint32_t budget = options->budget < config.tx_size ? options->budget : config.tx_size;
	uint64_t size = (uint64_t)options->frames * options->frame_size;
	int buffer = SEND_BUFFER, error;
	uint32_t first = 0;

	*echo = (struct echo_socket){ .frame_mask = options->frame_size - 1 };
	error = memory_map(size, &echo->memory);
	if (error != 0)
		return error;
	echo->frames = echo->memory.base;
	error = xsk_umem__create(&echo->umem, echo->frames, size, &echo->fill, &echo->completion,
				 &umem);
	if (error == 0)
		error = xsk_socket__create_shared(&echo->socket, options->interface, 0, echo->umem,
						  &echo->rx, &echo->tx, &echo->fill,
						  &echo->completion, &config);
	if (error != 0)
		return error;
	echo->descriptor = xsk_socket__fd(echo->socket);
	setsockopt(echo->descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	echo->budget = setsockopt(echo->descriptor, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget,
				  sizeof(budget)) == 0
			       ? budget
			       : FRAMES_PER_CALL;
	getsockopt(echo->descriptor, SOL_XDP, XDP_OPTIONS, &granted, &granted_size);
	echo->is_zero_copy = (granted.flags & XDP_OPTIONS_ZEROCOPY) != 0;
	/* Half of the frames, as many as the ring takes; those are all that are ever used. */
	xsk_ring_prod__reserve(&echo->fill, umem.fill_size, &first);
	for (uint32_t i = 0; i < umem.fill_size; i++)
		*xsk_ring_prod__fill_addr(&echo->fill, first + i) =
			(uint64_t)i * options->frame_size;
	xsk_ring_prod__submit(&echo->fill, umem.fill_size);
	return 0;
}

static uint32_t tx_waiting(const struct echo_socket *echo)
{
	return echo->tx.cached_prod - __atomic_load_n(echo->tx.consumer, __ATOMIC_ACQUIRE);
}

/* In copy mode a call may send 32 frames only, so that a batch takes several. */
static void kick(struct echo_socket *echo)
{
	uint32_t waiting = tx_waiting(echo), before;

	echo->kick_age = 0;
	for (uint32_t i = 0; i <= PORT_BATCH / FRAMES_PER_CALL && waiting > 0; i++) {
		if (!xsk_ring_prod__needs_wakeup(&echo->tx))
			return;
		echo->sends++;
		if (sendto(echo->descriptor, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN)
			return;
		before = waiting;
		waiting = tx_waiting(echo);
		if (echo->is_zero_copy || waiting == before)
			return;
	}
}

/* Frames that were sent go straight back to be received into. */
static void reclaim(struct echo_socket *echo)
{
	uint32_t from = 0, to = 0, count;

	if (echo->tx_count == 0)
		return;
	count = xsk_ring_cons__peek(&echo->completion, echo->tx_count, &from);
	/* Every frame has a place in the fill ring. */
	if (count == 0 || xsk_ring_prod__reserve(&echo->fill, count, &to) != count)
		return;
	for (uint32_t i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&echo->fill, to + i) =
			*xsk_ring_cons__comp_addr(&echo->completion, from + i) &
			~(uint64_t)echo->frame_mask;
	xsk_ring_prod__submit(&echo->fill, count);
	xsk_ring_cons__release(&echo->completion, count);
	echo->tx_count -= count;
}

static void swap_addresses(uint8_t *frame)
{
	uint8_t destination[6];

	memcpy(destination, frame, sizeof(destination));
	memcpy(frame, frame + sizeof(destination), sizeof(destination));
	memcpy(frame + sizeof(destination), destination, sizeof(destination));
}

static uint32_t echo_batch(struct echo_socket *echo)
{
	uint32_t from = 0, to = 0, count;

	reclaim(echo);
	if (echo->tx_count > 0 && ++echo->kick_age >= ROUNDS_BEFORE_KICK)
		kick(echo);
	if (xsk_ring_prod__needs_wakeup(&echo->fill)) {
		echo->wakeups++;
		recvfrom(echo->descriptor, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	}
	/* What finds no room to be sent stays where it is, and the kernel drops what comes next. */
	count = xsk_prod_nb_free(&echo->tx, PORT_BATCH);
	count = xsk_ring_cons__peek(&echo->rx, count < PORT_BATCH ? count : PORT_BATCH, &from);
	if (count == 0 || xsk_ring_prod__reserve(&echo->tx, count, &to) != count)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *received = xsk_ring_cons__rx_desc(&echo->rx, from + i);
		struct xdp_desc *sent = xsk_ring_prod__tx_desc(&echo->tx, to + i);

		__builtin_prefetch(
			echo->frames +
			xsk_ring_cons__rx_desc(&echo->rx, from + (i + 8 < count ? i + 8 : i))
				->addr);
		swap_addresses(echo->frames + received->addr);
		*sent = (struct xdp_desc){ .addr = received->addr, .len = received->len };
	}
	xsk_ring_prod__submit(&echo->tx, count);
	xsk_ring_cons__release(&echo->rx, count);
	echo->tx_count += count;
	echo->received += count;
	echo->batches++;
	kick(echo);
	return count;
}

void echo_socket_run(struct echo_socket *echo, const volatile int *stop)
{
	struct pollfd descriptor = { .fd = echo->descriptor, .events = POLLIN };
	uint32_t idle = 0;

	while (!*stop) {
		echo->rounds++;
		idle = echo_batch(echo) > 0 ? 0 : idle + 1;
		if (idle > ROUNDS_BEFORE_SLEEP) {
			echo->sleeps++;
			poll(&descriptor, 1, echo->tx_count > 0 ? BUSY_SLEEP_MS : SLEEP_MS);
			idle = 0;
		}
	}
	/* What the kernel took. The receiver may keep the last buffers for long, uncompleted. */
	echo->sent = echo->received - tx_waiting(echo);
}

void echo_socket_close(struct echo_socket *echo)
{
	if (echo->socket != NULL)
		xsk_socket__delete(echo->socket);
	if (echo->umem != NULL)
		xsk_umem__delete(echo->umem);
	memory_unmap(&echo->memory);
}
