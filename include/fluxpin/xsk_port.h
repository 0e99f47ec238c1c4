/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AF_XDP port: one socket on one NIC queue with a UMEM of its own.
 *
 *              +--> fill ring --> [driver] --> RX ring --+
 *     free ----+                                         +--> in hand (the pipeline)
 *      ^  ^                                              |
 *      |  +----------------- recycle --------------------+
 *      |                                                 v send
 *      +-- completion ring <-- [driver] <----------- TX ring
 *
 * Every frame is always in exactly one of these places; the ledger counts them. Frames that the
 * driver holds count with the ring that it took them from. A frame's address may point inside the
 * frame when it comes back; it is masked to the frame before reuse.
 *
 * Thread: one worker, but for open, close and statistics, which are the control thread's. No call
 * of a worker's but xsk_port_sleep waits. System calls on the packet path: sendto and recvfrom as
 * wake-ups (XDP_USE_NEED_WAKEUP, Linux 5.4), never more than a few a batch. With busy polling the
 * same calls run the driver: they take frames from the NIC into the RX ring and send those of the
 * TX ring.
 */
#ifndef FLUXPIN_XSK_PORT_H
#define FLUXPIN_XSK_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/memory.h>
#include <fluxpin/port.h>

/* Bytes that XDP keeps in front of a received packet (XDP_PACKET_HEADROOM, linux/bpf.h). */
#define XSK_HEADROOM 256

struct xsk_port; /* begins with a struct port */

struct xsk_port_options {
	char interface[16];
	uint32_t queue;
	uint32_t frames;     /* in the UMEM; a power of two */
	uint32_t frame_size; /* bytes: 2048 or 4096 */
	bool zero_copy;	     /* XDP_ZEROCOPY, else XDP_COPY */
	int tap;	     /* descriptor for the slow path, or -1 */
};

/* Where the frames are. Their sum is the size of the UMEM. */
struct xsk_ledger {
	uint32_t free;
	uint32_t fill; /* in the fill ring or with the driver */
	uint32_t rx;
	uint32_t tx; /* in the TX ring or with the driver */
	uint32_t completion;
	uint32_t hand;
};

struct xsk_statistics {
	uint64_t rx_dropped; /* by the kernel: too long, or no frame to put it in */
	uint64_t rx_invalid;
	uint64_t tx_invalid;
	uint64_t rx_ring_full;
	uint64_t fill_ring_empty;
	uint64_t tx_ring_empty;
};

/*
 * Creates the UMEM and the socket and binds it. Thread: control; allocates, and waits up to a
 * second for the queue: the kernel takes a socket off it a little after that was closed. Returns 0
 * or negative errno, nothing logged: -EBUSY when the queue has a socket still, -EOPNOTSUPP or
 * -EINVAL when the driver has no zero-copy.
 */
int xsk_port_open(const struct xsk_port_options *options, struct xsk_port **port);

/*
 * Has the worker's own system calls poll the queue in place of interrupts ("preferred busy
 * polling", Linux 5.11): SO_PREFER_BUSY_POLL, SO_BUSY_POLL (both read back), SO_BUSY_POLL_BUDGET.
 * `budget`: frames that one poll takes at most. Before the worker runs. Thread: control.
 * Returns 0, or negative errno with the option that was refused in *option: -EPERM without
 * CAP_NET_ADMIN, -ENOPROTOOPT on a kernel that has none of this.
 */
int xsk_port_busy_poll(struct xsk_port *port, uint32_t budget, const char **option);

/*
 * The number of the NAPI instance that is polled for the socket: 0 while the kernel knows none, and
 * then busy polling does nothing. It is told when the socket is bound (Linux 6.13, in copy mode
 * 6.15, and not for every driver), before that by the first frame, and never changes.
 * Thread: any.
 */
uint32_t xsk_port_napi(const struct xsk_port *port);

struct port *xsk_port_port(struct xsk_port *port);
int xsk_port_descriptor(const struct xsk_port *port);

/* Read back from the kernel (XDP_OPTIONS): whether the socket is zero-copy. */
bool xsk_port_is_zero_copy(const struct xsk_port *port);

/*
 * Whether the kernel has the socket on its queue still. It takes it off when the interface leaves
 * the network namespace or goes away, and says so once: after false it may return true again.
 * Thread: control.
 */
bool xsk_port_is_bound(const struct xsk_port *port);

/* The pages that the UMEM lies on. */
enum memory_pages xsk_port_pages(const struct xsk_port *port);

/*
 * Sleeps until a frame arrives, `wake` (an eventfd) becomes readable, or timeout_ms have passed.
 * While frames wait to be sent or completed it wakes more often, up to every millisecond. Thread:
 * worker. Returns whether `wake` is readable, and to be read.
 */
bool xsk_port_sleep(struct xsk_port *port, int wake, int timeout_ms);

/* Counts the places. Thread: worker. */
void xsk_port_read_ledger(const struct xsk_port *port, struct xsk_ledger *ledger);

/* XDP_STATISTICS; fields that an older kernel does not give are 0. Thread: control. 0 or errno. */
int xsk_port_read_statistics(const struct xsk_port *port, struct xsk_statistics *statistics);

/*
 * Frames sent that are the very ones in which their packets arrived, by their addresses; not those
 * that were allocated for parts of a packet. Counted in builds with FLUXPIN_LEDGER, else 0. Thread:
 * any.
 */
uint64_t xsk_port_sent_in_place(const struct xsk_port *port);

/* Frames not yet sent or not yet completed. Thread: worker. */
uint32_t xsk_port_unsent(const struct xsk_port *port);

/* Closes the socket, then frees the UMEM. The worker has stopped. NULL is allowed. */
void xsk_port_close(struct xsk_port *port);

#endif
