/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of the workers, and of the process where one of them has no end: a thread that is stuck
 * cannot be taken out of it, and whatever it uses must stay as it is until the process is gone.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <fluxpin/duration.h>
#include <fluxpin/log.h>

#include "daemon_internal.h"

/* A worker that moves is at its end well before: it still sends what it has, within bounds. */
#define FINISH_NS (2 * NANOSECONDS_PER_SECOND)

/* The event loop may be what is stuck, behind a worker: the signal is noted beside it. */
static volatile sig_atomic_t stop_signals;
static void (*loop_handlers[NSIG])(int number);

static void on_stop_signal(int number)
{
	stop_signals = 1;
	loop_handlers[number](number);
}

void daemon_note_stops(void)
{
	const int numbers[] = { SIGTERM, SIGINT };

	for (int i = 0; i < 2; i++) {
		struct sigaction action;

		if (sigaction(numbers[i], NULL, &action) != 0 || action.sa_handler == SIG_DFL ||
		    action.sa_handler == SIG_IGN)
			continue;
		loop_handlers[numbers[i]] = action.sa_handler;
		action.sa_handler = on_stop_signal;
		sigaction(numbers[i], &action, NULL);
	}
}

bool daemon_is_told_to_stop(void)
{
	return stop_signals != 0;
}

/* From when it is asked on. */
static uint64_t stop_limit(const struct daemon *daemon)
{
	return daemon->configuration->announce.stall_ns + FINISH_NS;
}

/* What the thread that waits shares with the one that waits for it. */
struct stopping {
	struct daemon *daemon;
	uint32_t current; /* the worker that is waited for */
	int done;	  /* eventfd: readable when all have stopped */
};

static void *stop_all(void *argument)
{
	struct stopping *stopping = argument;
	struct daemon *daemon = stopping->daemon;
	uint64_t one = 1;

	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		__atomic_store_n(&stopping->current, i, __ATOMIC_RELAXED);
		worker_stop(daemon->workers[i]);
	}
	if (write(stopping->done, &one, sizeof(one)) < 0)
		log_error("telling the end of the workers: %s", strerror(errno));
	return NULL;
}

static bool is_done_in_time(const struct stopping *stopping, uint64_t end_ns)
{
	struct pollfd descriptor = { .fd = stopping->done, .events = POLLIN };
	uint64_t now_ns;

	while ((now_ns = clock_ns()) < end_ns)
		if (poll(&descriptor, 1,
			 (int)((end_ns - now_ns) / NANOSECONDS_PER_MILLISECOND) + 1) > 0)
			return true;
	return poll(&descriptor, 1, 0) > 0;
}

/* Waits for all, with a bound if there is memory for it. */
static void wait_for_workers(struct daemon *daemon)
{
	uint64_t limit_ns = stop_limit(daemon);
	struct stopping *stopping = calloc(1, sizeof(*stopping));
	const struct worker *stuck;
	pthread_t thread;

	if (stopping == NULL)
		goto without_bound;
	*stopping = (struct stopping){ .daemon = daemon, .done = eventfd(0, EFD_CLOEXEC) };
	if (stopping->done < 0)
		goto without_bound;
	if (pthread_create(&thread, NULL, stop_all, stopping) != 0) {
		close(stopping->done);
		goto without_bound;
	}
	if (is_done_in_time(stopping, clock_ns() + limit_ns)) {
		pthread_join(thread, NULL);
		close(stopping->done);
		free(stopping);
		return;
	}
	stuck = daemon->workers[__atomic_load_n(&stopping->current, __ATOMIC_RELAXED)];
	log_error("%s queue %u: the worker has not stopped for %u ms: ending without it",
		  worker_interface(stuck), worker_queue(stuck),
		  (unsigned)(limit_ns / NANOSECONDS_PER_MILLISECOND));
	daemon->has_stuck_worker = true;
	return;
without_bound:
	free(stopping);
	for (uint32_t i = 0; i < daemon->worker_count; i++)
		worker_stop(daemon->workers[i]);
}

void daemon_stop_workers(struct daemon *daemon)
{
	/* All map entries first: from here on the kernel gets every frame. */
	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		const struct worker *worker = daemon->workers[i];
		struct redirect *redirect = daemon->devices[worker_ordinal(worker)].redirect;

		if (redirect != NULL)
			redirect_remove_socket(redirect, worker_queue(worker));
	}
	for (uint32_t i = 0; i < daemon->worker_count; i++)
		worker_request_stop(daemon->workers[i]);
	if (daemon->worker_count > 0)
		wait_for_workers(daemon);
	/* Nobody hands anything over any more. */
	for (uint32_t i = 0; i < daemon->worker_count && !daemon->has_stuck_worker; i++)
		worker_finish(daemon->workers[i]);
}
