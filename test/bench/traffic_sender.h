/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread that sends for "fluxpin-bench traffic".
 *
 * As many as can be sent: a run of traffic_send on live frames. The kernel hands them to the driver
 * without a socket buffer; what the device does not take is lost, and counts as sent.
 *
 * At a rate: packet sockets, past the queueing discipline. Frame n is due at the start plus n /
 * rate and carries that time. A sender that is late sends what is due at once, and what the device
 * refuses again, so nothing is left out and lateness is part of the latency.
 *
 * In a window: packet sockets, too; a frame goes when one has come back, so that nothing is spent
 * on frames that are only lost, as where the sender takes time from what forwards: in an emulator.
 */
#ifndef FLUXPIN_BENCH_TRAFFIC_SENDER_H
#define FLUXPIN_BENCH_TRAFFIC_SENDER_H

#include <pthread.h>

#include "traffic.h"
#include "traffic_receiver.h"

struct traffic_sender {
	const struct traffic_options *options;
	struct traffic_receiver *receiver; /* holds traffic_send */
	uint8_t frame[TRAFFIC_LENGTH];
	pthread_t thread;
	int descriptor;
	bool stop; /* both set by who measures, read by the thread; nothing hangs on their */
	bool is_measuring; /* order: relaxed */
	uint64_t sent;
	bool has_failed;	  /* written before the thread ends */
	struct traffic_seen late; /* at a rate: latencies from when due to sent, while measuring */
};

/* Starts the thread. The frame is made. Says what fails and returns false. */
bool traffic_sender_start(struct traffic_sender *sender);

/* Frames sent so far. */
uint64_t traffic_sender_sent(const struct traffic_sender *sender);

/* From now on frames carry their time. */
void traffic_sender_measure(struct traffic_sender *sender);

/* Stops it and waits. Returns false when sending failed, which was said. */
bool traffic_sender_stop(struct traffic_sender *sender);

#endif
