/* SPDX-License-Identifier: BSD-2-Clause */
/* The metrics file, and at the end what the log keeps of it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <fluxpin/duration.h>
#include <fluxpin/log.h>

#include "daemon_internal.h"

const char *daemon_metrics_path(const struct daemon *daemon)
{
	return daemon->options->metrics_file != NULL ? daemon->options->metrics_file
						     : daemon->configuration->metrics.textfile;
}

void daemon_write_metrics(struct daemon *daemon)
{
	const char *path = daemon_metrics_path(daemon);
	int error;

	if (path == NULL)
		return;
	error = metrics_write(&daemon->metrics, path);
	if (error != 0 && !daemon->metrics_failed)
		log_error("writing metrics to %s: %s", path,
			  error == -EINVAL ? "not a regular file" : strerror(-error));
	else if (error == 0 && daemon->metrics_failed)
		log_info("writing metrics to %s works again", path);
	daemon->metrics_failed = error != 0;
}

static void on_metrics_timer(uv_timer_t *timer)
{
	daemon_write_metrics(timer->data);
}

void daemon_start_metrics_timer(struct daemon *daemon)
{
	uint64_t interval =
		daemon->configuration->metrics.interval_ns / NANOSECONDS_PER_MILLISECOND;

	uv_timer_start(&daemon->metrics_timer, on_metrics_timer, interval, interval);
}

void daemon_log_totals(const struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		const struct worker *worker = daemon->workers[i];
		const struct counters *counters = worker_counters(worker);
		uint64_t dropped = 0;

		for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
			uint64_t count = counter_read(&counters->dropped[reason]);

			dropped += count;
			if (count > 0)
				log_info("%s queue %u: dropped %s %" PRIu64,
					 worker_interface(worker), worker_queue(worker),
					 drop_reason_label((enum drop_reason)reason), count);
		}
		log_info("%s queue %u: received %" PRIu64 ", forwarded %" PRIu64
			 ", slow path %" PRIu64 ", answered %" PRIu64 ", dropped %" PRIu64,
			 worker_interface(worker), worker_queue(worker),
			 counter_read(&counters->received.packets),
			 counter_read(&counters->forwarded.packets),
			 counter_read(&counters->slow_path), counter_read(&counters->answered),
			 dropped);
	}
}
