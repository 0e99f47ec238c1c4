/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metrics in Prometheus' text exposition format 0.0.4: to a stream, into memory, or to a textfile,
 * which is written to a temporary file beside it and renamed, so that the collector never reads
 * half of one. docs/metrics.md describes each metric.
 *
 * What the metrics do not find in the configuration, the forwarding state and the workers they
 * ask the source's functions for, once per sample: these must be quick and may not block.
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

/* What is known of a backend, put together by the caller. */
struct metrics_backend {
	bool is_checked; /* has a health check: what is counted below means something */
	bool is_healthy; /* true without a check */
	bool is_drained; /* by command */
	bool is_last_resort;
	bool is_suspended; /* its check cannot be sent: it keeps its state */
	uint16_t weight;   /* in use */
	uint64_t probes_good;
	uint64_t probes_bad;
	uint64_t flaps;	     /* changes of is_healthy */
	uint64_t latency_ns; /* of the last good probe */
};

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

	/* Each of these may be NULL, and is given `context`. Indexes are the configuration's, or
	 * those of `workers`. */
	const void *context;

	/* Fills in *out, which holds what is so of a backend without any check. NULL: all are. */
	void (*backend)(const void *context, uint32_t pool, uint32_t backend,
			struct metrics_backend *out);

	/* Whether the VIP is to be announced at all, and *is_announced: whether it is now. */
	bool (*announcement)(const void *context, uint32_t vip, bool *is_announced);

	/* Whether the worker has not moved for longer than it may. */
	bool (*is_stalled)(const void *context, uint32_t worker);
};

/* Writes all metrics to a stream. */
void metrics_print(const struct metrics_source *source, FILE *stream);

/* The same into memory, which the caller frees. Returns 0 or negative errno. */
int metrics_render(const struct metrics_source *source, char **text, size_t *length);

/*
 * Replaces the file at `path`, mode 0644. Returns 0 or negative errno (the old file then stays);
 * -EINVAL when there is something else than a regular file, such as a device or a link.
 */
int metrics_write(const struct metrics_source *source, const char *path);

/* Removes the regular file, and a temporary one that may have been left. */
void metrics_remove(const char *path);

#endif
