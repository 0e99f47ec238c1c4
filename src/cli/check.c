/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <fluxpin/configuration.h>

#include "commands.h"

static const char usage[] =
	"usage: fluxpin check -c FILE [--json] [--offline]\n"
	"\n"
	"Checks a configuration file and lists everything that is wrong with it.\n"
	"\n"
	"  -c, --config FILE  the file\n"
	"      --json         print one JSON document\n"
	"      --offline      leave this host's interfaces, queues, CPUs and files out\n"
	"  -h, --help         print this\n";

struct options {
	const char *file;
	bool is_json;
	bool is_offline;
};

/* Returns whether to go on; otherwise *status is the exit status. */
static bool read_options(int argc, char **argv, struct options *options, int *status)
{
	enum {
		JSON = 256,
		OFFLINE
	};
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, JSON },
		{ "offline", no_argument, NULL, OFFLINE },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	*status = EXIT_USAGE;
	while ((option = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->file = optarg;
			break;
		case JSON:
			options->is_json = true;
			break;
		case OFFLINE:
			options->is_offline = true;
			break;
		case 'h':
			fputs(usage, stdout);
			*status = EXIT_DONE;
			return false;
		default:
			fputs(usage, stderr);
			return false;
		}
	}
	if (optind == argc && options->file)
		return true;
	if (optind < argc)
		fprintf(stderr, "fluxpin check: unexpected argument \"%s\"\n\n", argv[optind]);
	else
		fputs("fluxpin check: -c FILE is missing\n\n", stderr);
	fputs(usage, stderr);
	return false;
}

static json_t *findings_to_json(const struct findings *findings, bool warnings)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->entries[i];

		if (finding->is_warning == warnings)
			json_array_append_new(array,
					      json_pack("{s:i, s:i, s:s}", "line",
							(int)finding->position.line, "column",
							(int)finding->position.column, "message",
							finding->message));
	}
	return array;
}

static int print_json(const struct options *options, const struct findings *findings, bool is_valid)
{
	/* A file's name may be any bytes; JSON holds UTF-8 only. */
	json_t *name = json_string(options->file);
	json_t *document;
	int status;

	if (!name)
		name = json_null();
	document = json_pack("{s:o, s:b, s:o, s:o}", "file", name, "valid", is_valid, "errors",
			     findings_to_json(findings, false), "warnings",
			     findings_to_json(findings, true));
	if (!document)
		return -ENOMEM;
	status = json_dumpf(document, stdout, JSON_INDENT(2));
	json_decref(document);
	putchar('\n');
	return status == 0 ? 0 : -EIO;
}

static const char *plural(uint32_t count)
{
	return count == 1 ? "" : "s";
}

static void print_summary(const struct options *options, const struct configuration *configuration)
{
	struct configuration_size size = configuration_size(configuration);

	printf("%s: valid: %u VIP%s, %u pool%s, %u backend%s\n", options->file,
	       configuration->vip_count, plural(configuration->vip_count), size.pools,
	       plural(size.pools), size.backends, plural(size.backends));
}

int command_check(int argc, char **argv)
{
	struct options options = { 0 };
	struct configuration *configuration = NULL;
	struct findings findings;
	int exit_status, status;

	if (!read_options(argc, argv, &options, &exit_status))
		return exit_status;
	status = configuration_read(options.file, &configuration, &findings);
	if (status == 0 && !options.is_offline)
		status = configuration_check_files(configuration, &findings);
	if (status == 0 && !options.is_offline)
		status = configuration_check_host(configuration, &findings);
	exit_status = status == 0 ? EXIT_DONE : EXIT_FAILED;
	if (status != 0 && status != -EINVAL) {
		fprintf(stderr, "fluxpin check: %s\n", strerror(-status));
	} else if (options.is_json) {
		if (print_json(&options, &findings, status == 0) != 0)
			exit_status = EXIT_FAILED;
	} else {
		findings_print(&findings, stderr);
		if (status == 0)
			print_summary(&options, configuration);
	}
	configuration_release(configuration);
	findings_release(&findings);
	return exit_status;
}
