/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How evenly the hash spreads keys as they really come, neighbours all of them, over backends and
 * buckets: no farther from equal shares than chance allows. The statistic is Pearson's chi-square;
 * its bound is one that chance exceeds once in a million. Keys and seeds are the same in every run.
 */
#include "pipeline_setup.h"

#define BACKENDS   10
#define TABLE_SIZE 65537
#define BUCKETS	   256
#define KEYS	   60000

/* Chi-square quantiles for 1 - 10^-6: of BACKENDS - 1 and BUCKETS - 1 degrees of freedom. */
#define BOUND_BACKENDS 44.8
#define BOUND_BUCKETS  377.1

static const uint64_t seeds[] = { 0, 1, UINT64_C(0x0123456789abcdef), UINT64_MAX };

typedef uint64_t key_hash(uint32_t i, uint64_t seed);

/* A client of its own for each flow, out of one /16, all from one port. */
static uint64_t hash_of_client(uint32_t i, uint64_t seed)
{
	return flow_hash_ipv4(htonl(0x0a140000 + i), htonl(TEST_VIP), htons(40000), htons(443),
			      IPPROTO_TCP, seed);
}

/* One client with 60,000 ports. */
static uint64_t hash_of_port(uint32_t i, uint64_t seed)
{
	return flow_hash_ipv4(htonl(TEST_CLIENT), htonl(TEST_VIP), htons((uint16_t)(1024 + i)),
			      htons(443), IPPROTO_TCP, seed);
}

/* 240 clients with 250 ports in a row each. */
static uint64_t hash_of_both(uint32_t i, uint64_t seed)
{
	return flow_hash_ipv4(htonl(0xc6336400 + i / 250), htonl(TEST_VIP),
			      htons((uint16_t)(32768 + i % 250)), htons(53), IPPROTO_UDP, seed);
}

static uint64_t hash_ipv6(uint64_t host, uint16_t port, uint64_t seed)
{
	uint8_t addresses[32] = { 0x20, 0x01, 0x0d, 0xb8, [16] = 0x20, 0x01, 0x0d, 0xb8, [31] = 1 };

	test_store32(addresses + 8, (uint32_t)(host >> 32));
	test_store32(addresses + 12, (uint32_t)host);
	return flow_hash_ipv6(addresses, htons(port), htons(443), IPPROTO_TCP, seed);
}

static uint64_t hash_of_client_ipv6(uint32_t i, uint64_t seed)
{
	return hash_ipv6(i, 40000, seed);
}

static uint64_t hash_of_port_ipv6(uint32_t i, uint64_t seed)
{
	return hash_ipv6(7, (uint16_t)(1024 + i), seed);
}

/* What affinity "source" takes: addresses alone. */
static uint64_t hash_of_source(uint32_t i, uint64_t seed)
{
	return flow_hash_ipv4(htonl(0x0a140000 + i), htonl(TEST_VIP), 0, 0, 0, seed);
}

static const struct {
	const char *name;
	key_hash *hash;
} kinds[] = {
	{ "clients of one /16", hash_of_client }, { "ports of one client", hash_of_port },
	{ "clients and ports", hash_of_both },	  { "IPv6 clients", hash_of_client_ipv6 },
	{ "IPv6 ports", hash_of_port_ipv6 },	  { "sources alone", hash_of_source },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static double chi_square(const uint32_t *counts, const double *shares, uint32_t count)
{
	double sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		double expected = shares[i] * KEYS, difference = counts[i] - expected;

		sum += difference * difference / expected;
	}
	return sum;
}

/* Backends get what their slots are worth, whatever their weights. */
static void check_backends(const uint16_t *weights, const char *what)
{
	struct maglev_backend backends[BACKENDS];
	uint16_t *slots = calloc(TABLE_SIZE, sizeof(*slots));
	double shares[BACKENDS] = { 0 };
	char names[BACKENDS][8];

	assert_non_null(slots);
	for (uint16_t i = 0; i < BACKENDS; i++) {
		snprintf(names[i], sizeof(names[i]), "web-%u", i);
		backends[i] = (struct maglev_backend){ names[i], weights[i], i };
	}
	assert_int_equal(maglev_build(backends, BACKENDS, TABLE_SIZE, slots), 0);
	for (uint32_t slot = 0; slot < TABLE_SIZE; slot++)
		shares[slots[slot]] += 1.0 / TABLE_SIZE;
	for (size_t kind = 0; kind < KINDS; kind++) {
		for (size_t seed = 0; seed < sizeof(seeds) / sizeof(seeds[0]); seed++) {
			uint32_t counts[BACKENDS] = { 0 };
			double found;

			for (uint32_t i = 0; i < KEYS; i++)
				counts[slots[maglev_slot(kinds[kind].hash(i, seeds[seed]),
							 TABLE_SIZE)]]++;
			found = chi_square(counts, shares, BACKENDS);
			if (found > BOUND_BACKENDS)
				fail_msg("%s, %s, seed %zu: chi-square %.1f", what,
					 kinds[kind].name, seed, found);
		}
	}
	free(slots);
}

static void test_backends(void **state)
{
	static const uint16_t equal[BACKENDS] = {
		100, 100, 100, 100, 100, 100, 100, 100, 100, 100
	};
	static const uint16_t unequal[BACKENDS] = { 1, 10, 20, 30, 40, 50, 60, 70, 80, 100 };

	(void)state;
	check_backends(equal, "equal weights");
	check_backends(unequal, "unequal weights");
}

/* Both buckets of the connection table, and how far they are apart. */
static void test_buckets(void **state)
{
	struct connection_table table = { .bucket_count = BUCKETS };
	double shares[BUCKETS];

	(void)state;
	for (uint32_t i = 0; i < BUCKETS; i++)
		shares[i] = 1.0 / BUCKETS;
	for (size_t kind = 0; kind < KINDS; kind++) {
		for (size_t seed = 0; seed < sizeof(seeds) / sizeof(seeds[0]); seed++) {
			uint32_t first[BUCKETS] = { 0 }, second[BUCKETS] = { 0 };
			uint32_t distance[BUCKETS] = { 0 };

			for (uint32_t i = 0; i < KEYS; i++) {
				uint64_t hash = kinds[kind].hash(i, seeds[seed]);
				uint64_t a = (uint64_t)connection_first_bucket(&table, hash) / 64;
				uint64_t b = (uint64_t)connection_second_bucket(&table, hash) / 64;

				first[a]++;
				second[b]++;
				distance[(b - a) % BUCKETS]++;
			}
			assert_int_equal(distance[0], 0);
			for (uint32_t i = 1; i < BUCKETS; i++)
				assert_in_range(distance[i], KEYS / BUCKETS / 2,
						KEYS / BUCKETS * 2);
			if (chi_square(first, shares, BUCKETS) > BOUND_BUCKETS ||
			    chi_square(second, shares, BUCKETS) > BOUND_BUCKETS)
				fail_msg("%s, seed %zu: chi-square %.1f and %.1f", kinds[kind].name,
					 seed, chi_square(first, shares, BUCKETS),
					 chi_square(second, shares, BUCKETS));
		}
	}
}

/* The statistic sees what it is for: a share that is off by a tenth. */
static void test_the_bound_bounds(void **state)
{
	uint32_t counts[BACKENDS];
	double shares[BACKENDS];

	(void)state;
	for (uint32_t i = 0; i < BACKENDS; i++) {
		shares[i] = 1.0 / BACKENDS;
		counts[i] = KEYS / BACKENDS;
	}
	assert_true(chi_square(counts, shares, BACKENDS) < 0.001);
	counts[0] += KEYS / BACKENDS / 10;
	counts[1] -= KEYS / BACKENDS / 10;
	assert_true(chi_square(counts, shares, BACKENDS) > BOUND_BACKENDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_the_bound_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
