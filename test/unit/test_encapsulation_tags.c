/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VLAN tags of encapsulated frames: those of the egress, or the packet's own, whatever the packet
 * came with. All else is as without any tag.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/encapsulation.h>

#include "packets.h"

#define HEADROOM  96
#define ADDRESS	  UINT64_C(0x12345000)
#define MOST	  (HEADROOM + 2 * VLAN_TAG_LENGTH + TEST_FRAME_SIZE)
#define UNTOUCHED 0x5a

/* The packet's own, with priorities; 0, 1 or 2 of them from the end. */
static const uint8_t own_tags[8] = { 0x88, 0xa8, 0x60, 0x64, 0x81, 0x00, 0xb0, 0x07 };

/* The egress's as they are described, and as on the wire. */
static const struct vlan_tag described[2] = { { 0x88a8, 4095 }, { 0x8100, 258 } };
static const uint8_t egress_tags[8] = { 0x88, 0xa8, 0x0f, 0xff, 0x81, 0x00, 0x01, 0x02 };

static const struct {
	enum encapsulation encapsulation;
	bool is_ipv6;
	bool udp_checksum;
} kinds[] = {
	{ ENCAPSULATION_GRE, false, false },  { ENCAPSULATION_GRE, true, false },
	{ ENCAPSULATION_IPIP, false, false }, { ENCAPSULATION_IPIP, true, false },
	{ ENCAPSULATION_GUE, false, false },  { ENCAPSULATION_GUE, true, false },
	{ ENCAPSULATION_GUE, false, true },   { ENCAPSULATION_GUE, true, true },
	{ ENCAPSULATION_L2, false, false },   { ENCAPSULATION_L2, true, false },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* tags: 0 to 2 of the egress, or KEEP. */
#define KEEP 3

static struct destination prepare(size_t kind, uint8_t tags, uint32_t mtu)
{
	struct destination destination = { 0 };
	struct encapsulation_path path = {
		.encapsulation = kinds[kind].encapsulation,
		.source = address_from_ipv4(htonl(0x0a000005)),
		.destination = address_from_ipv4(htonl(0x0a01000b)),
		.mtu = mtu,
		.udp_checksum = kinds[kind].udp_checksum,
		.keeps_tags = tags == KEEP,
		.tag_count = tags == KEEP ? 0 : tags,
	};

	if (kinds[kind].is_ipv6) {
		path.source = (struct address){ .bytes = { 0xfd, [15] = 5 } };
		path.destination = (struct address){ .bytes = { 0xfd, 1, [15] = 0x0b } };
	}
	for (uint8_t i = 0; i < path.tag_count; i++)
		path.tags[i] = described[2 - path.tag_count + i];
	memcpy(path.source_mac, test_own_mac, 6);
	memcpy(path.next_hop_mac, test_peer_mac, 6);
	/* What was there before must not shine through. */
	memset(&destination, 0xff, sizeof(destination));
	encapsulation_prepare(&destination, &path);
	return destination;
}

/* A frame with its headroom, in a heap block of exactly that size. */
struct block {
	uint8_t *memory;
	uint32_t headroom;
	uint32_t length;
	struct packet packet;
};

static struct block new_block(bool is_ipv6, uint8_t tag_count, uint32_t headroom)
{
	const struct test_packet template = { .source = 0xc6336407,
					      .destination = 0xcb00710a,
					      .source_port = 40000,
					      .destination_port = 53,
					      .protocol = IPPROTO_UDP,
					      .traffic_class = 0xb9,
					      .payload = 77 };
	uint32_t tags_length = tag_count * VLAN_TAG_LENGTH;
	uint8_t buffer[TEST_FRAME_SIZE], frame[TEST_FRAME_SIZE + 8];
	uint32_t length = is_ipv6 ? test_build_ipv6(&template, NULL, 0, buffer)
				  : test_build(&template, buffer);
	struct block block = { .memory = malloc(headroom + length + tags_length),
			       .headroom = headroom,
			       .length = length + tags_length };

	assert_non_null(block.memory);
	memcpy(frame, buffer, 12);
	memcpy(frame + 12, own_tags + 8 - tags_length, tags_length);
	memcpy(frame + 12 + tags_length, buffer + 12, length - 12);
	memset(block.memory, UNTOUCHED, headroom);
	memcpy(block.memory + headroom, frame, block.length);
	block.packet.frame = (struct frame){ .data = block.memory + headroom,
					     .address = ADDRESS + headroom,
					     .length = block.length,
					     .headroom = headroom };
	assert_int_equal(packet_parse(&block.packet, test_own_mac),
			 is_ipv6 ? PACKET_IPV6 : PACKET_IPV4);
	assert_int_equal(block.packet.tag_count, tag_count);
	block.packet.hash = UINT64_C(0xfedcba9876543210);
	return block;
}

/* What an untagged packet becomes by an untagged way out, with these tags put in. */
static uint32_t expected_frame(size_t kind, bool is_ipv6, const uint8_t *tags, uint32_t tags_length,
			       uint8_t frame[static MOST])
{
	struct destination destination = prepare(kind, 0, 1500);
	struct block block = new_block(is_ipv6, 0, HEADROOM);
	const struct frame *plain = &block.packet.frame;
	uint32_t length;

	assert_true(encapsulation_apply(&block.packet, &destination));
	memcpy(frame, plain->data, 12);
	if (tags_length > 0)
		memcpy(frame + 12, tags, tags_length);
	memcpy(frame + 12 + tags_length, plain->data + 12, plain->length - 12);
	length = plain->length + tags_length;
	free(block.memory);
	return length;
}

static void check(size_t kind, bool is_ipv6, uint8_t came_with, uint8_t egress)
{
	const uint8_t *tags = egress == KEEP ? own_tags : egress_tags;
	uint8_t count = egress == KEEP ? came_with : egress;
	uint32_t tags_length = count * VLAN_TAG_LENGTH;
	struct destination destination = prepare(kind, egress, 1500);
	struct block block = new_block(is_ipv6, came_with, HEADROOM);
	struct packet *packet = &block.packet;
	const uint8_t *inner = packet->frame.data + packet->l3_offset;
	const uint8_t *l4 = packet->frame.data + packet->l4_offset;
	const uint8_t *data;
	uint8_t expected[MOST];
	uint32_t length =
		expected_frame(kind, is_ipv6, tags + 8 - tags_length, tags_length, expected);

	assert_true(encapsulation_apply(packet, &destination));
	data = packet->frame.data;
	assert_int_equal(packet->frame.length, length);
	assert_memory_equal(data, expected, length);
	/* The end of the frame is where it was; the rest follows the start. */
	assert_ptr_equal(data + length, block.memory + HEADROOM + block.length);
	assert_int_equal(packet->frame.headroom, data - block.memory);
	assert_int_equal(packet->frame.address, ADDRESS + packet->frame.headroom);
	assert_int_equal(packet->tag_count, count);
	assert_ptr_equal(data + packet->l4_offset, l4);
	if (kinds[kind].encapsulation == ENCAPSULATION_L2)
		assert_ptr_equal(data + packet->l3_offset, inner);
	for (uint32_t i = 0; i < packet->frame.headroom && i < HEADROOM; i++)
		assert_int_equal(block.memory[i], UNTOUCHED);
	free(block.memory);
}

static void test_every_combination(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < KINDS; kind++)
		for (uint8_t came_with = 0; came_with <= 2; came_with++)
			for (uint8_t egress = 0; egress <= KEEP; egress++) {
				check(kind, false, came_with, egress);
				check(kind, true, came_with, egress);
			}
}

/* Tags of the egress that are described beside "kept" do not count. */
static void test_kept_is_kept(void **state)
{
	struct encapsulation_path path = { .source = address_from_ipv4(htonl(0x0a000005)),
					   .destination = address_from_ipv4(htonl(0x0a01000b)),
					   .mtu = 1500,
					   .keeps_tags = true,
					   .tag_count = 2,
					   .tags = { described[0], described[1] } };
	struct destination destination = { 0 };

	(void)state;
	encapsulation_prepare(&destination, &path);
	assert_true(destination.keeps_tags);
	assert_int_equal(destination.tag_count, 0);
}

/* Under tags more is to be written than the header; where they are kept, the packet's own tell. */
static void test_bare_limit(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < KINDS; kind++)
		for (uint8_t egress = 0; egress <= KEEP; egress++) {
			struct destination destination = prepare(kind, egress, 1500);
			bool is_bare = egress == 0 || egress == KEEP;

			assert_int_equal(destination.bare_limit,
					 is_bare ? destination.packet_limit : 0);
			destination = prepare(kind, egress, UINT32_MAX);
			assert_true(destination.bare_limit < ENCAPSULATION_NOT_BARE);
		}
}

/* Destinations are compared as bytes: what one was before must not tell them apart. */
static void test_prepared_anew(void **state)
{
	static const uint8_t zeros[8];

	(void)state;
	for (uint8_t egress = 0; egress <= KEEP; egress++) {
		struct destination destination = prepare(0, egress, 1500);
		uint32_t used = egress == KEEP ? 0 : egress * VLAN_TAG_LENGTH;

		assert_memory_equal(destination.tags + used, zeros, 8 - used);
	}
}

/* Just the headroom that it takes, and every byte less; what came with tags brings room for some.
 */
static void test_headroom(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < KINDS; kind++)
		for (uint8_t came_with = 0; came_with <= 2; came_with++)
			for (uint8_t egress = 0; egress <= 2; egress++) {
				struct destination destination = prepare(kind, egress, 1500);
				int needed = destination.header_length - 14 +
					     (egress - came_with) * (int)VLAN_TAG_LENGTH;

				for (int room = 0; room <= needed; room++) {
					struct block block =
						new_block(room % 2, came_with, (uint32_t)room);
					struct packet before = block.packet;
					uint8_t *copy = test_exact_copy(
						block.memory, (uint32_t)room + block.length);
					bool is_enough = room >= needed;

					assert_int_equal(
						encapsulation_apply(&block.packet, &destination),
						is_enough);
					before.reason = DROP_NO_HEADROOM;
					if (!is_enough) {
						assert_memory_equal(&block.packet, &before,
								    sizeof(before));
						assert_memory_equal(block.memory, copy,
								    (uint32_t)room + block.length);
					}
					free(copy);
					free(block.memory);
				}
			}
}

/* The MTU is of IP packets: tags on either side do not count. */
static void test_mtu(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < KINDS; kind++)
		for (uint8_t came_with = 0; came_with <= 2; came_with++)
			for (uint8_t egress = 0; egress <= KEEP; egress++) {
				uint32_t whole =
					20 + 8 + 77 + prepare(kind, 0, 1500).header_length - 14u;

				for (uint32_t mtu = whole - 1; mtu <= whole; mtu++) {
					struct destination destination = prepare(kind, egress, mtu);
					struct block block = new_block(false, came_with, HEADROOM);

					assert_int_equal(
						encapsulation_apply(&block.packet, &destination),
						mtu == whole);
					free(block.memory);
				}
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_combination), cmocka_unit_test(test_kept_is_kept),
		cmocka_unit_test(test_bare_limit),	  cmocka_unit_test(test_prepared_anew),
		cmocka_unit_test(test_headroom),	  cmocka_unit_test(test_mtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
