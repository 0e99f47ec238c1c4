/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probing of maglev_fill.c for x86-64 CPUs with AVX2. A gather looks at eight slots at once.
 *
 * A group is probed in three vectors of eight walks each, so that one is worked on while the others
 * wait for their gathers. After each step, the walks of a vector that have found a free slot leave
 * it, and others take their places; so there is one mispredicted branch for a group, at its end.
 */
#include "maglev_internal.h"

#ifdef __x86_64__
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,popcnt")))
/* Into a function for AVX2, of which it is a part. */
#define AVX2_INLINE static inline __attribute__((target("avx2,popcnt"), always_inline))

enum {
	LANES = 8,
	SINGLE_STEPS = 4,
	/* Fewer walks than this that are left of a group are finished one by one. */
	GROUP_REST = 8,
};

/* Eight walks, and which ones of their group. */
struct lanes {
	__m256i slots, skips, walks;
};

AVX2_INLINE __m256i load(const uint32_t *values)
{
	return _mm256_loadu_si256((const __m256i *)values);
}

AVX2_INLINE void store(uint32_t *values, __m256i vector)
{
	_mm256_storeu_si256((__m256i *)values, vector);
}

AVX2_INLINE __m256i broadcast(uint32_t value)
{
	return _mm256_set1_epi32((int)value);
}

AVX2_INLINE __m256i count_from(uint32_t first)
{
	return _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), broadcast(first));
}

/* maglev_step, eight times. */
AVX2_INLINE __m256i step(__m256i slots, __m256i skips, __m256i size)
{
	__m256i next = _mm256_add_epi32(slots, skips);

	return _mm256_min_epu32(next, _mm256_sub_epi32(next, size));
}

/* maglev_is_taken, eight times: a bit for each lane. */
AVX2_INLINE uint32_t taken_of(const uint32_t *taken, __m256i slots)
{
	__m256i words = _mm256_i32gather_epi32((const int *)taken, _mm256_srli_epi32(slots, 5), 4);
	/* The slot's bit becomes the sign. */
	__m256i signs = _mm256_sllv_epi32(words, _mm256_andnot_si256(slots, broadcast(31)));

	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(signs));
}

/* Eight slots at once. */
AVX2 static __attribute__((noinline)) uint32_t seek_far(const struct maglev_table *table,
							uint32_t slot, uint32_t skip)
{
	uint32_t size = table->size, found[LANES], taken;
	uint32_t two = maglev_step(skip, skip, size), three = maglev_step(skip, two, size);
	uint32_t four = maglev_step(two, two, size), eight = maglev_step(four, four, size);
	__m256i slots = _mm256_setr_epi32(
		(int)skip, (int)two, (int)three, (int)four, (int)maglev_step(four, skip, size),
		(int)maglev_step(four, two, size), (int)maglev_step(four, three, size), (int)eight);

	slots = step(broadcast(slot), slots, broadcast(size));
	while ((taken = taken_of(table->taken, slots)) == (1u << LANES) - 1)
		slots = step(slots, broadcast(eight), broadcast(size));
	store(found, slots);
	return found[__builtin_ctz(~taken)];
}

static uint32_t seek(const struct maglev_table *table, uint32_t slot, uint32_t skip)
{
	/* As long as most slots are free, vectors are not worth it. */
	for (uint32_t i = 0; i < SINGLE_STEPS; i++) {
		slot = maglev_step(slot, skip, table->size);
		if (!maglev_is_taken(table, slot))
			return slot;
	}
	return seek_far(table, slot, skip);
}

/* The lanes that a mask names, in their order: indexes for a permutation, a byte each. */
static void make_compress(uint64_t compress[1u << LANES])
{
	for (uint32_t mask = 0; mask < 1u << LANES; mask++) {
		uint32_t count = 0;

		compress[mask] = 0;
		for (uint32_t lane = 0; lane < LANES; lane++)
			if (mask >> lane & 1)
				compress[mask] |= (uint64_t)lane << 8 * count++;
	}
}

AVX2_INLINE __m256i compress_by(const struct maglev_group *group, uint32_t mask)
{
	return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)&group->compress[mask]));
}

/* What the walks of a group have found, in the order of finding, and which walk it was. */
struct found {
	uint32_t *slots, *walks;
	uint32_t count;
};

/* Steps eight walks; those that find a slot are replaced by the next ones of the group, of which
 * `next` is the first. Returns the new `next`. */
AVX2_INLINE uint32_t step_lanes(const struct maglev_table *table, const struct maglev_group *group,
				uint32_t next, struct lanes *lanes, struct found *found)
{
	__m256i slots = step(lanes->slots, lanes->skips, broadcast(table->size));
	uint32_t walking = taken_of(table->taken, slots);
	uint32_t kept = (uint32_t)__builtin_popcount(walking);
	__m256i keep = compress_by(group, walking), leave = compress_by(group, walking ^ 0xff);
	/* The lanes from `kept` on. */
	__m256i fresh = _mm256_cmpgt_epi32(count_from(1), broadcast(kept));

	store(found->slots + found->count, _mm256_permutevar8x32_epi32(slots, leave));
	store(found->walks + found->count, _mm256_permutevar8x32_epi32(lanes->walks, leave));
	found->count += LANES - kept;
	lanes->slots = _mm256_blendv_epi8(_mm256_permutevar8x32_epi32(slots, keep),
					  load(group->slots + next - kept), fresh);
	lanes->skips = _mm256_blendv_epi8(_mm256_permutevar8x32_epi32(lanes->skips, keep),
					  load(group->skips + next - kept), fresh);
	lanes->walks = _mm256_blendv_epi8(_mm256_permutevar8x32_epi32(lanes->walks, keep),
					  count_from(next - kept), fresh);
	return next + LANES - kept;
}

/* The walks of a group from `next` on. */
AVX2_INLINE struct lanes lanes_from(const struct maglev_group *group, uint32_t next)
{
	return (struct lanes){ load(group->slots + next), load(group->skips + next),
			       count_from(next) };
}

/* Walks that have found nothing yet. */
AVX2_INLINE void finish_lanes(const struct maglev_table *table, struct maglev_group *group,
			      uint32_t count, const struct lanes *lanes)
{
	uint32_t slots[LANES], skips[LANES], walks[LANES];

	store(slots, lanes->slots);
	store(skips, lanes->skips);
	store(walks, lanes->walks);
	for (uint32_t i = 0; i < LANES; i++)
		if (walks[i] < count)
			group->slots[walks[i]] = seek(table, slots[i], skips[i]);
}

AVX2 static void seek_group(const struct maglev_table *table, struct maglev_group *group,
			    uint32_t count)
{
	struct found found = { group->scratch[0], group->scratch[1], 0 };
	/* Two took 8 % longer. They are no array, so that compilers keep them in registers. */
	struct lanes a, b, c;
	uint32_t next = 3 * LANES;

	if (group->compress[1 << 1] == 0)
		make_compress(group->compress);
	/* Behind the walks there are some that never find anything: they stay at a slot behind the
	 * table's end. Lanes that they are in are idle. */
	for (uint32_t i = count; i < count + MAGLEV_PADDING; i++) {
		group->slots[i] = table->size;
		group->skips[i] = table->size;
	}
	a = lanes_from(group, 0);
	b = lanes_from(group, LANES);
	c = lanes_from(group, 2 * LANES);
	while (found.count + GROUP_REST < count) {
		next = step_lanes(table, group, next, &a, &found);
		next = step_lanes(table, group, next, &b, &found);
		next = step_lanes(table, group, next, &c, &found);
	}
	for (uint32_t i = 0; i < found.count; i++)
		group->slots[found.walks[i]] = found.slots[i];
	finish_lanes(table, group, count, &a);
	finish_lanes(table, group, count, &b);
	finish_lanes(table, group, count, &c);
}

/* The upper halves of eight products. */
AVX2_INLINE __m256i multiply_high(__m256i a, __m256i b)
{
	__m256i even = _mm256_mul_epu32(a, b);
	__m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);

	return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}

/* See maglev_fill.c. */
AVX2 static uint32_t nearest(uint32_t *slots, uint32_t count, uint32_t from, uint32_t inverse,
			     uint32_t size)
{
	const __m256i shifted = broadcast((uint32_t)(((uint64_t)inverse << 32) / size));
	__m256i least = broadcast(UINT32_MAX);
	__m128i half;

	/* Whole vectors: some slots twice. */
	store(slots + count, broadcast(slots[0]));
	for (uint32_t i = 0; i < count; i += LANES) {
		__m256i distance = _mm256_add_epi32(load(slots + i), broadcast(size - from));
		__m256i quotient = multiply_high(distance, shifted);
		__m256i steps = _mm256_sub_epi32(_mm256_mullo_epi32(distance, broadcast(inverse)),
						 _mm256_mullo_epi32(quotient, broadcast(size)));

		steps = _mm256_min_epu32(steps, _mm256_sub_epi32(steps, broadcast(size)));
		least = _mm256_min_epu32(least, steps);
	}
	half = _mm_min_epu32(_mm256_castsi256_si128(least), _mm256_extracti128_si256(least, 1));
	half = _mm_min_epu32(half, _mm_srli_si128(half, 8));
	half = _mm_min_epu32(half, _mm_srli_si128(half, 4));
	return (uint32_t)_mm_cvtsi128_si32(half);
}

static const struct maglev_probing probing = {
	.seek = seek,
	.seek_group = seek_group,
	.nearest = nearest,
	.group_until = 60,
	.tail_factor = 5,
};

const struct maglev_probing *maglev_probing_avx2(void)
{
	return __builtin_cpu_supports("avx2") ? &probing : NULL;
}
#else
const struct maglev_probing *maglev_probing_avx2(void)
{
	return NULL;
}
#endif
