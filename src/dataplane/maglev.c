/* SPDX-License-Identifier: BSD-2-Clause */
#define XXH_INLINE_ALL
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <fluxpin/maglev.h>

/* The seeds of the paper's h1 and h2. Fixed for ever: changing one moves every flow of every
 * cluster that runs two versions. */
#define OFFSET_SEED 1
#define SKIP_SEED   2

/* Where a backend is on its walk. */
struct walk {
	uint32_t next; /* the slot to try next */
	uint32_t skip;
	int32_t credit; /* turns that are due, in units of the largest weight */
	uint16_t weight;
	uint16_t index;
};

static int compare_names(const void *a, const void *b)
{
	const struct maglev_backend *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

static struct maglev_permutation permutation_of(const struct maglev_backend *backend, uint32_t size)
{
	size_t length = strlen(backend->name);
	uint64_t h1 = XXH3_64bits_withSeed(backend->name, length, OFFSET_SEED);
	uint64_t h2 = XXH3_64bits_withSeed(backend->name, length, SKIP_SEED);

	return (struct maglev_permutation){
		.offset = (uint32_t)(h1 % size),
		.skip = (uint32_t)(h2 % (size - 1) + 1),
		.weight = backend->weight,
		.index = backend->index,
	};
}

int maglev_build(const struct maglev_backend *backends, uint32_t count, uint32_t size,
		 uint16_t *slots)
{
	const struct maglev_backend **ordered = calloc(count + 1, sizeof(*ordered));
	struct maglev_permutation *permutations = calloc(count + 1, sizeof(*permutations));
	uint32_t used = 0;
	int result = -ENOMEM;

	if (ordered == NULL || permutations == NULL)
		goto out;
	for (uint32_t i = 0; i < count; i++)
		if (backends[i].weight > 0)
			ordered[used++] = &backends[i];
	qsort(ordered, used, sizeof(*ordered), compare_names);
	for (uint32_t i = 0; i < used; i++)
		permutations[i] = permutation_of(ordered[i], size);
	result = maglev_populate(permutations, used, size, slots);
out:
	free(permutations);
	free(ordered);
	return result;
}

/* The next free slot on the walk; there is one as long as the table is not full. */
static uint32_t take_slot(struct walk *walk, uint32_t size, const uint16_t *slots)
{
	for (;;) {
		uint32_t slot = walk->next;

		/* Both are below size, at most 2^24: no overflow, and no division. */
		walk->next += walk->skip;
		if (walk->next >= size)
			walk->next -= size;
		if (slots[slot] == MAGLEV_NO_BACKEND)
			return slot;
	}
}

int maglev_populate(const struct maglev_permutation *permutations, uint32_t count, uint32_t size,
		    uint16_t *slots)
{
	struct walk *walks = calloc(count + 1, sizeof(*walks));
	uint32_t filled = 0;
	uint16_t largest = 0;

	if (walks == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < size; i++)
		slots[i] = MAGLEV_NO_BACKEND;
	for (uint32_t i = 0; i < count; i++) {
		walks[i] = (struct walk){ .next = permutations[i].offset,
					  .skip = permutations[i].skip,
					  .weight = permutations[i].weight,
					  .index = permutations[i].index };
		if (walks[i].weight > largest)
			largest = walks[i].weight;
	}
	/* ceil(r * weight / largest) turns are due after r rounds: with credit = r * weight -
	 * turns * largest, the next one is due when the credit is positive. */
	while (count > 0 && filled < size) {
		for (uint32_t i = 0; i < count && filled < size; i++) {
			struct walk *walk = &walks[i];

			walk->credit += walk->weight;
			if (walk->credit <= 0)
				continue;
			walk->credit -= largest;
			slots[take_slot(walk, size, slots)] = walk->index;
			filled++;
		}
	}
	free(walks);
	return 0;
}
