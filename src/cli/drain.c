/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/clock.h>
#include <fluxpin/duration.h>

#include "client.h"
#include "commands.h"

static const char drain_usage[] =
	"usage: fluxpin drain POOL/BACKEND [--wait [--timeout DURATION]] [--control PATH] "
	"[--json]\n"
	"\n"
	"Gives the backend no new flows; those that it has stay. Reports how many they are. A "
	"drain\n"
	"survives reloads, until it is undone or the daemon ends.\n"
	"\n"
	"      --wait              return when no flows are left\n"
	"      --timeout DURATION  give up after this, such as 5m, and exit with 1\n"
	"      --control PATH      the daemon's control socket (/run/fluxpin/control.sock)\n"
	"      --json              print one JSON document\n"
	"  -h, --help              print this\n";

static const char undrain_usage[] =
	"usage: fluxpin undrain POOL/BACKEND [--control PATH] [--json]\n"
	"\n"
	"Gives the backend new flows again.\n"
	"\n"
	"      --control PATH  the daemon's control socket (/run/fluxpin/control.sock)\n"
	"      --json          print one JSON document\n"
	"  -h, --help          print this\n";

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

/* How often the flows that are left are counted. */
#define PAUSE_MS 500

struct drain_options {
	struct client_options client;
	const char *backend;
	bool waits;
	uint64_t timeout_ns; /* 0: none */
};

enum {
	WAIT = 256,
	TIMEOUT,
};

static int take(void *context, int option, const char *value)
{
	struct drain_options *options = context;

	if (option == WAIT) {
		options->waits = true;
		return EXIT_DONE;
	}
	if (duration_parse(value, &options->timeout_ns) != 0 || options->timeout_ns == 0)
		return client_usage(&options->client,
				    "--timeout is a time with a unit, such as 30s or 5m, not",
				    value);
	return EXIT_DONE;
}

static bool read_arguments(int argc, char **argv, struct drain_options *options,
			   const struct client_long_option *own, uint32_t own_count, int *status)
{
	if (!client_read_options(argc, argv, &options->client, true, own, own_count, take, options,
				 status))
		return false;
	*status = EXIT_USAGE;
	if (optind == argc)
		client_usage(&options->client, "a backend is missing: POOL/BACKEND", NULL);
	else if (optind + 1 < argc)
		client_usage(&options->client, "unexpected argument", argv[optind + 1]);
	else if (options->timeout_ns > 0 && !options->waits)
		client_usage(&options->client, "--timeout is for --wait", NULL);
	else
		*status = EXIT_DONE;
	options->backend = argv[optind];
	return *status == EXIT_DONE;
}

static void pause_ms(uint32_t ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&time, NULL);
}

/* Asks for a reply that is "ok"; prints nothing but errors. One that is not is given, too. */
static int ask(const struct drain_options *options, const char *command, json_t **reply)
{
	int status;

	*reply = NULL;
	status = client_call(
		&options->client,
		json_pack("{s:s, s:s}", "command", command, "backend", options->backend), reply);
	if (status != EXIT_DONE || client_flag(*reply, "ok"))
		return status;
	client_print_errors(&options->client, *reply);
	return EXIT_FAILED;
}

/* Counts until nothing is left. The reply is replaced by the last count. */
static int wait_for_flows(const struct drain_options *options, json_t **reply)
{
	uint64_t start = clock_ns();
	int status = EXIT_DONE;

	for (;;) {
		json_decref(*reply);
		status = ask(options, "flows", reply);
		if (status != EXIT_DONE)
			return status;
		if (!client_flag(*reply, "drained")) {
			fprintf(stderr, "fluxpin drain: %s: the drain was undone meanwhile\n",
				options->backend);
			return EXIT_FAILED;
		}
		if (client_flag(*reply, "in_force") && client_number(*reply, "flows") == 0)
			return EXIT_DONE;
		if (options->timeout_ns > 0 && clock_ns() - start >= options->timeout_ns) {
			fprintf(stderr,
				"fluxpin drain: %s: %s left after %s (%s of them closing); the "
				"backend stays drained\n",
				options->backend,
				client_count(client_number(*reply, "flows"), "flow"),
				client_duration(options->timeout_ns / 1000000),
				client_format(client_number(*reply, "closing")));
			return EXIT_FAILED;
		}
		pause_ms(PAUSE_MS);
	}
}

static void print_flows(const struct drain_options *options, const json_t *reply)
{
	uint64_t flows = client_number(reply, "flows");

	printf("%s: drained, ", options->backend);
	if (flows == 0)
		puts("no flows are left");
	else
		printf("%s left, %s of them closing\n", client_count(flows, "flow"),
		       client_format(client_number(reply, "closing")));
}

static void warn_exhausted(const struct drain_options *options, const json_t *reply)
{
	json_t *pool;
	size_t i;

	json_array_foreach(json_object_get(reply, "exhausted_pools"), i, pool)
		fprintf(stderr,
			"fluxpin drain: warning: no backend of pool %s serves now, new flows to "
			"its VIPs are dropped (fluxpin undrain %s)\n",
			json_string_value(pool), options->backend);
}

int command_drain(int argc, char **argv)
{
	static const struct client_long_option own[] = { { "wait", WAIT, false },
							 { "timeout", TIMEOUT, true } };
	struct drain_options options = { .client = { .command = "drain", .usage = drain_usage } };
	json_t *reply = NULL;
	int status;

	if (!read_arguments(argc, argv, &options, own, 2, &status))
		return status;
	status = ask(&options, "drain", &reply);
	if (status == EXIT_DONE)
		warn_exhausted(&options, reply);
	if (status == EXIT_DONE && options.waits)
		status = wait_for_flows(&options, &reply);
	if (reply == NULL)
		return status;
	if (options.client.is_json) {
		if (client_print_json(reply) != EXIT_DONE)
			status = EXIT_FAILED;
	} else if (status == EXIT_DONE) {
		print_flows(&options, reply);
	}
	json_decref(reply);
	return status;
}

static void print_undrained(const struct drain_options *options, const json_t *reply)
{
	const json_t *drains = json_object_get(reply, "drained_by");
	const char *first = json_string_value(json_array_get(drains, 0));

	if (first != NULL)
		printf("%s: gets no new flows still: drained as %s, too (fluxpin undrain %s)\n",
		       options->backend, first, first);
	else if (client_flag(reply, "was_drained"))
		printf("%s: gets new flows again\n", options->backend);
	else
		printf("%s: was not drained\n", options->backend);
}

int command_undrain(int argc, char **argv)
{
	struct drain_options options = { .client = { .command = "undrain",
						     .usage = undrain_usage } };
	json_t *reply;
	int status;

	if (!read_arguments(argc, argv, &options, NULL, 0, &status))
		return status;
	status = client_ask(
		&options.client,
		json_pack("{s:s, s:s}", "command", "undrain", "backend", options.backend), &reply);
	if (reply == NULL)
		return status;
	print_undrained(&options, reply);
	json_decref(reply);
	return status;
}
