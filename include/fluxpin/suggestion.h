/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "Did you mean": the known word nearest to a misspelt one.
 *
 * Nearness is the optimal string alignment distance: letters inserted, left out, replaced, or two
 * neighbours swapped. Pure; holds no memory.
 */
#ifndef FLUXPIN_SUGGESTION_H
#define FLUXPIN_SUGGESTION_H

#include <stdint.h>

/* Longer words are neither corrected nor suggested. */
#define SUGGESTION_WORD_LENGTH 63

/* The number of edits between two words, or UINT32_MAX when one is too long. Thread: any. */
uint32_t suggestion_distance(const char *a, const char *b);

/*
 * The candidate with the fewest edits to `word`, the first of equals; NULL when none is near: at
 * most a third of the word's letters may differ, and at least one. `candidates` points to the
 * first of `count` strings, each `stride` bytes behind the one before, so that a table of
 * structures serves as it is. Thread: any.
 */
const char *suggestion_find(const char *word, const char *const *candidates, uint32_t count,
			    uint32_t stride);

#endif
