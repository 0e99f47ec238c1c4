/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Next hops over VLAN devices. Not every kernel can make them, so that e1, a device of its own, is
 * passed off as one: by a report about it, sent as the kernel sends its own (netlink(7): a
 * multicast by somebody with CAP_NET_ADMIN). Routes and neighbours are real.
 */
#include "neighbours_setup.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#define NO_ID 0xffff

struct report {
	const char *device;
	const char *lower;
	uint16_t protocol;
	uint16_t id; /* NO_ID: no VLAN device */
	uint32_t mtu;
	uint8_t mac[6];
	unsigned int flags;
	int index; /* 0: that of the device */
	int lower_index;
};

static const struct report e1_on_e0 = {
	.device = "e1",
	.lower = "e0",
	.protocol = 0x8100,
	.id = 100,
	.mtu = 1450,
	.mac = { 2, 0, 0, 0, 0, 0x19 },
	.flags = 0x10043, /* UP, BROADCAST, RUNNING, LOWER_UP */
};

static void send_report(const struct report *report, uint16_t type)
{
	struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	uint8_t buffer[1024];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct nlattr *information, *data;

	message->nlmsg_type = type;
	header->ifi_index =
		report->index != 0 ? report->index : (int)if_nametoindex(report->device);
	header->ifi_flags = report->flags;
	mnl_attr_put_u32(message, IFLA_MTU, report->mtu);
	mnl_attr_put(message, IFLA_ADDRESS, 6, report->mac);
	if (report->id != NO_ID) {
		mnl_attr_put_u32(message, IFLA_LINK,
				 report->lower != NULL ? if_nametoindex(report->lower)
						       : (uint32_t)report->lower_index);
		information = mnl_attr_nest_start(message, IFLA_LINKINFO);
		mnl_attr_put_strz(message, IFLA_INFO_KIND, "vlan");
		data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
		mnl_attr_put_u16(message, IFLA_VLAN_PROTOCOL, htons(report->protocol));
		mnl_attr_put_u16(message, IFLA_VLAN_ID, report->id);
		mnl_attr_nest_end(message, data);
		mnl_attr_nest_end(message, information);
	}
	assert_true(descriptor >= 0);
	assert_int_equal(sendto(descriptor, buffer, message->nlmsg_len, 0,
				(const struct sockaddr *)&group, sizeof(group)),
			 message->nlmsg_len);
	close(descriptor);
}

/* Makes e1 the VLAN device 100 on e0. */
static struct neighbours *open_with_vlan(void)
{
	struct neighbours *neighbours;
	bool changed;

	make_network();
	run("ip link set e1 address 02:00:00:00:00:19 && "
	    "ip neigh add 10.0.1.70 lladdr 02:00:00:00:00:70 dev e1 && "
	    "ip neigh add 10.0.0.70 lladdr 02:00:00:00:00:71 dev e0");
	run_in_peer("ip link set q0 address 02:00:00:00:00:41");
	neighbours = open_neighbours();
	send_report(&e1_on_e0, RTM_NEWLINK);
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	return neighbours;
}

static void expect_address(const struct address *found, const char *expected)
{
	struct address address = parse(expected);
	char text[ADDRESS_TEXT_SIZE];

	if (!address_equal(found, &address))
		fail_msg("%s instead of %s", address_format(found, text), expected);
}

static void expect_vlan_100(const struct next_hop *next_hop, uint32_t mtu)
{
	assert_int_equal(next_hop->state, NEXT_HOP_RESOLVED);
	assert_int_equal(next_hop->device, if_nametoindex("e1"));
	assert_int_equal(next_hop->tag_count, 1);
	assert_int_equal(next_hop->tags[0].protocol, 0x8100);
	assert_int_equal(next_hop->tags[0].id, 100);
	assert_memory_equal(next_hop->source_mac, e1_on_e0.mac, 6);
	assert_int_equal(next_hop->mtu, mtu);
}

static void test_route_over_a_vlan_device(void **state)
{
	struct neighbours *neighbours;
	struct next_hop next_hop;

	(void)state;
	need_namespace();
	neighbours = open_with_vlan();
	run("ip route add 10.4.0.0/24 via 10.0.1.1 mtu 1400 && "
	    "ip route add 10.5.0.0/24 via 10.0.1.1 mtu 1480 src 10.0.0.9 && "
	    "ip route add fd10:4::/64 via fd01::1");
	next_hop = await(neighbours, "10.0.1.1", NEXT_HOP_RESOLVED, 2000);
	expect_vlan_100(&next_hop, 1450);
	expect_address(&next_hop.gateway, "10.0.1.1");
	expect_address(&next_hop.source, "10.0.1.9");
	assert_memory_equal(next_hop.mac, "\x02\0\0\0\0\x41", 6);
	/* The neighbour is one of the VLAN device's, and kept there. */
	assert_non_null(strstr(neighbour_shown("10.0.1.1 dev e1"), "managed"));
	assert_string_equal(neighbour_shown("10.0.1.1 dev e0"), "");

	next_hop = await(neighbours, "10.4.0.1", NEXT_HOP_RESOLVED, 2000);
	expect_vlan_100(&next_hop, 1400);
	expect_address(&next_hop.gateway, "10.0.1.1");
	next_hop = await(neighbours, "10.5.0.1", NEXT_HOP_RESOLVED, 2000);
	expect_vlan_100(&next_hop, 1450);
	expect_address(&next_hop.source, "10.0.0.9");
	next_hop = await(neighbours, "fd10:4::1", NEXT_HOP_RESOLVED, 2000);
	expect_vlan_100(&next_hop, 1450);
	expect_address(&next_hop.gateway, "fd01::1");
	expect_address(&next_hop.source, "fd01::9");

	/* The host's own addresses are its own on every device. */
	assert_int_equal(resolve(neighbours, "10.0.1.9", "e0").state, NEXT_HOP_LOCAL);
	assert_int_equal(resolve(neighbours, "10.0.1.255", "e0").state, NEXT_HOP_LOCAL);
	neighbours_close(neighbours);
	assert_string_equal(neighbour_shown("10.0.1.1 dev e1"), "");
}

/* Beside the VLAN device the NIC itself is used as ever, and the other way round. */
static void test_the_nic_beside_it(void **state)
{
	struct neighbours *neighbours;
	struct next_hop next_hop;

	(void)state;
	need_namespace();
	neighbours = open_with_vlan();
	run("ip route add default via 10.0.0.1 && ip route add unreachable 10.6.0.0/24");
	next_hop = await(neighbours, "10.0.0.1", NEXT_HOP_RESOLVED, 2000);
	assert_int_equal(next_hop.device, if_nametoindex("e0"));
	assert_int_equal(next_hop.tag_count, 0);
	assert_int_equal(next_hop.mtu, 0);
	next_hop = await(neighbours, "10.99.0.1", NEXT_HOP_RESOLVED, 2000);
	assert_int_equal(next_hop.tag_count, 0);
	next_hop = await(neighbours, "10.0.1.1", NEXT_HOP_RESOLVED, 2000);
	assert_int_equal(next_hop.tag_count, 1);
	assert_int_equal(resolve(neighbours, "10.6.0.1", "e0").state, NEXT_HOP_NO_ROUTE);
	/* The device as a NIC of its own, and what is below it seen from there. */
	next_hop = resolve(neighbours, "10.0.1.1", "e1");
	assert_int_equal(next_hop.state, NEXT_HOP_RESOLVED);
	assert_int_equal(next_hop.tag_count, 0);
	assert_int_equal(resolve(neighbours, "10.0.0.1", "e1").state, NEXT_HOP_OTHER_INTERFACE);
	neighbours_close(neighbours);
}

/* Of gateways on several devices of the NIC the destination chooses, and those that fail are
 * replaced across devices. */
static void test_several_devices(void **state)
{
	struct neighbours *neighbours;
	struct next_hop next_hop;

	(void)state;
	need_namespace();
	neighbours = open_with_vlan();
	run("ip route add 10.3.0.0/24 nexthop via 10.0.1.70 nexthop via 10.0.0.70 && "
	    "ip route add 10.7.0.0/24 nexthop via 10.0.1.70 nexthop via 10.0.0.66 && "
	    "ip route add 10.8.0.0/24 nexthop via 10.0.1.66 nexthop via 10.0.0.70");
	for (int i = 0; i < 2; i++) {
		next_hop = resolve(neighbours, i == 0 ? "10.3.0.4" : "10.3.0.5", "e0");
		assert_int_equal(next_hop.state, NEXT_HOP_RESOLVED);
		assert_int_equal(next_hop.device, if_nametoindex(i == 0 ? "e0" : "e1"));
		assert_int_equal(next_hop.tag_count, i);
		assert_int_equal(next_hop.mac[5], i == 0 ? 0x71 : 0x70);
		expect_address(&next_hop.source, i == 0 ? "10.0.0.9" : "10.0.1.9");

		next_hop = resolve(neighbours, i == 0 ? "10.7.0.4" : "10.7.0.5", "e0");
		expect_vlan_100(&next_hop, 1450);
		next_hop = resolve(neighbours, i == 0 ? "10.8.0.4" : "10.8.0.5", "e0");
		assert_int_equal(next_hop.state, NEXT_HOP_RESOLVED);
		assert_int_equal(next_hop.tag_count, 0);
	}
	neighbours_close(neighbours);
}

/* The order of ways is by device and then by gateway, and each counts once. */
static void test_order_of_several_devices(void **state)
{
	static const uint8_t expected[] = { 0x71, 0x72, 0x70 };
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	neighbours = open_with_vlan();
	run("ip neigh add 10.0.2.70 lladdr 02:00:00:00:00:72 dev e0 && "
	    "ip route add 10.3.0.0/24 nexthop via 10.0.2.70 dev e0 onlink "
	    "nexthop via 10.0.1.70 nexthop via 10.0.0.70");
	for (uint32_t i = 0; i < 12; i++) {
		uint32_t address = 0x0a030000 + i;
		char text[INET_ADDRSTRLEN];
		struct in_addr ipv4 = { .s_addr = htonl(address) };
		struct next_hop next_hop;

		inet_ntop(AF_INET, &ipv4, text, sizeof(text));
		next_hop = resolve(neighbours, text, "e0");
		assert_int_equal(next_hop.state, NEXT_HOP_RESOLVED);
		assert_int_equal(next_hop.mac[5], expected[address % 3]);
	}
	neighbours_close(neighbours);
}

/* A device with too many tags among others does not count, be it the first or the last. */
static void test_one_device_of_several_is_too_deep(void **state)
{
	static const char *const nics[] = { "e0", "e1" };

	(void)state;
	need_namespace();
	make_network();
	run("ip neigh add 10.0.1.70 lladdr 02:00:00:00:00:70 dev e1 && "
	    "ip neigh add 10.0.0.70 lladdr 02:00:00:00:00:71 dev e0 && "
	    "ip route add 10.3.0.0/24 nexthop via 10.0.1.70 nexthop via 10.0.0.70");
	for (int i = 0; i < 2; i++) {
		struct neighbours *neighbours = open_neighbours();
		struct report report = e1_on_e0;
		bool changed;

		/* 900 and 901 are on the NIC, and the other one of the two on them. */
		report.lower = nics[i];
		for (int level = 0; level < 2; level++) {
			report.index = 900 + level;
			send_report(&report, RTM_NEWLINK);
			report.lower = NULL;
			report.lower_index = report.index;
		}
		report.index = 0;
		report.device = nics[1 - i];
		send_report(&report, RTM_NEWLINK);
		assert_int_equal(neighbours_drain(neighbours, &changed), 0);
		for (int host = 0; host < 2; host++) {
			struct next_hop next_hop =
				resolve(neighbours, host == 0 ? "10.3.0.4" : "10.3.0.5", nics[i]);

			assert_int_equal(next_hop.state, NEXT_HOP_RESOLVED);
			assert_int_equal(next_hop.device, if_nametoindex(nics[i]));
			assert_int_equal(next_hop.tag_count, 0);
		}
		neighbours_close(neighbours);
	}
}

static void test_stacked_devices(void **state)
{
	struct report inner = e1_on_e0, outer = e1_on_e0, more = e1_on_e0;
	struct neighbours *neighbours;
	struct next_hop next_hop;
	bool changed;

	(void)state;
	need_namespace();
	neighbours = open_with_vlan();
	inner.lower = NULL;
	inner.lower_index = outer.index = 900;
	outer.id = 200;
	outer.protocol = 0x88a8;
	outer.mac[5] = 0x90;
	outer.mtu = 1300;
	send_report(&outer, RTM_NEWLINK);
	send_report(&inner, RTM_NEWLINK);
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	next_hop = resolve(neighbours, "10.0.1.70", "e0");
	assert_int_equal(next_hop.state, NEXT_HOP_RESOLVED);
	assert_int_equal(next_hop.tag_count, 2);
	assert_int_equal(next_hop.tags[0].protocol, 0x88a8);
	assert_int_equal(next_hop.tags[0].id, 200);
	assert_int_equal(next_hop.tags[1].protocol, 0x8100);
	assert_int_equal(next_hop.tags[1].id, 100);
	assert_int_equal(next_hop.mtu, 1300);
	assert_memory_equal(next_hop.source_mac, inner.mac, 6);

	/* A third level. */
	more.index = 901;
	more.lower = NULL;
	more.lower_index = 900;
	inner.lower_index = 901;
	send_report(&more, RTM_NEWLINK);
	send_report(&inner, RTM_NEWLINK);
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	assert_int_equal(resolve(neighbours, "10.0.1.70", "e0").state, NEXT_HOP_TOO_MANY_TAGS);
	/* Its lower device goes, and comes back on itself. */
	send_report(&more, RTM_DELLINK);
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	assert_int_equal(resolve(neighbours, "10.0.1.70", "e0").state, NEXT_HOP_OTHER_INTERFACE);
	more.lower_index = 901;
	send_report(&more, RTM_NEWLINK);
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	assert_int_equal(resolve(neighbours, "10.0.1.70", "e0").state, NEXT_HOP_OTHER_INTERFACE);
	neighbours_close(neighbours);
}

static void test_what_is_known_of_a_nic(void **state)
{
	struct report report = e1_on_e0;
	struct neighbours *neighbours;
	int e0, e1;
	uint8_t macs[2][6];
	bool changed;

	(void)state;
	need_namespace();
	neighbours = open_with_vlan();
	e0 = (int)if_nametoindex("e0");
	e1 = (int)if_nametoindex("e1");
	assert_true(neighbours_has_vlans(neighbours, e0));
	assert_false(neighbours_has_vlans(neighbours, e1));
	assert_int_equal(neighbours_vlan_macs(neighbours, e0, macs, 2), 1);
	assert_memory_equal(macs[0], e1_on_e0.mac, 6);
	assert_int_equal(neighbours_vlan_macs(neighbours, e0, macs, 0), 1);
	assert_int_equal(neighbours_vlan_macs(neighbours, e1, macs, 2), 0);
	assert_int_equal(neighbours_vlan_macs(neighbours, 9999, macs, 2), 0);
	/* The same address again, that of the NIC, one of another NIC's, and two more. */
	for (int i = 0; i < 5; i++) {
		static const uint8_t last[] = { 0x19, 0x09, 0x33, 0x20, 0x21 };

		report.index = 900 + i;
		report.id = (uint16_t)(200 + i);
		report.mac[5] = last[i];
		report.lower = i == 2 ? "lo" : i == 4 ? "e1" : "e0"; /* e1: a second level */
		send_report(&report, RTM_NEWLINK);
		assert_int_equal(neighbours_drain(neighbours, &changed), 0);
		assert_int_equal(neighbours_vlan_macs(neighbours, e0, macs, 2), i < 3	? 1
										: i < 4 ? 2
											: 3);
	}
	neighbours_close(neighbours);
}

static bool is_counted(struct neighbours *neighbours, const struct report *report, uint16_t type)
{
	bool changed = false;

	resolve(neighbours, "10.0.0.70", "e0");
	send_report(report, type);
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	return changed;
}

/* Devices come, change and go: counted where next hops are asked for over their NIC. */
static void test_changes_of_vlan_devices(void **state)
{
	struct report report = e1_on_e0, elsewhere = e1_on_e0, upper = e1_on_e0;
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	neighbours = open_with_vlan();
	resolve(neighbours, "10.0.0.70", "e0");
	settle(neighbours);
	report.index = 900;
	assert_true(is_counted(neighbours, &report, RTM_NEWLINK));
	assert_false(is_counted(neighbours, &report, RTM_NEWLINK));
	report.mtu = 1400;
	assert_true(is_counted(neighbours, &report, RTM_NEWLINK));
	report.mac[5] = 0x55;
	assert_true(is_counted(neighbours, &report, RTM_NEWLINK));
	report.flags &= ~(unsigned int)IFF_UP;
	assert_true(is_counted(neighbours, &report, RTM_NEWLINK));
	assert_false(is_counted(neighbours, &report, RTM_NEWLINK));
	upper.index = 901;
	upper.lower = NULL;
	upper.lower_index = 900;
	assert_true(is_counted(neighbours, &upper, RTM_NEWLINK));
	upper.mtu = 1300;
	assert_true(is_counted(neighbours, &upper, RTM_NEWLINK));
	assert_true(is_counted(neighbours, &upper, RTM_DELLINK));
	assert_true(is_counted(neighbours, &report, RTM_DELLINK));
	assert_false(is_counted(neighbours, &report, RTM_DELLINK));

	/* On a NIC that nobody asks about, only the going up and down of all interfaces counts. */
	elsewhere.index = 910;
	elsewhere.lower = "lo";
	assert_false(is_counted(neighbours, &elsewhere, RTM_NEWLINK));
	elsewhere.mtu = 1400;
	assert_false(is_counted(neighbours, &elsewhere, RTM_NEWLINK));
	neighbours_close(neighbours);
}

/* What was removed while messages were lost is not believed to be there for ever. */
static void test_lost_removal(void **state)
{
	struct report report = e1_on_e0;
	struct neighbours *neighbours;
	int e0, size = 2048;
	bool changed = false;

	(void)state;
	need_namespace();
	neighbours = open_with_vlan();
	e0 = (int)if_nametoindex("e0");
	report.index = 900;
	assert_true(is_counted(neighbours, &report, RTM_NEWLINK));
	assert_int_equal(setsockopt(neighbours_descriptor(neighbours), SOL_SOCKET, SO_RCVBUF, &size,
				    sizeof(size)),
			 0);
	run("for i in $(seq 1 100); do echo route add 10.71.$i.0/24 via 10.0.0.1; done | "
	    "ip -batch -");
	assert_true(neighbours_has_vlans(neighbours, e0));
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
	assert_true(changed);
	assert_true(link_find(&neighbours->links, e0)->is_asked);
	/* The kernel knows none of them, and says so of e1. */
	assert_false(neighbours_has_vlans(neighbours, e0));
	assert_int_equal(resolve(neighbours, "10.0.1.70", "e0").state, NEXT_HOP_OTHER_INTERFACE);
	assert_int_equal(resolve(neighbours, "10.0.0.70", "e0").state, NEXT_HOP_RESOLVED);
	neighbours_close(neighbours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, namespace_enter_with_peer, namespace_leave)
		TEST(test_route_over_a_vlan_device),
		TEST(test_the_nic_beside_it),
		TEST(test_several_devices),
		TEST(test_order_of_several_devices),
		TEST(test_one_device_of_several_is_too_deep),
		TEST(test_stacked_devices),
		TEST(test_what_is_known_of_a_nic),
		TEST(test_changes_of_vlan_devices),
		TEST(test_lost_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
