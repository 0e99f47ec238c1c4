/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include <fluxpin/daemon.h>
#include <fluxpin/log.h>

#include "commands.h"

static const char usage[] =
	"usage: fluxpin run -c FILE [-i IF[:QUEUES[@CPUS]]]... [--mode auto|zerocopy|copy|skb]\n"
	"                   [--busy-poll] [--metrics-file PATH] [--control PATH]\n"
	"                   [--log-level LEVEL]\n"
	"\n"
	"  -c, --config FILE        the configuration\n"
	"  -i, --interface IF[:QUEUES[@CPUS]]\n"
	"                           serve these queues, pinned to these CPUs (eth0:0-3@2-5);\n"
	"                           in place of the interfaces in the file; may be repeated\n"
	"      --mode MODE          auto takes the best that the driver grants: zero-copy, then\n"
	"                           copying in native XDP, then generic XDP; the others take\n"
	"                           nothing less\n"
	"      --busy-poll          workers poll their queues in place of waiting for interrupts,\n"
	"                           as with busy_poll in the file\n"
	"      --metrics-file PATH  Prometheus textfile, in place of the one in the file\n"
	"      --control PATH       path of the control socket, in place of the one in the file\n"
	"      --log-level LEVEL    error, warning, info or debug\n"
	"  -h, --help               print this\n"
	"\n"
	"SIGHUP reads the configuration again; SIGTERM and SIGINT stop cleanly.\n";

struct arguments {
	struct daemon_options options;
	enum xdp_mode mode;
};

static int wrong_usage(const char *message, const char *value)
{
	return usage_error("run", usage, message, value);
}

static int add_interface(struct daemon_options *options, const char *text)
{
	const char *error;

	if (interface_configuration_add(text, &options->interfaces, &options->interface_count,
					&error) != 0)
		return wrong_usage(error, text);
	return EXIT_DONE;
}

static int take_option(int option, struct arguments *arguments)
{
	enum log_level level;

	switch (option) {
	case 'c':
		arguments->options.configuration_file = optarg;
		return EXIT_DONE;
	case 'i':
		return add_interface(&arguments->options, optarg);
	case 'm':
		if (xdp_mode_parse(optarg, &arguments->mode) != 0)
			return wrong_usage("--mode is auto, zerocopy, copy or skb, not", optarg);
		arguments->options.mode = &arguments->mode;
		return EXIT_DONE;
	case 'b':
		arguments->options.busy_poll = true;
		return EXIT_DONE;
	case 'f':
		arguments->options.metrics_file = optarg;
		return EXIT_DONE;
	case 's':
		arguments->options.control = optarg;
		return EXIT_DONE;
	case 'l':
		if (log_parse_level(optarg, &level) != 0)
			return wrong_usage("--log-level is error, warning, info or debug, not",
					   optarg);
		log_set_level(level);
		return EXIT_DONE;
	default:
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
}

int command_run(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "interface", required_argument, NULL, 'i' },
		{ "mode", required_argument, NULL, 'm' },
		{ "busy-poll", no_argument, NULL, 'b' },
		{ "metrics-file", required_argument, NULL, 'f' },
		{ "control", required_argument, NULL, 's' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct arguments arguments = { 0 };
	int status = EXIT_DONE, option;

	while (status == EXIT_DONE &&
	       (option = getopt_long(argc, argv, "c:i:h", long_options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return EXIT_DONE;
		}
		status = take_option(option, &arguments);
	}
	if (status == EXIT_DONE && optind < argc)
		status = wrong_usage("unexpected argument", argv[optind]);
	if (status == EXIT_DONE && arguments.options.configuration_file == NULL)
		status = wrong_usage("-c FILE is missing", NULL);
	if (status == EXIT_DONE)
		return daemon_run(&arguments.options) == 0 ? EXIT_DONE : EXIT_FAILED;
	for (uint32_t i = 0; i < arguments.options.interface_count; i++)
		interface_configuration_release(&arguments.options.interfaces[i]);
	free(arguments.options.interfaces);
	return status;
}
