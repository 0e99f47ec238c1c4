/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The barest AF_XDP forwarder: what arrives goes back with its MAC addresses swapped, in the frame
 * in which it came. It has rings, batches, wake-ups and sleep of fluxpin's worker
 * (src/io/xsk_port.c, src/control/worker.c) but code of its own, with nothing that an echo does not
 * need: no free list (a frame that was sent goes straight back to the fill ring), no ledger, no
 * counters of packets.
 */
#ifndef FLUXPIN_BENCH_ECHO_SOCKET_H
#define FLUXPIN_BENCH_ECHO_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include <xdp/xsk.h>

#include <fluxpin/memory.h>

struct echo_options {
	const char *interface;
	uint32_t frames; /* a power of two */
	uint32_t frame_size;
	uint32_t budget; /* frames that a call is to send in copy mode */
	uint32_t cpu;
	int mode; /* enum echo_mode */
	bool has_cpu;
	bool is_json;
};

enum echo_mode {
	ECHO_ZERO_COPY,
	ECHO_COPY,
	ECHO_KERNEL,
};

struct echo_socket {
	struct xsk_ring_cons rx, completion;
	struct xsk_ring_prod tx, fill;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct memory memory; /* of the frames, on 2 MB pages as fluxpin's */
	uint8_t *frames;
	uint32_t frame_mask; /* of where in a frame an address is */
	uint32_t tx_count;   /* given to the kernel, not completed */
	uint32_t kick_age;   /* rounds since the kernel was last told to send */
	uint32_t budget;     /* frames that a call sends in copy mode */
	int descriptor;
	bool is_zero_copy; /* read back from the kernel */
	/* What it did, for comparison with others. */
	uint64_t received, sent, batches, rounds, sends, wakeups, sleeps;
};

/* Opens it on queue 0 and fills the fill ring. Returns 0 or negative errno. */
int echo_socket_open(struct echo_socket *echo, const struct echo_options *options);

/* Echoes until *stop. */
void echo_socket_run(struct echo_socket *echo, const volatile int *stop);

void echo_socket_close(struct echo_socket *echo);

#endif
