/* SPDX-License-Identifier: BSD-2-Clause */
/* Set-up and teardown of the socket and its UMEM, and what can be asked about them. */
#include "xsk_port_internal.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include <fluxpin/counters.h>

/* In copy mode every frame that the receiver has not consumed holds a socket buffer. The default
 * limit is reached by some 200 frames; this one by none that the TX ring can hold. */
#define SEND_BUFFER (64 << 20)

/* How many frames a sendto sends in copy mode (linux/if_xdp.h, Linux 6.17); 32 if not told. */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/* The kernel takes a socket off its queue some milliseconds after it is closed, in a work queue
 * (xp_put_pool, net/xdp/xsk_buff_pool.c), though its process has ended: a restart finds it there.
 */
#define BUSY_TRIES    20
#define BUSY_PAUSE_NS 50000000

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
	uint32_t budget = config.tx_size < PORT_MOST_FRAMES ? config.tx_size : PORT_MOST_FRAMES;
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
	/* Refused by older kernels, where a batch takes more calls, and above the size of the ring.
	 */
	setsockopt(port->descriptor, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	return 0;
}

static int open_once(const struct xsk_port_options *options, struct xsk_port **result)
{
	struct xsk_port *port = calloc(1, sizeof(*port));
	int error = -ENOMEM;

	if (port == NULL)
		return -ENOMEM;
	port->port.operations = &xsk_port_operations;
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
	xsk_port_refill(port);
	*result = port;
	return 0;
fail:
	xsk_port_close(port);
	return error;
}

int xsk_port_open(const struct xsk_port_options *options, struct xsk_port **result)
{
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_NS };
	int error = open_once(options, result);

	for (int i = 1; error == -EBUSY && i < BUSY_TRIES; i++) {
		nanosleep(&pause, NULL);
		error = open_once(options, result);
	}
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
