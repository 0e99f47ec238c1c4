/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes: the packets that are sent, and every answer that may come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "packets.h"

#include "../../src/control/probe_packet.h"

#define SEQUENCE UINT32_C(0xfffffff0)

static struct probe_flow make_flow(bool is_ipv6, bool outer_is_ipv6)
{
	struct probe_flow flow = { .source_port = 40000, .vip_port = 80, .sequence = SEQUENCE };

	address_parse(is_ipv6 ? "fd00::5" : "10.0.0.5", &flow.source);
	address_parse(is_ipv6 ? "2001:db8::10" : "203.0.113.10", &flow.vip);
	address_parse(outer_is_ipv6 ? "fd00::5" : "10.0.0.5", &flow.outer_source);
	address_parse(outer_is_ipv6 ? "fd00:1::11" : "10.1.0.11", &flow.outer_destination);
	return flow;
}

static uint32_t header_length(const uint8_t *packet)
{
	return packet[0] >> 4 == 4 ? 20 : 40;
}

/* The sum over pseudo-header and segment is 0 when the checksum is right. */
static void check_packet(const uint8_t *packet, uint32_t length)
{
	uint32_t ip = header_length(packet), addresses = ip == 20 ? 8 : 32;
	uint8_t copy[64 + PROBE_PACKET_SIZE] = { 0 };

	memcpy(copy, packet + (ip == 20 ? 12 : 8), addresses);
	test_store16(copy + addresses, IPPROTO_TCP);
	test_store16(copy + addresses + 2, length - ip);
	memcpy(copy + addresses + 4, packet + ip, length - ip);
	assert_int_equal(test_checksum(copy, addresses + 4 + length - ip), 0);
	if (ip == 20) {
		assert_int_equal(test_checksum(packet, 20), 0);
		assert_int_equal(test_load16(packet + 2), length);
	} else {
		assert_int_equal(test_load16(packet + 4), length - 40);
	}
}

static void test_packets(void **state)
{
	uint8_t packet[PROBE_PACKET_SIZE];

	(void)state;
	for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
		struct probe_flow flow = make_flow(is_ipv6 != 0, false);
		uint32_t ip = is_ipv6 ? 40 : 20;

		assert_int_equal(probe_build_syn(&flow, 0, packet), ip + 20);
		assert_int_equal(packet[ip + 13], TCP_FLAG_SYN);
		check_packet(packet, ip + 20);
		assert_int_equal(probe_build_syn(&flow, 1401, packet), 1401);
		check_packet(packet, 1401);
		assert_int_equal(probe_build_syn(&flow, 9000, packet), PROBE_PACKET_SIZE);
		assert_int_equal(probe_build_reset(&flow, packet), ip + 20);
		assert_int_equal(packet[ip + 13], TCP_FLAG_RST);
		assert_int_equal(packet[ip + 7], (SEQUENCE + 1) & 0xff);
		check_packet(packet, ip + 20);
	}
}

/* An answer of TCP, from the VIP to the source. */
static uint32_t make_answer(const struct probe_flow *flow, uint8_t flags, uint32_t acknowledged,
			    uint8_t *packet)
{
	struct probe_flow back = *flow;
	uint32_t length;

	back.source = flow->vip;
	back.vip = flow->source;
	back.source_port = flow->vip_port;
	back.vip_port = flow->source_port;
	length = probe_build_syn(&back, 0, packet);
	packet[header_length(packet) + 13] = flags;
	test_store32(packet + header_length(packet) + 8, acknowledged);
	return length;
}

static void test_answers_of_tcp(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t acknowledged; /* beyond the sequence number */
		enum probe_answer_kind kind;
	} cases[] = {
		{ TCP_FLAG_SYN | TCP_FLAG_ACK, 1, PROBE_SYN_ACK },
		{ TCP_FLAG_SYN | TCP_FLAG_ACK, 1000, PROBE_SYN_ACK },
		{ TCP_FLAG_SYN | TCP_FLAG_ACK, 0, PROBE_OTHER },
		{ TCP_FLAG_SYN | TCP_FLAG_ACK, 2000, PROBE_OTHER },
		{ TCP_FLAG_SYN | TCP_FLAG_ACK, UINT32_MAX, PROBE_OTHER },
		{ TCP_FLAG_RST | TCP_FLAG_ACK, 1, PROBE_RESET },
		{ TCP_FLAG_RST | TCP_FLAG_ACK, 0, PROBE_OTHER },
		{ TCP_FLAG_RST, 1, PROBE_OTHER },
		{ TCP_FLAG_ACK, 1, PROBE_OTHER },
	};
	uint8_t packet[PROBE_PACKET_SIZE];

	(void)state;
	for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
		struct probe_flow flow = make_flow(is_ipv6 != 0, false), other = flow;
		uint32_t length;

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			length = make_answer(&flow, cases[i].flags,
					     SEQUENCE + cases[i].acknowledged, packet);
			assert_int_equal(probe_read(&flow, packet, length).kind, cases[i].kind);
		}
		/* Cut anywhere, or of another flow. */
		length = make_answer(&flow, TCP_FLAG_SYN | TCP_FLAG_ACK, SEQUENCE + 1, packet);
		for (uint32_t cut = 0; cut < length; cut++) {
			uint8_t *copy = test_exact_copy(packet, cut);

			assert_int_equal(probe_read(&flow, copy, cut).kind, PROBE_OTHER);
			free(copy);
		}
		other.source_port++;
		assert_int_equal(probe_read(&other, packet, length).kind, PROBE_OTHER);
		other = flow;
		other.vip.bytes[15]++;
		assert_int_equal(probe_read(&other, packet, length).kind, PROBE_OTHER);
	}
}

/* An error of a router, fd00::1 or 10.0.0.1, that quotes bytes. */
static uint32_t make_error(bool is_ipv6, uint8_t type, uint8_t code, const uint8_t *quoted,
			   uint32_t quoted_length, uint8_t *packet)
{
	struct probe_flow router = { 0 };
	uint32_t ip = is_ipv6 ? 40 : 20;

	address_parse(is_ipv6 ? "fd00::1" : "10.0.0.1", &router.source);
	address_parse(is_ipv6 ? "fd00::5" : "10.0.0.5", &router.vip);
	probe_build_syn(&router, 0, packet);
	packet[is_ipv6 ? 6 : 9] = is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	memset(packet + ip, 0, 8);
	packet[ip] = type;
	packet[ip + 1] = code;
	memcpy(packet + ip + 8, quoted, quoted_length);
	return ip + 8 + quoted_length;
}

static uint32_t make_outer(const struct probe_flow *flow, uint8_t protocol, uint8_t *packet)
{
	struct probe_flow outer = { .source = flow->outer_source, .vip = flow->outer_destination };
	uint32_t length = probe_build_syn(&outer, 0, packet);

	packet[header_length(packet) == 20 ? 9 : 6] = protocol;
	return length;
}

static void test_errors(void **state)
{
	static const struct {
		bool is_ipv6;
		uint8_t type, code;
		bool is_no_tunnel;
		const char *text;
	} cases[] = {
		{ false, 3, 1, false, "host unreachable" },
		{ false, 3, 2, true, "protocol unreachable" },
		{ false, 3, 3, true, "port unreachable" },
		{ false, 3, 4, false, "fragmentation needed" },
		{ false, 3, 13, false, "administratively prohibited" },
		{ false, 3, 200, false, "destination unreachable" },
		{ false, 11, 0, false, "time to live exceeded" },
		{ false, 12, 0, false, "parameter problem" },
		{ true, 1, 0, false, "no route to the destination" },
		{ true, 1, 4, true, "port unreachable" },
		{ true, 1, 200, false, "destination unreachable" },
		{ true, 2, 0, false, "packet too big" },
		{ true, 3, 0, false, "hop limit exceeded" },
		{ true, 4, 1, true, "unknown next header" },
		{ true, 4, 0, false, "parameter problem" },
	};
	uint8_t quoted[PROBE_PACKET_SIZE], packet[2 * PROBE_PACKET_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct probe_flow flow = make_flow(cases[i].is_ipv6, cases[i].is_ipv6);
		uint32_t quoted_length = make_outer(&flow, IPPROTO_GRE, quoted);
		uint32_t length = make_error(cases[i].is_ipv6, cases[i].type, cases[i].code, quoted,
					     quoted_length, packet);
		struct probe_answer answer = probe_read(&flow, packet, length);

		assert_int_equal(answer.kind, PROBE_ERROR);
		assert_true(answer.is_about_outer);
		assert_string_equal(probe_report_text(&answer), cases[i].text);
		assert_int_equal(probe_is_no_tunnel(&answer), cases[i].is_no_tunnel);
		for (uint32_t cut = 0; cut < length - 20; cut++) {
			uint8_t *copy = test_exact_copy(packet, cut);

			(void)probe_read(&flow, copy, cut);
			free(copy);
		}
		/* The packet inside may be quoted, too; then the tunnel worked. */
		quoted_length = probe_build_syn(&flow, 0, quoted);
		length = make_error(cases[i].is_ipv6, cases[i].type, cases[i].code, quoted,
				    quoted_length, packet);
		answer = probe_read(&flow, packet, length);
		assert_int_equal(answer.kind, PROBE_ERROR);
		assert_false(answer.is_about_outer);
		assert_false(probe_is_no_tunnel(&answer));
	}
}

static void test_what_is_no_answer(void **state)
{
	struct probe_flow flow = make_flow(false, false), other = flow;
	uint8_t quoted[PROBE_PACKET_SIZE], packet[2 * PROBE_PACKET_SIZE];
	uint32_t quoted_length, length;

	(void)state;
	/* An echo request; an error about another host's tunnel; one about other traffic to it. */
	quoted_length = make_outer(&flow, IPPROTO_GRE, quoted);
	length = make_error(false, 8, 0, quoted, quoted_length, packet);
	assert_int_equal(probe_read(&flow, packet, length).kind, PROBE_OTHER);
	other.outer_destination.bytes[15]++;
	length = make_error(false, 3, 1, quoted, quoted_length, packet);
	assert_int_equal(probe_read(&flow, packet, length).kind, PROBE_ERROR);
	assert_int_equal(probe_read(&other, packet, length).kind, PROBE_OTHER);
	quoted_length = make_outer(&flow, IPPROTO_TCP, quoted);
	length = make_error(false, 3, 1, quoted, quoted_length, packet);
	assert_int_equal(probe_read(&flow, packet, length).kind, PROBE_OTHER);
	/* With l2 there is no outer header. */
	memset(&flow.outer_destination, 0, sizeof(flow.outer_destination));
	quoted_length = make_outer(&flow, IPPROTO_GRE, quoted);
	length = make_error(false, 3, 1, quoted, quoted_length, packet);
	assert_int_equal(probe_read(&flow, packet, length).kind, PROBE_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_answers_of_tcp),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_what_is_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
