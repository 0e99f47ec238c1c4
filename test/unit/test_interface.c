/* SPDX-License-Identifier: BSD-2-Clause */
#include "namespace.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <fluxpin/interface.h>

static void test_query_agrees_with_ip(void **state)
{
	struct interface interface = { 0 };
	char expected[64];
	const char *shown;

	(void)state;
	need_namespace();
	run("ip link add e0 mtu 1400 numrxqueues 4 numtxqueues 4 type veth peer name p0");
	assert_int_equal(interface_query("e0", &interface), 0);
	shown = output_of("ip -j link show e0");
	assert_string_equal(interface.name, "e0");
	assert_string_equal(interface.driver, "veth");
	assert_int_equal(interface.index, if_nametoindex("e0"));
	assert_int_equal(interface.mtu, 1400);
	assert_int_equal(interface.queue_count, 4);
	assert_int_equal(interface.transmit_count, 4);
	assert_false(interface.is_up);
	assert_false(interface.has_carrier);
	snprintf(expected, sizeof(expected), "\"ifindex\":%d,", interface.index);
	assert_non_null(strstr(shown, expected));
	snprintf(expected, sizeof(expected), "\"address\":\"%02x:%02x:%02x:%02x:%02x:%02x\"",
		 interface.mac[0], interface.mac[1], interface.mac[2], interface.mac[3],
		 interface.mac[4], interface.mac[5]);
	assert_non_null(strstr(shown, expected));

	run("ip link set e0 up");
	assert_int_equal(interface_query("e0", &interface), 0);
	assert_true(interface.is_up);
	assert_false(interface.has_carrier);
	run("ip link set p0 up");
	assert_int_equal(interface_query("e0", &interface), 0);
	assert_true(interface.has_carrier);
}

static void test_query_without_channels(void **state)
{
	struct interface interface;

	(void)state;
	need_namespace();
	/* A bridge has no ethtool channels; sysfs may show another namespace. */
	run("ip link add b0 type bridge");
	assert_int_equal(interface_query("b0", &interface), 0);
	assert_int_equal(interface.queue_count, 1);
	assert_int_equal(interface.transmit_count, 0);
	assert_string_equal(interface.driver, "bridge");
}

static void test_query_unknown_names(void **state)
{
	struct interface interface = { .index = 77 };

	(void)state;
	need_namespace();
	assert_int_equal(interface_query("nothere", &interface), -ENODEV);
	assert_int_equal(interface_query("", &interface), -ENODEV);
	assert_int_equal(interface_query("a-name-longer-than-any", &interface), -ENODEV);
	assert_int_equal(interface_query("exactly16chars-x", &interface), -ENODEV);
	assert_int_equal(interface.index, 77);
}

static void test_set_and_read_back(void **state)
{
	static const uint8_t mac[6] = { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 };
	static const uint8_t multicast[6] = { 0x03 };
	struct interface interface;
	char long_alias[300];
	const char *shown;
	int index;

	(void)state;
	need_namespace();
	run("ip link add e0 type veth peer name p0");
	index = (int)if_nametoindex("e0");
	assert_int_equal(interface_set_mac(index, mac), 0);
	assert_int_equal(interface_set_mtu(index, 1777), 0);
	assert_int_equal(interface_set_up(index, true), 0);
	assert_int_equal(interface_set_arp(index, false), 0);
	assert_int_equal(interface_set_queue_length(index, 33), 0);
	assert_int_equal(interface_set_alias(index, "fluxpin slow path of e0"), 0);
	assert_int_equal(interface_query("e0", &interface), 0);
	assert_memory_equal(interface.mac, mac, 6);
	assert_int_equal(interface.mtu, 1777);
	assert_true(interface.is_up);
	shown = output_of("ip -j link show e0");
	assert_non_null(strstr(shown, "\"NOARP\""));
	assert_non_null(strstr(shown, "\"txqlen\":33"));
	assert_non_null(strstr(shown, "\"ifalias\":\"fluxpin slow path of e0\""));
	assert_int_equal(interface_set_up(index, false), 0);
	assert_int_equal(interface_set_arp(index, true), 0);
	assert_int_equal(interface_query("e0", &interface), 0);
	assert_false(interface.is_up);
	assert_null(strstr(output_of("ip -j link show e0"), "NOARP"));

	assert_int_equal(interface_set_mtu(index, 10), -EINVAL);
	assert_int_equal(interface_set_mac(index, multicast), -EADDRNOTAVAIL);
	memset(long_alias, 'a', sizeof(long_alias));
	long_alias[sizeof(long_alias) - 1] = '\0';
	assert_int_equal(interface_set_alias(index, long_alias), -EINVAL);
	assert_int_equal(interface_set_up(9999, true), -ENODEV);
}

static void test_disable_ipv6(void **state)
{
	int index;

	(void)state;
	need_namespace();
	run("ip link add e0 type veth peer name p0");
	index = (int)if_nametoindex("e0");
	assert_int_equal(interface_disable_ipv6(index), 0);
	run("ip link set e0 up; ip link set p0 up");
	pause_milliseconds(200);
	assert_string_equal(output_of("ip -6 -o addr show dev e0"), "");
	assert_non_null(strstr(output_of("ip -6 -o addr show dev p0"), "fe80::"));
	/* Too small for IPv6: the kernel keeps no IPv6 state for it. */
	run("ip link set e0 mtu 1000");
	assert_int_equal(interface_disable_ipv6(index), 0);
}

static void test_redirect(void **state)
{
	int from;
	int to;

	(void)state;
	need_namespace();
	run("ip link add e0 type veth peer name p0");
	from = (int)if_nametoindex("e0");
	to = (int)if_nametoindex("p0");
	assert_int_equal(interface_redirect_ingress(from, to), 0);
	assert_non_null(strstr(output_of("tc filter show dev e0 ingress"),
			       "mirred (Ingress Redirect to device p0) stolen"));
	assert_int_equal(interface_redirect_ingress(from, to), -EEXIST);
	assert_int_equal(interface_redirect_ingress(9999, to), -ENODEV);
	assert_int_not_equal(interface_redirect_ingress(to, 9999), 0);
}

static void test_source_ipv4(void **state)
{
	uint32_t source_be = 0;
	int index;

	(void)state;
	need_namespace();
	run("ip link add e0 type veth peer name p0");
	index = (int)if_nametoindex("e0");
	assert_int_equal(interface_source_ipv4(index, &source_be), -EADDRNOTAVAIL);
	run("ip addr add 10.9.0.1/24 dev p0");
	run("ip addr add 169.254.1.1/16 scope link dev e0");
	run("ip addr add fd00::1/64 dev e0");
	assert_int_equal(interface_source_ipv4(index, &source_be), -EADDRNOTAVAIL);
	assert_int_equal(source_be, 0);
	run("ip addr add 10.0.0.7/24 dev e0; ip addr add 10.0.0.8/24 dev e0");
	assert_int_equal(interface_source_ipv4(index, &source_be), 0);
	assert_int_equal(source_be, inet_addr("10.0.0.7"));
}

static void test_harmful_offloads(void **state)
{
	char list[128] = "untouched";
	char command[256];
	char small[4];

	(void)state;
	need_namespace();
	run("ip link add e0 type veth peer name p0");
	assert_int_equal(interface_harmful_offloads("nothere", list, sizeof(list)), -ENODEV);
	run("ethtool -K e0 rxvlan off rx-vlan-stag-hw-parse off >/dev/null");
	assert_int_equal(interface_harmful_offloads("e0", list, sizeof(list)), 0);
	assert_string_equal(list, "");
	run("ethtool -K e0 rxvlan on rx-vlan-stag-hw-parse on >/dev/null");
	assert_int_equal(interface_harmful_offloads("e0", list, sizeof(list)), 0);
	assert_string_equal(list, "rx-vlan-hw-parse off rx-vlan-stag-hw-parse off");
	/* The command is the one that helps. */
	assert_true(snprintf(command, sizeof(command), "ethtool -K e0 %s", list) > 0);
	run("%s", command);
	assert_int_equal(interface_harmful_offloads("e0", list, sizeof(list)), 0);
	assert_string_equal(list, "");
	run("ethtool -K e0 rxvlan on >/dev/null");
	assert_int_equal(interface_harmful_offloads("e0", small, sizeof(small)), -ENOSPC);
	assert_int_equal(interface_harmful_offloads("e0", small, 0), -ENOSPC);
}

/* By its number alone, and only of this namespace; the folder of the same name in sysfs is another
 * device's. */
static void test_deferral(void **state)
{
	struct interface_deferral deferral = { 7, 7 };
	struct interface interface;
	int error;

	(void)state;
	need_namespace();
	run("ip link add e0 type veth peer name p0");
	assert_int_equal(interface_query("e0", &interface), 0);
	assert_int_equal(interface_deferral("e0", interface.index, &deferral), -ENODEV);
	error = interface_napi_deferral(1U << 30, &deferral);
	assert_true(error == -ENOENT || error == -EOPNOTSUPP);
	assert_int_equal(deferral.hard_irqs, 7);
	assert_int_equal(deferral.flush_timeout_ns, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, namespace_enter, namespace_leave)
		TEST(test_query_agrees_with_ip),
		TEST(test_query_without_channels),
		TEST(test_query_unknown_names),
		TEST(test_set_and_read_back),
		TEST(test_disable_ipv6),
		TEST(test_redirect),
		TEST(test_source_ipv4),
		TEST(test_harmful_offloads),
		TEST(test_deferral),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
