/* SPDX-License-Identifier: BSD-2-Clause */
/* The text format, the families of the configuration and of VIPs, and the order of all. */
#include <inttypes.h>

#include "metrics_internal.h"

void metrics_print_family(FILE *stream, const char *name, const char *type, const char *help)
{
	fprintf(stream, "# HELP fluxpin_%s %s\n# TYPE fluxpin_%s %s\n", name, help, name, type);
}

void metrics_print_escaped(FILE *stream, const char *text)
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

struct traffic_counter
metrics_total(const struct metrics_source *source,
	      const struct traffic_counter *(*counters)(const struct worker *worker),
	      uint16_t index)
{
	struct traffic_counter sum = { 0 };

	for (uint32_t i = 0; i < source->worker_count; i++) {
		const struct traffic_counter *counter = &counters(source->workers[i])[index];

		sum.packets += counter_read(&counter->packets);
		sum.bytes += counter_read(&counter->bytes);
	}
	return sum;
}

static void print_vip_sample(FILE *stream, const char *name, const struct vip_configuration *vip,
			     uint64_t value)
{
	fprintf(stream, "fluxpin_%s{vip=\"", name);
	metrics_print_escaped(stream, vip->name);
	fprintf(stream, "\"} %" PRIu64 "\n", value);
}

static void print_vip_traffic(const struct metrics_source *source, FILE *stream, bool bytes)
{
	const char *name = bytes ? "vip_bytes_total" : "vip_packets_total";

	for (uint32_t i = 0; i < source->configuration->vip_count; i++) {
		struct traffic_counter sum =
			metrics_total(source, worker_vips, source->state->tables->vip_indexes[i]);

		print_vip_sample(stream, name, &source->configuration->vips[i],
				 bytes ? sum.bytes : sum.packets);
	}
}

static void print_announced(const struct metrics_source *source, FILE *stream)
{
	bool is_begun = false, is_announced;

	for (uint32_t i = 0; i < source->configuration->vip_count; i++) {
		if (!source->announcement(source->context, i, &is_announced))
			continue;
		if (!is_begun)
			metrics_print_family(stream, "vip_announced", "gauge",
					     "1 while the VIP's route is there, 0 when withdrawn.");
		is_begun = true;
		print_vip_sample(stream, "vip_announced", &source->configuration->vips[i],
				 is_announced);
	}
}

void metrics_print_vips(const struct metrics_source *source, FILE *stream)
{
	metrics_print_family(stream, "vip_packets_total", "counter",
			     "Frames received for the VIP, dropped ones included.");
	print_vip_traffic(source, stream, false);
	metrics_print_family(stream, "vip_bytes_total", "counter",
			     "Bytes of the frames received for the VIP.");
	print_vip_traffic(source, stream, true);
	if (source->announcement != NULL)
		print_announced(source, stream);
}

static void print_configuration(const struct metrics_source *source, FILE *stream)
{
	metrics_print_family(stream, "build_info", "gauge",
			     "Always 1; the version is in the label.");
	fprintf(stream, "fluxpin_build_info{version=\"%s\"} 1\n", FLUXPIN_VERSION);
	metrics_print_family(stream, "config_generation", "gauge",
			     "Number of the active configuration, 1 at the start.");
	fprintf(stream, "fluxpin_config_generation %" PRIu64 "\n", source->generation);
	metrics_print_family(stream, "config_last_reload_successful", "gauge",
			     "1 if the last reload became active, 0 if it was refused.");
	fprintf(stream, "fluxpin_config_last_reload_successful %d\n",
		source->last_reload_successful);
	metrics_print_family(stream, "config_last_reload_success_timestamp_seconds", "gauge",
			     "When the active configuration became active, Unix time.");
	fprintf(stream, "fluxpin_config_last_reload_success_timestamp_seconds %" PRId64 "\n",
		source->last_success_seconds);
	metrics_print_family(stream, "config_reloads_total", "counter",
			     "Reloads asked for, by outcome.");
	fprintf(stream, "fluxpin_config_reloads_total{outcome=\"success\"} %" PRIu64 "\n",
		source->reloads_succeeded);
	fprintf(stream, "fluxpin_config_reloads_total{outcome=\"refused\"} %" PRIu64 "\n",
		source->reloads_failed);
}

void metrics_print(const struct metrics_source *source, FILE *stream)
{
	print_configuration(source, stream);
	metrics_print_workers(source, stream);
	metrics_print_vips(source, stream);
	metrics_print_backends(source, stream);
	metrics_print_health(source, stream);
}
