/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of turns. Time is cut into windows of some thousand turns; those of a window are listed
 * backend by backend, and then sorted by when they are due. The sort is a stable radix sort, so
 * that turns that are due at once stay in the order of the backends. A turn costs much the same
 * whatever the weights are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "maglev_internal.h"

enum {
	/* At least, so that a window's own costs do not count; and of each backend on average, so
	 * that going through all of them does not. */
	WINDOW_TURNS = 4096,
	WINDOW_TURNS_EACH = 4,
	/* A sorted turn is when it is due, above the index of its backend. */
	INDEX_BITS = 16,
	DIGIT_BITS = 11,
};

/*
 * When a backend's turns are due. Times are counted in units of 2^-scale and rounded down, which
 * keeps their order: two that differ, t1 / w1 and t2 / w2, do so by 1 / (w1 * w2) or more, which is
 * at least one unit as 2^scale is no less than the square of the largest weight.
 */
struct schedule {
	uint64_t due;  /* the next turn; UINT64_MAX when there is none left */
	uint64_t step; /* 2^scale / weight, and its remainder */
	uint32_t step_rest;
	uint32_t rest; /* what `due` leaves out, in parts of the weight */
	uint32_t weight;
	uint32_t left; /* turns until it has its share */
};

struct maglev_turns {
	struct schedule *schedules; /* none when all weights are equal: `order` is used again */
	uint32_t count;
	uint64_t start, length; /* of the next window */
	uint64_t *window, *spare;
	uint16_t *order;
	uint32_t ordered, position;
};

void maglev_turns_release(struct maglev_turns *turns)
{
	if (turns == NULL)
		return;
	free(turns->order);
	free(turns->spare);
	free(turns->window);
	free(turns->schedules);
	free(turns);
}

/* Whole rounds: the same again and again. */
static int order_equal(struct maglev_turns *turns, uint32_t count)
{
	uint32_t rounds = count < WINDOW_TURNS ? WINDOW_TURNS / count : 1;

	turns->order = calloc((size_t)rounds * count, sizeof(*turns->order));
	if (turns->order == NULL)
		return -ENOMEM;
	for (uint32_t round = 0; round < rounds; round++)
		for (uint32_t i = 0; i < count; i++)
			turns->order[turns->ordered++] = (uint16_t)i;
	return 0;
}

/* How many remainders are above a bound. */
static uint32_t count_above(const uint32_t *remainders, uint32_t count, uint32_t bound)
{
	uint32_t above = 0;

	for (uint32_t i = 0; i < count; i++)
		above += remainders[i] > bound;
	return above;
}

/* One turn more for each of the `missing` largest remainders; of equal ones, the first. */
static void share_out(struct schedule *schedules, const uint32_t *remainders, uint32_t count,
		      uint32_t missing)
{
	uint32_t low = 0, high = UINT32_MAX, equal;

	/* The lowest bound that no more than `missing` are above. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (count_above(remainders, count, middle) <= missing)
			high = middle;
		else
			low = middle + 1;
	}
	equal = missing - count_above(remainders, count, low);
	for (uint32_t i = 0; i < count; i++) {
		if (remainders[i] > low) {
			schedules[i].left++;
		} else if (remainders[i] == low && equal > 0) {
			schedules[i].left++;
			equal--;
		}
	}
}

/* The shares of maglev.h: size * weight / sum rounded down, but at least 1, and what is missing. */
static int set_shares(struct maglev_turns *turns, uint32_t size, uint64_t sum)
{
	uint32_t *remainders = calloc(turns->count, sizeof(*remainders));
	uint64_t given = 0;

	if (remainders == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < turns->count; i++) {
		struct schedule *schedule = &turns->schedules[i];
		uint64_t share = (uint64_t)size * schedule->weight;

		schedule->left = (uint32_t)(share / sum);
		remainders[i] = (uint32_t)(share % sum);
		if (schedule->left == 0) {
			schedule->left = 1;
			remainders[i] = 0;
		}
		given += schedule->left;
	}
	/* Those with a remainder are more than the turns that are missing, so none of the others
	 * gets one. */
	if (given < size)
		share_out(turns->schedules, remainders, turns->count, (uint32_t)(size - given));
	free(remainders);
	return 0;
}

static int schedule_weights(struct maglev_turns *turns,
			    const struct maglev_permutation *permutations, uint32_t size,
			    uint32_t largest, uint64_t sum)
{
	uint32_t count = turns->count, scale = 0;
	uint64_t most = (uint64_t)count * WINDOW_TURNS_EACH;

	if (most < WINDOW_TURNS)
		most = WINDOW_TURNS;
	while (UINT64_C(1) << scale < (uint64_t)largest * largest)
		scale++;
	/* Below 2^18 turns, and the sum is at least the largest weight: no overflow. */
	turns->length = (most << scale) / sum;
	/* A backend of weight w has at most length * w / 2^scale + 1 turns in a window. */
	most += count;
	turns->schedules = calloc(count, sizeof(*turns->schedules));
	turns->window = calloc(most, sizeof(*turns->window));
	turns->spare = calloc(most, sizeof(*turns->spare));
	turns->order = calloc(most, sizeof(*turns->order));
	if (turns->schedules == NULL || turns->window == NULL || turns->spare == NULL ||
	    turns->order == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t weight = permutations[i].weight;

		turns->schedules[i] = (struct schedule){
			.step = (UINT64_C(1) << scale) / weight,
			.step_rest = (uint32_t)((UINT64_C(1) << scale) % weight),
			.weight = weight,
		};
	}
	return set_shares(turns, size, sum);
}

int maglev_turns_new(const struct maglev_permutation *permutations, uint32_t count, uint32_t size,
		     struct maglev_turns **result)
{
	struct maglev_turns *turns = calloc(1, sizeof(*turns));
	uint32_t smallest = UINT16_MAX, largest = 0;
	uint64_t sum = 0;
	int error;

	if (turns == NULL)
		return -ENOMEM;
	turns->count = count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t weight = permutations[i].weight;

		sum += weight;
		smallest = weight < smallest ? weight : smallest;
		largest = weight > largest ? weight : largest;
	}
	if (smallest == largest)
		error = order_equal(turns, count);
	else
		error = schedule_weights(turns, permutations, size, largest, sum);
	if (error != 0) {
		maglev_turns_release(turns);
		return error;
	}
	*result = turns;
	return 0;
}

/* Puts the turns of the next window into turns->window; returns their number. */
static uint32_t list_window(struct maglev_turns *turns)
{
	uint64_t start = turns->start, end = start + turns->length;
	uint64_t *window = turns->window;
	uint32_t listed = 0;

	for (uint32_t i = 0; i < turns->count; i++) {
		struct schedule schedule = turns->schedules[i];

		if (schedule.due >= end)
			continue;
		do {
			uint32_t rest = schedule.rest + schedule.step_rest;
			bool is_whole = rest >= schedule.weight;

			window[listed++] = (schedule.due - start) << INDEX_BITS | i;
			schedule.rest = is_whole ? rest - schedule.weight : rest;
			schedule.due += schedule.step + is_whole;
			schedule.left--;
		} while (schedule.due < end && schedule.left > 0);
		if (schedule.left == 0)
			schedule.due = UINT64_MAX;
		turns->schedules[i] = schedule;
	}
	turns->start = end;
	return listed;
}

/* Least significant digit first, of the times alone. */
static void sort_window(struct maglev_turns *turns, uint32_t count)
{
	const uint64_t mask = (1 << DIGIT_BITS) - 1;

	for (uint32_t shift = INDEX_BITS; turns->length >> (shift - INDEX_BITS) > 0;
	     shift += DIGIT_BITS) {
		uint32_t places[1 << DIGIT_BITS] = { 0 }, place = 0;
		uint64_t *listed = turns->window, *sorted = turns->spare;

		for (uint32_t i = 0; i < count; i++)
			places[listed[i] >> shift & mask]++;
		for (uint32_t digit = 0; digit <= mask; digit++) {
			uint32_t with_digit = places[digit];

			places[digit] = place;
			place += with_digit;
		}
		for (uint32_t i = 0; i < count; i++)
			sorted[places[listed[i] >> shift & mask]++] = listed[i];
		turns->spare = listed;
		turns->window = sorted;
	}
}

const uint16_t *maglev_turns_take(struct maglev_turns *turns, uint32_t most, uint32_t *taken)
{
	const uint16_t *first;
	uint32_t left;

	while (turns->position == turns->ordered) {
		turns->position = 0;
		if (turns->schedules == NULL)
			break;
		turns->ordered = list_window(turns);
		sort_window(turns, turns->ordered);
		for (uint32_t i = 0; i < turns->ordered; i++)
			turns->order[i] = (uint16_t)turns->window[i];
	}
	left = turns->ordered - turns->position;
	first = turns->order + turns->position;
	*taken = most < left ? most : left;
	turns->position += *taken;
	return first;
}
