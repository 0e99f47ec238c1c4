/* SPDX-License-Identifier: BSD-2-Clause */
/* Workers as the control thread has them: set-up, start, questions, stop, teardown. */
#include "worker_internal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <fluxpin/log.h>

#define INDEX_COUNT 65536

/* What others handed over and waits for a worker: four batches. */
#define INBOX_SLOTS 256

/* Of the UMEM, that fragments which wait may take up. */
#define HELD_SHARE 8

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

uint64_t worker_huge_pages(const struct worker_options *options)
{
	uint64_t pages = memory_huge_pages(connection_table_size(options->connection_capacity)) +
			 memory_huge_pages(fragment_table_size(options->fragment_capacity)) +
			 memory_huge_pages((size_t)options->port.frames * options->port.frame_size);

	if (options->has_siblings)
		pages += memory_huge_pages(inbox_size(INBOX_SLOTS, options->port.frame_size));
	return pages;
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
	worker_publish_ledger(worker);
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
		error = -pthread_create(&worker->thread, &attributes, worker_run, worker);
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
	worker_wake(worker);
}

bool worker_is_surveying(const struct worker *worker)
{
	return __atomic_load_n(&worker->survey, __ATOMIC_ACQUIRE) != NULL;
}

uint64_t worker_rounds(const struct worker *worker)
{
	return __atomic_load_n(&worker->rounds, __ATOMIC_RELAXED);
}

void worker_keep_polling(struct worker *worker, bool is_on, uint64_t idle_ns)
{
	uint64_t polling_ns = !is_on ? 0 : idle_ns == 0 ? UINT64_MAX : idle_ns;

	if (__atomic_exchange_n(&worker->polling_ns, polling_ns, __ATOMIC_RELAXED) != polling_ns)
		worker_wake(worker);
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
	worker_wake(worker);
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
	worker_publish_ledger(worker);
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
