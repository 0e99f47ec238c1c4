/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gives each turn its slot: the next free one on its backend's walk. Filling M slots takes about
 * M * ln M probes at random places, and a mispredicted branch for each turn, which is what the time
 * goes to. So
 *
 *  - probing looks at one bit for each slot, which stay in the first-level cache, or the second;
 *  - at first, turns are probed in groups, as if all were the first of them: their loads overlap,
 *    and branches are shared. Then the slots are taken in the order of the turns. Where a turn
 *    meets a slot that one before it in the group has taken, its walk goes on from there, which is
 *    what it would have done; so it does for a second turn of a backend in one group;
 *  - the last turns, which would take long walks, go through the few free slots (maglev_tail.c).
 */
#include <errno.h>
#include <stdlib.h>

#include "maglev_internal.h"

/* A group of G turns with F slots free has about G * G / (2 * F) that meet. */
enum {
	FREE_FOR_EACH = 8,
};

/*
 * The turn takes the slot, or the next one on its walk if another turn has. The table and its slots
 * are passed as well, since the stores might be to *fill, for all that the compiler knows.
 */
static inline void take(const struct maglev_fill *fill, struct maglev_table table, uint16_t *slots,
			struct maglev_walk *walk, uint32_t slot)
{
	if (maglev_is_taken(&table, slot))
		slot = fill->probing->seek(&fill->table, slot, walk->skip);
	table.taken[slot / 32] |= 1u << slot % 32;
	slots[slot] = walk->index;
	walk->slot = slot;
}

static void fill_one_by_one(struct maglev_fill *fill, const uint16_t *turns, uint32_t count)
{
	const struct maglev_table table = fill->table;
	struct maglev_walk *walks = fill->walks;
	uint16_t *slots = fill->slots;

	for (uint32_t i = 0; i < count; i++) {
		struct maglev_walk *walk = &walks[turns[i]];

		take(fill, table, slots, walk, maglev_step(walk->slot, walk->skip, table.size));
	}
	fill->left -= count;
}

static void fill_group(struct maglev_fill *fill, const uint16_t *turns, uint32_t count)
{
	const struct maglev_table table = fill->table;
	struct maglev_group *group = fill->group;
	struct maglev_walk *walks = fill->walks;
	uint16_t *slots = fill->slots;

	for (uint32_t i = 0; i < count; i++) {
		const struct maglev_walk *walk = &walks[turns[i]];

		group->slots[i] = walk->slot;
		group->skips[i] = walk->skip;
	}
	fill->probing->seek_group(&fill->table, group, count);
	for (uint32_t i = 0; i < count; i++)
		take(fill, table, slots, &walks[turns[i]], group->slots[i]);
	fill->left -= count;
}

/* How many turns the next group has; 0 when they are better taken one by one. */
static uint32_t group_width(const struct maglev_fill *fill)
{
	uint32_t width = fill->left / FREE_FOR_EACH;

	width = width < fill->widest ? width : fill->widest;
	if (width < MAGLEV_GROUP_LEAST ||
	    fill->left < fill->table.size / fill->probing->group_until)
		return 0;
	return width;
}

static int fill_table(struct maglev_fill *fill, struct maglev_turns *turns)
{
	uint64_t tail = (uint64_t)fill->table.size * fill->probing->tail_factor;
	uint32_t last = 1;

	while ((uint64_t)last * last < tail && last < fill->table.size)
		last++;
	while (fill->left > last) {
		uint32_t most = fill->left - last, width = group_width(fill), taken;
		const uint16_t *next;

		next = maglev_turns_take(turns, width > 0 && width < most ? width : most, &taken);
		if (width > 0 && taken >= MAGLEV_GROUP_LEAST)
			fill_group(fill, next, taken);
		else
			fill_one_by_one(fill, next, taken);
	}
	return maglev_fill_tail(fill, turns);
}

/* So wide that the backend of the largest weight has one turn in a group, more or less. */
static uint32_t widest_group(const struct maglev_permutation *permutations, uint32_t count)
{
	uint64_t sum = 0;
	uint32_t largest = 1;

	for (uint32_t i = 0; i < count; i++) {
		sum += permutations[i].weight;
		largest = permutations[i].weight > largest ? permutations[i].weight : largest;
	}
	return sum / largest < MAGLEV_GROUP ? (uint32_t)(sum / largest) : MAGLEV_GROUP;
}

int maglev_populate_by(const struct maglev_probing *probing,
		       const struct maglev_permutation *permutations, uint32_t count, uint32_t size,
		       uint16_t *slots)
{
	uint32_t words = size / 32 + 1;
	struct maglev_turns *turns = NULL;
	struct maglev_fill fill = {
		.probing = probing,
		.table = { .size = size, .taken = calloc(words, sizeof(*fill.table.taken)) },
		.group = calloc(1, sizeof(*fill.group)),
		.walks = calloc(count, sizeof(*fill.walks)),
		.slots = slots,
		.left = size,
		.widest = widest_group(permutations, count),
	};
	int error = -ENOMEM;

	if (fill.table.taken == NULL || fill.group == NULL || fill.walks == NULL)
		goto out;
	error = maglev_turns_new(permutations, count, size, &turns);
	if (error != 0)
		goto out;
	fill.table.taken[words - 1] = UINT32_MAX << size % 32;
	for (uint32_t i = 0; i < count; i++) {
		const struct maglev_permutation *permutation = &permutations[i];

		/* One step before the first preference. */
		fill.walks[i] = (struct maglev_walk){
			.slot = maglev_step(permutation->offset, size - permutation->skip, size),
			.skip = permutation->skip,
			.index = permutation->index,
		};
	}
	error = fill_table(&fill, turns);
out:
	maglev_turns_release(turns);
	free(fill.walks);
	free(fill.group);
	free(fill.table.taken);
	return error;
}
