/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "client.h"
#include "commands.h"
#include "table.h"

static const char usage[] =
	"usage: fluxpin vips [--control PATH] [--json]\n"
	"\n"
	"Lists the VIPs: their pools, how many backends serve, whether they are\n"
	"announced, and what they got.\n"
	"\n"
	"      --control PATH  the daemon's control socket (/run/fluxpin/control.sock)\n"
	"      --json          print one JSON document\n"
	"  -h, --help          print this\n";

static int print(const json_t *reply)
{
	const json_t *vips = json_object_get(reply, "vips");
	static const char *const headings[] = { "VIP",	 "ADDRESS",   "PROTOCOL", ">PORT", "POOL",
						"SERVE", "ANNOUNCED", ">PACKETS", ">BYTES" };
	struct table table;
	json_t *vip;
	size_t i;

	table_start(&table, headings, sizeof(headings) / sizeof(headings[0]));
	json_array_foreach(vips, i, vip)
	{
		uint64_t port = client_number(vip, "port");
		char serve[64];

		snprintf(serve, sizeof(serve), "%s of %s%s",
			 client_format(client_number(vip, "serving")),
			 client_format(client_number(vip, "backends")),
			 client_flag(vip, "last_resort") ? ", last resort" : "");

		const char *const cells[] = {
			client_text(vip, "name"),
			client_text(vip, "address"),
			client_text(vip, "protocol"),
			port == 0 ? "any" : client_format(port),
			client_text(vip, "pool"),
			serve,
			json_is_null(json_object_get(vip, "announced")) ? ""
			: client_flag(vip, "announced")			? "yes"
									: "withdrawn",
			client_format(client_number(vip, "packets")),
			client_format(client_number(vip, "bytes")),
		};

		table_add(&table, cells);
	}
	return table_print(&table, stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

int command_vips(int argc, char **argv)
{
	return client_show(argc, argv, "vips", usage, print);
}
