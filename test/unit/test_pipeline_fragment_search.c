/* SPDX-License-Identifier: BSD-2-Clause */
/* First fragments whose flow is on record at another worker than the one that has its fragments. */
#include <fluxpin/fragment.h>

#include "../../src/dataplane/pipeline_internal.h"
#include "pipeline_workers.h"

#define MF	0x2000
#define WORKERS 3
#define CLIENTS 40

static int open_workers(void **state)
{
	struct workers *workers;

	if (workers_open(state, WORKERS) != 0)
		return -1;
	workers = *state;
	for (uint32_t i = 0; i < WORKERS; i++)
		for (uint32_t vip = 0; vip < workers->setups[i]->vip_count; vip++)
			workers->setups[i]->vips[vip].fragments = true;
	workers_publish(workers);
	return 0;
}

static struct test_packet packet_of(uint32_t source)
{
	return (struct test_packet){ .source = source,
				     .destination = TEST_VIP,
				     .source_port = 4000,
				     .destination_port = 53,
				     .protocol = IPPROTO_UDP };
}

/* `units` of 8 bytes at `offset` of them; a first one begins with the transport header. */
static void queue_fragment(struct setup *setup, const struct test_packet *whole, uint32_t offset,
			   uint32_t units, bool more)
{
	struct test_packet packet = *whole;

	packet.fragment = (uint16_t)(offset | (more ? MF : 0));
	packet.payload = (uint16_t)(units * 8 - (packet.protocol == IPPROTO_TCP ? 20 : 8));
	setup_queue(setup, &packet);
}

/* Three of them, at three workers from `worker` on, the first one last when reversed. */
static void queue_datagram(struct workers *workers, uint32_t worker, uint32_t source,
			   bool is_reversed)
{
	const struct test_packet packet = packet_of(source);

	for (uint32_t i = 0; i < 3; i++) {
		uint32_t part = is_reversed ? 2 - i : i;

		queue_fragment(workers->setups[(worker + i) % WORKERS], &packet, part * 4, 4,
			       part < 2);
	}
}

static uint32_t owner_of(uint32_t source, uint8_t protocol)
{
	uint64_t owner = flow_hash_ipv4(htonl(source), htonl(TEST_VIP), 0, 0, protocol, SETUP_SEED);

	return (uint32_t)((owner & UINT32_MAX) * WORKERS >> 32);
}

/* The n-th client whose fragments are that worker's. */
static struct test_packet client_of(uint32_t worker, uint32_t n)
{
	for (uint32_t source = TEST_CLIENT;; source++)
		if (owner_of(source, IPPROTO_UDP) == worker && n-- == 0)
			return packet_of(source);
}

/* Checks that one worker alone has sent, and all to one backend; returns that. */
static uint16_t sent_by(struct workers *workers, uint32_t worker, uint32_t count)
{
	uint16_t backend = 0;

	for (uint32_t i = 0; i < WORKERS; i++) {
		struct memory_port *port = &workers->setups[i]->port;

		assert_int_equal(port->sent_count, i == worker ? count : 0);
		for (uint32_t k = 0; k < port->sent_count; k++) {
			assert_true(k == 0 || setup_backend_of(&port->sent[k]) == backend);
			backend = setup_backend_of(&port->sent[k]);
		}
		memory_port_clear(port);
	}
	return backend;
}

/* A whole datagram at a worker; returns its backend. */
static uint16_t send_whole(struct workers *workers, uint32_t worker, uint32_t source)
{
	const struct test_packet packet = packet_of(source);

	setup_queue(workers->setups[worker], &packet);
	workers_run(workers);
	return sent_by(workers, worker, 1);
}

/* Wherever fragments arrive and whoever has the flow on record: the owner sends them to the backend
 * of the whole ones, and has it on record itself from then on. */
static void test_found_where_the_flow_is(void **state)
{
	struct workers *workers = *state;
	uint16_t backends[CLIENTS];
	uint32_t moved = 0;

	for (uint32_t i = 0; i < CLIENTS; i++)
		backends[i] = send_whole(workers, i % WORKERS, TEST_CLIENT + i);
	workers_change_choices(workers);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		uint32_t source = TEST_CLIENT + i, owner = owner_of(source, IPPROTO_UDP);
		uint32_t steps = (i + WORKERS - owner) % WORKERS;
		const struct test_packet packet = packet_of(source);

		moved += backends[i] != setup_choice(workers->setups[0], 0, &packet);
		for (uint32_t round = 0; round < 3; round++) {
			uint64_t before = workers_handed_over(workers);

			queue_datagram(workers, i + round, source, i / WORKERS % 2 == 1);
			workers_run(workers);
			assert_int_equal(sent_by(workers, owner, 3), backends[i]);
			/* Two of three arrive elsewhere. There and back again, once. */
			if (round == 0 && steps > 0)
				before += steps + 1;
			assert_int_equal(workers_handed_over(workers), before + 2);
			assert_int_equal(workers->setups[owner]->fragments.count, 0);
		}
	}
	/* The hash alone would have sent these elsewhere. */
	assert_true(moved > CLIENTS / 4);
}

/* A flow that no worker has: once round, then by the hash, and recorded. */
static void test_known_to_nobody(void **state)
{
	struct workers *workers = *state;

	for (uint32_t i = 0; i < CLIENTS; i++) {
		const struct test_packet packet = packet_of(TEST_CLIENT + i);
		uint32_t owner = owner_of(TEST_CLIENT + i, IPPROTO_UDP);
		uint64_t before = workers_handed_over(workers);

		for (uint32_t round = 0; round < 2; round++) {
			queue_datagram(workers, i, TEST_CLIENT + i, false);
			workers_run(workers);
			assert_int_equal(sent_by(workers, owner, 3),
					 setup_choice(workers->setups[0], 0, &packet));
		}
		assert_int_equal(workers_handed_over(workers), before + 4 + WORKERS);
	}
}

/* Where flows are not tracked, of a packet that opens a connection, and by a worker alone. */
static void test_not_looked_for(void **state)
{
	struct workers *workers = *state;
	struct test_packet packet = packet_of(TEST_CLIENT);
	struct setup *setup;
	uint32_t owner;

	packet.protocol = IPPROTO_TCP;
	packet.destination_port = 80;
	packet.tcp_flags = TCP_FLAG_SYN;
	owner = owner_of(TEST_CLIENT, IPPROTO_TCP);
	queue_fragment(workers->setups[owner], &packet, 0, 4, true);
	workers_run(workers);
	sent_by(workers, owner, 1);
	assert_int_equal(workers_handed_over(workers), 0);
	packet = packet_of(TEST_CLIENT);
	owner = owner_of(TEST_CLIENT, IPPROTO_UDP);
	setup = workers->setups[owner];
	for (int round = 0; round < 2; round++) {
		setup->vips[1].tracking = round == 1;
		setup->pipeline.inbox_count = round == 1 ? 0 : WORKERS;
		setup_publish(setup);
		queue_fragment(setup, &packet, 0, 4, true);
		queue_fragment(setup, &packet, 4, 4, false);
		workers_run(workers);
		sent_by(workers, owner, 2);
		assert_int_equal(workers_handed_over(workers), 0);
	}
}

/* One batch of one worker. */
static void run(struct workers *workers, uint32_t worker)
{
	struct setup *setup = workers->setups[worker];

	pipeline_run(&setup->pipeline, &setup->forwarding, setup->now);
	workers_check(workers);
}

/* While the first one is away: the others wait for it; one more of it is a duplicate. */
static void test_others_wait(void **state)
{
	struct workers *workers = *state;
	const struct test_packet packet = packet_of(TEST_CLIENT);
	uint32_t owner = owner_of(TEST_CLIENT, IPPROTO_UDP);
	struct setup *setup = workers->setups[owner];

	queue_fragment(setup, &packet, 0, 4, true);
	run(workers, owner);
	queue_fragment(setup, &packet, 8, 4, false);
	queue_fragment(setup, &packet, 0, 4, true);
	queue_fragment(setup, &packet, 4, 4, true);
	run(workers, owner);
	assert_int_equal(setup->fragments.held_count, 2);
	assert_int_equal(setup->counters.dropped[DROP_FRAGMENT_OVERLAP], 1);
	workers_run(workers);
	sent_by(workers, owner, 3);
	assert_int_equal(setup->fragments.count, 0);
}

/* What overlaps makes an end of the datagram, also of the one that is away. */
static void test_overlap(void **state)
{
	struct workers *workers = *state;
	const struct test_packet packet = packet_of(TEST_CLIENT);
	uint32_t owner = owner_of(TEST_CLIENT, IPPROTO_UDP);
	struct setup *setup = workers->setups[owner];

	queue_fragment(setup, &packet, 0, 4, true);
	run(workers, owner);
	queue_fragment(setup, &packet, 2, 4, true);
	queue_fragment(setup, &packet, 4, 4, false);
	workers_run(workers);
	assert_int_equal(setup->counters.dropped[DROP_FRAGMENT_OVERLAP], 3);
	sent_by(workers, owner, 0);
	assert_int_equal(setup->fragments.away_count, 0);
}

/* Its datagram has run out: it begins another one, with what was found. */
static void test_late(void **state)
{
	struct workers *workers = *state;
	const struct test_packet packet = packet_of(TEST_CLIENT);
	uint32_t owner = owner_of(TEST_CLIENT, IPPROTO_UDP), last = (owner + 2) % WORKERS;
	struct setup *setup = workers->setups[owner];
	uint16_t backend = send_whole(workers, last, TEST_CLIENT);

	assert_int_not_equal(last, owner);
	workers_change_choices(workers);
	queue_fragment(setup, &packet, 4, 4, true);
	queue_fragment(setup, &packet, 0, 4, true);
	run(workers, owner);
	assert_int_equal(setup->fragments.held_count, 1);
	setup->now += 2 * SETUP_FRAGMENT_TIMEOUT;
	run(workers, owner);
	assert_int_equal(setup->counters.dropped[DROP_FRAGMENT_TIMEOUT], 1);
	workers_run(workers);
	assert_int_equal(sent_by(workers, owner, 1), backend);
	queue_fragment(setup, &packet, 8, 4, false);
	queue_fragment(setup, &packet, 4, 4, true);
	workers_run(workers);
	assert_int_equal(sent_by(workers, owner, 2), backend);
	assert_int_equal(setup->fragments.count, 0);
}

/* The backend that was found has gone meanwhile, or another one has its index: the hash decides. */
static void test_found_too_late(void **state)
{
	struct workers *workers = *state;
	const struct test_packet packet = packet_of(TEST_CLIENT);
	uint32_t owner = owner_of(TEST_CLIENT, IPPROTO_UDP), last = (owner + 2) % WORKERS;
	struct setup *setup = workers->setups[owner];
	uint16_t backend = send_whole(workers, last, TEST_CLIENT), choice;

	for (int round = 0; round < 2; round++) {
		setup->described[backend].is_present = false;
		if (round == 1)
			setup_add_backend(setup, backend, 0);
		/* Another one of the same pool, under a name that is not chosen. */
		snprintf(setup->described[backend].name, sizeof(setup->described[0].name), "other");
		setup_publish(setup);
		choice = setup_choice(setup, 0, &packet);
		assert_int_not_equal(choice, backend);
		/* Nothing on record at the owner. */
		setup->now += 86400 * SECOND;
		queue_fragment(setup, &packet, 0, 4, true);
		queue_fragment(setup, &packet, 4, 4, false);
		workers_run(workers);
		assert_int_equal(sent_by(workers, owner, 2), choice);
	}
	assert_true(workers_handed_over(workers) >= 2 * 3);
}

/* Until one worker has nothing left to do. */
static void run_all(struct workers *workers, uint32_t worker)
{
	struct setup *setup = workers->setups[worker];

	while (pipeline_run(&setup->pipeline, &setup->forwarding, setup->now) > 0)
		workers_check(workers);
}

/* With later fragments of the third one's own. */
static void fill_inbox(struct workers *workers, uint32_t worker)
{
	for (uint32_t i = 0; i < WORKERS_INBOX_SLOTS; i++) {
		const struct test_packet packet = client_of(2, i);

		queue_fragment(workers->setups[worker], &packet, 4, 4, true);
	}
	run_all(workers, worker);
}

/* A worker that is behind is not waited for: from the one before it, the owner gets its fragment
 * back, and the hash decides. */
static void test_full_inbox(void **state)
{
	struct workers *workers = *state;
	struct setup *setup = workers->setups[0];
	struct test_packet packet = client_of(0, 0);

	fill_inbox(workers, 1);
	queue_fragment(setup, &packet, 0, 4, true);
	queue_fragment(setup, &packet, 4, 4, false);
	for (int i = 0; i < 2; i++) {
		run_all(workers, 0);
		run_all(workers, 1);
	}
	run_all(workers, 0);
	assert_int_equal(sent_by(workers, 0, 2), setup_choice(setup, 0, &packet));
	/* And is not even asked by the one before it, whose own inbox is full as well. */
	packet = client_of(1, 0);
	queue_fragment(workers->setups[1], &packet, 0, 4, true);
	run_all(workers, 1);
	assert_int_equal(sent_by(workers, 1, 1), setup_choice(setup, 0, &packet));
	for (uint32_t i = 0; i < WORKERS; i++)
		assert_int_equal(workers->setups[i]->counters.dropped[DROP_FRAGMENT_INBOX], 0);
	workers_run(workers);
}

/* Many new flows at once, in order, while the others do not run: only a few are away, and whatever
 * waits for them has room. */
static void test_burst(void **state)
{
	struct workers *workers = *state;
	struct setup *setup = workers->setups[0];

	for (uint32_t part = 0; part < 21; part++)
		for (uint32_t flow = 0; flow < 16; flow++) {
			const struct test_packet packet = client_of(0, flow);

			queue_fragment(setup, &packet, part * 4, 4, part < 20);
		}
	run_all(workers, 0);
	assert_in_range(setup->counters.handed_over, 1, 8);
	workers_run(workers);
	assert_int_equal(setup->counters.forwarded.packets, 16 * 21);
	assert_int_equal(setup->fragments.count, 0);
	assert_int_equal(setup->fragments.away_count, 0);
	memory_port_clear(&setup->port);
}

/* Datagrams that hold nothing make no room for others, and are not refused for that. */
static void test_room_for_others(void **state)
{
	struct workers *workers = *state;
	struct setup *setup = workers->setups[0];

	for (uint32_t flow = 0; flow < 8; flow++) {
		const struct test_packet packet = client_of(0, flow);

		queue_fragment(setup, &packet, 0, 4, true);
	}
	run_all(workers, 0);
	assert_int_equal(setup->fragments.away_count, 8);
	for (uint32_t flow = 8; flow < 8 + FRAGMENT_MOST_HELD / 2 + 2; flow++) {
		const struct test_packet packet = client_of(0, flow);

		queue_fragment(setup, &packet, 8, 4, true);
		queue_fragment(setup, &packet, 4, 4, true);
	}
	run_all(workers, 0);
	assert_int_equal(setup->counters.dropped[DROP_FRAGMENT_LIMIT], 4);
	workers_run(workers);
	assert_int_equal(setup->counters.forwarded.packets, 8);
	memory_port_clear(&setup->port);
}

/* Between hash seeds no worker may take the fragment for its own: it is placed all the same. */
static void test_nobodys(void **state)
{
	struct workers *workers = *state;
	uint64_t seeds[WORKERS] = { SETUP_SEED, SETUP_SEED, SETUP_SEED };
	const struct test_packet packet = client_of(0, 0);
	uint32_t owner;

	/* The first one gives it to the second, and that one's view of the owner changes then. */
	for (uint32_t i = 0; i < WORKERS; i++)
		for (;; seeds[i]++) {
			uint64_t hash = flow_hash_ipv4(htonl(packet.source), htonl(TEST_VIP), 0, 0,
						       IPPROTO_UDP, seeds[i]);

			owner = (uint32_t)((hash & UINT32_MAX) * WORKERS >> 32);
			if (owner == (i + 1) % WORKERS)
				break;
		}
	for (uint32_t i = 0; i < WORKERS; i++)
		workers->setups[i]->forwarding.hash_seed = seeds[i];
	queue_fragment(workers->setups[0], &packet, 0, 4, true);
	queue_fragment(workers->setups[0], &packet, 4, 4, false);
	workers_run(workers);
	assert_in_range(workers_handed_over(workers), 2, 2 * (WORKERS + 1));
	for (uint32_t i = 0; i < WORKERS; i++)
		memory_port_clear(&workers->setups[i]->port);
}

/* A worker starts so many searches a second. */
static void test_rate(void **state)
{
	struct workers *workers = *state;

	for (uint32_t i = 0; i < SEARCH_RATE + 10; i++) {
		const struct test_packet packet = client_of(0, i);

		queue_fragment(workers->setups[0], &packet, 0, 4, true);
		workers_run(workers);
		sent_by(workers, 0, 1);
	}
	assert_int_equal(workers_handed_over(workers), SEARCH_RATE * WORKERS);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_workers, workers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_found_where_the_flow_is),
		TEST(test_known_to_nobody),
		TEST(test_not_looked_for),
		TEST(test_others_wait),
		TEST(test_overlap),
		TEST(test_late),
		TEST(test_found_too_late),
		TEST(test_full_inbox),
		TEST(test_burst),
		TEST(test_room_for_others),
		TEST(test_nobodys),
		TEST(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
