/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"

static const char usage[] =
	"usage: fluxpin warnings [--control PATH] [--json]\n"
	"\n"
	"Says what is wrong now, a sentence a line; exits with 1 if anything is.\n"
	"\n"
	"      --control PATH  the daemon's control socket (/run/fluxpin/control.sock)\n"
	"      --json          print one JSON document\n"
	"  -h, --help          print this\n";

int command_warnings(int argc, char **argv)
{
	struct client_options options = { .command = "warnings", .usage = usage };
	json_t *reply, *warning;
	const json_t *list;
	int status;
	size_t i;

	if (!client_read_options(argc, argv, &options, true, NULL, 0, NULL, NULL, &status))
		return status;
	if (optind < argc)
		return client_usage(&options, "unexpected argument", argv[optind]);
	status = client_call(&options, json_pack("{s:s}", "command", "warnings"), &reply);
	if (status != EXIT_DONE)
		return status;
	list = json_object_get(reply, "warnings");
	if (!client_flag(reply, "ok"))
		client_print_errors(&options, reply);
	else if (!options.is_json)
		json_array_foreach(list, i, warning) puts(client_text(warning, "message"));
	if (options.is_json)
		client_print_json(reply);
	if (!client_flag(reply, "ok") || json_array_size(list) > 0)
		status = EXIT_FAILED;
	json_decref(reply);
	return status;
}
