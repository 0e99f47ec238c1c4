/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files metrics*.c share: one file for each kind of thing that has metrics, and
 * metrics_text.c for the format and the order.
 */
#ifndef FLUXPIN_METRICS_INTERNAL_H
#define FLUXPIN_METRICS_INTERNAL_H

#include <fluxpin/metrics.h>

/* The two lines in front of a family's samples; the name without "fluxpin_". */
void metrics_print_family(FILE *stream, const char *name, const char *type, const char *help);

/* A label value with the characters escaped that the format reserves. */
void metrics_print_escaped(FILE *stream, const char *text);

void metrics_print_workers(const struct metrics_source *source, FILE *stream);
void metrics_print_vips(const struct metrics_source *source, FILE *stream);
void metrics_print_backends(const struct metrics_source *source, FILE *stream);

/* One per backend and pool, of backends with a health check; none without any. */
void metrics_print_health(const struct metrics_source *source, FILE *stream);

/* What the source says of a backend, or what is so without anything that could say. */
struct metrics_backend metrics_read_backend(const struct metrics_source *source, uint32_t pool,
					    uint32_t backend);

/* The start of a backend's sample, up to where further labels may follow. */
void metrics_print_backend_sample(FILE *stream, const char *name,
				  const struct pool_configuration *pool,
				  const struct backend_configuration *backend);

/* An index's traffic over all workers; `counters` is worker_vips or worker_backends. */
struct traffic_counter
metrics_total(const struct metrics_source *source,
	      const struct traffic_counter *(*counters)(const struct worker *worker),
	      uint16_t index);

#endif
