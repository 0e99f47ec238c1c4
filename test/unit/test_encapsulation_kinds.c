/* SPDX-License-Identifier: BSD-2-Clause */
/* Every encapsulation, outer and inner family: header bytes, headroom, MTU, lengths, checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/encapsulation.h>

#include "packets.h"

#define HEADROOM  256
#define ADDRESS	  UINT64_C(0x12345000)
#define HASH	  UINT64_C(0xfedcba9876543210) /* its port: 0xc000 | 0x3654 */
#define UNTOUCHED 0x5a

/* Outer headers for 71 bytes of IPv4 or 79 of IPv6 with the class 0xb9, Ethernet not included. */
struct kind {
	enum encapsulation encapsulation;
	bool is_ipv6;
	bool udp_checksum;
	uint8_t overhead;
	uint8_t inside_ipv4[52];
	uint8_t inside_ipv6[52];
};

#define SOURCE4	     0x0a, 0x00, 0x00, 0x05
#define DESTINATION4 0x0a, 0x01, 0x00, 0x0b
#define SOURCE6	     0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5
#define DESTINATION6 0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b
#define OUTER4(length, protocol, sum)                                                        \
	0x45, 0xb9, 0, length, 0, 0, 0x40, 0, 64, protocol, (sum) >> 8, (sum)&0xff, SOURCE4, \
		DESTINATION4
#define OUTER6(length, next) 0x6b, 0x90, 0, 0, 0, length, next, 64, SOURCE6, DESTINATION6
#define GUE(length, sum, protocol) \
	0xf6, 0x54, 0x17, 0xc0, 0, length, (sum) >> 8, (sum)&0xff, 0, protocol, 0, 0

/* The inner packets: 20 or 40 bytes of IP, 20 of TCP, 31 or 19 of payload. */
static const struct kind kinds[] = {
	{ ENCAPSULATION_GRE,
	  false,
	  false,
	  24,
	  { OUTER4(95, 47, 0x25a7), 0, 0, 8, 0 },
	  { OUTER4(103, 47, 0x259f), 0, 0, 0x86, 0xdd } },
	{ ENCAPSULATION_GRE,
	  true,
	  false,
	  44,
	  { OUTER6(75, 47), 0, 0, 8, 0 },
	  { OUTER6(83, 47), 0, 0, 0x86, 0xdd } },
	{ ENCAPSULATION_IPIP,
	  false,
	  false,
	  20,
	  { OUTER4(91, 4, 0x25d6) },
	  { OUTER4(99, 41, 0x25a9) } },
	{ ENCAPSULATION_IPIP, true, false, 40, { OUTER6(71, 4) }, { OUTER6(79, 41) } },
	{ ENCAPSULATION_GUE,
	  false,
	  false,
	  32,
	  { OUTER4(103, 17, 0x25bd), GUE(83, 0, 4) },
	  { OUTER4(111, 17, 0x25b5), GUE(91, 0, 41) } },
	{ ENCAPSULATION_GUE,
	  true,
	  false,
	  52,
	  { OUTER6(83, 17), GUE(83, 0, 4) },
	  { OUTER6(91, 17), GUE(91, 0, 41) } },
	{ ENCAPSULATION_L2, false, false, 0, { 0 }, { 0 } },
	{ ENCAPSULATION_L2, true, false, 0, { 0 }, { 0 } },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct destination prepare(const struct kind *kind, uint32_t mtu)
{
	struct destination destination = { .generation = 11, .pool = 12 };
	struct encapsulation_path path = {
		.encapsulation = kind->encapsulation,
		.source = address_from_ipv4(htonl(0x0a000005)),
		.destination = address_from_ipv4(htonl(0x0a01000b)),
		.mtu = mtu,
		.udp_checksum = kind->udp_checksum,
	};

	if (kind->is_ipv6) {
		path.source = (struct address){ .bytes = { SOURCE6 } };
		path.destination = (struct address){ .bytes = { DESTINATION6 } };
	}
	memcpy(path.source_mac, test_own_mac, 6);
	memcpy(path.next_hop_mac, test_peer_mac, 6);
	encapsulation_prepare(&destination, &path);
	return destination;
}

/* A frame in a heap block that holds just the headroom and the frame. */
struct block {
	uint8_t *memory;
	uint32_t headroom;
	uint32_t length;
	struct packet packet;
};

static struct block new_block(bool is_ipv6, uint16_t payload, uint32_t headroom)
{
	const struct test_packet template = { .source = 0xc6336407,
					      .destination = 0xcb00710a,
					      .source_port = 40000,
					      .destination_port = 80,
					      .protocol = IPPROTO_TCP,
					      .traffic_class = 0xb9,
					      .payload = payload };
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = is_ipv6 ? test_build_ipv6(&template, NULL, 0, buffer)
				  : test_build(&template, buffer);
	struct block block = { .memory = malloc(headroom + length),
			       .headroom = headroom,
			       .length = length };

	assert_non_null(block.memory);
	memset(block.memory, UNTOUCHED, headroom);
	memcpy(block.memory + headroom, buffer, length);
	block.packet.frame = (struct frame){ .data = block.memory + headroom,
					     .address = ADDRESS + headroom,
					     .length = length,
					     .headroom = headroom };
	assert_int_equal(packet_parse(&block.packet, test_own_mac),
			 is_ipv6 ? PACKET_IPV6 : PACKET_IPV4);
	block.packet.hash = HASH;
	return block;
}

/* Applies it; the inner packet must be as it was, at the end of the frame, and found there. */
static void apply(struct block *block, const struct destination *destination, uint32_t overhead)
{
	const uint8_t *inner = block->memory + block->headroom + 14;
	uint8_t *before = test_exact_copy(inner, block->length - 14);
	const struct frame *frame = &block->packet.frame;
	const uint8_t *l4 = frame->data + block->packet.l4_offset;

	assert_true(encapsulation_apply(&block->packet, destination));
	assert_int_equal(frame->length, block->length + overhead);
	assert_int_equal(frame->headroom, block->headroom - overhead);
	assert_int_equal(frame->address, ADDRESS + block->headroom - overhead);
	assert_ptr_equal(frame->data, block->memory + block->headroom - overhead);
	assert_int_equal(block->packet.l3_offset, 14 + overhead);
	assert_ptr_equal(frame->data + block->packet.l4_offset, l4);
	assert_memory_equal(inner, before, block->length - 14);
	for (uint32_t i = 0; i < frame->headroom; i++)
		assert_int_equal(block->memory[i], UNTOUCHED);
	free(before);
}

static void test_header_bytes(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct destination destination = prepare(&kinds[k], 1500);
		uint32_t overhead = kinds[k].overhead;

		assert_int_equal(encapsulation_overhead(kinds[k].encapsulation, kinds[k].is_ipv6),
				 overhead);
		assert_int_equal(destination.header_length, 14 + overhead);
		assert_int_equal(destination.packet_limit, 1500 - overhead);
		assert_int_equal(destination.state, DESTINATION_READY);
		assert_int_equal(destination.generation, 11);
		assert_int_equal(destination.pool, 12);
		for (uint32_t is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
			struct block block = new_block(is_ipv6, is_ipv6 ? 19 : 31, HEADROOM);
			const uint8_t *data;
			bool outer_ipv6 = overhead > 0 ? kinds[k].is_ipv6 : is_ipv6;

			apply(&block, &destination, overhead);
			data = block.packet.frame.data;
			assert_memory_equal(data, test_peer_mac, 6);
			assert_memory_equal(data + 6, test_own_mac, 6);
			assert_int_equal(test_load16(data + 12), outer_ipv6 ? 0x86dd : 0x0800);
			assert_memory_equal(data + 14,
					    is_ipv6 ? kinds[k].inside_ipv6 : kinds[k].inside_ipv4,
					    overhead);
			free(block.memory);
		}
	}
}

/* Exactly the headroom that it takes, and every byte less. */
static void test_headroom(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct destination destination = prepare(&kinds[k], 1500);

		for (uint32_t headroom = 0; headroom <= kinds[k].overhead; headroom++) {
			struct block block = new_block(headroom % 2, 30, headroom);
			uint8_t *before = test_exact_copy(block.memory, headroom + block.length);
			struct packet packet = block.packet;

			if (headroom == kinds[k].overhead) {
				apply(&block, &destination, headroom);
			} else {
				packet.reason = DROP_NO_HEADROOM;
				assert_false(encapsulation_apply(&block.packet, &destination));
				assert_memory_equal(&block.packet, &packet, sizeof(packet));
				assert_memory_equal(block.memory, before, headroom + block.length);
			}
			free(before);
			free(block.memory);
		}
	}
}

static void test_mtu(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		uint32_t overhead = kinds[k].overhead;

		for (uint32_t is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
			uint32_t inner = (is_ipv6 ? 60 : 40) + 30;

			for (uint32_t mtu = 0; mtu < 200; mtu++) {
				struct destination destination = prepare(&kinds[k], mtu);
				struct block block = new_block(is_ipv6, 30, HEADROOM);
				struct packet packet = block.packet;

				if (mtu >= inner + overhead) {
					apply(&block, &destination, overhead);
				} else {
					packet.reason = DROP_EXCEEDS_MTU;
					assert_false(
						encapsulation_apply(&block.packet, &destination));
					assert_memory_equal(&block.packet, &packet, sizeof(packet));
				}
				free(block.memory);
			}
		}
		for (uint32_t mtu = 65535; mtu < 65538; mtu++)
			assert_int_equal(prepare(&kinds[k], mtu).packet_limit, 65535 - overhead);
		assert_int_equal(prepare(&kinds[k], UINT32_MAX).packet_limit, 65535 - overhead);
	}
}

/* The length fields and the IPv4 checksum for every length; the inner packet is not read. */
static void test_all_lengths(void **state)
{
	uint8_t memory[HEADROOM + 64] = { 0 };
	uint64_t random = 23;

	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct destination destination = prepare(&kinds[k], UINT32_MAX);
		uint32_t overhead = kinds[k].overhead;

		if (kinds[k].encapsulation == ENCAPSULATION_L2)
			continue;
		for (uint32_t length = 0; length <= 65535 - overhead; length++) {
			struct packet packet = {
				.frame = { .data = memory + HEADROOM, .headroom = HEADROOM },
				.hash = test_random(&random),
				.l3_offset = 14,
				.l3_length = (uint16_t)length,
				.traffic_class = (uint8_t)test_random(&random),
				.is_ipv6 = length % 3 == 0,
			};
			const uint8_t *outer;
			bool is_right;

			if (!encapsulation_apply(&packet, &destination))
				fail_msg("length %u is refused", length);
			outer = packet.frame.data + 14;
			is_right = packet.frame.length == 14 + overhead + length;
			if (kinds[k].is_ipv6)
				is_right =
					is_right &&
					test_load16(outer + 4) == length + overhead - 40 &&
					test_load16(outer) >> 4 == (0x600 | packet.traffic_class);
			else
				is_right = is_right &&
					   test_load16(outer + 2) == length + overhead &&
					   test_checksum(outer, 20) == 0 &&
					   outer[1] == packet.traffic_class;
			if (kinds[k].encapsulation == ENCAPSULATION_GUE)
				is_right = is_right &&
					   test_load16(outer + overhead - 8) == length + 12 &&
					   test_load16(outer + overhead - 12) ==
						   (0xc000 | (packet.hash >> 16 & 0x3fff));
			if (!is_right)
				fail_msg("kind %zu, length %u: wrong header", k, length);
		}
	}
}

/* The sum over pseudo-header and datagram is right, odd lengths included, and never 0. */
static void test_udp_checksum(void **state)
{
	uint64_t random = 24;

	(void)state;
	for (uint32_t run = 0; run < 40000; run++) {
		const struct kind kind = { .encapsulation = ENCAPSULATION_GUE,
					   .is_ipv6 = run % 2,
					   .udp_checksum = true };
		struct destination destination = prepare(&kind, 9000);
		uint32_t overhead = run % 2 ? 52 : 32, addresses = run % 2 ? 32 : 8;
		uint16_t payload = (uint16_t)test_random_below(&random, 200);
		struct block block = new_block(run % 4 < 2, payload, overhead);
		uint8_t pseudo[32 + 4 + 12 + 280 + 1] = { 0 };
		const uint8_t *udp;
		uint32_t length;

		block.packet.hash = test_random(&random);
		block.memory[overhead + block.length - 1] = (uint8_t)test_random(&random);
		apply(&block, &destination, overhead);
		udp = block.packet.frame.data + 14 + overhead - 12;
		length = test_load16(udp + 4);
		assert_int_equal(length, block.packet.frame.length - 14 - overhead + 12);
		memcpy(pseudo, udp - addresses, addresses);
		test_store16(pseudo + addresses, length);
		test_store16(pseudo + addresses + 2, IPPROTO_UDP);
		memcpy(pseudo + addresses + 4, udp, length);
		if (test_checksum(pseudo, (addresses + 4 + length + 1) & ~1u) != 0 ||
		    test_load16(udp + 6) == 0)
			fail_msg("run %u: wrong UDP checksum", run);
		free(block.memory);
	}
}

/* A backend that changes its kind leaves nothing of the old one. */
static void test_prepared_anew(void **state)
{
	(void)state;
	for (size_t a = 0; a < KINDS; a++) {
		for (size_t b = 0; b < KINDS; b++) {
			struct destination reused = prepare(&kinds[a], 1500);
			struct destination fresh = prepare(&kinds[b], 9000);
			struct encapsulation_path path = {
				.encapsulation = kinds[b].encapsulation,
				.source = address_from_ipv4(htonl(0x0a000005)),
				.destination = address_from_ipv4(htonl(0x0a01000b)),
				.mtu = 9000,
			};

			if (kinds[b].is_ipv6) {
				path.source = (struct address){ .bytes = { SOURCE6 } };
				path.destination = (struct address){ .bytes = { DESTINATION6 } };
			}
			memcpy(path.source_mac, test_own_mac, 6);
			memcpy(path.next_hop_mac, test_peer_mac, 6);
			encapsulation_prepare(&reused, &path);
			assert_memory_equal(reused.header, fresh.header, sizeof(fresh.header));
			assert_int_equal(reused.checksum, fresh.checksum);
			assert_int_equal(reused.is_ipv6, fresh.is_ipv6);
			assert_int_equal(reused.packet_limit, fresh.packet_limit);
			assert_int_equal(reused.kind, fresh.kind);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_bytes), cmocka_unit_test(test_headroom),
		cmocka_unit_test(test_mtu),	     cmocka_unit_test(test_all_lengths),
		cmocka_unit_test(test_udp_checksum), cmocka_unit_test(test_prepared_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
