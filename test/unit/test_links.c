/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's reports about interfaces, built by hand, and the stacks of VLAN devices in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "../../src/control/links.h"

#define SIZE   1024
#define ABSENT 0xffff

static const uint8_t mac[6] = { 0x02, 1, 2, 3, 4, 5 };

/* What a report about a VLAN device says; a number that is ABSENT is left out. */
struct report {
	const char *kind;  /* NULL: no IFLA_LINKINFO */
	uint32_t kind_cut; /* bytes that the kind ends too early */
	uint32_t lower;
	uint32_t namespace;
	uint16_t protocol;
	uint16_t id;
	bool is_data_first; /* in front of the kind */
	bool has_no_data;
};

static const struct report usual = {
	.kind = "vlan", .lower = 2, .namespace = ABSENT, .protocol = 0x8100, .id = 100
};

static void put_data(struct nlmsghdr *message, const struct report *report)
{
	struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_DATA);

	if (report->protocol != ABSENT)
		mnl_attr_put_u16(message, IFLA_VLAN_PROTOCOL, htons(report->protocol));
	if (report->id != ABSENT)
		mnl_attr_put_u16(message, IFLA_VLAN_ID, report->id);
	mnl_attr_put_u32(message, IFLA_VLAN_FLAGS, 1);
	mnl_attr_nest_end(message, data);
}

static struct nlmsghdr *build(uint8_t buffer[static SIZE], const struct report *report)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	struct nlattr *information;

	message->nlmsg_type = RTM_NEWLINK;
	header->ifi_family = AF_UNSPEC;
	header->ifi_index = 7;
	header->ifi_flags = IFF_UP | IFF_BROADCAST | IFF_LOWER_UP;
	mnl_attr_put_strz(message, IFLA_IFNAME, "eth0.100");
	mnl_attr_put_u32(message, IFLA_MTU, 1496);
	mnl_attr_put(message, IFLA_ADDRESS, sizeof(mac), mac);
	if (report->lower != ABSENT)
		mnl_attr_put_u32(message, IFLA_LINK, report->lower);
	if (report->kind != NULL) {
		information = mnl_attr_nest_start(message, IFLA_LINKINFO);
		if (report->is_data_first)
			put_data(message, report);
		mnl_attr_put(message, IFLA_INFO_KIND, strlen(report->kind) + 1 - report->kind_cut,
			     report->kind);
		if (!report->is_data_first && !report->has_no_data)
			put_data(message, report);
		mnl_attr_nest_end(message, information);
	}
	if (report->namespace != ABSENT)
		mnl_attr_put_u32(message, IFLA_LINK_NETNSID, report->namespace);
	return message;
}

static struct link parse(const struct report *report)
{
	uint8_t buffer[SIZE];
	struct link link;
	bool is_port;

	assert_true(link_parse(build(buffer, report), &link, &is_port));
	assert_false(is_port);
	assert_int_equal(link.index, 7);
	assert_int_equal(link.mtu, 1496);
	assert_int_equal(link.flags, IFF_UP | IFF_LOWER_UP);
	assert_memory_equal(link.mac, mac, 6);
	return link;
}

static void test_vlan_devices(void **state)
{
	static const struct {
		uint16_t protocol, id, expected;
		bool is_data_first;
	} cases[] = {
		{ 0x8100, 100, 0x8100, false }, { 0x88a8, 100, 0x88a8, false },
		{ 0x88a8, 1, 0x88a8, true },	{ 0x8100, 0, 0x8100, false },
		{ 0x8100, 4095, 0x8100, true }, { ABSENT, 5, 0x8100, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct report report = usual;
		struct link link;

		report.protocol = cases[i].protocol;
		report.id = cases[i].id;
		report.is_data_first = cases[i].is_data_first;
		link = parse(&report);
		assert_true(link.is_vlan);
		assert_int_equal(link.lower, 2);
		assert_int_equal(link.tag.protocol, cases[i].expected);
		assert_int_equal(link.tag.id, cases[i].id);
	}
}

/* Other kinds of devices, and VLAN devices that are not described as they should be. */
static void test_what_is_no_vlan_device(void **state)
{
	const struct report cases[] = {
		{ NULL, 0, 2, ABSENT, 0x8100, 100, false, false }, /* a NIC */
		{ "macvlan", 0, 2, ABSENT, 0x8100, 100, false, false },
		{ "vlan2", 0, 2, ABSENT, 0x8100, 100, false, false },
		{ "vlax", 0, 2, ABSENT, 0x8100, 100, false, false },
		{ "vlan", 1, 2, ABSENT, 0x8100, 100, false, false },
		{ "", 0, 2, ABSENT, 0x8100, 100, false, false },
		{ "", 1, 2, ABSENT, 0x8100, 100, false, false },
		{ "vlan", 0, 2, ABSENT, 0x8100, 100, false, true },
		{ "vlan", 0, 2, ABSENT, 0x8100, ABSENT, false, false },
		{ "vlan", 0, 2, ABSENT, 0x8100, 4096, false, false },
		{ "vlan", 0, 2, ABSENT, 0x9100, 100, false, false },
		{ "vlan", 0, 2, ABSENT, 0, 100, false, false },
		{ "veth", 0, 2, 1, 0x8100, 100, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct link link = parse(&cases[i]);

		if (link.is_vlan || link.lower != 0)
			fail_msg("case %zu is taken for a VLAN device on %d", i, link.lower);
	}
}

/* The index of a device in another namespace may be that of one in ours. */
static void test_lower_device_of_another_namespace(void **state)
{
	struct report report = usual;
	struct link link;

	(void)state;
	report.namespace = 0;
	link = parse(&report);
	assert_true(link.is_vlan);
	assert_int_equal(link.lower, 0);
	report.namespace = ABSENT;
	report.lower = ABSENT;
	link = parse(&report);
	assert_true(link.is_vlan);
	assert_int_equal(link.lower, 0);
}

static void test_other_messages(void **state)
{
	uint8_t buffer[SIZE];
	struct nlmsghdr *message = build(buffer, &usual);
	struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct link link;
	bool is_port;

	(void)state;
	mnl_attr_put_u32(message, IFLA_MASTER, 9);
	assert_true(link_parse(message, &link, &is_port));
	assert_true(is_port);
	header->ifi_family = AF_BRIDGE;
	assert_false(link_parse(message, &link, &is_port));
}

/* A message that ends anywhere (they are padded to 4 bytes), and numbers that are too short:
 * nothing beyond is read (AddressSanitizer). */
static void test_truncated_messages(void **state)
{
	uint8_t buffer[SIZE];
	struct nlmsghdr *message = build(buffer, &usual);
	uint32_t whole = message->nlmsg_len;
	struct link link;
	bool is_port;

	(void)state;
	for (uint32_t length = sizeof(*message); length <= whole; length += 4) {
		struct nlmsghdr *copy = malloc(length);
		bool is_long_enough = length >= sizeof(*message) + sizeof(struct ifinfomsg);

		assert_non_null(copy);
		memcpy(copy, buffer, length);
		copy->nlmsg_len = length;
		assert_int_equal(link_parse(copy, &link, &is_port), is_long_enough);
		if (is_long_enough && length < whole)
			assert_false(link.is_vlan);
		free(copy);
	}
	for (uint16_t size = 0; size < 2; size++) {
		struct nlattr *information, *data;

		message = build(buffer, &(struct report){ .lower = 2, .namespace = ABSENT });
		information = mnl_attr_nest_start(message, IFLA_LINKINFO);
		mnl_attr_put_strz(message, IFLA_INFO_KIND, "vlan");
		data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
		mnl_attr_put(message, IFLA_VLAN_ID, size, "\1\1");
		mnl_attr_nest_end(message, data);
		mnl_attr_nest_end(message, information);
		assert_true(link_parse(message, &link, &is_port));
		assert_false(link.is_vlan);
	}
}

static void add(struct links *links, int index, int lower, uint16_t protocol, uint16_t id,
		uint32_t mtu)
{
	struct link link = { .index = index,
			     .mtu = mtu,
			     .is_vlan = lower >= 0,
			     .lower = lower >= 0 ? lower : 0,
			     .tag = { .protocol = protocol, .id = id },
			     .mac = { 2, 0, 0, 0, 0, (uint8_t)index } };

	assert_int_equal(link_add(links, &link), 0);
}

/* The NIC is 2. */
static struct links make_links(void)
{
	struct links links = { 0 };

	add(&links, 30, 20, 0x8100, 7, 1400); /* above 20, which comes later */
	add(&links, 2, -1, 0, 0, 1500);
	add(&links, 3, -1, 0, 0, 1500); /* another NIC */
	add(&links, 10, 2, 0x8100, 100, 1500);
	add(&links, 20, 2, 0x88a8, 200, 1450);
	add(&links, 31, 10, 0x8100, 8, 1500);
	add(&links, 40, 30, 0x8100, 9, 1500);  /* the third level */
	add(&links, 50, 40, 0x8100, 10, 1500); /* and a fourth */
	add(&links, 60, 3, 0x8100, 100, 1500);
	add(&links, 70, 0, 0x8100, 100, 1500);	/* on one of another namespace */
	add(&links, 71, 70, 0x8100, 100, 1500); /* and one on that */
	add(&links, 80, 81, 0x8100, 1, 1500);	/* loops */
	add(&links, 81, 80, 0x8100, 1, 1500);
	add(&links, 82, 82, 0x8100, 1, 1500);
	add(&links, 83, 999, 0x8100, 1, 1500); /* unknown */
	return links;
}

static void test_stacks(void **state)
{
	static const struct {
		int index;
		struct vlan_stack stack;
	} cases[] = {
		{ 2, { 0 } },
		{ 10, { 1, { { 0x8100, 100 } }, 1500, { 2, 0, 0, 0, 0, 10 } } },
		{ 20, { 1, { { 0x88a8, 200 } }, 1450, { 2, 0, 0, 0, 0, 20 } } },
		{ 30, { 2, { { 0x88a8, 200 }, { 0x8100, 7 } }, 1400, { 2, 0, 0, 0, 0, 30 } } },
		{ 31, { 2, { { 0x8100, 100 }, { 0x8100, 8 } }, 1500, { 2, 0, 0, 0, 0, 31 } } },
	};
	struct links links = make_links();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vlan_stack *expected = &cases[i].stack;
		struct vlan_stack stack;

		memset(&stack, 0xee, sizeof(stack));
		assert_int_equal(link_find_stack(&links, cases[i].index, 2, &stack),
				 NEXT_HOP_RESOLVED);
		assert_int_equal(stack.count, expected->count);
		assert_int_equal(stack.mtu, expected->mtu);
		assert_memory_equal(stack.tags, expected->tags, sizeof(stack.tags));
		assert_memory_equal(stack.mac, expected->mac, 6);
	}
	free(links.list);
}

static void test_stacks_that_do_not_serve(void **state)
{
	static const struct {
		int index, nic;
		enum next_hop_state state;
	} cases[] = {
		{ 40, 2, NEXT_HOP_TOO_MANY_TAGS },    { 50, 2, NEXT_HOP_TOO_MANY_TAGS },
		{ 3, 2, NEXT_HOP_OTHER_INTERFACE },   { 60, 2, NEXT_HOP_OTHER_INTERFACE },
		{ 10, 3, NEXT_HOP_OTHER_INTERFACE },  { 70, 2, NEXT_HOP_OTHER_INTERFACE },
		{ 71, 2, NEXT_HOP_OTHER_INTERFACE },  { 80, 2, NEXT_HOP_OTHER_INTERFACE },
		{ 82, 2, NEXT_HOP_OTHER_INTERFACE },  { 83, 2, NEXT_HOP_OTHER_INTERFACE },
		{ 999, 2, NEXT_HOP_OTHER_INTERFACE }, { 0, 2, NEXT_HOP_OTHER_INTERFACE },
	};
	struct links links = make_links();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vlan_stack stack = { .mtu = 4711 };

		if (link_find_stack(&links, cases[i].index, cases[i].nic, &stack) != cases[i].state)
			fail_msg("%d on %d", cases[i].index, cases[i].nic);
		assert_int_equal(stack.mtu, 4711);
	}
	assert_string_equal(next_hop_state_name(NEXT_HOP_TOO_MANY_TAGS),
			    "behind more than two VLAN tags");
	free(links.list);
}

/* A VLAN device is asked about with the NIC, on whichever level. */
static void test_asked(void **state)
{
	static const int with_nic[] = { 2, 10, 20, 30, 31, 40, 50 };
	struct links links = make_links();
	uint32_t count = 0;

	(void)state;
	for (uint32_t i = 0; i < links.count; i++)
		assert_false(link_is_asked(&links, &links.list[i]));
	link_find(&links, 2)->is_asked = true;
	for (uint32_t i = 0; i < links.count; i++)
		count += link_is_asked(&links, &links.list[i]);
	assert_int_equal(count, sizeof(with_nic) / sizeof(with_nic[0]));
	for (size_t i = 0; i < sizeof(with_nic) / sizeof(with_nic[0]); i++)
		assert_true(link_is_asked(&links, link_find(&links, with_nic[i])));
	link_remove(&links, link_find(&links, 20));
	assert_null(link_find(&links, 20));
	assert_false(link_is_asked(&links, link_find(&links, 30)));
	assert_true(link_is_asked(&links, link_find(&links, 31)));
	free(links.list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vlan_devices),
		cmocka_unit_test(test_what_is_no_vlan_device),
		cmocka_unit_test(test_lower_device_of_another_namespace),
		cmocka_unit_test(test_other_messages),
		cmocka_unit_test(test_truncated_messages),
		cmocka_unit_test(test_stacks),
		cmocka_unit_test(test_stacks_that_do_not_serve),
		cmocka_unit_test(test_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
