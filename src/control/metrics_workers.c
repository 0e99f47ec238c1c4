/* SPDX-License-Identifier: BSD-2-Clause */
/* The families of workers: their counters, tables, sockets and frames. */
#include <inttypes.h>
#include <string.h>

#include "metrics_internal.h"

/* The start of a sample of a worker, up to where further labels may follow. */
static void worker_sample(FILE *stream, const char *name, const struct worker *worker)
{
	fprintf(stream, "fluxpin_%s{interface=\"", name);
	metrics_print_escaped(stream, worker_interface(worker));
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

static uint64_t read_busy_poll(const struct worker *worker, size_t which)
{
	(void)which;
	return worker_is_polling(worker);
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
	  "Fragments and ICMP errors given to another worker of the NIC, which counts them as "
	  "received.",
	  COUNTER(handed_over) },
	{ "fragment_datagrams", "gauge", "Datagrams in the fragment table.", REPORT(datagrams) },
	{ "fragments_held", "gauge", "Fragments that wait for the first one of their datagram.",
	  REPORT(fragments_held) },
	{ "worker_zero_copy", "gauge", "1 if the kernel granted zero-copy, 0 if frames are copied.",
	  read_zero_copy, 0 },
	{ "worker_busy_poll", "gauge",
	  "1 if the worker polls its queue, 0 if packets come by interrupts.", read_busy_poll, 0 },
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

static void print_simple(const struct metrics_source *source, FILE *stream)
{
	for (size_t i = 0; i < sizeof(worker_families) / sizeof(worker_families[0]); i++) {
		metrics_print_family(stream, worker_families[i].name, worker_families[i].type,
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
	metrics_print_family(stream, "worker_dropped_packets_total", "counter",
			     "Frames dropped, by reason.");
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
	metrics_print_family(stream, "connection_lookups_total", "counter",
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
	metrics_print_family(stream, "connections_by_state", "gauge",
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
	metrics_print_family(stream, "connection_untracked_by_reason_total", "counter",
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
	metrics_print_family(stream, "worker_umem_frames", "gauge",
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

static void print_stalled(const struct metrics_source *source, FILE *stream)
{
	if (source->is_stalled == NULL)
		return;
	metrics_print_family(stream, "worker_stalled", "gauge",
			     "1 if the worker does not move: its thread is stuck or starved.");
	for (uint32_t i = 0; i < source->worker_count; i++) {
		worker_sample(stream, "worker_stalled", source->workers[i]);
		fprintf(stream, "} %d\n", source->is_stalled(source->context, i));
	}
}

void metrics_print_workers(const struct metrics_source *source, FILE *stream)
{
	print_simple(source, stream);
	print_drops(source, stream);
	print_lookups(source, stream);
	print_connections(source, stream);
	print_ledgers(source, stream);
	print_stalled(source, stream);
}
