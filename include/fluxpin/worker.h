/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one pinned thread for one (interface, queue), with its own AF_XDP port, connection
 * table, fragment table, counters and TAP queue. Workers share the RCU pointer to the forwarding
 * state, which they read once per batch, and nothing that is written but the inboxes of those of
 * the same NIC.
 *
 * Thread: all calls are the control thread's. The worker's own loop is private.
 */
#ifndef FLUXPIN_WORKER_H
#define FLUXPIN_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/connection_survey.h>
#include <fluxpin/connection_table.h>
#include <fluxpin/counters.h>
#include <fluxpin/forwarding.h>
#include <fluxpin/xsk_port.h>

struct worker;

struct worker_options {
	struct xsk_port_options port;
	uint32_t interface; /* ordinal into forwarding.interfaces */
	int cpu;	    /* to pin to; -1: none */
	uint32_t connection_capacity;
	uint32_t fragment_capacity; /* datagrams */
	uint64_t fragment_timeout_ns;
	bool has_siblings; /* other workers of the NIC: see worker_join */
	/* Where the control thread publishes (RCU); not NULL when the worker starts.
	 */
	struct forwarding *const *forwarding;
};

/* What a worker tells of itself, read at any time. */
struct worker_report {
	struct xsk_ledger ledger; /* all of one moment, at most about a second old */
	uint64_t connection_capacity;
	uint64_t connections;
	uint64_t connection_states[CONNECTION_STATE_COUNT];
	uint64_t connection_evictions;
	uint64_t connection_moves;
	uint64_t connection_untracked; /* all that follow */
	uint64_t connection_untracked_full;
	uint64_t connection_untracked_rate;
	uint64_t datagrams; /* in the fragment table */
	uint64_t fragments_held;
};

/* How many reserved 2 MB pages worker_open takes where there are enough. Thread: any. */
uint64_t worker_huge_pages(const struct worker_options *options);

/*
 * Allocates everything and opens the port; no thread yet. Returns 0 or negative errno, that of
 * xsk_port_open or -ENOMEM; nothing is logged.
 */
int worker_open(const struct worker_options *options, struct worker **worker);

/*
 * Makes the workers of one NIC, all opened with has_siblings and none started, hand fragments and
 * ICMP errors over to each other. Worker i has the number i among them; `workers` stays the
 * caller's and is not changed until all are closed. Returns 0 or -ENOMEM.
 */
int worker_join(struct worker *const *workers, uint32_t count);

/* Starts the thread. Returns 0 or negative errno after logging. */
int worker_start(struct worker *worker);

/*
 * How often the worker has gone round: a sign of life. One that sleeps does so at least once a
 * second, and at once after worker_wake.
 */
uint64_t worker_rounds(const struct worker *worker);
void worker_wake(const struct worker *worker);

/*
 * Whether the worker, when it is idle, goes on polling its queue for idle_ns before it sleeps, or
 * without end for 0; else it sleeps after a few rounds. At any time.
 */
void worker_keep_polling(struct worker *worker, bool is_on, uint64_t idle_ns);
bool worker_is_polling(const struct worker *worker); /* is_on */

/* Tells the thread to end, and returns at once: so that several end at the same time. */
void worker_request_stop(struct worker *worker);

/*
 * Ends the thread: it takes what is still in the RX ring and waits up to 100 ms for what it sent,
 * so the socket map's entry is to be removed before. Counters stay readable until worker_close.
 */
void worker_stop(struct worker *worker);

/* Drops and counts what waits for fragments. After worker_stop of all workers of the NIC. */
void worker_finish(struct worker *worker);
void worker_close(struct worker *worker);

const char *worker_interface(const struct worker *worker);
uint32_t worker_ordinal(const struct worker *worker); /* of its interface, as in the options */
uint32_t worker_queue(const struct worker *worker);
int worker_cpu(const struct worker *worker); /* -1: not pinned */
/*
 * Has the worker, which runs, go over its connection table between its batches, a few microseconds
 * at a time. The survey is the worker's until worker_is_surveying says no, or the worker has
 * stopped. One at a time.
 */
void worker_survey(struct worker *worker, struct connection_survey *survey);
bool worker_is_surveying(const struct worker *worker);

struct xsk_port *worker_port(const struct worker *worker);
enum memory_pages worker_connection_pages(const struct worker *worker);
const struct counters *worker_counters(const struct worker *worker);

/* By VIP or backend index, 65536 of each. */
const struct traffic_counter *worker_vips(const struct worker *worker);
const struct traffic_counter *worker_backends(const struct worker *worker);

/* Zeroes an index's counters. Only after a grace period in which no forwarding state had the index.
 */
void worker_reset_vip(struct worker *worker, uint16_t index);
void worker_reset_backend(struct worker *worker, uint16_t index);

void worker_read_report(const struct worker *worker, struct worker_report *report);

#endif
