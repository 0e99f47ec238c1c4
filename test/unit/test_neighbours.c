/* SPDX-License-Identifier: BSD-2-Clause */
#include "neighbours_setup.h"

struct route_case {
	const char *destination;
	enum next_hop_state state;
	const char *gateway; /* NULL: zero */
	const char *source;  /* NULL: not looked at */
	uint32_t mtu;
};

static void expect_routes(const struct route_case *cases, size_t count)
{
	struct neighbours *neighbours = open_neighbours();

	for (size_t i = 0; i < count; i++) {
		const struct route_case *expected = &cases[i];
		struct next_hop next_hop;
		struct address address;
		char text[ADDRESS_TEXT_SIZE];

		next_hop = await(neighbours, expected->destination, expected->state, 2000);
		if (expected->gateway == NULL) {
			assert_true(address_is_zero(&next_hop.gateway));
			continue;
		}
		address = parse(expected->gateway);
		if (!address_equal(&next_hop.gateway, &address))
			fail_msg("%s: via %s", expected->destination,
				 address_format(&next_hop.gateway, text));
		if (expected->source != NULL) {
			address = parse(expected->source);
			if (!address_equal(&next_hop.source, &address))
				fail_msg("%s: source %s", expected->destination,
					 address_format(&next_hop.source, text));
		}
		assert_int_equal(next_hop.mtu, expected->mtu);
		if (next_hop.state == NEXT_HOP_RESOLVED)
			assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x01", 6);
	}
	neighbours_close(neighbours);
}

#define EXPECT_ROUTES(...)                                                \
	do {                                                              \
		static const struct route_case cases[] = { __VA_ARGS__ }; \
		expect_routes(cases, sizeof(cases) / sizeof(cases[0]));   \
	} while (0)

static void test_routes_ipv4(void **state)
{
	(void)state;
	need_namespace();
	make_network();
	run("ip route add 10.1.0.0/24 via 10.0.0.1 && "
	    "ip route add 10.2.0.0/24 nexthop via 10.0.0.1 nexthop via 10.0.0.2 && "
	    "ip route add 10.3.0.0/24 nexthop via 10.0.0.1 nexthop via 10.0.1.1 && "
	    "ip route add 10.4.0.0/24 via 10.0.1.1 && "
	    "ip route add 10.5.0.0/24 via inet6 fd00::1 dev e0 && "
	    "ip route add blackhole 10.6.0.0/24 && ip route add unreachable 10.7.0.0/24 && "
	    "ip route add prohibit 10.8.0.0/24 && "
	    "ip route add 10.9.0.0/24 via 10.0.0.1 src 10.0.0.9 mtu 1400 && "
	    "ip route add 10.10.0.0/24 via 10.0.1.1 metric 10 && "
	    "ip route add 10.10.0.0/24 via 10.0.0.2 metric 20 && "
	    "ip route add throw 10.11.0.0/24 && "
	    "ip route add 10.12.0.0/24 dev e0 scope link");
	EXPECT_ROUTES({ "10.0.0.1", NEXT_HOP_RESOLVED, "10.0.0.1", "10.0.0.9", 0 },
		      { "10.1.0.1", NEXT_HOP_RESOLVED, "10.0.0.1", "10.0.0.9", 0 },
		      { "10.2.0.2", NEXT_HOP_RESOLVED, "10.0.0.1", "10.0.0.9", 0 },
		      { "10.2.0.3", NEXT_HOP_RESOLVED, "10.0.0.2", "10.0.0.9", 0 },
		      { "10.3.0.1", NEXT_HOP_RESOLVED, "10.0.0.1", "10.0.0.9", 0 },
		      { "10.3.0.2", NEXT_HOP_RESOLVED, "10.0.0.1", "10.0.0.9", 0 },
		      { "10.3.0.3", NEXT_HOP_RESOLVED, "10.0.0.1", "10.0.0.9", 0 },
		      { "10.4.0.1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "10.0.1.1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "10.5.0.1", NEXT_HOP_RESOLVED, "fd00::1", "10.0.0.9", 0 },
		      { "10.6.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "10.7.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "10.8.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "10.11.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "10.9.0.1", NEXT_HOP_RESOLVED, "10.0.0.1", "10.0.0.9", 1400 },
		      { "10.10.0.1", NEXT_HOP_RESOLVED, "10.0.0.2", "10.0.0.9", 0 },
		      { "10.12.0.1", NEXT_HOP_NO_NEIGHBOUR, "10.12.0.1", "10.0.0.9", 0 },
		      { "10.99.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "10.0.0.77", NEXT_HOP_NO_NEIGHBOUR, "10.0.0.77", "10.0.0.9", 0 },
		      { "10.0.0.9", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "10.0.1.9", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "127.0.0.1", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "10.0.0.255", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "255.255.255.255", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "224.0.0.5", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "0.0.0.0", NEXT_HOP_LOCAL, NULL, NULL, 0 });
	/* A default route changes what has no route, and nothing that has one. */
	run("ip route add default via 10.0.0.1");
	EXPECT_ROUTES({ "10.99.0.1", NEXT_HOP_RESOLVED, "10.0.0.1", "10.0.0.9", 0 },
		      { "10.4.0.1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "10.6.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "10.7.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "127.0.0.1", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "10.0.1.9", NEXT_HOP_LOCAL, NULL, NULL, 0 });
}

static void test_routes_ipv6(void **state)
{
	(void)state;
	need_namespace();
	make_network();
	run("ip route add fd10:1::/64 via fd00::1 && "
	    "ip route add fd10:2::/64 nexthop via fd00::1 nexthop via fd00::2 && "
	    "ip route add fd10:3::/64 nexthop via fd00::1 nexthop via fd01::1 && "
	    "ip route add fd10:4::/64 via fd01::1 && "
	    "ip route add blackhole fd10:6::/64 && ip route add unreachable fd10:7::/64 && "
	    "ip route add prohibit fd10:8::/64 && "
	    "ip route add fd10:9::/64 via fd00::1 mtu 1400 && "
	    "ip route add fd10:10::/64 via fd01::1 metric 10 && "
	    "ip route add fd10:10::/64 via fd00::2 metric 20");
	EXPECT_ROUTES({ "fd00::1", NEXT_HOP_RESOLVED, "fd00::1", "fd00::9", 0 },
		      { "fd10:1::1", NEXT_HOP_RESOLVED, "fd00::1", "fd00::9", 0 },
		      { "fd10:2::2", NEXT_HOP_RESOLVED, "fd00::1", "fd00::9", 0 },
		      { "fd10:2::3", NEXT_HOP_RESOLVED, "fd00::2", "fd00::9", 0 },
		      { "fd10:3::1", NEXT_HOP_RESOLVED, "fd00::1", "fd00::9", 0 },
		      { "fd10:3::2", NEXT_HOP_RESOLVED, "fd00::1", "fd00::9", 0 },
		      { "fd10:4::1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "fd01::1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "fd10:6::1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "fd10:7::1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "fd10:8::1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "fd10:9::1", NEXT_HOP_RESOLVED, "fd00::1", "fd00::9", 1400 },
		      { "fd10:10::1", NEXT_HOP_RESOLVED, "fd00::2", "fd00::9", 0 },
		      { "fd99::1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "fd00::77", NEXT_HOP_NO_NEIGHBOUR, "fd00::77", "fd00::9", 0 },
		      { "fd00::9", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "fd01::9", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "::1", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "::", NEXT_HOP_LOCAL, NULL, NULL, 0 },
		      { "ff02::1", NEXT_HOP_LOCAL, NULL, NULL, 0 });
	run("ip route add default via fd00::1");
	EXPECT_ROUTES({ "fd99::1", NEXT_HOP_RESOLVED, "fd00::1", "fd00::9", 0 },
		      { "fd10:4::1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "fd10:6::1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "fd10:7::1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "fd10:8::1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 },
		      { "::1", NEXT_HOP_LOCAL, NULL, NULL, 0 });
}

static void test_policy_rules(void **state)
{
	(void)state;
	need_namespace();
	make_network();
	run("ip route add default via 10.0.0.1 && ip route add 10.21.0.0/16 via 10.0.1.1 && "
	    /* By destination, to a table that leads out of either interface. */
	    "ip route add 10.22.0.0/24 via 10.0.0.2 table 100 && "
	    "ip rule add to 10.22.0.0/24 lookup 100 && "
	    "ip route add default via 10.0.1.1 table 101 && "
	    "ip rule add to 10.23.0.0/24 lookup 101 && "
	    /* What leaves by e0 has a table of its own, less specific than the host's. */
	    "ip route add 10.0.0.0/8 via 10.0.0.2 table 102 && "
	    "ip rule add oif e0 to 10.21.5.0/24 lookup 102 && "
	    "ip rule add to 10.24.0.0/24 unreachable");
	EXPECT_ROUTES({ "10.22.0.1", NEXT_HOP_RESOLVED, "10.0.0.2", "10.0.0.9", 0 },
		      { "10.23.0.1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "10.21.5.1", NEXT_HOP_RESOLVED, "10.0.0.2", "10.0.0.9", 0 },
		      { "10.21.6.1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "10.24.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 });
}

static void expect_nexthop_objects(void)
{
	EXPECT_ROUTES({ "10.31.0.1", NEXT_HOP_RESOLVED, "10.0.0.2", "10.0.0.9", 0 },
		      { "10.33.0.1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "fd31::1", NEXT_HOP_RESOLVED, "fd00::2", "fd00::9", 0 },
		      { "fd33::1", NEXT_HOP_OTHER_INTERFACE, NULL, NULL, 0 },
		      { "10.34.0.1", NEXT_HOP_NO_ROUTE, NULL, NULL, 0 });
}

static void test_nexthop_objects(void **state)
{
	(void)state;
	need_namespace();
	make_network();
	run("ip nexthop add id 1 via 10.0.0.2 dev e0 && ip nexthop add id 2 via 10.0.1.1 dev e1 && "
	    "ip nexthop add id 3 group 1/2 && ip nexthop add id 4 blackhole && "
	    "ip nexthop add id 11 via fd00::2 dev e0 && ip nexthop add id 12 via fd01::1 dev e1 && "
	    "ip nexthop add id 21 via fd00::2 dev e0 && ip nexthop add id 22 via fd01::1 dev e1 && "
	    /* Members of its own: see route.h on those that are shared. */
	    "ip nexthop add id 13 group 21/22 && "
	    "ip route add 10.31.0.0/24 nhid 1 && ip route add 10.32.0.0/24 nhid 3 && "
	    "ip route add 10.33.0.0/24 nhid 2 && ip route add 10.34.0.0/24 nhid 4 && "
	    "ip route add fd31::/64 nhid 11 && ip route add fd32::/64 nhid 13 && "
	    "ip route add fd33::/64 nhid 12");
	expect_nexthop_objects();
	/* Of a group, the member that leaves by this interface, for every destination. */
	EXPECT_ROUTES({ "10.32.0.1", NEXT_HOP_RESOLVED, "10.0.0.2", NULL, 0 },
		      { "10.32.0.2", NEXT_HOP_RESOLVED, "10.0.0.2", NULL, 0 },
		      { "10.32.0.3", NEXT_HOP_RESOLVED, "10.0.0.2", NULL, 0 },
		      { "10.32.0.4", NEXT_HOP_RESOLVED, "10.0.0.2", NULL, 0 },
		      { "fd32::1", NEXT_HOP_RESOLVED, "fd00::2", NULL, 0 },
		      { "fd32::2", NEXT_HOP_RESOLVED, "fd00::2", NULL, 0 },
		      { "fd32::3", NEXT_HOP_RESOLVED, "fd00::2", NULL, 0 },
		      { "fd32::4", NEXT_HOP_RESOLVED, "fd00::2", NULL, 0 });
	run("sysctl -q net.ipv4.nexthop_compat_mode=0");
	expect_nexthop_objects();
}

static void test_unusable_interfaces(void **state)
{
	struct neighbours *neighbours;
	struct address address;
	struct next_hop next_hop = { .mtu = 4711 };

	(void)state;
	need_namespace();
	make_network();
	neighbours = open_neighbours();
	address = parse("10.0.0.1");
	assert_int_equal(next_hop_resolve(neighbours, &address, 9999, &next_hop), -ENODEV);
	address = parse("fd00::1");
	assert_true(next_hop_resolve(neighbours, &address, 9999, &next_hop) != 0 ||
		    next_hop.state == NEXT_HOP_OTHER_INTERFACE);
	run("ip link set e0 down");
	assert_int_equal(resolve(neighbours, "10.0.0.1", "e0").state, NEXT_HOP_NO_ROUTE);
	assert_int_equal(resolve(neighbours, "fd00::1", "e0").state, NEXT_HOP_NO_ROUTE);
	neighbours_close(neighbours);
	neighbours_close(NULL);
}

static void test_second_router_takes_over(void **state)
{
	struct neighbours *neighbours;
	struct next_hop next_hop;
	struct address first;

	(void)state;
	need_namespace();
	make_network();
	run("ip route add 10.2.0.0/24 nexthop via 10.0.0.1 nexthop via 10.0.0.66");
	neighbours = open_neighbours();
	first = parse("10.0.0.1");
	for (int i = 1; i <= 2; i++) {
		next_hop = await(neighbours, i == 1 ? "10.2.0.1" : "10.2.0.2", NEXT_HOP_RESOLVED,
				 2000);
		assert_true(address_equal(&next_hop.gateway, &first));
	}
	neighbours_close(neighbours);
}

static void expect_follows_mac(const char *address, const char *ping)
{
	struct neighbours *neighbours = open_neighbours();
	struct next_hop next_hop = await(neighbours, address, NEXT_HOP_RESOLVED, 2000);

	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x01", 6);
	settle(neighbours);
	run_in_peer("sh -c 'ip link set p0 address 02:00:00:00:00:31; ip neigh flush all; %s' "
		    ">/dev/null",
		    ping);
	assert_true(is_change_reported(neighbours, 3000));
	next_hop = await(neighbours, address, NEXT_HOP_RESOLVED, 3000);
	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x31", 6);
	neighbours_close(neighbours);
	run_in_peer("ip link set p0 address 02:00:00:00:00:01");
}

static void test_changed_mac_is_followed(void **state)
{
	(void)state;
	need_namespace();
	make_network();
	expect_follows_mac("10.0.0.1", "ping -c1 -W1 10.0.0.9");
	run("ip neigh flush all");
	expect_follows_mac("fd00::1", "ping -c1 -W1 fd00::9");
}

/* As probes of health checks do between a change and the daemon's look at its report. */
static void test_who_repeats_an_answer_takes_no_news_away(void **state)
{
	struct neighbours *neighbours;
	struct next_hop next_hop;

	(void)state;
	need_namespace();
	make_network();
	neighbours = open_neighbours();
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	settle(neighbours);
	run("ip neigh replace 10.0.0.1 lladdr 02:00:00:00:00:44 nud permanent dev e0");
	neighbours_repeat(neighbours, true);
	next_hop = resolve(neighbours, "10.0.0.1", "e0");
	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x01", 6);
	/* Of one that nobody asked for before, the answer is looked up. */
	run("ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:45 nud permanent dev e0");
	next_hop = resolve(neighbours, "10.0.0.2", "e0");
	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x45", 6);
	neighbours_repeat(neighbours, false);
	assert_true(is_change_reported(neighbours, 3000));
	next_hop = resolve(neighbours, "10.0.0.1", "e0");
	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x44", 6);
	neighbours_close(neighbours);
}

static void test_silent_change_and_loss_are_noticed(void **state)
{
	struct neighbours *neighbours;
	struct next_hop next_hop;

	(void)state;
	need_namespace();
	make_network();
	neighbours = open_neighbours();
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	await(neighbours, "fd00::1", NEXT_HOP_RESOLVED, 2000);
	/* Nobody says anything: the kernel's own probes find out (every 5 s, then a second). */
	run_in_peer("ip link set p0 address 02:00:00:00:00:32");
	next_hop = await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 100);
	for (int i = 0; i < 10 && next_hop.mac[5] != 0x32; i++) {
		assert_true(is_change_reported(neighbours, 10000));
		next_hop = resolve(neighbours, "10.0.0.1", "e0");
	}
	assert_int_equal(next_hop.state, NEXT_HOP_RESOLVED);
	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x32", 6);

	run_in_peer("sh -c 'ip addr del 10.0.0.1/24 dev p0; ip addr flush dev p0'");
	await(neighbours, "10.0.0.1", NEXT_HOP_NO_NEIGHBOUR, 10000);
	await(neighbours, "fd00::1", NEXT_HOP_NO_NEIGHBOUR, 10000);
	/* Kept asking for, though nobody calls: it is found as soon as it is back. */
	run_in_peer("sh -c 'ip addr add 10.0.0.1/24 dev p0'");
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 8000);
	neighbours_close(neighbours);
}

static void test_managed_entries_live_for_a_round(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	neighbours = open_neighbours();
	neighbours_begin_round(neighbours);
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	await(neighbours, "10.0.0.2", NEXT_HOP_RESOLVED, 2000);
	await(neighbours, "fd00::1", NEXT_HOP_RESOLVED, 2000);
	neighbours_end_round(neighbours);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "proto 213"));
	assert_non_null(strstr(neighbour_shown("10.0.0.2"), "managed"));
	assert_non_null(strstr(neighbour_shown("fd00::1"), "managed"));

	neighbours_begin_round(neighbours);
	resolve(neighbours, "10.0.0.1", "e0");
	neighbours_end_round(neighbours);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	assert_string_equal(neighbour_shown("10.0.0.2"), "");
	assert_string_equal(neighbour_shown("fd00::1"), "");

	neighbours_close(neighbours);
	assert_string_equal(neighbour_shown("10.0.0.1"), "");
	/* The kernel resolves on its own as before. */
	run("ping -q -c1 -W2 10.0.0.1 >/dev/null");
	assert_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
}

/* It appears between two lookups: neither half the round may miss it, nor its report. */
static void test_neighbour_gives_one_answer_a_round(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	run("ip route add 10.60.0.0/16 via 10.0.0.77");
	neighbours = open_neighbours();
	neighbours_begin_round(neighbours);
	assert_int_equal(resolve(neighbours, "10.60.0.1", "e0").state, NEXT_HOP_NO_NEIGHBOUR);
	run("ip neigh replace 10.0.0.77 lladdr 02:00:00:00:00:77 dev e0");
	assert_int_equal(resolve(neighbours, "10.60.0.2", "e0").state, NEXT_HOP_NO_NEIGHBOUR);
	neighbours_end_round(neighbours);
	assert_true(is_change_reported(neighbours, 2000));
	neighbours_begin_round(neighbours);
	assert_int_equal(resolve(neighbours, "10.60.0.1", "e0").state, NEXT_HOP_RESOLVED);
	assert_int_equal(resolve(neighbours, "10.60.0.2", "e0").state, NEXT_HOP_RESOLVED);
	neighbours_end_round(neighbours);
	neighbours_close(neighbours);
}

static void test_dynamic_entry_stays_usable_when_taken_over(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	run("ping -q -c1 -W2 10.0.0.1 >/dev/null");
	neighbours = open_neighbours();
	/* At once, without a change being reported first. */
	assert_int_equal(resolve(neighbours, "10.0.0.1", "e0").state, NEXT_HOP_RESOLVED);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	neighbours_close(neighbours);
}

static void test_operators_entries_are_left_alone(void **state)
{
	static const char permanent[] = "10.0.0.70 dev e0 lladdr 02:00:00:00:00:70 PERMANENT \n";
	static const char managed[] = "managed";
	struct neighbours *neighbours;
	struct next_hop next_hop;

	(void)state;
	need_namespace();
	make_network();
	run("ip neigh add 10.0.0.70 lladdr 02:00:00:00:00:70 dev e0 && "
	    "ip neigh add fd00::70 lladdr 02:00:00:00:00:70 nud noarp dev e0 && "
	    "ip neigh add 10.0.0.1 dev e0 managed && "
	    "ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:01 nud reachable dev e0 protocol 98 && "
	    "ip neigh add 10.0.0.71 lladdr 02:00:00:00:00:71 nud reachable dev e0 extern_learn");
	neighbours = open_neighbours();
	neighbours_begin_round(neighbours);
	next_hop = resolve(neighbours, "10.0.0.70", "e0");
	assert_int_equal(next_hop.state, NEXT_HOP_RESOLVED);
	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x70", 6);
	assert_int_equal(resolve(neighbours, "fd00::70", "e0").state, NEXT_HOP_RESOLVED);
	assert_int_equal(resolve(neighbours, "10.0.0.71", "e0").state, NEXT_HOP_RESOLVED);
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	await(neighbours, "10.0.0.2", NEXT_HOP_RESOLVED, 2000);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(neighbour_shown("10.0.0.70"), permanent);
		assert_non_null(strstr(output_of("ip neigh show nud noarp"), "fd00::70"));
		assert_non_null(strstr(neighbour_shown("10.0.0.1"), managed));
		assert_null(strstr(neighbour_shown("10.0.0.1"), "proto 213"));
		assert_non_null(strstr(neighbour_shown("10.0.0.2"), "proto 98"));
		assert_null(strstr(neighbour_shown("10.0.0.2"), managed));
		assert_non_null(strstr(neighbour_shown("10.0.0.71"), "extern_learn"));
		neighbours_end_round(neighbours);
		neighbours_begin_round(neighbours);
		neighbours_end_round(neighbours);
	}
	/* One that the operator puts over an entry of ours is theirs from then on. */
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	run("ip neigh del 10.0.0.1 dev e0");
	assert_true(is_change_reported(neighbours, 1000));
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "proto 213"));
	run("ip neigh replace 10.0.0.1 lladdr 02:00:00:00:00:55 dev e0");
	assert_true(is_change_reported(neighbours, 1000));
	next_hop = resolve(neighbours, "10.0.0.1", "e0");
	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x55", 6);
	neighbours_close(neighbours);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "02:00:00:00:00:55"));
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "PERMANENT"));
}

static void test_leftovers_of_a_killed_process(void **state)
{
	struct neighbours *neighbours;
	char byte = 0;
	int ready[2];
	pid_t child;

	(void)state;
	need_namespace();
	make_network();
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		neighbours = open_neighbours();
		await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
		await(neighbours, "10.0.0.2", NEXT_HOP_RESOLVED, 2000);
		await(neighbours, "fd00::2", NEXT_HOP_RESOLVED, 2000);
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	assert_non_null(strstr(neighbour_shown("10.0.0.2"), "managed"));
	run("ip neigh add 10.0.0.70 lladdr 02:00:00:00:00:70 dev e0 protocol 213");

	neighbours = open_neighbours();
	neighbours_begin_round(neighbours);
	assert_int_equal(resolve(neighbours, "10.0.0.1", "e0").state, NEXT_HOP_RESOLVED);
	neighbours_end_round(neighbours);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	assert_string_equal(neighbour_shown("10.0.0.2"), "");
	assert_string_equal(neighbour_shown("fd00::2"), "");
	assert_non_null(strstr(neighbour_shown("10.0.0.70"), "PERMANENT"));
	neighbours_close(neighbours);
	assert_string_equal(neighbour_shown("10.0.0.1"), "");
	assert_non_null(strstr(neighbour_shown("10.0.0.70"), "PERMANENT"));
}

static void test_two_processes_share_a_namespace(void **state)
{
	struct neighbours *first;
	struct neighbours *second;

	(void)state;
	need_namespace();
	make_network();
	first = open_neighbours();
	second = open_neighbours();
	await(first, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	await(second, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	settle(first);
	neighbours_close(second);
	assert_true(is_change_reported(first, 1000));
	await(first, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	neighbours_close(first);
}

static void test_changes_that_count(void **state)
{
	static const char *const changes[] = {
		"ip route add 10.50.1.0/24 via 10.0.0.2",
		"ip route del 10.50.1.0/24",
		"ip route add fd50::/64 via fd00::1",
		"ip route replace default via 10.0.0.2",
		"ip rule add to 10.50.0.0/16 lookup 100",
		"ip nexthop add id 7 via 10.0.0.1 dev e0",
		"ip addr add 10.0.0.200/24 dev e0",
		"ip addr del 10.0.0.200/24 dev e0",
		"ip link set e0 mtu 1400",
		"ip link set e0 address 02:00:00:00:00:99",
		"ip link set e1 down",
		"ip neigh del 10.0.0.1 dev e0",
		"ip neigh replace 10.0.0.1 lladdr 02:00:00:00:00:56 dev e0",
		"ip link del e0",
	};
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	run("ip route add default via 10.0.0.1 && ip route add fd50::1 via fd00::2");
	neighbours = open_neighbours();
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		resolve(neighbours, "10.50.1.1", "e0");
		resolve(neighbours, "10.0.0.1", "e0");
		resolve(neighbours, "fd50::1", "e0");
		settle(neighbours);
		resolve(neighbours, "10.50.1.1", "e0");
		resolve(neighbours, "10.0.0.1", "e0");
		resolve(neighbours, "fd50::1", "e0");
		run("%s", changes[i]);
		if (!is_change_reported(neighbours, 1500))
			fail_msg("not reported: %s", changes[i]);
	}
	neighbours_close(neighbours);
}

static void test_noise_does_not_count(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	run("ip link add b0 type bridge");
	neighbours = open_neighbours();
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	await(neighbours, "fd00::1", NEXT_HOP_RESOLVED, 2000);
	settle(neighbours);
	/* The reports of the first resolution are older than the answer. */
	assert_false(is_change_reported(neighbours, 100));
	run("ping -q -c1 -W2 10.0.0.2 >/dev/null; ping -q -c1 -W2 10.0.1.1 >/dev/null;"
	    "ip neigh add 10.0.0.80 lladdr 02:00:00:00:00:80 dev e0;"
	    "ip neigh del 10.0.0.80 dev e0;"
	    "ip route add 10.60.0.0/16 via 10.0.0.1; ip route del 10.60.0.0/16;"
	    "ip route add fd60::/64 via fd00::1; ip route add blackhole fd60::1;"
	    "ip link add v0 type veth peer name v1; ip link set v0 master b0;"
	    "ip link set v0 up; ip link set v1 up mtu 1400; ip addr add 10.61.0.1/24 dev v1;"
	    "ip link set v1 alias noise; ip link set e1 mtu 1400; ip link set e0 alias noise;"
	    "bridge fdb add 02:00:00:00:00:81 dev v0 master;"
	    "ip neigh replace 10.0.0.1 dev e0 managed protocol 213");
	/* v0, v1 and b0 had not been there, or are going up for the first time: that counts. */
	is_change_reported(neighbours, 500);
	resolve(neighbours, "10.0.0.1", "e0");
	resolve(neighbours, "fd00::1", "e0");
	run("ip route add 10.62.0.0/16 via 10.0.0.1; ip neigh flush dev e1;"
	    "ip addr change fd00::9/64 dev e0 valid_lft 3000 preferred_lft 2000;"
	    "ip addr add 10.61.0.2/24 dev v1; ip link set v0 alias other");
	/* Long enough for REACHABLE and STALE to come and go. */
	assert_false(is_change_reported(neighbours, 7000));
	neighbours_close(neighbours);
}

static void test_lost_messages_count_as_a_change(void **state)
{
	struct neighbours *neighbours;
	int size = 2048;
	bool changed = false;

	(void)state;
	need_namespace();
	make_network();
	neighbours = open_neighbours();
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	settle(neighbours);
	/* Routes that concern nobody, first within the buffer, then beyond it. */
	run("for i in $(seq 1 100); do echo route add 10.70.$i.0/24 via 10.0.0.1; done | "
	    "ip -batch -");
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	assert_false(changed);
	assert_int_equal(setsockopt(neighbours_descriptor(neighbours), SOL_SOCKET, SO_RCVBUF, &size,
				    sizeof(size)),
			 0);
	run("for i in $(seq 1 100); do echo route add 10.71.$i.0/24 via 10.0.0.1; done | "
	    "ip -batch -");
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	assert_true(changed);
	changed = true;
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	assert_false(changed);
	neighbours_close(neighbours);
}

static void test_gateway_that_answers_within_a_round_is_reported(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	run("ip route add 10.80.0.0/16 via 10.0.0.1");
	run_in_peer("ip link set p0 arp off");
	neighbours = open_neighbours();
	neighbours_begin_round(neighbours);
	assert_int_equal(resolve(neighbours, "10.80.0.1", "e0").state, NEXT_HOP_NO_NEIGHBOUR);
	run_in_peer("ip link set p0 arp on");
	run("for i in $(seq 100); do ip neigh show 10.0.0.1 dev e0 | grep -q REACHABLE && exit 0; "
	    "sleep 0.1; done; exit 1");
	/* Both go by one answer, or the report could be taken for what the later one was told. */
	assert_int_equal(resolve(neighbours, "10.80.0.2", "e0").state, NEXT_HOP_NO_NEIGHBOUR);
	neighbours_end_round(neighbours);
	assert_true(is_change_reported(neighbours, 1000));
	neighbours_begin_round(neighbours);
	assert_int_equal(resolve(neighbours, "10.80.0.1", "e0").state, NEXT_HOP_RESOLVED);
	assert_int_equal(resolve(neighbours, "10.80.0.2", "e0").state, NEXT_HOP_RESOLVED);
	neighbours_end_round(neighbours);
	assert_false(is_change_reported(neighbours, 300));
	neighbours_close(neighbours);
}

static void test_link_down_and_up(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	neighbours = open_neighbours();
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	settle(neighbours);
	/* Long enough for the kernel to notice the carrier's loss and forget all neighbours. */
	run_in_peer("ip link set p0 down");
	await(neighbours, "10.0.0.1", NEXT_HOP_NO_NEIGHBOUR, 5000);
	run_in_peer("ip link set p0 up");
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 10000);
	run("ip link set e0 down");
	await(neighbours, "10.0.0.1", NEXT_HOP_NO_ROUTE, 1000);
	run("ip link set e0 up");
	await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 10000);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	neighbours_close(neighbours);
}

/* As on Linux before 5.16, where entries cannot be managed. */
static void test_probing_instead_of_managing(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	run("ping -q -c1 -W2 10.0.0.1 >/dev/null");
	neighbours = open_neighbours();
	neighbours->is_managing_refused = true;
	assert_int_equal(resolve(neighbours, "10.0.0.1", "e0").state, NEXT_HOP_RESOLVED);
	assert_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	/* Asking again keeps it fresh: STALE becomes REACHABLE by the probe. */
	pause_milliseconds(700);
	assert_int_equal(resolve(neighbours, "10.0.0.1", "e0").state, NEXT_HOP_RESOLVED);
	for (int i = 0; i < 100 && strstr(neighbour_shown("10.0.0.1"), "STALE") != NULL; i++)
		pause_milliseconds(50);
	assert_null(strstr(neighbour_shown("10.0.0.1"), "STALE"));
	neighbours_close(neighbours);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "02:00:00:00:00:01"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, namespace_enter_with_peer, namespace_leave)
		TEST(test_routes_ipv4),
		TEST(test_routes_ipv6),
		TEST(test_policy_rules),
		TEST(test_nexthop_objects),
		TEST(test_unusable_interfaces),
		TEST(test_second_router_takes_over),
		TEST(test_changed_mac_is_followed),
		TEST(test_who_repeats_an_answer_takes_no_news_away),
		TEST(test_silent_change_and_loss_are_noticed),
		TEST(test_managed_entries_live_for_a_round),
		TEST(test_neighbour_gives_one_answer_a_round),
		TEST(test_dynamic_entry_stays_usable_when_taken_over),
		TEST(test_operators_entries_are_left_alone),
		TEST(test_leftovers_of_a_killed_process),
		TEST(test_two_processes_share_a_namespace),
		TEST(test_changes_that_count),
		TEST(test_noise_does_not_count),
		TEST(test_lost_messages_count_as_a_change),
		TEST(test_gateway_that_answers_within_a_round_is_reported),
		TEST(test_link_down_and_up),
		TEST(test_probing_instead_of_managing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
