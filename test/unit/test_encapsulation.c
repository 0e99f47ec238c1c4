/* SPDX-License-Identifier: BSD-2-Clause */
/* Encapsulation: the outer frame byte by byte, and the inner packet as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/encapsulation.h>

#include "packets.h"

#define OUTER	  38 /* Ethernet, IPv4 and GRE headers */
#define HEADROOM  256
#define ADDRESS	  UINT64_C(0x12345000)
#define UNTOUCHED 0x5a

static const struct test_packet udp = {
	.source = 0xc6336407,
	.destination = 0xcb00710a,
	.source_port = 40000,
	.destination_port = 53,
	.protocol = IPPROTO_UDP,
	.payload = 10,
	.traffic_class = 0xb9,
};

/* A frame in a heap block that holds just the headroom and the frame. */
struct block {
	uint8_t *memory;
	uint32_t headroom;
	uint32_t length;
	struct packet packet;
};

static struct block new_block(const struct test_packet *template, uint32_t headroom)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build(template, buffer);
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
	assert_int_equal(packet_parse(&block.packet, test_own_mac), PACKET_IPV4);
	return block;
}

static struct destination new_destination(uint32_t mtu)
{
	struct destination destination = { .generation = 11, .pool = 12 };

	test_prepare_gre_ipv4(&destination, test_own_mac, test_peer_mac, htonl(0x0a000005),
			      htonl(0x0a01000b), mtu);
	return destination;
}

static void test_prepare(void **state)
{
	static const struct {
		uint32_t mtu;
		uint16_t limit;
	} cases[] = { { 1500, 1476 },	{ 9000, 8976 },
		      { 68, 44 },	{ 25, 1 },
		      { 24, 0 },	{ 23, 0 },
		      { 0, 0 },		{ 65535, 65511 },
		      { 65536, 65511 }, { UINT32_MAX, 65511 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct destination destination = new_destination(cases[i].mtu);

		assert_int_equal(destination.packet_limit, cases[i].limit);
		assert_int_equal(destination.header_length, OUTER);
		assert_int_equal(destination.state, DESTINATION_READY);
		assert_int_equal(destination.generation, 11);
		assert_int_equal(destination.pool, 12);
	}
	/* What a hit reads for IPv4 lies in the first cache line. */
	assert_in_range(offsetof(struct destination, header) + OUTER, 0, 64);
}

static void test_exact_bytes(void **state)
{
	static const uint8_t expected[OUTER] = { 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x02, 0x11,
						 0x22, 0x33, 0x44, 0x55, 0x08, 0x00, 0x45, 0xb9,
						 0x00, 0x3e, 0x00, 0x00, 0x40, 0x00, 0x40, 0x2f,
						 0x25, 0xc8, 0x0a, 0x00, 0x00, 0x05, 0x0a, 0x01,
						 0x00, 0x0b, 0x00, 0x00, 0x08, 0x00 };
	struct destination destination = new_destination(1500);
	struct block block = new_block(&udp, HEADROOM);
	const struct frame *frame = &block.packet.frame;
	uint8_t *inner = test_exact_copy(frame->data + 14, 38);

	(void)state;
	assert_true(encapsulation_apply(&block.packet, &destination));
	assert_ptr_equal(frame->data, block.memory + HEADROOM - 24);
	assert_int_equal(frame->address, ADDRESS + HEADROOM - 24);
	assert_int_equal(frame->headroom, HEADROOM - 24);
	assert_int_equal(frame->length, OUTER + 38);
	assert_memory_equal(frame->data, expected, OUTER);
	assert_memory_equal(frame->data + OUTER, inner, 38);
	for (uint32_t i = 0; i < HEADROOM - 24; i++)
		assert_int_equal(block.memory[i], UNTOUCHED);
	free(inner);
	free(block.memory);
}

/* What the packet says of its frame stays true: offsets count from the new start. */
static void test_offsets_follow(void **state)
{
	struct test_packet template = udp;
	struct destination destination = new_destination(1500);

	(void)state;
	for (uint8_t words = 0; words <= 10; words++) {
		struct block block;
		const uint8_t *l3, *l4;

		template.option_words = words;
		block = new_block(&template, HEADROOM);
		l3 = block.packet.frame.data + block.packet.l3_offset;
		l4 = block.packet.frame.data + block.packet.l4_offset;
		assert_true(encapsulation_apply(&block.packet, &destination));
		assert_ptr_equal(block.packet.frame.data + block.packet.l3_offset, l3);
		assert_ptr_equal(block.packet.frame.data + block.packet.l4_offset, l4);
		free(block.memory);
	}
}

/* DSCP and ECN, whatever they are, are copied (RFC 2983, RFC 6040), and the checksum is right. */
static void test_traffic_class(void **state)
{
	struct destination destination = new_destination(1500);

	(void)state;
	for (uint32_t value = 0; value < 256; value++) {
		struct test_packet template = udp;
		struct block block;

		template.traffic_class = (uint8_t)value;
		block = new_block(&template, HEADROOM);
		assert_true(encapsulation_apply(&block.packet, &destination));
		assert_int_equal(block.packet.frame.data[15], value);
		assert_int_equal(block.packet.frame.data[OUTER + 1], value);
		assert_int_equal(test_checksum(block.packet.frame.data + 14, 20), 0);
		free(block.memory);
	}
}

/*
 * The checksum for every length, class and many addresses. The inner packet is not read, so its
 * length is set rather than built.
 */
static void test_checksum_of_all_lengths(void **state)
{
	uint8_t memory[HEADROOM + 64] = { 0 };
	uint64_t random = 15;

	(void)state;
	for (uint32_t round = 0; round < 8; round++) {
		struct destination destination = { 0 };
		uint32_t source_be = (uint32_t)test_random(&random);
		uint32_t destination_be = (uint32_t)test_random(&random);

		if (round == 0)
			source_be = destination_be = UINT32_MAX;
		if (round == 1)
			source_be = destination_be = 0;
		test_prepare_gre_ipv4(&destination, test_own_mac, test_peer_mac, source_be,
				      destination_be, UINT32_MAX);
		for (uint32_t length = 0; length <= 65511; length++) {
			struct packet packet = {
				.frame = { .data = memory + HEADROOM, .headroom = HEADROOM },
				.l3_offset = 14,
				.l3_length = (uint16_t)length,
				.traffic_class = (uint8_t)test_random(&random),
			};
			const uint8_t *outer;

			if (!encapsulation_apply(&packet, &destination))
				fail_msg("length %u is refused", length);
			outer = packet.frame.data + 14;
			if (test_load16(outer + 2) != length + 24 ||
			    test_checksum(outer, 20) != 0 || outer[1] != packet.traffic_class ||
			    packet.frame.length != length + OUTER)
				fail_msg("length %u: wrong header", length);
		}
	}
}

static void test_padding_is_left_off(void **state)
{
	struct destination destination = new_destination(1500);

	(void)state;
	for (uint16_t padding = 0; padding <= 46; padding++) {
		struct test_packet template = udp;
		struct block block;

		template.padding = padding;
		block = new_block(&template, HEADROOM);
		assert_true(encapsulation_apply(&block.packet, &destination));
		assert_int_equal(block.packet.frame.length, OUTER + 38);
		free(block.memory);
	}
}

static void test_headroom(void **state)
{
	struct destination destination = new_destination(1500);

	(void)state;
	for (uint32_t headroom = 0; headroom <= 30; headroom++) {
		struct block block = new_block(&udp, headroom);
		uint8_t *before = test_exact_copy(block.memory, headroom + block.length);
		struct packet packet = block.packet;
		bool is_enough = headroom >= 24;

		assert_int_equal(encapsulation_apply(&block.packet, &destination), is_enough);
		if (is_enough) {
			assert_int_equal(block.packet.frame.headroom, headroom - 24);
			assert_ptr_equal(block.packet.frame.data, block.memory + headroom - 24);
			assert_memory_equal(block.memory + headroom + 14, before + headroom + 14,
					    block.length - 14);
		} else {
			assert_int_equal(block.packet.reason, DROP_NO_HEADROOM);
			assert_memory_equal(&block.packet.frame, &packet.frame,
					    sizeof(packet.frame));
			assert_int_equal(block.packet.l3_offset, packet.l3_offset);
			assert_memory_equal(block.memory, before, headroom + block.length);
		}
		free(before);
		free(block.memory);
	}
}

static void test_mtu(void **state)
{
	/* The inner packet has 38 bytes, the outer one 62. */
	for (uint32_t mtu = 0; mtu <= 70; mtu++) {
		struct destination destination = new_destination(mtu);
		struct block block = new_block(&udp, HEADROOM);
		uint8_t *before = test_exact_copy(block.memory, HEADROOM + block.length);
		struct packet packet = block.packet;

		(void)state;
		assert_int_equal(encapsulation_apply(&block.packet, &destination), mtu >= 62);
		if (mtu < 62) {
			assert_int_equal(block.packet.reason, DROP_EXCEEDS_MTU);
			assert_memory_equal(&block.packet.frame, &packet.frame,
					    sizeof(packet.frame));
			assert_memory_equal(block.memory, before, HEADROOM + block.length);
		}
		free(before);
		free(block.memory);
	}
}

/* A link header longer than what is written in front: the new frame then starts further behind. */
static void test_long_link_header(void **state)
{
	struct destination destination = new_destination(1500);

	(void)state;
	for (uint16_t offset = 14; offset <= 60; offset++) {
		struct block block = new_block(&udp, HEADROOM);
		const uint8_t *l3 = block.packet.frame.data + 14;

		/* As if the link header had started earlier. */
		block.packet.frame.data = block.memory + HEADROOM + 14 - offset;
		block.packet.frame.address = ADDRESS + HEADROOM + 14 - offset;
		block.packet.frame.headroom = HEADROOM + 14u - offset;
		block.packet.l3_offset = offset;
		assert_true(encapsulation_apply(&block.packet, &destination));
		assert_ptr_equal(block.packet.frame.data, l3 - OUTER);
		assert_int_equal(block.packet.frame.address, ADDRESS + HEADROOM + 14 - OUTER);
		assert_int_equal(block.packet.frame.headroom, HEADROOM + 14 - OUTER);
		assert_int_equal(block.packet.frame.length, OUTER + 38);
		free(block.memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepare),
		cmocka_unit_test(test_exact_bytes),
		cmocka_unit_test(test_offsets_follow),
		cmocka_unit_test(test_traffic_class),
		cmocka_unit_test(test_checksum_of_all_lengths),
		cmocka_unit_test(test_padding_is_left_off),
		cmocka_unit_test(test_headroom),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_long_link_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
