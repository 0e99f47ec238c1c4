/* SPDX-License-Identifier: BSD-2-Clause */
/* What the exact table finds is what vip_table_find says, and its filter hides no VIP. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/dataplane/vip_table_exact.h"
#include "packets.h"

#define TABLES	20
#define VIPS	300
#define LOOKUPS 20000

static struct address random_address(uint64_t *random, bool is_ipv4)
{
	struct address address = { .bytes = { 0x20, 0x01, 0x0d, 0xb8 } };

	if (is_ipv4)
		return address_from_ipv4(htonl(0xcb007100 + test_random_below(random, 64)));
	/* Link-local ones, too, which no VIP takes. */
	if (test_random_below(random, 4) == 0)
		memcpy(address.bytes, "\xfe\x80\0\0", 4);
	address.bytes[4] = (uint8_t)test_random_below(random, 3);
	address.bytes[15] = (uint8_t)test_random_below(random, 64);
	return address;
}

static struct vip random_vip(uint64_t *random, bool has_prefixes)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, 0 };
	bool is_ipv4 = test_random_below(random, 2) == 0;
	struct vip vip = {
		.prefix = { .address = random_address(random, is_ipv4), .length = 128 },
		.protocol = protocols[test_random_below(random, 3)],
		.port = (uint16_t)test_random_below(random, 4),
	};

	if (has_prefixes && test_random_below(random, 10) == 0) {
		vip.prefix.length = (uint8_t)(128 - test_random_below(random, 5));
		vip.prefix.address = address_mask(&vip.prefix.address, vip.prefix.length);
	}
	return vip;
}

static bool is_there(const struct vip *vips, uint32_t count, const struct vip *vip)
{
	for (uint32_t i = 0; i < count; i++)
		if (address_equal(&vips[i].prefix.address, &vip->prefix.address) &&
		    vips[i].prefix.length == vip->prefix.length &&
		    vips[i].protocol == vip->protocol && vips[i].port == vip->port)
			return true;
	return false;
}

/* Returns whether the exact table has the service. */
static bool check_lookup(const struct vip_table *table, uint64_t *random)
{
	const struct vip_exact *exact = vip_table_exact(table);
	bool is_ipv4 = test_random_below(random, 2) == 0;
	struct address address = random_address(random, is_ipv4);
	uint8_t protocol = test_random_below(random, 2) == 0 ? IPPROTO_TCP : IPPROTO_UDP;
	uint16_t port = (uint16_t)test_random_below(random, 5), port_be = htons(port);
	uint32_t ipv4_be = address.words_be[3];
	const struct vip *expected = NULL, *found;
	enum vip_match match = vip_table_find(table, &address, protocol, port, &expected);

	found = is_ipv4 ? vip_exact_find_ipv4(exact, exact_key_ipv4(ipv4_be, port_be, protocol))
			: vip_exact_find_ipv6(exact, address.halves,
					      exact_service(port_be, protocol));
	if (found != NULL)
		assert_ptr_equal(found, expected);
	else if (match == VIP_MATCH_SERVICE)
		assert_true(expected->port == 0 || expected->protocol == 0 ||
			    expected->prefix.length < 128);
	if (match != VIP_MATCH_NONE)
		assert_true(is_ipv4 ? vip_exact_may_have_ipv4(exact, ipv4_be)
				    : vip_exact_may_have_ipv6(exact, address.halves));
	return found != NULL;
}

static void test_same_as_find(void **state)
{
	uint64_t random = 5, found = 0;

	(void)state;
	for (uint32_t i = 0; i < TABLES; i++) {
		struct vip vips[VIPS];
		struct vip_table *table;
		uint32_t count = 0;

		for (uint32_t tries = 0; tries < VIPS * i / (TABLES - 1); tries++) {
			struct vip vip = random_vip(&random, i % 2 == 0);

			if (!is_there(vips, count, &vip))
				vips[count++] = vip;
		}
		assert_int_equal(vip_table_build(vips, count, &table), 0);
		for (int j = 0; j < LOOKUPS; j++)
			found += check_lookup(table, &random);
		vip_table_release(table);
	}
	assert_in_range(found, LOOKUPS / 2, TABLES * LOOKUPS);
}

/* Of whole addresses, the filter lets few others through. */
static void test_filter(void **state)
{
	struct vip vips[16];
	struct vip_table *table;
	uint32_t passed = 0;

	(void)state;
	for (uint32_t i = 0; i < 16; i++)
		vips[i] = (struct vip){
			.prefix = { .address = address_from_ipv4(htonl(0xcb007100 + i)),
				    .length = 128 },
			.protocol = IPPROTO_TCP,
			.port = 80,
		};
	assert_int_equal(vip_table_build(vips, 16, &table), 0);
	for (uint32_t i = 0; i < 100000; i++)
		passed += vip_exact_may_have_ipv4(vip_table_exact(table), htonl(0x0a000000 + i));
	/* 16 of 4096 bits are set. */
	assert_in_range(passed, 0, 2000);
	vip_table_release(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_find),
		cmocka_unit_test(test_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
