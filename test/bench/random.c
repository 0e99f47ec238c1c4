/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "random.h"

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t next(struct random *random)
{
	uint64_t value = random->state += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

void random_choose(struct random *random, uint32_t count, uint32_t limit, bool *chosen)
{
	memset(chosen, 0, limit * sizeof(*chosen));
	/* Every set of that size is as likely as any other (Floyd, in Bentley's "Programming
	 * pearls: a sample of brilliance", 1987). */
	for (uint32_t i = limit - count; i < limit; i++) {
		uint32_t pick = (uint32_t)(next(random) % (i + 1));

		chosen[chosen[pick] ? i : pick] = true;
	}
}
