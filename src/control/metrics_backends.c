/* SPDX-License-Identifier: BSD-2-Clause */
/* The families of backends and pools: traffic, weight, and what they may do. */
#include <inttypes.h>

#include "metrics_internal.h"

enum backend_field {
	BACKEND_PACKETS,
	BACKEND_BYTES,
	BACKEND_HEALTHY,
	BACKEND_WEIGHT,
	BACKEND_DRAINED_BY_COMMAND,
	BACKEND_FIELD_COUNT,
};

static const struct {
	const char *name;
	const char *type;
	const char *help;
} families[BACKEND_FIELD_COUNT] = {
	[BACKEND_PACKETS] = { "backend_packets_total", "counter", "Frames sent to the backend." },
	[BACKEND_BYTES] = { "backend_bytes_total", "counter",
			    "Bytes of those frames, outer headers included." },
	[BACKEND_HEALTHY] = { "backend_healthy", "gauge", "1 if the backend counts as healthy." },
	[BACKEND_WEIGHT] = { "backend_weight", "gauge",
			     "Weight in use; 0: no new flows go there." },
	[BACKEND_DRAINED_BY_COMMAND] = { "backend_drained", "gauge",
					 "1 if the backend is drained by command." },
};

/* What a backend of a pool does; each is in one of these. */
enum serving_state {
	SERVING, /* gets new flows, in the last resort, too */
	DOWN,
	DRAINED, /* healthy, with a weight of 0 */
	SERVING_STATE_COUNT,
};

static const char *const serving_state_labels[SERVING_STATE_COUNT] = {
	[SERVING] = "serving",
	[DOWN] = "down",
	[DRAINED] = "drained",
};

struct metrics_backend metrics_read_backend(const struct metrics_source *source, uint32_t pool,
					    uint32_t backend)
{
	struct metrics_backend read = {
		.is_healthy = true,
		.weight = source->configuration->pools[pool].backends[backend].weight,
	};

	if (source->backend != NULL)
		source->backend(source->context, pool, backend, &read);
	return read;
}

void metrics_print_backend_sample(FILE *stream, const char *name,
				  const struct pool_configuration *pool,
				  const struct backend_configuration *backend)
{
	fprintf(stream, "fluxpin_%s{pool=\"", name);
	metrics_print_escaped(stream, pool->name);
	fputs("\",backend=\"", stream);
	metrics_print_escaped(stream, backend->name);
	fputc('"', stream);
}

static uint64_t backend_value(const struct metrics_source *source,
			      const struct forwarding_backend *backend, enum backend_field field)
{
	switch (field) {
	case BACKEND_PACKETS:
		return metrics_total(source, worker_backends, backend->index).packets;
	case BACKEND_BYTES:
		return metrics_total(source, worker_backends, backend->index).bytes;
	case BACKEND_HEALTHY:
		return metrics_read_backend(source, backend->pool, backend->backend).is_healthy;
	case BACKEND_WEIGHT:
		return metrics_read_backend(source, backend->pool, backend->backend).weight;
	default:
		return metrics_read_backend(source, backend->pool, backend->backend).is_drained;
	}
}

static void print_family(const struct metrics_source *source, FILE *stream,
			 enum backend_field field)
{
	const struct forwarding_tables *tables = source->state->tables;

	metrics_print_family(stream, families[field].name, families[field].type,
			     families[field].help);
	for (uint32_t i = 0; i < tables->backend_count; i++) {
		const struct forwarding_backend *backend = &tables->backends[i];
		const struct pool_configuration *pool =
			&source->configuration->pools[backend->pool];

		metrics_print_backend_sample(stream, families[field].name, pool,
					     &pool->backends[backend->backend]);
		fprintf(stream, "} %" PRIu64 "\n", backend_value(source, backend, field));
	}
}

static enum serving_state serving_state(const struct metrics_backend *backend)
{
	if (backend->weight > 0 && (backend->is_healthy || backend->is_last_resort))
		return SERVING;
	return backend->is_healthy ? DRAINED : DOWN;
}

static void print_pool_backends(const struct metrics_source *source, FILE *stream)
{
	metrics_print_family(stream, "pool_backends", "gauge",
			     "Backends of the pool, by what they do.");
	for (uint32_t i = 0; i < source->configuration->pool_count; i++) {
		const struct pool_configuration *pool = &source->configuration->pools[i];
		uint32_t counts[SERVING_STATE_COUNT] = { 0 };

		for (uint32_t j = 0; j < pool->backend_count; j++) {
			const struct metrics_backend backend = metrics_read_backend(source, i, j);

			counts[serving_state(&backend)]++;
		}
		for (int state = 0; state < SERVING_STATE_COUNT; state++) {
			fputs("fluxpin_pool_backends{pool=\"", stream);
			metrics_print_escaped(stream, pool->name);
			fprintf(stream, "\",state=\"%s\"} %u\n", serving_state_labels[state],
				counts[state]);
		}
	}
}

static void print_last_resort(const struct metrics_source *source, FILE *stream)
{
	metrics_print_family(stream, "pool_last_resort", "gauge",
			     "1 while all backends are down and all serve as a last resort.");
	for (uint32_t i = 0; i < source->configuration->pool_count; i++) {
		const struct pool_configuration *pool = &source->configuration->pools[i];
		bool is_last_resort = false;

		for (uint32_t j = 0; j < pool->backend_count && !is_last_resort; j++)
			is_last_resort = metrics_read_backend(source, i, j).is_last_resort;
		fputs("fluxpin_pool_last_resort{pool=\"", stream);
		metrics_print_escaped(stream, pool->name);
		fprintf(stream, "\"} %d\n", is_last_resort);
	}
}

void metrics_print_backends(const struct metrics_source *source, FILE *stream)
{
	for (int field = 0; field < BACKEND_FIELD_COUNT; field++)
		print_family(source, stream, (enum backend_field)field);
	print_pool_backends(source, stream);
	print_last_resort(source, stream);
}
