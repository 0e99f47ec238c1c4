/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "table.h"

static const char usage[] =
	"usage: fluxpin connections [--backend POOL/BACKEND] [--sample N] [--control PATH] "
	"[--json]\n"
	"       fluxpin connections 'tcp 198.51.100.7:40000 203.0.113.10:80' [--control PATH] "
	"[--json]\n"
	"\n"
	"Counts the flows that the workers track, by state, VIP and backend, and lists some of "
	"them;\n"
	"or says of one flow which worker tracks it, its backend, and when it was last seen.\n"
	"\n"
	"      --backend POOL/BACKEND  list flows of this backend only\n"
	"      --sample N              list up to N flows, 0 to 1000 (20)\n"
	"      --control PATH          the daemon's control socket (/run/fluxpin/control.sock)\n"
	"      --json                  print one JSON document\n"
	"  -h, --help                  print this\n";

struct connections_options {
	struct client_options client;
	const char *backend;
	long sample; /* -1: not given */
};

enum {
	BACKEND = 256,
	SAMPLE,
};

static int take(void *context, int option, const char *value)
{
	struct connections_options *options = context;
	char *end;

	if (option == BACKEND) {
		options->backend = value;
		return EXIT_DONE;
	}
	options->sample = strtol(value, &end, 10);
	if (*value < '0' || *value > '9' || *end != '\0' || options->sample > 1000)
		return client_usage(&options->client, "--sample is a number from 0 to 1000, not",
				    value);
	return EXIT_DONE;
}

static int print_states(const json_t *states)
{
	static const char *const headings[] = { "STATE", ">FLOWS" };
	struct table table;
	const char *state;
	json_t *count;

	table_start(&table, headings, 2);
	json_object_foreach((json_t *)states, state, count)
	{
		const char *const cells[] = { state,
					      client_format((uint64_t)json_integer_value(count)) };

		if (json_integer_value(count) > 0)
			table_add(&table, cells);
	}
	return table_print(&table, stdout);
}

static int print_vips(const json_t *vips)
{
	static const char *const headings[] = { "VIP", ">FLOWS" };
	struct table table;
	json_t *entry;
	size_t i;

	table_start(&table, headings, 2);
	json_array_foreach(vips, i, entry)
	{
		const json_t *names = json_object_get(entry, "vips");
		char text[256] = "(gone)";
		size_t used = 0, j;
		json_t *name;

		json_array_foreach(names, j, name) if (used < sizeof(text) - 80) used +=
			(size_t)snprintf(text + used, sizeof(text) - used, "%s%.70s",
					 j > 0 ? " or " : "", json_string_value(name));
		const char *const cells[] = { text, client_format(client_number(entry, "flows")) };

		table_add(&table, cells);
	}
	return table_print(&table, stdout);
}

static int print_backends(const json_t *backends)
{
	static const char *const headings[] = { "BACKEND", ">FLOWS", ">CLOSING" };
	struct table table;
	json_t *entry;
	size_t i;

	table_start(&table, headings, 3);
	json_array_foreach(backends, i, entry)
	{
		char name[160];

		snprintf(name, sizeof(name), "%.70s/%.70s", client_text(entry, "pool"),
			 client_text(entry, "backend"));

		const char *const cells[] = { name, client_format(client_number(entry, "flows")),
					      client_format(client_number(entry, "closing")) };

		table_add(&table, cells);
	}
	return table_print(&table, stdout);
}

static int print_entries(const json_t *entries)
{
	static const char *const headings[] = { "INTERFACE", ">QUEUE", "HASH", "VIP",
						"BACKEND",   "STATE",  ">AGE" };
	struct table table;
	json_t *entry;
	size_t i;

	table_start(&table, headings, sizeof(headings) / sizeof(headings[0]));
	json_array_foreach(entries, i, entry)
	{
		char name[160] = "(gone)", age[24];

		if (json_is_string(json_object_get(entry, "pool")))
			snprintf(name, sizeof(name), "%.70s/%.70s", client_text(entry, "pool"),
				 client_text(entry, "backend"));
		snprintf(age, sizeof(age), "%s s",
			 client_format(client_number(entry, "age_seconds")));

		const char *const cells[] = {
			client_text(entry, "interface"),
			client_format(client_number(entry, "queue")),
			client_text(entry, "hash"),
			client_text(entry, "vip"),
			name,
			client_text(entry, "state"),
			age,
		};

		table_add(&table, cells);
	}
	return table_print(&table, stdout);
}

static int print_all(const json_t *reply)
{
	int error;

	printf("flows     %s of %s", client_format(client_number(reply, "flows")),
	       client_format(client_number(reply, "capacity")));
	if (client_number(reply, "stale") > 0)
		printf(", and %s whose backend no longer serves",
		       client_format(client_number(reply, "stale")));
	puts("");
	if (client_number(reply, "flows") == 0)
		return 0;
	putchar('\n');
	error = print_states(json_object_get(reply, "by_state"));
	putchar('\n');
	if (error == 0)
		error = print_vips(json_object_get(reply, "by_vip"));
	putchar('\n');
	if (error == 0)
		error = print_backends(json_object_get(reply, "by_backend"));
	if (json_array_size(json_object_get(reply, "sample")) > 0)
		putchar('\n');
	if (error == 0)
		error = print_entries(json_object_get(reply, "sample"));
	return error;
}

static int print_flow(const json_t *reply)
{
	const json_t *entries = json_object_get(reply, "entries");
	const char *pool = client_text(reply, "pool"), *reason = client_text(reply, "reason");
	const char *backend = client_text(reply, "by_hash");

	printf("verdict   %s%s%s, of the first packet of a new flow\n",
	       client_text(reply, "verdict"), *reason != '\0' ? ": " : "", reason);
	if (*client_text(reply, "vip") != '\0')
		printf("VIP       %s\n", client_text(reply, "vip"));
	if (*pool == '\0')
		return 0;
	printf("hash      %s\n", client_text(reply, "hash"));
	printf("by hash   %s%s%s, slot %s\n", *backend != '\0' ? pool : "",
	       *backend != '\0' ? "/" : "no backend", backend,
	       client_format(client_number(reply, "slot")));
	if (json_array_size(entries) == 0)
		puts(client_flag(reply, "tracking") ? "tracked   by no worker"
						    : "tracked   never: tracking = false");
	else
		putchar('\n');
	return print_entries(entries);
}

int command_connections(int argc, char **argv)
{
	static const struct client_long_option own[] = { { "backend", BACKEND, true },
							 { "sample", SAMPLE, true } };
	struct connections_options options = {
		.client = { .command = "connections", .usage = usage }, .sample = -1
	};
	const char *flow;
	json_t *request, *reply;
	int status, error;

	if (!client_read_options(argc, argv, &options.client, true, own, 2, take, &options,
				 &status))
		return status;
	flow = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return client_usage(&options.client, "one flow, in quotes, is expected",
				    argv[optind]);
	if (flow != NULL && (options.backend != NULL || options.sample >= 0))
		return client_usage(&options.client, "--backend and --sample are not for one flow",
				    NULL);
	request = json_pack("{s:s, s:s*, s:s*}", "command", "connections", "flow", flow, "backend",
			    options.backend);
	if (options.sample >= 0)
		json_object_set_new(request, "sample", json_integer(options.sample));
	status = client_ask(&options.client, request, &reply);
	if (reply == NULL)
		return status;
	error = flow != NULL ? print_flow(reply) : print_all(reply);
	json_decref(reply);
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}
