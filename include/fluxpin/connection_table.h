/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connection tracking: flow hash -> backend, in fixed memory, one table per worker (Maglev,
 * section 3.3).
 *
 * Buckets of four 16-byte entries fill one cache line each; IPv4 and IPv6 flows take the same. The
 * key is the whole 64-bit flow hash, which also says the flow's two candidate buckets: the first by
 * its low half, the second some way further on by its high half. An entry lies in the first if
 * there is room, else in the second. If neither has room, entries are moved to their own other
 * buckets, the fewest that make some (cuckoo hashing: breadth-first, at most CONNECTION_SEARCH
 * buckets, without allocation). Every entry is in one of its flow's two buckets at all times. One
 * that had to take its second goes back to the first when its flow is seen and there is room
 * again: so most lookups end in one cache line.
 *
 * False hits: a table has at most 2^23 entries, and a lookup finds another flow's only when all 64
 * bits are the same, wherever the entry lies: at most 2^23 / 2^64 = 2^-41 per lookup.
 *
 * Nothing fails hard. A flow that finds no room replaces, in its two buckets, the entry that has
 * only sent SYNs and is the oldest of these; if there is none, and it is no SYN itself, the oldest
 * of which only one packet was seen (the *_ONCE states). All other entries stay until they expire:
 * a flow that has nothing to replace is untracked and goes by consistent hash.
 *
 * While searching for moves fails more often than not, as in a table that a flood has filled, it is
 * tried ever more seldom, so that it costs nothing there; and in the meantime a SYN of the first
 * bucket, the oldest there, gives way before the second bucket is looked at.
 *
 * Expiry is lazy, by a clock of seconds of which the low 16 bits are stored; a sweep frees what is
 * dead long before they repeat.
 *
 * Thread: the worker that owns the table; counters may be read by others. No function allocates.
 */
#ifndef FLUXPIN_CONNECTION_TABLE_H
#define FLUXPIN_CONNECTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE4_1__
#include <smmintrin.h>
#endif

#include <fluxpin/connection_state.h>
#include <fluxpin/counters.h>
#include <fluxpin/rate_limit.h>

#define CONNECTION_MIN_CAPACITY	 1024
#define CONNECTION_MAX_CAPACITY	 (1u << 23) /* entries: the bound on false hits */
#define CONNECTION_MAX_IDLE	 32768	    /* seconds, about 9 hours: half of the clock's range */
#define CONNECTION_MAX_NEW_RATE	 100000000
#define CONNECTION_SWEEP_SECONDS 60

/*
 * How many buckets an insertion may look at beyond its own two. Measured with 2^18 buckets: of the
 * flows that fill a table to 95.4 %, 0.35 % find no room with 40, 0.14 % with 64 and 0.02 % with
 * 128; to 80 %, none with 40. On average it takes 2 at 80 % and 8 at 95 %.
 */
#define CONNECTION_SEARCH 128

#define CONNECTION_BUCKET_ENTRIES 4

/* What may change while a table is in use. Idle times in seconds, 1 to CONNECTION_MAX_IDLE. */
struct connection_settings {
	uint32_t tcp_idle;
	uint32_t tcp_syn_idle;	   /* only SYNs were seen */
	uint32_t tcp_closing_idle; /* after FIN or RST */
	uint32_t udp_idle;
	uint32_t other_idle;
	uint32_t new_rate; /* new entries per second, at most CONNECTION_MAX_NEW_RATE; 0: any */
};

/*
 * A client gives up on a SYN after about a minute (RFC 9293 section 3.8.3 asks for at least three).
 * Linux's connection tracking has 120 s for closing and 600 s for protocols that it does not know.
 */
#define CONNECTION_DEFAULT_SETTINGS                                                           \
	(struct connection_settings)                                                          \
	{                                                                                     \
		.tcp_idle = 900, .tcp_syn_idle = 60, .tcp_closing_idle = 120, .udp_idle = 60, \
		.other_idle = 600                                                             \
	}

struct connection {
	uint64_t hash;
	uint16_t backend;    /* index */
	uint16_t generation; /* of that index: another backend that takes it over has another one */
	uint16_t last_seen;  /* seconds, low 16 bits */
	uint8_t state;	     /* enum connection_state */
	uint8_t vip_tag;     /* low 8 bits of its VIP's index: the caller's, for surveys */
};

struct connection_bucket {
	struct connection entries[CONNECTION_BUCKET_ENTRIES];
} __attribute__((aligned(64)));

struct connection_table {
	struct connection_bucket *buckets;
	uint32_t bucket_count;
	uint32_t new_rate;
	int32_t idle[CONNECTION_STATE_COUNT]; /* seconds an entry of that state lives; EMPTY: -1 */
	uint32_t search_skip;		      /* searches still to leave out */
	uint32_t search_pause; /* twice as many as were to be left out after the last one */
	struct rate_limit new_limit;
	uint32_t sweep_position; /* the next bucket to visit */
	uint32_t sweep_due;	 /* buckets to visit by now, at most all */
	uint64_t sweep_second;	 /* clock of the last sweep */
	uint64_t sweep_round;	 /* clock when the position was last 0 */
	/* Single writer, read by the control thread. Dead entries count until they are swept. */
	uint64_t count;				 /* entries in use */
	uint64_t states[CONNECTION_STATE_COUNT]; /* entries by state, the free ones too */
	uint64_t evictions;			 /* live entries that were replaced */
	uint64_t moves;	    /* of entries to their other bucket, to make room */
	uint64_t untracked; /* flows that found no room */
	uint64_t over_rate; /* flows refused by connection_admit */
};

/* Bytes of memory for a table of `capacity` entries, rounded up to whole buckets. */
size_t connection_table_size(uint32_t capacity);

/*
 * Makes an empty table with the default settings in `memory`, which is zeroed, aligned to 64 bytes
 * and connection_table_size(capacity) long, of at least 8 entries; it stays the caller's.
 */
void connection_table_initialise(struct connection_table *table, void *memory, uint32_t capacity);

/* Entries live on with the new idle times. Thread: the worker, or before it starts. */
void connection_table_configure(struct connection_table *table,
				const struct connection_settings *settings);

/* ---- looking up: inlined into the packet path ---- */

static inline struct connection_bucket *
connection_first_bucket(const struct connection_table *table, uint64_t hash)
{
	return &table->buckets[(hash & UINT32_MAX) * table->bucket_count >> 32];
}

static inline struct connection_bucket *
connection_second_bucket(const struct connection_table *table, uint64_t hash)
{
	uint64_t first = (hash & UINT32_MAX) * table->bucket_count >> 32;
	uint64_t second = first + 1 + ((hash >> 32) * (table->bucket_count - 1) >> 32);

	return &table->buckets[second < table->bucket_count ? second
							    : second - table->bucket_count];
}

/* gcc 12 takes a function that only prefetches for one without effect, and leaves calls of it out
 * that it does not inline. */
#define CONNECTION_INLINE static inline __attribute__((always_inline))

CONNECTION_INLINE void connection_prefetch(const struct connection_table *table, uint64_t hash)
{
	__builtin_prefetch(connection_first_bucket(table, hash));
}

/* For a flow that is likely a new one. */
CONNECTION_INLINE void connection_prefetch_both(const struct connection_table *table, uint64_t hash)
{
	__builtin_prefetch(connection_first_bucket(table, hash));
	__builtin_prefetch(connection_second_bucket(table, hash));
}

/* Seconds since the entry was last seen. */
static inline uint16_t connection_age(const struct connection *entry, uint64_t second)
{
	return (uint16_t)((uint16_t)second - entry->last_seen);
}

static inline bool connection_is_live(const struct connection_table *table,
				      const struct connection *entry, uint64_t second)
{
	return connection_age(entry, second) <= table->idle[entry->state];
}

/* When an entry was last seen, and its state, in one word, read at one go: its VIP, which lies
 * behind them, is masked out. */
static inline uint32_t connection_mark_of(const struct connection *entry)
{
	const struct connection all = { .last_seen = UINT16_MAX, .state = UINT8_MAX };
	uint32_t mark, mask;

	memcpy(&mark, &entry->last_seen, sizeof(mark));
	memcpy(&mask, &all.last_seen, sizeof(mask));
	return mark & mask;
}

/* That of an entry in a state that was last seen in this second. */
static inline uint32_t connection_mark(enum connection_state state, uint64_t second)
{
	const struct connection entry = { .last_seen = (uint16_t)second, .state = (uint8_t)state };

	return connection_mark_of(&entry);
}

/* What no entry has. */
#define CONNECTION_NO_MARK UINT32_MAX

/* Bit i is set when entry i has this hash. Without a branch for each: where a flow's entry lies
 * nobody can predict. */
static inline uint32_t connection_match(const struct connection_bucket *bucket, uint64_t hash)
{
#ifdef __SSE4_1__
	const __m128i *entries = (const __m128i *)bucket->entries;
	__m128i wanted = _mm_set1_epi64x((int64_t)hash);
	__m128i low = _mm_unpacklo_epi64(entries[0], entries[1]);
	__m128i high = _mm_unpacklo_epi64(entries[2], entries[3]);
	__m128i equal =
		_mm_packs_epi32(_mm_cmpeq_epi64(low, wanted), _mm_cmpeq_epi64(high, wanted));

	/* Two words of 16 bits for each entry, both the same. */
	return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(equal));
#else
	uint32_t mask = 0;

	for (int i = 0; i < CONNECTION_BUCKET_ENTRIES; i++)
		mask |= (uint32_t)(bucket->entries[i].hash == hash) << i;
	return mask;
#endif
}

/* The entry in use of a flow in one of its buckets, or NULL. */
static inline struct connection *connection_look_in(struct connection_bucket *bucket, uint64_t hash)
{
	for (uint32_t mask = connection_match(bucket, hash); mask != 0; mask &= mask - 1) {
		struct connection *entry = &bucket->entries[__builtin_ctz(mask)];

		if (entry->state != CONNECTION_EMPTY)
			return entry;
	}
	return NULL;
}

/* The entry of a flow, live or dead, or NULL. No flow has two. */
static inline struct connection *connection_look_up(const struct connection_table *table,
						    uint64_t hash)
{
	struct connection *entry = connection_look_in(connection_first_bucket(table, hash), hash);

	if (__builtin_expect(entry == NULL, false))
		entry = connection_look_in(connection_second_bucket(table, hash), hash);
	return entry;
}

/*
 * The live entry of a flow, or NULL. `second` is the coarse clock. The caller may change backend,
 * generation and vip_tag, and nothing else. The pointer is good until the next call of touch,
 * record or insert.
 */
static inline struct connection *connection_find(const struct connection_table *table,
						 uint64_t hash, uint64_t second)
{
	struct connection *entry = connection_look_up(table, hash);

	return entry != NULL && connection_is_live(table, entry, second) ? entry : NULL;
}

/* ---- changing ---- */

/* What connection_touch does when there is something to write. */
void connection_refresh(struct connection_table *table, struct connection *entry,
			enum connection_state state, uint64_t second);

/* The flow of an entry was seen and is now in this state, not EMPTY. Within one second and state
 * this writes nothing, so the cache line stays clean. */
static inline void connection_touch(struct connection_table *table, struct connection *entry,
				    enum connection_state state, uint64_t second)
{
	if (entry->last_seen != (uint16_t)second || entry->state != state)
		connection_refresh(table, entry, state, second);
}

/* Whether the limit on new entries leaves room for one more; counted when it does not. */
static inline bool connection_admit(struct connection_table *table, uint64_t now_ns)
{
	if (table->new_rate == 0 || rate_limit_take(&table->new_limit, table->new_rate, now_ns))
		return true;
	counter_add(&table->over_rate, 1);
	return false;
}

/*
 * Records a flow that has no live entry, in a state other than EMPTY. `remains` is what
 * connection_look_up gave: its dead entry, or NULL. Returns its entry, or NULL when it stays
 * untracked (counted).
 */
struct connection *connection_record(struct connection_table *table, struct connection *remains,
				     uint64_t hash, enum connection_state state, uint16_t backend,
				     uint16_t generation, uint64_t second);

/* The same for a flow that was not looked up. */
static inline struct connection *connection_insert(struct connection_table *table, uint64_t hash,
						   enum connection_state state, uint16_t backend,
						   uint16_t generation, uint64_t second)
{
	return connection_record(table, connection_look_up(table, hash), hash, state, backend,
				 generation, second);
}

/*
 * Frees dead entries in the buckets that are due by now, `budget` buckets at most. Call it with
 * every new second before the table is used in it, once a batch, with a small budget, and a large
 * one when idle. When the clock jumped by more than CONNECTION_SWEEP_SECONDS, as that of a capture
 * file does, all buckets are visited at once.
 */
void connection_sweep(struct connection_table *table, uint64_t second, uint32_t budget);

#endif
