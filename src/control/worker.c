/* SPDX-License-Identifier: BSD-2-Clause */
/* The thread of a worker. */
#include "worker_internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/clock.h>
#include <fluxpin/duration.h>
#include <fluxpin/log.h>

#include "rcu.h"

/* Rounds without a frame before the worker sleeps: enough to bridge the gap between two frames of
 * a busy queue, too few to show on an idle one. */
#define ROUNDS_BEFORE_SLEEP 32

/* How often a busy worker shows where its frames are. */
#define PUBLISH_NS (500 * NANOSECONDS_PER_MILLISECOND)

/* How often an idle worker looks at its timers. */
#define SLEEP_MS 1000

/* Bounds on what a stopping worker still does. */
#define STOP_BATCHES  1024
#define STOP_WAITS_MS 100

/*
 * Buckets of a survey that a batch is followed by: each is a cache line, read in order. With a
 * table of 2^20 entries, 95 % full, 32 take 0.5 us, and 5 us when none of what they touch is in any
 * cache. An idle worker delays nobody but what comes meanwhile.
 */
#define SURVEY_BUSY 32
#define SURVEY_IDLE 128

/* A sequence lock with this worker as its only writer; partner: worker_read_report. */
void worker_publish_ledger(struct worker *worker)
{
	uint32_t words[LEDGER_WORDS];
	struct xsk_ledger ledger;
	uint32_t *shared = (uint32_t *)&worker->ledger;

	xsk_port_read_ledger(worker->port, &ledger);
	memcpy(words, &ledger, sizeof(words));
	__atomic_store_n(&worker->version, worker->version + 1, __ATOMIC_RELAXED);
	/* The odd version is seen before any of the new words (release stores of the words). */
	for (uint32_t i = 0; i < LEDGER_WORDS; i++)
		__atomic_store_n(&shared[i], words[i], __ATOMIC_RELEASE);
	__atomic_store_n(&worker->version, worker->version + 1, __ATOMIC_RELEASE);
}

/* Of the coarse clock: read from the vDSO, no system call; its few milliseconds of grain are well
 * below the second that the connection table counts in. */
static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Ends a worker's sleep. Cannot fail: the counter is far from its limit. */
void worker_wake(const struct worker *worker)
{
	uint64_t one = 1;

	if (write(worker->wake, &one, sizeof(one)) < 0)
		log_error("waking a worker: %s", strerror(errno));
}

/* Those that sleep and got something handed over: as rare as it is that a worker has nothing else
 * to do. */
static void wake_siblings(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->pipeline.wake_count; i++)
		worker_wake(worker->siblings[worker->pipeline.wakes[i]]);
	worker->pipeline.wake_count = 0;
}

static uint32_t run_batch(struct worker *worker, uint64_t now)
{
	const struct forwarding *forwarding = rcu_read(worker->options.forwarding);
	uint32_t count = pipeline_run(&worker->pipeline, forwarding, now);

	if (__builtin_expect(worker->pipeline.wake_count > 0, false))
		wake_siblings(worker);
	/* Nothing of this state is used beyond here; partner: publish in the control thread. */
	rcu_quiesce(worker->options.forwarding);
	return count;
}

static void finish(struct worker *worker)
{
	for (int i = 0; i < STOP_BATCHES && run_batch(worker, now_ns()) > 0; i++)
		;
	for (int i = 0; i < STOP_WAITS_MS && xsk_port_unsent(worker->port) > 0; i++) {
		struct timespec millisecond = { .tv_nsec = NANOSECONDS_PER_MILLISECOND };

		nanosleep(&millisecond, NULL);
		run_batch(worker, now_ns());
	}
	worker_publish_ledger(worker);
}

/* A sleeping worker must not hold up a reload. */
static void sleep_until_work(struct worker *worker)
{
	uint64_t ignored;

	if (worker->options.has_siblings && !inbox_may_sleep(&worker->inbox))
		return;
	rcu_thread_offline();
	/* What it was woken for is looked at next: stop, or the inbox. */
	if (xsk_port_sleep(worker->port, worker->wake, SLEEP_MS) &&
	    read(worker->wake, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
		log_error("reading the wake-up of a worker: %s", strerror(errno));
	rcu_thread_online();
	inbox_awake(&worker->inbox);
}

/* Goes on with the survey that was asked for, if one was. Returns whether there is more to do. */
static bool go_on_surveying(struct worker *worker, uint64_t now, bool is_idle)
{
	struct connection_survey *survey = __atomic_load_n(&worker->survey, __ATOMIC_ACQUIRE);

	if (__builtin_expect(survey == NULL, true))
		return false;
	if (!connection_survey_step(survey, &worker->connections, now / NANOSECONDS_PER_SECOND,
				    is_idle ? SURVEY_IDLE : SURVEY_BUSY))
		return true;
	/* What was found is seen by who sees this; partner: worker_is_surveying. */
	__atomic_store_n(&worker->survey, NULL, __ATOMIC_RELEASE);
	return false;
}

/* Of an idle worker: whether it goes on polling. *idle_since: on the exact clock, 0: not yet. */
static bool keeps_polling(const struct worker *worker, uint64_t *idle_since)
{
	uint64_t polling_ns = __atomic_load_n(&worker->polling_ns, __ATOMIC_RELAXED);

	if (polling_ns == 0 || polling_ns == UINT64_MAX)
		return polling_ns != 0;
	if (*idle_since == 0)
		*idle_since = clock_ns();
	return clock_ns() - *idle_since < polling_ns;
}

void *worker_run(void *argument)
{
	struct worker *worker = argument;
	uint32_t idle_rounds = 0;
	uint64_t published = 0, idle_since = 0;

	rcu_register_thread();
	while (!__atomic_load_n(&worker->stop, __ATOMIC_ACQUIRE)) {
		uint64_t now = now_ns();

		/* Orders nothing; partner: worker_rounds. */
		__atomic_store_n(&worker->rounds, worker->rounds + 1, __ATOMIC_RELAXED);
		if (run_batch(worker, now) > 0)
			idle_rounds = 0;
		else
			idle_rounds++;
		if (go_on_surveying(worker, now, idle_rounds > 0))
			idle_rounds = 1;
		if (now - published > PUBLISH_NS) {
			worker_publish_ledger(worker);
			published = now;
		}
		if (idle_rounds <= ROUNDS_BEFORE_SLEEP) {
			idle_since = 0;
		} else if (!keeps_polling(worker, &idle_since)) {
			worker_publish_ledger(worker);
			sleep_until_work(worker);
			idle_rounds = 0;
		}
	}
	finish(worker);
	rcu_unregister_thread();
	return NULL;
}
