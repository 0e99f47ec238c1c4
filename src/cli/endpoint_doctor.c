/* SPDX-License-Identifier: BSD-2-Clause */
/* fluxpin endpoint doctor: what keeps a backend from serving VIPs. */
#include "commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_print.h"

static const char usage[] =
	"usage: fluxpin endpoint doctor -i IF [-c FILE] [--vip ADDRESS]... [--json]\n"
	"\n"
	"Looks for what keeps this backend from serving, and prints the command that mends it.\n"
	"\n"
	"  -i, --interface IF  the NIC by which packets come from the load balancer\n"
	"  -c, --config FILE   the load balancer's configuration: its VIPs and encapsulations\n"
	"      --vip ADDRESS   a VIP that this backend is to have; may be repeated\n"
	"      --json          print one JSON document\n"
	"  -h, --help          print this\n"
	"\n"
	"Exit status: 0 nothing is wrong (there may be notes), 1 there are warnings or errors.\n";

struct arguments {
	struct doctor_endpoint_options options;
	struct prefix *vips;
	uint32_t vip_count;
	bool is_json;
	bool is_help;
};

static int wrong_usage(const char *message, const char *value)
{
	return usage_error("endpoint doctor", usage, message, value);
}

static int add_vip(struct arguments *arguments, const char *text)
{
	struct prefix *grown =
		reallocarray(arguments->vips, arguments->vip_count + 1, sizeof(*grown));

	if (grown == NULL)
		return wrong_usage("out of memory", NULL);
	arguments->vips = grown;
	if (prefix_parse(text, &grown[arguments->vip_count]) != 0)
		return wrong_usage("--vip is an address or prefix, not", text);
	arguments->vip_count++;
	return EXIT_DONE;
}

static int take_option(int option, struct arguments *arguments)
{
	switch (option) {
	case 'i':
		arguments->options.interface = optarg;
		break;
	case 'c':
		arguments->options.file = optarg;
		break;
	case 'v':
		return add_vip(arguments, optarg);
	case 'j':
		arguments->is_json = true;
		break;
	case 'h':
		fputs(usage, stdout);
		arguments->is_help = true;
		break;
	default:
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option long_options[] = {
		{ "interface", required_argument, NULL, 'i' },
		{ "config", required_argument, NULL, 'c' },
		{ "vip", required_argument, NULL, 'v' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static char name[] = "fluxpin endpoint doctor"; /* before getopt's messages */
	int option, status = EXIT_DONE;

	argv[0] = name;
	while (status == EXIT_DONE && !arguments->is_help &&
	       (option = getopt_long(argc, argv, "i:c:h", long_options, NULL)) != -1)
		status = take_option(option, arguments);
	if (status != EXIT_DONE || arguments->is_help)
		return status;
	if (optind < argc)
		return wrong_usage("unexpected argument", argv[optind]);
	if (arguments->options.interface == NULL)
		return wrong_usage("-i IF is missing", NULL);
	return EXIT_DONE;
}

int command_endpoint_doctor(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct doctor_report report;
	int status = read_arguments(argc, argv, &arguments);

	if (status == EXIT_DONE && !arguments.is_help) {
		arguments.options.vips = arguments.vips;
		arguments.options.vip_count = arguments.vip_count;
		status = doctor_print_report(&report,
					     doctor_examine_endpoint(&arguments.options, &report),
					     "endpoint doctor", NULL, arguments.is_json);
		doctor_report_release(&report);
	}
	free(arguments.vips);
	return status;
}
