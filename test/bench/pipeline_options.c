/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "arguments.h"
#include "memory_port.h"
#include "pipeline_options.h"

#define MOST_CPUS  65535
#define MOST_FLOWS 100000000 /* more take minutes to get into the table */

static const char usage_text[] =
	"usage: fluxpin-bench pipeline [OPTION]...\n"
	"\n"
	"Runs the pipeline on frames in memory and reports nanoseconds per packet: of the port\n"
	"alone (the floor), of port and pipeline, and of the pipeline net of the floor.\n"
	"\n"
	"      --mix NAME           what the packets are (hit); see --list\n"
	"      --flows N            different flows (65536); new has a new one for each packet\n"
	"      --encapsulation E    gre, ipip or gue (gre)\n"
	"      --inner ipv4|ipv6    of the packets (ipv4; ipv6 for the mix ipv6)\n"
	"      --outer ipv4|ipv6    of the tunnel (as the packets)\n"
	"      --seconds S          of CPU time to measure for, altogether (5)\n"
	"      --repetitions R      of floor and pipeline, alternating (51)\n"
	"      --packets N          in each repetition, in place of --seconds\n"
	"      --capacity N         of the connection table, in flows (1048576)\n"
	"      --backends N         in the pool (100)\n"
	"      --size M             of the Maglev table, a prime (65537)\n"
	"      --batch N            frames that the port gives at once, 1 to 64 (64)\n"
	"      --depth N            frames that wait in the receive ring (2048)\n"
	"      --cpu N              to run on (the one it starts on)\n"
	"      --expect NAME        check the counters as of that mix (that of --mix)\n"
	"      --json               print one JSON document\n"
	"      --list               list the mixes\n"
	"  -h, --help               print this\n";

static const struct usage usage = { "pipeline", usage_text };

const char *const pipeline_families[] = { "ipv4", "ipv6", NULL };
/* In the order of enum encapsulation. */
static const char *const encapsulations[] = { "gre", "ipip", "gue", NULL };

static int take_mix(const char *option, const struct mix **mix)
{
	*mix = mix_find(optarg);
	if (*mix == NULL)
		return usage_error(&usage, "%s: there is no mix \"%s\", see --list", option,
				   optarg);
	return EXIT_DONE;
}

static int take_option(int option, void *context)
{
	struct pipeline_options *options = context;
	struct measurement_options *measurement = &options->measurement;
	struct balancer_options *balancer = &options->balancer;
	int choice = 0, status;

	switch (option) {
	case 'm':
		return take_mix("--mix", &options->mix);
	case 'x':
		return take_mix("--expect", &options->expected);
	case 'f':
		return argument_number(&usage, "--flows", optarg, 1, MOST_FLOWS, &options->flows);
	case 'e':
		status =
			argument_choice(&usage, "--encapsulation", optarg, encapsulations, &choice);
		balancer->encapsulation = (enum encapsulation)choice;
		return status;
	case 'i':
		return argument_choice(&usage, "--inner", optarg, pipeline_families,
				       &options->inner);
	case 'o':
		return argument_choice(&usage, "--outer", optarg, pipeline_families,
				       &options->outer);
	case 's':
		return argument_seconds(&usage, "--seconds", optarg, &measurement->seconds);
	case 'r':
		return argument_number32(&usage, "--repetitions", optarg, 1,
					 MEASUREMENT_MOST_REPETITIONS, &measurement->repetitions);
	case 'p':
		return argument_number(&usage, "--packets", optarg, 1, UINT64_C(1) << 40,
				       &measurement->packets);
	case 'c':
		return argument_number32(&usage, "--capacity", optarg, CONNECTION_MIN_CAPACITY,
					 CONNECTION_MAX_CAPACITY, &options->capacity);
	case 'b':
		return argument_number32(&usage, "--backends", optarg, 1, BALANCER_MOST_BACKENDS,
					 &balancer->backends);
	case 'M':
		return argument_number32(&usage, "--size", optarg, 2, 1 << 24,
					 &balancer->table_size);
	case 'B':
		return argument_number32(&usage, "--batch", optarg, 1, PORT_BATCH, &options->batch);
	case 'd':
		return argument_number32(&usage, "--depth", optarg, 1, MEMORY_PORT_FRAMES / 2,
					 &options->depth);
	case 'C':
		options->has_cpu = true;
		return argument_number32(&usage, "--cpu", optarg, 0, MOST_CPUS, &options->cpu);
	case 'j':
		options->is_json = true;
		return EXIT_DONE;
	case 'l':
		mix_print_all(stdout);
		return EXIT_ANSWERED;
	default:
		return EXIT_USAGE;
	}
}

static int finish_options(struct pipeline_options *options)
{
	const struct mix *mix = options->mix;

	if (options->expected == NULL)
		options->expected = mix;
	if (options->inner < 0)
		options->inner = mix->is_ipv6;
	if (options->outer < 0)
		options->outer = options->inner;
	options->balancer.is_outer_ipv6 = options->outer != 0;
	options->balancer.tracking = mix->tracking;
	if (mix->is_endless)
		options->flows = WORKLOAD_MOST_FLOWS;
	if (options->depth < options->batch)
		return usage_error(&usage, "--depth %u is below --batch %u", options->depth,
				   options->batch);
	return argument_check_size(&usage, options->balancer.table_size,
				   options->balancer.backends);
}

int pipeline_options_read(int argc, char **argv, struct pipeline_options *options)
{
	static const struct option long_options[] = {
		{ "mix", required_argument, NULL, 'm' },
		{ "expect", required_argument, NULL, 'x' },
		{ "flows", required_argument, NULL, 'f' },
		{ "encapsulation", required_argument, NULL, 'e' },
		{ "inner", required_argument, NULL, 'i' },
		{ "outer", required_argument, NULL, 'o' },
		{ "seconds", required_argument, NULL, 's' },
		{ "repetitions", required_argument, NULL, 'r' },
		{ "packets", required_argument, NULL, 'p' },
		{ "capacity", required_argument, NULL, 'c' },
		{ "backends", required_argument, NULL, 'b' },
		{ "size", required_argument, NULL, 'M' },
		{ "batch", required_argument, NULL, 'B' },
		{ "depth", required_argument, NULL, 'd' },
		{ "cpu", required_argument, NULL, 'C' },
		{ "json", no_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int status;

	*options = (struct pipeline_options){
		.mix = mix_find("hit"),
		.flows = 65536,
		.capacity = 1 << 20,
		.batch = PORT_BATCH,
		.depth = MEMORY_PORT_FRAMES / 4,
		.inner = -1,
		.outer = -1,
		.balancer = { .backends = 100, .table_size = 65537 },
		.measurement = { .repetitions = 51, .seconds = 5 },
	};
	status = arguments_read(&usage, argc, argv, "h", long_options, take_option, options);
	return status == EXIT_DONE ? finish_options(options) : status;
}
