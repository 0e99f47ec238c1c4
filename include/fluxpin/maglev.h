/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maglev hashing (NSDI 2016, section 3.4): a table of M slots, each naming a backend, so that
 * backends get nearly equal shares and a change of the set moves few other slots.
 *
 * The table depends on the set of (name, weight) and M alone: backends are put into order by name
 * first, and the hash functions are fixed. Weights are relative frequencies of turns: in round r a
 * backend of weight w takes a turn when ceil(r * w / w_max) grows, so a backend of the largest
 * weight takes one each round and every weight above 0 takes its first turn in the first round.
 *
 * Thread: control. Building allocates; looking up is one array read.
 */
#ifndef FLUXPIN_MAGLEV_H
#define FLUXPIN_MAGLEV_H

#include <stdint.h>

#define MAGLEV_NO_BACKEND UINT16_MAX

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
 * Fills slots[0 .. size - 1]; size is a prime. Without a backend of weight above 0, every slot is
 * MAGLEV_NO_BACKEND. Returns 0 or -ENOMEM (slots undefined).
 */
int maglev_build(const struct maglev_backend *backends, uint32_t count, uint32_t size,
		 uint16_t *slots);

/* The same from given permutations, in the given order; weights above 0. */
int maglev_populate(const struct maglev_permutation *permutations, uint32_t count, uint32_t size,
		    uint16_t *slots);

/* Slot of a flow: the hash's upper half scaled to the table without a division. Thread: any. */
static inline uint32_t maglev_slot(uint64_t hash, uint32_t size)
{
	return (uint32_t)(((hash >> 32) * size) >> 32);
}

#endif
