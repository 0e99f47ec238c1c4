/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection table at its limits: sizes, expiry over the clock's wrap, the sweep, who gives way
 * to whom. */
#include "connection_setup.h"

#define EVERY_KEPT CONNECTION_ESTABLISHED, CONNECTION_CLOSING, CONNECTION_UDP, CONNECTION_OTHER

static const enum connection_state kept_states[] = { EVERY_KEPT };
static const enum connection_state once_states[] = { CONNECTION_TCP_ONCE, CONNECTION_UDP_ONCE,
						     CONNECTION_OTHER_ONCE };

static void test_size(void **state)
{
	static const uint32_t odd[] = { 8, 9, 100, 1025, 1000000 };
	struct connection_table table;

	(void)state;
	assert_int_equal(connection_table_size(CONNECTION_MIN_CAPACITY), 1024 * 16);
	assert_int_equal(connection_table_size(1025), 1028 * 16);
	assert_int_equal(connection_table_size(1000000), 16000000);
	assert_int_equal(connection_table_size(CONNECTION_MAX_CAPACITY), (1u << 23) * 16);
	/* Every entry of a table of any size can be used. */
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		uint64_t random = 1;

		open_table(&table, odd[i]);
		assert_in_range(slot_count(&table), odd[i], odd[i] + 3);
		for (uint32_t flow = 0; flow < 2 * odd[i] + 100; flow++)
			connection_insert(&table, test_random(&random), CONNECTION_UDP, 1, 1, 5);
		assert_in_range(table.count, slot_count(&table) - slot_count(&table) / 32,
				slot_count(&table));
		check_table(&table);
		close_table(&table);
	}
}

/* Both buckets within the table, never the same, and spread evenly. */
static void test_candidates(void **state)
{
	static const uint64_t special[] = { 0,
					    1,
					    UINT64_MAX,
					    UINT32_MAX,
					    UINT64_C(1) << 32,
					    (UINT64_C(1) << 32) - 1,
					    UINT64_C(0xffffffff) << 32,
					    UINT64_C(0x80000000) };
	static const uint32_t capacities[] = { 8, 12, 1024, 1 << 16, 1000000, 1 << 20 };
	uint64_t random = 9;

	(void)state;
	for (size_t c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
		struct connection_table table;
		uint64_t distances = 0;

		open_table(&table, capacities[c]);
		for (uint32_t i = 0; i < 1000; i++) {
			uint64_t hash = i < 8 ? special[i] : test_random(&random);
			uint64_t first =
				(uint64_t)(connection_first_bucket(&table, hash) - table.buckets);
			uint64_t second =
				(uint64_t)(connection_second_bucket(&table, hash) - table.buckets);

			assert_int_not_equal(first, second);
			assert_true(first < table.bucket_count && second < table.bucket_count);
			distances |= UINT64_C(1) << (second - first) % 64;
		}
		/* Not one partner for each bucket: a crowd spreads over the whole table. */
		if (capacities[c] >= 1u << 12)
			assert_int_equal(__builtin_popcountll(distances), 64);
		close_table(&table);
	}
}

/* An entry lives for its idle time and not a second longer, wherever the clock stands. */
static void test_expiry(void **state)
{
	static const uint64_t starts[] = {
		0, 1, 32767, 65535, 65536, 3 * 65536 - 60, (1u << 31) - 1, UINT32_MAX
	};
	static const struct connection_settings settings = {
		.tcp_idle = 900,
		.tcp_syn_idle = 1,
		.tcp_closing_idle = 120,
		.udp_idle = CONNECTION_MAX_IDLE,
		.other_idle = 7,
	};
	static const uint64_t idle[CONNECTION_STATE_COUNT] = {
		[CONNECTION_SYN] = 1,
		[CONNECTION_TCP_ONCE] = 900,
		[CONNECTION_UDP_ONCE] = CONNECTION_MAX_IDLE,
		[CONNECTION_OTHER_ONCE] = 7,
		[CONNECTION_ESTABLISHED] = 900,
		[CONNECTION_CLOSING] = 120,
		[CONNECTION_UDP] = CONNECTION_MAX_IDLE,
		[CONNECTION_OTHER] = 7,
	};

	(void)state;
	for (int s = CONNECTION_EMPTY + 1; s < CONNECTION_STATE_COUNT; s++) {
		for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
			uint64_t start = starts[i], end = start + idle[s];
			struct connection_table table;
			struct connection *entry;

			open_table(&table, CONNECTION_MIN_CAPACITY);
			connection_table_configure(&table, &settings);
			connection_sweep(&table, start, UINT32_MAX);
			entry = connection_insert(&table, 77, (enum connection_state)s, 3, 4,
						  start);
			assert_non_null(entry);
			assert_ptr_equal(connection_find(&table, 77, start), entry);
			assert_ptr_equal(connection_find(&table, 77, end), entry);
			assert_null(connection_find(&table, 77, end + 1));
			assert_int_equal(table.count, 1);
			assert_int_equal(table.states[s], 1);

			connection_sweep(&table, end, UINT32_MAX);
			assert_ptr_equal(connection_find(&table, 77, end), entry);
			/* All buckets, whatever is due. */
			connection_sweep(&table, end + 1, UINT32_MAX);
			connection_sweep(&table, end + CONNECTION_SWEEP_SECONDS, UINT32_MAX);
			assert_int_equal(table.count, 0);
			assert_int_equal(table.states[s], 0);
			check_table(&table);
			close_table(&table);
		}
	}
}

/* A clock that jumps, as that of a capture may: no entry comes back to life, and none that is to
 * live is lost. */
static void test_clock_jumps(void **state)
{
	static const uint64_t jumps[] = { 1,	 59,	60,    61,     899,	900,
					  901,	 32767, 32768, 32769,  65535,	65536,
					  65537, 66436, 66437, 131072, 1u << 30 };
	static const uint64_t starts[] = { 0, 65535, 1234567 };

	(void)state;
	for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
		for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
			struct connection_table table;
			uint64_t second = starts[s];

			open_table(&table, CONNECTION_MIN_CAPACITY);
			connection_sweep(&table, second, UINT32_MAX);
			connection_insert(&table, 5, CONNECTION_ESTABLISHED, 1, 1, second);
			second += jumps[i];
			connection_sweep(&table, second, 16);
			assert_int_equal(connection_find(&table, 5, second) != NULL,
					 jumps[i] <= 900);
			close_table(&table);
		}
	}
}

/* Frames with long gaps leave the sweep hardly a bucket each, and still nothing comes back. */
static void test_slow_clock(void **state)
{
	struct connection_table table;
	struct connection_settings settings = CONNECTION_DEFAULT_SETTINGS;

	(void)state;
	settings.tcp_idle = CONNECTION_MAX_IDLE;
	open_table(&table, 1u << 16);
	connection_table_configure(&table, &settings);
	connection_sweep(&table, 0, 0);
	for (uint64_t hash = 0; hash < 1000; hash++)
		connection_insert(&table, hash << 32 | hash << 20, CONNECTION_ESTABLISHED, 1, 1, 0);
	for (uint64_t second = 30; second < 200000; second += 30) {
		connection_sweep(&table, second, 1);
		for (uint64_t hash = 0; hash < 1000; hash += 111)
			assert_int_equal(connection_find(&table, hash << 32 | hash << 20, second) !=
						 NULL,
					 second <= CONNECTION_MAX_IDLE);
	}
	assert_int_equal(table.count, 0);
	close_table(&table);
}

/* A dead entry makes room without being swept first, and is no eviction. */
static void test_dead_entries_are_replaced(void **state)
{
	struct connection_table table;
	uint64_t random = 10;

	(void)state;
	open_table(&table, CONNECTION_MIN_CAPACITY);
	for (uint32_t i = 0; i < 20000; i++)
		connection_insert(&table, test_random(&random), CONNECTION_ESTABLISHED, 1, 1, 5);
	assert_in_range(table.count, 1024 - 1024 / 32, 1024);
	assert_int_equal(table.untracked, 20000 - table.count);
	for (uint32_t i = 0; i < 20000; i++)
		connection_insert(&table, test_random(&random), CONNECTION_SYN, 1, 1, 5 + 901);
	assert_in_range(table.states[CONNECTION_SYN], 1020, 1024);
	assert_int_equal(table.evictions + table.states[CONNECTION_SYN], 20000);
	check_table(&table);
	close_table(&table);
}

/* A flow that died and comes back takes its own entry, so that it never has two; not even when
 * idle times become longer. */
static void test_a_flow_has_one_entry(void **state)
{
	struct connection_settings settings = CONNECTION_DEFAULT_SETTINGS;
	struct connection_table table;
	uint64_t random = 15, hashes[500];

	(void)state;
	open_table(&table, CONNECTION_MIN_CAPACITY);
	for (uint32_t i = 0; i < 900; i++) {
		uint64_t hash = test_random(&random);

		hashes[i % 500] = hash;
		connection_insert(&table, hash, CONNECTION_ESTABLISHED, 1, 1, 5);
	}
	for (uint32_t i = 0; i < 500; i++)
		connection_insert(&table, hashes[i], CONNECTION_SYN, 2, 2, 5 + 901);
	assert_int_equal(table.count, 900);
	assert_int_equal(table.evictions + table.untracked, 0);
	settings.tcp_idle = 2000;
	connection_table_configure(&table, &settings);
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(connection_find(&table, hashes[i], 5 + 901)->backend, 2);
	check_table(&table);
	close_table(&table);
}

/* An entry that is no longer in use hides none that is, whatever hash it still holds. */
static void test_what_is_free_hides_nothing(void **state)
{
	struct connection_table table;

	(void)state;
	for (int bucket = 0; bucket < 2; bucket++) {
		for (int i = 0; i < BUCKET_ENTRIES; i++) {
			const uint64_t hash = UINT64_C(0x1234567812345678);
			struct connection *entry;

			open_table(&table, CONNECTION_MIN_CAPACITY);
			entry = bucket == 0 ? &connection_first_bucket(&table, hash)->entries[i]
					    : &connection_second_bucket(&table, hash)->entries[i];
			for (int other = 0; other < BUCKET_ENTRIES; other++) {
				connection_first_bucket(&table, hash)->entries[other].hash = hash;
				connection_second_bucket(&table, hash)->entries[other].hash = hash;
			}
			assert_null(connection_find(&table, hash, 0));
			*entry = (struct connection){ .hash = hash, .state = CONNECTION_UDP };
			assert_ptr_equal(connection_find(&table, hash, 0), entry);
			assert_ptr_equal(connection_look_up(&table, hash), entry);
			close_table(&table);
		}
	}
}

/* Every bucket is visited within CONNECTION_SWEEP_SECONDS, at whatever pace the calls come. */
static void test_sweep_pace(void **state)
{
	static const uint32_t capacities[] = { 8, 12, 100, 1024, 1u << 16 };
	struct connection_settings settings = CONNECTION_DEFAULT_SETTINGS;

	(void)state;
	settings.udp_idle = 5;
	for (size_t c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
		struct connection_table table;
		uint64_t random = 11, second = 1000, in_table;

		open_table(&table, capacities[c]);
		connection_table_configure(&table, &settings);
		connection_sweep(&table, second, UINT32_MAX);
		for (uint32_t i = 0; i < 2 * capacities[c]; i++)
			connection_insert(&table, test_random(&random), CONNECTION_UDP, 1, 1,
					  second);
		in_table = table.count;
		assert_true(in_table > capacities[c] / 2);
		second += 6;
		connection_sweep(&table, second, 0);
		assert_int_equal(table.count, in_table);
		for (uint32_t i = 0; i < CONNECTION_SWEEP_SECONDS - 6; i++)
			for (uint32_t call = 0; call < 1 + table.bucket_count / 50; call++)
				connection_sweep(&table, second + i, 1);
		connection_sweep(&table, second + CONNECTION_SWEEP_SECONDS - 6, UINT32_MAX);
		assert_int_equal(table.count, 0);
		check_table(&table);
		assert_int_equal(table.sweep_due, 0);

		/* A clock that stands still or steps back makes nothing due. */
		connection_sweep(&table, second, UINT32_MAX);
		connection_sweep(&table, 0, UINT32_MAX);
		assert_int_equal(table.sweep_due, 0);
		close_table(&table);
	}
}

/* A table of two buckets, so that every flow has the same eight entries to choose from, filled with
 * one entry for each state given, the first one the oldest. */
static void fill_eight(struct connection_table *table, const enum connection_state states[8])
{
	open_table(table, 8);
	for (uint32_t i = 0; i < 8; i++)
		assert_non_null(
			connection_insert(table, 100 + i, states[i], (uint16_t)i, 1, 10 + i));
	assert_int_equal(table->count, 8);
}

#define NONE UINT64_MAX

/* Which of the eight is gone after another flow came; NONE: it had no place. */
static uint64_t push_out(const enum connection_state states[8], enum connection_state newcomer)
{
	struct connection_table table;
	uint64_t gone = NONE;
	const struct connection *entry;

	fill_eight(&table, states);
	entry = connection_insert(&table, 999, newcomer, 7, 7, 20);
	assert_int_equal(table.untracked, entry == NULL);
	assert_int_equal(table.evictions, entry != NULL);
	assert_ptr_equal(connection_find(&table, 999, 20), entry);
	for (uint64_t i = 0; i < 8; i++) {
		if (connection_find(&table, 100 + i, 20) != NULL)
			continue;
		assert_true(gone == NONE);
		gone = i;
	}
	assert_int_equal(gone == NONE, entry == NULL);
	assert_int_equal(table.count, 8);
	check_table(&table);
	close_table(&table);
	return gone;
}

static void test_who_gives_way(void **state)
{
	enum connection_state states[8];

	(void)state;
	/* Flows that are to stay give way to none. */
	for (int newcomer = 1; newcomer < CONNECTION_STATE_COUNT; newcomer++) {
		for (int i = 0; i < 8; i++)
			states[i] = kept_states[i % 4];
		assert_true(push_out(states, (enum connection_state)newcomer) == NONE);
		/* The oldest SYN before all others, to anyone. */
		states[2] = once_states[newcomer % 3];
		states[5] = states[6] = CONNECTION_SYN;
		assert_int_equal(push_out(states, (enum connection_state)newcomer), 5);
		/* A flow seen once: not to a SYN. */
		states[5] = states[6] = once_states[(newcomer + 1) % 3];
		assert_true(push_out(states, (enum connection_state)newcomer) ==
			    (newcomer == CONNECTION_SYN ? NONE : 2));
	}
	for (int i = 0; i < 8; i++)
		states[i] = CONNECTION_SYN;
	assert_int_equal(push_out(states, CONNECTION_SYN), 0);
}

/* The same over the clock's wrap: older is older. */
static void test_oldest_over_the_wrap(void **state)
{
	(void)state;
	for (uint64_t start = 65536 - 12; start < 65536 + 4; start++) {
		struct connection_table table;

		open_table(&table, 8);
		for (uint64_t i = 0; i < 8; i++)
			connection_insert(&table, 100 + (i + 5) % 8, CONNECTION_SYN, 1, 1,
					  start + i);
		for (uint64_t i = 0; i < 8; i++) {
			connection_insert(&table, 200 + i, CONNECTION_ESTABLISHED, 1, 1, start + 8);
			assert_null(connection_find(&table, 100 + (i + 5) % 8, start + 8));
		}
		assert_int_equal(table.evictions, 8);
		close_table(&table);
	}
}

/* A flow in its second bucket goes back to its first when it is seen and there is room again. */
static void test_going_home(void **state)
{
	struct connection_table table;
	uint64_t hashes[800], random = 16;
	uint32_t before;

	(void)state;
	open_table(&table, CONNECTION_MIN_CAPACITY);
	connection_sweep(&table, 10, 0);
	for (uint32_t i = 0; i < 800; i++) {
		hashes[i] = test_random(&random);
		assert_non_null(connection_insert(&table, hashes[i], CONNECTION_ESTABLISHED,
						  (uint16_t)i, 3, 10));
	}
	before = check_table(&table);
	assert_in_range(before, 600, 750);
	connection_sweep(&table, 500, 0);
	/* Half of them die. */
	for (uint32_t i = 0; i < 800; i += 2)
		connection_touch(&table, connection_find(&table, hashes[i], 500),
				 CONNECTION_ESTABLISHED, 500);
	connection_sweep(&table, 1000, 0);
	for (uint32_t i = 0; i < 800; i += 2) {
		struct connection *entry = connection_find(&table, hashes[i], 1000);

		/* In the same second nothing is written, nor moved. */
		entry->last_seen = 1000;
		connection_touch(&table, entry, CONNECTION_ESTABLISHED, 1000);
		assert_ptr_equal(connection_find(&table, hashes[i], 1000), entry);
		connection_touch(&table, entry, CONNECTION_CLOSING, 1001);
	}
	connection_sweep(&table, 1001, UINT32_MAX);
	for (uint32_t i = 0; i < 800; i += 2) {
		struct connection *entry = connection_find(&table, hashes[i], 1002);

		assert_int_equal(entry->backend, i);
		assert_int_equal(entry->state, CONNECTION_CLOSING);
		connection_touch(&table, entry, CONNECTION_CLOSING, 1002);
	}
	/* Four flows of a bucket at most, so almost every one is at home. */
	assert_int_equal(table.count, 400);
	assert_in_range(check_table(&table), 385, 400);
	close_table(&table);
}

/* A mark tells second and state apart, and nothing else: flows of every VIP have the same. */
static void test_marks(void **state)
{
	struct connection entry = { .hash = UINT64_MAX, .backend = UINT16_MAX, .generation = 3 };
	const uint64_t second = 0x12345fffe;

	(void)state;
	entry.last_seen = (uint16_t)second;
	entry.state = CONNECTION_ESTABLISHED;
	for (uint32_t tag = 0; tag <= UINT8_MAX; tag++) {
		entry.vip_tag = (uint8_t)tag;
		assert_int_equal(connection_mark_of(&entry),
				 connection_mark(CONNECTION_ESTABLISHED, second));
	}
	for (uint32_t i = 1; i < CONNECTION_STATE_COUNT; i++)
		for (uint64_t late = 0; late < 3; late++)
			assert_int_equal(
				connection_mark_of(&entry) ==
					connection_mark((enum connection_state)i, second + late),
				i == CONNECTION_ESTABLISHED && late == 0);
	entry.last_seen = UINT16_MAX;
	assert_int_not_equal(connection_mark_of(&entry), CONNECTION_NO_MARK);
}

static void test_no_false_hit(void **state)
{
	struct connection_table table;
	uint64_t random = 14;

	(void)state;
	open_table(&table, 1u << 15);
	for (uint32_t i = 0; i < 1u << 18; i++)
		connection_insert(&table, test_random(&random), kept_states[i % 4], 1, 1, 0);
	assert_true(table.count > slot_count(&table) / 100 * 97);
	random = UINT64_C(1) << 60;
	for (uint32_t i = 0; i < 10000000 / TEST_DIVISOR; i++)
		if (connection_find(&table, test_random(&random), 0) != NULL)
			fail_msg("lookup %u found another flow's entry", i);
	/* An empty entry is none, whatever the hash. */
	memset(table.buckets, 0, connection_table_size(1u << 15));
	for (uint64_t hash = 0; hash < 100000; hash++)
		assert_null(connection_find(&table, hash, 0));
	close_table(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_clock_jumps),
		cmocka_unit_test(test_slow_clock),
		cmocka_unit_test(test_dead_entries_are_replaced),
		cmocka_unit_test(test_a_flow_has_one_entry),
		cmocka_unit_test(test_what_is_free_hides_nothing),
		cmocka_unit_test(test_sweep_pace),
		cmocka_unit_test(test_who_gives_way),
		cmocka_unit_test(test_oldest_over_the_wrap),
		cmocka_unit_test(test_going_home),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_no_false_hit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
