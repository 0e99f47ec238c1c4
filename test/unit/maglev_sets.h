/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of Maglev tables share: sets of named backends, and tables built from them. */
#ifndef FLUXPIN_TEST_MAGLEV_SETS_H
#define FLUXPIN_TEST_MAGLEV_SETS_H

#include <stdio.h>

#include <fluxpin/maglev.h>

#include "packets.h"

#define SMALL_TABLE 65537
#define LARGE_TABLE 655373
#define MOST	    2000

/* Backends with names that last as long as the test. */
struct set {
	char names[MOST][24];
	struct maglev_backend backends[MOST];
	uint32_t count;
};

static inline struct set *new_set(uint32_t count, uint16_t weight)
{
	struct set *set = calloc(1, sizeof(*set));

	assert_non_null(set);
	assert_in_range(count, 0, MOST);
	set->count = count;
	for (uint32_t i = 0; i < count; i++) {
		snprintf(set->names[i], sizeof(set->names[i]), "backend-%u", i);
		set->backends[i] = (struct maglev_backend){ .name = set->names[i],
							    .weight = weight,
							    .index = (uint16_t)i };
	}
	return set;
}

static inline uint16_t *build(const struct set *set, uint32_t size)
{
	/* Exactly sized, for AddressSanitizer to fence. */
	uint16_t *slots = malloc(size * sizeof(*slots));

	assert_non_null(slots);
	memset(slots, 0xa5, size * sizeof(*slots));
	assert_int_equal(maglev_build(set->backends, set->count, size, slots), 0);
	return slots;
}

static inline void shuffle(struct set *set, uint64_t *random)
{
	for (uint32_t i = set->count; i > 1; i--) {
		uint32_t other = test_random_below(random, i);
		struct maglev_backend backend = set->backends[i - 1];

		set->backends[i - 1] = set->backends[other];
		set->backends[other] = backend;
	}
}

/* Slots by backend index; fails on an index beyond count. */
static inline uint32_t *count_slots(const uint16_t *slots, uint32_t size, uint32_t count)
{
	uint32_t *shares = calloc(count + 1, sizeof(*shares));

	assert_non_null(shares);
	for (uint32_t i = 0; i < size; i++) {
		if (slots[i] >= count)
			fail_msg("slot %u names backend %u", i, slots[i]);
		shares[slots[i]]++;
	}
	return shares;
}

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) of a table's slots, low bytes first. */
static inline uint64_t checksum(const uint16_t *slots, uint32_t size)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (uint32_t i = 0; i < size; i++) {
		sum = (sum ^ (slots[i] & 0xff)) * UINT64_C(0x100000001b3);
		sum = (sum ^ slots[i] >> 8) * UINT64_C(0x100000001b3);
	}
	return sum;
}

#endif
