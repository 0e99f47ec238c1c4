/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <fluxpin/suggestion.h>

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t suggestion_distance(const char *a, const char *b)
{
	/* Three rows of the usual table: this one, the one before, and the one before that, which
	 * a swap of two neighbours reaches back to. */
	uint32_t rows[3][SUGGESTION_WORD_LENGTH + 1];
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > SUGGESTION_WORD_LENGTH || b_length > SUGGESTION_WORD_LENGTH)
		return UINT32_MAX;
	for (uint32_t j = 0; j <= b_length; j++)
		rows[0][j] = j;
	for (uint32_t i = 1; i <= a_length; i++) {
		uint32_t *row = rows[i % 3], *above = rows[(i + 2) % 3];
		const uint32_t *second = rows[(i + 1) % 3];

		row[0] = i;
		for (uint32_t j = 1; j <= b_length; j++) {
			uint32_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = smaller(replaced, smaller(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = smaller(row[j], second[j - 2] + 1);
		}
	}
	return rows[a_length % 3][b_length];
}

const char *suggestion_find(const char *word, const char *const *candidates, uint32_t count,
			    uint32_t stride)
{
	uint32_t limit = (uint32_t)strlen(word) / 3;
	uint32_t best = (limit > 0 ? limit : 1) + 1;
	const char *nearest = NULL;

	for (uint32_t i = 0; i < count; i++) {
		const char *candidate =
			*(const char *const *)((const char *)candidates + (size_t)i * stride);
		uint32_t distance = suggestion_distance(word, candidate);

		/* As many edits as letters would make any short word of any other. */
		if (distance < best && distance < strlen(candidate)) {
			best = distance;
			nearest = candidate;
		}
	}
	return nearest;
}
