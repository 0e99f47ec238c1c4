/* SPDX-License-Identifier: BSD-2-Clause */
/* fluxpin reload and fluxpin diff: what a reload changes, and what it would. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/configuration_json.h>

#include "client.h"
#include "commands.h"

static const char reload_usage[] =
	"usage: fluxpin reload [--control PATH] [--json]\n"
	"\n"
	"Has the daemon read its configuration again, as SIGHUP does, waits for the outcome, and\n"
	"prints what changed, or every error.\n"
	"\n"
	"      --control PATH  its control socket (/run/fluxpin/control.sock)\n"
	"      --json          print one JSON document\n"
	"  -h, --help          print this\n";

static const char diff_usage[] =
	"usage: fluxpin diff -c FILE [--control PATH] [--json]\n"
	"\n"
	"Prints what a reload of FILE would change; exits with 1 if that is anything, or if FILE "
	"has\n"
	"errors.\n"
	"\n"
	"  -c, --config FILE   the file\n"
	"      --control PATH  the daemon's control socket (/run/fluxpin/control.sock)\n"
	"      --json          print one JSON document\n"
	"  -h, --help          print this\n";

int command_reload(int argc, char **argv)
{
	struct client_options options = { .command = "reload",
					  .usage = reload_usage,
					  .reply_s = CLIENT_RELOAD_S };
	const json_t *changes;
	json_t *reply;
	int status;

	if (!client_read_options(argc, argv, &options, true, NULL, 0, NULL, NULL, &status))
		return status;
	if (optind < argc)
		return client_usage(&options, "unexpected argument", argv[optind]);
	status = client_call(&options, json_pack("{s:s}", "command", "reload"), &reply);
	if (status != EXIT_DONE)
		return status;
	/* Errors and warnings as `check` prints them; what is no finding is said in "errors". */
	fputs(client_text(reply, "findings"), stderr);
	if (!client_flag(reply, "ok")) {
		if (*client_text(reply, "findings") == '\0')
			client_print_errors(&options, reply);
		fprintf(stderr, "fluxpin reload: refused: generation %s stays active\n",
			client_format(client_number(reply, "generation")));
		status = EXIT_FAILED;
	}
	if (options.is_json) {
		if (client_print_json(reply) != EXIT_DONE)
			status = EXIT_FAILED;
	} else if (status == EXIT_DONE) {
		changes = json_object_get(reply, "changes");
		printf("generation %s is active, %s\n",
		       client_format(client_number(reply, "generation")),
		       json_array_size(changes) == 0
			       ? "nothing changed"
			       : client_count(json_array_size(changes), "change"));
		configuration_print_changes(changes, stdout);
	}
	json_decref(reply);
	return status;
}

static int take_file(void *context, int option, const char *value)
{
	(void)option;
	*(const char **)context = value;
	return EXIT_DONE;
}

/* The file as the daemon would read it, or NULL after saying what is wrong. */
static json_t *read_file(const char *file)
{
	struct configuration *configuration = NULL;
	struct findings findings;
	int error = configuration_read(file, &configuration, &findings);
	json_t *document = NULL;

	findings_print(&findings, stderr);
	findings_release(&findings);
	if (error == 0)
		document = configuration_to_json(configuration);
	else if (error != -EINVAL)
		fprintf(stderr, "fluxpin diff: %s\n", strerror(-error));
	configuration_release(configuration);
	return document;
}

static void print_json(json_t *changes)
{
	json_t *document = json_pack("{s:O}", "changes", changes);

	client_print_json(document);
	json_decref(document);
}

int command_diff(int argc, char **argv)
{
	static const struct client_long_option own[] = { { "config", 'c', true } };
	struct client_options options = { .command = "diff", .usage = diff_usage };
	json_t *reply, *document, *changes;
	const char *file = NULL;
	int status;

	if (!client_read_options(argc, argv, &options, true, own, 1, take_file, &file, &status))
		return status;
	if (optind < argc)
		return client_usage(&options, "unexpected argument", argv[optind]);
	if (file == NULL)
		return client_usage(&options, "-c FILE is missing", NULL);
	document = read_file(file);
	if (document == NULL)
		return EXIT_FAILED;
	status = client_call(&options, json_pack("{s:s}", "command", "configuration"), &reply);
	if (status != EXIT_DONE) {
		json_decref(document);
		return status;
	}
	changes = configuration_diff(json_object_get(reply, "configuration"), document);
	if (!client_flag(reply, "ok"))
		client_print_errors(&options, reply);
	else if (options.is_json)
		print_json(changes);
	else
		configuration_print_changes(changes, stdout);
	if (!client_flag(reply, "ok") || json_array_size(changes) > 0)
		status = EXIT_FAILED;
	json_decref(changes);
	json_decref(reply);
	json_decref(document);
	return status;
}
