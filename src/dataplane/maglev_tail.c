/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last turns. With F slots free of M, a walk tries M / F slots on average before it finds one;
 * when these are more than the free ones, it is cheaper to go through the free ones. A walk comes
 * to slot s after (s - offset) / skip steps, modulo M: one multiplication once the inverse of the
 * skip is known, and the slot with the fewest steps is the one that the walk would have found.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "maglev_internal.h"

/* Euclid's algorithm: the number by which `number` has to be multiplied for 1 to be left. */
static uint32_t invert(const struct maglev_modulus *modulus, uint32_t number)
{
	int64_t above = modulus->size, below = number, factor_above = 0, factor = 1;

	while (below > 1) {
		int64_t quotient = above / below, rest = above % below;
		int64_t next = factor_above - quotient * factor;

		above = below;
		below = rest;
		factor_above = factor;
		factor = next;
	}
	return (uint32_t)(factor < 0 ? factor + modulus->size : factor);
}

/* The inverses of the skips of some turns, by Montgomery's trick: the inverse of the product of all
 * is that of the last times the product of those before it. */
static void invert_skips(const struct maglev_modulus *modulus, const struct maglev_walk *walks,
			 const uint16_t *turns, uint32_t count, uint32_t *inverses)
{
	uint32_t product = 1;

	for (uint32_t i = 0; i < count; i++) {
		inverses[i] = product;
		product = maglev_multiply(modulus, product, walks[turns[i]].skip);
	}
	product = invert(modulus, product);
	for (uint32_t i = count; i-- > 0;) {
		inverses[i] = maglev_multiply(modulus, inverses[i], product);
		product = maglev_multiply(modulus, product, walks[turns[i]].skip);
	}
}

/* The free slots, and in the table where each is in the list: there is nothing else there yet. */
static void list_free(struct maglev_fill *fill, uint32_t *list)
{
	uint32_t listed = 0;

	for (uint32_t word = 0; listed < fill->left; word++) {
		for (uint32_t free = ~fill->table.taken[word]; free != 0; free &= free - 1) {
			uint32_t slot = word * 32 + (uint32_t)__builtin_ctz(free);

			fill->slots[slot] = (uint16_t)listed;
			list[listed++] = slot;
		}
	}
}

/* What the last turns choose from. */
struct tail {
	struct maglev_modulus modulus;
	uint16_t *turns;
	uint32_t *inverses; /* of the turn's walk */
	uint32_t *list;	    /* the free slots */
};

/* The free slot that the turn's walk comes to first. */
static uint32_t nearest_slot(const struct maglev_fill *fill, const struct tail *tail, uint32_t turn)
{
	const struct maglev_walk *walk = &fill->walks[tail->turns[turn]];
	uint32_t size = fill->table.size, from = maglev_step(walk->slot, walk->skip, size);
	uint32_t steps =
		fill->probing->nearest(tail->list, fill->left, from, tail->inverses[turn], size);

	return maglev_step(maglev_multiply(&tail->modulus, steps, walk->skip), from, size);
}

/* The turn takes the slot, which the list's last one replaces. */
static void take_listed(struct maglev_fill *fill, const struct tail *tail, uint32_t turn,
			uint32_t slot)
{
	uint32_t last = tail->list[--fill->left];
	struct maglev_walk *walk = &fill->walks[tail->turns[turn]];

	tail->list[fill->slots[slot]] = last;
	fill->slots[last] = fill->slots[slot];
	fill->slots[slot] = walk->index;
	walk->slot = slot;
}

/* The last turns, as many as there are free slots. */
int maglev_fill_tail(struct maglev_fill *fill, struct maglev_turns *turns)
{
	uint32_t size = fill->table.size, count = fill->left;
	struct tail tail = {
		.modulus = maglev_modulus_of(size),
		.turns = calloc(count, sizeof(*tail.turns)),
		.inverses = calloc(count, sizeof(*tail.inverses)),
		.list = calloc(count + MAGLEV_PADDING, sizeof(*tail.list)),
	};
	int error = -ENOMEM;

	if (tail.turns == NULL || tail.inverses == NULL || tail.list == NULL)
		goto out;
	for (uint32_t listed = 0, taken; listed < count; listed += taken) {
		const uint16_t *next = maglev_turns_take(turns, count - listed, &taken);

		memcpy(tail.turns + listed, next, taken * sizeof(*next));
	}
	invert_skips(&tail.modulus, fill->walks, tail.turns, count, tail.inverses);
	list_free(fill, tail.list);
	for (uint32_t turn = 0; turn < count; turn++)
		take_listed(fill, &tail, turn, nearest_slot(fill, &tail, turn));
	error = 0;
out:
	free(tail.list);
	free(tail.inverses);
	free(tail.turns);
	return error;
}
