/* SPDX-License-Identifier: BSD-2-Clause */
/* What other load balancers of the cluster redirect: fragments in GRE with the recursion bit. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/decapsulation.h>

#include "packets.h"

#define OUTER	 ETHERNET_HEADER_LENGTH
#define SHIM	 (OUTER + IPV4_HEADER_LENGTH)
#define INNER	 (SHIM + 4)
#define MF	 0x2000
#define PAYLOAD	 24
#define PEER	 0x0a000006
#define SELF	 0x0a000005
#define STRANGER 0x0a000007

static const struct address peers[] = {
	{ .bytes = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 5 } },
	{ .bytes = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 6 } },
};
static const struct decapsulation cluster = {
	.peers = peers,
	.peer_count = 2,
	.self = { .bytes = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 5 } },
};

/* A packet in GRE from a peer to the load balancer; returns the frame's length. */
static uint32_t build(bool holds_ipv6, bool is_fragment, uint8_t *frame)
{
	const struct test_extension first = { .kind = IPPROTO_FRAGMENT, .fragment = 1 };
	const struct test_packet packet = { .source = 0xc6336407,
					    .destination = 0xcb00710a,
					    .protocol = IPPROTO_UDP,
					    .fragment = is_fragment ? MF : 0,
					    .payload = PAYLOAD };
	uint8_t inner[TEST_FRAME_SIZE], *ip = frame + OUTER;
	uint32_t length = holds_ipv6 ? test_build_ipv6(&packet, &first, is_fragment ? 1 : 0, inner)
				     : test_build(&packet, inner);

	memset(frame, 0, TEST_FRAME_SIZE);
	memcpy(frame, inner, 12);
	test_store16(frame + 12, 0x0800);
	memcpy(frame + INNER, inner + ETHERNET_HEADER_LENGTH, length - ETHERNET_HEADER_LENGTH);
	test_store16(frame + SHIM, 0x0100);
	test_store16(frame + SHIM + 2, holds_ipv6 ? 0x86dd : 0x0800);
	ip[0] = 0x45;
	ip[8] = 64;
	ip[9] = IPPROTO_GRE;
	test_store32(ip + 12, PEER);
	test_store32(ip + 16, SELF);
	return INNER + length - ETHERNET_HEADER_LENGTH;
}

/* Of a frame of exactly `length` bytes. */
static enum decapsulation_result apply(uint8_t *frame, uint32_t length, struct packet *packet)
{
	enum decapsulation_result result;
	uint8_t *copy;

	test_store16(frame + OUTER + 2, length - OUTER);
	test_fix_checksum(frame + OUTER);
	copy = test_exact_copy(frame, length);
	*packet = (struct packet){ .frame = { .data = copy, .length = length } };
	assert_int_equal(packet_parse(packet, NULL), PACKET_IPV4);
	result = decapsulation_apply(&cluster, packet);
	free(copy);
	return result;
}

/* Cut at every byte: nothing behind the end is read, and what is cut off is not taken for whole. */
static void test_cut_at_every_byte(void **state)
{
	(void)state;
	for (int holds_ipv6 = 0; holds_ipv6 < 2; holds_ipv6++) {
		uint8_t frame[TEST_FRAME_SIZE];
		uint32_t whole = build(holds_ipv6 != 0, true, frame);
		struct packet packet;

		for (uint32_t length = SHIM; length < whole; length++)
			assert_int_equal(apply(frame, length, &packet),
					 length < INNER ? DECAPSULATION_NONE
							: DECAPSULATION_FAILED);
		assert_int_equal(apply(frame, whole, &packet), DECAPSULATION_DONE);
		assert_int_equal(packet.flags, PACKET_DECAPSULATED | PACKET_REDIRECTED);
		assert_int_equal(packet.l3_offset, INNER);
		assert_int_equal(packet.is_ipv6, holds_ipv6);
	}
}

static void test_what_is_no_peers(void **state)
{
	/* Offset, width and value of what is written over a redirected fragment. */
	static const struct change {
		uint32_t at;
		uint32_t value;
		bool is_long;
	} changes[] = {
		{ OUTER + 12, STRANGER, true }, { OUTER + 12, SELF, true },
		{ OUTER + 16, PEER, true },	{ OUTER + 16, STRANGER, true },
		{ SHIM, 0x0000, false },	{ SHIM, 0x0800, false },
		{ SHIM, 0x4100, false },	{ SHIM, 0x0101, false },
		{ SHIM + 2, 0x6558, false },
	};
	uint8_t frame[TEST_FRAME_SIZE];
	struct packet packet;
	uint32_t length;

	(void)state;
	for (uint32_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		length = build(false, true, frame);
		if (changes[i].is_long)
			test_store32(frame + changes[i].at, changes[i].value);
		else
			test_store16(frame + changes[i].at, changes[i].value);
		assert_int_equal(apply(frame, length, &packet), DECAPSULATION_NONE);
	}
	/* Every bit of the recursion control field. */
	for (uint32_t bits = 0x0100; bits <= 0x0700; bits += 0x0100) {
		length = build(false, true, frame);
		test_store16(frame + SHIM, bits);
		assert_int_equal(apply(frame, length, &packet), DECAPSULATION_DONE);
	}
	for (int holds_ipv6 = 0; holds_ipv6 < 2; holds_ipv6++) {
		length = build(holds_ipv6 != 0, false, frame);
		assert_int_equal(apply(frame, length, &packet), DECAPSULATION_NONE);
		assert_int_equal(packet.l3_offset, OUTER);
	}
}

/* IP in IP from a peer: the first bytes of its inner header look like a recursion bit. */
static void test_other_tunnels(void **state)
{
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = build(false, true, frame);
	struct packet packet;

	(void)state;
	memmove(frame + SHIM, frame + INNER, length - INNER);
	frame[OUTER + 9] = IPPROTO_IPIP;
	assert_int_equal(apply(frame, length - 4, &packet), DECAPSULATION_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_what_is_no_peers),
		cmocka_unit_test(test_other_tunnels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
