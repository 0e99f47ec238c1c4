/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <fluxpin/log.h>
#include <fluxpin/suggestion.h>

#include "commands.h"

static const struct command {
	const char *name;
	int (*function)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "run", command_run, "balance the traffic of one or more interfaces" },
	{ "check", command_check, "check a configuration file" },
	{ "explain", command_explain, "say what happens to a flow, and why" },
	{ "replay", command_replay, "run the pipeline over a capture file" },
	{ "doctor", command_doctor, "find what keeps the host from forwarding, and what mends it" },
	{ "announce", command_announce, "withdraw what a dead fluxpin announced" },
	{ "endpoint", command_endpoint, "decapsulate on a backend" },
	{ "status", command_status, "show how the daemon and its workers are" },
	{ "vips", command_vips, "list the VIPs and their traffic" },
	{ "backends", command_backends, "list the backends, their health and traffic" },
	{ "connections", command_connections, "count and list the flows on record, or find one" },
	{ "drain", command_drain, "give a backend no new flows" },
	{ "undrain", command_undrain, "give it new flows again" },
	{ "reload", command_reload, "have the configuration read again, and show the outcome" },
	{ "diff", command_diff, "show what a reload of a file would change" },
	{ "warnings", command_warnings, "say what is wrong now" },
	{ "top", command_top, "watch the daemon: rates, health, drops" },
	{ "version", command_version, "print the version" },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *stream)
{
	fputs("usage: fluxpin COMMAND [OPTION]...\n\ncommands:\n", stream);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(stream, "  %-12s%s\n", commands[i].name, commands[i].summary);
	fputs("\n\"fluxpin COMMAND --help\" lists the options of a command.\n", stream);
}

static int report_unknown(const char *name)
{
	const char *nearest =
		suggestion_find(name, &commands[0].name, COMMAND_COUNT, sizeof(commands[0]));

	fprintf(stderr, "fluxpin: unknown command \"%s\"", name);
	if (nearest)
		fprintf(stderr, "; did you mean \"%s\"?", nearest);
	fputs("\n\n", stderr);
	print_usage(stderr);
	return EXIT_USAGE;
}

/* getopt_long(3) begins its messages with argv[0]. */
static int call(int (*function)(int argc, char **argv), int argc, char **argv)
{
	char name[32];

	snprintf(name, sizeof(name), "fluxpin %s", argv[0]);
	argv[0] = name;
	return function(argc, argv);
}

static int dispatch(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_usage(stdout);
		return EXIT_DONE;
	}
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(name, commands[i].name) == 0)
			return call(commands[i].function, argc - 1, argv + 1);
	}
	return report_unknown(name);
}

int main(int argc, char **argv)
{
	int status;

	log_initialise();
	status = dispatch(argc, argv);
	/* Data that did not reach its reader is a failure, whatever the command thought. */
	if (fflush(stdout) != 0 && status == EXIT_DONE) {
		fprintf(stderr, "fluxpin: standard output: %s\n", strerror(errno));
		status = EXIT_FAILED;
	}
	return status;
}
