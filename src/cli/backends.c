/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "table.h"

static const char usage[] =
	"usage: fluxpin backends [--control PATH] [--json]\n"
	"\n"
	"Lists the backends: whether they serve and why not, their weights, and what they got.\n"
	"\n"
	"      --control PATH  the daemon's control socket (/run/fluxpin/control.sock)\n"
	"      --json          print one JSON document\n"
	"  -h, --help          print this\n";

/* "up, drained", "down (last resort)", "up, 30 % of its weight". */
static const char *describe(const json_t *backend, char text[static 64])
{
	uint64_t percent = client_number(backend, "slow_start_percent");
	const char *state = client_text(backend, "state");

	if (client_flag(backend, "drained"))
		snprintf(text, 64, "%.20s, drained", state);
	else if (client_flag(backend, "last_resort"))
		snprintf(text, 64, "%.20s, last resort", state);
	else if (percent < 100 && client_flag(backend, "serves"))
		snprintf(text, 64, "%.20s, slow start %s %%", state, client_format(percent));
	else
		snprintf(text, 64, "%.20s", state);
	return text;
}

/* The first that is not resolved, with its interface. */
static const char *next_hop(const json_t *backend, char text[static 64])
{
	const char *interface;
	json_t *state;

	json_object_foreach(json_object_get(backend, "next_hops"), interface,
			    state) if (strcmp(json_string_value(state), "resolved") != 0)
	{
		snprintf(text, 64, "%.15s: %.40s", interface, json_string_value(state));
		return text;
	}
	return "resolved";
}

static int print(const json_t *reply)
{
	const json_t *backends = json_object_get(reply, "backends");
	static const char *const headings[] = { "BACKEND", "ADDRESS",  ">WEIGHT",
						">IN USE", "STATE",    "NEXT HOP",
						">FLOWS",  ">PACKETS", ">BYTES" };
	struct table table;
	json_t *backend;
	size_t i;

	table_start(&table, headings, sizeof(headings) / sizeof(headings[0]));
	json_array_foreach(backends, i, backend)
	{
		char name[160], state[64], hop[64];

		snprintf(name, sizeof(name), "%.70s/%.70s", client_text(backend, "pool"),
			 client_text(backend, "name"));

		const char *const cells[] = {
			name,
			client_text(backend, "address"),
			client_format(client_number(backend, "configured_weight")),
			client_format(client_number(backend, "weight")),
			describe(backend, state),
			next_hop(backend, hop),
			client_format(client_number(backend, "flows")),
			client_format(client_number(backend, "packets")),
			client_format(client_number(backend, "bytes")),
		};

		table_add(&table, cells);
	}
	return table_print(&table, stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

int command_backends(int argc, char **argv)
{
	return client_show(argc, argv, "backends", usage, print);
}
