/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A token bucket on a clock that the caller gives. It holds one second's worth of events. What is
 * counted is what is missing in it, so that one of zeros is full whatever the clock says; and
 * without a division, in events times nanoseconds per second.
 *
 * Thread: the one that owns it.
 */
#ifndef FLUXPIN_RATE_LIMIT_H
#define FLUXPIN_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* The highest rate, in events per second; one second of it fits into 64 bits by far. */
#define RATE_LIMIT_MAX 1000000000

struct rate_limit {
	uint64_t missing; /* an event takes 10^9 */
	uint64_t updated_ns;
};

/*
 * Whether one more event is allowed at `rate` events per second (at most RATE_LIMIT_MAX), which may
 * change from call to call; 0 allows none. A clock that goes back gives nothing.
 */
static inline bool rate_limit_take(struct rate_limit *limit, uint32_t rate, uint64_t now_ns)
{
	const uint64_t second = UINT64_C(1000000000), most = rate * second;
	uint64_t elapsed = 0, regained;

	if (now_ns > limit->updated_ns) {
		elapsed = now_ns - limit->updated_ns;
		limit->updated_ns = now_ns;
	}
	regained = (elapsed < second ? elapsed : second) * rate;
	if (limit->missing > most)
		limit->missing = most;
	limit->missing = limit->missing > regained ? limit->missing - regained : 0;
	if (limit->missing + second > most)
		return false;
	limit->missing += second;
	return true;
}

#endif
