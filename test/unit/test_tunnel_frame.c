/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of the control plane's own are those that a worker would send for the same packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>

#include <fluxpin/flow.h>
#include <fluxpin/tunnel_frame.h>

#include "packets.h"

#define SEED	 UINT64_C(0x0123456789abcdef)
#define HEADROOM 256

static const struct test_packet syn = {
	.source = 0x0a000005,
	.destination = 0xcb00710a,
	.source_port = 40000,
	.destination_port = 80,
	.protocol = IPPROTO_TCP,
	.tcp_flags = TCP_FLAG_SYN,
	.traffic_class = 0xb9,
};

static struct encapsulation_path make_path(enum encapsulation encapsulation, bool is_ipv6,
					   uint8_t tag_count)
{
	struct encapsulation_path path = {
		.encapsulation = encapsulation,
		.source = address_from_ipv4(htonl(0x0a000005)),
		.destination = address_from_ipv4(htonl(0x0a01000b)),
		.mtu = 1500,
		.udp_checksum = is_ipv6,
		.tag_count = tag_count,
		.tags = { { 0x88a8, 200 }, { 0x8100, 7 } },
	};

	if (is_ipv6) {
		memset(&path.source, 0xfd, sizeof(path.source));
		memset(&path.destination, 0xfe, sizeof(path.destination));
	}
	memcpy(path.source_mac, test_own_mac, 6);
	memcpy(path.next_hop_mac, test_peer_mac, 6);
	return path;
}

/* What a worker makes of the frame. */
static uint32_t encapsulate(const struct encapsulation_path *path, uint8_t *memory, uint32_t length,
			    const uint8_t **frame)
{
	struct packet packet = {
		.frame = { .data = memory + HEADROOM, .length = length, .headroom = HEADROOM }
	};
	struct destination destination = { 0 };
	enum packet_kind kind = packet_parse(&packet, NULL);

	assert_true(kind == PACKET_IPV4 || kind == PACKET_IPV6);
	if (kind == PACKET_IPV6)
		assert_true(packet_walk_extensions(&packet));
	assert_true(packet_parse_ports(&packet));
	packet.hash =
		kind == PACKET_IPV4
			? flow_hash_ipv4(htonl(syn.source), htonl(syn.destination),
					 htons(syn.source_port), htons(syn.destination_port),
					 IPPROTO_TCP, SEED)
			: flow_hash_ipv6(packet_ipv6_addresses(&packet), htons(syn.source_port),
					 htons(syn.destination_port), IPPROTO_TCP, SEED);
	encapsulation_prepare(&destination, path);
	assert_true(encapsulation_apply(&packet, &destination));
	*frame = packet.frame.data;
	return packet.frame.length;
}

static void compare(const struct encapsulation_path *path, bool inner_is_ipv6)
{
	uint8_t memory[HEADROOM + TEST_FRAME_SIZE], buffer[TUNNEL_FRAME_SIZE];
	const uint8_t *expected, *frame = NULL;
	uint32_t length = inner_is_ipv6 ? test_build_ipv6(&syn, NULL, 0, memory + HEADROOM)
					: test_build(&syn, memory + HEADROOM);
	uint32_t packet_length = length - ETHERNET_HEADER_LENGTH;
	uint8_t *packet =
		test_exact_copy(memory + HEADROOM + ETHERNET_HEADER_LENGTH, packet_length);
	uint32_t expected_length = encapsulate(path, memory, length, &expected);

	assert_int_equal(tunnel_frame_build(path, SEED, packet, packet_length, buffer, &frame),
			 expected_length);
	assert_memory_equal(frame, expected, expected_length);
	free(packet);
}

static void test_as_the_data_plane(void **state)
{
	(void)state;
	for (int encapsulation = ENCAPSULATION_GRE; encapsulation <= ENCAPSULATION_L2;
	     encapsulation++) {
		for (int families = 0; families < 4; families++) {
			for (uint8_t tags = 0; tags <= PACKET_MAX_TAGS; tags++) {
				struct encapsulation_path path =
					make_path((enum encapsulation)encapsulation,
						  (families & 1) != 0, tags);

				compare(&path, (families & 2) != 0);
			}
		}
	}
}

/* The path may say that tags are kept; the packet has none. */
static void test_no_tags_to_keep(void **state)
{
	struct encapsulation_path path = make_path(ENCAPSULATION_GRE, false, 0);

	(void)state;
	path.keeps_tags = true;
	compare(&path, false);
}

static void test_refused(void **state)
{
	struct encapsulation_path path = make_path(ENCAPSULATION_GRE, false, 0);
	uint8_t memory[TEST_FRAME_SIZE], buffer[TUNNEL_FRAME_SIZE];
	uint32_t length = test_build(&syn, memory) - ETHERNET_HEADER_LENGTH;
	uint8_t *packet = memory + ETHERNET_HEADER_LENGTH;
	const uint8_t *frame = NULL;

	(void)state;
	assert_int_equal(tunnel_frame_build(&path, SEED, packet, 0, buffer, &frame), -EINVAL);
	assert_int_equal(tunnel_frame_build(&path, SEED, packet, length - 21, buffer, &frame),
			 -EINVAL);
	assert_int_equal(tunnel_frame_build(&path, SEED, packet, TUNNEL_FRAME_MAX_PACKET + 1,
					    buffer, &frame),
			 -EMSGSIZE);
	path.mtu = length + 23;
	assert_int_equal(tunnel_frame_build(&path, SEED, packet, length, buffer, &frame),
			 -EMSGSIZE);
	assert_null(frame);
	path.mtu++;
	assert_true(tunnel_frame_build(&path, SEED, packet, length, buffer, &frame) > 0);
	packet[0] = 0x55;
	assert_int_equal(tunnel_frame_build(&path, SEED, packet, length, buffer, &frame), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_data_plane),
		cmocka_unit_test(test_no_tags_to_keep),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
