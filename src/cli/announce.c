/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/announce.h>
#include <fluxpin/configuration.h>

#include "commands.h"

static const char usage[] =
	"usage: fluxpin announce --withdraw [-c FILE | --table N]\n"
	"\n"
	"Removes the routes by which a fluxpin that is no more announced its VIPs. A fluxpin that\n"
	"runs is left alone.\n"
	"\n"
	"  -c, --config FILE  take the table from this configuration\n"
	"      --table N      the table; without either, 179\n"
	"      --guard        wait for the end of standard input first: what \"fluxpin run\" "
	"starts\n"
	"  -h, --help         print this\n";

struct arguments {
	const char *file;
	uint32_t table;
	bool withdraw;
	bool guard;
};

static int wrong_usage(const char *message, const char *value)
{
	return usage_error("announce", usage, message, value);
}

static int take_table(struct arguments *arguments, const char *text)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number == 0 ||
	    number > INT32_MAX)
		return wrong_usage("--table takes a number from 1 to 2147483647", text);
	arguments->table = (uint32_t)number;
	return EXIT_DONE;
}

static int read_table(struct arguments *arguments)
{
	struct configuration *configuration;
	struct findings findings;
	int error = configuration_read(arguments->file, &configuration, &findings);

	if (error != 0)
		findings_print(&findings, stderr);
	findings_release(&findings);
	if (error != 0)
		return EXIT_FAILED;
	arguments->table = configuration->announce.table;
	configuration_release(configuration);
	return EXIT_DONE;
}

static int withdraw(uint32_t table)
{
	uint32_t removed = 0;
	int error = announce_remove_leftovers(table, &removed);

	if (error == -EBUSY)
		fprintf(stderr, "fluxpin announce: a fluxpin that runs has table %u\n", table);
	else if (error != 0)
		fprintf(stderr, "fluxpin announce: table %u: %s\n", table, strerror(-error));
	else
		printf("routes removed from table %u: %u\n", table, removed);
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int take_option(int option, struct arguments *arguments)
{
	switch (option) {
	case 'c':
		arguments->file = optarg;
		return EXIT_DONE;
	case 't':
		return take_table(arguments, optarg);
	case 'w':
		arguments->withdraw = true;
		return EXIT_DONE;
	case 'g':
		arguments->guard = true;
		return EXIT_DONE;
	default:
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
}

int command_announce(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "table", required_argument, NULL, 't' },
		{ "withdraw", no_argument, NULL, 'w' },
		{ "guard", no_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct arguments arguments = { .table = CONFIGURATION_ANNOUNCE_TABLE };
	int status = EXIT_DONE, option;

	while (status == EXIT_DONE &&
	       (option = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return EXIT_DONE;
		}
		status = take_option(option, &arguments);
	}
	if (status == EXIT_DONE && optind < argc)
		status = wrong_usage("unexpected argument", argv[optind]);
	if (status == EXIT_DONE && arguments.withdraw == arguments.guard)
		status = wrong_usage("--withdraw is missing", NULL);
	if (status == EXIT_DONE && arguments.file != NULL)
		status = read_table(&arguments);
	if (status != EXIT_DONE)
		return status;
	if (arguments.guard)
		return announce_guard(arguments.table) == 0 ? EXIT_DONE : EXIT_FAILED;
	return withdraw(arguments.table);
}
