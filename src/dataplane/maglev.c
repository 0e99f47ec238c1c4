/* SPDX-License-Identifier: BSD-2-Clause */
#define XXH_INLINE_ALL
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "maglev_internal.h"

/* The seeds of the paper's h1 and h2. Fixed for ever: changing one moves every flow of every
 * cluster that runs two versions. */
#define OFFSET_SEED 1
#define SKIP_SEED   2

/* A backend, and the eight characters of its name that come after what all names begin with. */
struct named {
	uint64_t key;
	const struct maglev_backend *backend;
};

/* The length of what two names both begin with, up to `most`. */
static size_t common_length(const char *a, const char *b, size_t most)
{
	size_t length = 0;

	while (length < most && a[length] == b[length] && a[length] != '\0')
		length++;
	return length;
}

/* In the order of strcmp, zeros behind the name's end. */
static uint64_t key_of(const char *text)
{
	uint64_t key = 0;

	for (uint32_t shift = 64; shift > 0 && *text != '\0'; text++) {
		shift -= 8;
		key |= (uint64_t)(uint8_t)*text << shift;
	}
	return key;
}

/* By key: a radix sort, least significant byte first. What all keys have in common costs nothing.
 * Returns the one of the two arrays that the result is in. */
static struct named *sort_by_key(struct named *named, struct named *spare, uint32_t count)
{
	uint32_t counts[8][256] = { 0 };

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t byte = 0; byte < 8; byte++)
			counts[byte][named[i].key >> 8 * byte & 0xff]++;
	for (uint32_t byte = 0; byte < 8 && count > 0; byte++) {
		uint32_t *places = counts[byte], place = 0;
		struct named *sorted = spare;

		if (places[named[0].key >> 8 * byte & 0xff] == count)
			continue;
		for (uint32_t value = 0; value < 256; value++) {
			uint32_t with_value = places[value];

			places[value] = place;
			place += with_value;
		}
		for (uint32_t i = 0; i < count; i++)
			sorted[places[named[i].key >> 8 * byte & 0xff]++] = named[i];
		spare = named;
		named = sorted;
	}
	return named;
}

static int compare_names(const void *a, const void *b)
{
	const struct named *left = a, *right = b;

	return strcmp(left->backend->name, right->backend->name);
}

/* Those of a weight above 0, by name, as strcmp orders them, in one of the two arrays, which have
 * room for all. Returns which, and their number. */
static struct named *order_backends(const struct maglev_backend *backends, uint32_t count,
				    struct named *named, struct named *spare, uint32_t *used)
{
	size_t common = SIZE_MAX;
	uint32_t next, taken = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (backends[i].weight == 0)
			continue;
		named[taken++].backend = &backends[i];
		common = common_length(named[0].backend->name, backends[i].name, common);
	}
	for (uint32_t i = 0; i < taken; i++)
		named[i].key = key_of(named[i].backend->name + common);
	named = sort_by_key(named, spare, taken);
	for (uint32_t i = 0; i < taken; i = next) {
		for (next = i + 1; next < taken && named[next].key == named[i].key; next++)
			;
		if (next > i + 1)
			qsort(named + i, next - i, sizeof(*named), compare_names);
	}
	*used = taken;
	return named;
}

struct maglev_permutation maglev_permutation_of(const struct maglev_backend *backend, uint32_t size)
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
	struct named *named = calloc(2 * ((size_t)count + 1), sizeof(*named)), *ordered;
	struct maglev_permutation *permutations = calloc(count + 1, sizeof(*permutations));
	int result = -ENOMEM;
	uint32_t used;

	if (named == NULL || permutations == NULL)
		goto out;
	ordered = order_backends(backends, count, named, named + count + 1, &used);
	for (uint32_t i = 0; i < used; i++)
		permutations[i] = maglev_permutation_of(ordered[i].backend, size);
	result = maglev_populate(permutations, used, size, slots);
out:
	free(permutations);
	free(named);
	return result;
}

int maglev_populate(const struct maglev_permutation *permutations, uint32_t count, uint32_t size,
		    uint16_t *slots)
{
	const struct maglev_probing *probing = maglev_probing_avx2();

	if (count == 0) {
		for (uint32_t i = 0; i < size; i++)
			slots[i] = MAGLEV_NO_BACKEND;
		return 0;
	}
	return maglev_populate_by(probing != NULL ? probing : &maglev_probing_portable,
				  permutations, count, size, slots);
}
