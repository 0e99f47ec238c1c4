/* SPDX-License-Identifier: BSD-2-Clause */
/* VLANs through the pipeline: the tags of what leaves, and the addresses that are the NIC's own. */
#include "pipeline_setup.h"

#define ICMP		  1
#define DF		  0x4000
#define TOO_BIG		  3, 4
#define MAC_LENGTHS	  12
#define ECHO_REPLY_LENGTH (14 + 20 + 8)

static const uint8_t own_tags[8] = { 0x88, 0xa8, 0x60, 0x64, 0x81, 0x00, 0xb0, 0x07 };
static const uint8_t egress_tags[8] = { 0x88, 0xa8, 0x0f, 0xff, 0x81, 0x00, 0x01, 0x02 };
static const uint8_t vlan_mac[6] = { 0x02, 0x11, 0x22, 0x33, 0x44, 0x99 };
static const uint8_t other_mac[6] = { 0x02, 0x11, 0x22, 0x33, 0x44, 0x77 };

static struct test_packet udp_packet(uint16_t payload)
{
	return (struct test_packet){
		.source = TEST_CLIENT,
		.destination = TEST_VIP,
		.source_port = 4000,
		.destination_port = 53,
		.protocol = IPPROTO_UDP,
		.payload = payload,
	};
}

/* Queues the packet under the last `count` of own_tags, to `mac`. */
static void queue_tagged(struct setup *setup, const struct test_packet *packet, uint32_t count,
			 const uint8_t *mac)
{
	uint8_t buffer[TEST_FRAME_SIZE], frame[TEST_FRAME_SIZE + 8];
	uint32_t length = test_build(packet, buffer), tags = count * VLAN_TAG_LENGTH;

	if (packet->protocol == ICMP) {
		buffer[34] = 8; /* echo request */
		test_store16(buffer + 36, 0);
		test_store16(buffer + 36, test_checksum(buffer + 34, length - 34));
	}
	memcpy(buffer, mac, 6);
	memcpy(frame, buffer, MAC_LENGTHS);
	memcpy(frame + MAC_LENGTHS, own_tags + 8 - tags, tags);
	memcpy(frame + MAC_LENGTHS + tags, buffer + MAC_LENGTHS, length - MAC_LENGTHS);
	memory_port_queue(&setup->port, frame, length + tags, SETUP_HEADROOM);
}

/* As setup_run, which counts no answers. */
static void run(struct setup *setup)
{
	while (pipeline_run(&setup->pipeline, &setup->forwarding, setup->now) > 0)
		memory_port_check(&setup->port, 0);
}

/* Backends of the first pool leave by two VLAN devices, with room for IP packets of `mtu`. */
static void publish_tagged(struct setup *setup, uint16_t mtu)
{
	for (uint32_t i = 1; i <= 4; i++)
		setup->described[i].mtu = mtu;
	setup_publish(setup);
	setup->forwarding.icmp_error_rate = setup->forwarding.icmp_echo_rate = 1000;
	for (uint32_t i = 1; i <= 4; i++) {
		setup->destinations[i].tag_count = 2;
		setup->destinations[i].bare_limit = 0;
		memcpy(setup->destinations[i].tags, egress_tags, sizeof(egress_tags));
	}
	setup->port.is_free_form = true;
}

static void check_link(const struct frame *frame, const uint8_t *to, const uint8_t *from,
		       const uint8_t *tags, uint32_t tags_length)
{
	assert_memory_equal(frame->data, to, 6);
	assert_memory_equal(frame->data + 6, from, 6);
	if (tags_length > 0)
		assert_memory_equal(frame->data + MAC_LENGTHS, tags, tags_length);
	assert_int_equal(test_load16(frame->data + MAC_LENGTHS + tags_length), 0x0800);
}

static void test_frames_leave_under_the_egress_tags(void **state)
{
	struct setup *setup = *state;
	const struct test_packet packet = udp_packet(100);

	publish_tagged(setup, 1500);
	for (uint32_t count = 0; count <= 2; count++)
		queue_tagged(setup, &packet, count, test_own_mac);
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct frame *frame = &setup->port.sent[i];

		check_link(frame, test_peer_mac, test_own_mac, egress_tags, 8);
		assert_int_equal(frame->length, 14 + 8 + 24 + 128);
	}
}

/* No limit is so large that a frame under tags is taken for one without. */
static void test_tags_where_every_length_is_allowed(void **state)
{
	struct setup *setup = *state;
	const struct test_packet packet = udp_packet(100);

	for (uint32_t i = 1; i <= 4; i++)
		setup->described[i].encapsulation = ENCAPSULATION_L2;
	for (uint32_t mtu = UINT16_MAX - 1; mtu <= UINT16_MAX; mtu++) {
		for (uint32_t i = 1; i <= 4; i++)
			setup->described[i].mtu = (uint16_t)mtu;
		setup_publish(setup);
		for (uint32_t i = 1; i <= 4; i++)
			setup->destinations[i].keeps_tags = true;
		setup->port.is_free_form = true;
		for (uint32_t count = 0; count <= 2; count++) {
			const struct frame *frame = &setup->port.sent[0];
			uint32_t tags = count * VLAN_TAG_LENGTH;

			queue_tagged(setup, &packet, count, test_own_mac);
			setup_run(setup);
			assert_int_equal(setup->port.sent_count, 1);
			check_link(frame, test_peer_mac, test_own_mac, own_tags + 8 - tags, tags);
			assert_int_equal(frame->length, 14 + tags + 128);
			assert_int_equal(test_checksum(frame->data + 14 + tags, 20), 0);
			memory_port_clear(&setup->port);
		}
	}
}

/* Each part under the egress tags, whatever the packet came with. */
static void test_parts_leave_under_the_egress_tags(void **state)
{
	struct setup *setup = *state;
	const struct test_packet packet = udp_packet(1400);

	publish_tagged(setup, 600);
	for (uint32_t count = 0; count <= 2; count++) {
		uint32_t payload = 0;

		queue_tagged(setup, &packet, count, test_own_mac);
		run(setup);
		assert_int_equal(setup->port.sent_count, 3);
		for (uint32_t i = 0; i < 3; i++) {
			const struct frame *frame = &setup->port.sent[i];
			const uint8_t *inner = frame->data + 14 + 8 + 24;

			check_link(frame, test_peer_mac, test_own_mac, egress_tags, 8);
			assert_int_equal(test_checksum(inner, 20), 0);
			assert_int_equal(test_load16(inner + 2) + 14 + 8 + 24, frame->length);
			assert_int_equal((test_load16(inner + 6) & 0x1fff) * 8, payload);
			payload += test_load16(inner + 2) - 20u;
		}
		assert_int_equal(payload, 1408);
		memory_port_clear(&setup->port);
	}
}

static void test_answers_go_back_under_the_tags_of_the_packet(void **state)
{
	struct setup *setup = *state;
	struct test_packet too_big = udp_packet(1400), echo = udp_packet(8);

	too_big.fragment = DF;
	echo.protocol = ICMP;
	publish_tagged(setup, 600);
	for (uint32_t count = 0; count <= 2; count++) {
		uint32_t tags = count * VLAN_TAG_LENGTH;
		static const uint8_t expected[2] = { TOO_BIG };
		const struct frame *sent = setup->port.sent;

		queue_tagged(setup, &too_big, count, test_own_mac);
		queue_tagged(setup, &echo, count, test_own_mac);
		run(setup);
		assert_int_equal(setup->port.sent_count, 2);
		for (uint32_t i = 0; i < 2; i++)
			check_link(&sent[i], test_peer_mac, test_own_mac, own_tags + 8 - tags,
				   tags);
		assert_memory_equal(sent[0].data + 34 + tags, expected, 2);
		assert_int_equal(test_load16(sent[0].data + 34 + tags + 6), 600 - 24);
		assert_int_equal(sent[1].data[34 + tags], 0);
		assert_int_equal(sent[1].length, ECHO_REPLY_LENGTH + tags);
		memory_port_clear(&setup->port);
	}
	assert_int_equal(setup->counters.answered, 6);
}

/* Frames to a VLAN device are the NIC's own; answers come from the address that was asked. */
static void test_addresses_of_vlan_devices(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = udp_packet(100), echo = udp_packet(8), broken = udp_packet(1);
	struct forwarding_interface *interface = &setup->interfaces[1];

	echo.protocol = ICMP;
	broken.source_port = 4001;
	publish_tagged(setup, 1500);
	for (uint8_t count = 0; count <= FORWARDING_MAX_MACS; count++) {
		uint32_t sent = count > 0 ? 3 : 1, last;
		uint8_t *ip;

		/* The device's address is the last of the list. */
		interface->vlan_mac_count = count;
		for (uint32_t i = 0; i < FORWARDING_MAX_MACS; i++) {
			memcpy(interface->vlan_macs[i], vlan_mac, 6);
			interface->vlan_macs[i][5] = (uint8_t)(i + 1 == count ? vlan_mac[5] : i);
		}
		queue_tagged(setup, &packet, 1, test_own_mac);
		queue_tagged(setup, &packet, 1, vlan_mac);
		queue_tagged(setup, &echo, 1, vlan_mac);
		queue_tagged(setup, &packet, 1, other_mac);
		queue_tagged(setup, &broken, 1, vlan_mac);
		last = setup->port.count - 1;
		ip = setup->port.frames[last].memory + SETUP_HEADROOM + 18;
		ip[10] ^= 1;
		setup->port.frames[last].original[18 + 10] ^= 1;
		run(setup);
		assert_int_equal(setup->port.sent_count, sent);
		assert_int_equal(setup->port.delivered_count, count > 0 ? 1 : 4);
		assert_int_equal(setup->port.dropped[DROP_IPV4_CHECKSUM], count);
		for (uint32_t i = 0; i < sent && i < 2; i++)
			check_link(&setup->port.sent[i], test_peer_mac, test_own_mac, egress_tags,
				   8);
		if (sent == 3)
			check_link(&setup->port.sent[2], test_peer_mac, vlan_mac, own_tags + 4, 4);
		memory_port_clear(&setup->port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_open, setup_close)
		TEST(test_frames_leave_under_the_egress_tags),
		TEST(test_tags_where_every_length_is_allowed),
		TEST(test_parts_leave_under_the_egress_tags),
		TEST(test_answers_go_back_under_the_tags_of_the_packet),
		TEST(test_addresses_of_vlan_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
