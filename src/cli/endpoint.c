/* SPDX-License-Identifier: BSD-2-Clause */
/* fluxpin endpoint: the XDP program of a backend's NIC. */
#include "commands.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <fluxpin/endpoint.h>
#include <fluxpin/log.h>

struct endpoint_options {
	const char *interface;
	enum endpoint_mode mode;
	bool mode_given;
	bool json;
	bool help;
};

static const char usage[] =
	"usage: fluxpin endpoint attach -i IF [--mode auto|native|skb]\n"
	"       fluxpin endpoint detach -i IF\n"
	"       fluxpin endpoint status -i IF [--json]\n"
	"       fluxpin endpoint doctor -i IF [-c FILE] [--vip ADDRESS]... [--json]\n"
	"\n"
	"Takes the outer headers off what the load balancer sends to this host (GRE, IP in IP,\n"
	"GUE; over IPv4 and IPv6).\n"
	"  attach    attach the program to the interface; again: read the host's addresses again\n"
	"  detach    remove it\n"
	"  status    show its mode and what it counted\n"
	"  doctor    find what keeps this backend from serving\n"
	"\n"
	"  -i, --interface IF  the NIC by which packets come from the load balancer\n"
	"      --mode MODE     auto (native if it can be), native (in the driver), or skb\n"
	"      --json          print one JSON document\n"
	"  -h, --help          print this; doctor --help has the doctor's options\n";

static int wrong_usage(const char *message, const char *value)
{
	return usage_error("endpoint", usage, message, value);
}

static int attach(const struct endpoint_options *options)
{
	static const char *const outcomes[] = {
		[ENDPOINT_ATTACHED] = "attached",
		[ENDPOINT_REFRESHED] = "already attached, addresses refreshed",
		[ENDPOINT_REPLACED] = "another version replaced",
	};
	enum endpoint_outcome outcome;
	struct endpoint_status status;

	if (endpoint_attach(options->interface, options->mode, &outcome) ||
	    endpoint_status(options->interface, &status))
		return EXIT_FAILED;
	log_info("%s: %s, %s mode, host addresses: %" PRIu32, options->interface, outcomes[outcome],
		 endpoint_mode_name(status.mode), status.address_count);
	return EXIT_DONE;
}

static int detach(const struct endpoint_options *options)
{
	if (endpoint_detach(options->interface))
		return EXIT_FAILED;
	log_info("%s: detached", options->interface);
	return EXIT_DONE;
}

static void print_text(const struct endpoint_options *options, const struct endpoint_status *status)
{
	if (!status->is_attached) {
		printf("%s: not attached\n", options->interface);
		return;
	}
	printf("%s: attached, %s mode, program %" PRIu32 ", host addresses: %" PRIu32 "\n\n",
	       options->interface, endpoint_mode_name(status->mode), status->program_id,
	       status->address_count);
	printf("%-24s %20s  %s\n", "COUNTER", "FRAMES", "WHAT");
	for (uint32_t i = 0; i < status->counter_count; i++)
		printf("%-24s %20" PRIu64 "  %s\n", status->counters[i].name,
		       status->counters[i].frames, status->counters[i].description);
}

static int print_json(const struct endpoint_options *options, const struct endpoint_status *status)
{
	json_t *counters;
	json_t *root;
	int error;

	root = json_pack("{s:s, s:b}", "interface", options->interface, "attached",
			 status->is_attached);
	if (root && status->foreign_program[0])
		json_object_set_new(root, "foreign_program", json_string(status->foreign_program));
	if (root && status->is_attached) {
		counters = json_object();
		for (uint32_t i = 0; i < status->counter_count; i++)
			json_object_set_new(counters, status->counters[i].name,
					    json_integer((json_int_t)status->counters[i].frames));
		json_object_set_new(root, "mode", json_string(endpoint_mode_name(status->mode)));
		json_object_set_new(root, "program_id", json_integer(status->program_id));
		json_object_set_new(root, "addresses", json_integer(status->address_count));
		json_object_set_new(root, "missing_addresses",
				    json_integer(status->missing_address_count));
		json_object_set_new(root, "counters", counters);
	}
	error = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
	json_decref(root);
	putchar('\n');
	return error ? EXIT_FAILED : EXIT_DONE;
}

static int status(const struct endpoint_options *options)
{
	struct endpoint_status status;
	int result = EXIT_DONE;

	if (endpoint_status(options->interface, &status))
		return EXIT_FAILED;
	if (options->json)
		result = print_json(options, &status);
	else
		print_text(options, &status);
	if (status.foreign_program[0])
		log_warning("%s carries another XDP program, \"%s\"", options->interface,
			    status.foreign_program);
	if (status.is_attached && status.missing_address_count != 0)
		log_warning("%s: host addresses that the program does not know: %" PRIu32 "; "
			    "run: fluxpin endpoint attach -i %s",
			    options->interface, status.missing_address_count, options->interface);
	return result;
}

/* Returns EXIT_DONE with *options, or EXIT_USAGE after saying what is wrong. */
static int parse_options(int argc, char **argv, struct endpoint_options *options)
{
	static const struct option long_options[] = {
		{ "interface", required_argument, NULL, 'i' },
		{ "mode", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static char name[] = "fluxpin endpoint"; /* before getopt's messages */
	int option;

	argv[0] = name;
	optind = 0; /* the caller may have parsed options of its own */
	while ((option = getopt_long(argc, argv, "+i:h", long_options, NULL)) != -1) {
		switch (option) {
		case 'i':
			options->interface = optarg;
			break;
		case 'm':
			if (endpoint_mode_parse(optarg, &options->mode))
				return wrong_usage("--mode is auto, native or skb, not", optarg);
			options->mode_given = true;
			break;
		case 'j':
			options->json = true;
			break;
		case 'h':
			options->help = true;
			return EXIT_DONE;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return wrong_usage("unexpected argument", argv[optind]);
	if (!options->interface)
		return wrong_usage("-i IF is missing", NULL);
	return EXIT_DONE;
}

int command_endpoint(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct endpoint_options *options);
		bool takes_mode;
		bool takes_json;
	} actions[] = {
		{ "attach", attach, true, false },
		{ "detach", detach, false, false },
		{ "status", status, false, true },
	};
	struct endpoint_options options = { .mode = ENDPOINT_MODE_AUTO };
	int result;

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return EXIT_DONE;
	}
	if (argc >= 2 && strcmp(argv[1], "doctor") == 0)
		return command_endpoint_doctor(argc - 1, argv + 1);
	for (size_t i = 0; argc >= 2 && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(argv[1], actions[i].name) != 0)
			continue;
		result = parse_options(argc - 1, argv + 1, &options);
		if (result != EXIT_DONE)
			return result;
		if (options.help) {
			fputs(usage, stdout);
			return EXIT_DONE;
		}
		if (options.mode_given && !actions[i].takes_mode)
			return wrong_usage("--mode is for attach", NULL);
		if (options.json && !actions[i].takes_json)
			return wrong_usage("--json is for status and doctor", NULL);
		return actions[i].run(&options);
	}
	if (argc >= 2)
		return wrong_usage("attach, detach, status or doctor is expected, not", argv[1]);
	return wrong_usage("attach, detach, status or doctor is missing", NULL);
}
