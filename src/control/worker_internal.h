/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files worker*.c share. */
#ifndef FLUXPIN_WORKER_INTERNAL_H
#define FLUXPIN_WORKER_INTERNAL_H

#include <pthread.h>

#include <fluxpin/memory.h>
#include <fluxpin/pipeline.h>
#include <fluxpin/worker.h>

struct worker {
	struct worker_options options;
	struct pipeline pipeline;
	struct connection_table connections;
	struct fragment_table fragments;
	struct inbox inbox;
	struct xsk_port *port;
	struct worker *const *siblings; /* by number of their inboxes; NULL: none */
	struct inbox **inboxes;
	struct memory connection_memory;
	struct memory fragment_memory;
	struct memory inbox_memory;
	struct memory vip_memory;
	struct memory backend_memory;
	pthread_t thread;
	bool is_running;
	bool stop; /* control thread sets it, with release; read by the worker with acquire */
	/* NULL: none. Set by the control thread, cleared by the worker when it is done, both with
	 * release; read with acquire. */
	struct connection_survey *survey;
	/* How long to go on polling when idle, in ns: 0: not at all, UINT64_MAX: without end. Set
	 * by the control thread; orders nothing. */
	uint64_t polling_ns;
	int wake; /* eventfd: readable when one of these was set, or the inbox got something */
	uint64_t rounds;  /* a sign of life, written by the worker alone */
	uint32_t version; /* of ledger: odd while the worker writes it */
	struct xsk_ledger ledger;
	struct counters counters;
};

_Static_assert(sizeof(struct xsk_ledger) % sizeof(uint32_t) == 0, "the ledger is copied by words");
#define LEDGER_WORDS (sizeof(struct xsk_ledger) / sizeof(uint32_t))

/* Copies the port's ledger to where others read it. Thread: the worker, or control while it does
 * not run. */
void worker_publish_ledger(struct worker *worker);

/* The thread. `argument`: its struct worker. */
void *worker_run(void *argument);

#endif
