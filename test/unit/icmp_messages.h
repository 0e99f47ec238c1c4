/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of ICMP share: messages built field by field, and what every answer has. */
#ifndef FLUXPIN_TEST_ICMP_MESSAGES_H
#define FLUXPIN_TEST_ICMP_MESSAGES_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/icmp.h>

#include "packets.h"

#define HEADROOM 256
#define CLIENT	 0xc6336407 /* 198.51.100.7 */
#define VIP	 0xcb00710a /* 203.0.113.10 */
#define LB	 0x0a000005
#define BACKEND	 0x0a01000b

/* A frame in a block that ends where it does, and the packet that it was parsed to. */
struct held {
	uint8_t *block;
	struct packet packet;
};

static inline void hold_with(struct held *held, const uint8_t *frame, uint32_t length,
			     uint32_t headroom)
{
	uint8_t whole[HEADROOM + 2 * TEST_FRAME_SIZE] = { 0 };

	memcpy(whole + headroom, frame, length);
	held->block = test_exact_copy(whole, headroom + length);
	held->packet = (struct packet){ .frame = { .data = held->block + headroom,
						   .address = headroom,
						   .length = length,
						   .headroom = headroom } };
	assert_int_not_equal(packet_parse(&held->packet, NULL), PACKET_MALFORMED);
	if (held->packet.is_ipv6)
		packet_walk_extensions(&held->packet);
}

static inline void hold(struct held *held, const uint8_t *frame, uint32_t length)
{
	hold_with(held, frame, length, HEADROOM);
}

static inline void let_go(struct held *held)
{
	free(held->block);
}

/* Frame, message offset and length of an ICMP packet; IPv6 addresses as test_build_ipv6 has them.
 */
struct message {
	uint8_t frame[2 * TEST_FRAME_SIZE];
	uint32_t offset;
	uint32_t length;
	bool is_ipv6;
};

static inline uint32_t end_of(const struct message *message)
{
	return message->offset + message->length;
}

static inline uint16_t sum_of(bool is_ipv6, const uint8_t *addresses, const uint8_t *data,
			      uint32_t length)
{
	uint8_t all[2 * TEST_FRAME_SIZE] = { 0 };
	uint32_t span = is_ipv6 ? 36 : 0;

	if (is_ipv6) {
		memcpy(all, addresses, 32);
		all[33] = 58;
		test_store16(all + 34, length);
	}
	memcpy(all + span, data, length);
	return test_checksum(all, (span + length + 1) & ~1u);
}

static inline void fix_message(struct message *message)
{
	uint8_t *at = message->frame + message->offset;

	test_store16(at + 2, 0);
	test_store16(at + 2, sum_of(message->is_ipv6, message->frame + 22, at, message->length));
}

/* From CLIENT to `to`, with `length` bytes of message that are all `type`, code and zeros. */
static inline void make(struct message *message, bool is_ipv6, uint32_t to, uint8_t type,
			uint8_t code, uint32_t length)
{
	struct test_packet packet = { .source = CLIENT,
				      .destination = to,
				      .protocol = is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
				      .payload = (uint16_t)length };

	memset(message, 0, sizeof(*message));
	message->is_ipv6 = is_ipv6;
	message->offset = ETHERNET_HEADER_LENGTH + (is_ipv6 ? 40 : 20);
	message->length = length;
	if (is_ipv6)
		test_build_ipv6(&packet, NULL, 0, message->frame);
	else
		test_build(&packet, message->frame);
	memset(message->frame + message->offset, 0, length);
	if (length > 0)
		message->frame[message->offset] = type;
	if (length > 1)
		message->frame[message->offset + 1] = code;
	if (length >= 4)
		fix_message(message);
}

static inline void set_length(struct message *message, uint32_t length)
{
	uint8_t *ip = message->frame + ETHERNET_HEADER_LENGTH;

	message->length = length;
	test_store16(ip + (message->is_ipv6 ? 4 : 2), message->is_ipv6 ? length : 20 + length);
	if (!message->is_ipv6)
		test_fix_checksum(ip);
	fix_message(message);
}

/* Headers of an answer: back to where the frame came from, TTL 64, no options, right checksums. */
static inline void check_answer(const struct packet *packet, uint32_t tags, bool is_ipv6,
				uint32_t length, uint8_t traffic_class)
{
	const uint8_t *frame = packet->frame.data, *ip = frame + ETHERNET_HEADER_LENGTH + tags * 4;
	uint32_t header = is_ipv6 ? 40 : 20;

	assert_int_equal(packet->verdict, VERDICT_ANSWER);
	assert_memory_equal(frame, test_peer_mac, 6);
	assert_memory_equal(frame + 6, test_own_mac, 6);
	assert_int_equal(test_load16(ip - 2), is_ipv6 ? 0x86dd : 0x0800);
	assert_int_equal(packet->frame.length, ETHERNET_HEADER_LENGTH + tags * 4 + header + length);
	assert_int_equal(packet->frame.headroom, packet->frame.address);
	assert_int_equal(packet->l3_offset, ip - frame);
	assert_int_equal(packet->l4_offset, ip - frame + header);
	assert_int_equal(packet->l3_length, header + length);
	if (is_ipv6) {
		assert_int_equal(test_load16(ip), 0x6000 | traffic_class << 4);
		assert_int_equal(test_load16(ip + 2), 0);
		assert_int_equal(test_load16(ip + 4), length);
		assert_int_equal(ip[6], 58);
		assert_int_equal(ip[7], 64);
	} else {
		assert_int_equal(ip[0], 0x45);
		assert_int_equal(ip[1], traffic_class);
		assert_int_equal(test_load16(ip + 2), 20 + length);
		assert_int_equal(test_load16(ip + 4), 0);
		assert_int_equal(test_load16(ip + 6), 0x4000);
		assert_int_equal(ip[8], 64);
		assert_int_equal(ip[9], 1);
		assert_int_equal(test_checksum(ip, 20), 0);
	}
	assert_int_equal(sum_of(is_ipv6, ip + 8, ip + header, length), 0);
}

static inline void check_ends(const struct packet *packet, uint32_t source, uint32_t destination)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;

	if (packet->is_ipv6) {
		/* As test_build_ipv6 has them, swapped. */
		assert_int_equal(test_load16(ip + 8 + 4), 0);
		assert_int_equal(test_load16(ip + 24 + 4), 1);
	}
	ip += packet->is_ipv6 ? 20 : 12;
	assert_int_equal((uint32_t)test_load16(ip) << 16 | test_load16(ip + 2), source);
	ip += packet->is_ipv6 ? 16 : 4;
	assert_int_equal((uint32_t)test_load16(ip) << 16 | test_load16(ip + 2), destination);
}

#endif
