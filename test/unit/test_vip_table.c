/* SPDX-License-Identifier: BSD-2-Clause */
/* The VIP table against a model that looks at every VIP in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include <fluxpin/vip_table.h>

#include "packets.h"

#define MAX_VIPS 65535

static struct vip vip_of(const char *prefix, uint8_t protocol, uint16_t port)
{
	struct vip vip = { .protocol = protocol, .port = port };

	assert_int_equal(prefix_parse(prefix, &vip.prefix), 0);
	return vip;
}

/* Whether the first `length` bits are the same, bit by bit. */
static bool covers(const struct prefix *prefix, const struct address *address)
{
	for (uint32_t bit = 0; bit < prefix->length; bit++)
		if ((prefix->address.bytes[bit / 8] ^ address->bytes[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

/* The contract: the longest prefix, then an exact port over 0, then a protocol over any. */
static bool is_better(const struct vip *a, const struct vip *b)
{
	if (a->prefix.length != b->prefix.length)
		return a->prefix.length > b->prefix.length;
	if ((a->port != 0) != (b->port != 0))
		return a->port != 0;
	return a->protocol != 0 && b->protocol == 0;
}

/* A short IPv6 prefix holds neither the mapped form of IPv4 addresses nor those of the link. */
static bool same_family(const struct prefix *prefix, const struct address *address)
{
	return !address_is_link_or_group(address) &&
	       (prefix->length >= 96 && address_is_ipv4(&prefix->address)) ==
		       address_is_ipv4(address);
}

static enum vip_match model_find(const struct vip *vips, uint32_t count,
				 const struct address *address, uint8_t protocol, uint16_t port,
				 uint16_t *index)
{
	enum vip_match match = VIP_MATCH_NONE;
	const struct vip *best = NULL;

	for (uint32_t i = 0; i < count; i++) {
		const struct vip *vip = &vips[i];

		if (!same_family(&vip->prefix, address) || !covers(&vip->prefix, address))
			continue;
		if (match == VIP_MATCH_NONE)
			match = VIP_MATCH_ADDRESS;
		if ((vip->port != 0 && vip->port != port) ||
		    (vip->protocol != 0 && vip->protocol != protocol))
			continue;
		if (best == NULL || is_better(vip, best))
			best = vip;
	}
	if (best == NULL)
		return match;
	*index = best->index;
	return VIP_MATCH_SERVICE;
}

static void expect(const struct vip_table *table, const char *text, uint8_t protocol, uint16_t port,
		   enum vip_match match, uint16_t index)
{
	const struct vip *vip = NULL;
	struct address address;

	assert_int_equal(address_parse(text, &address), 0);
	assert_int_equal(vip_table_find(table, &address, protocol, port, &vip), match);
	if (match == VIP_MATCH_SERVICE)
		assert_int_equal(vip->index, index);
	else
		assert_null(vip);
}

static struct vip_table *build(struct vip *vips, uint32_t count)
{
	struct vip_table *table = NULL;

	for (uint32_t i = 0; i < count; i++)
		vips[i].index = (uint16_t)i;
	assert_int_equal(vip_table_build(vips, count, &table), 0);
	return table;
}

static void test_empty(void **state)
{
	struct vip_table *table = NULL;

	(void)state;
	assert_int_equal(vip_table_build(NULL, 0, &table), 0);
	expect(table, "203.0.113.10", IPPROTO_TCP, 80, VIP_MATCH_NONE, 0);
	expect(table, "::", 0, 0, VIP_MATCH_NONE, 0);
	vip_table_release(table);
	vip_table_release(NULL);
}

static void test_precedence(void **state)
{
	struct vip vips[] = {
		vip_of("203.0.113.10", IPPROTO_TCP, 80),  vip_of("203.0.113.10", 0, 80),
		vip_of("203.0.113.10", IPPROTO_TCP, 0),	  vip_of("203.0.113.0/24", IPPROTO_TCP, 81),
		vip_of("203.0.113.0/24", 0, 0),		  vip_of("0.0.0.0/0", IPPROTO_UDP, 53),
		vip_of("2001:db8::53", IPPROTO_UDP, 53),  vip_of("2001:db8::/32", 0, 443),
		vip_of("198.51.100.1", IPPROTO_TCP, 443), vip_of("198.51.100.0/25", IPPROTO_UDP, 0),
	};
	struct vip_table *table = build(vips, sizeof(vips) / sizeof(vips[0]));

	(void)state;
	expect(table, "203.0.113.10", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 0);
	expect(table, "203.0.113.10", IPPROTO_UDP, 80, VIP_MATCH_SERVICE, 1);
	/* The longer prefix wins over the exact port of the shorter one. */
	expect(table, "203.0.113.10", IPPROTO_TCP, 81, VIP_MATCH_SERVICE, 2);
	expect(table, "203.0.113.11", IPPROTO_TCP, 81, VIP_MATCH_SERVICE, 3);
	expect(table, "203.0.113.10", IPPROTO_UDP, 81, VIP_MATCH_SERVICE, 4);
	expect(table, "203.0.113.10", IPPROTO_UDP, 53, VIP_MATCH_SERVICE, 4);
	expect(table, "203.0.112.10", IPPROTO_UDP, 53, VIP_MATCH_SERVICE, 5);
	expect(table, "203.0.112.10", IPPROTO_TCP, 53, VIP_MATCH_ADDRESS, 0);
	expect(table, "2001:db8::53", IPPROTO_UDP, 53, VIP_MATCH_SERVICE, 6);
	expect(table, "2001:db8::53", IPPROTO_UDP, 443, VIP_MATCH_SERVICE, 7);
	expect(table, "2001:db8::53", IPPROTO_UDP, 444, VIP_MATCH_ADDRESS, 0);
	expect(table, "2001:db9::53", IPPROTO_UDP, 53, VIP_MATCH_NONE, 0);
	expect(table, "198.51.100.1", IPPROTO_TCP, 443, VIP_MATCH_SERVICE, 8);
	expect(table, "198.51.100.1", IPPROTO_TCP, 444, VIP_MATCH_ADDRESS, 0);
	expect(table, "198.51.100.1", IPPROTO_UDP, 443, VIP_MATCH_SERVICE, 9);
	/* Without ports: found only by a VIP for everything. */
	expect(table, "203.0.113.10", 0, 0, VIP_MATCH_SERVICE, 4);
	expect(table, "198.51.100.1", 0, 0, VIP_MATCH_ADDRESS, 0);
	vip_table_release(table);
}

/* The table copies its VIPs. */
/* ::/0 takes neither IPv4 nor what belongs to the link or a group; 0.0.0.0/0 nothing of IPv6. */
static void test_everything(void **state)
{
	static const char *const never[] = { "fe80::",	"fe80::1", "febf:ffff::1", "ff00::",
					     "ff02::1", "ff0e::5", "ffff::" };
	struct vip six[] = { vip_of("::/0", 0, 0), vip_of("2000::/3", IPPROTO_TCP, 80) };
	struct vip both[] = { vip_of("::/0", 0, 0), vip_of("0.0.0.0/0", 0, 0) };
	struct vip four[] = { vip_of("0.0.0.0/0", 0, 0) };
	struct vip_table *table = build(six, 2);

	(void)state;
	expect(table, "2001:db8::1", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 1);
	expect(table, "2001:db8::1", IPPROTO_TCP, 81, VIP_MATCH_SERVICE, 0);
	expect(table, "::", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 0);
	expect(table, "::fffe:1.2.3.4", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 0);
	expect(table, "fdff::1", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 0);
	expect(table, "fe7f::1", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 0);
	expect(table, "fec0::1", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 0);
	expect(table, "203.0.113.10", IPPROTO_TCP, 80, VIP_MATCH_NONE, 0);
	expect(table, "0.0.0.0", IPPROTO_TCP, 80, VIP_MATCH_NONE, 0);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		expect(table, never[i], IPPROTO_TCP, 80, VIP_MATCH_NONE, 0);
		expect(table, never[i], 0, 0, VIP_MATCH_NONE, 0);
	}
	vip_table_release(table);

	table = build(both, 2);
	expect(table, "2001:db8::1", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 0);
	expect(table, "203.0.113.10", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 1);
	expect(table, "ff02::1", IPPROTO_TCP, 80, VIP_MATCH_NONE, 0);
	vip_table_release(table);

	table = build(four, 1);
	expect(table, "2001:db8::1", IPPROTO_TCP, 80, VIP_MATCH_NONE, 0);
	expect(table, "203.0.113.10", IPPROTO_TCP, 80, VIP_MATCH_SERVICE, 0);
	vip_table_release(table);
}

static void test_copies(void **state)
{
	struct vip vip = vip_of("203.0.113.10", IPPROTO_TCP, 80);
	struct vip_table *table = build(&vip, 1);
	const struct vip *found = NULL;

	(void)state;
	vip.tracking = true;
	vip.pool = 9;
	assert_int_equal(vip_table_find(table, &vip.prefix.address, IPPROTO_TCP, 80, &found),
			 VIP_MATCH_SERVICE);
	assert_ptr_not_equal(found, &vip);
	assert_int_equal(found->pool, 0);
	assert_false(found->tracking);
	vip_table_release(table);
}

/* An address of few distinct bits, so that prefixes of all lengths overlap. */
static struct address random_address(uint64_t *random)
{
	struct address address = { 0 };
	uint32_t shape = test_random_below(random, 3);

	if (shape == 0)
		return address_from_ipv4(htonl(0xcb007100 | test_random_below(random, 8)));
	if (shape == 1)
		return address_from_ipv4((uint32_t)test_random(random) & htonl(0xc0030003));
	for (int i = 0; i < 16; i++)
		address.bytes[i] = (uint8_t)(test_random_below(random, 8) == 0 ? 0x80 : 0);
	return address;
}

static uint8_t random_protocol(uint64_t *random)
{
	static const uint8_t protocols[] = { 0, IPPROTO_TCP, IPPROTO_UDP };

	return protocols[test_random_below(random, 3)];
}

static struct vip random_vip(uint64_t *random)
{
	static const uint8_t lengths[] = { 0, 1, 7, 8, 64, 95, 96, 97, 112, 120, 126, 127, 128 };
	struct vip vip = {
		.protocol = random_protocol(random),
		.port = (uint16_t)test_random_below(random, 4),
	};
	struct address address = random_address(random);

	vip.prefix.length = test_random_below(random, 2) == 0
				    ? lengths[test_random_below(random, sizeof(lengths))]
				    : (uint8_t)test_random_below(random, 129);
	vip.prefix.address = address_mask(&address, vip.prefix.length);
	return vip;
}

static bool is_duplicate(const struct vip *vips, uint32_t count, const struct vip *vip)
{
	for (uint32_t i = 0; i < count; i++)
		if (vips[i].prefix.length == vip->prefix.length && vips[i].port == vip->port &&
		    vips[i].protocol == vip->protocol &&
		    address_equal(&vips[i].prefix.address, &vip->prefix.address))
			return true;
	return false;
}

static void test_against_model(void **state)
{
	uint64_t random = 4;
	uint32_t matches[3] = { 0 };

	(void)state;
	for (uint32_t run = 0; run < 400; run++) {
		uint32_t wanted = test_random_below(&random, run % 4 == 0 ? 4 : 80);
		struct vip vips[80];
		struct vip_table *table;
		uint32_t count = 0;

		while (count < wanted) {
			vips[count] = random_vip(&random);
			if (!is_duplicate(vips, count, &vips[count]))
				count++;
		}
		table = build(vips, count);
		for (uint32_t i = 0; i < 500; i++) {
			struct address address = random_address(&random);
			uint8_t protocol = random_protocol(&random);
			uint16_t port = (uint16_t)test_random_below(&random, 5);
			uint16_t expected = 0;
			const struct vip *vip = NULL;
			enum vip_match match =
				vip_table_find(table, &address, protocol, port, &vip);

			if (match != model_find(vips, count, &address, protocol, port, &expected))
				fail_msg("run %u, lookup %u: match %d", run, i, match);
			if (match == VIP_MATCH_SERVICE && vip->index != expected)
				fail_msg("run %u, lookup %u: VIP %u", run, i, vip->index);
			matches[match]++;
		}
		vip_table_release(table);
	}
	for (int match = 0; match < 3; match++)
		assert_true(matches[match] > 5000);
}

/* Ways in which operators number many VIPs. */
static struct vip numbered_vip(uint32_t numbering, uint32_t i)
{
	struct vip vip = { .prefix = { .length = 128 }, .protocol = IPPROTO_TCP, .port = 443 };

	switch (numbering) {
	case 0: /* one after the other */
		vip.prefix.address = address_from_ipv4(htonl(0x0a000000 + i));
		break;
	case 1: /* the same host of many networks */
		vip.prefix.address = address_from_ipv4(htonl(1 + (i << 8)));
		break;
	case 2:
		vip.prefix.address =
			address_from_ipv4(htonl((i & 0xff) << 24 | (i >> 8) << 16 | 1));
		break;
	case 3: /* IPv6, one after the other */
		test_store32(vip.prefix.address.bytes, 0x20010db8);
		test_store32(vip.prefix.address.bytes + 12, i);
		break;
	case 4: /* the same host of many IPv6 networks */
		test_store32(vip.prefix.address.bytes, 0x20010db8);
		test_store32(vip.prefix.address.bytes + 4, i);
		vip.prefix.address.bytes[15] = 1;
		break;
	case 5: /* the same number in both halves */
		test_store32(vip.prefix.address.bytes + 4, i);
		test_store32(vip.prefix.address.bytes + 12, i << 1 | i >> 31);
		break;
	case 6: /* many ports of one address */
		vip.prefix.address = address_from_ipv4(htonl(0x0a000001));
		vip.port = (uint16_t)(i + 1);
		break;
	case 7: /* ports of many addresses */
		vip.prefix.address = address_from_ipv4(htonl(0x0a000000 + i % 256));
		vip.port = (uint16_t)(i / 256 + 1);
		break;
	default: /* networks */
		vip.prefix.address = address_from_ipv4(htonl(i << 12));
		vip.prefix.length = 96 + 20;
		vip.port = 0;
		break;
	}
	return vip;
}

#define NUMBERINGS 9

/*
 * As many VIPs as there can be, in each numbering: all are found, their neighbours are not, and
 * building and looking up stay linear. A hash that leaves out some of the address's bits takes
 * minutes here, or seconds at least; a right one milliseconds.
 */
static void test_many(void **state)
{
	struct vip *vips = calloc(MAX_VIPS, sizeof(*vips));

	(void)state;
	assert_non_null(vips);
	for (uint32_t numbering = 0; numbering < NUMBERINGS; numbering++) {
		clock_t start = clock();
		struct vip_table *table;

		for (uint32_t i = 0; i < MAX_VIPS; i++)
			vips[i] = numbered_vip(numbering, i);
		table = build(vips, MAX_VIPS);
		for (uint32_t i = 0; i < MAX_VIPS; i++) {
			const struct vip *vip = NULL;
			struct address near = vips[i].prefix.address;
			uint16_t port = vips[i].port != 0 ? vips[i].port : 7;

			if (vip_table_find(table, &near, IPPROTO_TCP, port, &vip) !=
				    VIP_MATCH_SERVICE ||
			    vip->index != i)
				fail_msg("numbering %u: VIP %u is not found", numbering, i);
			near.bytes[12] ^= 0x40;
			near.bytes[15] ^= 0x40;
			if (vip_table_find(table, &near, IPPROTO_TCP, port, &vip) != VIP_MATCH_NONE)
				fail_msg("numbering %u: neighbour of %u is found", numbering, i);
		}
		vip_table_release(table);
		if ((clock() - start) / (CLOCKS_PER_SEC / 10) >= 15)
			fail_msg("numbering %u: too slow", numbering);
	}
	free(vips);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	      cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_everything),    cmocka_unit_test(test_copies),
		cmocka_unit_test(test_against_model), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
