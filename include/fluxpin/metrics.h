/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Prometheus textfile (text exposition format 0.0.4): written to a temporary file beside it
 * and renamed, so that the collector never reads half of one. docs/metrics.md describes each
 * metric.
 *
 * Thread: control; blocks on file writes.
 */
#ifndef FLUXPIN_METRICS_H
#define FLUXPIN_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <fluxpin/configuration.h>
#include <fluxpin/forwarding_builder.h>
#include <fluxpin/worker.h>

/* What the metrics are taken from. All of it belongs to the caller. */
struct metrics_source {
	const struct configuration *configuration;
	const struct forwarding_state *state;
	struct worker *const *workers;
	uint32_t worker_count;
	uint64_t generation;	      /* of the configuration: 1 for the one at the start */
	bool last_reload_successful;  /* true before the first reload */
	int64_t last_success_seconds; /* Unix time of the last configuration that became active */
	uint64_t reloads_succeeded;
	uint64_t reloads_failed;
};

/* Writes all metrics to a stream. */
void metrics_print(const struct metrics_source *source, FILE *stream);

/*
 * Replaces the file at `path`, mode 0644. Returns 0 or negative errno (the old file then stays);
 * -EINVAL when there is something else than a regular file, such as a device or a link.
 */
int metrics_write(const struct metrics_source *source, const char *path);

/* Removes the regular file, and a temporary one that may have been left. */
void metrics_remove(const char *path);

#endif
