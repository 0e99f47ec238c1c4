/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters of one worker. The worker alone writes them (plain adds with relaxed stores), the
 * control thread reads them at any time; a value read may be a batch behind, never torn.
 *
 * When traffic has stopped: received = forwarded + slow_path + answered + the sum of dropped, and
 * what the fragment table still holds. A packet that is split counts once; a fragment that is
 * handed over, with the worker that takes it.
 */
#ifndef FLUXPIN_COUNTERS_H
#define FLUXPIN_COUNTERS_H

#include <stdint.h>

#include <fluxpin/verdict.h>

struct traffic_counter {
	uint64_t packets;
	uint64_t bytes;
};

struct counters {
	struct traffic_counter received;  /* frames as they arrived */
	struct traffic_counter forwarded; /* frames as they were sent, outer header included */
	uint64_t slow_path;
	uint64_t answered;
	uint64_t dropped[DROP_REASON_COUNT];
	uint64_t parts_sent;   /* frames above one per forwarded packet: IPv4 packets were split */
	uint64_t decapsulated; /* packets for a VIP that came in a tunnel */
	uint64_t handed_over;  /* to other workers of the NIC; not received, then */
	uint64_t lookups_hit;  /* connection table */
	uint64_t lookups_miss;
	uint64_t lookups_stale; /* found, but its backend no longer serves */
} __attribute__((aligned(64)));

static inline void counter_add(uint64_t *counter, uint64_t amount)
{
	__atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
