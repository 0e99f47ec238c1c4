/* SPDX-License-Identifier: BSD-2-Clause */
/* Random numbers that are the same in every run. */
#ifndef FLUXPIN_BENCH_RANDOM_H
#define FLUXPIN_BENCH_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state; /* any seed */
};

/* Sets `count` random ones of `limit` flags and clears the others. count is at most limit. */
void random_choose(struct random *random, uint32_t count, uint32_t limit, bool *chosen);

#endif
