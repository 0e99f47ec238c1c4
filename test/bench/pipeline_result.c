/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "pipeline_options.h"

static double hit_share(const struct pipeline_result *result)
{
	const struct counters *before = &result->before.counters, *after = &result->after.counters;
	uint64_t hits = after->lookups_hit - before->lookups_hit;
	uint64_t misses = after->lookups_miss - before->lookups_miss;

	return hits + misses == 0 ? 0 : (double)hits / (double)(hits + misses);
}

static int print_json(const struct pipeline_options *options, const struct pipeline_result *result)
{
	const struct measurement *measurement = &result->measurement;
	/* A mix without end has no number of flows. */
	json_t *flows =
		options->mix->is_endless ? json_null() : json_integer((json_int_t)options->flows);
	double bytes = (double)connection_table_size(options->capacity) / options->capacity;

	return print_document(json_pack(
		"{s:s, s:s, s:s, s:s, s:i, s:i, s:o, s:i, s:I, s:f, s:f, s:s, s:i, s:I, s:o, s:o, "
		"s:o, s:f}",
		"mix", options->mix->name, "encapsulation",
		encapsulation_name(options->balancer.encapsulation), "inner",
		pipeline_families[options->inner], "outer", pipeline_families[options->outer],
		"backends", (int)options->balancer.backends, "size",
		(int)options->balancer.table_size, "flows", flows, "capacity",
		(int)options->capacity, "tracked_flows", (json_int_t)result->after.tracked,
		"hit_share", hit_share(result), "bytes_per_tracked_flow", bytes, "connection_pages",
		memory_pages_name(result->connection_pages), "repetitions",
		(int)options->measurement.repetitions, "packets_per_repetition",
		(json_int_t)measurement->packets, "floor_ns",
		statistics_to_json(&measurement->floor_ns), "ns_per_packet",
		statistics_to_json(&measurement->whole_ns), "net_ns_per_packet",
		statistics_to_json(&measurement->net_ns), "mpps",
		1000 / measurement->whole_ns.median));
}

static void print_row(const char *name, const struct statistics *statistics)
{
	printf("%-10s %9.2f %9.2f %9.2f\n", name, statistics->median, statistics->min,
	       statistics->max);
}

static int print_table(const struct pipeline_options *options, const struct pipeline_result *result)
{
	const struct measurement *measurement = &result->measurement;

	printf("%s: %s, %s in %s %s, ", options->mix->name, options->mix->summary,
	       pipeline_families[options->inner], pipeline_families[options->outer],
	       encapsulation_name(options->balancer.encapsulation));
	if (options->mix->is_endless)
		printf("flows without end\n");
	else
		printf("%" PRIu64 " flows\n", options->flows);
	printf("%" PRIu64 " tracked, %.2f %% hits, connection table on %s pages\n",
	       result->after.tracked, 100 * hit_share(result),
	       memory_pages_name(result->connection_pages));
	printf("%u repetitions of about %" PRIu64 " packets each\n\n",
	       options->measurement.repetitions, measurement->packets);
	printf("ns/packet     median       min       max\n");
	print_row("floor", &measurement->floor_ns);
	print_row("with it", &measurement->whole_ns);
	print_row("net", &measurement->net_ns);
	printf("\n%.2f Mpps with the floor\n", 1000 / measurement->whole_ns.median);
	return EXIT_DONE;
}

int pipeline_result_print(const struct pipeline_options *options,
			  const struct pipeline_result *result)
{
	return options->is_json ? print_json(options, result) : print_table(options, result);
}
