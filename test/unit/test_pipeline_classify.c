/* SPDX-License-Identifier: BSD-2-Clause */
/* That plain packets are judged by one body of their own makes no difference: every frame gets what
 * the general way gives it. */
#include "pipeline_setup.h"

#include "../../src/dataplane/pipeline_internal.h"

#define ROUNDS	   200000
#define VIP_NET	   0xc0000200 /* 192.0.2.0/24: every port and protocol */
#define VIP_SOURCE 0xcb00710b /* by source; of IPv4, without tracking */
#define TUNNEL_END 0x0a000005

struct trial {
	struct pipeline pipeline;
	struct connection_table connections;
	struct fragment_table fragments;
	struct counters counters;
	struct traffic_counter *vips;
	struct batch batch;
	uint8_t *frame; /* as long as the frame is, for AddressSanitizer to fence */
};

static struct trial *open_trial(void)
{
	struct trial *trial = aligned_alloc(64, (sizeof(*trial) + 63) / 64 * 64);
	void *buckets = aligned_alloc(64, connection_table_size(CONNECTION_MIN_CAPACITY));
	size_t size = (fragment_table_size(FRAGMENT_MIN_CAPACITY) + 63) / 64 * 64;

	assert_non_null(trial);
	assert_non_null(buckets);
	memset(trial, 0, sizeof(*trial));
	memset(buckets, 0, connection_table_size(CONNECTION_MIN_CAPACITY));
	connection_table_initialise(&trial->connections, buckets, CONNECTION_MIN_CAPACITY);
	fragment_table_initialise(&trial->fragments, aligned_alloc(64, size), FRAGMENT_MIN_CAPACITY,
				  FRAGMENT_MOST_HELD, SETUP_FRAGMENT_TIMEOUT);
	trial->vips = calloc(65536, sizeof(*trial->vips));
	assert_non_null(trial->vips);
	trial->pipeline = (struct pipeline){
		.connections = &trial->connections,
		.fragments = &trial->fragments,
		.counters = &trial->counters,
		.vips = trial->vips,
		.interface = 1,
	};
	return trial;
}

static void close_trial(struct trial *trial)
{
	free(trial->connections.buckets);
	free(trial->fragments.datagrams);
	free(trial->vips);
	free(trial->frame);
	free(trial);
}

/* One frame of a batch, by one of the two ways. */
static struct packet *run(struct setup *setup, struct trial *trial, const uint8_t *frame,
			  uint32_t length, bool is_general)
{
	struct batch *batch = &trial->batch;
	struct packet *packet = &batch->packets[0];

	free(trial->frame);
	trial->frame = test_exact_copy(frame, length);
	batch->count = batch->total = 1;
	batch->match_count = batch->part_count = 0;
	batch->now_ns = setup->now;
	batch->second = setup->now / SECOND;
	memset(packet, 0xa5, sizeof(*packet));
	memset(batch->matches, 0xa5, sizeof(batch->matches[0]));
	batch->frames[0] = (struct frame){ .data = trial->frame, .length = length };
	if (is_general) {
		packet->frame = batch->frames[0];
		pipeline_match(&trial->pipeline, &setup->forwarding, batch, packet, 0);
	} else {
		pipeline_adopt_settings(&trial->pipeline, &setup->forwarding);
		pipeline_classify(&trial->pipeline, &setup->forwarding, batch, 1);
	}
	return packet;
}

/* Returns whether it went by the fast way. */
static bool compare(struct trial *plain, const struct trial *general)
{
	const struct packet *a = &plain->batch.packets[0], *b = &general->batch.packets[0];
	const struct match *y = &general->batch.matches[0];
	struct match *x = &plain->batch.matches[0];
	bool is_plain = x->frame == &plain->batch.frames[0];

	assert_int_equal(a->verdict, b->verdict);
	if (a->verdict == VERDICT_DROP)
		assert_int_equal(a->reason, b->reason);
	assert_int_equal(plain->batch.match_count, general->batch.match_count);
	if (plain->batch.match_count == 0) {
		assert_ptr_equal(a->frame.data, plain->frame);
		assert_int_equal(a->frame.length, b->frame.length);
		return false;
	}
	assert_ptr_equal(x->packet, a);
	assert_ptr_equal(x->frame->data, plain->frame);
	assert_int_equal(x->frame->length, y->frame->length);
	assert_true(x->hash == y->hash);
	assert_int_equal(x->length, y->length);
	assert_int_equal(x->traffic_class, y->traffic_class);
	assert_int_equal(x->is_ipv6, y->is_ipv6);
	assert_int_equal(x->bare_length, y->bare_length);
	assert_ptr_equal(x->vip, y->vip);
	assert_int_equal(x->kind, y->kind);
	if (x->kind == MATCH_TRACKED) {
		assert_int_equal(x->event, y->event);
		assert_int_equal(x->bucket - plain->connections.buckets,
				 y->bucket - general->connections.buckets);
	}
	if (x->vip->by_source)
		assert_true(x->source_hash == y->source_hash);
	/* The packet as a whole, when it is read after all. */
	pipeline_read_packet(x);
	assert_ptr_equal(x->frame, &a->frame);
	assert_ptr_equal(a->frame.data, plain->frame);
	assert_true(a->hash == b->hash);
	assert_int_equal(a->vip, b->vip);
	assert_int_equal(a->l3_offset, b->l3_offset);
	assert_int_equal(a->l4_offset, b->l4_offset);
	assert_int_equal(a->l3_length, b->l3_length);
	assert_int_equal(a->protocol, b->protocol);
	assert_int_equal(a->traffic_class, b->traffic_class);
	assert_int_equal(a->tcp_flags, b->tcp_flags);
	assert_int_equal(a->is_fragment, b->is_fragment);
	assert_int_equal(a->is_ipv6, b->is_ipv6);
	assert_int_equal(a->tag_count, b->tag_count);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(plain->vips[a->vip].packets, general->vips[a->vip].packets);
	assert_int_equal(plain->vips[a->vip].bytes, general->vips[a->vip].bytes);
	return is_plain;
}

/* Values that matter somewhere. */
static uint8_t odd_byte(uint64_t *random)
{
	static const uint8_t bytes[] = { 0,    1,    4,	   5,	 6,    0x0f, 0x10, 0x20, 0x40,
					 0x45, 0x46, 0x50, 0x60, 0x6f, 0x7f, 0x80, 0xdf, 0xe0,
					 0xef, 0xfe, 0xff, 17,	 58,   47,   41 };

	if (test_random_below(random, 4) == 0)
		return (uint8_t)test_random(random);
	return bytes[test_random_below(random, sizeof(bytes))];
}

/* What GUE begins with, and a packet inside that nobody would forward. */
static void write_gue(uint8_t *payload)
{
	payload[0] = 0;
	payload[1] = IPPROTO_IPIP;
	payload[4] = 0;
}

/* Header lengths that are odd, behind checksums that are right for both. */
static void change_ihl(uint64_t *random, uint8_t *ip, bool has_options)
{
	/* Ends of the list, which a sum does not show. */
	if (has_options)
		memset(ip + IPV4_HEADER_LENGTH, 0, (ip[0] & 0x0fu) * 4 - IPV4_HEADER_LENGTH);
	else if (test_random_below(random, 16) == 0)
		ip[0] = (uint8_t)(0x40 | test_random_below(random, 5));
	test_store16(ip + 10, 0);
	test_store16(ip + 10, test_checksum(ip, IPV4_HEADER_LENGTH));
}

/* Sources that may not send, and some that may though they look like it. */
static void change_ipv6_source(uint64_t *random, uint8_t *ip)
{
	static const uint8_t sources[][16] = {
		{ 0 },
		{ [15] = 1 },
		{ [15] = 2 },
		{ [10] = 0xff, 0xff, 198, 51, 100, 7 },
		{ 0x00, 0x64, 0xff, 0x9b, [15] = 1 },
		{ 0xfe, 0x80, [15] = 1 },
		{ 0xfe, 0xbf, [15] = 1 },
		{ 0xfe, 0xc0, [15] = 1 },
		{ 0xfd, [15] = 1 },
		{ 0xff, 2, [15] = 1 },
	};
	uint32_t kind = test_random_below(random, 32);

	if (kind < sizeof(sources) / sizeof(sources[0]))
		memcpy(ip + 8, sources[kind], 16);
	else if (kind < 12)
		memcpy(ip + 8, ip + 24, 16);
	else if (kind < 13)
		memcpy(ip + 8, ip + 24, 8);
	if (kind == 13)
		memcpy(ip + 24, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	else if (kind == 14)
		memcpy(ip + 24, "\xfe\x80\0\0", 4);
}

static struct test_packet random_packet(uint64_t *random)
{
	static const uint32_t destinations[] = { TEST_VIP,    TEST_VIP,	  TEST_VIP + 1,
						 VIP_NET + 7, VIP_SOURCE, TEST_VIP ^ 0x100,
						 TUNNEL_END,  TEST_CLIENT };
	static const uint32_t sources[] = { TEST_CLIENT, TEST_CLIENT, 0x7f000001, 1,
					    0xe0000001,	 0xdf000001,  TEST_VIP };
	static const uint16_t ports[] = { 80, 53, 443, ENCAPSULATION_GUE_PORT, 0 };

	return (struct test_packet){
		.source = sources[test_random_below(random, 7)],
		.destination = destinations[test_random_below(random, 8)],
		.source_port = (uint16_t)test_random(random),
		.destination_port = ports[test_random_below(random, 5)],
		.protocol = test_random_below(random, 3) == 0 ? IPPROTO_UDP : IPPROTO_TCP,
		.tcp_flags = (uint8_t)test_random(random),
		.traffic_class = (uint8_t)test_random(random),
		.option_words = test_random_below(random, 8) == 0 ? 1 : 0,
		.payload = (uint16_t)test_random_below(random, 40),
		.padding = (uint16_t)test_random_below(random, 8),
	};
}

/* A plain packet, to a VIP or nearly so, of which a few bytes of the headers are changed. */
static uint32_t make_frame(uint64_t *random, uint8_t *frame)
{
	struct test_packet packet = random_packet(random);
	bool is_ipv6 = test_random_below(random, 2) == 0;
	uint32_t length =
		is_ipv6 ? test_build_ipv6(&packet, NULL, 0, frame) : test_build(&packet, frame);
	uint8_t *ip = frame + ETHERNET_HEADER_LENGTH;
	uint32_t changes = test_random_below(random, 4);

	if (packet.protocol == IPPROTO_UDP && test_random_below(random, 2) == 0)
		write_gue(ip + (is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH) + 8);
	if (is_ipv6)
		change_ipv6_source(random, ip);
	else
		change_ihl(random, ip, packet.option_words > 0);
	for (uint32_t i = 0; i < changes; i++)
		frame[test_random_below(random, length < 80 ? length : 80)] = odd_byte(random);
	if (!is_ipv6 && test_random_below(random, 8) > 0 && (frame[14] & 0x0f) * 4u + 14 <= length)
		test_fix_checksum(ip);
	if (test_random_below(random, 10) == 0)
		length = test_random_below(random, length + 1);
	return length;
}

static void add_vips(struct setup *setup)
{
	static const uint16_t ports[] = { 80, 53, ENCAPSULATION_GUE_PORT };

	setup_add_vip(setup, VIP_NET, 120, 0, 0, 1);
	setup_add_vip(setup, VIP_SOURCE, 128, IPPROTO_TCP, 80, 0);
	setup->vips[setup->vip_count - 1].by_source = true;
	setup->vips[setup->vip_count - 1].tracking = false;
	setup_add_vip(setup, TEST_VIP, 128, IPPROTO_UDP, ENCAPSULATION_GUE_PORT, 0);
	for (int i = 0; i < 3; i++) {
		setup_add_vip(setup, TEST_VIP, 128, i == 0 ? IPPROTO_TCP : IPPROTO_UDP, ports[i],
			      0);
		setup->vips[setup->vip_count - 1].prefix.address = setup_ipv6_address(TEST_VIP);
	}
	setup_add_vip(setup, VIP_SOURCE, 128, IPPROTO_TCP, 80, 1);
	setup->vips[setup->vip_count - 1].prefix.address = setup_ipv6_address(VIP_SOURCE);
	setup->vips[setup->vip_count - 1].by_source = true;
	setup_add_vip(setup, TEST_VIP + 1, 128, 0, 0, 1);
	setup->vips[setup->vip_count - 1].prefix.address = setup_ipv6_address(TEST_VIP + 1);
	setup_publish(setup);
	setup->forwarding.icmp_echo_rate = setup->forwarding.icmp_error_rate = 1000000;
}

static void test_same_as_the_general_way(void **state)
{
	const struct address own[] = { address_from_ipv4(htonl(TEST_VIP)),
				       setup_ipv6_address(TEST_VIP),
				       address_from_ipv4(htonl(TUNNEL_END)),
				       setup_ipv6_address(TUNNEL_END) };
	const struct prefix sources[] = { { .address = address_from_ipv4(0), .length = 96 },
					  { .address = own[1], .length = 32 } };
	/* Tunnels end at the address of a VIP, among others. */
	const struct decapsulation decapsulation = {
		.sources = sources, .addresses = own, .source_count = 2, .address_count = 2
	};
	struct setup *setup = *state;
	struct trial *plain = open_trial(), *general = open_trial();
	uint64_t random = 11, matched = 0, dropped = 0, kernel = 0, fast = 0;
	uint8_t frame[TEST_FRAME_SIZE];

	add_vips(setup);
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t length = make_frame(&random, frame);

		setup->interfaces[1].any_mac = i % 3 == 0;
		setup->forwarding.decapsulation = i % 5 == 0 ? &decapsulation : NULL;
		run(setup, plain, frame, length, false);
		run(setup, general, frame, length, true);
		fast += compare(plain, general);
		matched += plain->batch.match_count;
		dropped += plain->batch.packets[0].verdict == VERDICT_DROP;
		kernel += plain->batch.packets[0].verdict == VERDICT_SLOW_PATH;
	}
	/* All three are there, and the fast way. */
	assert_true(fast > matched / 4);
	assert_in_range(matched, ROUNDS / 50, ROUNDS);
	assert_in_range(dropped, ROUNDS / 50, ROUNDS);
	assert_in_range(kernel, ROUNDS / 50, ROUNDS);
	close_trial(plain);
	close_trial(general);
}

/* Every checksum of a header but one is wrong, whatever word it is summed in, and whatever carries
 * there are. */
static void test_checksums(void **state)
{
	struct setup *setup = *state;
	struct trial *trial = open_trial();
	uint64_t random = 12;

	for (int i = 0; i < 8; i++) {
		struct test_packet packet = { .source = 0x50000000 +
							test_random_below(&random, 1u << 28),
					      .destination = TEST_VIP,
					      .source_port = 4000,
					      .destination_port = 80,
					      .protocol = IPPROTO_TCP,
					      .tcp_flags = TCP_FLAG_ACK,
					      .traffic_class = (uint8_t)test_random(&random) };
		uint8_t frame[TEST_FRAME_SIZE];
		uint32_t length = test_build(&packet, frame);
		uint16_t right;

		/* A source that makes sums of 8 bytes overflow, with DF. */
		if (i < 4) {
			test_store16(frame + 14 + 14, 0xf0ff);
			frame[14 + 6] = 0x40;
		}
		test_store16(frame + 14 + 4, test_random(&random) & 0xffff);
		test_fix_checksum(frame + 14);
		right = test_load16(frame + 14 + 10);
		for (uint32_t sum = 0; sum <= 0xffff; sum++) {
			struct packet *result;

			test_store16(frame + 14 + 10, sum);
			result = run(setup, trial, frame, length, false);
			assert_int_equal(result->verdict,
					 sum == right ? VERDICT_FORWARD : VERDICT_DROP);
		}
	}
	close_trial(trial);
}

/* A frame of more than 65535 bytes, as no port has them: still the same is said of it. */
static void test_jumbo(void **state)
{
	const uint32_t most = ETHERNET_HEADER_LENGTH + IPV6_HEADER_LENGTH + UINT16_MAX;
	struct setup *setup = *state;
	struct trial *plain = open_trial(), *general = open_trial();
	struct test_packet packet = { .source = TEST_CLIENT,
				      .destination = TEST_VIP,
				      .destination_port = 80,
				      .protocol = IPPROTO_TCP };
	uint8_t *frame = calloc(1, most), start[TEST_FRAME_SIZE];
	uint32_t length;

	assert_non_null(frame);
	add_vips(setup);
	length = test_build_ipv6(&packet, NULL, 0, start);
	memcpy(frame, start, length);
	for (uint32_t payload = UINT16_MAX - IPV6_HEADER_LENGTH - 1; payload <= UINT16_MAX;
	     payload++) {
		test_store16(frame + ETHERNET_HEADER_LENGTH + 4, payload);
		run(setup, plain, frame, most, false);
		run(setup, general, frame, most, true);
		compare(plain, general);
	}
	free(frame);
	close_trial(plain);
	close_trial(general);
}

/* What is plain goes the fast way. */
static void test_plain(void **state)
{
	struct setup *setup = *state;
	struct trial *plain = open_trial(), *general = open_trial();
	struct test_packet packet = { .source = TEST_CLIENT, .destination = TEST_VIP };
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length;

	add_vips(setup);
	for (int i = 0; i < 16; i++) {
		packet.protocol = i % 2 == 0 ? IPPROTO_TCP : IPPROTO_UDP;
		packet.destination_port = i % 2 == 0 ? 80 : 53;
		packet.payload = i / 4 % 2 == 0 ? 6 : 1000;
		packet.padding = i / 4 % 2 == 0 ? 12 : 0;
		packet.tcp_flags = (uint8_t)i;
		setup->interfaces[1].any_mac = i >= 8;
		length = i / 2 % 2 == 0 ? test_build(&packet, frame)
					: test_build_ipv6(&packet, NULL, 0, frame);
		run(setup, plain, frame, length, false);
		run(setup, general, frame, length, true);
		assert_int_equal(plain->batch.match_count, 1);
		assert_true(compare(plain, general));
	}
	close_trial(plain);
	close_trial(general);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_as_the_general_way, setup_open,
						setup_close),
		cmocka_unit_test_setup_teardown(test_checksums, setup_open, setup_close),
		cmocka_unit_test_setup_teardown(test_plain, setup_open, setup_close),
		cmocka_unit_test_setup_teardown(test_jumbo, setup_open, setup_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
