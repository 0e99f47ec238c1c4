/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the Maglev module share.
 *
 * maglev.c puts the backends into order and hashes their names; maglev_turns.c says whose turn it
 * is; maglev_fill.c gives each turn its slot, and maglev_tail.c the last ones. They probe by one of
 * two sets of functions, in plain C (maglev_portable.c) or for AVX2 (maglev_avx2.c), which give the
 * same results.
 */
#ifndef FLUXPIN_MAGLEV_INTERNAL_H
#define FLUXPIN_MAGLEV_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fluxpin/maglev.h>

/* ---- maglev_turns.c ---- */

struct maglev_turns;

/* The order of turns that maglev.h states, for `size` turns. Returns 0 or -ENOMEM. */
int maglev_turns_new(const struct maglev_permutation *permutations, uint32_t count, uint32_t size,
		     struct maglev_turns **turns);

/*
 * The next turns, at least one and at most `most`: which of the permutations, in turn. Valid until
 * the next call. Not to be called for more than `size` turns altogether.
 */
const uint16_t *maglev_turns_take(struct maglev_turns *turns, uint32_t most, uint32_t *taken);

void maglev_turns_release(struct maglev_turns *turns);

/* ---- maglev_portable.c, maglev_avx2.c ---- */

enum {
	/* Walks that are probed at once: many, since each group of them costs a few mispredicted
	 * branches at its end (512 took 7 % less than 256), but the more there are, the more of
	 * them meet at one slot, and their arrays have to stay in the first-level cache. */
	MAGLEV_GROUP = 512,
	/* Fewer are not worth it. */
	MAGLEV_GROUP_LEAST = 24,
	/* Entries that the AVX2 functions may read or write behind those that count. */
	MAGLEV_PADDING = 32,
};

/* A table that is being filled. */
struct maglev_table {
	uint32_t size;
	uint32_t *taken; /* a bit for each slot; those from `size` on are set */
};

/* Walks that are probed at once. The rest is the probing function's; zeros at first. */
struct maglev_group {
	uint32_t slots[MAGLEV_GROUP + MAGLEV_PADDING];
	uint32_t skips[MAGLEV_GROUP + MAGLEV_PADDING];
	uint32_t scratch[2][MAGLEV_GROUP + MAGLEV_PADDING];
	uint64_t compress[256];
};

struct maglev_probing {
	/* The first free slot behind `slot` on the walk in steps of `skip`; there is one. */
	uint32_t (*seek)(const struct maglev_table *table, uint32_t slot, uint32_t skip);
	/* The same for the first `count` of a group, in place; at least
	 * MAGLEV_GROUP_LEAST. The table does not change. */
	void (*seek_group)(const struct maglev_table *table, struct maglev_group *group,
			   uint32_t count);
	/* The smallest (slots[i] - from) * inverse mod size: how many steps from `from` on come to
	 * the first of the slots. Overwrites up to MAGLEV_PADDING slots behind them. */
	uint32_t (*nearest)(uint32_t *slots, uint32_t count, uint32_t from, uint32_t inverse,
			    uint32_t size);
	/* Groups are worth it until one slot in this many is free. */
	uint32_t group_until;
	/* Going through the free slots is worth it when their number squared is at most this times
	 * the size of the table. */
	uint32_t tail_factor;
};

extern const struct maglev_probing maglev_probing_portable;

/* For this CPU, or NULL. */
const struct maglev_probing *maglev_probing_avx2(void);

/* ---- maglev_fill.c, maglev_tail.c ---- */

/* Where a backend is on its walk. */
struct maglev_walk {
	uint32_t slot; /* the last one it tried */
	uint32_t skip;
	uint16_t index;
};

struct maglev_fill {
	const struct maglev_probing *probing;
	struct maglev_table table;
	struct maglev_group *group;
	uint32_t widest; /* group */
	struct maglev_walk *walks;
	uint16_t *slots; /* the table that maglev.h speaks of */
	uint32_t left;	 /* free slots */
};

/* maglev_populate with given functions; at least one permutation. */
int maglev_populate_by(const struct maglev_probing *probing,
		       const struct maglev_permutation *permutations, uint32_t count, uint32_t size,
		       uint16_t *slots);

/* Fills what is left, at most 65535 slots. Returns 0 or -ENOMEM. */
int maglev_fill_tail(struct maglev_fill *fill, struct maglev_turns *turns);

/* One step on, without a division: both are below size, or at most equal to it, and size is at most
 * 2^24. */
static inline uint32_t maglev_step(uint32_t slot, uint32_t skip, uint32_t size)
{
	uint32_t next = slot + skip, wrapped = next - size;

	/* What is below size wraps round to a large number: the smaller one is right, and compilers
	 * make no branch of a minimum. */
	return next < wrapped ? next : wrapped;
}

static inline bool maglev_is_taken(const struct maglev_table *table, uint32_t slot)
{
	return table->taken[slot / 32] >> slot % 32 & 1;
}

/* Division by one number: size, and floor(2^64 / size). */
struct maglev_modulus {
	uint64_t reciprocal;
	uint32_t size;
};

static inline struct maglev_modulus maglev_modulus_of(uint32_t size)
{
	return (struct maglev_modulus){ .reciprocal = UINT64_MAX / size, .size = size };
}

/* a * b mod size, of two that are below size. */
static inline uint32_t maglev_multiply(const struct maglev_modulus *modulus, uint32_t a, uint32_t b)
{
	uint64_t product = (uint64_t)a * b;
	uint64_t quotient = (uint64_t)((unsigned __int128)product * modulus->reciprocal >> 64);
	uint64_t rest = product - quotient * modulus->size;

	/* The quotient may be one too small. */
	return (uint32_t)(rest < modulus->size ? rest : rest - modulus->size);
}

#endif
