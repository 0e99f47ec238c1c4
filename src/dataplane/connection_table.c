/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/connection_table.h>

/* The most searches to leave out after one: the cost of one that fails, some microseconds, is then
 * nothing beside that of so many insertions. */
#define SEARCH_PAUSE_MOST 1023

/* Seconds that a round of the sweep may take: with the longest idle time and two rounds, an entry
 * that died is visited before its clock repeats. Rounds are that slow only when a capture's are. */
#define ROUND_MOST 8192

_Static_assert(sizeof(struct connection) == 16, "16 bytes per flow");
_Static_assert(sizeof(struct connection_bucket) == 64, "a bucket is a cache line");
_Static_assert(CONNECTION_MAX_IDLE + 2 * ROUND_MOST + CONNECTION_SWEEP_SECONDS < 65536,
	       "a dead entry could come back to life");

static uint32_t count_buckets(uint32_t capacity)
{
	return (capacity + CONNECTION_BUCKET_ENTRIES - 1) / CONNECTION_BUCKET_ENTRIES;
}

size_t connection_table_size(uint32_t capacity)
{
	return count_buckets(capacity) * sizeof(struct connection_bucket);
}

void connection_table_initialise(struct connection_table *table, void *memory, uint32_t capacity)
{
	uint32_t bucket_count = count_buckets(capacity);
	uint32_t entries = bucket_count * CONNECTION_BUCKET_ENTRIES;

	*table = (struct connection_table){ .buckets = memory,
					    .bucket_count = bucket_count,
					    .states = { [CONNECTION_EMPTY] = entries } };
	connection_table_configure(table, &CONNECTION_DEFAULT_SETTINGS);
}

void connection_table_configure(struct connection_table *table,
				const struct connection_settings *settings)
{
	int32_t *idle = table->idle;

	idle[CONNECTION_EMPTY] = -1; /* below every age: never live */
	idle[CONNECTION_SYN] = (int32_t)settings->tcp_syn_idle;
	idle[CONNECTION_TCP_ONCE] = idle[CONNECTION_ESTABLISHED] = (int32_t)settings->tcp_idle;
	idle[CONNECTION_CLOSING] = (int32_t)settings->tcp_closing_idle;
	idle[CONNECTION_UDP_ONCE] = idle[CONNECTION_UDP] = (int32_t)settings->udp_idle;
	idle[CONNECTION_OTHER_ONCE] = idle[CONNECTION_OTHER] = (int32_t)settings->other_idle;
	table->new_rate = settings->new_rate;
}

static struct connection *find_dead(const struct connection_table *table,
				    struct connection_bucket *bucket, uint64_t second)
{
	for (int i = 0; i < CONNECTION_BUCKET_ENTRIES; i++)
		if (!connection_is_live(table, &bucket->entries[i], second))
			return &bucket->entries[i];
	return NULL;
}

static void set_state(struct connection_table *table, struct connection *entry, uint8_t state)
{
	counter_add(&table->states[entry->state], (uint64_t)-1);
	counter_add(&table->states[state], 1);
	entry->state = state;
}

/* Makes an entry one that is not in use, whether it is or not. */
static void clear(struct connection_table *table, struct connection *entry)
{
	if (entry->state == CONNECTION_EMPTY)
		return;
	set_state(table, entry, CONNECTION_EMPTY);
	counter_add(&table->count, (uint64_t)-1);
}

/* ---- making room ---- */

/* A bucket on the way from a new flow's own ones to a free entry. */
struct search_step {
	struct connection_bucket *bucket;
	uint16_t parent; /* the step from whose bucket an entry would come here */
	uint16_t slot;	 /* that entry's */
};

static struct connection_bucket *other_bucket(const struct connection_table *table,
					      const struct connection_bucket *bucket, uint64_t hash)
{
	struct connection_bucket *first = connection_first_bucket(table, hash);

	return first == bucket ? connection_second_bucket(table, hash) : first;
}

/*
 * Moves entries along the steps, the last one first, so that each is in one of its buckets
 * whenever it is looked for. Returns the entry that gets free, in a bucket of step 0 or 1.
 */
static struct connection *move_along(struct connection_table *table,
				     const struct search_step *steps, uint32_t last,
				     struct connection *to)
{
	clear(table, to);
	for (uint32_t step = last; step > 1; step = steps[step].parent) {
		struct connection *from =
			&steps[steps[step].parent].bucket->entries[steps[step].slot];

		*to = *from;
		to = from;
		counter_add(&table->moves, 1);
	}
	to->state = CONNECTION_EMPTY; /* what was here is counted where it is now */
	return to;
}

/*
 * Moves the fewest entries that free one in the flow's buckets, which are full of live ones.
 * Returns that one, or NULL when there is none within the bound. No bucket is on a way twice: from
 * where it comes first, the same ways lead on, and they are tried earlier.
 */
static struct connection *make_room(struct connection_table *table, uint64_t hash, uint64_t second)
{
	struct search_step steps[2 + CONNECTION_SEARCH];
	uint32_t count = 2;

	steps[0].bucket = connection_first_bucket(table, hash);
	steps[1].bucket = connection_second_bucket(table, hash);
	for (uint32_t step = 0; step < count; step++) {
		struct connection_bucket *bucket = steps[step].bucket;
		struct connection *dead = step > 1 ? find_dead(table, bucket, second) : NULL;

		if (dead != NULL)
			return move_along(table, steps, step, dead);
		for (uint16_t i = 0; i < CONNECTION_BUCKET_ENTRIES; i++) {
			if (count == 2 + CONNECTION_SEARCH)
				break;
			steps[count] = (struct search_step){
				.bucket = other_bucket(table, bucket, bucket->entries[i].hash),
				.parent = (uint16_t)step,
				.slot = i,
			};
			__builtin_prefetch(steps[count++].bucket);
		}
	}
	return NULL;
}

/*
 * The same while it is worth it. Pauses get twice as long with each search that fails and half as
 * long with each that succeeds: so they vanish when more than half succeed, and grow to the longest
 * when fewer do. One failure alone makes none.
 */
static struct connection *search(struct connection_table *table, uint64_t hash, uint64_t second)
{
	struct connection *room;

	if (table->search_skip > 0) {
		table->search_skip--;
		return NULL;
	}
	room = make_room(table, hash, second);
	if (room != NULL)
		table->search_pause /= 2;
	else if (table->search_pause < 2 * SEARCH_PAUSE_MOST)
		table->search_pause = 2 * table->search_pause + 1;
	table->search_skip = table->search_pause / 2;
	return room;
}

/* How readily an entry gives way: the upper half is of its state, the lower one its age. */
#define RANK_KEPT UINT32_C(0x00000)
#define RANK_ONCE UINT32_C(0x10000)
#define RANK_SYN  UINT32_C(0x20000)
#define RANK_DEAD UINT32_C(0x30000)

static const uint32_t ranks[CONNECTION_STATE_COUNT] = {
	[CONNECTION_EMPTY] = RANK_DEAD,	     [CONNECTION_SYN] = RANK_SYN,
	[CONNECTION_TCP_ONCE] = RANK_ONCE,   [CONNECTION_UDP_ONCE] = RANK_ONCE,
	[CONNECTION_OTHER_ONCE] = RANK_ONCE, [CONNECTION_ESTABLISHED] = RANK_KEPT,
	[CONNECTION_CLOSING] = RANK_KEPT,    [CONNECTION_UDP] = RANK_KEPT,
	[CONNECTION_OTHER] = RANK_KEPT,
};

/*
 * The highest rank in a bucket and whose it is, as rank * 4 + 3 - place: of equals, the first one.
 * Without branches: ages and states are as good as random.
 */
static uint32_t weakest_in(const struct connection_table *table,
			   const struct connection_bucket *bucket, uint64_t second)
{
	uint32_t weakest = 0;

	for (uint32_t i = 0; i < CONNECTION_BUCKET_ENTRIES; i++) {
		const struct connection *entry = &bucket->entries[i];
		uint32_t age = connection_age(entry, second);
		uint32_t rank = ranks[entry->state] | age;

		rank = (int32_t)age > table->idle[entry->state] ? RANK_DEAD : rank;
		rank = rank * CONNECTION_BUCKET_ENTRIES + (CONNECTION_BUCKET_ENTRIES - 1 - i);
		weakest = rank > weakest ? rank : weakest;
	}
	return weakest;
}

static struct connection *in_bucket(struct connection_bucket *bucket, uint32_t weakest)
{
	return &bucket->entries[CONNECTION_BUCKET_ENTRIES - 1 -
				weakest % CONNECTION_BUCKET_ENTRIES];
}

/*
 * The entry that a flow without one gets: a free one, in the first bucket if that has any, or one
 * that is made free, or another flow's, that which gives way most readily. NULL, counted, when
 * there is none.
 */
static struct connection *find_place(struct connection_table *table, uint64_t hash,
				     enum connection_state state, uint64_t second)
{
	struct connection_bucket *first = connection_first_bucket(table, hash), *other;
	uint32_t in_first = weakest_in(table, first, second), in_other;
	uint32_t rank = in_first / CONNECTION_BUCKET_ENTRIES;
	struct connection *entry = in_bucket(first, in_first), *room;

	if (rank == RANK_DEAD)
		return entry;
	if (rank >= RANK_SYN && table->search_skip > 0) {
		table->search_skip--;
	} else {
		other = connection_second_bucket(table, hash);
		in_other = weakest_in(table, other, second);
		if (in_other / CONNECTION_BUCKET_ENTRIES > rank) {
			rank = in_other / CONNECTION_BUCKET_ENTRIES;
			entry = in_bucket(other, in_other);
		}
		if (rank == RANK_DEAD)
			return entry;
		room = search(table, hash, second);
		if (room != NULL)
			return room;
	}
	/* A SYN is no reason to forget anything but SYNs. */
	if (rank < (state == CONNECTION_SYN ? RANK_SYN : RANK_ONCE)) {
		counter_add(&table->untracked, 1);
		return NULL;
	}
	counter_add(&table->evictions, 1);
	return entry;
}

struct connection *connection_record(struct connection_table *table, struct connection *remains,
				     uint64_t hash, enum connection_state state, uint16_t backend,
				     uint16_t generation, uint64_t second)
{
	struct connection *entry =
		remains != NULL ? remains : find_place(table, hash, state, second);

	if (entry == NULL)
		return NULL;
	if (entry->state == CONNECTION_EMPTY)
		counter_add(&table->count, 1);
	if (entry->state != state)
		set_state(table, entry, (uint8_t)state);
	entry->hash = hash;
	entry->backend = backend;
	entry->generation = generation;
	entry->last_seen = (uint16_t)second;
	return entry;
}

void connection_refresh(struct connection_table *table, struct connection *entry,
			enum connection_state state, uint64_t second)
{
	struct connection_bucket *first = connection_first_bucket(table, entry->hash);
	struct connection *room;

	if (entry->state != state)
		set_state(table, entry, (uint8_t)state);
	entry->last_seen = (uint16_t)second;
	if ((size_t)(entry - first->entries) < CONNECTION_BUCKET_ENTRIES)
		return;
	/* Both buckets were looked at, and this one is written to: going home costs little. */
	room = find_dead(table, first, second);
	if (room == NULL)
		return;
	clear(table, room);
	*room = *entry;
	entry->state = CONNECTION_EMPTY;
}

/* ---- the sweep ---- */

static void sweep_bucket(struct connection_table *table, struct connection_bucket *bucket,
			 uint64_t second)
{
	for (int i = 0; i < CONNECTION_BUCKET_ENTRIES; i++)
		if (!connection_is_live(table, &bucket->entries[i], second))
			clear(table, &bucket->entries[i]);
}

/* All buckets, by their entries' whole ages: the clock may have gone round since the last sweep. */
static void sweep_all(struct connection_table *table, uint64_t elapsed)
{
	uint64_t entries = (uint64_t)table->bucket_count * CONNECTION_BUCKET_ENTRIES;

	for (uint64_t i = 0; i < entries && table->count > 0; i++) {
		struct connection_bucket *bucket = &table->buckets[i / CONNECTION_BUCKET_ENTRIES];
		struct connection *entry = &bucket->entries[i % CONNECTION_BUCKET_ENTRIES];

		if (connection_age(entry, table->sweep_second) + elapsed >
		    (uint64_t)table->idle[entry->state])
			clear(table, entry);
	}
}

static void advance(struct connection_table *table, uint64_t second)
{
	uint64_t elapsed = second - table->sweep_second, all = table->bucket_count, due;

	if (elapsed > CONNECTION_SWEEP_SECONDS || second - table->sweep_round > ROUND_MOST) {
		sweep_all(table, elapsed);
		table->sweep_position = table->sweep_due = 0;
		table->sweep_round = second;
	} else {
		due = table->sweep_due + elapsed * (all / CONNECTION_SWEEP_SECONDS + 1);
		table->sweep_due = (uint32_t)(due < all ? due : all);
	}
	table->sweep_second = second;
}

void connection_sweep(struct connection_table *table, uint64_t second, uint32_t budget)
{
	if (second > table->sweep_second)
		advance(table, second);
	for (; table->sweep_due > 0 && budget > 0; table->sweep_due--, budget--) {
		sweep_bucket(table, &table->buckets[table->sweep_position], second);
		if (++table->sweep_position == table->bucket_count) {
			table->sweep_position = 0;
			table->sweep_round = second;
		}
	}
}
