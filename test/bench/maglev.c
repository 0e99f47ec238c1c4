/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/maglev.h>

#include "arguments.h"
#include "balancer.h"
#include "measurement.h"
#include "random.h"

#define MOST_RUNS 100000

static const char usage_text[] =
	"usage: fluxpin-bench maglev [OPTION]...\n"
	"\n"
	"Builds Maglev tables: how long that takes, how even the shares are, and how many slots\n"
	"change when random backends are removed.\n"
	"\n"
	"      --backends N   in the pool (1000)\n"
	"      --size M       of the table, a prime above N (65537)\n"
	"      --remove K     random backends to remove in each run (1)\n"
	"      --runs R       each builds both tables and times the first (200)\n"
	"      --json         print one JSON document\n"
	"  -h, --help         print this\n";

static const struct usage usage = { "maglev", usage_text };

struct options {
	uint32_t backends;
	uint32_t size;
	uint32_t removed;
	uint32_t runs;
	bool is_json;
};

struct result {
	struct statistics build_ms;
	double max_over_average;
	double min_over_average;
	double changed_share;	  /* slots of all, mean of the runs */
	double unavoidable_share; /* those of removed backends */
};

/* What the runs work on. */
struct tables {
	struct maglev_backend *backends;
	struct maglev_backend *remaining;
	char (*names)[BALANCER_NAME_SIZE];
	bool *removed;
	uint16_t *full;
	uint16_t *reduced;
	double *build_ms; /* by run */
};

static void release(struct tables *tables)
{
	free(tables->build_ms);
	free(tables->reduced);
	free(tables->full);
	free(tables->removed);
	free(tables->names);
	free(tables->remaining);
	free(tables->backends);
}

static bool allocate(const struct options *options, struct tables *tables)
{
	*tables = (struct tables){
		.backends = calloc(options->backends, sizeof(*tables->backends)),
		.remaining = calloc(options->backends, sizeof(*tables->remaining)),
		.names = calloc(options->backends, sizeof(*tables->names)),
		.removed = calloc(options->backends, sizeof(*tables->removed)),
		.full = calloc(options->size, sizeof(*tables->full)),
		.reduced = calloc(options->size, sizeof(*tables->reduced)),
		.build_ms = calloc(options->runs, sizeof(*tables->build_ms)),
	};
	if (tables->backends == NULL || tables->remaining == NULL || tables->names == NULL ||
	    tables->removed == NULL || tables->full == NULL || tables->reduced == NULL ||
	    tables->build_ms == NULL)
		return false;
	for (uint32_t i = 0; i < options->backends; i++)
		tables->backends[i] = (struct maglev_backend){
			.name = balancer_name(i, tables->names[i]),
			.weight = 1,
			.index = (uint16_t)i,
		};
	return true;
}

static bool run_once(const struct options *options, struct tables *tables, struct random *random,
		     double *build_ms, struct result *result)
{
	uint32_t count = 0, changed = 0, unavoidable = 0;
	uint64_t started = measurement_now_ns();

	if (maglev_build(tables->backends, options->backends, options->size, tables->full) != 0)
		return false;
	*build_ms = (double)(measurement_now_ns() - started) / 1e6;
	random_choose(random, options->removed, options->backends, tables->removed);
	for (uint32_t i = 0; i < options->backends; i++)
		if (!tables->removed[i])
			tables->remaining[count++] = tables->backends[i];
	if (maglev_build(tables->remaining, count, options->size, tables->reduced) != 0)
		return false;
	for (uint32_t i = 0; i < options->size; i++) {
		changed += tables->full[i] != tables->reduced[i];
		unavoidable += tables->removed[tables->full[i]];
	}
	result->changed_share += (double)changed / options->size / options->runs;
	result->unavoidable_share += (double)unavoidable / options->size / options->runs;
	return true;
}

static bool count_slots(const struct options *options, const struct tables *tables,
			struct result *result)
{
	uint32_t *slots = calloc(options->backends, sizeof(*slots));
	uint32_t least = options->size, most = 0;
	double average = (double)options->size / options->backends;

	if (slots == NULL)
		return false;
	for (uint32_t i = 0; i < options->size; i++)
		slots[tables->full[i]]++;
	for (uint32_t i = 0; i < options->backends; i++) {
		least = slots[i] < least ? slots[i] : least;
		most = slots[i] > most ? slots[i] : most;
	}
	free(slots);
	result->max_over_average = most / average;
	result->min_over_average = least / average;
	return true;
}

static bool run(const struct options *options, struct result *result)
{
	struct random random = { 1 };
	struct tables tables;
	bool ok = allocate(options, &tables);

	for (uint32_t i = 0; i < options->runs && ok; i++)
		ok = run_once(options, &tables, &random, &tables.build_ms[i], result);
	if (ok) {
		result->build_ms = statistics_of(tables.build_ms, options->runs);
		ok = count_slots(options, &tables, result);
	}
	release(&tables);
	return ok;
}

static int print_json(const struct options *options, const struct result *result)
{
	json_t *document = json_pack(
		"{s:i, s:i, s:i, s:i, s:o, s:f, s:f, s:f, s:f}", "backends", (int)options->backends,
		"size", (int)options->size, "remove", (int)options->removed, "runs",
		(int)options->runs, "build_ms", statistics_to_json(&result->build_ms),
		"max_over_average", result->max_over_average, "min_over_average",
		result->min_over_average, "changed_share", result->changed_share,
		"unavoidable_share", result->unavoidable_share);

	return print_document(document);
}

static int print_table(const struct options *options, const struct result *result)
{
	printf("%u backends, %u slots, %u runs\n\n", options->backends, options->size,
	       options->runs);
	printf("build             %9.3f ms (%.3f to %.3f)\n", result->build_ms.median,
	       result->build_ms.min, result->build_ms.max);
	printf("slots per backend %9.4f to %.4f of the average\n", result->min_over_average,
	       result->max_over_average);
	printf("slots changed     %9.3f %% without %u random backends; theirs are %.3f %%\n",
	       100 * result->changed_share, options->removed, 100 * result->unavoidable_share);
	return EXIT_DONE;
}

static int take_option(int option, void *context)
{
	struct options *options = context;

	switch (option) {
	case 'b':
		return argument_number32(&usage, "--backends", optarg, 1, BALANCER_MOST_BACKENDS,
					 &options->backends);
	case 'M':
		return argument_number32(&usage, "--size", optarg, 2, 1 << 24, &options->size);
	case 'k':
		return argument_number32(&usage, "--remove", optarg, 0, BALANCER_MOST_BACKENDS,
					 &options->removed);
	case 'r':
		return argument_number32(&usage, "--runs", optarg, 1, MOST_RUNS, &options->runs);
	case 'j':
		options->is_json = true;
		return EXIT_DONE;
	default:
		return EXIT_USAGE;
	}
}

int command_maglev(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "backends", required_argument, NULL, 'b' },
		{ "size", required_argument, NULL, 'M' },
		{ "remove", required_argument, NULL, 'k' },
		{ "runs", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options options = { .backends = 1000, .size = 65537, .removed = 1, .runs = 200 };
	struct result result = { 0 };
	int status = arguments_read(&usage, argc, argv, "h", long_options, take_option, &options);

	if (status != EXIT_DONE)
		return status;
	if (options.removed >= options.backends)
		return usage_error(&usage, "--remove %u leaves none of %u backends",
				   options.removed, options.backends);
	status = argument_check_size(&usage, options.size, options.backends);
	if (status != EXIT_DONE)
		return status;
	if (!run(&options, &result)) {
		fputs("fluxpin-bench: out of memory\n", stderr);
		return EXIT_FAILED;
	}
	return options.is_json ? print_json(&options, &result) : print_table(&options, &result);
}
