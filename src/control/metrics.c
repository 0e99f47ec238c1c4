/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fluxpin/metrics.h>

static void family(FILE *stream, const char *name, const char *type, const char *help)
{
	fprintf(stream, "# HELP fluxpin_%s %s\n# TYPE fluxpin_%s %s\n", name, help, name, type);
}

/* A label value with the characters escaped that the format reserves. */
static void print_escaped(FILE *stream, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			fputs("\\n", stream);
		else if (*text == '"' || *text == '\\')
			fprintf(stream, "\\%c", *text);
		else
			fputc(*text, stream);
	}
}

/* The start of a sample of a worker, up to where further labels may follow. */
static void worker_sample(FILE *stream, const char *name, const struct worker *worker)
{
	fprintf(stream, "fluxpin_%s{interface=\"", name);
	print_escaped(stream, worker_interface(worker));
	fprintf(stream, "\",queue=\"%u\"", worker_queue(worker));
}

/* Reads one number of a worker; `which` tells which where a reader serves several. */
typedef uint64_t worker_reader(const struct worker *worker, size_t which);

static uint64_t read_counter(const struct worker *worker, size_t offset)
{
	return counter_read(
		(const uint64_t *)(const void *)((const char *)worker_counters(worker) + offset));
}

static uint64_t read_zero_copy(const struct worker *worker, size_t which)
{
	(void)which;
	return xsk_port_is_zero_copy(worker_port(worker));
}

static uint64_t read_report(const struct worker *worker, size_t offset)
{
	struct worker_report report;
	uint64_t value;

	worker_read_report(worker, &report);
	memcpy(&value, (const char *)&report + offset, sizeof(value));
	return value;
}

static uint64_t read_statistics(const struct worker *worker, size_t offset)
{
	struct xsk_statistics statistics = { 0 };
	uint64_t value;

	xsk_port_read_statistics(worker_port(worker), &statistics);
	memcpy(&value, (const char *)&statistics + offset, sizeof(value));
	return value;
}

#ifdef FLUXPIN_LEDGER
static uint64_t read_sent_in_place(const struct worker *worker, size_t which)
{
	(void)which;
	return xsk_port_sent_in_place(worker_port(worker));
}
#endif

#define COUNTER(field)	  read_counter, offsetof(struct counters, field)
#define REPORT(field)	  read_report, offsetof(struct worker_report, field)
#define STATISTICS(field) read_statistics, offsetof(struct xsk_statistics, field)

/* The families that have one sample per worker. */
static const struct {
	const char *name;
	const char *type;
	const char *help;
	worker_reader *read;
	size_t which;
} worker_families[] = {
	{ "worker_received_packets_total", "counter", "Frames that arrived on the queue.",
	  COUNTER(received.packets) },
	{ "worker_received_bytes_total", "counter", "Bytes of those frames.",
	  COUNTER(received.bytes) },
	{ "worker_forwarded_packets_total", "counter", "Frames sent to backends.",
	  COUNTER(forwarded.packets) },
	{ "worker_forwarded_bytes_total", "counter",
	  "Bytes of those frames, outer headers included.", COUNTER(forwarded.bytes) },
	{ "worker_slow_path_packets_total", "counter", "Frames handed to the kernel.",
	  COUNTER(slow_path) },
	{ "worker_answered_packets_total", "counter",
	  "Frames answered by the load balancer itself.", COUNTER(answered) },
	{ "worker_parts_sent_total", "counter",
	  "Frames sent above one per packet, because IPv4 packets were split.",
	  COUNTER(parts_sent) },
	{ "worker_decapsulated_packets_total", "counter",
	  "Packets for a VIP that came in a tunnel.", COUNTER(decapsulated) },
	{ "worker_handed_over_packets_total", "counter",
	  "Fragments given to another worker of the NIC, which counts them as received.",
	  COUNTER(handed_over) },
	{ "fragment_datagrams", "gauge", "Datagrams in the fragment table.", REPORT(datagrams) },
	{ "fragments_held", "gauge", "Fragments that wait for the first one of their datagram.",
	  REPORT(fragments_held) },
	{ "worker_zero_copy", "gauge", "1 if the kernel granted zero-copy, 0 if frames are copied.",
	  read_zero_copy, 0 },
	{ "connections", "gauge", "Flows in the connection table.", REPORT(connections) },
	{ "connection_capacity", "gauge", "Flows that the connection table has room for.",
	  REPORT(connection_capacity) },
	{ "connection_evictions_total", "counter",
	  "Flows that had sent SYNs or one packet only and made room for another one.",
	  REPORT(connection_evictions) },
	{ "connection_moves_total", "counter",
	  "Flows moved within the connection table to make room for others.",
	  REPORT(connection_moves) },
	{ "connection_untracked_total", "counter",
	  "Packets whose flow was not put into the table and went by consistent hash.",
	  REPORT(connection_untracked) },
	{ "xsk_rx_dropped_total", "counter", "Frames that the kernel dropped at the socket.",
	  STATISTICS(rx_dropped) },
	{ "xsk_rx_ring_full_total", "counter", "Frames dropped because the RX ring was full.",
	  STATISTICS(rx_ring_full) },
	{ "xsk_fill_ring_empty_total", "counter", "Times the kernel found the fill ring empty.",
	  STATISTICS(fill_ring_empty) },
	{ "xsk_tx_invalid_total", "counter", "TX descriptors that the kernel refused.",
	  STATISTICS(tx_invalid) },
#ifdef FLUXPIN_LEDGER
	{ "worker_sent_in_place_packets_total", "counter",
	  "Frames sent that are the ones in which their packets arrived.", read_sent_in_place, 0 },
#endif
};

static void print_worker_families(const struct metrics_source *source, FILE *stream)
{
	for (size_t i = 0; i < sizeof(worker_families) / sizeof(worker_families[0]); i++) {
		family(stream, worker_families[i].name, worker_families[i].type,
		       worker_families[i].help);
		for (uint32_t j = 0; j < source->worker_count; j++) {
			const struct worker *worker = source->workers[j];

			worker_sample(stream, worker_families[i].name, worker);
			fprintf(stream, "} %" PRIu64 "\n",
				worker_families[i].read(worker, worker_families[i].which));
		}
	}
}

static void print_drops(const struct metrics_source *source, FILE *stream)
{
	family(stream, "worker_dropped_packets_total", "counter", "Frames dropped, by reason.");
	for (uint32_t i = 0; i < source->worker_count; i++)
		for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
			worker_sample(stream, "worker_dropped_packets_total", source->workers[i]);
			fprintf(stream, ",reason=\"%s\"} %" PRIu64 "\n",
				drop_reason_label((enum drop_reason)reason),
				counter_read(
					&worker_counters(source->workers[i])->dropped[reason]));
		}
}

static void print_lookups(const struct metrics_source *source, FILE *stream)
{
	family(stream, "connection_lookups_total", "counter",
	       "Connection table lookups of packets that do not open a connection.");
	for (uint32_t i = 0; i < source->worker_count; i++) {
		const struct counters *counters = worker_counters(source->workers[i]);
		const struct {
			const char *result;
			const uint64_t *counter;
		} results[] = { { "hit", &counters->lookups_hit },
				{ "miss", &counters->lookups_miss },
				{ "stale", &counters->lookups_stale } };

		for (int j = 0; j < 3; j++) {
			worker_sample(stream, "connection_lookups_total", source->workers[i]);
			fprintf(stream, ",result=\"%s\"} %" PRIu64 "\n", results[j].result,
				counter_read(results[j].counter));
		}
	}
}

static void print_connections(const struct metrics_source *source, FILE *stream)
{
	family(stream, "connections_by_state", "gauge",
	       "Flows in the connection table, by what their clients sent.");
	for (uint32_t i = 0; i < source->worker_count; i++) {
		struct worker_report report;

		worker_read_report(source->workers[i], &report);
		for (int state = CONNECTION_EMPTY + 1; state < CONNECTION_STATE_COUNT; state++) {
			worker_sample(stream, "connections_by_state", source->workers[i]);
			fprintf(stream, ",state=\"%s\"} %" PRIu64 "\n",
				connection_state_label((enum connection_state)state),
				report.connection_states[state]);
		}
	}
	family(stream, "connection_untracked_by_reason_total", "counter",
	       "Packets whose flow was not put into the table, by reason.");
	for (uint32_t i = 0; i < source->worker_count; i++) {
		struct worker_report report;

		worker_read_report(source->workers[i], &report);
		worker_sample(stream, "connection_untracked_by_reason_total", source->workers[i]);
		fprintf(stream, ",reason=\"full\"} %" PRIu64 "\n",
			report.connection_untracked_full);
		worker_sample(stream, "connection_untracked_by_reason_total", source->workers[i]);
		fprintf(stream, ",reason=\"rate\"} %" PRIu64 "\n",
			report.connection_untracked_rate);
	}
}

static void print_ledgers(const struct metrics_source *source, FILE *stream)
{
	family(stream, "worker_umem_frames", "gauge",
	       "Frames of the UMEM by where they are; their sum never changes.");
	for (uint32_t i = 0; i < source->worker_count; i++) {
		struct worker_report report;

		worker_read_report(source->workers[i], &report);

		const struct {
			const char *state;
			uint32_t frames;
		} places[] = {
			{ "free", report.ledger.free }, { "fill", report.ledger.fill },
			{ "rx", report.ledger.rx },	{ "hand", report.ledger.hand },
			{ "tx", report.ledger.tx },	{ "completion", report.ledger.completion }
		};

		for (int j = 0; j < 6; j++) {
			worker_sample(stream, "worker_umem_frames", source->workers[i]);
			fprintf(stream, ",state=\"%s\"} %u\n", places[j].state, places[j].frames);
		}
	}
}

/* An index's traffic over all workers. */
static struct traffic_counter
total(const struct metrics_source *source,
      const struct traffic_counter *(*counters)(const struct worker *worker), uint16_t index)
{
	struct traffic_counter sum = { 0 };

	for (uint32_t i = 0; i < source->worker_count; i++) {
		const struct traffic_counter *counter = &counters(source->workers[i])[index];

		sum.packets += counter_read(&counter->packets);
		sum.bytes += counter_read(&counter->bytes);
	}
	return sum;
}

static void print_vips(const struct metrics_source *source, FILE *stream, bool bytes)
{
	const char *name = bytes ? "vip_bytes_total" : "vip_packets_total";

	family(stream, name, "counter",
	       bytes ? "Bytes of the frames received for the VIP."
		     : "Frames received for the VIP, dropped ones included.");
	for (uint32_t i = 0; i < source->configuration->vip_count; i++) {
		struct traffic_counter sum =
			total(source, worker_vips, source->state->tables->vip_indexes[i]);

		fprintf(stream, "fluxpin_%s{vip=\"", name);
		print_escaped(stream, source->configuration->vips[i].name);
		fprintf(stream, "\"} %" PRIu64 "\n", bytes ? sum.bytes : sum.packets);
	}
}

enum backend_field {
	BACKEND_PACKETS,
	BACKEND_BYTES,
	BACKEND_HEALTHY,
	BACKEND_WEIGHT,
	BACKEND_FIELD_COUNT,
};

static const struct {
	const char *name;
	const char *type;
	const char *help;
} backend_families[BACKEND_FIELD_COUNT] = {
	[BACKEND_PACKETS] = { "backend_packets_total", "counter", "Frames sent to the backend." },
	[BACKEND_BYTES] = { "backend_bytes_total", "counter",
			    "Bytes of those frames, outer headers included." },
	[BACKEND_HEALTHY] = { "backend_healthy", "gauge", "1 if the backend counts as healthy." },
	[BACKEND_WEIGHT] = { "backend_weight", "gauge", "Weight in use; 0 drains the backend." },
};

static uint64_t backend_value(const struct metrics_source *source,
			      const struct forwarding_backend *backend,
			      const struct backend_configuration *configuration,
			      enum backend_field field)
{
	switch (field) {
	case BACKEND_PACKETS:
		return total(source, worker_backends, backend->index).packets;
	case BACKEND_BYTES:
		return total(source, worker_backends, backend->index).bytes;
	case BACKEND_WEIGHT:
		return configuration->weight;
	default:
		return 1;
	}
}

static void print_backends(const struct metrics_source *source, FILE *stream,
			   enum backend_field field)
{
	const struct forwarding_tables *tables = source->state->tables;

	family(stream, backend_families[field].name, backend_families[field].type,
	       backend_families[field].help);
	for (uint32_t i = 0; i < tables->backend_count; i++) {
		const struct forwarding_backend *backend = &tables->backends[i];
		const struct pool_configuration *pool =
			&source->configuration->pools[backend->pool];
		const struct backend_configuration *configuration =
			&pool->backends[backend->backend];

		fprintf(stream, "fluxpin_%s{pool=\"", backend_families[field].name);
		print_escaped(stream, pool->name);
		fputs("\",backend=\"", stream);
		print_escaped(stream, configuration->name);
		fprintf(stream, "\"} %" PRIu64 "\n",
			backend_value(source, backend, configuration, field));
	}
}

static void print_configuration(const struct metrics_source *source, FILE *stream)
{
	family(stream, "build_info", "gauge", "Always 1; the version is in the label.");
	fprintf(stream, "fluxpin_build_info{version=\"%s\"} 1\n", FLUXPIN_VERSION);
	family(stream, "config_generation", "gauge",
	       "Number of the active configuration, 1 at the start.");
	fprintf(stream, "fluxpin_config_generation %" PRIu64 "\n", source->generation);
	family(stream, "config_last_reload_successful", "gauge",
	       "1 if the last reload became active, 0 if it was refused.");
	fprintf(stream, "fluxpin_config_last_reload_successful %d\n",
		source->last_reload_successful);
	family(stream, "config_last_reload_success_timestamp_seconds", "gauge",
	       "When the active configuration became active, Unix time.");
	fprintf(stream, "fluxpin_config_last_reload_success_timestamp_seconds %" PRId64 "\n",
		source->last_success_seconds);
	family(stream, "config_reloads_total", "counter", "Reloads asked for, by outcome.");
	fprintf(stream, "fluxpin_config_reloads_total{outcome=\"success\"} %" PRIu64 "\n",
		source->reloads_succeeded);
	fprintf(stream, "fluxpin_config_reloads_total{outcome=\"refused\"} %" PRIu64 "\n",
		source->reloads_failed);
}

void metrics_print(const struct metrics_source *source, FILE *stream)
{
	print_configuration(source, stream);
	print_worker_families(source, stream);
	print_drops(source, stream);
	print_lookups(source, stream);
	print_connections(source, stream);
	print_ledgers(source, stream);
	print_vips(source, stream, false);
	print_vips(source, stream, true);
	for (int field = 0; field < BACKEND_FIELD_COUNT; field++)
		print_backends(source, stream, (enum backend_field)field);
}

/* Beside the file, so that the rename stays within one file system. The collector reads *.prom
 * only. */
static char *temporary_path(const char *path)
{
	char *temporary;

	return asprintf(&temporary, "%s.tmp", path) < 0 ? NULL : temporary;
}

/* A rename over a device such as /dev/null would replace it for the whole host. */
static bool is_replaceable(const char *path)
{
	struct stat status;

	return lstat(path, &status) != 0 || S_ISREG(status.st_mode);
}

static int print_to_memory(const struct metrics_source *source, char **text, size_t *length)
{
	FILE *stream = open_memstream(text, length);

	if (stream == NULL)
		return -errno;
	metrics_print(source, stream);
	return fclose(stream) != 0 ? -ENOMEM : 0;
}

static int write_all(int descriptor, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t written = write(descriptor, text, length);

		if (written < 0 && errno != EINTR)
			return -errno;
		if (written > 0) {
			text += written;
			length -= (size_t)written;
		}
	}
	return 0;
}

int metrics_write(const struct metrics_source *source, const char *path)
{
	char *temporary = temporary_path(path), *text = NULL;
	int descriptor, error;
	size_t length;

	if (temporary == NULL)
		return -ENOMEM;
	error = is_replaceable(path) ? print_to_memory(source, &text, &length) : -EINVAL;
	if (error != 0)
		goto out;
	descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (descriptor < 0) {
		error = -errno;
		goto out;
	}
	error = write_all(descriptor, text, length);
	/* Whatever the umask: another user's collector has to read it. */
	if (fchmod(descriptor, 0644) != 0 && error == 0)
		error = -errno;
	if (close(descriptor) != 0 && error == 0)
		error = -errno;
	if (error == 0 && rename(temporary, path) != 0)
		error = -errno;
	if (error != 0)
		unlink(temporary);
out:
	free(text);
	free(temporary);
	return error;
}

void metrics_remove(const char *path)
{
	char *temporary = temporary_path(path);

	if (!is_replaceable(path)) {
		free(temporary);
		return;
	}
	unlink(path);
	if (temporary != NULL)
		unlink(temporary);
	free(temporary);
}
