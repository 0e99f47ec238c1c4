/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/clock.h>
#include <fluxpin/log.h>
#include <fluxpin/memory.h>
#include <fluxpin/pipeline.h>
#include <fluxpin/worker.h>

#include "rcu.h"

/* Rounds without a frame before the worker sleeps: enough to bridge the gap between two frames of
 * a busy queue, too few to show on an idle one. */
#define ROUNDS_BEFORE_SLEEP 32

/* How often an idle worker looks at its timers. */
#define SLEEP_MS 1000

/* Bounds on what a stopping worker still does. */
#define STOP_BATCHES  1024
#define STOP_WAITS_MS 100

#define INDEX_COUNT 65536

/* Fragments that wait for a worker: four batches. */
#define INBOX_SLOTS 256

/*
 * Buckets of a survey that a batch is followed by: each is a cache line, read in order. With a
 * table of 2^20 entries, 95 % full, 32 take 0.5 us, and 5 us when none of what they touch is in any
 * cache. An idle worker delays nobody but what comes meanwhile.
 */
#define SURVEY_BUSY 32
#define SURVEY_IDLE 128

/* Of the UMEM, that fragments which wait may take up. */
#define HELD_SHARE 8

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

/* A sequence lock with this worker as its only writer; partner: worker_read_report. */
static void publish_ledger(struct worker *worker)
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

static void read_connections(const struct connection_table *table, struct worker_report *report)
{
	report->connection_capacity = (uint64_t)table->bucket_count * CONNECTION_BUCKET_ENTRIES;
	report->connections = counter_read(&table->count);
	for (int state = 0; state < CONNECTION_STATE_COUNT; state++)
		report->connection_states[state] = counter_read(&table->states[state]);
	report->connection_evictions = counter_read(&table->evictions);
	report->connection_moves = counter_read(&table->moves);
	report->connection_untracked_full = counter_read(&table->untracked);
	report->connection_untracked_rate = counter_read(&table->over_rate);
	report->connection_untracked =
		report->connection_untracked_full + report->connection_untracked_rate;
}

void worker_read_report(const struct worker *worker, struct worker_report *report)
{
	const uint32_t *shared = (const uint32_t *)&worker->ledger;
	uint32_t words[LEDGER_WORDS];
	uint32_t before, after;

	do {
		before = __atomic_load_n(&worker->version, __ATOMIC_ACQUIRE);
		for (uint32_t i = 0; i < LEDGER_WORDS; i++)
			words[i] = __atomic_load_n(&shared[i], __ATOMIC_ACQUIRE);
		after = __atomic_load_n(&worker->version, __ATOMIC_RELAXED);
	} while (before != after || (before & 1) != 0);
	memcpy(&report->ledger, words, sizeof(words));
	read_connections(&worker->connections, report);
	report->datagrams = counter_read(&worker->fragments.count);
	report->fragments_held = counter_read(&worker->fragments.held_count);
}

/* Of the coarse clock: read from the vDSO, no system call; its few milliseconds of grain are well
 * below the second that the connection table counts in. */
static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Ends a worker's sleep. Cannot fail: the counter is far from its limit. */
static void wake(const struct worker *worker)
{
	uint64_t one = 1;

	if (write(worker->wake, &one, sizeof(one)) < 0)
		log_error("waking a worker: %s", strerror(errno));
}

/* Those that sleep and got a fragment: as rare as it is that a worker has nothing else to do. */
static void wake_siblings(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->pipeline.wake_count; i++)
		wake(worker->siblings[worker->pipeline.wakes[i]]);
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
		struct timespec millisecond = { .tv_nsec = 1000000 };

		nanosleep(&millisecond, NULL);
		run_batch(worker, now_ns());
	}
	publish_ledger(worker);
}

/* A sleeping worker must not hold up a reload. */
static void sleep_until_work(struct worker *worker)
{
	uint64_t ignored;

	if (worker->options.has_siblings && !inbox_may_sleep(&worker->inbox))
		return;
	rcu_thread_offline();
	xsk_port_sleep(worker->port, worker->wake, SLEEP_MS);
	/* What it was woken for is looked at next: stop, or the inbox. */
	if (read(worker->wake, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
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
	if (!connection_survey_step(survey, &worker->connections, now / 1000000000,
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

static void *run(void *argument)
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
		if (now - published > UINT64_C(500000000)) {
			publish_ledger(worker);
			published = now;
		}
		if (idle_rounds <= ROUNDS_BEFORE_SLEEP) {
			idle_since = 0;
		} else if (!keeps_polling(worker, &idle_since)) {
			publish_ledger(worker);
			sleep_until_work(worker);
			idle_rounds = 0;
		}
	}
	finish(worker);
	rcu_unregister_thread();
	return NULL;
}

static int allocate(struct worker *worker)
{
	const struct worker_options *options = &worker->options;
	int error = memory_map(connection_table_size(options->connection_capacity),
			       &worker->connection_memory);

	if (error == 0)
		error = memory_map(fragment_table_size(options->fragment_capacity),
				   &worker->fragment_memory);
	if (error == 0 && options->has_siblings)
		error = memory_map(inbox_size(INBOX_SLOTS, options->port.frame_size),
				   &worker->inbox_memory);
	if (error == 0)
		error = memory_map_lazy(INDEX_COUNT * sizeof(struct traffic_counter),
					&worker->vip_memory);
	if (error == 0)
		error = memory_map_lazy(INDEX_COUNT * sizeof(struct traffic_counter),
					&worker->backend_memory);
	if (error != 0)
		return error;
	connection_table_initialise(&worker->connections, worker->connection_memory.base,
				    options->connection_capacity);
	fragment_table_initialise(&worker->fragments, worker->fragment_memory.base,
				  options->fragment_capacity, options->port.frames / HELD_SHARE,
				  options->fragment_timeout_ns);
	if (options->has_siblings)
		inbox_initialise(&worker->inbox, worker->inbox_memory.base, INBOX_SLOTS,
				 options->port.frame_size);
	return 0;
}

int worker_open(const struct worker_options *options, struct worker **result)
{
	struct worker *worker = aligned_alloc(64, sizeof(*worker));
	int error;

	if (worker == NULL)
		return -ENOMEM;
	memset(worker, 0, sizeof(*worker));
	worker->options = *options;
	worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	error = worker->wake < 0 ? -errno : allocate(worker);
	if (error == 0)
		error = xsk_port_open(&options->port, &worker->port);
	if (error != 0) {
		worker_close(worker);
		return error;
	}
	worker->pipeline = (struct pipeline){
		.port = xsk_port_port(worker->port),
		.connections = &worker->connections,
		.fragments = &worker->fragments,
		.counters = &worker->counters,
		.vips = worker->vip_memory.base,
		.backends = worker->backend_memory.base,
		.interface = options->interface,
	};
	publish_ledger(worker);
	*result = worker;
	return 0;
}

int worker_join(struct worker *const *workers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct worker *worker = workers[i];

		worker->inboxes = calloc(count, sizeof(struct inbox *));
		if (worker->inboxes == NULL)
			return -ENOMEM;
		for (uint32_t j = 0; j < count; j++)
			worker->inboxes[j] = &workers[j]->inbox;
		worker->siblings = workers;
		worker->pipeline.inboxes = worker->inboxes;
		worker->pipeline.inbox_count = count;
		worker->pipeline.inbox_own = i;
	}
	return 0;
}

static int set_attributes(const struct worker *worker, pthread_attr_t *attributes)
{
	cpu_set_t cpus;

	if (worker->options.cpu < 0)
		return 0;
	CPU_ZERO(&cpus);
	CPU_SET((size_t)worker->options.cpu, &cpus);
	return -pthread_attr_setaffinity_np(attributes, sizeof(cpus), &cpus);
}

int worker_start(struct worker *worker)
{
	pthread_attr_t attributes;
	char name[16];
	int error;

	pthread_attr_init(&attributes);
	error = set_attributes(worker, &attributes);
	if (error == 0)
		error = -pthread_create(&worker->thread, &attributes, run, worker);
	pthread_attr_destroy(&attributes);
	if (error != 0) {
		log_error("%s queue %u: starting the worker on CPU %d: %s",
			  worker_interface(worker), worker_queue(worker), worker->options.cpu,
			  strerror(-error));
		return error;
	}
	worker->is_running = true;
	/* The last characters of the interface's name tell more than the first. */
	snprintf(name, sizeof(name), "w/%.8s:%u", worker_interface(worker),
		 worker_queue(worker) % 10000);
	pthread_setname_np(worker->thread, name);
	return 0;
}

void worker_survey(struct worker *worker, struct connection_survey *survey)
{
	/* Partner: go_on_surveying. */
	__atomic_store_n(&worker->survey, survey, __ATOMIC_RELEASE);
	wake(worker);
}

bool worker_is_surveying(const struct worker *worker)
{
	return __atomic_load_n(&worker->survey, __ATOMIC_ACQUIRE) != NULL;
}

uint64_t worker_rounds(const struct worker *worker)
{
	return __atomic_load_n(&worker->rounds, __ATOMIC_RELAXED);
}

void worker_wake(struct worker *worker)
{
	wake(worker);
}

void worker_keep_polling(struct worker *worker, bool is_on, uint64_t idle_ns)
{
	uint64_t polling_ns = !is_on ? 0 : idle_ns == 0 ? UINT64_MAX : idle_ns;

	if (__atomic_exchange_n(&worker->polling_ns, polling_ns, __ATOMIC_RELAXED) != polling_ns)
		wake(worker);
}

bool worker_is_polling(const struct worker *worker)
{
	return __atomic_load_n(&worker->polling_ns, __ATOMIC_RELAXED) != 0;
}

void worker_request_stop(struct worker *worker)
{
	if (!worker->is_running)
		return;
	__atomic_store_n(&worker->stop, true, __ATOMIC_RELEASE);
	wake(worker);
}

void worker_stop(struct worker *worker)
{
	if (!worker->is_running)
		return;
	worker_request_stop(worker);
	pthread_join(worker->thread, NULL);
	worker->is_running = false;
}

void worker_finish(struct worker *worker)
{
	pipeline_finish(&worker->pipeline);
	publish_ledger(worker);
}

void worker_close(struct worker *worker)
{
	if (worker == NULL)
		return;
	xsk_port_close(worker->port);
	free(worker->inboxes);
	memory_unmap(&worker->inbox_memory);
	memory_unmap(&worker->fragment_memory);
	memory_unmap(&worker->backend_memory);
	memory_unmap(&worker->vip_memory);
	memory_unmap(&worker->connection_memory);
	if (worker->wake >= 0)
		close(worker->wake);
	free(worker);
}

const char *worker_interface(const struct worker *worker)
{
	return worker->options.port.interface;
}

uint32_t worker_ordinal(const struct worker *worker)
{
	return worker->options.interface;
}

uint32_t worker_queue(const struct worker *worker)
{
	return worker->options.port.queue;
}

int worker_cpu(const struct worker *worker)
{
	return worker->options.cpu;
}

struct xsk_port *worker_port(const struct worker *worker)
{
	return worker->port;
}

enum memory_pages worker_connection_pages(const struct worker *worker)
{
	return worker->connection_memory.pages;
}

const struct counters *worker_counters(const struct worker *worker)
{
	return &worker->counters;
}

const struct traffic_counter *worker_vips(const struct worker *worker)
{
	return worker->vip_memory.base;
}

const struct traffic_counter *worker_backends(const struct worker *worker)
{
	return worker->backend_memory.base;
}

static void reset(struct traffic_counter *counter)
{
	__atomic_store_n(&counter->packets, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&counter->bytes, 0, __ATOMIC_RELAXED);
}

void worker_reset_vip(struct worker *worker, uint16_t index)
{
	reset(&((struct traffic_counter *)worker->vip_memory.base)[index]);
}

void worker_reset_backend(struct worker *worker, uint16_t index)
{
	reset(&((struct traffic_counter *)worker->backend_memory.base)[index]);
}
