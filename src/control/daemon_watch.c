/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watchdog: workers that do not go round any more. It also looks while the control thread waits
 * for a grace period, which a worker that has stalled never lets end.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"
#include "rcu.h"

#define NANOSECONDS_PER_MILLISECOND UINT64_C(1000000)

/* How often workers are looked at. */
#define WATCH_MS 100

/*
 * What one look adds to a worker's standstill at most: when this thread was held up, by a pause of
 * the machine or a long computation, the workers may have been, too.
 */
#define WATCH_LIMIT_NS (2 * WATCH_MS * NANOSECONDS_PER_MILLISECOND)

struct watched {
	uint64_t rounds;
	uint64_t still_ns;
	bool is_stalled;
};

struct watch {
	uint64_t looked_ns;
	uint32_t stalled;
	int waited; /* eventfd: readable when a grace period is over */
	struct watched workers[];
};

static void tell(struct daemon *daemon, const struct worker *worker, struct watched *watched,
		 bool is_stalled)
{
	watched->is_stalled = is_stalled;
	if (is_stalled) {
		daemon->watch->stalled++;
		log_error("%s queue %u: the worker has stalled: it has not moved for %u ms",
			  worker_interface(worker), worker_queue(worker),
			  (unsigned)(watched->still_ns / NANOSECONDS_PER_MILLISECOND));
		return;
	}
	daemon->watch->stalled--;
	log_warning("%s queue %u: the worker moves again", worker_interface(worker),
		    worker_queue(worker));
}

static void look(struct daemon *daemon, struct worker *worker, struct watched *watched,
		 uint64_t elapsed_ns)
{
	uint64_t stall_ns = daemon->configuration->announce.stall_ns;
	uint64_t rounds = worker_rounds(worker);

	if (rounds != watched->rounds) {
		watched->rounds = rounds;
		watched->still_ns = 0;
		if (watched->is_stalled)
			tell(daemon, worker, watched, false);
		return;
	}
	watched->still_ns += elapsed_ns;
	/* One that sleeps is asked; it answers within a few microseconds. */
	if (watched->still_ns > stall_ns / 2)
		worker_wake(worker);
	if (watched->still_ns > stall_ns && !watched->is_stalled)
		tell(daemon, worker, watched, true);
}

void daemon_watch(struct daemon *daemon)
{
	struct watch *watch = daemon->watch;
	uint64_t now = clock_ns(), elapsed;
	uint32_t before = watch->stalled;

	elapsed = now - watch->looked_ns;
	watch->looked_ns = now;
	for (uint32_t i = 0; i < daemon->worker_count; i++)
		look(daemon, daemon->workers[i], &watch->workers[i],
		     elapsed < WATCH_LIMIT_NS ? elapsed : WATCH_LIMIT_NS);
	if (watch->stalled > before)
		daemon_announce_stop(daemon);
	else if (watch->stalled < before)
		daemon_settle(daemon);
}

bool daemon_has_stalled(const struct daemon *daemon)
{
	return daemon->watch != NULL && daemon->watch->stalled > 0;
}

bool daemon_worker_is_stalled(const void *context, uint32_t worker)
{
	const struct daemon *daemon = context;

	return daemon->watch != NULL && daemon->watch->workers[worker].is_stalled;
}

static void on_watch_timer(uv_timer_t *timer)
{
	daemon_watch(timer->data);
	daemon_announce_tick(timer->data);
}

int daemon_open_watch(struct daemon *daemon)
{
	struct watch *watch =
		calloc(1, sizeof(*watch) + daemon->worker_count * sizeof(watch->workers[0]));

	if (watch == NULL)
		return -ENOMEM;
	watch->waited = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (watch->waited < 0) {
		int error = -errno;

		free(watch);
		return error;
	}
	watch->looked_ns = clock_ns();
	daemon->watch = watch;
	uv_timer_init(&daemon->loop, &daemon->watch_timer);
	daemon->watch_timer.data = daemon;
	uv_timer_start(&daemon->watch_timer, on_watch_timer, WATCH_MS, WATCH_MS);
	return 0;
}

void daemon_close_watch(struct daemon *daemon)
{
	if (daemon->watch == NULL)
		return;
	close(daemon->watch->waited);
	free(daemon->watch);
	daemon->watch = NULL;
}

static void *wait_for_readers(void *argument)
{
	struct daemon *daemon = argument;
	uint64_t one = 1;

	rcu_wait_for_readers(&daemon->published);
	if (write(daemon->watch->waited, &one, sizeof(one)) < 0)
		log_error("telling the end of a grace period: %s", strerror(errno));
	return NULL;
}

void daemon_wait_for_readers(struct daemon *daemon)
{
	uint64_t ignored, told_ns = 0;
	pthread_t thread;

	/* Before workers run there is nobody to wait for; without a thread there is no watching. */
	if (daemon->watch == NULL || pthread_create(&thread, NULL, wait_for_readers, daemon) != 0) {
		rcu_wait_for_readers(&daemon->published);
		return;
	}
	while (read(daemon->watch->waited, &ignored, sizeof(ignored)) < 0) {
		struct pollfd descriptor = { .fd = daemon->watch->waited, .events = POLLIN };

		if (poll(&descriptor, 1, WATCH_MS) == 0)
			daemon_watch(daemon);
		if (!daemon_is_told_to_stop())
			continue;
		told_ns = told_ns != 0 ? told_ns : clock_ns();
		if (clock_ns() - told_ns > daemon->configuration->announce.stall_ns)
			daemon_end_now(daemon);
	}
	pthread_join(thread, NULL);
}
