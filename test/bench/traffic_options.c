/* SPDX-License-Identifier: BSD-2-Clause */
#include "traffic_options.h"

#include <netinet/ether.h>
#include <stdio.h>
#include <string.h>

#include "arguments.h"

#define MOST_FLOWS  16777216
#define MOST_RATE   100000000
#define MOST_CPU    1023
#define MOST_WINDOW 65536

static const char usage_text[] =
	"usage: fluxpin-bench traffic -i INTERFACE --mac MAC --vip ADDRESS [OPTION]...\n"
	"\n"
	"Sends UDP packets of many flows to a VIP and counts those that come back, plain or\n"
	"encapsulated. Without --rate, as many as a CPU can send (BPF_PROG_TEST_RUN on live\n"
	"frames, Linux 5.18); with it, at that rate, and the latency of each is measured from the\n"
	"time at which it was to be sent, whether or not the sender was late. An XDP program that\n"
	"drops them counts what comes back. Needs root.\n"
	"\n"
	"  -i, --interface NAME  that sends, and receives\n"
	"      --mac MAC         to which frames go\n"
	"      --vip ADDRESS     IPv4\n"
	"      --port N          of the VIP (53)\n"
	"      --flows N         (1)\n"
	"      --rate N          packets per second (0: as many as can be sent)\n"
	"      --window N        send when fewer than N packets are under way, as fast as they "
	"come\n"
	"                        back, with neither a rate nor latencies\n"
	"      --warm-up S       seconds that are not measured (0.2)\n"
	"      --seconds S       that are measured (2)\n"
	"      --cpu N           that sends\n"
	"      --json            print one JSON document\n"
	"  -h, --help            print this\n";

static const struct usage usage = { "traffic", usage_text };

static int read_mac(struct ether_addr *mac)
{
	const struct ether_addr *read = ether_aton(optarg);

	if (read == NULL)
		return usage_error(&usage, "--mac is a MAC address, not \"%s\"", optarg);
	*mac = *read;
	return EXIT_DONE;
}

static int take_option(int option, void *context)
{
	struct traffic_options *options = context;

	switch (option) {
	case 'i':
		options->interface = optarg;
		return EXIT_DONE;
	case 'm':
		return read_mac(&options->mac);
	case 'v':
		return argument_ipv4(&usage, "--vip", optarg, &options->vip);
	case 'p':
		return argument_number32(&usage, "--port", optarg, 1, 65535, &options->port);
	case 'f':
		return argument_number32(&usage, "--flows", optarg, 1, MOST_FLOWS, &options->flows);
	case 'R':
		return argument_number32(&usage, "--rate", optarg, 0, MOST_RATE, &options->rate);
	case 'W':
		return argument_number32(&usage, "--window", optarg, 1, MOST_WINDOW,
					 &options->window);
	case 's':
		return argument_seconds(&usage, "--seconds", optarg, &options->seconds);
	case 'w':
		return argument_seconds(&usage, "--warm-up", optarg, &options->warm_up);
	case 'c':
		options->has_cpu = true;
		return argument_number32(&usage, "--cpu", optarg, 0, MOST_CPU, &options->cpu);
	case 'j':
		options->is_json = true;
		return EXIT_DONE;
	default:
		return EXIT_USAGE;
	}
}

static int check(const struct traffic_options *options)
{
	static const struct ether_addr none;

	if (options->interface == NULL)
		return usage_error(&usage, "--interface is missing");
	if (memcmp(&options->mac, &none, sizeof(none)) == 0)
		return usage_error(&usage, "--mac is missing");
	if (options->window > 0 && options->rate > 0)
		return usage_error(&usage, "--window and --rate exclude each other");
	if (options->vip.s_addr == 0)
		return usage_error(&usage, "--vip is missing");
	return EXIT_DONE;
}

int traffic_options_read(int argc, char **argv, struct traffic_options *options)
{
	static const struct option long_options[] = {
		{ "interface", required_argument, NULL, 'i' },
		{ "mac", required_argument, NULL, 'm' },
		{ "vip", required_argument, NULL, 'v' },
		{ "port", required_argument, NULL, 'p' },
		{ "flows", required_argument, NULL, 'f' },
		{ "rate", required_argument, NULL, 'R' },
		{ "window", required_argument, NULL, 'W' },
		{ "seconds", required_argument, NULL, 's' },
		{ "warm-up", required_argument, NULL, 'w' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int status;

	*options = (struct traffic_options){ .port = 53, .flows = 1, .seconds = 2, .warm_up = 0.2 };
	status = arguments_read(&usage, argc, argv, "i:h", long_options, take_option, options);
	return status == EXIT_DONE ? check(options) : status;
}
