/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include <fluxpin/replay.h>

#include "commands.h"

#define LARGEST_MTU	65535
#define SMALLEST_MTU	68 /* RFC 791 section 3.2 */
#define LARGEST_WORKERS 1024

static const char usage[] =
	"usage: fluxpin replay -c FILE -r IN.pcap [-w OUT.pcap] [--slow-path FILE.pcap]\n"
	"                      [--drops FILE.csv] [--workers N] [--events FILE] [--mtu N] "
	"[--json]\n"
	"\n"
	"Runs the daemon's pipeline over a capture file; its times are the only clock.\n"
	"\n"
	"  -c, --config FILE      the configuration\n"
	"  -r, --read FILE        frames as they arrive (Ethernet)\n"
	"  -w, --write FILE       frames that are sent, in order\n"
	"      --slow-path FILE   frames for the kernel, bit for bit\n"
	"      --drops FILE       a line \"frame,reason\" per dropped frame, numbered from 1\n"
	"      --workers N        spread the frames over N pipelines, as RSS would (1)\n"
	"      --events FILE      control events: SECONDS down|up|drain|undrain POOL/BACKEND,\n"
	"                         SECONDS reload FILE\n"
	"      --mtu N            of the egress link (1500)\n"
	"      --json             print one JSON document\n"
	"  -h, --help             print this\n";

struct options {
	struct replay_options replay;
	bool is_json;
};

static int wrong_usage(const char *message, const char *value)
{
	return usage_error("replay", usage, message, value);
}

static bool parse_number(const char *text, uint32_t least, uint32_t most, uint32_t *number)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < least ||
	    value > most)
		return false;
	*number = (uint32_t)value;
	return true;
}

static int take_option(int option, struct options *options)
{
	struct replay_options *replay = &options->replay;

	switch (option) {
	case 'c':
		replay->configuration_file = optarg;
		return EXIT_DONE;
	case 'r':
		replay->input = optarg;
		return EXIT_DONE;
	case 'w':
		replay->output = optarg;
		return EXIT_DONE;
	case 's':
		replay->slow_path = optarg;
		return EXIT_DONE;
	case 'd':
		replay->drops = optarg;
		return EXIT_DONE;
	case 'e':
		replay->events = optarg;
		return EXIT_DONE;
	case 'n':
		return parse_number(optarg, 1, LARGEST_WORKERS, &replay->workers)
			       ? EXIT_DONE
			       : wrong_usage("--workers is a number from 1 to 1024, not", optarg);
	case 'm':
		return parse_number(optarg, SMALLEST_MTU, LARGEST_MTU, &replay->mtu)
			       ? EXIT_DONE
			       : wrong_usage("--mtu is a number from 68 to 65535, not", optarg);
	case 'j':
		options->is_json = true;
		return EXIT_DONE;
	default:
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
}

static uint64_t dropped_total(const struct replay_result *result)
{
	uint64_t total = 0;

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		total += result->counters.dropped[reason];
	return total;
}

static json_t *traffic_to_json(const struct replay_traffic *entries, uint32_t count)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < count; i++) {
		json_t *entry = json_pack("{s:s, s:I, s:I}", "name", entries[i].name, "frames",
					  (json_int_t)entries[i].frames, "bytes",
					  (json_int_t)entries[i].bytes);

		if (entries[i].pool != NULL)
			json_object_set_new(entry, "pool", json_string(entries[i].pool));
		json_array_append_new(array, entry);
	}
	return array;
}

static int print_json(const struct replay_result *result)
{
	const struct counters *counters = &result->counters;
	json_t *reasons = json_object(), *document;
	int error;

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		if (counters->dropped[reason] > 0)
			json_object_set_new(reasons, drop_reason_label((enum drop_reason)reason),
					    json_integer((json_int_t)counters->dropped[reason]));
	document = json_pack("{s:I, s:I, s:I, s:I, s:{s:I, s:o}, s:I, s:I, s:o, s:o}", "frames",
			     (json_int_t)counters->received.packets, "forwarded",
			     (json_int_t)counters->forwarded.packets, "slow_path",
			     (json_int_t)counters->slow_path, "answered",
			     (json_int_t)counters->answered, "dropped", "total",
			     (json_int_t)dropped_total(result), "by_reason", reasons, "parts_sent",
			     (json_int_t)counters->parts_sent, "decapsulated",
			     (json_int_t)counters->decapsulated, "vips",
			     traffic_to_json(result->vips, result->vip_count), "backends",
			     traffic_to_json(result->backends, result->backend_count));
	if (document == NULL)
		return EXIT_FAILED;
	error = json_dumpf(document, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(document);
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int print_table(const struct replay_result *result)
{
	const struct counters *counters = &result->counters;

	printf("frames     %12" PRIu64 "\n", counters->received.packets);
	printf("forwarded  %12" PRIu64 "\n", counters->forwarded.packets);
	printf("slow path  %12" PRIu64 "\n", counters->slow_path);
	printf("answered   %12" PRIu64 "\n", counters->answered);
	printf("dropped    %12" PRIu64 "\n", dropped_total(result));
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		if (counters->dropped[reason] > 0)
			printf("  %-20s %12" PRIu64 "\n",
			       drop_reason_label((enum drop_reason)reason),
			       counters->dropped[reason]);
	for (uint32_t i = 0; i < result->vip_count; i++)
		printf("VIP %-28s %12" PRIu64 " frames %14" PRIu64 " bytes\n", result->vips[i].name,
		       result->vips[i].frames, result->vips[i].bytes);
	for (uint32_t i = 0; i < result->backend_count; i++)
		printf("backend %s/%-*s %12" PRIu64 " frames %14" PRIu64 " bytes\n",
		       result->backends[i].pool, 20, result->backends[i].name,
		       result->backends[i].frames, result->backends[i].bytes);
	return EXIT_DONE;
}

int command_replay(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "read", required_argument, NULL, 'r' },
		{ "write", required_argument, NULL, 'w' },
		{ "slow-path", required_argument, NULL, 's' },
		{ "drops", required_argument, NULL, 'd' },
		{ "workers", required_argument, NULL, 'n' },
		{ "events", required_argument, NULL, 'e' },
		{ "mtu", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options options = { .replay = { .workers = 1, .mtu = 1500 } };
	struct replay_result result;
	int option, status;

	while ((option = getopt_long(argc, argv, "c:r:w:h", long_options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return EXIT_DONE;
		}
		status = take_option(option, &options);
		if (status != EXIT_DONE)
			return status;
	}
	if (optind < argc)
		return wrong_usage("unexpected argument", argv[optind]);
	if (options.replay.configuration_file == NULL)
		return wrong_usage("-c FILE is missing", NULL);
	if (options.replay.input == NULL)
		return wrong_usage("-r FILE is missing", NULL);
	status = EXIT_FAILED;
	if (replay_run(&options.replay, &result) == 0)
		status = options.is_json ? print_json(&result) : print_table(&result);
	replay_result_release(&result);
	return status;
}
