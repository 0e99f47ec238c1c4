/* SPDX-License-Identifier: BSD-2-Clause */
/* Tunnels that end at the load balancer: every kind and family, cut at every byte. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/decapsulation.h>

#include "packets.h"

#define GUE_PORT      6080
#define GRE_CHECKSUM  0x8000
#define GRE_KEY	      0x2000
#define GRE_SEQUENCE  0x1000
#define INNER_PAYLOAD 13

enum kind {
	GRE,
	IPIP,
	GUE,
	KINDS
};

/* A tunnel packet from 10.0.0.1 to 10.0.0.5 or from fd00::1 to fd00::5. */
struct tunnel {
	enum kind kind;
	bool is_ipv6; /* the outer family */
	bool holds_ipv6;
	uint16_t gre_flags;
	uint8_t gue_words;   /* of options */
	uint8_t tags;	     /* VLAN */
	uint8_t outer_class; /* DSCP and ECN */
	uint8_t inner_class;
	bool udp_checksum;
};

static const struct prefix sources[] = {
	{ .address = { .bytes = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 0 } }, .length = 126 },
	{ .address = { .bytes = { 0xfd, [15] = 1 } }, .length = 128 },
};
static const struct address addresses[] = {
	{ .bytes = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 9 } },
	{ .bytes = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 5 } },
	{ .bytes = { 0xfd, [15] = 5 } },
};
static const struct decapsulation lists = {
	.sources = sources, .addresses = addresses, .source_count = 2, .address_count = 3
};

/* A frame, and where its parts begin. */
struct built {
	uint8_t bytes[TEST_FRAME_SIZE];
	uint32_t length;
	uint32_t outer; /* the outer IP header */
	uint32_t shim;	/* behind it */
	uint32_t inner; /* the packet inside */
};

/* The inner packet alone: UDP. Returns its length. */
static uint32_t build_inner(const struct tunnel *tunnel, uint8_t *buffer)
{
	const struct test_packet packet = { .source = 0xc6336407,
					    .destination = 0xcb00710a,
					    .source_port = 4000,
					    .destination_port = 53,
					    .protocol = IPPROTO_UDP,
					    .traffic_class = tunnel->inner_class,
					    .payload = INNER_PAYLOAD };
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = tunnel->holds_ipv6 ? test_build_ipv6(&packet, NULL, 0, frame)
					     : test_build(&packet, frame);

	memcpy(buffer, frame + ETHERNET_HEADER_LENGTH, length - ETHERNET_HEADER_LENGTH);
	return length - ETHERNET_HEADER_LENGTH;
}

static uint32_t build_gre(const struct tunnel *tunnel, uint8_t *shim)
{
	uint32_t length = 4;

	test_store16(shim, tunnel->gre_flags);
	test_store16(shim + 2, tunnel->holds_ipv6 ? 0x86dd : 0x0800);
	for (uint16_t flag = GRE_CHECKSUM; flag >= GRE_SEQUENCE; flag >>= 1) {
		if ((tunnel->gre_flags & flag) == 0)
			continue;
		memset(shim + length, flag == GRE_CHECKSUM ? 0 : 0xa5, 4);
		length += 4;
	}
	return length;
}

static uint32_t build_gue(const struct tunnel *tunnel, uint8_t *shim)
{
	uint32_t options = tunnel->gue_words * 4u;

	test_store16(shim, 50000);
	test_store16(shim + 2, GUE_PORT);
	memset(shim + 6, 0, 2);
	shim[8] = tunnel->gue_words;
	shim[9] = tunnel->holds_ipv6 ? 41 : 4;
	memset(shim + 10, 0, 2);
	memset(shim + 12, 0x5a, options);
	return 12 + options;
}

static void write_outer(const struct tunnel *tunnel, uint8_t *ip, uint32_t length)
{
	static const uint8_t protocols[2][KINDS] = { { 47, 4, 17 }, { 47, 41, 17 } };
	uint8_t protocol = protocols[tunnel->holds_ipv6][tunnel->kind];

	if (tunnel->is_ipv6) {
		test_store32(ip, 6u << 28 | (uint32_t)tunnel->outer_class << 20);
		test_store16(ip + 4, length);
		ip[6] = protocol;
		ip[7] = 64;
		memset(ip + 8, 0, 32);
		ip[8] = ip[24] = 0xfd;
		ip[23] = 1;
		ip[39] = 5;
		return;
	}
	memset(ip, 0, 20);
	ip[0] = 0x45;
	ip[1] = tunnel->outer_class;
	test_store16(ip + 2, 20 + length);
	ip[8] = 64;
	ip[9] = protocol;
	test_store32(ip + 12, 0x0a000001);
	test_store32(ip + 16, 0x0a000005);
	test_fix_checksum(ip);
}

/* The checksum of the UDP datagram at shim, which has one that is to be summed with it. */
static uint16_t udp_sum(const struct built *built, const struct tunnel *tunnel, uint32_t length)
{
	uint32_t span = tunnel->is_ipv6 ? 32 : 8;
	uint8_t all[TEST_FRAME_SIZE] = { 0 };

	memcpy(all, built->bytes + built->shim - span, span);
	all[span + 1] = IPPROTO_UDP;
	test_store16(all + span + 2, length);
	memcpy(all + span + 4, built->bytes + built->shim, length);
	return test_checksum(all, (span + 4 + length + 1) & ~1u);
}

static void build(const struct tunnel *tunnel, struct built *built)
{
	uint8_t *at = built->bytes;
	uint32_t payload;

	memset(built, 0, sizeof(*built));
	memcpy(at, test_own_mac, 6);
	memcpy(at + 6, test_peer_mac, 6);
	for (uint32_t i = 0; i < tunnel->tags; i++)
		test_store32(at + 12 + 4 * i, 0x81000005);
	built->outer = ETHERNET_HEADER_LENGTH + tunnel->tags * VLAN_TAG_LENGTH;
	test_store16(at + built->outer - 2, tunnel->is_ipv6 ? 0x86dd : 0x0800);
	built->shim = built->outer + (tunnel->is_ipv6 ? 40 : 20);
	built->inner = built->shim;
	if (tunnel->kind == GRE)
		built->inner += build_gre(tunnel, at + built->shim);
	else if (tunnel->kind == GUE)
		built->inner += build_gue(tunnel, at + built->shim);
	built->length = built->inner + build_inner(tunnel, at + built->inner);
	payload = built->length - built->shim;
	write_outer(tunnel, at + built->outer, payload);
	if (tunnel->kind == GUE)
		test_store16(at + built->shim + 4, payload);
	if (tunnel->kind == GUE && tunnel->udp_checksum) {
		uint16_t sum = udp_sum(built, tunnel, payload);

		test_store16(at + built->shim + 6, sum == 0 ? 0xffff : sum);
	}
	if (tunnel->kind == GRE && (tunnel->gre_flags & GRE_CHECKSUM) != 0)
		test_store16(at + built->shim + 4,
			     test_checksum(at + built->shim, (payload + 1) & ~1u));
}

/* Sets the outer length, and with it where the outer packet ends. */
static void set_outer_length(struct built *built, const struct tunnel *tunnel, uint32_t payload)
{
	uint8_t *ip = built->bytes + built->outer;

	test_store16(ip + (tunnel->is_ipv6 ? 4 : 2), tunnel->is_ipv6 ? payload : 20 + payload);
	if (!tunnel->is_ipv6)
		test_fix_checksum(ip);
}

/* Runs it over a copy that ends where the frame does, which has to stay as it was. `after`: what
 * became of the packet. */
static enum decapsulation_result apply_lists(const struct decapsulation *decapsulation,
					     const struct built *built, struct packet *after)
{
	uint8_t *copy = test_exact_copy(built->bytes, built->length);
	struct packet packet = { .frame = { .data = copy, .length = built->length } }, before;
	enum decapsulation_result result;

	assert_int_not_equal(packet_parse(&packet, NULL), PACKET_MALFORMED);
	before = packet;
	result = decapsulation_apply(decapsulation, &packet);
	assert_memory_equal(copy, built->bytes, built->length);
	*after = packet;
	if (result != DECAPSULATION_DONE) {
		packet.reason = before.reason;
		assert_memory_equal(&packet, &before, sizeof(packet));
	}
	free(copy);
	return result;
}

static enum decapsulation_result apply(const struct built *built, struct packet *after)
{
	return apply_lists(&lists, built, after);
}

static enum decapsulation_result result_of(const struct built *built)
{
	struct packet after;

	return apply(built, &after);
}

static void check_done(const struct tunnel *tunnel, const struct built *built)
{
	struct packet after;

	assert_int_equal(apply(built, &after), DECAPSULATION_DONE);
	assert_int_equal(after.flags, PACKET_DECAPSULATED);
	assert_int_equal(after.tag_count, tunnel->tags);
	assert_int_equal(after.is_ipv6, tunnel->holds_ipv6);
	assert_int_equal(after.l3_offset, built->inner);
	assert_int_equal(after.l4_offset, built->inner + (tunnel->holds_ipv6 ? 40 : 20));
	assert_int_equal(after.l3_length, (tunnel->holds_ipv6 ? 40 : 20) + 8 + INNER_PAYLOAD);
	assert_int_equal(after.protocol, IPPROTO_UDP);
	assert_false(after.is_fragment);
	assert_int_equal(after.frame.length, built->length);
	assert_int_equal(after.source_port_be, 0);
	if (!tunnel->holds_ipv6) {
		assert_int_equal(after.source_be, htonl(0xc6336407));
		assert_int_equal(after.destination_be, htonl(0xcb00710a));
	}
}

/* Calls for every kind, outer and inner family. */
static void for_each_tunnel(void (*call)(struct tunnel tunnel))
{
	for (int i = 0; i < KINDS * 4; i++)
		call((struct tunnel){ .kind = (enum kind)(i / 4),
				      .is_ipv6 = (i & 1) != 0,
				      .holds_ipv6 = (i & 2) != 0 });
}

static void check_headers(struct tunnel tunnel)
{
	struct built built;

	for (tunnel.tags = 0; tunnel.tags <= PACKET_MAX_TAGS; tunnel.tags++) {
		build(&tunnel, &built);
		check_done(&tunnel, &built);
	}
	tunnel.tags = 0;
	for (uint32_t flags = 0; flags < 8 && tunnel.kind == GRE; flags++) {
		tunnel.gre_flags =
			(uint16_t)((flags & 4 ? GRE_CHECKSUM : 0) | (flags & 2 ? GRE_KEY : 0) |
				   (flags & 1 ? GRE_SEQUENCE : 0));
		build(&tunnel, &built);
		check_done(&tunnel, &built);
	}
	for (uint8_t words = 0; words < 32 && tunnel.kind == GUE; words++) {
		tunnel.gue_words = words;
		tunnel.udp_checksum = words % 2 != 0;
		build(&tunnel, &built);
		check_done(&tunnel, &built);
	}
}

static void test_every_header(void **state)
{
	(void)state;
	for_each_tunnel(check_headers);
}

/* The outer packet ends after `payload` bytes, and so does the frame. */
static void check_cut(const struct tunnel *tunnel, const struct built *whole, uint32_t payload)
{
	uint32_t header = whole->inner - whole->shim, inner = tunnel->holds_ipv6 ? 40 : 20;
	uint8_t reason = DROP_DECAPSULATION;
	struct built built = *whole;
	struct packet after;

	built.length = built.shim + payload;
	set_outer_length(&built, tunnel, payload);
	if (tunnel->kind == GUE && payload >= 8)
		test_store16(built.bytes + built.shim + 4, payload);
	/* Too short to say that it is for GUE's port. */
	if (tunnel->kind == GUE && payload < 4) {
		assert_int_equal(apply(&built, &after), DECAPSULATION_NONE);
		return;
	}
	assert_int_equal(apply(&built, &after), DECAPSULATION_FAILED);
	if (payload >= header + inner)
		reason = tunnel->holds_ipv6 ? DROP_IPV6_LENGTH : DROP_IPV4_LENGTH;
	else if (payload >= header)
		reason = tunnel->holds_ipv6 ? DROP_IPV6_TRUNCATED : DROP_IPV4_TRUNCATED;
	assert_int_equal(after.reason, reason);
}

static void check_cuts(struct tunnel tunnel)
{
	struct built built;

	tunnel.gre_flags = tunnel.kind == GRE ? GRE_KEY | GRE_SEQUENCE : 0;
	tunnel.gue_words = 3;
	build(&tunnel, &built);
	check_done(&tunnel, &built);
	for (uint32_t payload = 0; payload < built.length - built.shim; payload++)
		check_cut(&tunnel, &built, payload);
}

static void test_cut_at_every_byte(void **state)
{
	(void)state;
	for_each_tunnel(check_cuts);
}

/* What lies behind the outer packet, or behind the UDP datagram, is no part of the inner one. */
static void check_ends(struct tunnel tunnel)
{
	struct built built;
	struct packet after;
	uint32_t payload;

	build(&tunnel, &built);
	payload = built.length - built.shim;
	built.length += 9;
	check_done(&tunnel, &built);
	/* A longer outer packet: the inner one is padded. */
	set_outer_length(&built, &tunnel, payload + 9);
	check_done(&tunnel, &built);
	/* One byte short, though the frame has it. */
	set_outer_length(&built, &tunnel, payload - 1);
	assert_int_equal(apply(&built, &after), DECAPSULATION_FAILED);
	if (tunnel.kind != GUE)
		return;
	assert_int_equal(after.reason, DROP_DECAPSULATION);
	set_outer_length(&built, &tunnel, payload);
	test_store16(built.bytes + built.shim + 4, payload - 1);
	assert_int_equal(apply(&built, &after), DECAPSULATION_FAILED);
	assert_int_equal(after.reason, tunnel.holds_ipv6 ? DROP_IPV6_LENGTH : DROP_IPV4_LENGTH);
	for (uint32_t length = 0; length < 12; length++) {
		test_store16(built.bytes + built.shim + 4, length);
		assert_int_equal(apply(&built, &after), DECAPSULATION_FAILED);
		assert_int_equal(after.reason, DROP_DECAPSULATION);
	}
}

static void test_ends(void **state)
{
	(void)state;
	for_each_tunnel(check_ends);
}

static void check_others(struct tunnel tunnel)
{
	struct built built;
	uint8_t *shim;

	build(&tunnel, &built);
	shim = built.bytes + built.shim;
	if (tunnel.kind == GRE) {
		/* Routing and versions are not ours; reserved and recursion bits do not matter. */
		for (uint32_t bit = 0; bit < 16; bit++) {
			bool is_other = bit == 14 || bit <= 2;

			if (bit == 15 || bit == 13 || bit == 12)
				continue;
			test_store16(shim, 1u << bit);
			assert_int_equal(result_of(&built),
					 is_other ? DECAPSULATION_NONE : DECAPSULATION_DONE);
		}
		test_store16(shim, 0);
		test_store16(shim + 2, 0x6558);
		assert_int_equal(result_of(&built), DECAPSULATION_NONE);
	} else if (tunnel.kind == GUE) {
		for (uint32_t bits = 0x20; bits < 0x100; bits += 0x20) {
			shim[8] = (uint8_t)bits;
			assert_int_equal(result_of(&built), DECAPSULATION_NONE);
		}
		shim[8] = 0;
		shim[9] = 47;
		assert_int_equal(result_of(&built), DECAPSULATION_NONE);
		shim[9] = tunnel.holds_ipv6 ? 41 : 4;
		test_store16(shim + 2, GUE_PORT + 1);
		assert_int_equal(result_of(&built), DECAPSULATION_NONE);
	} else {
		/* The protocol says the family. */
		*shim ^= 0x20;
		assert_int_equal(result_of(&built), DECAPSULATION_FAILED);
	}
	build(&tunnel, &built);
	built.bytes[built.outer + (tunnel.is_ipv6 ? 6 : 9)] = 50;
	if (!tunnel.is_ipv6)
		test_fix_checksum(built.bytes + built.outer);
	assert_int_equal(result_of(&built), DECAPSULATION_NONE);
}

static void test_what_is_not_ours(void **state)
{
	(void)state;
	for_each_tunnel(check_others);
}

/* Fragments of tunnel packets are the kernel's to put together. */
static void test_fragments(void **state)
{
	static const uint16_t fields[] = { 0x2000, 0x0001, 0x3fff };

	(void)state;
	for (int kind = 0; kind < KINDS; kind++) {
		const struct tunnel tunnel = { .kind = (enum kind)kind };
		struct built built;

		build(&tunnel, &built);
		for (int i = 0; i < 3; i++) {
			test_store16(built.bytes + built.outer + 6, fields[i]);
			test_fix_checksum(built.bytes + built.outer);
			assert_int_equal(result_of(&built), DECAPSULATION_NONE);
		}
		test_store16(built.bytes + built.outer + 6, 0x4000);
		test_fix_checksum(built.bytes + built.outer);
		check_done(&tunnel, &built);
	}
}

/* The prefix 10.0.0.0/30, one IPv6 address; of our own, each one that is listed. */
static void test_lists(void **state)
{
	static const struct prefix everything[] = { { .length = 0 }, { .length = 96 } };
	struct decapsulation other = lists;
	struct tunnel tunnel = { .kind = IPIP };
	struct prefix ipv4 = { .length = 96 };
	struct packet after;
	struct built built;

	(void)state;
	build(&tunnel, &built);
	for (uint32_t last = 0; last < 256; last++) {
		built.bytes[built.outer + 15] = (uint8_t)last;
		test_fix_checksum(built.bytes + built.outer);
		assert_int_equal(result_of(&built) == DECAPSULATION_DONE, last < 4);
	}
	build(&tunnel, &built);
	for (uint32_t last = 0; last < 256; last++) {
		built.bytes[built.outer + 19] = (uint8_t)last;
		test_fix_checksum(built.bytes + built.outer);
		assert_int_equal(result_of(&built) == DECAPSULATION_DONE, last == 5 || last == 9);
	}
	/* ::/0 holds no IPv4 address, 0.0.0.0/0 no IPv6 one. */
	build(&tunnel, &built);
	other.sources = everything;
	other.source_count = 1;
	assert_int_equal(apply_lists(&other, &built, &after), DECAPSULATION_NONE);
	ipv4.address = address_from_ipv4(0);
	other.sources = &ipv4;
	assert_int_equal(apply_lists(&other, &built, &after), DECAPSULATION_DONE);
	tunnel.is_ipv6 = true;
	build(&tunnel, &built);
	assert_int_equal(apply_lists(&other, &built, &after), DECAPSULATION_NONE);
	other.sources = everything;
	assert_int_equal(apply_lists(&other, &built, &after), DECAPSULATION_DONE);
	for (uint32_t byte = 8; byte < 40; byte++) {
		build(&tunnel, &built);
		built.bytes[built.outer + byte] ^= 0x80;
		assert_int_equal(result_of(&built), DECAPSULATION_NONE);
	}
	other.source_count = 0;
	assert_int_equal(apply_lists(&other, &built, &after), DECAPSULATION_NONE);
}

static void test_gre_checksum(void **state)
{
	(void)state;
	for (int family = 0; family < 4; family++) {
		const struct tunnel tunnel = { .kind = GRE,
					       .is_ipv6 = (family & 1) != 0,
					       .holds_ipv6 = (family & 2) != 0,
					       .gre_flags = GRE_CHECKSUM | GRE_KEY };
		struct built built;
		struct packet after;

		build(&tunnel, &built);
		/* Every byte counts: of the header, of its key, of the packet inside. */
		for (uint32_t at = built.shim + 4; at < built.length; at++) {
			built.bytes[at] ^= 0x10;
			assert_int_equal(apply(&built, &after), DECAPSULATION_FAILED);
			assert_int_equal(after.reason, DROP_DECAPSULATION);
			built.bytes[at] ^= 0x10;
		}
		/* One that comes out as 0 may be written as 0xffff, too. */
		test_store16(built.bytes + built.shim + 8, 0);
		test_store16(built.bytes + built.shim + 4, 0);
		test_store16(built.bytes + built.shim + 8,
			     test_checksum(built.bytes + built.shim,
					   (built.length - built.shim + 1) & ~1u));
		check_done(&tunnel, &built);
		test_store16(built.bytes + built.shim + 4, 0xffff);
		check_done(&tunnel, &built);
	}
}

static void test_udp_checksum(void **state)
{
	(void)state;
	for (int family = 0; family < 4; family++) {
		const struct tunnel tunnel = { .kind = GUE,
					       .is_ipv6 = (family & 1) != 0,
					       .holds_ipv6 = (family & 2) != 0,
					       .gue_words = 1,
					       .udp_checksum = true };
		struct built built;
		struct packet after;
		uint16_t port;

		build(&tunnel, &built);
		check_done(&tunnel, &built);
		for (uint32_t at = built.shim + 12; at < built.length; at++) {
			built.bytes[at] ^= 0x10;
			assert_int_equal(apply(&built, &after), DECAPSULATION_FAILED);
			assert_int_equal(after.reason, DROP_DECAPSULATION);
			built.bytes[at] ^= 0x10;
		}
		/* A sum of 0 is written as 0xffff; 0 says that there is none, and nothing of it. */
		memset(built.bytes + built.shim + 6, 0, 2);
		test_store16(built.bytes + built.shim, 0);
		port = udp_sum(&built, &tunnel, built.length - built.shim);
		test_store16(built.bytes + built.shim, port);
		test_store16(built.bytes + built.shim + 6, 0xffff);
		check_done(&tunnel, &built);
		test_store16(built.bytes + built.shim + 6, 0);
		check_done(&tunnel, &built);
		test_store16(built.bytes + built.shim, port ^ 1);
		check_done(&tunnel, &built);
		test_store16(built.bytes + built.shim + 6, 0xffff);
		assert_int_equal(apply(&built, &after), DECAPSULATION_FAILED);
	}
}

/* RFC 6040 figure 4: what the next hop is to see, -1 where the packet is dropped. */
static void check_ecn(struct tunnel tunnel)
{
	enum {
		NOT_ECT,
		ECT_1,
		ECT_0,
		CE
	};
	static const int expected[4][4] = {
		/* by outer: Not-ECT, ECT(1), ECT(0), CE */
		[NOT_ECT] = { NOT_ECT, NOT_ECT, NOT_ECT, -1 },
		[ECT_1] = { ECT_1, ECT_1, ECT_1, CE },
		[ECT_0] = { ECT_0, ECT_1, ECT_0, CE },
		[CE] = { CE, CE, CE, CE },
	};

	for (int i = 0; i < 16; i++) {
		int inner = i / 4, outer = i % 4;
		struct packet after;
		struct built built;

		/* The DSCP is the inner one's. */
		tunnel.inner_class = (uint8_t)(0xa8 | inner);
		tunnel.outer_class = (uint8_t)(0x54 | outer);
		build(&tunnel, &built);
		if (expected[inner][outer] < 0) {
			assert_int_equal(apply(&built, &after), DECAPSULATION_FAILED);
			assert_int_equal(after.reason, DROP_DECAPSULATION);
			continue;
		}
		assert_int_equal(apply(&built, &after), DECAPSULATION_DONE);
		assert_int_equal(after.traffic_class, 0xa8 | expected[inner][outer]);
	}
}

static void test_congestion_marks(void **state)
{
	(void)state;
	for_each_tunnel(check_ecn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_header),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_what_is_not_ours),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_gre_checksum),
		cmocka_unit_test(test_udp_checksum),
		cmocka_unit_test(test_congestion_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
