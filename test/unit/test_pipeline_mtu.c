/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets that do not fit the way to their backend: who is told, who is split, and how. */
#include <fluxpin/icmp.h>

#include "../../src/dataplane/pipeline_internal.h"
#include "pipeline_setup.h"

#define GRE_OVERHEAD 24
#define MF	     0x2000
#define DF	     0x4000
#define RESERVED     0x8000
#define OFFSET	     0x1fff

/* ---- by the pipeline: what fits, what is told, what is dropped ---- */

static int open_mtu(void **state)
{
	struct setup *setup;
	int error = setup_open(state);

	if (error != 0)
		return error;
	setup = *state;
	setup_add_vip(setup, 0, 128, IPPROTO_UDP, 53, 0);
	setup->vips[setup->vip_count - 1].prefix.address = setup_ipv6_address(TEST_VIP);
	setup->port.is_free_form = true;
	return 0;
}

static void publish_mtu(struct setup *setup, uint16_t mtu)
{
	for (uint16_t i = 1; i <= 4; i++)
		setup->described[i].mtu = mtu;
	setup_publish(setup);
	setup->forwarding.icmp_error_rate = RATE_LIMIT_MAX;
}

static void queue_packet(struct setup *setup, bool is_ipv6, uint32_t length, uint16_t fragment)
{
	const struct test_packet packet = { .source = TEST_CLIENT,
					    .destination = TEST_VIP,
					    .source_port = 4000,
					    .destination_port = 53,
					    .protocol = IPPROTO_UDP,
					    .fragment = fragment,
					    .payload = (uint16_t)(length - (is_ipv6 ? 48 : 28)) };
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t size =
		is_ipv6 ? test_build_ipv6(&packet, NULL, 0, buffer) : test_build(&packet, buffer);

	memory_port_queue(&setup->port, buffer, size, SETUP_HEADROOM);
}

/* The MTU that the only answer tells. */
static uint32_t mtu_told(const struct setup *setup, bool is_ipv6)
{
	const uint8_t *message = setup->port.sent[0].data + 14 + (is_ipv6 ? 40 : 20);

	assert_int_equal(setup->port.sent_count, 1);
	return (uint32_t)test_load16(message + 4) << 16 | test_load16(message + 6);
}

enum outcome {
	SENT,
	TOLD,
	DROPPED
};

/* What becomes of one packet; *mtu is what its sender is told. */
static enum outcome outcome_of(struct setup *setup, bool is_ipv6, uint32_t length,
			       uint16_t fragment, uint32_t *mtu)
{
	const struct counters before = setup->counters;
	enum outcome outcome = DROPPED;

	queue_packet(setup, is_ipv6, length, fragment);
	setup_run(setup);
	*mtu = 0;
	if (setup->counters.forwarded.packets > before.forwarded.packets) {
		outcome = SENT;
	} else if (setup->counters.answered > before.answered) {
		outcome = TOLD;
		*mtu = mtu_told(setup, is_ipv6);
	} else {
		assert_int_equal(setup->counters.dropped[DROP_EXCEEDS_MTU],
				 before.dropped[DROP_EXCEEDS_MTU] + 1);
	}
	memory_port_clear(&setup->port);
	return outcome;
}

/* 68 bytes are the least MTU of IPv4: where less is left, its sender could not do with it. */
static void test_ipv4_borders(void **state)
{
	static const uint32_t limits[] = { 28, 67, 68, 69, 575, 576, 577, 1279, 1280 };
	struct setup *setup = *state;
	uint32_t told;

	for (uint32_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		publish_mtu(setup, (uint16_t)(limits[i] + GRE_OVERHEAD));
		assert_int_equal(outcome_of(setup, false, limits[i], DF, &told), SENT);
		assert_int_equal(outcome_of(setup, false, limits[i] + 1, DF, &told),
				 limits[i] < 68 ? DROPPED : TOLD);
		assert_int_equal(told, limits[i] < 68 ? 0 : limits[i]);
	}
	assert_int_equal(setup->counters.parts_sent, 0);
}

/* 1280 is that of IPv6: nobody is told less, and who sends no more is told nothing. */
static void test_ipv6_borders(void **state)
{
	static const uint32_t limits[] = { 100, 1279, 1280, 1281, 1400 };
	struct setup *setup = *state;
	uint32_t told;

	for (uint32_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		publish_mtu(setup, (uint16_t)(limits[i] + GRE_OVERHEAD));
		for (uint32_t length = 1278; length < 1284; length++) {
			enum outcome expected = length <= limits[i] ? SENT
						: length <= 1280    ? DROPPED
								    : TOLD;

			assert_int_equal(outcome_of(setup, true, length, 0, &told), expected);
			if (expected == TOLD)
				assert_int_equal(told, limits[i] > 1280 ? limits[i] : 1280);
		}
	}
}

/* An MTU that does not even hold the outer header. */
static void test_no_room_at_all(void **state)
{
	struct setup *setup = *state;
	uint32_t told;

	for (uint16_t mtu = 0; mtu <= GRE_OVERHEAD; mtu++) {
		publish_mtu(setup, mtu);
		assert_int_equal(outcome_of(setup, false, 100, DF, &told), DROPPED);
		assert_int_equal(outcome_of(setup, false, 100, 0, &told), DROPPED);
		assert_int_equal(outcome_of(setup, true, 1280, 0, &told), DROPPED);
		assert_int_equal(outcome_of(setup, true, 1281, 0, &told), TOLD);
		assert_int_equal(told, 1280);
	}
}

static void test_rate(void **state)
{
	struct setup *setup = *state;

	publish_mtu(setup, 600);
	setup->forwarding.icmp_error_rate = 3;
	for (int i = 0; i < 10; i++)
		queue_packet(setup, i % 2 == 1, 1400, DF);
	setup_run(setup);
	assert_int_equal(setup->counters.answered, 3);
	assert_int_equal(setup->counters.dropped[DROP_ICMP_RATE], 7);
	/* Parts are none of it. */
	queue_packet(setup, false, 1400, 0);
	setup_run(setup);
	assert_int_equal(setup->counters.forwarded.packets, 1);
}

/* ---- splitting, part by part ---- */

/* A batch of one packet that has been matched, with a destination of its own. */
struct split {
	struct memory_port port;
	struct pipeline pipeline;
	struct forwarding forwarding;
	struct destination destination;
	struct batch batch;
	uint8_t original[2 * TEST_FRAME_SIZE];
	uint32_t length; /* of the IP packet */
	uint32_t header;
};

static int open_split(void **state)
{
	struct split *split = aligned_alloc(64, sizeof(*split));

	if (split == NULL)
		return -1;
	memset(split, 0, sizeof(*split));
	memory_port_open(&split->port);
	split->port.is_free_form = true;
	split->pipeline.port = &split->port.port;
	split->forwarding.icmp_error_rate = RATE_LIMIT_MAX;
	*state = split;
	return 0;
}

static int close_split(void **state)
{
	struct split *split = *state;

	memory_port_clear(&split->port);
	free(split);
	return 0;
}

/* Has the packet of the frame split for `limit` bytes of IP packet. Returns its verdict. */
static enum verdict run_split(struct split *split, const uint8_t *frame, uint32_t length,
			      uint32_t limit)
{
	struct packet *packet = &split->batch.packets[0];
	struct match *match = &split->batch.matches[0];

	memory_port_clear(&split->port);
	test_prepare_gre_ipv4(&split->destination, test_own_mac, test_peer_mac, htonl(0x0a000005),
			      htonl(0x0a01000b), limit + GRE_OVERHEAD);
	memory_port_queue(&split->port, frame, length, SETUP_HEADROOM);
	memory_port_receive(&split->port.port, &packet->frame, 1);
	assert_int_equal(packet_parse(packet, NULL), PACKET_IPV4);
	packet->verdict = VERDICT_FORWARD;
	memcpy(split->original, frame + ETHERNET_HEADER_LENGTH, packet->l3_length);
	split->length = packet->l3_length;
	split->header = (split->original[0] & 0x0fu) * 4;
	split->batch.count = split->batch.match_count = 1;
	split->batch.part_count = 0;
	*match = (struct match){ .packet = packet, .destination = &split->destination };
	pipeline_exceeds_mtu(&split->pipeline, &split->forwarding, &split->batch, match);
	return (enum verdict)packet->verdict;
}

/* Frames with the pipeline: the packet's own, and its parts'. None is lost or there twice. */
static uint32_t frames_held(const struct split *split)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < split->port.count; i++)
		held += split->port.frames[i].owner == FRAME_WITH_PIPELINE;
	return held;
}

/* The inner packet of the i-th frame that is to be sent. */
static const uint8_t *sent_packet(const struct split *split, uint32_t i)
{
	const struct frame *frame =
		i == 0 ? &split->batch.packets[0].frame : &split->batch.parts[i - 1].frame;
	const uint8_t *ip = frame->data + ETHERNET_HEADER_LENGTH + GRE_OVERHEAD;

	assert_int_equal(test_checksum(frame->data + ETHERNET_HEADER_LENGTH, 20), 0);
	assert_int_equal(test_load16(frame->data + ETHERNET_HEADER_LENGTH + 2),
			 frame->length - ETHERNET_HEADER_LENGTH);
	assert_int_equal(test_load16(ip + 2),
			 frame->length - ETHERNET_HEADER_LENGTH - GRE_OVERHEAD);
	if (i > 0)
		assert_ptr_equal(split->batch.parts[i - 1].packet, &split->batch.packets[0]);
	return ip;
}

/* That the parts are the packet: its payload at its offsets, once, and its flags. */
static void check_parts(const struct split *split, uint32_t limit)
{
	uint16_t fields = test_load16(split->original + 6);
	uint32_t offset = (fields & OFFSET) * 8u, end = split->length - split->header, at = 0;

	for (uint32_t i = 0; i <= split->batch.part_count; i++) {
		const uint8_t *ip = sent_packet(split, i);
		uint32_t header = (ip[0] & 0x0fu) * 4, size = test_load16(ip + 2) - header;
		uint16_t part = test_load16(ip + 6);
		bool is_last = at + size == end;

		assert_int_equal(test_checksum(ip, header), 0);
		assert_in_range(test_load16(ip + 2), header + 1, limit);
		assert_int_equal((part & OFFSET) * 8u, offset + at);
		assert_int_equal(part & MF, is_last ? fields & MF : MF);
		assert_int_equal(part & (RESERVED | DF), fields & (RESERVED | DF));
		if (!is_last)
			assert_int_equal(size % 8, 0);
		assert_memory_equal(ip + header, split->original + split->header + at, size);
		assert_memory_equal(ip + 4, split->original + 4, 2);
		assert_memory_equal(ip + 8, split->original + 8, 2);
		assert_memory_equal(ip + 12, split->original + 12, 8);
		at += size;
	}
	assert_int_equal(at, end);
	assert_int_equal(frames_held(split), 1 + split->batch.part_count);
}

/* An IPv4 frame of that many bytes of IP packet. */
static uint32_t build_ipv4(uint32_t length, uint8_t option_words, uint16_t fragment,
			   uint8_t *buffer)
{
	const struct test_packet packet = {
		.source = TEST_CLIENT,
		.destination = TEST_VIP,
		.protocol = 132,
		.traffic_class = 0xb9,
		.option_words = option_words,
		.fragment = fragment,
		.payload = (uint16_t)(length - 20 - option_words * 4u),
	};

	return test_build(&packet, buffer);
}

static void test_every_length_and_limit(void **state)
{
	static const uint16_t flags[] = { 0, RESERVED, MF, RESERVED | MF | 185 };
	struct split *split = *state;
	uint8_t frame[TEST_FRAME_SIZE];

	for (uint32_t length = 600; length < 620; length++) {
		for (uint32_t limit = 36; limit < length; limit += 1 + limit / 32) {
			uint32_t size = build_ipv4(length, 0, flags[limit % 4], frame);

			assert_int_equal(run_split(split, frame, size, limit), VERDICT_FORWARD);
			check_parts(split, limit);
		}
	}
}

/* What does not hold a header and 8 bytes holds no part. */
static void test_smallest_parts(void **state)
{
	struct split *split = *state;
	uint8_t frame[TEST_FRAME_SIZE];

	for (uint8_t words = 0; words <= 10; words++) {
		uint32_t header = 20 + words * 4u, size = build_ipv4(header + 70, words, 0, frame);

		for (uint32_t limit = 1; limit < header + 20; limit++) {
			bool is_split = limit >= header + 8;

			assert_int_equal(run_split(split, frame, size, limit),
					 is_split ? VERDICT_FORWARD : VERDICT_DROP);
			if (is_split) {
				check_parts(split, limit);
				continue;
			}
			assert_int_equal(split->batch.packets[0].reason, DROP_EXCEEDS_MTU);
			assert_int_equal(frames_held(split), 1);
		}
	}
}

/*
 * A fragment at every offset: the field has 13 bits, and no packet ends behind byte 65535 (RFC 791
 * section 3.1). What would is nobody's packet.
 */
static void test_offsets_of_fragments(void **state)
{
	struct split *split = *state;
	uint8_t frame[TEST_FRAME_SIZE];

	for (uint32_t offset = 0; offset <= OFFSET; offset += offset < 8000 ? 61 : 1) {
		for (uint16_t flag = 0; flag <= MF; flag += MF) {
			uint16_t fields = (uint16_t)(flag | offset);
			uint32_t payload = 200 + (offset + 1 + flag / MF) % 11;
			uint32_t size = build_ipv4(20 + payload, 0, fields, frame);
			bool is_possible = offset * 8 + payload <= 65535 - 20;

			assert_int_equal(run_split(split, frame, size, 100),
					 is_possible ? VERDICT_FORWARD : VERDICT_DROP);
			if (is_possible) {
				check_parts(split, 100);
				continue;
			}
			assert_int_equal(split->batch.packets[0].reason, DROP_EXCEEDS_MTU);
			assert_int_equal(split->batch.part_count, 0);
			assert_int_equal(frames_held(split), 1);
		}
	}
}

/* With DF nothing is split; of a later fragment nobody is told. */
static void test_fragments_with_df(void **state)
{
	struct split *split = *state;
	uint8_t frame[TEST_FRAME_SIZE];

	for (uint32_t bit = 0; bit < 13; bit++) {
		uint32_t size = build_ipv4(200, 0, (uint16_t)(DF | 1u << bit), frame);

		assert_int_equal(run_split(split, frame, size, 100), VERDICT_DROP);
		assert_int_equal(split->batch.packets[0].reason, DROP_EXCEEDS_MTU);
	}
	assert_int_equal(run_split(split, frame, build_ipv4(200, 0, DF | MF, frame), 100),
			 VERDICT_ANSWER);
	assert_int_equal(split->batch.part_count, 0);
}

/* Options with the flag "copied" go into every part, the others into the first alone; of what
 * cannot be read, nothing does. */
static void test_options(void **state)
{
	static const struct {
		uint8_t options[12];
		uint8_t copied; /* length of the later parts' options */
	} cases[] = {
		{ { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 0 },
		{ { 7, 7, 4, 0, 0, 0, 0, 1, 1, 1, 1, 1 }, 0 },
		{ { 0x83, 7, 4, 10, 0, 0, 1, 1, 1, 1, 1, 1 }, 8 },
		{ { 1, 0x94, 4, 0, 0, 0x88, 4, 9, 9, 1, 1, 1 }, 8 },
		{ { 0x88, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, 12 },
		{ { 0, 0x88, 4, 9, 9, 1, 1, 1, 1, 1, 1, 1 }, 0 },
		{ { 0x94, 4, 0, 0, 0x88, 1, 9, 9, 1, 1, 1, 1 }, 4 },
		{ { 0x94, 4, 0, 0, 0x88, 0, 9, 9, 1, 1, 1, 1 }, 4 },
		{ { 0x94, 4, 0, 0, 0x88, 9, 9, 9, 1, 1, 1, 1 }, 4 },
		{ { 0x94, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0x88 }, 4 },
	};
	struct split *split = *state;
	uint8_t frame[TEST_FRAME_SIZE];

	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t size = build_ipv4(300, 3, 0, frame);
		uint8_t *ip = frame + ETHERNET_HEADER_LENGTH;

		memcpy(ip + 20, cases[i].options, 12);
		test_fix_checksum(ip);
		assert_int_equal(run_split(split, frame, size, 100), VERDICT_FORWARD);
		check_parts(split, 100);
		assert_int_equal(sent_packet(split, 0)[0], 0x48);
		assert_memory_equal(sent_packet(split, 0) + 20, cases[i].options, 12);
		for (uint32_t part = 1; part <= split->batch.part_count; part++)
			assert_int_equal(sent_packet(split, part)[0] & 0xf,
					 5 + cases[i].copied / 4);
	}
	/* Those that are copied, in their order, filled up with ends of options. */
	build_ipv4(300, 3, 0, frame);
	memcpy(frame + ETHERNET_HEADER_LENGTH + 20, cases[2].options, 12);
	test_fix_checksum(frame + ETHERNET_HEADER_LENGTH);
	run_split(split, frame, 314, 100);
	assert_memory_equal(sent_packet(split, 1) + 20, "\x83\x07\x04\x0a\0\0\x01\0", 8);
}

/* Tags and padding: the former in front of each part, the latter nowhere. */
static void test_tags_and_padding(void **state)
{
	struct split *split = *state;
	uint8_t frame[TEST_FRAME_SIZE], tagged[TEST_FRAME_SIZE];
	uint32_t size = build_ipv4(500, 0, 0, frame);

	memcpy(tagged, frame, 12);
	test_store32(tagged + 12, 0x8100a005);
	memcpy(tagged + 16, frame + 12, size - 12);
	memset(tagged + size + 4, 0xee, 20);
	test_prepare_gre_ipv4(&split->destination, test_own_mac, test_peer_mac, 1, 2, 200);
	assert_int_equal(run_split(split, tagged, size + 24, 200), VERDICT_FORWARD);
	assert_int_equal(split->batch.part_count, 2);
	for (uint32_t i = 0; i <= 2; i++) {
		const struct frame *sent =
			i == 0 ? &split->batch.packets[0].frame : &split->batch.parts[i - 1].frame;

		assert_memory_equal(sent->data + 12, "\x81\0\xa0\x05\x08\0", 6);
		assert_int_equal(test_load16(sent->data + 18 + 2), sent->length - 18);
	}
}

/* No frames for all parts: none is sent, and what was taken goes back. */
static void test_no_frames(void **state)
{
	struct split *split = *state;
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t size = build_ipv4(1000, 0, 0, frame);

	assert_int_equal(run_split(split, frame, size, 200), VERDICT_FORWARD);
	assert_int_equal(split->batch.part_count, 5);
	for (uint32_t frames = 0; frames <= 5; frames++) {
		split->port.allocate_limit = frames;
		assert_int_equal(run_split(split, frame, size, 200),
				 frames == 5 ? VERDICT_FORWARD : VERDICT_DROP);
		assert_int_equal(frames_held(split), frames == 5 ? 6 : 1);
		if (frames == 5)
			continue;
		assert_int_equal(split->batch.packets[0].reason, DROP_NO_FRAME);
		assert_int_equal(split->batch.part_count, 0);
	}
}

/* As many parts as a batch has room for, and one more. */
static void test_room_of_a_batch(void **state)
{
	struct split *split = *state;
	uint8_t frame[2 * TEST_FRAME_SIZE];
	uint32_t size = build_ipv4(20 + 8 * (BATCH_PARTS + 1), 0, 0, frame);

	assert_int_equal(run_split(split, frame, size, 28), VERDICT_FORWARD);
	assert_int_equal(split->batch.part_count, BATCH_PARTS);
	check_parts(split, 28);
	size = build_ipv4(20 + 8 * (BATCH_PARTS + 1) + 1, 0, 0, frame);
	assert_int_equal(run_split(split, frame, size, 28), VERDICT_DROP);
	assert_int_equal(split->batch.packets[0].reason, DROP_NO_FRAME);
	assert_int_equal(frames_held(split), 1);
}

#define with_mtu(test)	 cmocka_unit_test_setup_teardown(test, open_mtu, setup_close)
#define with_split(test) cmocka_unit_test_setup_teardown(test, open_split, close_split)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_mtu(test_ipv4_borders),
		with_mtu(test_ipv6_borders),
		with_mtu(test_no_room_at_all),
		with_mtu(test_rate),
		with_split(test_every_length_and_limit),
		with_split(test_smallest_parts),
		with_split(test_offsets_of_fragments),
		with_split(test_fragments_with_df),
		with_split(test_options),
		with_split(test_tags_and_padding),
		with_split(test_no_frames),
		with_split(test_room_of_a_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
