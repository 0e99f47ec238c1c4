/* SPDX-License-Identifier: BSD-2-Clause */
/* fluxpin doctor: what keeps this host from balancing, and the commands that mend it. */
#include "commands.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_print.h"

static const char usage[] =
	"usage: fluxpin doctor [-c FILE] [-i IF[:QUEUES[@CPUS]]]... [--json]\n"
	"       fluxpin doctor --probe POOL/BACKEND -c FILE [-i IF]... [--vip NAME] [--json]\n"
	"\n"
	"Looks for what keeps the load balancer from forwarding, and prints the command that "
	"mends\n"
	"it. Changes nothing, and may run beside fluxpin.\n"
	"\n"
	"  -c, --config FILE     also the VIPs, pools and backends of this configuration\n"
	"  -i, --interface IF[:QUEUES[@CPUS]]\n"
	"                        this NIC, in place of those of the file; may be repeated\n"
	"      --probe POOL/BACKEND\n"
	"                        send a TCP SYN to a VIP by way of this backend, encapsulated as "
	"a\n"
	"                        client's packet is, and say how far it came\n"
	"      --vip NAME        the VIP to probe\n"
	"      --json            print one JSON document\n"
	"  -h, --help            print this\n"
	"\n"
	"Exit status: 0 nothing is wrong (there may be notes), 1 there are warnings or errors.\n";

struct arguments {
	struct doctor_probe_options options;
	bool is_json;
};

static int wrong_usage(const char *message, const char *value)
{
	return usage_error("doctor", usage, message, value);
}

static int add_interface(struct doctor_options *options, const char *text)
{
	const char *error;

	if (interface_configuration_add(text, &options->interfaces, &options->interface_count,
					&error) != 0)
		return wrong_usage(error, text);
	return EXIT_DONE;
}

/* Returns EXIT_DONE to go on; *is_help: the usage was printed, and that was all. */
static int read_arguments(int argc, char **argv, struct arguments *arguments, bool *is_help)
{
	enum {
		JSON = 256,
		PROBE,
		VIP,
	};
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "interface", required_argument, NULL, 'i' },
		{ "probe", required_argument, NULL, PROBE },
		{ "vip", required_argument, NULL, VIP },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct doctor_probe_options *options = &arguments->options;
	int option, status;

	while ((option = getopt_long(argc, argv, "c:i:h", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->host.file = optarg;
			break;
		case 'i':
			status = add_interface(&options->host, optarg);
			if (status != EXIT_DONE)
				return status;
			break;
		case PROBE:
			options->target = optarg;
			break;
		case VIP:
			options->vip = optarg;
			break;
		case JSON:
			arguments->is_json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			*is_help = true;
			return EXIT_DONE;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return wrong_usage("unexpected argument", argv[optind]);
	if (options->target != NULL && options->host.file == NULL)
		return wrong_usage("--probe needs -c FILE", NULL);
	if (options->vip != NULL && options->target == NULL)
		return wrong_usage("--vip belongs to --probe", NULL);
	return EXIT_DONE;
}

static int examine(const struct arguments *arguments)
{
	struct doctor_report report;
	int error = doctor_examine(&arguments->options.host, &report);
	int status = doctor_print_report(&report, error, "doctor", NULL, arguments->is_json);

	doctor_report_release(&report);
	return status;
}

static int probe(const struct arguments *arguments)
{
	enum doctor_probe_outcome outcome;
	struct doctor_report report;
	int error = doctor_probe(&arguments->options, &outcome, &report);
	int status = doctor_print_report(&report, error, "doctor",
					 doctor_probe_outcome_name(outcome), arguments->is_json);

	doctor_report_release(&report);
	return status;
}

int command_doctor(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct doctor_options *host = &arguments.options.host;
	bool is_help = false;
	int status = read_arguments(argc, argv, &arguments, &is_help);

	if (status == EXIT_DONE && !is_help)
		status = arguments.options.target != NULL ? probe(&arguments) : examine(&arguments);
	for (uint32_t i = 0; i < host->interface_count; i++)
		interface_configuration_release(&host->interfaces[i]);
	free(host->interfaces);
	return status;
}
