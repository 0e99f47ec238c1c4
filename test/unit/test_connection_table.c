/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection table: against a model, at its limits, and over its clock's wrap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/connection_table.h>

#include "packets.h"

#define BUCKET_ENTRIES 4
#define NO_KEY	       UINT32_MAX
#define NO_SLOT	       UINT32_MAX

/* A table in exactly as much memory as it asks for. */
static void open_table(struct connection_table *table, uint32_t capacity, uint32_t tcp_idle,
		       uint32_t udp_idle)
{
	size_t size = connection_table_size(capacity);
	void *memory = aligned_alloc(64, size);

	assert_non_null(memory);
	memset(memory, 0, size);
	connection_table_initialise(table, memory, capacity, tcp_idle, udp_idle);
}

static void close_table(struct connection_table *table)
{
	free(table->buckets);
}

static uint32_t slot_count(const struct connection_table *table)
{
	return (uint32_t)(table->mask + 1) * BUCKET_ENTRIES;
}

static struct connection *slot_at(const struct connection_table *table, uint32_t slot)
{
	return &table->buckets[slot / BUCKET_ENTRIES].entries[slot % BUCKET_ENTRIES];
}

static uint32_t slot_of(const struct connection_table *table, const struct connection *entry)
{
	return (uint32_t)(entry - table->buckets[0].entries);
}

/* Entries that are not empty, counted one by one. */
static uint64_t count_used(const struct connection_table *table)
{
	uint64_t used = 0;

	for (uint32_t slot = 0; slot < slot_count(table); slot++)
		used += slot_at(table, slot)->state != CONNECTION_EMPTY;
	return used;
}

static uint32_t first_bucket(const struct connection_table *table, uint64_t hash)
{
	return (uint32_t)(hash & table->mask);
}

/* Where a flow goes in an empty table when its first bucket is full of established ones. */
static uint32_t second_bucket(struct connection_table *empty, uint64_t hash)
{
	struct connection_bucket *bucket = &empty->buckets[first_bucket(empty, hash)];
	struct connection *entry;

	for (uint32_t i = 0; i < BUCKET_ENTRIES; i++)
		bucket->entries[i] =
			(struct connection){ .hash = ~hash, .state = CONNECTION_ESTABLISHED };
	entry = connection_insert(empty, hash, CONNECTION_ESTABLISHED, 0, 0, 0);
	assert_non_null(entry);
	assert_ptr_equal(connection_find(empty, hash, 0), entry);
	memset(bucket, 0, sizeof(*bucket));
	entry->state = CONNECTION_EMPTY;
	return slot_of(empty, entry) / BUCKET_ENTRIES;
}

static void test_size(void **state)
{
	struct connection_table table;

	(void)state;
	assert_int_equal(connection_table_size(CONNECTION_MIN_CAPACITY), 1024 * 16);
	assert_int_equal(connection_table_size(1025), 2048 * 16);
	assert_int_equal(connection_table_size(CONNECTION_MAX_CAPACITY), (1u << 23) * 16);
	open_table(&table, 1000000, 1, 1);
	assert_int_equal(slot_count(&table), 1u << 20);
	close_table(&table);
}

static void test_candidates_differ(void **state)
{
	static const uint64_t special[] = { 0,
					    1,
					    UINT64_MAX,
					    UINT64_C(1) << 43,
					    UINT64_C(1) << 63,
					    UINT64_C(0x7ff),
					    UINT64_MAX << 43,
					    UINT64_MAX >> 21 };
	uint64_t random = 9;

	(void)state;
	for (uint32_t capacity = 8; capacity <= 1u << 20; capacity *= 2) {
		struct connection_table table;
		uint64_t distances = 0;

		open_table(&table, capacity, 1, 1);
		for (uint32_t i = 0; i < 1000; i++) {
			uint64_t hash = i < 8 ? special[i] : test_random(&random);
			uint32_t first = first_bucket(&table, hash);
			uint32_t second = second_bucket(&table, hash);

			assert_int_not_equal(first, second);
			distances |= UINT64_C(1) << (first ^ second) % 64;
		}
		/* Not one partner for each bucket: a crowd spreads over the whole table. */
		if (capacity >= 1u << 12)
			assert_in_range(__builtin_popcountll(distances), 16, 64);
		close_table(&table);
	}
}

/* An entry lives for its idle time and not a second longer, wherever the clock stands. */
static void test_expiry(void **state)
{
	static const uint64_t starts[] = {
		0, 1, 32767, 65535, 65536, 3 * 65536 - 60, (1u << 31) - 1, UINT32_MAX
	};
	static const struct {
		enum connection_state state;
		uint64_t idle;
	} cases[] = {
		{ CONNECTION_SYN, CONNECTION_SYN_IDLE },
		{ CONNECTION_ESTABLISHED, 900 },
		{ CONNECTION_CLOSING, CONNECTION_CLOSING_IDLE },
		{ CONNECTION_DATAGRAM, CONNECTION_MAX_IDLE },
	};
	struct connection_table table;

	(void)state;
	open_table(&table, CONNECTION_MIN_CAPACITY, 900, CONNECTION_MAX_IDLE);
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
			uint64_t start = starts[s], end = start + cases[c].idle;
			struct connection *entry =
				connection_insert(&table, 77, cases[c].state, 3, 4, start);

			assert_non_null(entry);
			assert_ptr_equal(connection_find(&table, 77, start), entry);
			assert_ptr_equal(connection_find(&table, 77, end), entry);
			assert_null(connection_find(&table, 77, end + 1));
			assert_int_equal(table.count, 1);

			table.sweep_second = 0;
			connection_sweep(&table, end, UINT32_MAX);
			assert_ptr_equal(connection_find(&table, 77, end), entry);
			table.sweep_second = 0;
			connection_sweep(&table, end + 1, UINT32_MAX);
			assert_int_equal(table.count, 0);
			assert_int_equal(count_used(&table), 0);
		}
	}
	assert_int_equal(table.evictions, 0);
	close_table(&table);
}

/* A dead entry makes room without being swept first, and is no eviction. */
static void test_dead_entries_are_replaced(void **state)
{
	struct connection_table table;
	uint64_t random = 10;

	(void)state;
	open_table(&table, CONNECTION_MIN_CAPACITY, 10, 10);
	for (uint32_t i = 0; i < 20000; i++)
		connection_insert(&table, test_random(&random), CONNECTION_ESTABLISHED, 1, 1, 5);
	assert_int_equal(table.count, 1024);
	assert_int_equal(table.untracked, 20000 - 1024);
	for (uint32_t i = 0; i < 20000; i++)
		connection_insert(&table, test_random(&random), CONNECTION_SYN, 1, 1, 16);
	assert_int_equal(table.count, 1024);
	assert_int_equal(count_used(&table), 1024);
	assert_int_equal(table.untracked, 20000 - 1024);
	assert_int_equal(table.evictions, 20000 - 1024);
	close_table(&table);
}

/* Every bucket is visited within CONNECTION_SWEEP_SECONDS, at whatever pace the calls come. */
static void test_sweep_pace(void **state)
{
	static const uint32_t capacities[] = { 4, 8, 100, 1024, 1u << 16 };

	(void)state;
	for (size_t c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
		struct connection_table table;
		uint64_t random = 11, second = 1000, in_table;

		open_table(&table, capacities[c], 5, 5);
		connection_sweep(&table, second, UINT32_MAX);
		for (uint32_t i = 0; i < 2 * capacities[c]; i++)
			connection_insert(&table, test_random(&random), CONNECTION_DATAGRAM, 1, 1,
					  second);
		in_table = table.count;
		assert_true(in_table > capacities[c] / 2);
		second += 6;
		connection_sweep(&table, second, 0);
		assert_int_equal(table.count, in_table);
		for (uint32_t i = 0; i < CONNECTION_SWEEP_SECONDS - 6; i++)
			for (uint32_t call = 0; call < 1 + table.mask / 50; call++)
				connection_sweep(&table, second + i, 1);
		connection_sweep(&table, second + CONNECTION_SWEEP_SECONDS - 6, UINT32_MAX);
		assert_int_equal(table.count, 0);
		assert_int_equal(count_used(&table), 0);
		assert_int_equal(table.sweep_due, 0);

		/* A clock that stands still or steps back makes nothing due. */
		connection_sweep(&table, second, UINT32_MAX);
		connection_sweep(&table, 0, UINT32_MAX);
		assert_int_equal(table.sweep_due, 0);
		close_table(&table);
	}
}

/*
 * How many flows find no place in a table that is offered so many. Measured with a table of 2^18:
 * 0.10 % at 40 % of its capacity, 0.36 % at 50 %, 1.0 % at 60 %, 4.4 % at 80 %.
 */
static void test_fill(void **state)
{
	static const struct {
		uint32_t percent;
		double limit;
	} cases[] = { { 30, 0.0005 }, { 40, 0.002 }, { 50, 0.005 }, { 60, 0.013 }, { 80, 0.05 } };
	const uint32_t capacity = 1u << 16;
	uint64_t random = 12;

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		uint32_t flows = capacity / 100 * cases[c].percent;
		struct connection_table table;

		open_table(&table, capacity, 900, 60);
		for (uint32_t i = 0; i < flows; i++)
			connection_insert(&table, test_random(&random), CONNECTION_ESTABLISHED, 1,
					  1, 0);
		assert_int_equal(table.count + table.untracked, flows);
		assert_int_equal(table.count, count_used(&table));
		assert_int_equal(table.evictions, 0);
		if ((double)table.untracked > cases[c].limit * flows)
			fail_msg("%u %%: %lu of %u flows are untracked", cases[c].percent,
				 (unsigned long)table.untracked, flows);
		close_table(&table);
	}
}

/* SYNs push out SYNs, the oldest of their buckets first, and never anything else. */
static void test_syn_flood(void **state)
{
	const uint32_t capacity = 1u << 14, kept = capacity / 2;
	static const enum connection_state states[] = { CONNECTION_ESTABLISHED, CONNECTION_CLOSING,
							CONNECTION_DATAGRAM };
	uint64_t *hashes = calloc(kept, sizeof(*hashes));
	struct connection_table table;
	uint64_t random = 13, lost = 0;

	(void)state;
	assert_non_null(hashes);
	open_table(&table, capacity, 900, 900);
	for (uint32_t i = 0; i < kept; i++) {
		hashes[i] = test_random(&random);
		if (connection_insert(&table, hashes[i], states[i % 3], (uint16_t)i, 7, 100) ==
		    NULL)
			hashes[i] = 0;
	}
	lost = table.untracked;
	for (uint32_t i = 0; i < 20 * capacity; i++)
		connection_insert(&table, test_random(&random), CONNECTION_SYN, 1, 1,
				  100 + i / (capacity / 2));
	for (uint32_t i = 0; i < kept; i++) {
		const struct connection *entry = connection_find(&table, hashes[i], 150);

		if (hashes[i] == 0)
			continue;
		if (entry == NULL || entry->backend != (uint16_t)i || entry->state != states[i % 3])
			fail_msg("flow %u was pushed out", i);
	}
	/* A new connection still finds a place by pushing out a SYN. */
	assert_true(table.evictions > 15 * capacity);
	assert_true(table.untracked - lost < 20 * capacity / 100 * 3);
	close_table(&table);
	free(hashes);
}

static void test_no_false_hit(void **state)
{
	struct connection_table table;
	uint64_t random = 14;

	(void)state;
	open_table(&table, 1u << 15, 900, 60);
	while (table.count < slot_count(&table))
		connection_insert(&table, test_random(&random), CONNECTION_ESTABLISHED, 1, 1, 0);
	random = UINT64_C(1) << 60;
	for (uint32_t i = 0; i < 10000000; i++)
		if (connection_find(&table, test_random(&random), 0) != NULL)
			fail_msg("lookup %u found another flow's entry", i);
	/* An empty entry is none, whatever the hash. */
	memset(table.buckets, 0, connection_table_size(1u << 15));
	for (uint64_t hash = 0; hash < 100000; hash++)
		assert_null(connection_find(&table, hash, 0));
	close_table(&table);
}

/* ---- the model: what the header says, on a plain array of slots ---- */

#define MODEL_KEYS 3000
#define DEAD_KEY   MODEL_KEYS /* owns what a flow left behind that has a new entry */

struct model_flow {
	uint64_t hash;
	uint32_t second_bucket;
	uint32_t slot; /* or NO_SLOT */
	uint64_t last_seen;
	enum connection_state state;
	uint16_t backend;
	uint16_t generation;
};

struct model {
	struct connection_table table;
	struct model_flow flows[MODEL_KEYS + 1];
	uint32_t owner[1024]; /* key by slot */
	uint64_t second;
	uint64_t random;
	uint64_t count, evictions, untracked;
};

static bool model_is_live(const struct model *model, const struct model_flow *flow)
{
	return flow->slot != NO_SLOT &&
	       model->second - flow->last_seen <= model->table.idle[flow->state];
}

/* The i-th of the eight slots of a flow's two buckets. */
static uint32_t model_slot(const struct model *model, const struct model_flow *flow, uint32_t i)
{
	uint32_t bucket =
		i < BUCKET_ENTRIES ? first_bucket(&model->table, flow->hash) : flow->second_bucket;

	return bucket * BUCKET_ENTRIES + i % BUCKET_ENTRIES;
}

/* Whether the slot is one that a new flow may get, by the header's rules. */
static bool model_allows(const struct model *model, const struct model_flow *flow, uint32_t chosen)
{
	uint64_t oldest = UINT64_MAX;
	bool has_free[2] = { false, false };

	for (uint32_t i = 0; i < 2 * BUCKET_ENTRIES; i++) {
		uint32_t key = model->owner[model_slot(model, flow, i)];

		if (key == NO_KEY || !model_is_live(model, &model->flows[key]))
			has_free[i / BUCKET_ENTRIES] = true;
		else if (model->flows[key].state == CONNECTION_SYN &&
			 model->flows[key].last_seen < oldest)
			oldest = model->flows[key].last_seen;
	}
	if (!has_free[0] && !has_free[1] && oldest == UINT64_MAX)
		return chosen == NO_SLOT;
	for (uint32_t i = 0; i < 2 * BUCKET_ENTRIES; i++) {
		uint32_t slot = model_slot(model, flow, i), key = model->owner[slot];
		bool is_free = key == NO_KEY || !model_is_live(model, &model->flows[key]);

		if (slot != chosen)
			continue;
		if (has_free[0])
			return is_free && i < BUCKET_ENTRIES;
		if (has_free[1])
			return is_free;
		return model->flows[key].state == CONNECTION_SYN &&
		       model->flows[key].last_seen == oldest;
	}
	return false;
}

static void model_insert(struct model *model, uint32_t key, enum connection_state state)
{
	struct model_flow *flow = &model->flows[key];
	uint16_t backend = (uint16_t)test_random(&model->random);
	uint16_t generation = (uint16_t)test_random(&model->random);
	struct connection *entry = connection_insert(&model->table, flow->hash, state, backend,
						     generation, model->second);
	uint32_t slot = entry != NULL ? slot_of(&model->table, entry) : NO_SLOT;
	uint32_t previous;

	if (!model_allows(model, flow, slot))
		fail_msg("key %u may not be put into slot %d", key, (int)slot);
	if (slot == NO_SLOT) {
		model->untracked++;
		return;
	}
	previous = model->owner[slot];
	if (previous == NO_KEY)
		model->count++;
	else if (model_is_live(model, &model->flows[previous]))
		model->evictions++;
	if (flow->slot != NO_SLOT)
		model->owner[flow->slot] = DEAD_KEY;
	if (previous != NO_KEY)
		model->flows[previous].slot = NO_SLOT;
	model->owner[slot] = key;
	flow->slot = slot;
	flow->state = state;
	flow->backend = backend;
	flow->generation = generation;
	flow->last_seen = model->second;
}

static void model_check_flow(struct model *model, uint32_t key)
{
	const struct model_flow *flow = &model->flows[key];
	const struct connection *entry = connection_find(&model->table, flow->hash, model->second);

	if ((entry != NULL) != model_is_live(model, flow))
		fail_msg("second %lu: key %u is %s", (unsigned long)model->second, key,
			 entry != NULL ? "found dead" : "lost");
	if (entry != NULL &&
	    (slot_of(&model->table, entry) != flow->slot || entry->state != flow->state ||
	     entry->backend != flow->backend || entry->generation != flow->generation))
		fail_msg("key %u has another entry", key);
}

/* A packet of the flow: found and changed, or inserted. */
static void model_packet(struct model *model)
{
	static const enum connection_state states[] = { CONNECTION_SYN, CONNECTION_SYN,
							CONNECTION_ESTABLISHED, CONNECTION_CLOSING,
							CONNECTION_DATAGRAM };
	uint32_t key = test_random_below(&model->random, MODEL_KEYS);
	enum connection_state state = states[test_random_below(&model->random, 5)];
	struct model_flow *flow = &model->flows[key];
	struct connection *entry;

	model_check_flow(model, key);
	if (!model_is_live(model, flow)) {
		model_insert(model, key, state);
		model_check_flow(model, key);
		return;
	}
	entry = connection_find(&model->table, flow->hash, model->second);
	entry->state = (uint8_t)state;
	entry->last_seen = (uint16_t)model->second;
	flow->state = state;
	flow->last_seen = model->second;
}

static void model_sweep(struct model *model, uint32_t budget)
{
	uint64_t due = model->table.sweep_due;

	connection_sweep(&model->table, model->second, budget);
	if (due > 0 && budget < due)
		assert_true(model->table.sweep_due >= due - budget);
	for (uint32_t slot = 0; slot < slot_count(&model->table); slot++) {
		uint32_t key = model->owner[slot];

		if (key == NO_KEY || slot_at(&model->table, slot)->state != CONNECTION_EMPTY)
			continue;
		if (model_is_live(model, &model->flows[key]))
			fail_msg("key %u was swept alive", key);
		model->flows[key].slot = NO_SLOT;
		model->owner[slot] = NO_KEY;
		model->count--;
	}
}

static void model_check(struct model *model)
{
	assert_int_equal(model->table.count, model->count);
	assert_int_equal(count_used(&model->table), model->count);
	assert_int_equal(model->table.evictions, model->evictions);
	assert_int_equal(model->table.untracked, model->untracked);
	for (uint32_t key = 0; key < MODEL_KEYS; key++)
		model_check_flow(model, key);
}

static void run_model(uint32_t tcp_idle, uint32_t udp_idle, uint32_t step, uint64_t start)
{
	struct model *model = calloc(1, sizeof(*model));

	assert_non_null(model);
	open_table(&model->table, 1024, tcp_idle, udp_idle);
	model->second = start;
	model->random = start + step;
	for (uint32_t key = 0; key < MODEL_KEYS; key++) {
		model->flows[key].hash = test_random(&model->random);
		model->flows[key].slot = NO_SLOT;
		model->flows[key].second_bucket =
			second_bucket(&model->table, model->flows[key].hash);
	}
	model->table.count = 0;
	model->flows[DEAD_KEY].slot = NO_SLOT;
	memset(model->owner, 0xff, sizeof(model->owner));
	for (uint32_t operation = 0; operation < 250000; operation++) {
		uint32_t what = test_random_below(&model->random, 1000);

		if (what < 960)
			model_packet(model);
		else if (what < 985)
			model->second += test_random_below(&model->random, step);
		else if (what < 999)
			model_sweep(model, test_random_below(&model->random, 100));
		else
			model_sweep(model, UINT32_MAX);
		if (operation % 4096 == 0)
			model_check(model);
	}
	model_check(model);
	assert_true(model->evictions > 50);
	assert_true(model->untracked > 5);
	close_table(&model->table);
	free(model);
}

static void test_against_model(void **state)
{
	(void)state;
	run_model(900, 60, 4, 65536 - 1000);
	run_model(900, 60, 100, 1);
	run_model(CONNECTION_MAX_IDLE, CONNECTION_MAX_IDLE, 300, 12345);
	run_model(1, 1, 3, UINT32_MAX - UINT64_C(500));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_candidates_differ),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_dead_entries_are_replaced),
		cmocka_unit_test(test_sweep_pace),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_syn_flood),
		cmocka_unit_test(test_no_false_hit),
		cmocka_unit_test(test_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
