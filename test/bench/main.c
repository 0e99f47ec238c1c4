/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <fluxpin/log.h>

#include "commands.h"
#include "mix.h"

static const struct command {
	const char *name;
	int (*function)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "pipeline", command_pipeline, "nanoseconds a packet of the pipeline on a memory port" },
	{ "maglev", command_maglev, "time to build a table, its evenness, what a removal changes" },
	{ "survive", command_survive, "flows that keep their backend when the table is lost" },
	{ "health", command_health, "CPU time and lateness of many health checks" },
	{ "requests", command_requests, "latency and rate of HTTP requests to a server" },
	{ "traffic", command_traffic, "packets sent to a VIP, and what comes back of them" },
	{ "echo", command_echo, "frames sent back as they came, by AF_XDP or in the kernel" },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *stream)
{
	fputs("usage: fluxpin-bench COMMAND [OPTION]...\n"
	      "       fluxpin-bench --list\n\ncommands:\n",
	      stream);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(stream, "  %-12s%s\n", commands[i].name, commands[i].summary);
	fputs("\n\"fluxpin-bench COMMAND --help\" lists the options of a command, --list the mixes "
	      "of pipeline.\n",
	      stream);
}

static int dispatch(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (name == NULL) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		print_usage(stdout);
		return EXIT_DONE;
	}
	if (strcmp(name, "--list") == 0) {
		mix_print_all(stdout);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].function(argc - 1, argv + 1);
	fprintf(stderr, "fluxpin-bench: unknown command \"%s\"\n\n", name);
	print_usage(stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int status;

	log_initialise();
	status = dispatch(argc, argv);
	if (status == EXIT_ANSWERED)
		status = EXIT_DONE;
	if (fflush(stdout) != 0 && status == EXIT_DONE) {
		fprintf(stderr, "fluxpin-bench: standard output: %s\n", strerror(errno));
		status = EXIT_FAILED;
	}
	return status;
}
