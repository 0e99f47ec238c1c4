/* SPDX-License-Identifier: BSD-2-Clause */
/* What is different between two configurations: every setting counts, and order does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fluxpin/configuration_json.h>

#include "configuration_text.h"

static json_t *document_of(const char *text)
{
	struct configuration *configuration = configuration_from_text(text);
	json_t *document = configuration_to_json(configuration);

	configuration_release(configuration);
	assert_non_null(document);
	return document;
}

/* The changes from one file to another, as they are printed. */
static void assert_changes(const char *from, const char *to, const char *expected)
{
	json_t *before = document_of(from), *after = document_of(to);
	json_t *changes = configuration_diff(before, after);
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	configuration_print_changes(changes, stream);
	fclose(stream);
	assert_string_equal(text, expected);
	free(text);
	json_decref(changes);
	json_decref(before);
	json_decref(after);
}

#define POOL(settings) "{ name = \"web\"; " settings " }"
#define A	       "{ name = \"a\"; address = \"10.0.0.1\"; }"
#define B	       "{ name = \"b\"; address = \"10.0.0.2\"; weight = 5; }"
#define C	       "{ name = \"c\"; address = \"10.0.0.3\"; }"
#define VIP(settings)                                                                     \
	"{ name = \"v\"; address = \"192.0.2.1\"; protocol = \"tcp\"; port = 80; pool = " \
	"\"web\"; " settings " }"
#define FILE_OF(settings, pools, vips) \
	"hash_seed = \"1\";\n" settings "\npools = ( " pools " );\nvips = ( " vips " );\n"
#define BASE FILE_OF("", POOL("backends = ( " A ", " B " );"), VIP(""))

static void the_same_and_another_order_are_no_change(void **state)
{
	(void)state;
	assert_changes(BASE, BASE, "");
	assert_changes(BASE, FILE_OF("", POOL("backends = ( " B ", " A " );"), VIP("")), "");
	/* Defaults that are written down. */
	assert_changes(BASE,
		       FILE_OF("connections = { tcp_idle = \"15m\"; };",
			       POOL("table_size = 65537; backends = ( " A ", " B " );"),
			       VIP("tracking = true;")),
		       "");
}

static void backends_come_go_and_change(void **state)
{
	(void)state;
	assert_changes(BASE,
		       FILE_OF("",
			       POOL("backends = ( { name = \"b\"; address = \"10.0.0.2\"; weight "
				    "= 0; }, " C " );"),
			       VIP("")),
		       "- backend web/a\n+ backend web/c\n~ backend web/b: weight 5 -> 0\n");
	assert_changes(
		BASE,
		FILE_OF("",
			POOL("backends = ( { name = \"a\"; address = \"10.0.0.9\"; }, " B " );"),
			VIP("")),
		"~ backend web/a: address 10.0.0.1 -> 10.0.0.9\n");
}

static void pools_and_vips_come_and_go_as_wholes(void **state)
{
	(void)state;
	assert_changes(BASE,
		       FILE_OF("",
			       POOL("backends = ( " A ", " B " );") ", { name = \"new\"; backends "
								    "= ( " C " ); }",
			       VIP("") ", { name = \"w\"; address = \"192.0.2.2\"; protocol = "
				       "\"udp\"; port = 53; pool = \"new\"; }"),
		       "+ pool new\n+ VIP w\n");
}

static void what_takes_a_restart_says_so(void **state)
{
	json_t *before, *after, *changes;

	(void)state;
	assert_changes(BASE,
		       FILE_OF("umem = { frames = 16384; };\nslow_path = \"pass\";",
			       POOL("backends = ( " A ", " B " );"), VIP("")),
		       "~ slow_path tap -> pass (takes a restart)\n"
		       "~ umem.frames 8192 -> 16384 (takes a restart)\n");
	assert_changes(
		FILE_OF("interfaces = ( { name = \"e\"; busy_poll = true; } );",
			POOL("backends = ( " A ", " B " );"), VIP("")),
		FILE_OF("interfaces = ( { name = \"e\"; busy_poll = false; busy_poll_budget = 8; "
			"busy_poll_idle = \"50us\"; } );",
			POOL("backends = ( " A ", " B " );"), VIP("")),
		"~ interface e: busy_poll true -> false (takes a restart)\n"
		"~ interface e: busy_poll_budget 64 -> 8 (takes a restart)\n"
		"~ interface e: busy_poll_idle none -> 50us (takes a restart)\n");
	before = document_of(BASE);
	after = document_of("hash_seed = \"2\";\npools = ( " POOL(
		"backends = ( " A ", " B " );") " );\nvips = ( " VIP("") " );\n");
	changes = configuration_diff(before, after);
	assert_int_equal(json_array_size(changes), 1);
	/* The seed itself is a secret. */
	assert_true(json_is_null(json_object_get(json_array_get(changes, 0), "from")));
	assert_true(json_is_null(json_object_get(json_array_get(changes, 0), "to")));
	json_decref(changes);
	/* What one side does not tell is not compared. */
	json_object_del(after, "hash_seed");
	changes = configuration_diff(before, after);
	assert_int_equal(json_array_size(changes), 0);
	json_decref(changes);
	json_decref(before);
	json_decref(after);
}

/* One change each: none of them may go unnoticed. */
static void every_setting_counts(void **state)
{
	static const char *const top[] = {
		"source_address = { ipv4 = \"10.0.0.7\"; };",
		"source_address = { ipv6 = \"fd00::7\"; };",
		"interfaces = ( { name = \"eth7\"; } );",
		"connections = { capacity = 2048; };",
		"connections = { tcp_idle = \"16m\"; };",
		"connections = { tcp_syn_idle = \"16m\"; };",
		"connections = { tcp_closing_idle = \"16m\"; };",
		"connections = { udp_idle = \"16m\"; };",
		"connections = { other_idle = \"16m\"; };",
		"connections = { new_rate = 7; };",
		"icmp = { echo_rate = 7; };",
		"icmp = { error_rate = 7; };",
		"fragments = { capacity = 512; };",
		"fragments = { timeout = \"3s\"; };",
		"umem = { frame_size = 4096; };",
		"metrics = { textfile = \"/tmp/x.prom\"; };",
		"metrics = { interval = \"11s\"; };",
		"metrics = { listen = \"127.0.0.1:9100\"; };",
		"announce = { table = 7; };",
		"control = \"/tmp/x.sock\";",
		"announce = {};",
		"source_address = { ipv4 = \"10.0.0.7\"; };\npeers = ( \"10.0.0.7\" );",
		"decapsulation = { sources = ( \"10.9.0.0/16\" ); addresses = ( \"10.0.0.7\" ); };",
	};
	static const char *const pool[] = {
		"encapsulation = \"ipip\";", "encapsulation = \"gue\"; udp_checksum = true;",
		"table_size = 251;",	     "slow_start = \"30s\";",
		"on_all_down = \"all\";",    "health_check = { type = \"tcp\"; port = 80; };",
	};
	static const char *const vip[] = {
		"fragments = false;",	  "icmp_echo = \"drop\";", "tracking = false;",
		"affinity = \"source\";", "min_healthy = 0;",
	};
	json_t *before = document_of(BASE);
	char text[2048];

	(void)state;
	for (size_t i = 0; i < sizeof(top) / sizeof(top[0]) + sizeof(pool) / sizeof(pool[0]) +
				       sizeof(vip) / sizeof(vip[0]);
	     i++) {
		size_t in_pool = i - sizeof(top) / sizeof(top[0]);
		size_t in_vip = in_pool - sizeof(pool) / sizeof(pool[0]);
		bool is_top = i < sizeof(top) / sizeof(top[0]);
		bool is_pool = !is_top && in_pool < sizeof(pool) / sizeof(pool[0]);
		json_t *after, *changes;

		snprintf(text, sizeof(text),
			 "hash_seed = \"1\";\n%s\npools = ( { name = \"web\"; %s backends = ( " A
			 ", " B " ); } );\nvips = ( " VIP("%s") " );\n",
			 is_top ? top[i] : "", is_pool ? pool[in_pool] : "",
			 !is_top && !is_pool ? vip[in_vip] : "");
		after = document_of(text);
		changes = configuration_diff(before, after);
		if (json_array_size(changes) == 0)
			fail_msg("no change:\n%s", text);
		json_decref(changes);
		json_decref(after);
	}
	json_decref(before);
}

/* One change each, from a check with all of them. */
static void every_setting_of_a_health_check_counts(void **state)
{
	static const char base[] = "type = \"https\"; port = 80; path = \"/a\"; host = \"h\"; ";
	static const char *const more[] = {
		"via = \"tunnel\";",
		"initial = \"down\";",
		"insecure = true;",
		"sni = \"s\";",
		"ca_file = \"/a.pem\";",
		"body = \"ok\";",
		"status = ( 204 );",
		"interval = \"3s\";",
		"timeout = \"500ms\";",
		"rise = 7;",
		"fall = 7;",
		"source = \"10.0.0.7\";",
	};
	char text[2048], *format =
				 "hash_seed = \"1\";\npools = ( { name = \"web\"; health_check = "
				 "{ %s%s }; backends = ( " A " ); } );\nvips = ( " VIP("") " );\n";
	json_t *before;

	(void)state;
	snprintf(text, sizeof(text), format, base, "");
	before = document_of(text);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		json_t *after, *changes;

		snprintf(text, sizeof(text), format, base, more[i]);
		after = document_of(text);
		changes = configuration_diff(before, after);
		if (json_array_size(changes) == 0)
			fail_msg("no change: %s", more[i]);
		json_decref(changes);
		json_decref(after);
	}
	json_decref(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_and_another_order_are_no_change),
		cmocka_unit_test(backends_come_go_and_change),
		cmocka_unit_test(pools_and_vips_come_and_go_as_wholes),
		cmocka_unit_test(what_takes_a_restart_says_so),
		cmocka_unit_test(every_setting_counts),
		cmocka_unit_test(every_setting_of_a_health_check_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
