/* SPDX-License-Identifier: BSD-2-Clause */
/* Batches of packets of many kinds: each gets what it would get alone, is counted where it belongs,
 * and leaves in its turn. */
#include "pipeline_flows.h"

#define ROUNDS	   100
#define MF	   0x2000
#define ICMP	   1
#define KERNEL	   -1
#define DROPPED	   -2
#define PEER	   12
#define GUE_LENGTH (14 + 20 + 8 + 4)

/* Services that differ in one thing, and what is none. */
struct kind {
	bool is_ipv6;
	bool is_broken;
	uint8_t option_words;
	uint8_t network; /* the last byte of the upper half of an IPv6 address */
	uint8_t host;
	uint8_t protocol;
	uint16_t port;
	int vip; /* place in the description, KERNEL or DROPPED */
};

static const struct kind kinds[] = {
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = 0 },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = 0, .option_words = 2 },
	{ .protocol = IPPROTO_UDP, .port = 53, .vip = 1 },
	{ .protocol = IPPROTO_TCP, .port = 53, .vip = 2 },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = 3, .host = 1 },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = 4, .is_ipv6 = true },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = 5, .is_ipv6 = true, .host = 1 },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = 6, .is_ipv6 = true, .network = 1 },
	{ .protocol = IPPROTO_TCP, .port = 53, .vip = 7, .is_ipv6 = true },
	{ .protocol = IPPROTO_UDP, .port = 53, .vip = 8, .is_ipv6 = true },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = KERNEL, .host = 9 },
	{ .protocol = IPPROTO_TCP, .port = 81, .vip = KERNEL },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = KERNEL, .is_ipv6 = true, .host = 9 },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = KERNEL, .is_ipv6 = true, .network = 9 },
	{ .protocol = IPPROTO_UDP, .port = 80, .vip = KERNEL, .is_ipv6 = true },
	{ .protocol = IPPROTO_TCP, .port = 80, .vip = DROPPED, .is_broken = true },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define VIPS  9

static uint32_t build(const struct kind *kind, uint64_t *random, uint8_t *frame)
{
	struct test_packet packet = { .source = TEST_CLIENT,
				      .destination = TEST_VIP + kind->host,
				      .source_port = (uint16_t)test_random_below(random, 20),
				      .destination_port = kind->port,
				      .protocol = kind->protocol,
				      .tcp_flags = ACK,
				      .option_words = kind->option_words,
				      .payload = (uint16_t)test_random_below(random, 100),
				      .padding = (uint16_t)test_random_below(random, 8) };
	uint32_t length;

	if (test_random_below(random, 8) == 0)
		packet.tcp_flags = SYN;
	if (!kind->is_ipv6) {
		length = test_build(&packet, frame);
		frame[14 + 10] ^= kind->is_broken;
		return length;
	}
	length = test_build_ipv6(&packet, NULL, 0, frame);
	frame[14 + 24 + 7] = kind->network;
	return length;
}

/* VIP i is of pool i % 2. */
static void describe(struct setup *setup)
{
	setup->vip_count = 0;
	for (size_t i = 0; i < KINDS; i++) {
		const struct kind *kind = &kinds[i];
		struct vip *vip;

		if (kind->vip != (int)setup->vip_count)
			continue;
		setup_add_vip(setup, TEST_VIP + kind->host, 128, kind->protocol, kind->port,
			      (uint16_t)(setup->vip_count % 2));
		vip = &setup->vips[setup->vip_count - 1];
		if (kind->is_ipv6) {
			vip->prefix.address = setup_ipv6_address(TEST_VIP + kind->host);
			vip->prefix.address.bytes[7] = kind->network;
		}
	}
	assert_int_equal(setup->vip_count, VIPS);
	setup_publish(setup);
}

static void test_services_in_any_order(void **state)
{
	struct setup *setup = *state;
	struct traffic_counter expected[VIPS] = { 0 };
	uint64_t random = 21, kernel = 0, dropped = 0;

	describe(setup);
	for (int round = 0; round < ROUNDS; round++) {
		int vips[3 * PORT_BATCH];
		uint32_t count = test_random_below(&random, 3 * PORT_BATCH), sent = 0;
		size_t kind = 0;

		for (uint32_t i = 0; i < count; i++) {
			uint8_t frame[TEST_FRAME_SIZE];
			uint32_t length;

			/* In one half of the rounds there are runs of one. */
			if (round % 2 == 0 || test_random_below(&random, 4) == 0)
				kind = test_random_below(&random, KINDS);
			length = build(&kinds[kind], &random, frame);
			vips[i] = kinds[kind].vip;
			memory_port_queue(&setup->port, frame, length, SETUP_HEADROOM);
			kernel += vips[i] == KERNEL;
			dropped += vips[i] == DROPPED;
			if (vips[i] < 0)
				continue;
			expected[vips[i]].packets++;
			expected[vips[i]].bytes += length;
		}
		setup_run(setup);
		for (uint32_t i = 0; i < count; i++) {
			const struct frame *frame = &setup->port.sent[sent];

			if (vips[i] < 0)
				continue;
			assert_int_equal(frame_number(frame), i);
			assert_in_range(setup_backend_of(frame), vips[i] % 2 == 0 ? 1 : 11,
					vips[i] % 2 == 0 ? 4 : 12);
			sent++;
		}
		assert_int_equal(setup->port.sent_count, sent);
		memory_port_clear(&setup->port);
	}
	for (uint32_t i = 0; i < VIPS; i++) {
		const struct traffic_counter *vip = &setup->vip_counters[setup->vips[i].index];

		assert_int_equal(vip->packets, expected[i].packets);
		assert_int_equal(vip->bytes, expected[i].bytes);
	}
	assert_int_equal(setup->counters.slow_path, kernel);
	assert_int_equal(setup_dropped(setup), dropped);
}

/* ---- without tracking ---- */

static void test_untracked_backends_are_counted(void **state)
{
	struct setup *setup = *state;
	uint64_t packets[SETUP_BACKENDS] = { 0 };

	setup->vips[0].tracking = false;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < FLOWS; flow++)
		packets[send_flow(setup, flow, ACK)]++;
	for (uint32_t i = 0; i < SETUP_BACKENDS; i++)
		assert_int_equal(setup->backend_counters[i].packets, packets[i]);
}

static void test_untracked_by_source(void **state)
{
	struct setup *setup = *state;
	uint64_t hash = flow_hash_ipv4(htonl(TEST_CLIENT), htonl(TEST_VIP), 0, 0, 0, SETUP_SEED);

	setup->vips[0].tracking = false;
	setup->vips[0].by_source = true;
	setup_publish(setup);
	for (uint16_t i = 0; i < FLOWS; i++) {
		struct test_packet packet = flow_packet(i, ACK);

		packet.source = TEST_CLIENT;
		assert_int_equal(setup_send(setup, &packet),
				 setup->slots[0][maglev_slot(hash, SETUP_TABLE_SIZE)]);
	}
}

static void test_untracked_without_backends(void **state)
{
	struct setup *setup = *state;

	setup->vips[0].tracking = false;
	for (uint16_t i = 1; i <= 4; i++)
		setup->described[i].is_present = false;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < 10; flow++)
		assert_int_equal(send_flow(setup, flow, ACK), SETUP_DROPPED);
	assert_int_equal(setup->counters.dropped[DROP_NO_BACKEND], 10);
}

/* ---- what an entry says of its VIP ---- */

/* A new entry has its VIP's, and so has one that begins anew after a reload. */
static void test_vip_tags(void **state)
{
	struct setup *setup = *state;

	for (uint16_t flow = 0; flow < 20; flow++) {
		struct test_packet packet = flow_packet(flow, ACK);

		setup->vips[0].index = (uint16_t)(250 + flow);
		setup_publish(setup);
		setup_send(setup, &packet);
		assert_int_equal(connection_of(setup, &packet)->vip_tag, (uint8_t)(250 + flow));
		setup->vips[0].index = (uint16_t)(100 + flow);
		setup_publish(setup);
		packet.tcp_flags = SYN;
		setup_send(setup, &packet);
		assert_int_equal(connection_of(setup, &packet)->vip_tag, 100 + flow);
	}
}

/* ---- fragments ---- */

/* 32 bytes at an offset of so many units of 8 bytes; of ICMP, an echo request. */
static void queue_fragment(struct setup *setup, uint8_t protocol, uint16_t offset, bool more,
			   uint8_t traffic_class)
{
	struct test_packet packet = { .source = TEST_CLIENT,
				      .destination = TEST_VIP,
				      .source_port = 4000,
				      .destination_port = 53,
				      .protocol = protocol,
				      .traffic_class = traffic_class,
				      .fragment = (uint16_t)(offset | (more ? MF : 0)),
				      .payload = protocol == ICMP ? 32 : 24 };
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = test_build(&packet, frame);

	if (protocol == ICMP && offset == 0) {
		frame[34] = 8;
		frame[35] = 0;
	}
	memory_port_queue(&setup->port, frame, length, SETUP_HEADROOM);
}

static void publish_with_fragments(struct setup *setup)
{
	for (uint32_t i = 0; i < setup->vip_count; i++)
		setup->vips[i].fragments = true;
	setup_publish(setup);
	setup->forwarding.icmp_echo_rate = 1000;
	setup->port.is_free_form = true;
}

/* Each has its own traffic class, and all have the source port of their flow. */
static void test_outer_headers_of_fragments(void **state)
{
	struct setup *setup = *state;
	struct test_packet flow = { .source = TEST_CLIENT,
				    .destination = TEST_VIP,
				    .source_port = 4000,
				    .destination_port = 53,
				    .protocol = IPPROTO_UDP };
	uint32_t port = 0xc000 | (setup_hash(&flow) >> 16 & 0x3fff);

	for (uint32_t i = 1; i <= 4; i++)
		setup->described[i].encapsulation = ENCAPSULATION_GUE;
	publish_with_fragments(setup);
	queue_fragment(setup, IPPROTO_UDP, 4, true, 0x11);
	queue_fragment(setup, IPPROTO_UDP, 8, true, 0x22);
	queue_fragment(setup, IPPROTO_UDP, 0, true, 0x33);
	setup_run(setup);
	queue_fragment(setup, IPPROTO_UDP, 12, false, 0x44);
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const uint8_t *outer = setup->port.sent[i].data + ETHERNET_HEADER_LENGTH;

		assert_int_equal(outer[1], setup->port.sent[i].data[GUE_LENGTH + 1]);
		assert_int_equal(test_load16(outer + IPV4_HEADER_LENGTH), port);
	}
}

static void test_outer_headers_to_peers(void **state)
{
	struct setup *setup = *state;
	const struct forwarding_pool peers = { .slots = setup->slots[2], .size = SETUP_TABLE_SIZE };

	publish_with_fragments(setup);
	for (int i = 0; i < SETUP_TABLE_SIZE; i++)
		setup->slots[2][i] = PEER;
	setup->forwarding.peers = &peers;
	setup->forwarding.peer_self = PEER - 1;
	for (uint16_t i = 0; i < 4; i++)
		queue_fragment(setup, IPPROTO_UDP, (uint16_t)(4 * i), true, (uint8_t)(0x31 * i));
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(setup_backend_of(&setup->port.sent[i]), PEER);
		assert_int_equal(setup->port.sent[i].data[ETHERNET_HEADER_LENGTH + 1], 0x31 * i);
	}
}

/* As many matches as packets came, and answers beside them: of fragments that waited. */
static void test_answers_beside_what_waited(void **state)
{
	struct setup *setup = *state;

	publish_with_fragments(setup);
	for (uint16_t i = 1; i < 4; i++)
		queue_fragment(setup, IPPROTO_UDP, (uint16_t)(4 * i), true, 0);
	for (uint16_t i = 1; i < 3; i++)
		queue_fragment(setup, ICMP, (uint16_t)(4 * i), true, 0);
	setup_run(setup);
	assert_int_equal(setup->fragments.held_count, 5);
	queue_fragment(setup, IPPROTO_UDP, 0, true, 0);
	queue_fragment(setup, ICMP, 0, true, 0);
	setup_run(setup);
	assert_int_equal(setup->counters.forwarded.packets, 4);
	assert_int_equal(setup->counters.answered, 3);
	assert_int_equal(setup->port.sent_count, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_open, setup_close)
		TEST(test_services_in_any_order),
		TEST(test_untracked_backends_are_counted),
		TEST(test_untracked_by_source),
		TEST(test_untracked_without_backends),
		TEST(test_vip_tags),
		TEST(test_outer_headers_of_fragments),
		TEST(test_outer_headers_to_peers),
		TEST(test_answers_beside_what_waited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
