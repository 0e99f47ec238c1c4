/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connection tracking: flow hash -> backend, in fixed memory, one table per worker (Maglev,
 * section 3.3).
 *
 * Buckets of four 16-byte entries fill one cache line each. A flow has two candidate buckets and
 * lies in the first unless that was full. An entry's key is the whole 64-bit flow hash, so with
 * 2^21 buckets (the largest table) another flow's entry is found with a probability of at most
 * 8 * 2^(21 - 64) = 2^-40 per lookup.
 *
 * Nothing fails hard: when both buckets are full of live flows, the entry that has only sent a SYN
 * and is oldest goes; when there is none, the new flow stays untracked and is forwarded by
 * consistent hash. Expiry is lazy, by a clock of seconds (the low 16 bits are stored), with a sweep
 * that visits every bucket once in CONNECTION_SWEEP_SECONDS so that times cannot wrap.
 *
 * Thread: the worker that owns the table; counters may be read by others. No function allocates.
 */
#ifndef FLUXPIN_CONNECTION_TABLE_H
#define FLUXPIN_CONNECTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTION_MIN_CAPACITY	 1024
#define CONNECTION_MAX_CAPACITY	 (1u << 23) /* entries; see above for the reason */
#define CONNECTION_MAX_IDLE	 32768	    /* seconds, about 9 hours: half of the clock's range */
#define CONNECTION_SYN_IDLE	 60	    /* seconds: TCP gives up on a SYN about then */
#define CONNECTION_CLOSING_IDLE	 120	    /* seconds after FIN or RST: 2 MSL (RFC 9293) */
#define CONNECTION_SWEEP_SECONDS 60

enum connection_state {
	CONNECTION_EMPTY,
	CONNECTION_SYN,		/* only SYNs were seen: the first to be evicted */
	CONNECTION_ESTABLISHED, /* the client sent more than a SYN */
	CONNECTION_CLOSING,	/* the client sent FIN or RST */
	CONNECTION_DATAGRAM,	/* UDP and others */
	CONNECTION_STATE_COUNT,
};

struct connection {
	uint64_t hash;
	uint16_t backend;    /* index */
	uint16_t generation; /* of that index: another backend that takes it over has another one */
	uint16_t last_seen;  /* seconds, low 16 bits */
	uint8_t state;	     /* enum connection_state */
	uint8_t unused;
};

struct connection_bucket {
	struct connection entries[4];
} __attribute__((aligned(64)));

struct connection_table {
	struct connection_bucket *buckets;
	uint64_t mask;			       /* number of buckets - 1 */
	uint16_t idle[CONNECTION_STATE_COUNT]; /* seconds until an entry of that state is dead */
	uint64_t sweep_position;	       /* the next bucket to visit */
	uint64_t sweep_second;		       /* clock of the last sweep */
	uint64_t sweep_due;		       /* buckets to visit by now, at most all */
	/* Single writer, read by the control thread. */
	uint64_t count; /* entries in use, dead ones included until swept */
	uint64_t evictions;
	uint64_t untracked;
};

/* Bytes of memory for a table of at least `capacity` entries (rounded up to a power of two). */
size_t connection_table_size(uint32_t capacity);

/*
 * Makes an empty table in `memory`, which is zeroed, aligned to 64 bytes and
 * connection_table_size(capacity) long; it stays the caller's. Idle times in seconds, 1 to
 * CONNECTION_MAX_IDLE.
 */
void connection_table_initialise(struct connection_table *table, void *memory, uint32_t capacity,
				 uint32_t tcp_idle_seconds, uint32_t udp_idle_seconds);

static inline void connection_prefetch(const struct connection_table *table, uint64_t hash)
{
	__builtin_prefetch(&table->buckets[hash & table->mask]);
}

/* The live entry of a flow, or NULL. `second` is the coarse clock. The caller may change it. */
struct connection *connection_find(const struct connection_table *table, uint64_t hash,
				   uint64_t second);

/*
 * Records a flow that connection_find did not find. Returns its entry, or NULL when it stays
 * untracked (counted).
 */
struct connection *connection_insert(struct connection_table *table, uint64_t hash,
				     enum connection_state state, uint16_t backend,
				     uint16_t generation, uint64_t second);

/*
 * Frees dead entries in the buckets that are due by now, `budget` buckets at most. Call it once a
 * batch with a small budget, and with a large one when idle.
 */
void connection_sweep(struct connection_table *table, uint64_t second, uint32_t budget);

#endif
