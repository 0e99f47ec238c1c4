/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "control_answers.h"

json_t *control_drops(const uint64_t drops[static DROP_REASON_COUNT])
{
	json_t *object = json_object();

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		if (drops[reason] > 0)
			json_object_set_new(object, drop_reason_label((enum drop_reason)reason),
					    control_number(drops[reason]));
	return object;
}

static json_t *counters_to_json(const struct counters *counters)
{
	uint64_t drops[DROP_REASON_COUNT], dropped = 0;

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
		drops[reason] = counter_read(&counters->dropped[reason]);
		dropped += drops[reason];
	}
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "received_packets",
		control_number(counter_read(&counters->received.packets)), "received_bytes",
		control_number(counter_read(&counters->received.bytes)), "forwarded_packets",
		control_number(counter_read(&counters->forwarded.packets)), "forwarded_bytes",
		control_number(counter_read(&counters->forwarded.bytes)), "slow_path_packets",
		control_number(counter_read(&counters->slow_path)), "answered_packets",
		control_number(counter_read(&counters->answered)), "dropped_packets",
		control_number(dropped), "drops", control_drops(drops), "parts_sent",
		control_number(counter_read(&counters->parts_sent)), "decapsulated_packets",
		control_number(counter_read(&counters->decapsulated)), "handed_over_packets",
		control_number(counter_read(&counters->handed_over)));
}

static json_t *connections_to_json(const struct worker_report *report,
				   const struct counters *counters)
{
	json_t *states = json_object();

	for (int state = CONNECTION_EMPTY + 1; state < CONNECTION_STATE_COUNT; state++)
		json_object_set_new(states, connection_state_label((enum connection_state)state),
				    control_number(report->connection_states[state]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "capacity",
			 control_number(report->connection_capacity), "count",
			 control_number(report->connections), "states", states, "evictions",
			 control_number(report->connection_evictions), "untracked_full",
			 control_number(report->connection_untracked_full), "untracked_rate",
			 control_number(report->connection_untracked_rate), "lookups_hit",
			 control_number(counter_read(&counters->lookups_hit)), "lookups_miss",
			 control_number(counter_read(&counters->lookups_miss)), "lookups_stale",
			 control_number(counter_read(&counters->lookups_stale)));
}

static json_t *ledger_to_json(const struct xsk_ledger *ledger)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "free", (json_int_t)ledger->free, "fill",
			 (json_int_t)ledger->fill, "rx", (json_int_t)ledger->rx, "hand",
			 (json_int_t)ledger->hand, "tx", (json_int_t)ledger->tx, "completion",
			 (json_int_t)ledger->completion);
}

static json_t *statistics_to_json(const struct worker *worker)
{
	struct xsk_statistics statistics = { 0 };

	if (xsk_port_read_statistics(worker_port(worker), &statistics) != 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "rx_dropped",
			 control_number(statistics.rx_dropped), "rx_invalid",
			 control_number(statistics.rx_invalid), "tx_invalid",
			 control_number(statistics.tx_invalid), "rx_ring_full",
			 control_number(statistics.rx_ring_full), "fill_ring_empty",
			 control_number(statistics.fill_ring_empty), "tx_ring_empty",
			 control_number(statistics.tx_ring_empty));
}

bool control_is_stalled(const struct daemon *daemon, uint32_t i)
{
	const struct metrics_source *metrics = &daemon->metrics;

	return metrics->is_stalled != NULL && metrics->is_stalled(metrics->context, i);
}

json_t *control_worker(const struct daemon *daemon, uint32_t number)
{
	const struct worker *worker = daemon->workers[number];
	const struct counters *counters = worker_counters(worker);
	struct worker_report report;
	const char *mode = "copy";

	worker_read_report(worker, &report);
	for (uint32_t i = 0; i < daemon->device_count; i++)
		if (strcmp(daemon->nics[i].name, worker_interface(worker)) == 0 &&
		    daemon->devices[i].generic)
			mode = "skb";
	if (xsk_port_is_zero_copy(worker_port(worker)))
		mode = "zerocopy";
	return json_pack("{s:s, s:I, s:I, s:s, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:{s:o, s:o}}",
			 "interface", worker_interface(worker), "queue",
			 (json_int_t)worker_queue(worker), "cpu", (json_int_t)worker_cpu(worker),
			 "mode", mode, "zero_copy", xsk_port_is_zero_copy(worker_port(worker)),
			 "busy_poll", worker_is_polling(worker), "stalled",
			 control_is_stalled(daemon, number), "counters", counters_to_json(counters),
			 "connections", connections_to_json(&report, counters), "umem_frames",
			 ledger_to_json(&report.ledger), "xsk", statistics_to_json(worker),
			 "fragments", "datagrams", control_number(report.datagrams), "held",
			 control_number(report.fragments_held));
}
