/* SPDX-License-Identifier: BSD-2-Clause */
/* Parsing of IPv6 and its extension headers: every length, every order, and noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "packets.h"

#define IP ETHERNET_HEADER_LENGTH
#define L4 (IP + IPV6_HEADER_LENGTH)

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

static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT,
				 IPPROTO_DSTOPTS };

/* What parsing said of a frame. */
struct parsed {
	struct packet packet;
	enum packet_kind kind;
	bool is_walked, has_ports, is_right;
};

/* Parses a copy of the bytes that ends where its heap block ends, as the pipeline does. */
static struct parsed parse(const uint8_t *bytes, uint32_t length)
{
	uint8_t *copy = test_exact_copy(bytes, length);
	struct parsed parsed = { 0 };
	struct packet *packet = &parsed.packet;

	memset(packet, 0xa5, sizeof(*packet));
	packet->frame = (struct frame){ .data = copy, .length = length };
	parsed.kind = packet_parse(packet, test_own_mac);
	if (parsed.kind == PACKET_IPV6) {
		struct address destination = packet_destination(packet);

		assert_true(packet->is_ipv6);
		assert_memory_equal(destination.bytes, bytes + IP + 24, 16);
		assert_memory_equal(packet_ipv6_addresses(packet), bytes + IP + 8, 32);
		parsed.is_walked = packet_walk_extensions(packet);
		if ((uint32_t)packet->l3_offset + packet->l3_length > length ||
		    packet->l4_offset > packet->l3_offset + packet->l3_length)
			fail_msg("outside the frame");
		parsed.has_ports =
			parsed.is_walked && !packet->is_fragment &&
			(packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP) &&
			packet_parse_ports(packet);
		if (parsed.has_ports)
			parsed.is_right = packet_check_transport(packet);
	}
	if (length > 0 && memcmp(copy, bytes, length) != 0)
		fail_msg("parsing wrote to the frame");
	free(copy);
	packet->frame.data = NULL;
	return parsed;
}

static void test_fields(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	struct parsed parsed = parse(buffer, test_build_ipv6(&tcp, NULL, 0, buffer));
	const struct packet *packet = &parsed.packet;

	(void)state;
	assert_int_equal(parsed.kind, PACKET_IPV6);
	assert_true(parsed.is_walked && parsed.has_ports && parsed.is_right);
	assert_int_equal(packet->source_port_be, htons(tcp.source_port));
	assert_int_equal(packet->destination_port_be, htons(tcp.destination_port));
	assert_int_equal(packet->protocol, IPPROTO_TCP);
	assert_int_equal(packet->tcp_flags, tcp.tcp_flags);
	assert_int_equal(packet->traffic_class, tcp.traffic_class);
	assert_int_equal(packet->l3_offset, IP);
	assert_int_equal(packet->l4_offset, L4);
	assert_int_equal(packet->l3_length, 40 + 20 + 11);
	assert_false(packet->is_fragment);

	parsed = parse(buffer, test_build_ipv6(&udp, NULL, 0, buffer));
	assert_true(parsed.is_right);
	assert_int_equal(packet->protocol, IPPROTO_UDP);
	assert_int_equal(packet->tcp_flags, 0);
	assert_int_equal(packet->traffic_class, udp.traffic_class);
}

/* The frame cut off after each byte: the payload length then lies beyond it. */
static void test_frame_truncated(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (uint32_t count = 0; count <= 8; count++) {
		struct test_extension extensions[8];
		uint32_t full;

		for (uint32_t i = 0; i < count; i++)
			extensions[i] = (struct test_extension){ .kind = kinds[i % 4],
								 .length = (uint8_t)(i % 3) };
		full = test_build_ipv6(count % 2 ? &tcp : &udp, extensions, count, buffer);
		for (uint32_t length = 0; length <= full; length++) {
			struct parsed parsed = parse(buffer, length);

			assert_int_equal(parsed.kind,
					 length < full ? PACKET_MALFORMED : PACKET_IPV6);
			if (length < IP)
				assert_int_equal(parsed.packet.reason, DROP_ETHERNET_TRUNCATED);
			else if (length < L4)
				assert_int_equal(parsed.packet.reason, DROP_IPV6_TRUNCATED);
			else if (length < full)
				assert_int_equal(parsed.packet.reason, DROP_IPV6_LENGTH);
			else
				assert_true(parsed.is_right);
		}
	}
}

/* The packet cut off after each byte, with a payload length that agrees; then with padding. */
static void test_packet_truncated(void **state)
{
	static const struct test_extension extensions[] = { { IPPROTO_HOPOPTS, 1, 0 },
							    { IPPROTO_ROUTING, 0, 0 },
							    { IPPROTO_FRAGMENT, 0, 0 },
							    { IPPROTO_DSTOPTS, 2, 0 } };
	const uint32_t transport = L4 + 16 + 8 + 8 + 24;
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (uint32_t is_udp = 0; is_udp < 2; is_udp++) {
		uint32_t full = test_build_ipv6(is_udp ? &udp : &tcp, extensions, 4, buffer);

		for (uint32_t length = L4; length <= full; length++) {
			for (uint32_t padding = 0; padding <= 30; padding += 30) {
				uint32_t frame = length + padding < full ? length + padding : full;
				struct parsed parsed;

				test_store16(buffer + IP + 4, length - L4);
				parsed = parse(buffer, frame);
				if (length == L4) {
					/* Without payload a hop-by-hop header means a jumbogram. */
					assert_int_equal(parsed.kind, PACKET_MALFORMED);
					assert_int_equal(parsed.packet.reason, DROP_IPV6_LENGTH);
					continue;
				}
				assert_int_equal(parsed.kind, PACKET_IPV6);
				assert_int_equal(parsed.is_walked, length >= transport);
				if (!parsed.is_walked)
					assert_int_equal(parsed.packet.reason, DROP_IPV6_EXTENSION);
				assert_int_equal(parsed.has_ports, length >= transport + 8);
				assert_int_equal(parsed.is_right,
						 is_udp ? length == full
							: length >= transport + 20);
			}
		}
	}
}

static void test_header_fields(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t full = test_build_ipv6(&udp, NULL, 0, buffer);

	(void)state;
	for (uint32_t version = 0; version < 16; version++) {
		struct parsed parsed;

		buffer[IP] = (uint8_t)(version << 4 | (buffer[IP] & 0x0f));
		parsed = parse(buffer, full);
		assert_int_equal(parsed.kind, version == 6 ? PACKET_IPV6 : PACKET_MALFORMED);
		if (version != 6)
			assert_int_equal(parsed.packet.reason, DROP_IPV6_HEADER);
	}
	test_build_ipv6(&udp, NULL, 0, buffer);
	for (uint32_t length = 0; length <= UINT16_MAX; length++) {
		struct packet packet = { .frame = { .data = buffer, .length = full } };
		bool is_right = length <= full - L4;

		test_store16(buffer + IP + 4, length);
		if (packet_parse(&packet, test_own_mac) !=
			    (is_right ? PACKET_IPV6 : PACKET_MALFORMED) ||
		    (is_right ? packet.l3_length != length + 40
			      : packet.reason != DROP_IPV6_LENGTH))
			fail_msg("payload length %u", length);
	}
	for (uint32_t class = 0; class < 256; class ++) {
		struct test_packet template = udp;
		struct parsed parsed;

		template.traffic_class = (uint8_t) class;
		parsed = parse(buffer, test_build_ipv6(&template, NULL, 0, buffer));
		assert_int_equal(parsed.packet.traffic_class, class);
	}
}

/* The largest payload that a frame can have, in a block of that size; one byte more is refused. */
static void test_largest(void **state)
{
	uint8_t *frame = calloc(1, 14 + 40 + 65535);
	struct packet packet = { .frame = { .data = frame, .length = 14 + 40 + 65535 } };

	(void)state;
	assert_non_null(frame);
	test_build_ipv6(&udp, NULL, 0, frame);
	test_store16(frame + IP + 4, 65495);
	assert_int_equal(packet_parse(&packet, test_own_mac), PACKET_IPV6);
	assert_int_equal(packet.l3_length, 65535);
	assert_true(packet_walk_extensions(&packet));
	test_store16(frame + IP + 4, 65496);
	assert_int_equal(packet_parse(&packet, test_own_mac), PACKET_MALFORMED);
	assert_int_equal(packet.reason, DROP_IPV6_LENGTH);
	free(frame);
}

/* Every chain of up to four headers; up to eight are walked and no more. */
static void test_chains(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (uint32_t count = 1; count <= 4; count++) {
		for (uint32_t order = 0; order < 1u << 2 * count; order++) {
			struct test_extension extensions[4] = { 0 };
			struct parsed parsed;

			for (uint32_t i = 0; i < count; i++)
				extensions[i].kind = kinds[order >> 2 * i & 3];
			parsed = parse(buffer, test_build_ipv6(&tcp, extensions, count, buffer));
			assert_true(parsed.is_walked && parsed.is_right);
			assert_int_equal(parsed.packet.l4_offset, L4 + 8 * count);
			assert_int_equal(parsed.packet.destination_port_be, htons(443));
		}
	}
	for (uint32_t count = 0; count <= 12; count++) {
		for (uint32_t kind = 0; kind < 4; kind++) {
			struct test_extension extensions[12] = { 0 };
			struct parsed parsed;

			for (uint32_t i = 0; i < count; i++)
				extensions[i].kind = kinds[kind];
			parsed = parse(buffer, test_build_ipv6(&udp, extensions, count, buffer));
			assert_int_equal(parsed.is_walked, count <= 8);
			assert_int_equal(parsed.is_right, count <= 8);
			/* The ninth is not looked at. */
			assert_int_equal(parsed.packet.l4_offset, L4 + 8 * (count < 8 ? count : 8));
			if (count > 8)
				assert_int_equal(parsed.packet.reason, DROP_IPV6_EXTENSION);
		}
	}
}

static void test_fragments(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];

	(void)state;
	for (uint32_t field = 0; field <= UINT16_MAX; field += field < 64 ? 1 : 61) {
		struct test_extension extensions[9] = { 0 };
		/* Two reserved bits between offset and M. */
		bool is_fragment = field != 0 && field != 2 && field != 4 && field != 6;
		struct parsed parsed;

		for (uint32_t i = 0; i < 8; i++)
			extensions[i].kind = IPPROTO_DSTOPTS;
		extensions[7] = (struct test_extension){ IPPROTO_FRAGMENT, 0, (uint16_t)field };
		parsed = parse(buffer, test_build_ipv6(&tcp, extensions, 8, buffer));
		assert_true(parsed.is_walked);
		assert_int_equal(parsed.packet.is_fragment, is_fragment);
		assert_int_equal(parsed.packet.protocol, IPPROTO_TCP);
		assert_int_equal(parsed.is_right, !is_fragment);

		/* As the ninth it is one header too many, whatever it is. */
		extensions[8] = extensions[7];
		extensions[7].kind = IPPROTO_ROUTING;
		parsed = parse(buffer, test_build_ipv6(&tcp, extensions, 9, buffer));
		assert_false(parsed.is_walked);
		assert_false(parsed.packet.is_fragment);
	}
}

/* Every protocol number: those of the four kinds are walked, all others end the walk. */
static void test_protocols(void **state)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t full = test_build_ipv6(&udp, NULL, 0, buffer);

	(void)state;
	for (uint32_t protocol = 0; protocol < 256; protocol++) {
		struct parsed parsed;
		bool is_extension = false;

		for (uint32_t i = 0; i < 4; i++)
			is_extension |= protocol == kinds[i];
		buffer[IP + 6] = (uint8_t)protocol;
		memset(buffer + L4, 0, 4);
		buffer[L4] = IPPROTO_NONE;
		parsed = parse(buffer, full);
		assert_true(parsed.is_walked);
		assert_int_equal(parsed.packet.protocol, is_extension ? IPPROTO_NONE : protocol);
		assert_int_equal(parsed.packet.l4_offset, is_extension ? L4 + 8 : L4);
	}
}

/* Random chains in blocks of exactly their size; a walk of our own says where they end. */
static void test_random_chains(void **state)
{
	uint64_t random = 21;
	uint32_t walked = 0, refused = 0, fragments = 0;

	(void)state;
	for (uint32_t run = 0; run < 1000000; run++) {
		uint8_t buffer[TEST_FRAME_SIZE];
		uint32_t length = L4 + test_random_below(&random, 120);
		uint32_t offset = L4, count = 0;
		bool is_whole = true, is_fragment = false;
		struct parsed parsed;
		uint8_t next;

		for (uint32_t i = 0; i < length; i += 8) {
			uint64_t noise = test_random(&random);

			memcpy(buffer + i, &noise, sizeof(noise));
		}
		memcpy(buffer, test_own_mac, 6);
		test_store16(buffer + 12, 0x86dd);
		buffer[IP] = 0x60;
		test_store16(buffer + IP + 4, length - L4);
		/* Headers every 8 bytes, most of them short and of a kind that is walked. */
		buffer[IP + 6] = kinds[test_random_below(&random, 4)];
		for (uint32_t i = L4; i + 4 <= length; i += 8) {
			uint32_t choice = test_random_below(&random, 16);

			buffer[i] = choice < 11 ? kinds[choice % 4] : choice == 11 ? 6 : 17;
			buffer[i + 1] = choice % 5 == 4 ? (uint8_t)choice / 4 : 0;
			if (choice > 1)
				test_store16(buffer + i + 2, 0);
		}
		parsed = parse(buffer, length);
		if (length == L4 && buffer[IP + 6] == IPPROTO_HOPOPTS) {
			assert_int_equal(parsed.kind, PACKET_MALFORMED);
			continue;
		}
		assert_int_equal(parsed.kind, PACKET_IPV6);
		for (next = buffer[IP + 6]; memchr(kinds, next, 4) != NULL && !is_fragment;
		     count++) {
			uint32_t size = next == IPPROTO_FRAGMENT ? 8 : 0;

			if (count == 8 || offset + 8 > length) {
				is_whole = false;
				break;
			}
			if (next == IPPROTO_FRAGMENT)
				is_fragment = test_load16(buffer + offset + 2) % 2 != 0 ||
					      test_load16(buffer + offset + 2) / 8 != 0;
			else
				size = 8 + buffer[offset + 1] * 8u;
			if (offset + size > length) {
				is_whole = false;
				break;
			}
			next = buffer[offset];
			offset += is_fragment ? 0 : size;
		}
		if (parsed.is_walked != is_whole ||
		    (is_whole &&
		     (parsed.packet.is_fragment != is_fragment || parsed.packet.protocol != next ||
		      parsed.packet.l4_offset != offset)))
			fail_msg("run %u: wrong end of the chain", run);
		walked += is_whole && !is_fragment;
		refused += !is_whole;
		fragments += is_fragment;
	}
	assert_in_range(walked, 100000, 1000000);
	assert_in_range(refused, 100000, 1000000);
	assert_in_range(fragments, 50000, 1000000);
}

/* Noise behind the EtherType. */
static void test_random_bytes(void **state)
{
	uint64_t random = 22;
	uint32_t parsed_count = 0;

	(void)state;
	for (uint32_t run = 0; run < 300000; run++) {
		uint8_t buffer[TEST_FRAME_SIZE];
		uint32_t length = 14 + test_random_below(&random, 100);
		struct parsed parsed;

		for (uint32_t i = 0; i < length; i += 8) {
			uint64_t noise = test_random(&random);

			memcpy(buffer + i, &noise, sizeof(noise));
		}
		memcpy(buffer, test_own_mac, 6);
		test_store16(buffer + 12, 0x86dd);
		if (run % 4 != 0)
			buffer[IP] = 0x60;
		if (run % 2 != 0)
			test_store16(buffer + IP + 4, test_random_below(&random, 60));
		parsed = parse(buffer, length);
		parsed_count += parsed.kind == PACKET_IPV6;
		if (parsed.kind == PACKET_MALFORMED &&
		    (parsed.packet.reason < DROP_IPV6_TRUNCATED ||
		     parsed.packet.reason > DROP_IPV6_LENGTH))
			fail_msg("run %u: no reason of IPv6", run);
	}
	assert_true(parsed_count > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),		 cmocka_unit_test(test_frame_truncated),
		cmocka_unit_test(test_packet_truncated), cmocka_unit_test(test_header_fields),
		cmocka_unit_test(test_largest),		 cmocka_unit_test(test_chains),
		cmocka_unit_test(test_fragments),	 cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_random_chains),	 cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
