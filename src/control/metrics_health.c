/* SPDX-License-Identifier: BSD-2-Clause */
/* The families of health checks. */
#include <inttypes.h>

#include <fluxpin/duration.h>

#include "metrics_internal.h"

/* Writes a backend's samples: several when the family has a label of its own. */
typedef void sample_printer(FILE *stream, const char *name, const struct pool_configuration *pool,
			    const struct backend_configuration *backend,
			    const struct metrics_backend *health);

static void print_changes(FILE *stream, const char *name, const struct pool_configuration *pool,
			  const struct backend_configuration *backend,
			  const struct metrics_backend *health)
{
	metrics_print_backend_sample(stream, name, pool, backend);
	fprintf(stream, "} %" PRIu64 "\n", health->flaps);
}

static void print_probes(FILE *stream, const char *name, const struct pool_configuration *pool,
			 const struct backend_configuration *backend,
			 const struct metrics_backend *health)
{
	metrics_print_backend_sample(stream, name, pool, backend);
	fprintf(stream, ",result=\"success\"} %" PRIu64 "\n", health->probes_good);
	metrics_print_backend_sample(stream, name, pool, backend);
	fprintf(stream, ",result=\"failure\"} %" PRIu64 "\n", health->probes_bad);
}

static void print_suspended(FILE *stream, const char *name, const struct pool_configuration *pool,
			    const struct backend_configuration *backend,
			    const struct metrics_backend *health)
{
	metrics_print_backend_sample(stream, name, pool, backend);
	fprintf(stream, "} %d\n", health->is_suspended);
}

static void print_latency(FILE *stream, const char *name, const struct pool_configuration *pool,
			  const struct backend_configuration *backend,
			  const struct metrics_backend *health)
{
	metrics_print_backend_sample(stream, name, pool, backend);
	fprintf(stream, "} %" PRIu64 ".%09" PRIu64 "\n",
		health->latency_ns / NANOSECONDS_PER_SECOND,
		health->latency_ns % NANOSECONDS_PER_SECOND);
}

static const struct {
	const char *name;
	const char *type;
	const char *help;
	sample_printer *print;
	bool needs_success; /* left out of backends of which no probe has succeeded */
} families[] = {
	{ "backend_health_changes_total", "counter",
	  "Times that the backend became healthy or stopped being so.", print_changes, false },
	{ "health_probes_total", "counter", "Probes of the backend, by result.", print_probes,
	  false },
	{ "health_check_suspended", "gauge",
	  "1 if probes of the backend cannot be sent by this host, so that its health is held.",
	  print_suspended, false },
	{ "health_probe_latency_seconds", "gauge", "Duration of the last probe that succeeded.",
	  print_latency, true },
};

static void print_family(const struct metrics_source *source, FILE *stream, size_t family)
{
	bool is_begun = false;

	for (uint32_t i = 0; i < source->configuration->pool_count; i++) {
		const struct pool_configuration *pool = &source->configuration->pools[i];

		for (uint32_t j = 0; j < pool->backend_count; j++) {
			const struct metrics_backend health = metrics_read_backend(source, i, j);

			if (!health.is_checked ||
			    (families[family].needs_success && health.probes_good == 0))
				continue;
			if (!is_begun)
				metrics_print_family(stream, families[family].name,
						     families[family].type, families[family].help);
			is_begun = true;
			families[family].print(stream, families[family].name, pool,
					       &pool->backends[j], &health);
		}
	}
}

void metrics_print_health(const struct metrics_source *source, FILE *stream)
{
	if (source->backend == NULL)
		return;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		print_family(source, stream, i);
}
