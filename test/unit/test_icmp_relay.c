/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports of routers about tunnel packets of ours: the packet inside, and the report for its
 * sender. */
#include <fluxpin/encapsulation.h>

#include "icmp_messages.h"

/* A tunnel packet as the encapsulation makes it, and the report about it to its own source. */
struct report {
	struct message message;
	uint32_t overhead;
	uint32_t inner_length; /* of the whole packet inside */
	bool is_ipv6;	       /* the outer family */
	bool holds_ipv6;
};

static const enum encapsulation encapsulations[] = { ENCAPSULATION_GRE, ENCAPSULATION_IPIP,
						     ENCAPSULATION_GUE };

#define CASES 12

static enum encapsulation encapsulation_of(int number)
{
	return encapsulations[number / 4];
}

static uint8_t *quoted_of(struct report *report)
{
	return report->message.frame + report->message.offset + ICMP_HEADER_LENGTH;
}

static uint8_t *inner_of(struct report *report)
{
	return quoted_of(report) + report->overhead;
}

static void tell_mtu(struct report *report, uint32_t mtu)
{
	test_store32(report->message.frame + report->message.offset + 4, mtu);
	fix_message(&report->message);
}

/* For 2001:db8::LB, which test_build_ipv6 makes of a number, or the number itself. */
static struct address address_of(bool is_ipv6, uint32_t number)
{
	struct address address = { .bytes = { 0x20, 0x01, 0x0d, 0xb8 } };

	if (!is_ipv6)
		return address_from_ipv4(htonl(number));
	address.words_be[3] = htonl(number);
	return address;
}

static void make_report_of(struct report *report, int number, const struct test_packet *packet,
			   const struct test_extension *extensions, uint32_t count)
{
	bool is_ipv6 = (number & 1) != 0, holds_ipv6 = (number & 2) != 0;
	struct encapsulation_path path = { .encapsulation = encapsulation_of(number),
					   .source = address_of(is_ipv6, LB),
					   .destination = address_of(is_ipv6, BACKEND),
					   .mtu = 9000 };
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = holds_ipv6 ? test_build_ipv6(packet, extensions, count, frame)
				     : test_build(packet, frame);
	struct destination destination;
	struct held held;

	memset(&destination, 0, sizeof(destination));
	encapsulation_prepare(&destination, &path);
	hold(&held, frame, length);
	report->inner_length = held.packet.l3_length;
	assert_true(encapsulation_apply(&held.packet, &destination));
	length = held.packet.frame.length - ETHERNET_HEADER_LENGTH;
	report->is_ipv6 = is_ipv6;
	report->holds_ipv6 = holds_ipv6;
	report->overhead = length - report->inner_length;
	make(&report->message, is_ipv6, LB, is_ipv6 ? 2 : 3, is_ipv6 ? 0 : 4,
	     ICMP_HEADER_LENGTH + length);
	memcpy(quoted_of(report), held.packet.frame.data + ETHERNET_HEADER_LENGTH, length);
	let_go(&held);
}

static struct test_packet inside(uint32_t payload)
{
	return (struct test_packet){ .source = CLIENT,
				     .destination = VIP,
				     .source_port = 4000,
				     .destination_port = 53,
				     .protocol = IPPROTO_UDP,
				     .fragment = 0x4000,
				     .payload = (uint16_t)payload };
}

/* Of a UDP packet with 1400 bytes of data, longer than what is told in any case. */
static void make_report(struct report *report, int number)
{
	const struct test_packet packet = inside(1400);

	make_report_of(report, number, &packet, NULL, 0);
	tell_mtu(report, 1300 + report->overhead);
}

static bool find(struct report *report, struct icmp_inner *inner)
{
	struct held held;
	bool is_found;

	fix_message(&report->message);
	hold(&held, report->message.frame, end_of(&report->message));
	is_found = icmp_find_inner(&held.packet, inner);
	let_go(&held);
	return is_found;
}

static bool is_found(struct report *report)
{
	struct icmp_inner inner;

	return find(report, &inner);
}

static void test_relays(void **state)
{
	(void)state;
	for (int number = 0; number < CASES; number++) {
		uint32_t most, quoted;
		struct icmp_inner inner;
		struct report report;
		struct address vip;
		struct held held;
		uint8_t mtu[4];

		make_report(&report, number);
		vip = address_of(report.holds_ipv6, VIP);
		most = report.holds_ipv6 ? 1280 - 48 : 576 - 28;
		quoted = report.inner_length < most ? report.inner_length : most;
		hold(&held, report.message.frame, end_of(&report.message));
		assert_true(icmp_find_inner(&held.packet, &inner));
		assert_int_equal(inner.is_ipv6, report.holds_ipv6);
		assert_int_equal(inner.mtu, 1300);
		assert_int_equal(inner.length, report.inner_length);
		assert_int_equal(inner.offset, inner_of(&report) - report.message.frame);
		assert_memory_equal(&inner.destination, &vip, sizeof(vip));
		icmp_relay_too_big(&held.packet, &inner);
		check_answer(&held.packet, 0, report.holds_ipv6, 8 + quoted, 0);
		check_ends(&held.packet, VIP, CLIENT);
		test_store32(mtu, 1300);
		assert_memory_equal(held.packet.frame.data + held.packet.l4_offset + 4, mtu, 4);
		assert_memory_equal(held.packet.frame.data + held.packet.l4_offset + 8,
				    inner_of(&report), quoted);
		let_go(&held);
	}
}

/* Both headers and 8 bytes behind them are needed; what is quoted of more goes on. */
static void test_quotes_cut_at_every_byte(void **state)
{
	(void)state;
	for (int number = 0; number < CASES; number++) {
		struct icmp_inner inner;
		struct report report;
		uint32_t least, whole;

		make_report(&report, number);
		least = report.overhead + (report.holds_ipv6 ? 40 : 20) + 8;
		whole = report.overhead + report.inner_length;
		for (uint32_t cut = 0; cut <= whole; cut++) {
			set_length(&report.message, ICMP_HEADER_LENGTH + cut);
			assert_int_equal(find(&report, &inner), cut >= least);
			if (cut >= least)
				assert_int_equal(inner.length, cut - report.overhead);
		}
	}
}

/* IPv4: 68 is the least that may be told, and the packet has to be longer than that. */
static void test_ipv4_mtus(void **state)
{
	(void)state;
	for (int number = 0; number < CASES; number++) {
		const struct test_packet packet = inside(72);
		struct icmp_inner inner;
		struct report report;

		if ((number & 2) != 0)
			continue;
		make_report_of(&report, number, &packet, NULL, 0);
		assert_int_equal(report.inner_length, 100);
		for (uint32_t mtu = 0; mtu < 200; mtu++) {
			bool is_told = mtu >= report.overhead + 68 && mtu < report.overhead + 100;

			tell_mtu(&report, mtu);
			assert_int_equal(find(&report, &inner), is_told);
			if (is_told)
				assert_int_equal(inner.mtu, mtu - report.overhead);
		}
		/* Of ICMP's word the upper half is no part of it, of ICMPv6's it is. */
		tell_mtu(&report, 0x00010000 | (report.overhead + 80));
		assert_int_equal(find(&report, &inner), !report.is_ipv6);
		tell_mtu(&report, 0xffffffff);
		assert_false(find(&report, &inner));
	}
}

/* IPv6: nobody is told less than 1280, and who sends no more is told nothing. */
static void test_ipv6_mtus(void **state)
{
	(void)state;
	for (int number = 0; number < CASES; number++) {
		struct icmp_inner inner;
		struct report report;

		if ((number & 2) == 0)
			continue;
		for (uint32_t length = 1279; length <= 1282; length++) {
			const struct test_packet packet = inside(length - 48);

			make_report_of(&report, number, &packet, NULL, 0);
			assert_int_equal(report.inner_length, length);
			for (uint32_t mtu = 1270; mtu < 1290; mtu++) {
				uint32_t told = mtu > 1280 ? mtu : 1280;

				tell_mtu(&report, report.overhead + mtu);
				assert_int_equal(find(&report, &inner), length > told);
				if (length > told)
					assert_int_equal(inner.mtu, told);
			}
			/* Less than the tunnel itself takes is no MTU. */
			tell_mtu(&report, report.overhead);
			assert_false(find(&report, &inner));
			tell_mtu(&report, report.overhead + 1);
			assert_int_equal(find(&report, &inner), length > 1280);
		}
	}
}

/* What was sent on to a peer is a tunnel packet of ours, too. */
static void test_redirected(void **state)
{
	const struct test_extension first = { .kind = IPPROTO_FRAGMENT, .fragment = 1 };
	const struct test_packet packet = inside(1400);

	(void)state;
	for (int number = 0; number < 4; number++) {
		struct icmp_inner inner;
		struct report report;

		make_report_of(&report, number, &packet, &first, 1);
		test_store16(inner_of(&report) - 4, ENCAPSULATION_GRE_ONCE);
		tell_mtu(&report, 1300 + report.overhead);
		assert_true(find(&report, &inner));
		assert_int_equal(inner.mtu, 1300);
	}
}

static void test_what_is_not_ours(void **state)
{
	(void)state;
	for (int number = 0; number < CASES; number++) {
		uint32_t header = (number & 1) != 0 ? 40 : 20;
		struct report report;

		make_report(&report, number);
		assert_true(is_found(&report));
		/* Another source than the one that is told. */
		quoted_of(&report)[header - (report.is_ipv6 ? 17 : 5)] ^= 1;
		assert_false(is_found(&report));
		make_report(&report, number);
		*quoted_of(&report) ^= 0x20;
		assert_false(is_found(&report));
		make_report(&report, number);
		*inner_of(&report) ^= 0x20;
		assert_false(is_found(&report));
		/* Another protocol. */
		make_report(&report, number);
		quoted_of(&report)[report.is_ipv6 ? 6 : 9] = 50;
		assert_false(is_found(&report));
		/* Every bit of the tunnel's own header but the source port, sums and lengths. */
		for (uint32_t at = header; at < report.overhead; at++) {
			bool is_gue = encapsulation_of(number) == ENCAPSULATION_GUE;

			if (is_gue && (at < header + 2 || (at >= header + 4 && at < header + 8) ||
				       at >= header + 10))
				continue;
			for (uint32_t bit = 0; bit < 8; bit++) {
				/* The recursion bit of what was sent on to a peer. */
				bool is_peers = encapsulation_of(number) == ENCAPSULATION_GRE &&
						at == header && bit == 0;

				make_report(&report, number);
				quoted_of(&report)[at] ^= (uint8_t)(1 << bit);
				assert_int_equal(is_found(&report), is_peers);
			}
		}
	}
}

/* Ours have no options, extension headers or fragments. */
static void test_outer_headers_that_are_not_ours(void **state)
{
	struct report report;
	uint8_t *quoted;

	(void)state;
	make_report(&report, 0);
	quoted = quoted_of(&report);
	memmove(quoted + 24, quoted + 20, 200);
	quoted[0] = 0x46;
	assert_false(is_found(&report));
	make_report(&report, 0);
	test_store16(quoted_of(&report) + 6, 0x0001);
	assert_false(is_found(&report));
	make_report(&report, 1);
	quoted = quoted_of(&report);
	memmove(quoted + 48, quoted + 40, 200);
	memset(quoted + 40, 0, 8);
	quoted[40] = quoted[6];
	quoted[6] = IPPROTO_DSTOPTS;
	assert_false(is_found(&report));
}

/* About these nobody is told anything. */
static void test_what_is_inside(void **state)
{
	static const struct test_extension first = { IPPROTO_FRAGMENT, 0, 1 };
	static const struct test_extension later = { IPPROTO_FRAGMENT, 0, 9 };

	(void)state;
	for (int number = 0; number < CASES; number++) {
		struct test_packet packet = inside(1400);
		bool holds_ipv6 = (number & 2) != 0;
		struct report report;

		make_report_of(&report, number, &packet, holds_ipv6 ? &first : NULL, holds_ipv6);
		tell_mtu(&report, 1300 + report.overhead);
		assert_true(is_found(&report));
		/* IPv4 that may be fragmented, later fragments. */
		packet.fragment = 0;
		make_report_of(&report, number, &packet, holds_ipv6 ? &later : NULL, holds_ipv6);
		tell_mtu(&report, 1300 + report.overhead);
		assert_false(is_found(&report));
		packet.fragment = 0x4001;
		make_report_of(&report, number, &packet, holds_ipv6 ? &later : NULL, holds_ipv6);
		tell_mtu(&report, 1300 + report.overhead);
		assert_false(is_found(&report));
		/* ICMP: requests but not errors. */
		packet = inside(1400);
		packet.protocol = holds_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
		make_report_of(&report, number, &packet, NULL, 0);
		tell_mtu(&report, 1300 + report.overhead);
		inner_of(&report)[holds_ipv6 ? 40 : 20] = holds_ipv6 ? 128 : 8;
		assert_true(is_found(&report));
		inner_of(&report)[holds_ipv6 ? 40 : 20] = holds_ipv6 ? 127 : 3;
		assert_false(is_found(&report));
	}
}

/* RFC 4884: the quoted packet ends where ICMP's length says, if that is one of the RFC's. */
static void test_extensions_behind_the_quote(void **state)
{
	(void)state;
	for (int number = 0; number < CASES; number++) {
		const struct test_packet packet = inside(1400);
		struct icmp_inner inner;
		struct report report;

		if ((number & 1) != 0)
			continue;
		make_report_of(&report, number, &packet, NULL, 0);
		tell_mtu(&report, 1300 + report.overhead);
		/* Less is quoted than the packet has, and than the length can say. */
		set_length(&report.message, ICMP_HEADER_LENGTH + report.overhead + 400);
		for (uint32_t words = 0; words < 256; words++) {
			uint32_t quoted = report.overhead + 400;

			if (words * 4 >= 128 && words * 4 < quoted)
				quoted = words * 4;
			report.message.frame[report.message.offset + 5] = (uint8_t)words;
			assert_true(find(&report, &inner));
			assert_int_equal(inner.length, quoted - report.overhead);
		}
		/* Padding behind the packet is none of it either. */
		make_report(&report, number);
		set_length(&report.message, report.message.length + 32);
		assert_true(find(&report, &inner));
		assert_int_equal(inner.length, report.inner_length);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relays),
		cmocka_unit_test(test_quotes_cut_at_every_byte),
		cmocka_unit_test(test_ipv4_mtus),
		cmocka_unit_test(test_ipv6_mtus),
		cmocka_unit_test(test_what_is_not_ours),
		cmocka_unit_test(test_redirected),
		cmocka_unit_test(test_outer_headers_that_are_not_ours),
		cmocka_unit_test(test_what_is_inside),
		cmocka_unit_test(test_extensions_behind_the_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
