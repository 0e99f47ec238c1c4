/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <unistd.h>

#include <fluxpin/duration.h>

#include "control_answers.h"

static json_t *text_or_null(const char *text)
{
	json_t *string = text != NULL ? json_string(text) : NULL;

	/* A path may be any bytes; JSON holds UTF-8 only. */
	return string != NULL ? string : json_null();
}

static json_t *configuration_part(const struct daemon *daemon)
{
	const struct metrics_source *metrics = &daemon->metrics;
	struct configuration_size size = configuration_size(daemon->configuration);

	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I}", "file",
			 text_or_null(daemon->options->configuration_file), "generation",
			 control_number(metrics->generation), "active_since",
			 json_integer(metrics->last_success_seconds), "vips",
			 (json_int_t)daemon->configuration->vip_count, "pools",
			 (json_int_t)size.pools, "backends", (json_int_t)size.backends);
}

static json_t *interfaces_part(const struct daemon *daemon)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < daemon->device_count; i++) {
		const struct device *device = &daemon->devices[i];
		const struct interface *nic = &daemon->nics[i];

		json_array_append_new(
			array, json_pack("{s:s, s:s, s:I, s:b, s:b, s:I, s:I, s:s, s:b, s:o}",
					 "name", nic->name, "driver", nic->driver, "mtu",
					 (json_int_t)nic->mtu, "up", nic->is_up, "carrier",
					 nic->has_carrier, "queues", (json_int_t)nic->queue_count,
					 "served_queues", (json_int_t)device->queue_count,
					 "program", device->generic ? "generic" : "native",
					 "attached", !device->is_detached, "tap",
					 text_or_null(device->tap != NULL ? tap_name(device->tap)
									  : NULL)));
	}
	return array;
}

/* Of all workers together. */
static json_t *totals_part(const struct daemon *daemon)
{
	uint64_t drops[DROP_REASON_COUNT] = { 0 }, dropped = 0, connections = 0, capacity = 0;
	struct traffic_counter received = { 0 }, forwarded = { 0 };
	uint64_t slow_path = 0, answered = 0;

	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		const struct counters *counters = worker_counters(daemon->workers[i]);
		struct worker_report report;

		worker_read_report(daemon->workers[i], &report);
		connections += report.connections;
		capacity += report.connection_capacity;
		received.packets += counter_read(&counters->received.packets);
		received.bytes += counter_read(&counters->received.bytes);
		forwarded.packets += counter_read(&counters->forwarded.packets);
		forwarded.bytes += counter_read(&counters->forwarded.bytes);
		slow_path += counter_read(&counters->slow_path);
		answered += counter_read(&counters->answered);
		for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
			uint64_t count = counter_read(&counters->dropped[reason]);

			drops[reason] += count;
			dropped += count;
		}
	}
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "received_packets",
		control_number(received.packets), "received_bytes", control_number(received.bytes),
		"forwarded_packets", control_number(forwarded.packets), "forwarded_bytes",
		control_number(forwarded.bytes), "slow_path_packets", control_number(slow_path),
		"answered_packets", control_number(answered), "dropped_packets",
		control_number(dropped), "drops", control_drops(drops), "connections",
		control_number(connections), "connection_capacity", control_number(capacity));
}

static json_t *health_part(const struct daemon *daemon)
{
	struct health_totals totals = { 0 };

	if (daemon->health != NULL)
		health_read_totals(daemon->health, &totals);
	return json_pack("{s:I, s:I, s:s?}", "checks", (json_int_t)totals.probers, "suspended",
			 (json_int_t)totals.suspended, "reason", totals.reason);
}

static json_t *workers_part(const struct daemon *daemon)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < daemon->worker_count; i++)
		json_array_append_new(array, control_worker(daemon, i));
	return array;
}

void control_status(struct control_answers *answers, struct control_call *call,
		    const json_t *request)
{
	const struct daemon *daemon = answers->daemon;
	const struct metrics_source *metrics = &daemon->metrics;
	uint64_t now = clock_ns();
	json_t *warnings;

	if (!control_takes_nothing(call, request))
		return;
	warnings = control_find_warnings(answers);
	control_reply(
		call,
		json_pack("{s:s, s:I, s:o, s:o, s:o, s:{s:b, s:o, s:o}, s:o, s:o, s:o, s:o, "
			  "s:o, s:o, s:I}",
			  "version", FLUXPIN_VERSION, "pid", (json_int_t)getpid(), "uptime_ms",
			  control_number((now - answers->started_ns) / NANOSECONDS_PER_MILLISECOND),
			  "clock_ms", control_number(now / NANOSECONDS_PER_MILLISECOND),
			  "configuration", configuration_part(daemon), "reload", "successful",
			  metrics->last_reload_successful, "succeeded",
			  control_number(metrics->reloads_succeeded), "refused",
			  control_number(metrics->reloads_failed), "metrics_file",
			  text_or_null(daemon_metrics_path(daemon)), "interfaces",
			  interfaces_part(daemon), "workers", workers_part(daemon), "totals",
			  totals_part(daemon), "health", health_part(daemon), "drains",
			  control_drains(answers), "warnings",
			  (json_int_t)json_array_size(warnings)));
	json_decref(warnings);
}
