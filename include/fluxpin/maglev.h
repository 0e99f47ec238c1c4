/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maglev hashing (NSDI 2016, section 3.4): a table of M slots, each naming a backend, so that
 * backends get nearly equal shares and a change of the set moves few other slots.
 *
 * The table depends on the set of (name, weight) and M alone, and on the weights only by their
 * ratios. Another implementation gets the same one by these rules, in exact arithmetic:
 *
 * 1. Backends of weight 0 are left out. The others are ordered by name, byte by byte (strcmp), and
 *    numbered i = 0 .. N - 1; w[i] is a weight, W the sum of all.
 * 2. Walks. With h1 and h2 the XXH3-64 of the name with the seeds 1 and 2, backend i prefers the
 *    slots (offset + j * skip) mod M, j = 0 .. M - 1, in this order, where offset = h1 mod M and
 *    skip = h2 mod (M - 1) + 1. M is a prime, so that this is a permutation.
 * 3. Shares. Backend i has max(1, floor(M * w[i] / W)) turns. If that makes fewer than M in all,
 *    one more each go to those with the largest M * w[i] mod W, of equal ones the first, without
 *    those that the maximum raised to 1.
 * 4. Order. Turn t = 0, 1, ... of backend i is due at time t / w[i]. Turns are taken by time, and
 *    by i when due at once, until all slots are taken.
 * 5. In a turn, a backend gets the first slot of its walk that is free.
 *
 * So equal weights take turns in rounds, as in the paper. Each backend's slots are within one of
 * M * w[i] / W, unless there are so many of less than one slot that the shares of rule 3 make more
 * than M; then the others give way in proportion. Each has at least one slot if N is at most M. As
 * the times of a backend do not depend on other weights, the order of those that stay is the same
 * after a change of the set.
 *
 * Thread: control. Building allocates; looking up is one array read.
 */
#ifndef FLUXPIN_MAGLEV_H
#define FLUXPIN_MAGLEV_H

#include <stdint.h>

#define MAGLEV_NO_BACKEND UINT16_MAX
#define MAGLEV_SIZE_MAX	  (1u << 24)

struct maglev_backend {
	const char *name; /* unique among the backends; not kept */
	uint16_t weight;  /* 0: gets no slot */
	uint16_t index;	  /* what the slots name it by; not MAGLEV_NO_BACKEND */
};

/* A backend's walk over the table: (offset + j * skip) mod M for its j-th preference. */
struct maglev_permutation {
	uint32_t offset; /* 0 .. M - 1 */
	uint32_t skip;	 /* 1 .. M - 1 */
	uint16_t weight;
	uint16_t index;
};

/*
 * Fills slots[0 .. size - 1]; size is a prime of at most MAGLEV_SIZE_MAX, count at most 65535.
 * Without a backend of weight above 0, every slot is MAGLEV_NO_BACKEND. Returns 0 or -ENOMEM (slots
 * undefined).
 */
int maglev_build(const struct maglev_backend *backends, uint32_t count, uint32_t size,
		 uint16_t *slots);

/* The same from given permutations, in the given order; weights above 0. */
int maglev_populate(const struct maglev_permutation *permutations, uint32_t count, uint32_t size,
		    uint16_t *slots);

/* The walk of a backend by its name (rule 2). */
struct maglev_permutation maglev_permutation_of(const struct maglev_backend *backend,
						uint32_t size);

/* Slot of a flow: the hash's upper half scaled to the table without a division. Thread: any. */
static inline uint32_t maglev_slot(uint64_t hash, uint32_t size)
{
	return (uint32_t)(((hash >> 32) * size) >> 32);
}

#endif
