/* SPDX-License-Identifier: BSD-2-Clause */
/* ICMP messages: what is an error, what it quotes, and answers. */
#include "icmp_messages.h"

/* ---- validity and type ---- */

static void test_type_and_validity(void **state)
{
	struct message message;
	struct held held;

	(void)state;
	for (int family = 0; family < 2; family++) {
		for (uint32_t length = 0; length < 12; length++) {
			make(&message, family == 1, VIP, 77, 0, length);
			hold(&held, message.frame, end_of(&message));
			assert_int_equal(icmp_type(&held.packet), length > 0 ? 77 : 0xff);
			assert_int_equal(icmp_is_valid(&held.packet), length >= 8);
			let_go(&held);
		}
		make(&message, family == 1, VIP, 8, 0, 61);
		for (uint32_t bit = 0; bit < 61 * 8; bit++) {
			message.frame[message.offset + bit / 8] ^= (uint8_t)(1 << bit % 8);
			hold(&held, message.frame, end_of(&message));
			assert_false(icmp_is_valid(&held.packet));
			let_go(&held);
			message.frame[message.offset + bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

/* A checksum that comes out as 0 is 0xffff as well: both are the same number. */
static void test_checksums_of_0(void **state)
{
	static const uint16_t both[] = { 0, 0xffff };
	struct message message;
	struct held held;

	(void)state;
	for (int family = 0; family < 2; family++) {
		for (int i = 0; i < 2; i++) {
			make(&message, family == 1, VIP, 8, 0, 8);
			test_store16(message.frame + message.offset + 4,
				     test_load16(message.frame + message.offset + 2));
			test_store16(message.frame + message.offset + 2, both[i]);
			hold(&held, message.frame, end_of(&message));
			assert_true(icmp_is_valid(&held.packet));
			let_go(&held);
		}
	}
	/* Without a pseudo-header zeros sum up to 0, of which the checksum is 0xffff. */
	make(&message, false, VIP, 0, 0, 8);
	assert_int_equal(test_load16(message.frame + message.offset + 2), 0xffff);
	hold(&held, message.frame, end_of(&message));
	assert_true(icmp_is_valid(&held.packet));
	let_go(&held);
	test_store16(message.frame + message.offset + 2, 0);
	hold(&held, message.frame, end_of(&message));
	assert_false(icmp_is_valid(&held.packet));
	let_go(&held);
}

/* ---- what is an error ---- */

static void test_errors_by_type(void **state)
{
	struct message message;
	struct held held;

	(void)state;
	for (uint32_t type = 0; type < 256; type++) {
		bool is_error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;

		make(&message, false, VIP, (uint8_t)type, 0, 8);
		hold(&held, message.frame, end_of(&message));
		assert_int_equal(icmp_is_error(&held.packet), is_error);
		/* The other family's protocol is some protocol. */
		held.packet.protocol = IPPROTO_ICMPV6;
		assert_false(icmp_is_error(&held.packet));
		let_go(&held);
		make(&message, true, VIP, (uint8_t)type, 0, 8);
		hold(&held, message.frame, end_of(&message));
		assert_int_equal(icmp_is_error(&held.packet), type < 128);
		held.packet.protocol = IPPROTO_ICMP;
		assert_false(icmp_is_error(&held.packet));
		let_go(&held);
	}
}

/* An IPv6 fragment with these headers in front of `type`. */
static bool is_error_in(const struct test_extension *extensions, uint32_t count, uint8_t protocol,
			uint8_t type, uint32_t payload)
{
	const struct test_packet packet = { .source = CLIENT,
					    .destination = VIP,
					    .protocol = protocol,
					    .payload = (uint16_t)payload };
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = test_build_ipv6(&packet, extensions, count, frame);
	struct held held;
	bool is_error;

	if (payload > 0)
		frame[length - payload] = type;
	hold(&held, frame, length);
	is_error = icmp_is_error(&held.packet);
	let_go(&held);
	return is_error;
}

/* The type is behind the fragment header, and behind others that may follow it. */
static void test_ipv6_fragments(void **state)
{
	static const struct test_extension first[] = { { IPPROTO_HOPOPTS, 0, 0 },
						       { IPPROTO_FRAGMENT, 0, 0x0001 },
						       { IPPROTO_DSTOPTS, 1, 0 } };
	static const struct test_extension later = { IPPROTO_FRAGMENT, 0, 0x0008 };
	static const struct test_extension later_of_more = { IPPROTO_FRAGMENT, 0, 0xfff9 };
	static const struct test_extension atomic = { IPPROTO_FRAGMENT, 0, 0 };

	(void)state;
	for (uint32_t type = 0; type < 256; type++) {
		uint8_t byte = (uint8_t)type;

		assert_int_equal(is_error_in(&atomic, 1, 58, byte, 8), type < 128);
		assert_int_equal(is_error_in(first + 1, 1, 58, byte, 8), type < 128);
		assert_int_equal(is_error_in(first, 2, 58, byte, 8), type < 128);
		assert_int_equal(is_error_in(first, 3, 58, byte, 8), type < 128);
		assert_false(is_error_in(first + 1, 1, IPPROTO_UDP, byte, 8));
		/* Of a later one the type is unknown: it may be any. */
		assert_true(is_error_in(&later, 1, 58, byte, 8));
		assert_true(is_error_in(&later_of_more, 1, 58, byte, 8));
		assert_false(is_error_in(&later, 1, IPPROTO_UDP, byte, 8));
	}
	/* Nothing behind the headers. */
	assert_true(is_error_in(first + 1, 1, 58, 0, 0));
	assert_false(is_error_in(first + 1, 1, IPPROTO_UDP, 0, 0));
}

static void test_ipv4_fragments(void **state)
{
	struct message message;
	struct held held;

	(void)state;
	for (uint32_t type = 0; type < 256; type++) {
		bool is_error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;

		make(&message, false, VIP, (uint8_t)type, 0, 8);
		test_store16(message.frame + ETHERNET_HEADER_LENGTH + 6, 0x2000);
		test_fix_checksum(message.frame + ETHERNET_HEADER_LENGTH);
		hold(&held, message.frame, end_of(&message));
		assert_int_equal(icmp_is_error(&held.packet), is_error);
		let_go(&held);
		test_store16(message.frame + ETHERNET_HEADER_LENGTH + 6, 0x0001);
		test_fix_checksum(message.frame + ETHERNET_HEADER_LENGTH);
		hold(&held, message.frame, end_of(&message));
		assert_true(icmp_is_error(&held.packet));
		held.packet.protocol = IPPROTO_UDP;
		assert_false(icmp_is_error(&held.packet));
		let_go(&held);
	}
}

/* ---- quotes ---- */

/* An error to the VIP that quotes a packet of it to the client. Returns how long that is. */
static uint32_t make_error(const struct test_packet *quoted, bool is_ipv6,
			   const struct test_extension *extensions, uint32_t count,
			   struct message *error)
{
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = is_ipv6 ? test_build_ipv6(quoted, extensions, count, frame)
				  : test_build(quoted, frame);

	length -= ETHERNET_HEADER_LENGTH;
	make(error, is_ipv6, VIP, is_ipv6 ? 1 : 3, 1, ICMP_HEADER_LENGTH + length);
	memcpy(error->frame + error->offset + ICMP_HEADER_LENGTH, frame + ETHERNET_HEADER_LENGTH,
	       length);
	fix_message(error);
	return length;
}

static struct test_packet quoted_packet(uint8_t protocol)
{
	return (struct test_packet){ .source = VIP,
				     .destination = CLIENT,
				     .source_port = 0x1234,
				     .destination_port = 0xabcd,
				     .protocol = protocol,
				     .payload = 12 };
}

static bool read_quote(const struct message *error, struct icmp_quote *quote)
{
	struct held held;
	bool is_read;

	hold(&held, error->frame, end_of(error));
	is_read = icmp_read_quote(&held.packet, quote);
	let_go(&held);
	return is_read;
}

static void check_quote(const struct icmp_quote *quote, bool is_ipv6, uint8_t protocol)
{
	bool has_ports = protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;

	assert_int_equal(quote->is_ipv6, is_ipv6);
	assert_int_equal(quote->protocol, protocol);
	assert_int_equal(quote->source_port_be, has_ports ? htons(0x1234) : 0);
	assert_int_equal(quote->destination_port_be, has_ports ? htons(0xabcd) : 0);
	assert_int_equal(quote->source.words_be[3], htonl(VIP));
	assert_int_equal(quote->destination.words_be[3], htonl(CLIENT));
}

static void test_quotes_cut_at_every_byte(void **state)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, 132, 50 };
	struct message error;
	struct icmp_quote quote;

	(void)state;
	for (int i = 0; i < 8; i++) {
		bool is_ipv6 = i % 2 == 1;
		struct test_packet quoted = quoted_packet(protocols[i / 2]);
		uint32_t header = is_ipv6 ? 40 : 20, length;

		length = make_error(&quoted, is_ipv6, NULL, 0, &error);
		for (uint32_t cut = 0; cut <= length; cut++) {
			bool is_whole = cut >= header + 4;

			set_length(&error, ICMP_HEADER_LENGTH + cut);
			assert_int_equal(read_quote(&error, &quote), is_whole);
			if (is_whole)
				check_quote(&quote, is_ipv6, quoted.protocol);
			/* Whom it is about is known as soon as the header is there. */
			assert_int_equal(address_is_zero(&quote.source), cut < header);
		}
	}
}

static void test_quotes_with_options(void **state)
{
	struct message error;
	struct icmp_quote quote;

	(void)state;
	for (uint8_t words = 0; words <= 10; words++) {
		struct test_packet quoted = quoted_packet(IPPROTO_TCP);

		quoted.option_words = words;
		make_error(&quoted, false, NULL, 0, &error);
		for (uint32_t cut = 20 + 4u * words; cut < 28 + 4u * words; cut++) {
			set_length(&error, ICMP_HEADER_LENGTH + cut);
			assert_int_equal(read_quote(&error, &quote), cut >= 24 + 4u * words);
		}
		check_quote(&quote, false, IPPROTO_TCP);
	}
	/* A header length below the least, or beyond what is quoted. */
	for (uint32_t words = 0; words < 16; words++) {
		struct test_packet quoted = quoted_packet(IPPROTO_TCP);

		make_error(&quoted, false, NULL, 0, &error);
		error.frame[error.offset + 8] = (uint8_t)(0x40 | words);
		fix_message(&error);
		/* 20 + 20 + 12 bytes are quoted. */
		assert_int_equal(read_quote(&error, &quote), words >= 5 && words <= 12);
	}
}

static void test_quotes_with_extensions(void **state)
{
	static const struct test_extension extensions[] = {
		{ IPPROTO_HOPOPTS, 0, 0 },  { IPPROTO_DSTOPTS, 2, 0 }, { IPPROTO_ROUTING, 0, 0 },
		{ IPPROTO_FRAGMENT, 0, 1 }, { IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 },
		{ IPPROTO_DSTOPTS, 0, 0 },  { IPPROTO_DSTOPTS, 0, 0 }, { IPPROTO_DSTOPTS, 0, 0 },
	};
	struct message error;
	struct icmp_quote quote;

	(void)state;
	for (uint32_t count = 0; count <= 9; count++) {
		struct test_packet quoted = quoted_packet(IPPROTO_UDP);
		uint32_t length = make_error(&quoted, true, extensions, count, &error);
		uint32_t least = length - 20 + 4;

		for (uint32_t cut = 40; cut <= length; cut++) {
			bool is_readable = cut >= least && count <= 8;

			set_length(&error, ICMP_HEADER_LENGTH + cut);
			assert_int_equal(read_quote(&error, &quote), is_readable);
			if (is_readable)
				check_quote(&quote, true, IPPROTO_UDP);
		}
	}
}

static void test_quotes_that_are_none(void **state)
{
	struct test_packet quoted = quoted_packet(IPPROTO_TCP);
	struct test_extension later = { IPPROTO_FRAGMENT, 0, 0 };
	struct message error;
	struct icmp_quote quote;

	(void)state;
	for (int family = 0; family < 2; family++) {
		for (uint32_t version = 0; version < 16; version++) {
			uint8_t *first;

			make_error(&quoted, family == 1, NULL, 0, &error);
			first = error.frame + error.offset + ICMP_HEADER_LENGTH;
			*first = (uint8_t)(version << 4 | (*first & 0xf));
			fix_message(&error);
			assert_int_equal(read_quote(&error, &quote),
					 version == (family == 1 ? 6 : 4));
		}
	}
	/* A first fragment tells its ports, a later one does not, at either end of the field. */
	for (uint32_t bit = 0; bit < 16; bit++) {
		quoted.fragment = (uint16_t)(1u << bit);
		make_error(&quoted, false, NULL, 0, &error);
		assert_int_equal(read_quote(&error, &quote), bit >= 13);
		later.fragment = (uint16_t)(1u << bit);
		make_error(&quoted, true, &later, 1, &error);
		assert_int_equal(read_quote(&error, &quote), bit < 3);
	}
}

/* ---- answers ---- */

static void test_echo_answers(void **state)
{
	struct message message;
	struct held held;

	(void)state;
	for (int family = 0; family < 2; family++) {
		for (uint32_t length = 8; length < 80; length++) {
			uint8_t *at;

			make(&message, family == 1, VIP, family == 1 ? 128 : 8, 9, length);
			at = message.frame + message.offset;
			for (uint32_t i = 4; i < length; i++)
				at[i] = (uint8_t)(length * i);
			fix_message(&message);
			hold(&held, message.frame, end_of(&message));
			held.packet.traffic_class = 0xb9;
			icmp_answer_echo(&held.packet);
			check_answer(&held.packet, 0, family == 1, length, 0xb9);
			check_ends(&held.packet, VIP, CLIENT);
			assert_int_equal(held.packet.frame.data - held.block, HEADROOM);
			assert_int_equal(held.packet.frame.data[held.packet.l4_offset],
					 family == 1 ? 129 : 0);
			assert_int_equal(held.packet.frame.data[held.packet.l4_offset + 1], 0);
			assert_memory_equal(held.packet.frame.data + held.packet.l4_offset + 4,
					    at + 4, length - 4);
			let_go(&held);
		}
	}
}

/* Whatever the identifier, checksums of 0 and 0xffff among the answers. */
static void test_echo_checksums(void **state)
{
	struct message message;
	struct held held;

	(void)state;
	for (int family = 0; family < 2; family++) {
		for (uint32_t identifier = 0; identifier < 65536; identifier += 3) {
			make(&message, family == 1, VIP, family == 1 ? 128 : 8, 0, 8);
			test_store16(message.frame + message.offset + 4, identifier);
			fix_message(&message);
			hold(&held, message.frame, end_of(&message));
			icmp_answer_echo(&held.packet);
			check_answer(&held.packet, 0, family == 1, 8, 0);
			let_go(&held);
		}
	}
}

/* Tags stay, options and extension headers go: the frame begins further behind. */
static void test_echo_moves_the_frame(void **state)
{
	static const struct test_extension extensions[] = { { IPPROTO_HOPOPTS, 0, 0 },
							    { IPPROTO_DSTOPTS, 4, 0 } };
	uint8_t frame[TEST_FRAME_SIZE], tagged[TEST_FRAME_SIZE];
	struct held held;

	(void)state;
	for (int i = 0; i < 6; i++) {
		bool is_ipv6 = i >= 3;
		uint32_t tags = (uint32_t)i % 3, gone = is_ipv6 ? 48 : 40;
		struct test_packet packet = { .source = CLIENT,
					      .destination = VIP,
					      .protocol = is_ipv6 ? 58 : 1,
					      .option_words = 10,
					      .payload = 16,
					      .padding = 3 };
		uint32_t length = is_ipv6 ? test_build_ipv6(&packet, extensions, 2, frame)
					  : test_build(&packet, frame);

		memcpy(tagged, frame, 12);
		memset(tagged + 12, 0, 8);
		for (uint32_t tag = 0; tag < tags; tag++)
			test_store32(tagged + 12 + 4 * tag, 0x8100a001 + tag);
		memcpy(tagged + 12 + 4 * tags, frame + 12, length - 12);
		hold(&held, tagged, length + 4 * tags);
		icmp_answer_echo(&held.packet);
		check_answer(&held.packet, tags, is_ipv6, 16, 0);
		check_ends(&held.packet, VIP, CLIENT);
		assert_int_equal(held.packet.frame.data - held.block, HEADROOM + gone);
		assert_memory_equal(held.packet.frame.data + 12, tagged + 12, 4 * tags);
		let_go(&held);
	}
}

/* What is quoted ends at 576 or 1280 bytes of answer, or with the packet. */
static void test_too_big_quotes(void **state)
{
	static const uint32_t lengths[] = { 28, 29, 547, 548, 549, 1231, 1232, 1233, 1500 };
	uint8_t frame[TEST_FRAME_SIZE];
	struct held held;

	(void)state;
	for (uint32_t i = 0; i < 2 * sizeof(lengths) / sizeof(lengths[0]); i++) {
		bool is_ipv6 = i % 2 == 1;
		uint32_t most = is_ipv6 ? 1280 - 48 : 576 - 28, header = is_ipv6 ? 40 : 20;
		struct test_packet packet = { .source = CLIENT,
					      .destination = VIP,
					      .protocol = IPPROTO_UDP,
					      .traffic_class = 0xb9,
					      .padding = is_ipv6 ? 0 : 7 };
		uint32_t quoted, length;

		if (lengths[i / 2] < header + 8)
			continue;
		packet.payload = (uint16_t)(lengths[i / 2] - header - 8);
		length = is_ipv6 ? test_build_ipv6(&packet, NULL, 0, frame)
				 : test_build(&packet, frame);
		quoted = lengths[i / 2] < most ? lengths[i / 2] : most;
		hold(&held, frame, length);
		assert_true(icmp_answer_too_big(&held.packet, 0x10203));
		check_answer(&held.packet, 0, is_ipv6, 8 + quoted, 0);
		check_ends(&held.packet, VIP, CLIENT);
		frame[0] = is_ipv6 ? 2 : 3;
		frame[1] = is_ipv6 ? 0 : 4;
		assert_memory_equal(held.packet.frame.data + held.packet.l4_offset, frame, 2);
		test_store32(frame + 4, 0x10203);
		assert_memory_equal(held.packet.frame.data + held.packet.l4_offset + 4, frame + 4,
				    4);
		assert_memory_equal(held.packet.frame.data + held.packet.l4_offset + 8,
				    frame + ETHERNET_HEADER_LENGTH, quoted);
		let_go(&held);
	}
}

/* 28 or 48 bytes of headers come in front; not with one byte less, and nothing is then changed. */
static void test_too_big_needs_headroom(void **state)
{
	uint8_t frame[TEST_FRAME_SIZE];
	struct held held;

	(void)state;
	for (int family = 0; family < 2; family++) {
		const struct test_packet packet = { .source = CLIENT,
						    .destination = VIP,
						    .protocol = IPPROTO_UDP,
						    .payload = 1400 };
		uint32_t length = family == 1 ? test_build_ipv6(&packet, NULL, 0, frame)
					      : test_build(&packet, frame);
		uint32_t needed = family == 1 ? 48 : 28;
		struct packet before;

		hold_with(&held, frame, length, needed - 1);
		before = held.packet;
		assert_false(icmp_answer_too_big(&held.packet, 1400));
		assert_memory_equal(&held.packet, &before, sizeof(before));
		assert_memory_equal(held.packet.frame.data, frame, length);
		let_go(&held);
		hold_with(&held, frame, length, needed);
		assert_true(icmp_answer_too_big(&held.packet, 1400));
		assert_int_equal(held.packet.frame.headroom, 0);
		assert_ptr_equal(held.packet.frame.data, held.block);
		let_go(&held);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_type_and_validity),
		cmocka_unit_test(test_checksums_of_0),
		cmocka_unit_test(test_errors_by_type),
		cmocka_unit_test(test_ipv6_fragments),
		cmocka_unit_test(test_ipv4_fragments),
		cmocka_unit_test(test_quotes_cut_at_every_byte),
		cmocka_unit_test(test_quotes_with_options),
		cmocka_unit_test(test_quotes_with_extensions),
		cmocka_unit_test(test_quotes_that_are_none),
		cmocka_unit_test(test_echo_answers),
		cmocka_unit_test(test_echo_checksums),
		cmocka_unit_test(test_echo_moves_the_frame),
		cmocka_unit_test(test_too_big_quotes),
		cmocka_unit_test(test_too_big_needs_headroom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
