/* SPDX-License-Identifier: BSD-2-Clause */
/* Probing in plain C. */
#include "maglev_internal.h"

enum {
	/* Walks that are left of a group are finished one by one. */
	GROUP_REST = 4,
};

/* Two walks in steps of twice the skip, since the next step of one has to wait for the last. */
static uint32_t seek(const struct maglev_table *table, uint32_t slot, uint32_t skip)
{
	uint32_t size = table->size, stride = maglev_step(skip, skip, size);
	uint32_t odd = maglev_step(slot, skip, size), even = maglev_step(odd, skip, size);

	for (;;) {
		if (!maglev_is_taken(table, odd))
			return odd;
		if (!maglev_is_taken(table, even))
			return even;
		odd = maglev_step(odd, stride, size);
		even = maglev_step(even, stride, size);
	}
}

/* Each round steps the walks that have found nothing yet; no branch depends on what is found. */
static void seek_group(const struct maglev_table *table, struct maglev_group *group, uint32_t count)
{
	uint32_t *slots = group->slots, *walking = group->scratch[0];
	uint32_t left = count, still;

	for (uint32_t i = 0; i < count; i++)
		walking[i] = i;
	for (; left > GROUP_REST; left = still) {
		still = 0;
		for (uint32_t i = 0; i < left; i++) {
			uint32_t walk = walking[i];
			uint32_t slot = maglev_step(slots[walk], group->skips[walk], table->size);

			slots[walk] = slot;
			walking[still] = walk;
			still += maglev_is_taken(table, slot);
		}
	}
	for (uint32_t i = 0; i < left; i++)
		slots[walking[i]] = seek(table, slots[walking[i]], group->skips[walking[i]]);
}

/*
 * Shoup's multiplication by a constant: with shifted = floor(inverse * 2^32 / size), the quotient
 * is one too small at most, so that the result is below 2 * size before the last step.
 */
static uint32_t nearest(uint32_t *slots, uint32_t count, uint32_t from, uint32_t inverse,
			uint32_t size)
{
	const uint32_t shifted = (uint32_t)(((uint64_t)inverse << 32) / size);
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t distance = slots[i] + (size - from);
		uint32_t quotient = (uint32_t)((uint64_t)distance * shifted >> 32);
		uint32_t steps = distance * inverse - quotient * size;
		uint32_t wrapped = steps - size;

		steps = steps < wrapped ? steps : wrapped;
		least = steps < least ? steps : least;
	}
	return least;
}

const struct maglev_probing maglev_probing_portable = {
	.seek = seek,
	.seek_group = seek_group,
	.nearest = nearest,
	.group_until = 8,
	.tail_factor = 2,
};
