/* SPDX-License-Identifier: BSD-2-Clause */
/* The flow hash never changes: two versions in one cluster have to agree on it. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <xxhash.h> /* the library's own function, not the inlined one under test */

#include <fluxpin/flow.h>

#include "packets.h"

struct vector {
	const char *source, *destination;
	uint16_t source_port, destination_port;
	uint8_t protocol;
	uint64_t seed, hash;
};

static const struct vector vectors[] = {
	{ "0.0.0.0", "0.0.0.0", 0, 0, 0, UINT64_C(0x0000000000000000),
	  UINT64_C(0xd0a66a65c7528968) },
	{ "255.255.255.255", "255.255.255.255", 65535, 65535, 255, UINT64_C(0xffffffffffffffff),
	  UINT64_C(0x575c4751c1447974) },
	{ "198.51.100.7", "203.0.113.10", 40000, 443, 6, UINT64_C(0x0123456789abcdef),
	  UINT64_C(0x4703fe5a498c8fc2) },
	{ "198.51.100.7", "203.0.113.10", 40000, 443, 17, UINT64_C(0x0123456789abcdef),
	  UINT64_C(0x73d1f9818743a830) },
	{ "198.51.100.7", "203.0.113.10", 40001, 443, 6, UINT64_C(0x0123456789abcdef),
	  UINT64_C(0x7f02e60f0de6a0d1) },
	{ "203.0.113.10", "198.51.100.7", 443, 40000, 6, UINT64_C(0x0123456789abcdef),
	  UINT64_C(0xb782702e7e77fdcb) },
	{ "198.51.100.7", "203.0.113.10", 40000, 443, 6, UINT64_C(0x0000000000000000),
	  UINT64_C(0x2e292f76909a7658) },
	{ "10.0.0.1", "10.0.0.2", 256, 1, 6, UINT64_C(0x0000000000000001),
	  UINT64_C(0x1b14d7eb45d52e4f) },
};

static const struct vector vectors_ipv6[] = {
	{ "::", "::", 0, 0, 0, UINT64_C(0x0000000000000000), UINT64_C(0x114ddfda264d5aa9) },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	  65535, 65535, 255, UINT64_C(0xffffffffffffffff), UINT64_C(0x6685692ed36af76b) },
	{ "2001:db8:1::7", "2001:db8::10", 40000, 443, 6, UINT64_C(0x0123456789abcdef),
	  UINT64_C(0x4bf1e885536eff51) },
	{ "2001:db8:1::7", "2001:db8::10", 40000, 443, 17, UINT64_C(0x0123456789abcdef),
	  UINT64_C(0x2b3a6414ae754adf) },
	{ "2001:db8:1::7", "2001:db8::10", 40001, 443, 6, UINT64_C(0x0123456789abcdef),
	  UINT64_C(0x2fc1ee838d675b50) },
	{ "2001:db8::10", "2001:db8:1::7", 443, 40000, 6, UINT64_C(0x0123456789abcdef),
	  UINT64_C(0x0174577ad7817b6c) },
	{ "2001:db8:1::7", "2001:db8::10", 40000, 443, 6, UINT64_C(0x0000000000000000),
	  UINT64_C(0xa7a3ea779e86273b) },
	{ "fd00::1", "fd00::2", 256, 1, 6, UINT64_C(0x0000000000000001),
	  UINT64_C(0x433596cedfe30117) },
};

static uint64_t hash_vector(const struct vector *vector)
{
	uint32_t source_be, destination_be;

	assert_int_equal(inet_pton(AF_INET, vector->source, &source_be), 1);
	assert_int_equal(inet_pton(AF_INET, vector->destination, &destination_be), 1);
	return flow_hash_ipv4(source_be, destination_be, htons(vector->source_port),
			      htons(vector->destination_port), vector->protocol, vector->seed);
}

static uint64_t hash_vector_ipv6(const struct vector *vector)
{
	uint8_t addresses[32];

	assert_int_equal(inet_pton(AF_INET6, vector->source, addresses), 1);
	assert_int_equal(inet_pton(AF_INET6, vector->destination, addresses + 16), 1);
	return flow_hash_ipv6(addresses, htons(vector->source_port),
			      htons(vector->destination_port), vector->protocol, vector->seed);
}

static void test_known_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors_ipv6) / sizeof(vectors_ipv6[0]); i++)
		assert_int_equal(hash_vector_ipv6(&vectors_ipv6[i]), vectors_ipv6[i].hash);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(hash_vector(&vectors[i]), vectors[i].hash);
}

/* The canonical bytes, written one by one, hashed by the library. */
static void test_against_the_library(void **state)
{
	uint64_t random = 3;

	(void)state;
	for (uint32_t run = 0; run < 100000; run++) {
		uint8_t key[16] = { 0 };
		uint32_t source = (uint32_t)test_random(&random);
		uint32_t destination = (uint32_t)test_random(&random);
		uint16_t source_port = (uint16_t)test_random(&random);
		uint16_t destination_port = (uint16_t)test_random(&random);
		uint8_t protocol = (uint8_t)test_random(&random);
		uint64_t seed = run % 8 == 0 ? 0 : test_random(&random);
		uint64_t hash =
			flow_hash_ipv4(htonl(source), htonl(destination), htons(source_port),
				       htons(destination_port), protocol, seed);

		test_store32(key, source);
		test_store32(key + 4, destination);
		test_store16(key + 8, source_port);
		test_store16(key + 10, destination_port);
		key[12] = protocol;
		if (hash != XXH3_64bits_withSeed(key, sizeof(key), seed))
			fail_msg("run %u: not XXH3 of the canonical 5-tuple", run);
	}
}

static void test_every_field_counts(void **state)
{
	const uint32_t source = htonl(0x0a000001), destination = htonl(0xcb00710a);
	uint64_t hash = flow_hash_ipv4(source, destination, htons(1), htons(2), IPPROTO_TCP, 5);

	(void)state;
	for (uint32_t bit = 0; bit < 32; bit++) {
		assert_int_not_equal(hash, flow_hash_ipv4(source ^ 1u << bit, destination, htons(1),
							  htons(2), IPPROTO_TCP, 5));
		assert_int_not_equal(hash, flow_hash_ipv4(source, destination ^ 1u << bit, htons(1),
							  htons(2), IPPROTO_TCP, 5));
	}
	assert_int_not_equal(
		hash, flow_hash_ipv4(destination, source, htons(1), htons(2), IPPROTO_TCP, 5));
	assert_int_not_equal(
		hash, flow_hash_ipv4(source, destination, htons(2), htons(1), IPPROTO_TCP, 5));
	assert_int_not_equal(
		hash, flow_hash_ipv4(source, destination, htons(1), htons(2), IPPROTO_UDP, 5));
	assert_int_not_equal(
		hash, flow_hash_ipv4(source, destination, htons(1), htons(2), IPPROTO_TCP, 6));
}

/* The same for IPv6, with addresses at every alignment. */
static void test_ipv6_against_the_library(void **state)
{
	uint64_t random = 25;

	(void)state;
	for (uint32_t run = 0; run < 100000; run++) {
		uint16_t source_port = (uint16_t)test_random(&random);
		uint16_t destination_port = (uint16_t)test_random(&random);
		uint8_t protocol = (uint8_t)test_random(&random);
		uint64_t seed = run % 8 == 0 ? 0 : test_random(&random), hash;
		uint8_t key[40] = { 0 }, *addresses = malloc(32 + run % 8);

		assert_non_null(addresses);
		for (uint32_t i = 0; i < 32; i++)
			key[i] = (uint8_t)test_random(&random);
		memcpy(addresses + run % 8, key, 32);
		hash = flow_hash_ipv6(addresses + run % 8, htons(source_port),
				      htons(destination_port), protocol, seed);
		free(addresses);
		test_store16(key + 32, source_port);
		test_store16(key + 34, destination_port);
		key[36] = protocol;
		if (hash != XXH3_64bits_withSeed(key, sizeof(key), seed))
			fail_msg("run %u: not XXH3 of the canonical 5-tuple", run);
	}
}

static void test_every_field_of_ipv6_counts(void **state)
{
	uint8_t addresses[32] = { 0x20, 0x01, 0x0d, 0xb8, [31] = 7 };
	uint64_t hash = flow_hash_ipv6(addresses, htons(1), htons(2), IPPROTO_TCP, 5);

	(void)state;
	for (uint32_t bit = 0; bit < 256; bit++) {
		addresses[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(hash,
				     flow_hash_ipv6(addresses, htons(1), htons(2), IPPROTO_TCP, 5));
		addresses[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (uint32_t bit = 0; bit < 16; bit++) {
		uint16_t flipped = (uint16_t)(1 << bit);

		assert_int_not_equal(hash, flow_hash_ipv6(addresses, htons(1) ^ flipped, htons(2),
							  IPPROTO_TCP, 5));
		assert_int_not_equal(hash, flow_hash_ipv6(addresses, htons(1), htons(2) ^ flipped,
							  IPPROTO_TCP, 5));
	}
	for (uint32_t bit = 0; bit < 8; bit++)
		assert_int_not_equal(hash, flow_hash_ipv6(addresses, htons(1), htons(2),
							  (uint8_t)(IPPROTO_TCP ^ 1 << bit), 5));
	assert_int_not_equal(hash, flow_hash_ipv6(addresses, htons(1), htons(2), IPPROTO_TCP, 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_against_the_library),
		cmocka_unit_test(test_every_field_counts),
		cmocka_unit_test(test_ipv6_against_the_library),
		cmocka_unit_test(test_every_field_of_ipv6_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
