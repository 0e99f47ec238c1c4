/* SPDX-License-Identifier: BSD-2-Clause */
/* The pipeline on a memory port: what becomes of each frame, and how it is counted. */
#include "pipeline_setup.h"

#define ICMP 1
#define SCTP 132

static struct test_packet tcp_packet(uint16_t source_port)
{
	return (struct test_packet){
		.source = TEST_CLIENT,
		.destination = TEST_VIP,
		.source_port = source_port,
		.destination_port = 80,
		.protocol = IPPROTO_TCP,
		.tcp_flags = TCP_FLAG_ACK,
		.payload = 5,
	};
}

static struct test_packet udp_packet(uint16_t source_port)
{
	return (struct test_packet){
		.source = TEST_CLIENT,
		.destination = TEST_VIP,
		.source_port = source_port,
		.destination_port = 53,
		.protocol = IPPROTO_UDP,
		.payload = 30,
	};
}

static void test_forwards_to_the_choice(void **state)
{
	struct setup *setup = *state;
	uint64_t per_backend[SETUP_BACKENDS] = { 0 }, bytes[2] = { 0 };

	for (uint16_t i = 0; i < 1000; i++) {
		struct test_packet packets[2] = { tcp_packet(i), udp_packet(i) };

		for (uint32_t p = 0; p < 2; p++)
			bytes[p] += setup->port.frames[setup_queue(setup, &packets[p])].length;
	}
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 2000);
	for (uint16_t i = 0; i < 2000; i++) {
		struct test_packet packet = i % 2 == 0 ? tcp_packet(i / 2) : udp_packet(i / 2);
		const struct frame *frame = &setup->port.sent[i];

		/* In the order in which they came. */
		assert_int_equal(frame_number(frame), i);
		assert_int_equal(setup_backend_of(frame), setup_choice(setup, 0, &packet));
		assert_memory_equal(frame->data, test_peer_mac, 6);
		assert_memory_equal(frame->data + 6, test_own_mac, 6);
		per_backend[setup_backend_of(frame)]++;
	}
	for (uint32_t i = 0; i < SETUP_BACKENDS; i++) {
		assert_int_equal(setup->backend_counters[i].packets, per_backend[i]);
		assert_true((per_backend[i] > 0) == (i >= 1 && i <= 4));
	}
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(setup->vip_counters[setup->vips[i].index].packets, 1000);
		assert_int_equal(setup->vip_counters[setup->vips[i].index].bytes, bytes[i]);
	}
	assert_int_equal(setup->counters.forwarded.packets, 2000);
}

static void test_batches(void **state)
{
	struct setup *setup = *state;

	assert_int_equal(pipeline_run(&setup->pipeline, &setup->forwarding, 0), 0);
	for (uint16_t i = 0; i < PORT_BATCH + 6; i++) {
		struct test_packet packet = udp_packet(i);

		setup_queue(setup, &packet);
	}
	assert_int_equal(pipeline_run(&setup->pipeline, &setup->forwarding, 0), PORT_BATCH);
	assert_int_equal(setup->port.sent_count, PORT_BATCH);
	assert_int_equal(pipeline_run(&setup->pipeline, &setup->forwarding, 0), 6);
	assert_int_equal(pipeline_run(&setup->pipeline, &setup->forwarding, 0), 0);
	assert_int_equal(setup->port.sent_count, PORT_BATCH + 6);
}

/* Frames that are not fluxpin's business: each goes to the kernel, unchanged. */
static void test_slow_path(void **state)
{
	struct setup *setup = *state;
	static const uint16_t ethertypes[] = { 0x0806, 0x8847, 0x8100, 0x88cc };
	static const uint8_t macs[][6] = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
					   { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x05 },
					   { 0x02, 0x11, 0x22, 0x33, 0x44, 0x56 } };
	struct test_packet packet = tcp_packet(1);
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length, count = 0;

	for (uint32_t i = 0; i < 4; i++, count++) {
		length = test_build(&packet, buffer);
		test_store16(buffer + 12, ethertypes[i]);
		memory_port_queue(&setup->port, buffer, length, 0);
	}
	for (uint32_t i = 0; i < 3; i++, count++) {
		length = test_build(&packet, buffer);
		memcpy(buffer, macs[i], 6);
		memory_port_queue(&setup->port, buffer, length, 0);
	}
	packet.destination = TEST_VIP + 1;
	setup_queue(setup, &packet);
	packet.fragment = 0x2000;
	setup_queue(setup, &packet);
	packet = tcp_packet(1);
	packet.destination_port = 81;
	setup_queue(setup, &packet);
	packet.destination_port = 0;
	setup_queue(setup, &packet);
	packet = udp_packet(1);
	packet.destination_port = 80; /* a VIP for TCP only */
	setup_queue(setup, &packet);
	packet.protocol = ICMP;
	setup_queue(setup, &packet);
	packet.protocol = SCTP;
	setup_queue(setup, &packet);
	packet.payload = 0;
	setup_queue(setup, &packet);
	count += 8;

	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 0);
	assert_int_equal(setup->counters.slow_path, count);
	assert_int_equal(setup->port.delivered_count, count);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(setup->port.delivered[i], i);
		assert_int_equal(setup->port.frames[i].owner, FRAME_RECYCLED);
	}
	for (uint32_t i = 0; i < setup->vip_count; i++)
		assert_int_equal(setup->vip_counters[setup->vips[i].index].packets, 0);
}

/* A VIP for everything takes other protocols, too, by the addresses alone. */
static void test_any_protocol(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = udp_packet(7);

	setup_add_vip(setup, 0xcb007200, 96 + 24, 0, 0, 1);
	setup_publish(setup);
	packet.destination = 0xcb0072fe;
	for (uint32_t port = 0; port < 65536; port += 4369) {
		packet.destination_port = (uint16_t)port;
		packet.protocol = IPPROTO_UDP;
		assert_int_equal(setup_send(setup, &packet), setup_choice(setup, 1, &packet));
		packet.protocol = IPPROTO_TCP;
		assert_int_equal(setup_send(setup, &packet), setup_choice(setup, 1, &packet));
	}
	assert_int_equal(setup->vip_counters[setup->vips[2].index].packets, 32);
	packet.protocol = 132;
	packet.source_port = packet.destination_port = 0;
	assert_int_equal(setup_send(setup, &packet), setup_choice(setup, 1, &packet));
	packet.destination = 0xcb0073fe;
	assert_int_equal(setup_send(setup, &packet), SETUP_DROPPED);
	assert_int_equal(setup->counters.slow_path, 1);
	assert_int_equal(setup_dropped(setup), 0);
}

static void test_any_mac(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = udp_packet(7);
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build(&packet, buffer);

	setup->any_mac = true;
	setup_publish(setup);
	buffer[5] ^= 1;
	memory_port_queue(&setup->port, buffer, length, SETUP_HEADROOM);
	buffer[0] |= 1;
	memory_port_queue(&setup->port, buffer, length, SETUP_HEADROOM);
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, 1);
	assert_int_equal(setup->port.delivered_count, 1);
}

/* Runs the bytes as one frame; they must be dropped for that reason and nothing else counted. */
static void expect_drop(struct setup *setup, const uint8_t *bytes, uint32_t length,
			uint32_t headroom, enum drop_reason reason)
{
	uint64_t before = setup->counters.dropped[reason], all = setup_dropped(setup);
	uint64_t forwarded = setup->counters.forwarded.packets;
	uint64_t slow_path = setup->counters.slow_path;
	uint32_t number = memory_port_queue(&setup->port, bytes, length, headroom);

	setup_run(setup);
	if (setup->counters.dropped[reason] != before + 1 || setup_dropped(setup) != all + 1)
		fail_msg("not dropped as %s", drop_reason_label(reason));
	assert_int_equal(setup->counters.forwarded.packets, forwarded);
	assert_int_equal(setup->counters.slow_path, slow_path);
	assert_int_equal(setup->port.frames[number].owner, FRAME_DROPPED);
	assert_false(setup->port.frames[number].is_delivered);
}

static void test_malformed(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = tcp_packet(9);
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build(&packet, buffer);

	expect_drop(setup, buffer, 13, 64, DROP_ETHERNET_TRUNCATED);
	expect_drop(setup, buffer, 0, 64, DROP_ETHERNET_TRUNCATED);
	expect_drop(setup, buffer, 33, 64, DROP_IPV4_TRUNCATED);
	expect_drop(setup, buffer, length - 1, 64, DROP_IPV4_LENGTH);
	buffer[24] ^= 1;
	expect_drop(setup, buffer, length, 64, DROP_IPV4_CHECKSUM);
	buffer[14] = 0x65;
	expect_drop(setup, buffer, length, 64, DROP_IPV4_HEADER);

	length = test_build(&packet, buffer);
	buffer[34 + 12] = 4 << 4;
	expect_drop(setup, buffer, length, 64, DROP_TCP_HEADER);
	length = test_build(&packet, buffer);
	test_store16(buffer + 16, 20 + 7); /* not even the ports are all there */
	test_fix_checksum(buffer + 14);
	expect_drop(setup, buffer, length, 64, DROP_TCP_HEADER);

	packet = udp_packet(9);
	length = test_build(&packet, buffer);
	test_store16(buffer + 34 + 4, 7);
	expect_drop(setup, buffer, length, 64, DROP_UDP_HEADER);
	test_store16(buffer + 34 + 4, 39);
	expect_drop(setup, buffer, length, 64, DROP_UDP_HEADER);
	test_store16(buffer + 16, 20 + 7);
	test_fix_checksum(buffer + 14);
	expect_drop(setup, buffer, length, 64, DROP_UDP_HEADER);

	packet.fragment = 0x2000;
	length = test_build(&packet, buffer);
	expect_drop(setup, buffer, length, 64, DROP_FRAGMENT);
	packet.fragment = 0x0001;
	length = test_build(&packet, buffer);
	expect_drop(setup, buffer, length, 64, DROP_FRAGMENT);
	assert_int_equal(setup->connections.count, 0);

	/* To another address the same is for the kernel to judge. */
	packet.fragment = 0;
	packet.destination = TEST_VIP + 1;
	length = test_build(&packet, buffer);
	test_store16(buffer + 34 + 4, 7);
	memory_port_queue(&setup->port, buffer, length, 64);
	setup_run(setup);
	assert_int_equal(setup->port.delivered_count, 1);
}

static void test_unreachable(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = tcp_packet(9);
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build(&packet, buffer);

	expect_drop(setup, buffer, length, 23, DROP_NO_HEADROOM);
	for (uint16_t i = 1; i <= 4; i++) {
		/* Too little even for a part of it. */
		setup->described[i].mtu = 20 + 8 + 24 - 1;
		setup->described[i].is_resolved = true;
	}
	setup_publish(setup);
	expect_drop(setup, buffer, length, SETUP_HEADROOM, DROP_EXCEEDS_MTU);
	for (uint16_t i = 1; i <= 4; i++) {
		setup->described[i].mtu = 20 + 20 + 5 + 24;
		setup->described[i].is_resolved = false;
	}
	setup_publish(setup);
	expect_drop(setup, buffer, length, SETUP_HEADROOM, DROP_NO_NEXT_HOP);
	for (uint16_t i = 1; i <= 4; i++)
		setup->described[i].is_resolved = true;
	setup_publish(setup);
	assert_in_range(setup_send(setup, &packet), 1, 4);
	for (uint16_t i = 1; i <= 4; i++)
		setup->described[i].is_present = false;
	setup_publish(setup);
	expect_drop(setup, buffer, length, SETUP_HEADROOM, DROP_NO_BACKEND);
	/* Matched by the VIP all the same; sent to a backend once. */
	assert_int_equal(setup->vip_counters[setup->vips[0].index].packets, 5);
	assert_int_equal(setup->backend_counters[1].packets + setup->backend_counters[2].packets +
				 setup->backend_counters[3].packets +
				 setup->backend_counters[4].packets,
			 1);
}

static void test_tx_ring_full(void **state)
{
	struct setup *setup = *state;

	for (uint32_t limit = 0; limit <= 10; limit++) {
		uint64_t sent = setup->counters.forwarded.packets, by_backends = 0;
		uint64_t dropped = setup->counters.dropped[DROP_TX_RING_FULL];

		setup->port.send_limit = limit;
		for (uint16_t i = 0; i < 10; i++) {
			struct test_packet packet = udp_packet(i);

			setup_queue(setup, &packet);
		}
		setup_run(setup);
		assert_int_equal(setup->counters.forwarded.packets, sent + limit);
		assert_int_equal(setup->counters.dropped[DROP_TX_RING_FULL], dropped + 10 - limit);
		for (uint32_t i = 0; i < 10; i++)
			assert_int_equal(setup->port.frames[i].owner,
					 i < limit ? FRAME_SENT : FRAME_DROPPED);
		for (uint32_t i = 0; i < SETUP_BACKENDS; i++)
			by_backends += setup->backend_counters[i].packets;
		assert_int_equal(by_backends, setup->counters.forwarded.packets);
		memory_port_clear(&setup->port);
	}
}

static void test_slow_path_refused(void **state)
{
	struct setup *setup = *state;
	static const uint64_t masks[] = {
		0,	   1, 2, UINT64_C(1) << 63, UINT64_C(0x5555555555555555), UINT64_MAX >> 1,
		UINT64_MAX
	};

	for (uint32_t m = 0; m < sizeof(masks) / sizeof(masks[0]); m++) {
		uint64_t slow_path = setup->counters.slow_path;
		uint64_t refused = setup->counters.dropped[DROP_SLOW_PATH_REFUSED];
		uint64_t accepted = (uint64_t)__builtin_popcountll(masks[m]);

		setup->port.deliver_mask = masks[m];
		for (uint16_t i = 0; i < PORT_BATCH; i++) {
			struct test_packet packet = udp_packet(i);

			packet.destination++;
			setup_queue(setup, &packet);
		}
		setup_run(setup);
		assert_int_equal(setup->counters.slow_path, slow_path + accepted);
		assert_int_equal(setup->counters.dropped[DROP_SLOW_PATH_REFUSED],
				 refused + PORT_BATCH - accepted);
		memory_port_clear(&setup->port);
	}
}

/* A frame of a random kind; returns the reason for which it is dropped, or one of the below. */
#define FORWARDED    (DROP_REASON_COUNT + 0)
#define TO_SLOW_PATH (DROP_REASON_COUNT + 1)
#define OUTCOMES     (DROP_REASON_COUNT + 2)

static uint32_t queue_random(struct setup *setup, uint64_t *random, uint32_t *vip)
{
	uint16_t port = (uint16_t)test_random_below(random, 300);
	bool is_tcp = test_random_below(random, 2) == 0;
	struct test_packet packet = is_tcp ? tcp_packet(port) : udp_packet(port);
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t outcome = FORWARDED, headroom = SETUP_HEADROOM, length;

	packet.tcp_flags = (uint8_t)test_random(random);
	packet.traffic_class = (uint8_t)test_random(random);
	packet.option_words = (uint8_t)(test_random_below(random, 8) == 0 ? 3 : 0);
	packet.padding = (uint16_t)test_random_below(random, 20);
	*vip = is_tcp ? 0 : 1;
	switch (test_random_below(random, 14)) {
	case 0:
		packet.destination++;
		outcome = TO_SLOW_PATH;
		break;
	case 1:
		packet.destination_port++;
		outcome = TO_SLOW_PATH;
		break;
	case 2:
		packet.protocol = 132;
		outcome = TO_SLOW_PATH;
		break;
	case 3:
		packet.fragment = 0x2000;
		outcome = DROP_FRAGMENT;
		break;
	case 4:
		packet.payload = 1500;
		packet.fragment = 0x4000;
		outcome = DROP_ICMP_RATE;
		break;
	case 5:
		headroom = test_random_below(random, 24);
		outcome = DROP_NO_HEADROOM;
		break;
	case 6:
		/* A VIP of a pool without backends. */
		packet.destination_port = 99;
		*vip = 2;
		outcome = DROP_NO_BACKEND;
		break;
	default:
		break;
	}
	length = test_build(&packet, buffer);
	if (outcome == FORWARDED && test_random_below(random, 8) == 0) {
		length = test_random_below(random, 34);
		outcome = length < 14 ? DROP_ETHERNET_TRUNCATED : DROP_IPV4_TRUNCATED;
	} else if (outcome == FORWARDED && test_random_below(random, 16) == 0) {
		buffer[14 + 10]++;
		outcome = DROP_IPV4_CHECKSUM;
	}
	memory_port_queue(&setup->port, buffer, length, headroom);
	if (outcome != FORWARDED && outcome != DROP_ICMP_RATE && outcome != DROP_NO_HEADROOM &&
	    outcome != DROP_NO_BACKEND)
		*vip = UINT32_MAX;
	return outcome;
}

/* Random traffic with backends coming and going; each frame's fate was known before. */
static void test_sums(void **state)
{
	struct setup *setup = *state;
	uint64_t expected[OUTCOMES] = { 0 }, random = 16;
	struct traffic_counter vips[3] = { 0 };

	setup_add_vip(setup, TEST_VIP, 128, 0, 99, 2);
	setup_publish(setup);
	for (uint32_t run = 0; run < 400; run++) {
		uint32_t count = 1 + test_random_below(&random, 100);
		struct traffic_counter backends = { 0 };

		if (run % 10 == 0) {
			struct setup_backend *backend =
				&setup->described[2 + test_random_below(&random, 3)];

			backend->is_present = !backend->is_present;
			backend->weight = (uint16_t)test_random_below(&random, 3);
			setup_publish(setup);
		}
		for (uint32_t i = 0; i < count; i++) {
			uint32_t vip = UINT32_MAX;

			expected[queue_random(setup, &random, &vip)]++;
			if (vip == UINT32_MAX)
				continue;
			vips[vip].packets++;
			vips[vip].bytes += setup->port.frames[setup->port.count - 1].length;
		}
		setup->now += SECOND / 4;
		setup_run(setup);
		memory_port_clear(&setup->port);

		for (uint32_t reason = 0; reason < DROP_REASON_COUNT; reason++) {
			assert_int_equal(setup->counters.dropped[reason], expected[reason]);
			assert_int_equal(setup->port.dropped[reason], expected[reason]);
		}
		assert_int_equal(setup->counters.forwarded.packets, expected[FORWARDED]);
		assert_int_equal(setup->counters.slow_path, expected[TO_SLOW_PATH]);
		for (uint32_t i = 0; i < 3; i++)
			assert_memory_equal(&setup->vip_counters[setup->vips[i].index], &vips[i],
					    sizeof(vips[i]));
		for (uint32_t i = 0; i < SETUP_BACKENDS; i++) {
			backends.packets += setup->backend_counters[i].packets;
			backends.bytes += setup->backend_counters[i].bytes;
		}
		assert_memory_equal(&setup->counters.forwarded, &backends, sizeof(backends));
	}
}

/* The same with a transmit ring and a kernel that take what they like: the sums hold. */
static void test_sums_under_pressure(void **state)
{
	struct setup *setup = *state;
	uint64_t random = 17;

	for (uint32_t run = 0; run < 400; run++) {
		uint32_t count = 1 + test_random_below(&random, 100), vip;

		for (uint32_t i = 0; i < count; i++)
			queue_random(setup, &random, &vip);
		setup->port.send_limit = test_random_below(&random, 40);
		setup->port.deliver_mask = test_random(&random);
		setup_run(setup);
		memory_port_clear(&setup->port);
	}
	assert_true(setup->counters.dropped[DROP_TX_RING_FULL] > 100);
	assert_true(setup->counters.dropped[DROP_SLOW_PATH_REFUSED] > 100);
	assert_true(setup->counters.forwarded.packets > 100);
	assert_true(setup->counters.slow_path > 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_open, setup_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_forwards_to_the_choice),
		TEST(test_batches),
		TEST(test_slow_path),
		TEST(test_any_protocol),
		TEST(test_any_mac),
		TEST(test_malformed),
		TEST(test_unreachable),
		TEST(test_tx_ring_full),
		TEST(test_slow_path_refused),
		TEST(test_sums),
		TEST(test_sums_under_pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
