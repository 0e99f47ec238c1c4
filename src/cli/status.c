/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <time.h>

#include "client.h"
#include "commands.h"
#include "table.h"

static const char usage[] = "usage: fluxpin status [--control PATH] [--json]\n"
			    "\n"
			    "Shows how the daemon and its workers are.\n"
			    "\n"
			    "      --control PATH  its control socket (/run/fluxpin/control.sock)\n"
			    "      --json          print one JSON document\n"
			    "  -h, --help          print this\n";

static void print_reload(const json_t *reply)
{
	const json_t *reload = json_object_get(reply, "reload");
	const json_t *configuration = json_object_get(reply, "configuration");
	time_t since = (time_t)client_number(configuration, "active_since");
	char when[64] = "";
	struct tm local;

	if (localtime_r(&since, &local) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local);
	printf("configuration  %s, generation %s, active since %s\n",
	       client_text(configuration, "file"),
	       client_format(client_number(configuration, "generation")), when);
	printf("               %s, %s, %s\n",
	       client_count(client_number(configuration, "vips"), "VIP"),
	       client_count(client_number(configuration, "pools"), "pool"),
	       client_count(client_number(configuration, "backends"), "backend"));
	if (!client_flag(reload, "successful"))
		puts("               the last reload was REFUSED (fluxpin reload says why)");
}

static void print_totals(const json_t *totals)
{
	const json_t *drops = json_object_get(totals, "drops");
	const char *reason;
	json_t *count;

	printf("packets        received %s, forwarded %s, slow path %s, answered %s, dropped %s\n",
	       client_format(client_number(totals, "received_packets")),
	       client_format(client_number(totals, "forwarded_packets")),
	       client_format(client_number(totals, "slow_path_packets")),
	       client_format(client_number(totals, "answered_packets")),
	       client_format(client_number(totals, "dropped_packets")));
	json_object_foreach((json_t *)drops, reason, count)
		printf("               dropped %s %s\n", reason,
		       client_format((uint64_t)json_integer_value(count)));
	printf("connections    %s of %s\n", client_format(client_number(totals, "connections")),
	       client_format(client_number(totals, "connection_capacity")));
}

static void print_health(const json_t *health)
{
	if (client_number(health, "suspended") > 0)
		printf("health checks  suspended, %s of %s: %s\n",
		       client_format(client_number(health, "suspended")),
		       client_format(client_number(health, "checks")),
		       client_text(health, "reason"));
}

static void print_drains(const json_t *reply)
{
	const json_t *drains = json_object_get(reply, "drains");
	uint64_t warnings = client_number(reply, "warnings");
	json_t *drain;
	size_t i;

	json_array_foreach(drains, i, drain) printf(
		"%s%s, for %s\n", i == 0 ? "drained        " : "               ",
		client_text(drain, "backend"), client_duration(client_number(drain, "for_ms")));
	if (warnings > 0)
		printf("warnings       %s (fluxpin warnings)\n", client_format(warnings));
}

static int print_workers(const json_t *workers)
{
	static const char *const headings[] = { "INTERFACE",   ">QUEUE",    ">CPU",
						"MODE",	       ">RECEIVED", ">FORWARDED",
						">SLOW PATH",  ">ANSWERED", ">DROPPED",
						">CONNECTIONS" };
	struct table table;
	json_t *worker;
	size_t i;

	table_start(&table, headings, sizeof(headings) / sizeof(headings[0]));
	json_array_foreach(workers, i, worker)
	{
		const json_t *counters = json_object_get(worker, "counters");
		const char *const cells[] = {
			client_text(worker, "interface"),
			client_format(client_number(worker, "queue")),
			json_integer_value(json_object_get(worker, "cpu")) < 0
				? "-"
				: client_format(client_number(worker, "cpu")),
			client_text(worker, "mode"),
			client_format(client_number(counters, "received_packets")),
			client_format(client_number(counters, "forwarded_packets")),
			client_format(client_number(counters, "slow_path_packets")),
			client_format(client_number(counters, "answered_packets")),
			client_format(client_number(counters, "dropped_packets")),
			client_format(
				client_number(json_object_get(worker, "connections"), "count")),
		};

		table_add(&table, cells);
	}
	putchar('\n');
	return table_print(&table, stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int print(const json_t *reply)
{
	printf("fluxpin %s     process %s, up %s\n", client_text(reply, "version"),
	       client_format(client_number(reply, "pid")),
	       client_duration(client_number(reply, "uptime_ms")));
	print_reload(reply);
	print_totals(json_object_get(reply, "totals"));
	print_health(json_object_get(reply, "health"));
	print_drains(reply);
	return print_workers(json_object_get(reply, "workers"));
}

int command_status(int argc, char **argv)
{
	return client_show(argc, argv, "status", usage, print);
}
