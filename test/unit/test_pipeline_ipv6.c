/* SPDX-License-Identifier: BSD-2-Clause */
/* The pipeline with IPv6 packets, and with backends of every encapsulation and family. */
#include "pipeline_setup.h"

#define ICMPV6 58

static void add_vip(struct setup *setup, struct address address, uint8_t length, uint8_t protocol,
		    uint16_t port, uint16_t pool)
{
	setup_add_vip(setup, 0, length, protocol, port, pool);
	setup->vips[setup->vip_count - 1].prefix.address = address;
}

/* Beside the IPv4 VIPs of setup_open: TCP 80 and UDP 53 of TEST_VIP in its IPv6 form. */
static int open_ipv6(void **state)
{
	struct setup *setup;
	int error = setup_open(state);

	if (error != 0)
		return error;
	setup = *state;
	add_vip(setup, setup_ipv6_address(TEST_VIP), 128, IPPROTO_TCP, 80, 0);
	add_vip(setup, setup_ipv6_address(TEST_VIP), 128, IPPROTO_UDP, 53, 0);
	setup_publish(setup);
	return 0;
}

static struct test_packet packet_of(uint8_t protocol, uint16_t source_port)
{
	return (struct test_packet){
		.source = TEST_CLIENT,
		.destination = TEST_VIP,
		.source_port = source_port,
		.destination_port = protocol == IPPROTO_TCP ? 80 : 53,
		.protocol = protocol,
		.tcp_flags = TCP_FLAG_ACK,
		.payload = 5,
	};
}

static uint32_t queue(struct setup *setup, const struct test_packet *packet,
		      const struct test_extension *extensions, uint32_t count)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build_ipv6(packet, extensions, count, buffer);

	return memory_port_queue(&setup->port, buffer, length, SETUP_HEADROOM);
}

static uint16_t choice(const struct setup *setup, const struct test_packet *packet)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	uint64_t hash;

	test_build_ipv6(packet, NULL, 0, buffer);
	hash = flow_hash_ipv6(buffer + 14 + 8, htons(packet->source_port),
			      htons(packet->destination_port), packet->protocol, SETUP_SEED);
	return setup->slots[0][maglev_slot(hash, SETUP_TABLE_SIZE)];
}

static void test_forwards_to_the_choice(void **state)
{
	struct setup *setup = *state;

	for (uint16_t i = 0; i < 1000; i++) {
		struct test_packet packet = packet_of(i % 2 ? IPPROTO_TCP : IPPROTO_UDP, i);

		queue(setup, &packet, NULL, 0);
	}
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 1000);
	for (uint16_t i = 0; i < 1000; i++) {
		struct test_packet packet = packet_of(i % 2 ? IPPROTO_TCP : IPPROTO_UDP, i);
		const struct frame *frame = &setup->port.sent[i];

		assert_int_equal(frame_number(frame), i);
		assert_int_equal(setup_backend_of(frame), choice(setup, &packet));
	}
	assert_int_equal(setup->vip_counters[setup->vips[2].index].packets, 500);
	assert_int_equal(setup->vip_counters[setup->vips[3].index].packets, 500);
	assert_int_equal(setup->vip_counters[setup->vips[0].index].packets, 0);
}

/* The flow is found behind extension headers, and tracked as the same. */
static void test_extension_headers(void **state)
{
	static const struct test_extension extensions[8] = {
		{ IPPROTO_HOPOPTS, 0, 0 },  { IPPROTO_DSTOPTS, 3, 0 }, { IPPROTO_ROUTING, 1, 0 },
		{ IPPROTO_FRAGMENT, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 },
		{ IPPROTO_DSTOPTS, 0, 0 },  { IPPROTO_FRAGMENT, 0, 6 }
	};
	struct setup *setup = *state;

	for (uint32_t count = 0; count <= 8; count++) {
		for (uint16_t port = 0; port < 100; port++) {
			struct test_packet packet = packet_of(IPPROTO_TCP, port);

			queue(setup, &packet, extensions, count);
		}
	}
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 900);
	assert_int_equal(setup->connections.count, 100);
	assert_int_equal(setup->counters.lookups_miss, 100);
	assert_int_equal(setup->counters.lookups_hit, 800);
	for (uint32_t i = 100; i < 900; i++)
		assert_int_equal(setup_backend_of(&setup->port.sent[i]),
				 setup_backend_of(&setup->port.sent[i % 100]));
}

/* One frame; returns the reason for which it is dropped, or one of the below. */
#define FORWARDED    (DROP_REASON_COUNT + 0)
#define TO_SLOW_PATH (DROP_REASON_COUNT + 1)

static uint32_t outcome(struct setup *setup, const uint8_t *bytes, uint32_t length)
{
	struct counters before = setup->counters;
	uint32_t number = memory_port_queue(&setup->port, bytes, length, SETUP_HEADROOM);
	uint32_t result = DROP_REASON_COUNT + 2;

	setup_run(setup);
	if (setup->port.frames[number].owner == FRAME_SENT)
		result = FORWARDED;
	else if (setup->counters.slow_path == before.slow_path + 1)
		result = TO_SLOW_PATH;
	for (uint32_t reason = 0; reason < DROP_REASON_COUNT; reason++)
		if (setup->counters.dropped[reason] != before.dropped[reason])
			result = reason;
	memory_port_clear(&setup->port);
	return result;
}

static uint32_t outcome_of(struct setup *setup, const struct test_packet *packet,
			   const struct test_extension *extensions, uint32_t count)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build_ipv6(packet, extensions, count, buffer);

	return outcome(setup, buffer, length);
}

static void test_verdicts(void **state)
{
	static const struct test_extension fragment[] = { { IPPROTO_FRAGMENT, 0, 1 } };
	static const struct test_extension nine[9] = {
		{ IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 },
		{ IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 },
		{ IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_FRAGMENT, 0, 1 }
	};
	struct setup *setup = *state;
	struct test_packet packet = packet_of(IPPROTO_TCP, 1);
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length;

	assert_int_equal(outcome_of(setup, &packet, NULL, 0), FORWARDED);
	assert_int_equal(outcome_of(setup, &packet, fragment, 1), DROP_FRAGMENT);
	assert_int_equal(outcome_of(setup, &packet, nine, 8), FORWARDED);
	assert_int_equal(outcome_of(setup, &packet, nine, 9), DROP_IPV6_EXTENSION);
	length = test_build_ipv6(&packet, NULL, 0, buffer);
	assert_int_equal(outcome(setup, buffer, 53), DROP_IPV6_TRUNCATED);
	assert_int_equal(outcome(setup, buffer, length - 1), DROP_IPV6_LENGTH);
	buffer[14 + 40 + 12] = 0x40;
	assert_int_equal(outcome(setup, buffer, length), DROP_TCP_HEADER);
	buffer[14] = 0x40;
	assert_int_equal(outcome(setup, buffer, length), DROP_IPV6_HEADER);

	packet.destination_port = 81;
	assert_int_equal(outcome_of(setup, &packet, NULL, 0), TO_SLOW_PATH);
	packet = packet_of(132, 1);
	assert_int_equal(outcome_of(setup, &packet, NULL, 0), TO_SLOW_PATH);
	assert_int_equal(outcome_of(setup, &packet, nine, 8), TO_SLOW_PATH);
	packet = packet_of(IPPROTO_TCP, 1);
	packet.destination++;
	assert_int_equal(outcome_of(setup, &packet, NULL, 0), TO_SLOW_PATH);
	assert_int_equal(outcome_of(setup, &packet, fragment, 1), TO_SLOW_PATH);
	assert_int_equal(outcome_of(setup, &packet, nine, 9), TO_SLOW_PATH);
}

/* ::ffff:203.0.113.10 is not the IPv4 VIP, and no packet comes from such an address. */
static void test_mapped_addresses(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = packet_of(IPPROTO_TCP, 1);
	const struct address vip = address_from_ipv4(htonl(TEST_VIP));
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build_ipv6(&packet, NULL, 0, buffer);

	memcpy(buffer + 14 + 24, vip.bytes, 16);
	assert_int_equal(outcome(setup, buffer, length), TO_SLOW_PATH);
	length = test_build_ipv6(&packet, NULL, 0, buffer);
	memcpy(buffer + 14 + 8, vip.bytes, 16);
	assert_int_equal(outcome(setup, buffer, length), TO_SLOW_PATH);
	buffer[14 + 8 + 9] = 1;
	assert_int_equal(outcome(setup, buffer, length), FORWARDED);
	assert_int_equal(setup->connections.count, 1);
}

/* Each encapsulation with exactly the headroom that it takes, and with one byte less. */
static void test_headroom_and_mtu(void **state)
{
	static const struct {
		enum encapsulation encapsulation;
		bool is_ipv6;
		uint16_t overhead;
	} cases[] = { { ENCAPSULATION_GRE, false, 24 },	 { ENCAPSULATION_GRE, true, 44 },
		      { ENCAPSULATION_IPIP, false, 20 }, { ENCAPSULATION_IPIP, true, 40 },
		      { ENCAPSULATION_GUE, false, 32 },	 { ENCAPSULATION_GUE, true, 52 },
		      { ENCAPSULATION_L2, false, 0 },	 { ENCAPSULATION_L2, true, 0 } };
	struct setup *setup = *state;

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		uint64_t expected = setup->counters.forwarded.packets;

		for (uint32_t is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
			struct test_packet packet = packet_of(IPPROTO_UDP, 1);
			uint16_t overhead = cases[c].overhead;
			uint8_t buffer[TEST_FRAME_SIZE];
			uint32_t length = is_ipv6 ? test_build_ipv6(&packet, NULL, 0, buffer)
						  : test_build(&packet, buffer);

			for (uint16_t i = 1; i <= 4; i++) {
				setup->described[i].encapsulation = cases[c].encapsulation;
				setup->described[i].is_ipv6 = cases[c].is_ipv6;
				setup->described[i].mtu = (uint16_t)(length - 14 + overhead);
			}
			setup_publish(setup);
			memory_port_queue(&setup->port, buffer, length, overhead);
			setup_run(setup);
			assert_int_equal(setup->counters.forwarded.packets, ++expected);
			assert_int_equal(setup->port.sent[0].headroom, 0);
			assert_int_equal(setup->port.sent[0].length, length + overhead);
			memory_port_clear(&setup->port);
			if (overhead > 0) {
				memory_port_queue(&setup->port, buffer, length, overhead - 1u);
				setup_run(setup);
				assert_int_equal(setup->counters.dropped[DROP_NO_HEADROOM],
						 2 * c + is_ipv6 + 1);
				memory_port_clear(&setup->port);
			}
			for (uint16_t i = 1; i <= 4; i++)
				setup->described[i].mtu--;
			setup_publish(setup);
			/* A small IPv6 packet cannot be reported (RFC 2473 section 7.1); an IPv4
			 * one would be split. */
			if (is_ipv6)
				assert_int_equal(outcome(setup, buffer, length), DROP_EXCEEDS_MTU);
		}
	}
}

/* Both families in one batch: flows that differ in nothing else are two. */
static void test_both_families(void **state)
{
	struct setup *setup = *state;

	for (uint16_t i = 0; i < 300; i++) {
		struct test_packet packet = packet_of(IPPROTO_TCP, i / 3);

		if (i % 3 == 0)
			setup_queue(setup, &packet);
		else
			queue(setup, &packet, NULL, 0);
	}
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 300);
	assert_int_equal(setup->connections.count, 200);
	for (uint16_t i = 0; i < 300; i++) {
		struct test_packet packet = packet_of(IPPROTO_TCP, i / 3);

		assert_int_equal(setup_backend_of(&setup->port.sent[i]),
				 i % 3 == 0 ? setup_choice(setup, 0, &packet)
					    : choice(setup, &packet));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ipv6, setup_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_forwards_to_the_choice),
		TEST(test_extension_headers),
		TEST(test_verdicts),
		TEST(test_mapped_addresses),
		TEST(test_headroom_and_mtu),
		TEST(test_both_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
