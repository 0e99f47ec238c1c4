/* SPDX-License-Identifier: BSD-2-Clause */
/* ICMP in the pipeline: echo requests, errors about flows, reports about tunnels, and the rest. */
#include <fluxpin/icmp.h>

#include "icmp_frames.h"
#include "pipeline_setup.h"

#define LB_ADDRESS 0x0a000005

/* Beside the VIPs of setup_open: the same in IPv6, and TEST_VIP + 1 for all protocols, pool 1. */
static int open_icmp(void **state)
{
	struct setup *setup;
	int error = setup_open(state);

	if (error != 0)
		return error;
	setup = *state;
	for (int i = 0; i < 2; i++) {
		setup_add_vip(setup, 0, 128, i == 0 ? IPPROTO_TCP : IPPROTO_UDP, i == 0 ? 80 : 53,
			      0);
		setup->vips[setup->vip_count - 1].prefix.address = setup_ipv6_address(TEST_VIP);
	}
	setup_add_vip(setup, TEST_VIP + 1, 128, 0, 0, 1);
	setup_add_vip(setup, 0, 128, 0, 0, 1);
	setup->vips[setup->vip_count - 1].prefix.address = setup_ipv6_address(TEST_VIP + 1);
	setup->port.is_free_form = true;
	return 0;
}

static void publish(struct setup *setup)
{
	setup_publish(setup);
	setup->forwarding.icmp_echo_rate = RATE_LIMIT_MAX;
	setup->forwarding.icmp_error_rate = RATE_LIMIT_MAX;
	setup->interfaces[1].sources[0] = address_from_ipv4(htonl(LB_ADDRESS));
	setup->interfaces[1].sources[1] = setup_ipv6_address(LB_ADDRESS);
	setup->interfaces[1].source_count = 2;
}

enum outcome {
	TO_BACKEND,
	TO_KERNEL,
	ANSWERED,
	DROPPED
};

/* Runs one frame. *backend: where it went; *reason: why it was dropped. */
static enum outcome run(struct setup *setup, const uint8_t *frame, uint32_t length,
			uint16_t *backend, int *reason)
{
	const struct counters before = setup->counters;
	enum outcome outcome = DROPPED;

	*backend = 0;
	*reason = -1;
	memory_port_queue(&setup->port, frame, length, SETUP_HEADROOM);
	setup_run(setup);
	if (setup->counters.forwarded.packets > before.forwarded.packets) {
		outcome = TO_BACKEND;
		*backend = setup_backend_of(&setup->port.sent[0]);
	} else if (setup->counters.slow_path > before.slow_path) {
		outcome = TO_KERNEL;
	} else if (setup->counters.answered > before.answered) {
		outcome = ANSWERED;
	}
	for (int i = 0; i < DROP_REASON_COUNT; i++)
		if (setup->counters.dropped[i] > before.dropped[i])
			*reason = i;
	memory_port_clear(&setup->port);
	return outcome;
}

static enum outcome run_message(struct setup *setup, bool is_ipv6, uint32_t destination,
				uint8_t type, uint16_t *backend, int *reason)
{
	static const uint8_t rest[12] = { 0x12, 0x34, 0, 1 };
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = test_build_icmp(is_ipv6, destination, type, 0, rest, sizeof(rest), frame);

	return run(setup, frame, length, backend, reason);
}

/* The choice for what has no ports, by the last 4 bytes of the IPv6 addresses or the IPv4 ones. */
static uint16_t choice(const struct setup *setup, uint16_t pool, bool is_ipv6, uint32_t destination)
{
	const struct test_packet packet = { .source = TEST_CLIENT, .destination = destination };
	uint8_t frame[TEST_FRAME_SIZE];
	uint64_t hash;

	test_build_ipv6(&packet, NULL, 0, frame);
	hash = is_ipv6 ? flow_hash_ipv6(frame + 22, 0, 0, IPPROTO_ICMPV6, SETUP_SEED)
		       : flow_hash_ipv4(htonl(TEST_CLIENT), htonl(destination), 0, 0, IPPROTO_ICMP,
					SETUP_SEED);
	return setup->slots[pool][maglev_slot(hash, SETUP_TABLE_SIZE)];
}

static void test_echo_as_configured(void **state)
{
	static const enum outcome expected[] = { [ICMP_ECHO_REPLY] = ANSWERED,
						 [ICMP_ECHO_FORWARD] = TO_BACKEND,
						 [ICMP_ECHO_DROP] = DROPPED };
	struct setup *setup = *state;

	for (uint8_t echo = 0; echo < 3; echo++) {
		/* The first VIP of the address that says other than "reply" counts. */
		setup->vips[1].icmp_echo = setup->vips[3].icmp_echo = echo;
		publish(setup);
		for (int family = 0; family < 2; family++) {
			uint8_t type = family == 1 ? 128 : 8;
			uint16_t backend;
			int reason;

			assert_int_equal(
				run_message(setup, family == 1, TEST_VIP, type, &backend, &reason),
				expected[echo]);
			if (echo == ICMP_ECHO_DROP)
				assert_int_equal(reason, DROP_ICMP_ECHO);
			if (echo == ICMP_ECHO_FORWARD)
				assert_int_equal(backend, choice(setup, 0, family == 1, TEST_VIP));
		}
	}
	/* Only what is forwarded counts as the VIP's, and only that is tracked. */
	assert_int_equal(setup->vip_counters[setup->vips[1].index].packets, 1);
	assert_int_equal(setup->vip_counters[setup->vips[3].index].packets, 1);
	assert_int_equal(setup->connections.count, 2);
}

static void test_echo_to_others(void **state)
{
	struct setup *setup = *state;
	uint16_t backend;
	int reason;

	publish(setup);
	for (int family = 0; family < 2; family++)
		assert_int_equal(run_message(setup, family == 1, TEST_VIP + 2,
					     family == 1 ? 128 : 8, &backend, &reason),
				 TO_KERNEL);
	assert_int_equal(setup->counters.slow_path, 2);
}

static void test_echo_rate(void **state)
{
	struct setup *setup = *state;
	uint16_t backend;
	int reason;

	publish(setup);
	setup->forwarding.icmp_echo_rate = 4;
	for (int i = 0; i < 6; i++)
		assert_int_equal(run_message(setup, i % 2 == 1, TEST_VIP, i % 2 == 1 ? 128 : 8,
					     &backend, &reason),
				 i < 4 ? ANSWERED : DROPPED);
	assert_int_equal(reason, DROP_ICMP_RATE);
	setup->now += SECOND / 4;
	assert_int_equal(run_message(setup, false, TEST_VIP, 8, &backend, &reason), ANSWERED);
	assert_int_equal(run_message(setup, false, TEST_VIP, 8, &backend, &reason), DROPPED);
	setup->forwarding.icmp_echo_rate = 0;
	setup->now += 100 * SECOND;
	assert_int_equal(run_message(setup, false, TEST_VIP, 8, &backend, &reason), DROPPED);
}

/* A message shorter than its header, or with a wrong checksum; sources that nobody can have. */
static void test_echo_that_is_wrong(void **state)
{
	static const uint8_t rest[4] = { 0 };
	struct setup *setup = *state;
	uint8_t frame[TEST_FRAME_SIZE];
	uint16_t backend;
	int reason;

	publish(setup);
	for (int family = 0; family < 2; family++) {
		bool is_ipv6 = family == 1;
		uint8_t type = is_ipv6 ? 128 : 8;
		uint32_t length = test_build_icmp(is_ipv6, TEST_VIP, type, 0, rest, 4, frame);

		frame[length - 1] ^= 1;
		assert_int_equal(run(setup, frame, length, &backend, &reason), DROPPED);
		assert_int_equal(reason, DROP_ICMP_HEADER);
		for (uint32_t cut = 1; cut < 4; cut++) {
			length = test_build_icmp(is_ipv6, TEST_VIP, type, 0, rest, cut, frame);
			assert_int_equal(run(setup, frame, length, &backend, &reason), DROPPED);
			assert_int_equal(reason, DROP_ICMP_HEADER);
		}
		/* Whom the answer would go to is looked at first. */
		length = test_build_icmp(is_ipv6, TEST_VIP, type, 0, rest, 4, frame);
		if (is_ipv6) {
			/* 2001:... to ff02::..., with the sum as it was. */
			test_store16(frame + 22, 0xff02);
			test_store16(frame + 24, test_load16(frame + 24) - (0xff02 - 0x2001) - 1u);
		} else {
			frame[26] = 127;
			test_fix_checksum(frame + 14);
		}
		assert_int_equal(run(setup, frame, length, &backend, &reason), DROPPED);
		assert_int_equal(reason, DROP_MARTIAN_SOURCE);
	}
	assert_int_equal(setup->counters.answered, 0);
}

/* Of all types, by family: what an address with services gets, and one that takes everything. */
static void test_every_type(void **state)
{
	struct setup *setup = *state;
	uint16_t backend;
	int reason;

	publish(setup);
	for (int type = 0; type < 256; type++) {
		for (int family = 0; family < 2; family++) {
			bool is_ipv6 = family == 1;
			bool is_echo = type == (is_ipv6 ? 128 : 8);
			bool is_error = is_ipv6 ? type >= 1 && type <= 4
						: type == 3 || type == 11 || type == 12;
			/* RFC 792, RFC 8335; IANA's list of ICMPv6 types. */
			bool is_between = is_ipv6 ? type >= 128 && !(type >= 130 && type <= 137) &&
							    !(type >= 141 && type <= 143) &&
							    type != 148 && type != 149 &&
							    !(type >= 151 && type <= 153)
						  : type == 0 || (type >= 13 && type <= 16) ||
							    type == 42 || type == 43;
			enum outcome outcome = run_message(setup, is_ipv6, TEST_VIP, (uint8_t)type,
							   &backend, &reason);

			assert_int_equal(outcome, is_echo    ? ANSWERED
						  : is_error ? DROPPED
							     : TO_KERNEL);
			/* What it quotes is no packet. */
			if (is_error)
				assert_int_equal(reason, DROP_ICMP_QUOTE);
			outcome = run_message(setup, is_ipv6, TEST_VIP + 1, (uint8_t)type, &backend,
					      &reason);
			assert_int_equal(outcome, is_echo      ? ANSWERED
						  : is_error   ? DROPPED
						  : is_between ? TO_BACKEND
							       : TO_KERNEL);
			if (outcome == TO_BACKEND)
				assert_int_equal(backend, choice(setup, 1, is_ipv6, TEST_VIP + 1));
		}
	}
}

/* ---- errors about flows ---- */

static enum outcome run_error(struct setup *setup, bool is_ipv6, uint32_t to, const uint8_t *quote,
			      uint32_t length, uint16_t *backend, int *reason)
{
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t size = test_build_icmp(is_ipv6, to, is_ipv6 ? 1 : 3, 1, quote, length, frame);

	return run(setup, frame, size, backend, reason);
}

/* An error goes where its flow goes: the backend on record, which need not be the choice. */
static void test_errors_follow_their_flow(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[2][50];

	publish(setup);
	for (int round = 0; round < 2; round++) {
		for (uint16_t port = 1; port < 50; port++) {
			const struct test_packet packet = { .source = TEST_CLIENT,
							    .destination = TEST_VIP,
							    .source_port = port,
							    .destination_port = 80,
							    .protocol = IPPROTO_TCP,
							    .tcp_flags = TCP_FLAG_ACK };
			uint8_t quote[TEST_FRAME_SIZE], frame[TEST_FRAME_SIZE];
			uint32_t length;
			uint16_t backend;
			int reason;

			for (int family = 0; family < 2; family++) {
				bool is_ipv6 = family == 1;

				if (round == 0) {
					length = is_ipv6 ? test_build_ipv6(&packet, NULL, 0, frame)
							 : test_build(&packet, frame);
					assert_int_equal(run(setup, frame, length,
							     &backends[family][port], &reason),
							 TO_BACKEND);
				}
				length = test_build_quote(is_ipv6, TEST_VIP, 80, port, IPPROTO_TCP,
							  quote);
				assert_int_equal(run_error(setup, is_ipv6, TEST_VIP, quote, length,
							   &backend, &reason),
						 TO_BACKEND);
				assert_int_equal(backend, backends[family][port]);
			}
		}
		/* Another backend changes choices, and no flow on record. */
		setup_add_backend(setup, 5, 0);
		setup_add_backend(setup, 6, 0);
		publish(setup);
	}
	/* Errors record nothing, and are no lookups of their flows. */
	assert_int_equal(setup->connections.count, 98);
	assert_int_equal(setup->counters.lookups_miss, 98);
	assert_int_equal(setup->counters.lookups_hit, 0);
}

/* Without a record, or without tracking: by the flow's hash. */
static void test_errors_about_untracked_flows(void **state)
{
	struct setup *setup = *state;
	uint16_t backend;
	int reason;

	for (int tracking = 0; tracking < 2; tracking++) {
		setup->vips[0].tracking = tracking == 1;
		publish(setup);
		for (uint16_t port = 1; port < 50; port++) {
			const struct test_packet packet = { .source = TEST_CLIENT,
							    .destination = TEST_VIP,
							    .source_port = port,
							    .destination_port = 80,
							    .protocol = IPPROTO_TCP };
			uint8_t quote[TEST_FRAME_SIZE];
			uint32_t length =
				test_build_quote(false, TEST_VIP, 80, port, IPPROTO_TCP, quote);

			assert_int_equal(
				run_error(setup, false, TEST_VIP, quote, length, &backend, &reason),
				TO_BACKEND);
			assert_int_equal(backend, setup_choice(setup, 0, &packet));
		}
	}
	assert_int_equal(setup->connections.count, 0);
}

static void test_errors_cut_at_every_byte(void **state)
{
	struct setup *setup = *state;
	uint8_t quote[TEST_FRAME_SIZE];
	uint16_t backend;
	int reason;

	publish(setup);
	for (int family = 0; family < 2; family++) {
		bool is_ipv6 = family == 1;
		uint32_t header = is_ipv6 ? 40 : 20;
		uint32_t length = test_build_quote(is_ipv6, TEST_VIP, 80, 7, IPPROTO_TCP, quote);

		for (uint32_t cut = 0; cut <= length; cut++) {
			enum outcome outcome =
				run_error(setup, is_ipv6, TEST_VIP, quote, cut, &backend, &reason);

			assert_int_equal(outcome, cut >= 4 + header + 4 ? TO_BACKEND : DROPPED);
			if (outcome == DROPPED)
				assert_int_equal(reason,
						 cut < 4 ? DROP_ICMP_HEADER : DROP_ICMP_QUOTE);
		}
	}
}

/* About another's packet, another service, or to another address than the sender of what it quotes.
 */
static void test_errors_about_others(void **state)
{
	struct setup *setup = *state;
	uint8_t quote[TEST_FRAME_SIZE];
	uint16_t backend;
	uint32_t length;
	int reason;

	publish(setup);
	for (int family = 0; family < 2; family++) {
		bool is_ipv6 = family == 1;

		length = test_build_quote(is_ipv6, TEST_VIP, 81, 7, IPPROTO_TCP, quote);
		assert_int_equal(
			run_error(setup, is_ipv6, TEST_VIP, quote, length, &backend, &reason),
			TO_KERNEL);
		length = test_build_quote(is_ipv6, TEST_VIP, 0, 0, 132, quote);
		assert_int_equal(
			run_error(setup, is_ipv6, TEST_VIP, quote, length, &backend, &reason),
			TO_KERNEL);
		length = test_build_quote(is_ipv6, TEST_VIP + 1, 0, 0, 132, quote);
		assert_int_equal(
			run_error(setup, is_ipv6, TEST_VIP + 1, quote, length, &backend, &reason),
			TO_BACKEND);
		assert_in_range(backend, 11, 12);
		length = test_build_quote(is_ipv6, TEST_VIP, 80, 7, IPPROTO_TCP, quote);
		assert_int_equal(
			run_error(setup, is_ipv6, TEST_VIP + 1, quote, length, &backend, &reason),
			TO_KERNEL);
		assert_int_equal(
			run_error(setup, is_ipv6, LB_ADDRESS, quote, length, &backend, &reason),
			TO_KERNEL);
	}
}

/* Echo replies that a backend sent are about its requests, where those go to backends. */
static void test_errors_about_echo(void **state)
{
	struct setup *setup = *state;
	uint8_t quote[TEST_FRAME_SIZE];
	uint16_t backend;
	int reason;

	for (uint8_t echo = 0; echo < 3; echo++) {
		setup->vips[0].icmp_echo = setup->vips[2].icmp_echo = echo;
		publish(setup);
		for (int family = 0; family < 2; family++) {
			bool is_ipv6 = family == 1;
			uint8_t protocol = is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
			uint32_t length =
				test_build_quote(is_ipv6, TEST_VIP, 0, 0, protocol, quote);

			quote[4 + (is_ipv6 ? 40 : 20)] = is_ipv6 ? 129 : 0;
			assert_int_equal(run_error(setup, is_ipv6, TEST_VIP, quote, length,
						   &backend, &reason),
					 echo == ICMP_ECHO_FORWARD ? TO_BACKEND : TO_KERNEL);
			if (echo == ICMP_ECHO_FORWARD)
				assert_int_equal(backend, choice(setup, 0, is_ipv6, TEST_VIP));
			/* Of an echo request of the VIP's nothing is known. */
			quote[4 + (is_ipv6 ? 40 : 20)] = is_ipv6 ? 128 : 8;
			assert_int_equal(run_error(setup, is_ipv6, TEST_VIP, quote, length,
						   &backend, &reason),
					 TO_KERNEL);
		}
	}
}

/* ---- reports about our tunnels ---- */

/* A report to LB_ADDRESS of a GRE packet from there with this packet inside; the tunnel leaves
 * 1300 bytes. */
static uint32_t build_report(const struct test_packet *inner, bool is_ipv6, uint8_t *frame)
{
	uint8_t report[TEST_FRAME_SIZE], whole[TEST_FRAME_SIZE];
	uint32_t length =
		is_ipv6 ? test_build_ipv6(inner, NULL, 0, whole) : test_build(inner, whole);
	struct destination destination;
	struct packet packet = { .frame = { .data = report + SETUP_HEADROOM,
					    .length = length,
					    .headroom = SETUP_HEADROOM } };
	uint8_t rest[TEST_FRAME_SIZE] = { [2] = (1300 + 24) >> 8, [3] = (1300 + 24) & 0xff };

	memset(&destination, 0, sizeof(destination));
	test_prepare_gre_ipv4(&destination, test_own_mac, test_peer_mac, htonl(LB_ADDRESS),
			      htonl(0x0a010001), 9000);
	memcpy(packet.frame.data, whole, length);
	packet_parse(&packet, NULL);
	assert_true(encapsulation_apply(&packet, &destination));
	length = packet.frame.length - 14;
	memcpy(rest + 4, packet.frame.data + 14, length);
	return test_build_icmp(false, LB_ADDRESS, 3, 4, rest, 4 + length, frame);
}

static struct test_packet inner_packet(void)
{
	return (struct test_packet){ .source = TEST_CLIENT,
				     .destination = TEST_VIP,
				     .source_port = 9,
				     .destination_port = 80,
				     .protocol = IPPROTO_TCP,
				     .fragment = 0x4000,
				     .payload = 1400 };
}

static void test_reports(void **state)
{
	struct setup *setup = *state;
	struct test_packet inner = inner_packet();
	uint8_t frame[TEST_FRAME_SIZE];
	uint16_t backend;
	uint32_t length;
	int reason;

	publish(setup);
	for (int family = 0; family < 2; family++) {
		length = build_report(&inner, family == 1, frame);
		assert_int_equal(run(setup, frame, length, &backend, &reason), ANSWERED);
		/* Wrong checksum, another code, another type: the kernel's, which is whom it is to.
		 */
		frame[length - 1] ^= 1;
		assert_int_equal(run(setup, frame, length, &backend, &reason), TO_KERNEL);
	}
	length = build_report(&inner, false, frame);
	test_store16(frame + 34, 3 << 8 | 3);
	test_store16(frame + 36, test_load16(frame + 36) + 1);
	assert_int_equal(run(setup, frame, length, &backend, &reason), TO_KERNEL);
	/* Not to a VIP. */
	inner.destination = TEST_VIP + 2;
	length = build_report(&inner, false, frame);
	assert_int_equal(run(setup, frame, length, &backend, &reason), TO_KERNEL);
	/* Nobody to tell. */
	inner = inner_packet();
	inner.source = 0x7f000001;
	length = build_report(&inner, false, frame);
	assert_int_equal(run(setup, frame, length, &backend, &reason), TO_KERNEL);
	inner.source = TEST_VIP;
	length = build_report(&inner, false, frame);
	assert_int_equal(run(setup, frame, length, &backend, &reason), TO_KERNEL);
	inner = inner_packet();
	length = build_report(&inner, true, frame);
	memset(frame + 34 + 8 + 24 + 8, 0xff, 16);
	test_store16(frame + 36, 0);
	test_store16(frame + 36, test_checksum(frame + 34, length - 34));
	assert_int_equal(run(setup, frame, length, &backend, &reason), TO_KERNEL);
	/* A fragment of a report. */
	length = build_report(&inner, false, frame);
	test_store16(frame + 14 + 6, 0x2000);
	test_fix_checksum(frame + 14);
	assert_int_equal(run(setup, frame, length, &backend, &reason), TO_KERNEL);
	/* Not from an address of this interface. */
	inner = inner_packet();
	length = build_report(&inner, false, frame);
	setup->interfaces[1].source_count = 0;
	assert_int_equal(run(setup, frame, length, &backend, &reason), TO_KERNEL);
	assert_int_equal(setup->counters.answered, 2);
}

static void test_report_rate(void **state)
{
	const struct test_packet inner = inner_packet();
	struct setup *setup = *state;
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = build_report(&inner, false, frame);
	uint16_t backend;
	int reason;

	publish(setup);
	setup->forwarding.icmp_error_rate = 2;
	setup->forwarding.icmp_echo_rate = 2;
	for (int i = 0; i < 4; i++)
		assert_int_equal(run(setup, frame, length, &backend, &reason),
				 i < 2 ? ANSWERED : DROPPED);
	assert_int_equal(reason, DROP_ICMP_RATE);
	/* Echo requests have a limit of their own. */
	assert_int_equal(run_message(setup, false, TEST_VIP, 8, &backend, &reason), ANSWERED);
}

#define with_setup(test) cmocka_unit_test_setup_teardown(test, open_icmp, setup_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_setup(test_echo_as_configured),
		with_setup(test_echo_to_others),
		with_setup(test_echo_rate),
		with_setup(test_echo_that_is_wrong),
		with_setup(test_every_type),
		with_setup(test_errors_follow_their_flow),
		with_setup(test_errors_about_untracked_flows),
		with_setup(test_errors_cut_at_every_byte),
		with_setup(test_errors_about_others),
		with_setup(test_errors_about_echo),
		with_setup(test_reports),
		with_setup(test_report_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
