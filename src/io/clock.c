/* SPDX-License-Identifier: BSD-2-Clause */
#include <time.h>

#include <fluxpin/clock.h>
#include <fluxpin/duration.h>

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t clock_ms(void)
{
	return clock_ns() / NANOSECONDS_PER_MILLISECOND;
}
