/* SPDX-License-Identifier: BSD-2-Clause */
/* Parsing of frames: every field, every length, every malformation, and noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "packets.h"

#define IP  ETHERNET_HEADER_LENGTH
#define TCP (IP + IPV4_HEADER_LENGTH)

static const struct test_packet tcp = {
	.source = 0xc6336407,
	.destination = 0xcb00710a,
	.source_port = 40000,
	.destination_port = 443,
	.protocol = IPPROTO_TCP,
	.tcp_flags = TCP_FLAG_SYN | TCP_FLAG_ACK,
	.traffic_class = 0xb9,
	.payload = 11,
};

static const struct test_packet udp = {
	.source = 0xc6336407,
	.destination = 0xcb00710a,
	.source_port = 40000,
	.destination_port = 53,
	.protocol = IPPROTO_UDP,
	.traffic_class = 0x02,
	.payload = 11,
};

/* Parses a copy of the bytes that ends where its heap block ends; checks that none changed. */
static enum packet_kind parse(const uint8_t *bytes, uint32_t length, struct packet *packet)
{
	uint8_t *copy = test_exact_copy(bytes, length);
	enum packet_kind kind;

	memset(packet, 0xa5, sizeof(*packet));
	packet->frame = (struct frame){ .data = copy, .length = length };
	kind = packet_parse(packet, test_own_mac);
	if (kind == PACKET_IPV4) {
		if (!packet->is_fragment && packet_parse_ports(packet))
			(void)packet_check_transport(packet);
		else
			(void)packet_parse_ports(packet);
	}
	if (length > 0 && memcmp(copy, bytes, length) != 0)
		fail_msg("parsing wrote to the frame");
	free(copy);
	packet->frame.data = NULL;
	return kind;
}

/* The verdict of packet_check_transport on a copy of the bytes. */
static bool check_transport(const uint8_t *bytes, uint32_t length, struct packet *packet)
{
	uint8_t *copy = test_exact_copy(bytes, length);
	bool result;

	memset(packet, 0xa5, sizeof(*packet));
	packet->frame = (struct frame){ .data = copy, .length = length };
	assert_int_equal(packet_parse(packet, test_own_mac), PACKET_IPV4);
	(void)packet_parse_ports(packet);
	result = packet_check_transport(packet);
	free(copy);
	return result;
}

static void test_layout(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct packet), 64);
}

static void test_fields(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	struct packet packet;
	uint32_t length = test_build(&tcp, buffer);

	(void)state;
	assert_int_equal(parse(buffer, length, &packet), PACKET_IPV4);
	assert_int_equal(packet.source_be, htonl(tcp.source));
	assert_int_equal(packet.destination_be, htonl(tcp.destination));
	assert_int_equal(packet.source_port_be, htons(tcp.source_port));
	assert_int_equal(packet.destination_port_be, htons(tcp.destination_port));
	assert_int_equal(packet.protocol, IPPROTO_TCP);
	assert_int_equal(packet.tcp_flags, tcp.tcp_flags);
	assert_int_equal(packet.traffic_class, tcp.traffic_class);
	assert_int_equal(packet.l3_offset, 14);
	assert_int_equal(packet.l4_offset, 34);
	assert_int_equal(packet.l3_length, 51);
	assert_false(packet.is_fragment);
	assert_int_equal(packet.frame.length, length);

	length = test_build(&udp, buffer);
	assert_int_equal(parse(buffer, length, &packet), PACKET_IPV4);
	assert_int_equal(packet.destination_port_be, htons(53));
	assert_int_equal(packet.protocol, IPPROTO_UDP);
	assert_int_equal(packet.tcp_flags, 0);
	assert_int_equal(packet.traffic_class, udp.traffic_class);
	assert_int_equal(packet.l3_length, 39);
}

/* The frame cut off after each byte: the IPv4 total length then lies beyond it. */
static void test_frame_truncated(void **state)
{
	const struct test_packet *templates[] = { &tcp, &udp };
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (uint32_t t = 0; t < 2; t++) {
		for (uint8_t words = 0; words <= 10; words++) {
			struct test_packet template = *templates[t];
			uint32_t header = IP + IPV4_HEADER_LENGTH + words * 4u;
			uint32_t full;

			template.option_words = words;
			full = test_build(&template, buffer);
			for (uint32_t length = 0; length <= full; length++) {
				struct packet packet;
				enum packet_kind kind = parse(buffer, length, &packet);

				assert_int_equal(kind,
						 length < full ? PACKET_MALFORMED : PACKET_IPV4);
				if (length < IP)
					assert_int_equal(packet.reason, DROP_ETHERNET_TRUNCATED);
				else if (length < header)
					assert_int_equal(packet.reason, DROP_IPV4_TRUNCATED);
				else if (length < full)
					assert_int_equal(packet.reason, DROP_IPV4_LENGTH);
			}
		}
	}
}

/* The IP packet cut off after each byte, with a total length that agrees. */
static void test_packet_truncated(void **state)
{
	const struct test_packet *templates[] = { &tcp, &udp };
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (uint32_t t = 0; t < 2; t++) {
		uint32_t full = test_build(templates[t], buffer);
		bool is_tcp = templates[t]->protocol == IPPROTO_TCP;

		for (uint32_t length = TCP; length <= full; length++) {
			uint32_t l4_length = length - TCP;
			struct packet packet;
			bool is_right;

			test_store16(buffer + IP + 2, length - IP);
			test_fix_checksum(buffer + IP);
			assert_int_equal(parse(buffer, length, &packet), PACKET_IPV4);
			assert_int_equal(packet.destination_port_be,
					 l4_length < 8 ? 0 : htons(templates[t]->destination_port));
			assert_int_equal(packet.source_port_be,
					 l4_length < 8 ? 0 : htons(templates[t]->source_port));
			if (is_tcp)
				assert_int_equal(packet.tcp_flags,
						 l4_length < 14 ? 0 : templates[t]->tcp_flags);

			/* A UDP length beyond the packet is wrong until all of it is there. */
			is_right = is_tcp ? l4_length >= 20 : length == full;
			assert_int_equal(check_transport(buffer, length, &packet), is_right);
			if (!is_right)
				assert_int_equal(packet.reason,
						 is_tcp ? DROP_TCP_HEADER : DROP_UDP_HEADER);
		}
	}
}

static void test_ipv4_options(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (uint8_t words = 1; words <= 10; words++) {
		struct test_packet template = tcp;
		struct packet packet;
		uint32_t length;

		template.option_words = words;
		length = test_build(&template, buffer);
		assert_int_equal(parse(buffer, length, &packet), PACKET_IPV4);
		assert_int_equal(packet.l4_offset, TCP + words * 4);
		assert_int_equal(packet.l3_length, 51 + words * 4);
		assert_int_equal(packet.destination_port_be, htons(443));
		assert_int_equal(packet.tcp_flags, tcp.tcp_flags);
	}
}

static void test_padding_is_not_the_packet(void **state)
{
	struct test_packet template = { .protocol = IPPROTO_UDP, .padding = 18 };
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build(&template, buffer);
	struct packet packet;

	(void)state;
	assert_int_equal(parse(buffer, length, &packet), PACKET_IPV4);
	assert_int_equal(packet.l3_length, 28);
	assert_true(check_transport(buffer, length, &packet));

	/* Lengths that only the padding would satisfy. */
	test_store16(buffer + TCP + 4, 9);
	assert_false(check_transport(buffer, length, &packet));
	buffer[IP + 9] = IPPROTO_TCP;
	buffer[TCP + 12] = 5 << 4;
	test_fix_checksum(buffer + IP);
	assert_int_equal(parse(buffer, length, &packet), PACKET_IPV4);
	assert_int_equal(packet.tcp_flags, 0);
	assert_false(check_transport(buffer, length, &packet));
	assert_int_equal(packet.reason, DROP_TCP_HEADER);
}

static void test_ipv4_header_fields(void **state)
{
	static const struct {
		uint8_t version_and_length;
		uint16_t total_length;
		enum packet_kind kind;
		enum drop_reason reason;
	} cases[] = {
		{ 0x45, 51, PACKET_IPV4, 0 },
		{ 0x45, 20, PACKET_IPV4, 0 },
		{ 0x35, 51, PACKET_MALFORMED, DROP_IPV4_HEADER },
		{ 0x55, 51, PACKET_MALFORMED, DROP_IPV4_HEADER },
		{ 0x65, 51, PACKET_MALFORMED, DROP_IPV4_HEADER },
		{ 0x05, 51, PACKET_MALFORMED, DROP_IPV4_HEADER },
		{ 0x44, 51, PACKET_MALFORMED, DROP_IPV4_HEADER },
		{ 0x40, 51, PACKET_MALFORMED, DROP_IPV4_HEADER },
		{ 0x4d, 51, PACKET_MALFORMED, DROP_IPV4_TRUNCATED },
		{ 0x4c, 51, PACKET_IPV4, 0 },
		{ 0x4c, 47, PACKET_MALFORMED, DROP_IPV4_LENGTH },
		{ 0x4c, 48, PACKET_IPV4, 0 },
		{ 0x45, 52, PACKET_MALFORMED, DROP_IPV4_LENGTH },
		{ 0x45, 65535, PACKET_MALFORMED, DROP_IPV4_LENGTH },
		{ 0x45, 19, PACKET_MALFORMED, DROP_IPV4_LENGTH },
		/* What segmentation offload leaves behind when it is not turned off. */
		{ 0x45, 0, PACKET_MALFORMED, DROP_IPV4_LENGTH },
	};
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t length = test_build(&tcp, buffer);
		struct packet packet;

		buffer[IP] = cases[i].version_and_length;
		test_store16(buffer + IP + 2, cases[i].total_length);
		if (cases[i].kind == PACKET_IPV4)
			test_fix_checksum(buffer + IP);
		assert_int_equal(parse(buffer, length, &packet), cases[i].kind);
		if (cases[i].kind == PACKET_MALFORMED)
			assert_int_equal(packet.reason, cases[i].reason);
	}
}

/* A flipped bit anywhere in the header never goes unnoticed. */
static void test_ipv4_checksum(void **state)
{
	struct test_packet template = tcp;
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length, checksum_failures = 0;

	(void)state;
	template.option_words = 3;
	length = test_build(&template, buffer);
	for (uint32_t bit = 0; bit < 32 * 8; bit++) {
		struct packet packet;

		buffer[IP + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(parse(buffer, length, &packet), PACKET_MALFORMED);
		checksum_failures += packet.reason == DROP_IPV4_CHECKSUM;
		buffer[IP + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* All but version, header length and total length are told by the checksum alone. */
	assert_in_range(checksum_failures, 32 * 8 - 24, 32 * 8);
}

static void test_checksum_function(void **state)
{
	uint64_t random = 1;
	uint8_t bytes[62];

	(void)state;
	for (uint32_t run = 0; run < 20000; run++) {
		uint32_t length = test_random_below(&random, 31) * 2;
		uint32_t start = test_random_below(&random, 2);
		uint16_t checksum;
		uint8_t wire[2];

		for (uint32_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = run % 3 == 0 ? 0xff : (uint8_t)test_random(&random);
		checksum = packet_checksum(bytes + start, length);
		memcpy(wire, &checksum, 2);
		assert_int_equal(test_load16(wire), test_checksum(bytes + start, length));
	}
}

static void test_fragments(void **state)
{
	static const struct {
		uint16_t field;
		bool is_fragment;
	} cases[] = {
		{ 0x0000, false }, { 0x4000, false }, /* don't fragment */
		{ 0x8000, false },		      /* reserved */
		{ 0x2000, true },		      /* first */
		{ 0x2001, true },		      /* middle */
		{ 0x0001, true },  { 0x1fff, true },  /* last */
		{ 0x6000, true },  { 0x0100, true },
	};
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_packet template = udp;
		struct packet packet;
		uint32_t length;

		template.fragment = cases[i].field;
		length = test_build(&template, buffer);
		assert_int_equal(parse(buffer, length, &packet), PACKET_IPV4);
		assert_int_equal(packet.is_fragment, cases[i].is_fragment);
	}
	/* Each bit of flags and offset by itself: all but "don't fragment" and the reserved one. */
	for (uint32_t bit = 0; bit < 16; bit++) {
		struct test_packet template = udp;
		struct packet packet;
		uint32_t length;

		template.fragment = (uint16_t)(1 << bit);
		length = test_build(&template, buffer);
		assert_int_equal(parse(buffer, length, &packet), PACKET_IPV4);
		assert_int_equal(packet.is_fragment, bit < 14);
	}
}

static void test_destination_mac(void **state)
{
	static const struct {
		uint8_t mac[6];
		enum packet_kind kind, any;
	} cases[] = {
		{ { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 }, PACKET_IPV4, PACKET_IPV4 },
		{ { 0x02, 0x11, 0x22, 0x33, 0x44, 0x54 }, PACKET_OTHER, PACKET_IPV4 },
		{ { 0x02, 0x11, 0x22, 0x33, 0x45, 0x55 }, PACKET_OTHER, PACKET_IPV4 },
		{ { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55 }, PACKET_OTHER, PACKET_IPV4 },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, PACKET_OTHER, PACKET_OTHER },
		{ { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x12 }, PACKET_OTHER, PACKET_OTHER },
		{ { 0x03, 0x11, 0x22, 0x33, 0x44, 0x55 }, PACKET_OTHER, PACKET_OTHER },
	};
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build(&tcp, buffer);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet packet = { .frame = { .data = buffer, .length = length } };

		memcpy(buffer, cases[i].mac, 6);
		assert_int_equal(packet_parse(&packet, test_own_mac), cases[i].kind);
		assert_int_equal(packet_parse(&packet, NULL), cases[i].any);
	}
}

static void test_ethertypes(void **state)
{
	/* ARP, MPLS, LLDP, a length (802.3), nothing. */
	static const uint16_t others[] = { 0x0806, 0x8847, 0x88cc, 46, 0 };
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t full = test_build(&tcp, buffer);

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct packet packet;

		test_store16(buffer + 12, others[i]);
		for (uint32_t length = IP; length <= full; length++)
			assert_int_equal(parse(buffer, length, &packet), PACKET_OTHER);
	}
}

static void test_tcp_data_offset(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (uint16_t payload = 0; payload <= 44; payload++) {
		struct test_packet template = tcp;
		uint32_t length;

		template.payload = payload;
		length = test_build(&template, buffer);
		for (uint32_t offset = 0; offset < 16; offset++) {
			bool is_right = offset >= 5 && offset * 4 <= 20u + payload;
			struct packet packet;

			buffer[TCP + 12] = (uint8_t)(offset << 4 | 0x0f);
			assert_int_equal(check_transport(buffer, length, &packet), is_right);
			if (!is_right)
				assert_int_equal(packet.reason, DROP_TCP_HEADER);
		}
	}
}

static void test_udp_length(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build(&udp, buffer);

	(void)state;
	for (uint32_t stated = 0; stated <= UINT16_MAX; stated++) {
		/* Less than what IP carries is allowed: the rest is not the datagram's. */
		bool is_right = stated >= 8 && stated <= 19;
		struct packet packet = { .frame = { .data = buffer, .length = length } };

		test_store16(buffer + TCP + 4, stated);
		assert_int_equal(packet_parse(&packet, test_own_mac), PACKET_IPV4);
		assert_true(packet_parse_ports(&packet));
		if (packet_check_transport(&packet) != is_right ||
		    (!is_right && packet.reason != DROP_UDP_HEADER))
			fail_msg("UDP length %u", stated);
	}
}

/* Noise, and right frames with a little of it; whatever is taken for IPv4 lies within the frame. */
static void test_random_bytes(void **state)
{
	uint64_t random = 2;
	uint32_t kinds[3] = { 0 };

	(void)state;
	for (uint32_t run = 0; run < 1000000; run++) {
		uint8_t buffer[TEST_FRAME_SIZE];
		uint32_t length = test_random_below(&random, 100);
		struct packet packet;
		enum packet_kind kind;

		for (uint32_t i = 0; i < length; i += 8) {
			uint64_t noise = test_random(&random);

			memcpy(buffer + i, &noise, sizeof(noise));
		}
		if (run % 4 != 0) {
			memcpy(buffer, test_own_mac, 6);
			test_store16(buffer + 12, 0x0800);
			buffer[IP] = (uint8_t)(0x45 + (run % 16 == 1 ? buffer[IP] % 11 : 0));
			test_store16(buffer + IP + 2, test_random_below(&random, 100));
			buffer[IP + 9] = run % 8 < 4 ? IPPROTO_TCP : IPPROTO_UDP;
			if (run % 32 != 2)
				test_fix_checksum(buffer + IP);
		}
		kind = parse(buffer, length, &packet);
		kinds[kind]++;
		if (kind == PACKET_IPV4 &&
		    ((uint32_t)packet.l3_offset + packet.l3_length > length ||
		     packet.l4_offset > packet.l3_offset + packet.l3_length))
			fail_msg("run %u: outside the frame", run);
		if (kind == PACKET_MALFORMED && packet.reason >= DROP_REASON_COUNT)
			fail_msg("run %u: no reason", run);
	}
	for (int kind = 0; kind < 3; kind++)
		assert_true(kinds[kind] > 10000);
}

static void test_drop_reasons(void **state)
{
	(void)state;
	for (int i = 0; i < DROP_REASON_COUNT; i++) {
		assert_non_null(drop_reason_label((enum drop_reason)i));
		assert_non_null(drop_reason_explanation((enum drop_reason)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(drop_reason_label((enum drop_reason)i),
						drop_reason_label((enum drop_reason)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_frame_truncated),
		cmocka_unit_test(test_packet_truncated),
		cmocka_unit_test(test_ipv4_options),
		cmocka_unit_test(test_padding_is_not_the_packet),
		cmocka_unit_test(test_ipv4_header_fields),
		cmocka_unit_test(test_ipv4_checksum),
		cmocka_unit_test(test_checksum_function),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_destination_mac),
		cmocka_unit_test(test_ethertypes),
		cmocka_unit_test(test_tcp_data_offset),
		cmocka_unit_test(test_udp_length),
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_drop_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
