/* SPDX-License-Identifier: BSD-2-Clause */
/* The pipeline's tracking of flows: what stays where when packets, time or backends change. */
#include "pipeline_setup.h"

#define FLOWS 400

static struct test_packet flow_packet(uint16_t flow, uint8_t tcp_flags)
{
	return (struct test_packet){
		.source = TEST_CLIENT,
		.destination = TEST_VIP,
		.source_port = (uint16_t)(10000 + flow),
		.destination_port = 80,
		.protocol = IPPROTO_TCP,
		.tcp_flags = tcp_flags,
	};
}

static uint16_t send_flow(struct setup *setup, uint16_t flow, uint8_t tcp_flags)
{
	struct test_packet packet = flow_packet(flow, tcp_flags);

	return setup_send(setup, &packet);
}

static uint16_t choice_of_flow(const struct setup *setup, uint16_t flow)
{
	struct test_packet packet = flow_packet(flow, 0);

	return setup_choice(setup, 0, &packet);
}

static const struct connection *connection_of(const struct setup *setup,
					      const struct test_packet *packet)
{
	return connection_find(&setup->connections, setup_hash(packet), setup->now / SECOND);
}

static enum connection_state state_of_flow(const struct setup *setup, uint16_t flow)
{
	struct test_packet packet = flow_packet(flow, 0);
	const struct connection *connection = connection_of(setup, &packet);

	return connection != NULL ? (enum connection_state)connection->state : CONNECTION_EMPTY;
}

/* Opens all flows and remembers their backends. */
static void open_flows(struct setup *setup, uint16_t backends[FLOWS])
{
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		backends[flow] = send_flow(setup, flow, TCP_FLAG_SYN);
		assert_int_equal(backends[flow], choice_of_flow(setup, flow));
		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK), backends[flow]);
	}
	assert_int_equal(setup->connections.count, FLOWS);
	assert_int_equal(setup->connections.untracked, 0);
}

/* How many of the flows a new table would send elsewhere: without these a test shows nothing. */
static uint32_t count_moved(const struct setup *setup, const uint16_t backends[FLOWS])
{
	uint32_t moved = 0;

	for (uint16_t flow = 0; flow < FLOWS; flow++)
		moved += choice_of_flow(setup, flow) != backends[flow];
	return moved;
}

static void test_states(void **state)
{
	static const struct {
		uint8_t flags;
		enum connection_state expected;
	} steps[] = {
		/* Nothing is recorded for a connection that is closing already. */
		{ TCP_FLAG_RST, CONNECTION_EMPTY },
		{ TCP_FLAG_FIN | TCP_FLAG_ACK, CONNECTION_EMPTY },
		{ TCP_FLAG_SYN, CONNECTION_SYN },
		{ TCP_FLAG_SYN, CONNECTION_SYN },
		{ TCP_FLAG_SYN | 0xc0, CONNECTION_SYN }, /* with ECN (RFC 3168) */
		{ TCP_FLAG_ACK, CONNECTION_ESTABLISHED },
		{ TCP_FLAG_ACK | 0x08, CONNECTION_ESTABLISHED },
		{ TCP_FLAG_FIN | TCP_FLAG_ACK, CONNECTION_CLOSING },
		{ TCP_FLAG_ACK, CONNECTION_CLOSING },
		{ TCP_FLAG_SYN, CONNECTION_SYN },
		{ TCP_FLAG_RST, CONNECTION_CLOSING },
		{ TCP_FLAG_ACK, CONNECTION_CLOSING },
		{ TCP_FLAG_SYN, CONNECTION_SYN },
		{ TCP_FLAG_SYN | TCP_FLAG_ACK, CONNECTION_ESTABLISHED },
		{ 0, CONNECTION_ESTABLISHED },
	};
	struct setup *setup = *state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		assert_int_equal(send_flow(setup, 1, steps[i].flags), choice_of_flow(setup, 1));
		assert_int_equal(state_of_flow(setup, 1), steps[i].expected);
	}
	assert_int_equal(setup->connections.count, 1);

	/* In the middle of a connection, as after a restart. */
	send_flow(setup, 2, TCP_FLAG_ACK);
	assert_int_equal(state_of_flow(setup, 2), CONNECTION_ESTABLISHED);
}

static void test_datagrams(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = flow_packet(1, 0);

	packet.protocol = IPPROTO_UDP;
	packet.destination_port = 53;
	setup_send(setup, &packet);
	assert_int_equal(connection_of(setup, &packet)->state, CONNECTION_DATAGRAM);
	setup->now += SETUP_UDP_IDLE * SECOND;
	setup_send(setup, &packet);
	assert_int_equal(setup->counters.lookups_hit, 1);
	assert_int_equal(setup->counters.lookups_miss, 1);
	setup->now += (SETUP_UDP_IDLE + 1) * SECOND;
	setup_send(setup, &packet);
	assert_int_equal(setup->counters.lookups_hit, 1);
	assert_int_equal(setup->counters.lookups_miss, 2);
}

static void test_idle_times(void **state)
{
	static const struct {
		uint8_t flags[3];
		uint32_t idle;
	} cases[] = {
		{ { TCP_FLAG_SYN, TCP_FLAG_SYN, TCP_FLAG_SYN }, CONNECTION_SYN_IDLE },
		{ { TCP_FLAG_SYN, TCP_FLAG_ACK, TCP_FLAG_ACK }, SETUP_TCP_IDLE },
		{ { TCP_FLAG_SYN, TCP_FLAG_ACK, TCP_FLAG_FIN }, CONNECTION_CLOSING_IDLE },
		{ { TCP_FLAG_SYN, TCP_FLAG_ACK, TCP_FLAG_RST }, CONNECTION_CLOSING_IDLE },
	};
	struct setup *setup = *state;

	for (uint16_t flow = 0; flow < 4; flow++) {
		for (uint32_t i = 0; i < 3; i++) {
			send_flow(setup, flow, cases[flow].flags[i]);
			setup->now += 20 * SECOND;
		}
		setup->now += (uint64_t)(cases[flow].idle - 20) * SECOND;
		assert_int_not_equal(state_of_flow(setup, flow), CONNECTION_EMPTY);
		setup->now += SECOND;
		assert_int_equal(state_of_flow(setup, flow), CONNECTION_EMPTY);
	}
	/* The sweep of an idle pipeline empties the table. */
	setup->now += CONNECTION_SWEEP_SECONDS * SECOND;
	pipeline_run(&setup->pipeline, &setup->forwarding, setup->now);
	assert_int_equal(setup->connections.count, 0);
}

/* The ACK that follows its SYN in one batch finds what the SYN left. */
static void test_within_a_batch(void **state)
{
	struct setup *setup = *state;
	struct test_packet syn = flow_packet(1, TCP_FLAG_SYN);
	struct test_packet ack = flow_packet(1, TCP_FLAG_ACK);

	for (uint32_t i = 0; i < PORT_BATCH; i++)
		setup_queue(setup, i == 0 ? &syn : &ack);
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, PORT_BATCH);
	for (uint32_t i = 0; i < PORT_BATCH; i++) {
		assert_int_equal(frame_number(&setup->port.sent[i]), i);
		assert_int_equal(setup_backend_of(&setup->port.sent[i]), choice_of_flow(setup, 1));
	}
	assert_int_equal(setup->counters.lookups_hit, PORT_BATCH - 1);
	assert_int_equal(setup->counters.lookups_miss, 0);
	assert_int_equal(setup->connections.count, 1);
	assert_int_equal(state_of_flow(setup, 1), CONNECTION_ESTABLISHED);
}

static void test_backend_added(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	for (uint16_t i = 20; i < 24; i++)
		setup_add_backend(setup, i, 0);
	setup_publish(setup);
	assert_true(count_moved(setup, backends) > FLOWS / 4);
	for (uint16_t flow = 0; flow < FLOWS; flow++)
		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK), backends[flow]);
	assert_int_equal(setup->counters.lookups_stale, 0);
}

static void test_draining(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	setup->described[1].weight = 0;
	setup_publish(setup);
	assert_true(count_moved(setup, backends) > FLOWS / 8);
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK), backends[flow]);
		assert_int_not_equal(send_flow(setup, FLOWS + flow, TCP_FLAG_SYN), 1);
	}
	/* All of them: no new flow has a backend, the old ones keep theirs. */
	for (uint16_t i = 2; i <= 4; i++)
		setup->described[i].weight = 0;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		assert_int_equal(send_flow(setup, 2 * FLOWS + flow, TCP_FLAG_SYN), SETUP_DROPPED);
		/* A repeated SYN is refused as well, but does not end the old connection. */
		assert_int_equal(send_flow(setup, flow, TCP_FLAG_SYN), SETUP_DROPPED);
		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK), backends[flow]);
	}
	assert_int_equal(setup->counters.dropped[DROP_NO_BACKEND], 2 * FLOWS);
	assert_int_equal(setup->counters.lookups_stale, 0);
}

/* Runs an ACK of each flow: those of `gone` were selected again, the others stay. */
static void expect_reselected(struct setup *setup, uint16_t backends[FLOWS], uint16_t gone)
{
	uint64_t stale = setup->counters.lookups_stale, hits = setup->counters.lookups_hit;
	uint32_t expected = 0;

	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		bool is_gone = backends[flow] == gone;
		uint16_t backend = is_gone ? choice_of_flow(setup, flow) : backends[flow];

		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK), backend);
		/* From then on that one is remembered. */
		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK), backend);
		backends[flow] = backend;
		expected += is_gone;
	}
	assert_true(expected > FLOWS / 8);
	assert_int_equal(setup->counters.lookups_stale, stale + expected);
	assert_int_equal(setup->counters.lookups_hit, hits + 2 * FLOWS - expected);
	assert_int_equal(setup->connections.count, FLOWS);
}

static void test_backend_removed(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	setup->described[1].is_present = false;
	setup_publish(setup);
	expect_reselected(setup, backends, 1);
	/* The last one, whose index then lies beyond the destinations. */
	setup->described[11].is_present = setup->described[12].is_present = false;
	setup->described[4].is_present = false;
	setup->backend_limit = 4;
	setup_publish(setup);
	expect_reselected(setup, backends, 4);
	assert_int_equal(setup->counters.lookups_miss, 0);
}

/* Another backend of the same pool takes the index over: it must not inherit the flows. */
static void test_index_reused(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	setup_add_backend(setup, 2, 0);
	snprintf(setup->described[2].name, sizeof(setup->described[2].name), "another");
	setup_publish(setup);
	expect_reselected(setup, backends, 2);
}

static void test_backend_moved_to_another_pool(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	setup->described[3].pool = 1;
	setup_publish(setup);
	expect_reselected(setup, backends, 3);
}

static void test_vip_moved_to_another_pool(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	setup->vips[0].pool = 1;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		struct test_packet packet = flow_packet(flow, TCP_FLAG_ACK);

		assert_int_equal(setup_send(setup, &packet), setup_choice(setup, 1, &packet));
		assert_in_range(setup_send(setup, &packet), 11, 12);
	}
	assert_int_equal(setup->counters.lookups_stale, FLOWS);
}

/* A backend whose next hop is lost for a while keeps its flows: they are dropped, not moved. */
static void test_next_hop_lost(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];
	uint64_t dropped = 0;

	open_flows(setup, backends);
	setup->described[2].is_resolved = false;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		bool is_lost = backends[flow] == 2;

		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK),
				 is_lost ? SETUP_DROPPED : backends[flow]);
		dropped += is_lost;
	}
	assert_int_equal(setup->counters.dropped[DROP_NO_NEXT_HOP], dropped);
	setup->described[2].is_resolved = true;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < FLOWS; flow++)
		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK), backends[flow]);
	assert_int_equal(setup->counters.lookups_stale, 0);
}

static void test_syn_selects_afresh(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];
	uint64_t hits;

	open_flows(setup, backends);
	for (uint16_t i = 20; i < 24; i++)
		setup_add_backend(setup, i, 0);
	setup_publish(setup);
	hits = setup->counters.lookups_hit;
	assert_true(count_moved(setup, backends) > FLOWS / 4);
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		uint16_t choice = choice_of_flow(setup, flow);

		assert_int_equal(send_flow(setup, flow, TCP_FLAG_SYN), choice);
		assert_int_equal(state_of_flow(setup, flow), CONNECTION_SYN);
		assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK), choice);
	}
	/* SYNs are no lookups. */
	assert_int_equal(setup->counters.lookups_hit, hits + FLOWS);
	assert_int_equal(setup->counters.lookups_miss, 0);
	assert_int_equal(setup->connections.count, FLOWS);
}

static void test_without_tracking(void **state)
{
	struct setup *setup = *state;

	setup->vips[0].tracking = false;
	setup_publish(setup);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint16_t flow = 0; flow < FLOWS; flow++) {
			assert_int_equal(send_flow(setup, flow, TCP_FLAG_SYN),
					 choice_of_flow(setup, flow));
			assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK),
					 choice_of_flow(setup, flow));
		}
		setup_add_backend(setup, 20, 0);
		setup_publish(setup);
	}
	assert_int_equal(setup->connections.count, 0);
	assert_int_equal(setup->counters.lookups_hit + setup->counters.lookups_miss +
				 setup->counters.lookups_stale,
			 0);
}

/* A full table: what finds no place goes by consistent hash, the same way each time. */
static void test_full_table(void **state)
{
	struct setup *setup = *state;

	for (uint32_t round = 0; round < 2; round++)
		for (uint16_t flow = 0; flow < 2000; flow++)
			assert_int_equal(send_flow(setup, flow, TCP_FLAG_ACK),
					 choice_of_flow(setup, flow));
	assert_in_range(setup->connections.count, 1000, CONNECTION_MIN_CAPACITY);
	assert_int_equal(setup->counters.lookups_hit + setup->counters.lookups_miss, 4000);
	assert_int_equal(setup->connections.untracked,
			 setup->counters.lookups_miss - setup->connections.count);
	assert_int_equal(setup->connections.evictions, 0);
	assert_int_equal(setup_dropped(setup), 0);
}

/* One flow per 5-tuple: the same ports under the other protocol, or another VIP, are another. */
static void test_flows_are_apart(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = flow_packet(1, TCP_FLAG_ACK);

	setup_add_vip(setup, TEST_VIP + 1, 128, 0, 80, 1);
	setup_add_vip(setup, TEST_VIP, 128, IPPROTO_UDP, 80, 1);
	setup_publish(setup);
	setup_send(setup, &packet);
	packet.destination++;
	assert_in_range(setup_send(setup, &packet), 11, 12);
	packet.protocol = IPPROTO_UDP;
	assert_in_range(setup_send(setup, &packet), 11, 12);
	packet.destination--;
	assert_in_range(setup_send(setup, &packet), 11, 12);
	assert_int_equal(setup->connections.count, 4);
	assert_int_equal(setup->counters.lookups_miss, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_open, setup_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_states),
		TEST(test_datagrams),
		TEST(test_idle_times),
		TEST(test_within_a_batch),
		TEST(test_backend_added),
		TEST(test_draining),
		TEST(test_backend_removed),
		TEST(test_index_reused),
		TEST(test_backend_moved_to_another_pool),
		TEST(test_vip_moved_to_another_pool),
		TEST(test_next_hop_lost),
		TEST(test_syn_selects_afresh),
		TEST(test_without_tracking),
		TEST(test_full_table),
		TEST(test_flows_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
