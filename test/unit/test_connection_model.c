/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection table against a plain list of flows, over a million random operations. */
#include "connection_setup.h"

#define MODEL_KEYS 3000
#define NO_KEY	   UINT32_MAX
#define OPERATIONS (TEST_DIVISOR == 1 ? 250000 : 60000) /* of each of four runs */

struct model_flow {
	uint64_t hash;
	bool is_tracked; /* it has an entry, if it is live */
	uint64_t last_seen;
	enum connection_state state;
	uint16_t backend;
	uint16_t generation;
};

struct model {
	struct connection_table table;
	struct model_flow flows[MODEL_KEYS];
	uint32_t keys; /* that packets come of */
	uint64_t second;
	uint64_t random;
	struct outcome {
		uint64_t evictions, untracked, searches, failed_searches;
	} outcome;
};

static bool model_is_live(const struct model *model, const struct model_flow *flow)
{
	return flow->is_tracked &&
	       model->second - flow->last_seen <= (uint64_t)model->table.idle[flow->state];
}

/* A hash holds its key in bits that do not tell the bucket of so small a table. */
static uint64_t hash_with_key(uint64_t random, uint32_t key)
{
	return (random & ~UINT64_C(0xfff)) | key;
}

/* The key of an entry in use, NO_KEY for one that is not or whose flow is dead. */
static uint32_t key_of(const struct model *model, const struct connection *entry)
{
	uint32_t key = entry->hash & 0xfff;

	if (entry->state == CONNECTION_EMPTY)
		return NO_KEY;
	assert_true(entry->hash == model->flows[key].hash);
	return model_is_live(model, &model->flows[key]) ? key : NO_KEY;
}

/* Whether a bucket has an entry that is free by the model's own account. */
static bool has_free(const struct model *model, const struct connection_bucket *bucket)
{
	for (int i = 0; i < BUCKET_ENTRIES; i++)
		if (key_of(model, &bucket->entries[i]) == NO_KEY)
			return true;
	return false;
}

/* Whether moving one entry, or two, would free one of the flow's: these must be found, since there
 * are only 8 + 32 buckets to look at. */
static bool is_room_near(const struct model *model, const struct connection_bucket *bucket,
			 int moves)
{
	if (has_free(model, bucket))
		return true;
	for (int i = 0; i < BUCKET_ENTRIES && moves > 0; i++) {
		uint64_t hash = bucket->entries[i].hash;
		const struct connection_bucket *other =
			connection_first_bucket(&model->table, hash);

		if (other == bucket)
			other = connection_second_bucket(&model->table, hash);
		if (is_room_near(model, other, moves - 1))
			return true;
	}
	return false;
}

/* What an insertion must do, by the header's rules, found before it is done. */
struct expectation {
	bool has_room;	    /* in one of the two buckets */
	bool has_room_near; /* behind one or two moves */
	bool may_move;
	bool is_short;	 /* searching pauses and the first bucket has a SYN: that one goes */
	uint32_t victim; /* the one to go when there is no room; NO_KEY: none may */
	uint64_t victims_age;
};

static int class_of(enum connection_state state)
{
	switch (state) {
	case CONNECTION_SYN:
		return 2;
	case CONNECTION_TCP_ONCE:
	case CONNECTION_UDP_ONCE:
	case CONNECTION_OTHER_ONCE:
		return 1;
	default:
		return 0;
	}
}

static struct expectation expect_of(const struct model *model, uint32_t key,
				    enum connection_state state)
{
	const struct connection_table *table = &model->table;
	const struct connection_bucket *buckets[2] = {
		connection_first_bucket(table, model->flows[key].hash),
		connection_second_bucket(table, model->flows[key].hash),
	};
	struct expectation expected = { .victim = NO_KEY, .may_move = table->search_skip == 0 };
	int lowest = state == CONNECTION_SYN ? 2 : 1;

	for (int i = 0; i < 2; i++) {
		expected.has_room |= has_free(model, buckets[i]);
		expected.has_room_near |= is_room_near(model, buckets[i], 2);
	}
	/* What the flow left behind itself comes before all. */
	if (connection_look_up(table, model->flows[key].hash) != NULL)
		return expected;
	for (int i = 0; i < BUCKET_ENTRIES && !has_free(model, buckets[0]); i++) {
		uint32_t other = key_of(model, &buckets[0]->entries[i]);

		expected.is_short |=
			!expected.may_move && model->flows[other].state == CONNECTION_SYN;
	}
	expected.has_room &= !expected.is_short;
	for (int i = 0; i < (expected.is_short ? 4 : 8) && !expected.has_room; i++) {
		uint32_t other = key_of(model, &buckets[i / 4]->entries[i % 4]);
		const struct model_flow *flow = &model->flows[other];
		int its = class_of(flow->state);
		uint64_t age = model->second - flow->last_seen;

		if (its < lowest ||
		    (expected.victim != NO_KEY && its == lowest && age <= expected.victims_age))
			continue;
		lowest = its;
		expected.victim = other;
		expected.victims_age = age;
	}
	return expected;
}

static void model_insert(struct model *model, uint32_t key, enum connection_state state)
{
	struct model_flow *flow = &model->flows[key];
	struct expectation expected = expect_of(model, key, state);
	uint64_t moves = model->table.moves;
	uint16_t backend = (uint16_t)test_random(&model->random);
	uint16_t generation = (uint16_t)test_random(&model->random);
	const struct connection *entry = connection_insert(&model->table, flow->hash, state,
							   backend, generation, model->second);
	bool moved = model->table.moves > moves;

	assert_false(moved && (expected.has_room || !expected.may_move));
	model->outcome.searches += moved;
	if (!expected.has_room && !moved) {
		if (expected.may_move && expected.has_room_near)
			fail_msg("key %u: room was not found", key);
		model->outcome.failed_searches += expected.may_move;
		assert_int_equal(entry == NULL, expected.victim == NO_KEY);
		if (expected.victim != NO_KEY) {
			model->flows[expected.victim].is_tracked = false;
			assert_null(connection_find(
				&model->table, model->flows[expected.victim].hash, model->second));
			model->outcome.evictions++;
		}
	}
	if (entry == NULL) {
		model->outcome.untracked++;
		return;
	}
	*flow = (struct model_flow){ .hash = flow->hash,
				     .is_tracked = true,
				     .last_seen = model->second,
				     .state = state,
				     .backend = backend,
				     .generation = generation };
}

static void model_check_flow(struct model *model, uint32_t key)
{
	const struct model_flow *flow = &model->flows[key];
	const struct connection *entry = connection_find(&model->table, flow->hash, model->second);

	if ((entry != NULL) != model_is_live(model, flow))
		fail_msg("second %lu: key %u is %s", (unsigned long)model->second, key,
			 entry != NULL ? "found dead" : "lost");
	if (entry != NULL && (entry->state != flow->state || entry->backend != flow->backend ||
			      entry->generation != flow->generation ||
			      entry->last_seen != (uint16_t)flow->last_seen))
		fail_msg("key %u has another entry", key);
}

/* The flow is seen: perhaps in another state, perhaps with another backend. */
static void model_hit(struct model *model, uint32_t key, enum connection_state state)
{
	struct model_flow *flow = &model->flows[key];
	struct connection *entry = connection_find(&model->table, flow->hash, model->second);
	bool is_home_free = has_free(model, connection_first_bucket(&model->table, flow->hash));
	bool is_later = flow->last_seen != model->second;

	if (test_random_below(&model->random, 4) == 0) {
		entry->backend = flow->backend = (uint16_t)test_random(&model->random);
		entry->generation = flow->generation = (uint16_t)test_random(&model->random);
	}
	connection_touch(&model->table, entry, state, model->second);
	flow->state = state;
	flow->last_seen = model->second;
	entry = connection_find(&model->table, flow->hash, model->second);
	assert_non_null(entry);
	if (is_home_free && is_later)
		assert_true(
			is_in_bucket(entry, connection_first_bucket(&model->table, flow->hash)));
}

static void model_packet(struct model *model)
{
	static const enum connection_state states[] = {
		CONNECTION_SYN,	     CONNECTION_SYN,	    CONNECTION_TCP_ONCE,
		CONNECTION_UDP_ONCE, CONNECTION_OTHER_ONCE, CONNECTION_ESTABLISHED,
		CONNECTION_CLOSING,  CONNECTION_UDP,	    CONNECTION_OTHER
	};
	uint32_t key = test_random_below(&model->random, model->keys);
	enum connection_state state =
		states[test_random_below(&model->random, sizeof(states) / sizeof(states[0]))];

	model_check_flow(model, key);
	if (model_is_live(model, &model->flows[key]))
		model_hit(model, key, state);
	else
		model_insert(model, key, state);
	model_check_flow(model, key);
}

static void model_check(struct model *model)
{
	check_table(&model->table);
	assert_int_equal(model->table.evictions, model->outcome.evictions);
	assert_int_equal(model->table.untracked, model->outcome.untracked);
	for (uint32_t key = 0; key < MODEL_KEYS; key++)
		model_check_flow(model, key);
}

/* Time goes on: by a little, and now and then by more than the stored clock holds. */
static void model_wait(struct model *model, uint32_t step)
{
	static const uint32_t jumps[] = { 61, 1000, 32767, 32768, 65535, 65536, 65537, 200000 };

	if (test_random_below(&model->random, 500) == 0)
		model->second += jumps[test_random_below(&model->random, 8)];
	else
		model->second += test_random_below(&model->random, step);
	connection_sweep(&model->table, model->second, test_random_below(&model->random, 4));
}

static struct outcome run_model(struct connection_settings settings, uint32_t keys, uint32_t step,
				uint64_t start)
{
	struct model *model = calloc(1, sizeof(*model));
	struct outcome outcome;

	assert_non_null(model);
	open_table(&model->table, 1024);
	connection_table_configure(&model->table, &settings);
	model->keys = keys;
	model->second = start;
	connection_sweep(&model->table, start, 0);
	model->random = start + step;
	for (uint32_t key = 0; key < MODEL_KEYS; key++)
		model->flows[key].hash = hash_with_key(test_random(&model->random), key);
	for (uint32_t operation = 0; operation < OPERATIONS; operation++) {
		uint32_t what = test_random_below(&model->random, 1000);

		if (what < 975)
			model_packet(model);
		else if (what < 990)
			model_wait(model, step);
		else
			connection_sweep(&model->table, model->second,
					 what < 999 ? test_random_below(&model->random, 100)
						    : UINT32_MAX);
		if (operation % 2048 == 0)
			model_check(model);
	}
	model_check(model);
	outcome = model->outcome;
	close_table(&model->table);
	free(model);
	return outcome;
}

/* A table that is too small by far, one that is nearly full, long idle times with a crowd that just
 * does not fit, and short ones. */
static void test_against_model(void **state)
{
	const struct connection_settings defaults = CONNECTION_DEFAULT_SETTINGS;
	const struct connection_settings longest = { 32768, 32768, 32768, 32768, 32768, 0 };
	const struct connection_settings shortest = { 10, 2, 3, 10, 20, 0 };
	struct outcome outcome;

	(void)state;
	outcome = run_model(defaults, 3000, 4, 65536 - 1000);
	assert_true(outcome.evictions > 50000 / TEST_DIVISOR);
	assert_true(outcome.untracked > 50000 / TEST_DIVISOR);
	outcome = run_model(defaults, 1000, 4, 1);
	assert_true(outcome.searches > 3000 / TEST_DIVISOR);
	outcome = run_model(longest, 1200, 300, 12345);
	assert_true(outcome.evictions > 10000 / TEST_DIVISOR);
	outcome = run_model(shortest, 3000, 3, UINT32_MAX - UINT64_C(500));
	assert_true(outcome.searches > 8000 / TEST_DIVISOR);
	/* A search may also find nothing. */
	assert_true(TEST_DIVISOR > 1 || outcome.failed_searches > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_model) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
