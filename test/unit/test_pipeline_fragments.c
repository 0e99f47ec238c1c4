/* SPDX-License-Identifier: BSD-2-Clause */
/* Fragments in a pipeline, and between two of them: what one NIC's workers do. */
#include <fluxpin/fragment.h>

#include "../../src/dataplane/pipeline_internal.h"
#include "pipeline_workers.h"

#define MF	0x2000
#define WORKERS 2

/* Without tracking, so that no flow is looked for: of that is test_pipeline_fragment_search.c. */
static void publish(struct setup *setup)
{
	for (uint32_t i = 0; i < setup->vip_count; i++) {
		setup->vips[i].fragments = true;
		setup->vips[i].tracking = false;
	}
	setup_publish(setup);
}

static int open_pair(void **state)
{
	struct workers *pair;

	if (workers_open(state, WORKERS) != 0)
		return -1;
	pair = *state;
	for (uint32_t i = 0; i < WORKERS; i++)
		publish(pair->setups[i]);
	return 0;
}

static struct test_packet datagram_of(uint32_t source)
{
	return (struct test_packet){ .source = source,
				     .destination = TEST_VIP,
				     .source_port = 4000,
				     .destination_port = 53,
				     .protocol = IPPROTO_UDP };
}

/* `units` of 8 bytes at `offset` of them; a first one begins with the UDP header. */
static uint32_t queue_fragment(struct setup *setup, uint32_t source, uint32_t offset,
			       uint32_t units, bool more)
{
	struct test_packet packet = datagram_of(source);

	packet.fragment = (uint16_t)(offset | (more ? MF : 0));
	packet.payload = (uint16_t)(units * 8 - 8);
	return setup_queue(setup, &packet);
}

/* Which worker has the client's fragments. */
static uint32_t owner_of(uint32_t source, uint64_t seed)
{
	uint64_t owner = flow_hash_ipv4(htonl(source), htonl(TEST_VIP), 0, 0, IPPROTO_UDP, seed);

	return (uint32_t)((owner & UINT32_MAX) * WORKERS >> 32);
}

/* The n-th client whose fragments are that worker's. */
static uint32_t client_of(uint32_t worker, uint32_t n)
{
	for (uint32_t source = TEST_CLIENT;; source++)
		if (owner_of(source, SETUP_SEED) == worker && n-- == 0)
			return source;
}

static uint32_t run(struct setup *setup)
{
	return pipeline_run(&setup->pipeline, &setup->forwarding, setup->now);
}

/* ---- between workers ---- */

static void test_handed_over(void **state)
{
	struct workers *pair = *state;
	struct setup *one = pair->setups[0], *two = pair->setups[1];
	uint32_t mine = client_of(0, 0), other = client_of(1, 0);

	queue_fragment(one, mine, 0, 4, true);
	queue_fragment(one, other, 4, 4, false);
	queue_fragment(two, other, 0, 4, true);
	workers_run(pair);
	assert_int_equal(one->port.sent_count, 1);
	assert_int_equal(two->port.sent_count, 2);
	assert_int_equal(one->counters.handed_over, 1);
	assert_int_equal(one->counters.received.packets, 1);
	assert_int_equal(two->counters.received.packets, 2);
	assert_int_equal(two->counters.received.bytes, 2 * (14 + 20 + 32));
	assert_int_equal(setup_backend_of(&two->port.sent[0]),
			 setup_backend_of(&two->port.sent[1]));
	assert_int_equal(two->pipeline.wake_count, 0);
}

/* Who sleeps is woken, once, by the one of the others that was first. */
static void test_wakes(void **state)
{
	struct workers *pair = *state;
	struct setup *one = pair->setups[0];

	assert_true(inbox_may_sleep(pair->inboxes[1]));
	for (uint32_t i = 0; i < 5; i++)
		queue_fragment(one, client_of(1, i), 0, 4, true);
	run(one);
	assert_int_equal(one->pipeline.wake_count, 1);
	assert_int_equal(one->pipeline.wakes[0], 1);
	workers_run(pair);
}

/* What the owner of an inbox that is full does not get is dropped where it arrived. */
static void test_full_inbox(void **state)
{
	struct workers *pair = *state;
	struct setup *one = pair->setups[0], *two = pair->setups[1];

	for (uint32_t i = 0; i < WORKERS_INBOX_SLOTS + 3; i++)
		queue_fragment(one, client_of(1, i), 0, 4, true);
	while (run(one) > 0)
		workers_check(pair);
	assert_int_equal(one->counters.dropped[DROP_FRAGMENT_INBOX], 3);
	assert_int_equal(one->counters.received.packets, 3);
	assert_int_equal(one->counters.received.bytes, 3 * (14 + 20 + 32));
	assert_int_equal(one->counters.handed_over, WORKERS_INBOX_SLOTS);
	workers_run(pair);
	assert_int_equal(two->counters.forwarded.packets, WORKERS_INBOX_SLOTS);
}

/* Between two states of the configuration, workers may not agree on whose it is: it is handed over
 * once. */
static void test_handed_over_once(void **state)
{
	struct workers *pair = *state;
	struct setup *one = pair->setups[0], *two = pair->setups[1];
	uint32_t source;

	two->forwarding.hash_seed = SETUP_SEED + 1;
	for (uint32_t n = 0;; n++) {
		source = client_of(1, n);
		if (owner_of(source, SETUP_SEED + 1) == 0)
			break;
	}
	queue_fragment(one, source, 0, 4, true);
	workers_run(pair);
	assert_int_equal(two->port.sent_count, 1);
	assert_int_equal(two->counters.handed_over, 0);
	assert_int_equal(one->counters.received.packets, 0);
}

/* The end: what waits and what is in the inbox is dropped, counted and given back. */
static void test_finish(void **state)
{
	struct workers *pair = *state;
	struct setup *one = pair->setups[0], *two = pair->setups[1];

	for (uint32_t i = 0; i < 100; i++)
		queue_fragment(two, client_of(1, i), 4, 4, true);
	while (run(two) > 0)
		;
	for (uint32_t i = 0; i < 2 * PORT_BATCH + 1; i++)
		queue_fragment(one, client_of(1, i), 0, 4, true);
	while (run(one) > 0)
		;
	pipeline_finish(&two->pipeline);
	workers_check(pair);
	assert_int_equal(two->fragments.held_count, 0);
	assert_int_equal(two->counters.dropped[DROP_FRAGMENT_TIMEOUT], 100);
	assert_int_equal(two->counters.dropped[DROP_FRAGMENT_INBOX], 2 * PORT_BATCH + 1);
	assert_int_equal(two->counters.received.packets, 100 + 2 * PORT_BATCH + 1);
	assert_int_equal(two->counters.received.bytes, (100 + 2 * PORT_BATCH + 1) * (14 + 20 + 32));
	assert_int_equal(two->port.sent_count, 0);
}

/* What the receiving port's frames do not hold is dropped there, not written behind their end. */
static void test_copy_is_too_long(void **state)
{
	struct workers *pair = *state;
	struct setup *two = pair->setups[1];

	two->port.allocate_length = 100;
	queue_fragment(pair->setups[0], client_of(1, 0), 0, 20, true);
	workers_run(pair);
	assert_int_equal(two->counters.dropped[DROP_NO_FRAME], 1);
	assert_int_equal(two->counters.received.packets, 1);
	assert_int_equal(two->port.discarded[DROP_NO_FRAME], 1);
}

/* A NIC that fills every batch leaves room for what others hand over, and the other way round. */
static void test_inbox_is_served_under_load(void **state)
{
	struct workers *pair = *state;
	struct setup *one = pair->setups[0], *two = pair->setups[1];
	const struct test_packet whole = datagram_of(TEST_CLIENT);

	for (uint32_t i = 0; i < 4 * PORT_BATCH; i++)
		setup_queue(two, &whole);
	for (uint32_t i = 0; i < 2 * PORT_BATCH; i++)
		queue_fragment(one, client_of(1, i), 0, 4, true);
	while (run(one) > 0)
		;
	assert_int_equal(one->counters.handed_over, 2 * PORT_BATCH);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_int_equal(run(two), PORT_BATCH);
		workers_check(pair);
		assert_int_equal(two->fragments.count, i * PORT_BATCH / 4);
		assert_int_equal(two->counters.forwarded.packets, i * PORT_BATCH);
	}
	workers_run(pair);
	assert_int_equal(two->counters.forwarded.packets, 6 * PORT_BATCH);
}

/* One batch of copies at a time, also where all of them are dropped. */
static void test_no_frames(void **state)
{
	struct workers *pair = *state;
	struct setup *one = pair->setups[0], *two = pair->setups[1];

	two->port.allocate_limit = 0;
	for (uint32_t i = 0; i < 3 * PORT_BATCH; i++)
		queue_fragment(one, client_of(1, i), 0, 4, true);
	while (run(one) > 0)
		;
	assert_int_equal(run(two), PORT_BATCH);
	workers_check(pair);
	assert_int_equal(two->counters.dropped[DROP_NO_FRAME], PORT_BATCH);
	workers_run(pair);
	assert_int_equal(two->counters.dropped[DROP_NO_FRAME], 3 * PORT_BATCH);
	assert_int_equal(two->counters.received.bytes, 3 * PORT_BATCH * (14 + 20 + 32));
}

/* ---- between load balancers ---- */

#define PEER 12
#define SELF 11

/* Every fragment is the peer's, if it can be reached; else it is decided on here. */
static void test_peers(void **state)
{
	struct setup *setup = ((struct workers *)*state)->setups[0];
	const struct forwarding_pool peers = { .slots = setup->slots[2], .size = SETUP_TABLE_SIZE };

	for (int round = 0; round < 4; round++) {
		uint16_t slot[] = { PEER, PEER, SELF, MAGLEV_NO_BACKEND };

		setup->described[PEER].is_resolved = round != 1;
		publish(setup);
		for (int i = 0; i < SETUP_TABLE_SIZE; i++)
			setup->slots[2][i] = slot[round];
		setup->forwarding.peers = &peers;
		setup->forwarding.peer_self = SELF;
		queue_fragment(setup, client_of(0, (uint32_t)round), 0, 4, true);
		run(setup);
		assert_int_equal(setup->port.sent_count, 1);
		if (round == 0)
			assert_int_equal(setup_backend_of(&setup->port.sent[0]), PEER);
		else
			assert_in_range(setup_backend_of(&setup->port.sent[0]), 1, 4);
		memory_port_clear(&setup->port);
	}
	assert_int_equal(setup->backend_counters[PEER].packets, 1);
	assert_int_equal(setup->backend_counters[PEER].bytes, 14 + 24 + 20 + 32);
	assert_int_equal(setup->vip_counters[setup->vips[1].index].packets, 3);
}

/* ---- after a reload ---- */

/* A VIP and a backend count every fragment, with what its frame is long. */
static void test_counters(void **state)
{
	struct setup *setup = ((struct workers *)*state)->setups[0];
	uint32_t source = client_of(0, 0);
	uint16_t backend;

	setup->vips[1].tracking = true;
	setup_publish(setup);
	queue_fragment(setup, source, 8, 4, false);
	queue_fragment(setup, source, 4, 4, true);
	queue_fragment(setup, source, 0, 4, true);
	workers_run(*state);
	backend = setup_backend_of(&setup->port.sent[0]);
	assert_int_equal(setup->vip_counters[setup->vips[1].index].packets, 3);
	assert_int_equal(setup->vip_counters[setup->vips[1].index].bytes, 3 * (14 + 20 + 32));
	assert_int_equal(setup->backend_counters[backend].packets, 3);
	assert_int_equal(setup->backend_counters[backend].bytes, 3 * (14 + 24 + 20 + 32));
	assert_int_equal(setup->counters.received.bytes, 3 * (14 + 20 + 32));
	assert_int_equal(setup->counters.lookups_miss, 1);
}

/* Sends a first fragment; returns its backend. */
static uint16_t begin_datagram(struct setup *setup, uint32_t source)
{
	queue_fragment(setup, source, 0, 4, true);
	run(setup);
	assert_int_equal(setup->port.sent_count, 1);
	return setup_backend_of(&setup->port.sent[0]);
}

/* The rest of it; returns why it was dropped, or DROP_REASON_COUNT. */
static int end_datagram(struct setup *setup, uint32_t source)
{
	uint64_t before[DROP_REASON_COUNT];

	memcpy(before, setup->counters.dropped, sizeof(before));
	queue_fragment(setup, source, 4, 4, false);
	run(setup);
	memory_port_clear(&setup->port);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		if (setup->counters.dropped[reason] != before[reason])
			return reason;
	return DROP_REASON_COUNT;
}

/* What is still to come of a datagram follows the backend, not its index. */
static void test_backend_goes(void **state)
{
	struct setup *setup = ((struct workers *)*state)->setups[0];
	uint32_t source = client_of(0, 0);
	uint16_t backend = begin_datagram(setup, source);

	setup->described[backend].weight = 0;
	publish(setup);
	assert_int_equal(end_datagram(setup, source), DROP_REASON_COUNT);
	backend = begin_datagram(setup, source);
	setup->described[backend].is_resolved = false;
	publish(setup);
	assert_int_equal(end_datagram(setup, source), DROP_NO_NEXT_HOP);
	setup->described[backend].is_resolved = true;
	publish(setup);
	backend = begin_datagram(setup, source);
	setup->described[backend].is_present = false;
	publish(setup);
	assert_int_equal(end_datagram(setup, source), DROP_NO_BACKEND);
	setup_add_backend(setup, backend, 0);
	publish(setup);
	backend = begin_datagram(setup, source);
	/* Another one under the same index. */
	setup_add_backend(setup, backend, 0);
	publish(setup);
	assert_int_equal(end_datagram(setup, source), DROP_NO_BACKEND);
}

/* What lies beyond the last index is left over from earlier. */
static void test_indexes_end(void **state)
{
	struct setup *setup = ((struct workers *)*state)->setups[0];
	uint32_t source = client_of(0, 0);

	setup->vips[1].pool = 1;
	publish(setup);
	assert_in_range(begin_datagram(setup, source), 11, 12);
	setup->described[11].is_present = setup->described[12].is_present = false;
	setup->backend_limit = 5;
	publish(setup);
	assert_int_equal(end_datagram(setup, source), DROP_NO_BACKEND);
}

/* ---- many at once ---- */

/* Of two datagrams all but the first fragments, which are longer than the way to the backends. */
#define LONG_UNITS 70
#define SMALL_MTU  600
#define PIECES	   64

/* All that waited for one fragment are cut again in its batch, however many they are. */
static void test_all_that_waited_are_cut(void **state)
{
	struct setup *setup = ((struct workers *)*state)->setups[0];
	uint32_t sources[] = { client_of(0, 0), client_of(0, 1) };

	for (uint16_t i = 1; i <= 4; i++)
		setup->described[i].mtu = SMALL_MTU;
	setup_publish(setup);
	for (uint32_t i = 1; i < PIECES; i++)
		for (int j = 0; j < 2; j++)
			queue_fragment(setup, sources[j], LONG_UNITS * i, LONG_UNITS,
				       i + 1 < PIECES);
	while (run(setup) > 0)
		;
	assert_int_equal(setup->fragments.held_count, 2 * (PIECES - 1));
	for (int j = 0; j < 2; j++)
		queue_fragment(setup, sources[j], 0, LONG_UNITS, true);
	workers_run(*state);
	assert_int_equal(setup->counters.forwarded.packets, 2 * PIECES);
	assert_int_equal(setup->counters.parts_sent, 2 * PIECES);
}

/* More frames for the kernel than one call takes. */
static void test_many_to_the_kernel(void **state)
{
	struct setup *setup = ((struct workers *)*state)->setups[0];
	struct test_packet first = datagram_of(client_of(0, 0));

	first.destination_port = 54;
	first.fragment = MF;
	first.payload = 24;
	for (uint32_t i = 1; i < 3 * PORT_BATCH; i++)
		queue_fragment(setup, client_of(0, 0), 4 * i, 4, true);
	while (run(setup) > 0)
		;
	setup_queue(setup, &first);
	workers_run(*state);
	assert_int_equal(setup->counters.slow_path, 3 * PORT_BATCH);
	assert_int_equal(setup->port.delivered_count, 3 * PORT_BATCH);
}

/* Those that are decided make room before those that wait, whatever their age. */
static void test_who_makes_room(void **state)
{
	struct setup *setup = ((struct workers *)*state)->setups[0];

	queue_fragment(setup, client_of(0, 0), 4, 4, true);
	for (uint32_t i = 1; i <= FRAGMENT_MIN_CAPACITY; i++)
		queue_fragment(setup, client_of(0, i), 0, 4, true);
	while (run(setup) > 0)
		;
	assert_int_equal(setup->fragments.count, FRAGMENT_MIN_CAPACITY);
	assert_int_equal(setup->fragments.held_count, 1);
	queue_fragment(setup, client_of(0, 0), 0, 4, true);
	workers_run(*state);
	assert_int_equal(setup->counters.forwarded.packets, FRAGMENT_MIN_CAPACITY + 2);
}

/* ---- what runs out ---- */

/* Two batches' worth of each kind at a time, without a frame that comes. */
static void test_expiry(void **state)
{
	struct setup *setup = ((struct workers *)*state)->setups[0];

	for (uint32_t i = 0; i < 3 * PORT_BATCH; i++)
		queue_fragment(setup, client_of(0, i), i % 3 == 0 ? 0 : 4, 4, true);
	while (run(setup) > 0)
		;
	assert_int_equal(setup->fragments.count, 3 * PORT_BATCH);
	assert_int_equal(setup->fragments.held_count, 2 * PORT_BATCH);
	setup->now += SETUP_FRAGMENT_TIMEOUT;
	assert_int_equal(run(setup), 0);
	assert_int_equal(setup->fragments.count, 3 * PORT_BATCH);
	setup->now++;
	assert_int_equal(run(setup), 0);
	workers_check(*state);
	assert_int_equal(setup->fragments.count, 0);
	assert_int_equal(setup->fragments.held_count, 0);
	assert_int_equal(setup->counters.dropped[DROP_FRAGMENT_TIMEOUT], 2 * PORT_BATCH);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_pair, workers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_handed_over),
		TEST(test_wakes),
		TEST(test_full_inbox),
		TEST(test_handed_over_once),
		TEST(test_finish),
		TEST(test_peers),
		TEST(test_counters),
		TEST(test_backend_goes),
		TEST(test_indexes_end),
		TEST(test_copy_is_too_long),
		TEST(test_inbox_is_served_under_load),
		TEST(test_no_frames),
		TEST(test_all_that_waited_are_cut),
		TEST(test_many_to_the_kernel),
		TEST(test_who_makes_room),
		TEST(test_expiry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
