/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "requests_run.h"
#include "statistics.h"

#define MOST_PARALLEL 60000
#define MOST_RATE     1000000

static const char usage_text[] =
	"usage: fluxpin-bench requests --address A [OPTION]...\n"
	"\n"
	"HTTP requests over new connections, one thread. With --rate, a request is due at its\n"
	"time whatever became of those before, and its latency counts from then; without, as many\n"
	"as --parallel connections at a time can have.\n"
	"\n"
	"      --address A   of the server (IPv4)\n"
	"      --port N      (80)\n"
	"      --path P      (/id)\n"
	"      --rate N      requests a second\n"
	"      --parallel N  connections at a time, at most (1000; without --rate 32)\n"
	"      --seconds S   (5)\n"
	"      --json        print one JSON document\n"
	"  -h, --help        print this\n";

static const struct usage usage = { "requests", usage_text };

struct options {
	struct requests_plan plan;
	bool is_json;
};

static const struct percentile {
	const char *name;
	double share;
} percentiles[] = {
	{ "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 }, { "max", 1 }
};

#define PERCENTILE_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

static double percentile_of(const struct requests_outcome *outcome, double share)
{
	return statistics_percentile(outcome->latency_us, outcome->answered, share);
}

static double rate_of(const struct requests_outcome *outcome)
{
	return outcome->answered / outcome->seconds;
}

static int print_json(const struct requests_plan *plan, const struct requests_outcome *outcome)
{
	json_t *latency = json_object();

	for (size_t i = 0; i < PERCENTILE_COUNT; i++)
		json_object_set_new(latency, percentiles[i].name,
				    json_real(percentile_of(outcome, percentiles[i].share)));
	return print_document(
		json_pack("{s:f, s:i, s:f, s:i, s:i, s:i, s:i, s:f, s:o}", "rate", plan->rate,
			  "parallel", (int)plan->parallel, "seconds", outcome->seconds, "answered",
			  (int)outcome->answered, "refused", (int)outcome->refused, "wrong",
			  (int)outcome->wrong, "late", (int)outcome->late, "requests_per_second",
			  rate_of(outcome), "latency_us", latency));
}

static int print_table(const struct requests_outcome *outcome)
{
	printf("answered  %9u, %.0f a second\n", outcome->answered, rate_of(outcome));
	printf("refused   %9u\nwrong     %9u\nlate      %9u\n", outcome->refused, outcome->wrong,
	       outcome->late);
	for (size_t i = 0; i < PERCENTILE_COUNT; i++)
		printf("%-8s  %9.0f us\n", percentiles[i].name,
		       percentile_of(outcome, percentiles[i].share));
	return EXIT_DONE;
}

static int take_option(int option, void *context)
{
	struct options *options = context;
	struct requests_plan *plan = &options->plan;
	uint32_t number = 0;
	int status;

	switch (option) {
	case 'a':
		return argument_ipv4(&usage, "--address", optarg, &plan->server.sin_addr);
	case 'p':
		status = argument_number32(&usage, "--port", optarg, 1, 65535, &number);
		plan->server.sin_port = htons((uint16_t)number);
		return status;
	case 'u':
		plan->path = optarg;
		return EXIT_DONE;
	case 'r':
		status = argument_number32(&usage, "--rate", optarg, 1, MOST_RATE, &number);
		plan->rate = number;
		return status;
	case 'c':
		return argument_number32(&usage, "--parallel", optarg, 1, MOST_PARALLEL,
					 &plan->parallel);
	case 's':
		return argument_seconds(&usage, "--seconds", optarg, &plan->seconds);
	case 'j':
		options->is_json = true;
		return EXIT_DONE;
	default:
		return EXIT_USAGE;
	}
}

static int measure(const struct options *options)
{
	struct requests_outcome outcome;
	int error = requests_run(&options->plan, &outcome), status = EXIT_FAILED;

	if (error != 0)
		fprintf(stderr, "fluxpin-bench: %s\n", strerror(-error));
	else if (outcome.answered == 0)
		fprintf(stderr, "fluxpin-bench: no answer: %u refused, %u wrong, %u late\n",
			outcome.refused, outcome.wrong, outcome.late);
	else if (options->is_json)
		status = print_json(&options->plan, &outcome);
	else
		status = print_table(&outcome);
	free(outcome.latency_us);
	return status;
}

int command_requests(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "address", required_argument, NULL, 'a' },
		{ "port", required_argument, NULL, 'p' },
		{ "path", required_argument, NULL, 'u' },
		{ "rate", required_argument, NULL, 'r' },
		{ "parallel", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options options = { .plan = { .server = { .sin_family = AF_INET,
							 .sin_port = htons(80) },
					     .path = "/id",
					     .seconds = 5 } };
	int status = arguments_read(&usage, argc, argv, "h", long_options, take_option, &options);

	if (status != EXIT_DONE)
		return status;
	if (options.plan.server.sin_addr.s_addr == 0)
		return usage_error(&usage, "--address is missing");
	if (options.plan.parallel == 0)
		options.plan.parallel = options.plan.rate == 0 ? 32 : 1000;
	return measure(&options);
}
