/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A token bucket on a clock that the caller gives. It holds one second's worth and starts full.
 * Without a division: credit is counted in events times nanoseconds per second.
 *
 * Thread: the one that owns it.
 */
#ifndef FLUXPIN_RATE_LIMIT_H
#define FLUXPIN_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* The highest rate, in events per second, whose credit of a second fits into 64 bits by far. */
#define RATE_LIMIT_MAX 1000000

struct rate_limit {
	uint64_t credit; /* an event costs 10^9 */
	uint64_t updated_ns;
};

/*
 * Whether one more event is allowed at `rate` events per second (at most RATE_LIMIT_MAX), which may
 * change from call to call; 0 allows none. now_ns is monotonic; all zeros is a full bucket, once
 * the clock has gone on for a second.
 */
static inline bool rate_limit_take(struct rate_limit *limit, uint32_t rate, uint64_t now_ns)
{
	const uint64_t second = UINT64_C(1000000000);
	uint64_t elapsed = now_ns - limit->updated_ns, most = rate * second;

	if (elapsed > second)
		elapsed = second;
	limit->updated_ns = now_ns;
	limit->credit += elapsed * rate;
	if (limit->credit > most)
		limit->credit = most;
	if (limit->credit < second)
		return false;
	limit->credit -= second;
	return true;
}

#endif
