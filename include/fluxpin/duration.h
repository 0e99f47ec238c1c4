/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Durations as text, "10s": digits and one of us, ms, s, m, h. Thread: any.
 */
#ifndef FLUXPIN_DURATION_H
#define FLUXPIN_DURATION_H

#include <stdint.h>

#define NANOSECONDS_PER_SECOND	    UINT64_C(1000000000)
#define NANOSECONDS_PER_MILLISECOND UINT64_C(1000000)

/* Returns 0, -EINVAL, or -ERANGE when the result does not fit. */
int duration_parse(const char *text, uint64_t *nanoseconds);

/* In the largest unit that divides it. Returns the buffer. */
const char *duration_format(uint64_t nanoseconds, char buffer[static 32]);

#endif
