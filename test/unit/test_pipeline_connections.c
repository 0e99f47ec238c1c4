/* SPDX-License-Identifier: BSD-2-Clause */
/* The pipeline's tracking of flows: what stays where when packets, time or backends change. */
#include "pipeline_flows.h"

/* The ACK that follows its SYN in one batch finds what the SYN left. */
static void test_within_a_batch(void **state)
{
	struct setup *setup = *state;
	struct test_packet syn = flow_packet(1, SYN);
	struct test_packet ack = flow_packet(1, ACK);

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
		assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
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
		assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
		assert_int_not_equal(send_flow(setup, FLOWS + flow, SYN), 1);
	}
	/* All of them: no new flow has a backend, the old ones keep theirs. */
	for (uint16_t i = 2; i <= 4; i++)
		setup->described[i].weight = 0;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		assert_int_equal(send_flow(setup, 2 * FLOWS + flow, SYN), SETUP_DROPPED);
		/* A repeated SYN is refused as well, but does not end the old connection. */
		assert_int_equal(send_flow(setup, flow, SYN), SETUP_DROPPED);
		assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
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

		assert_int_equal(send_flow(setup, flow, ACK), backend);
		/* From then on that one is remembered. */
		assert_int_equal(send_flow(setup, flow, ACK), backend);
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

/* Generations wrap: one may be 0, as that of an index without a backend is. */
static void test_first_generation(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	setup->described[1].generation = 0;
	setup_publish(setup);
	open_flows(setup, backends);
	setup->described[1].is_present = false;
	setup_publish(setup);
	expect_reselected(setup, backends, 1);
}

/* Weights change what new flows choose, not what old ones have. */
static void test_weight_changed(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];
	uint32_t of_1 = 0;

	open_flows(setup, backends);
	setup->described[1].weight = 1000;
	setup_publish(setup);
	assert_true(count_moved(setup, backends) > FLOWS / 4);
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
		of_1 += send_flow(setup, FLOWS + flow, SYN) == 1;
	}
	assert_true(of_1 > FLOWS / 2);
	assert_int_equal(setup->counters.lookups_stale, 0);
}

/* A backend that is down loses its flows, and gets none of them back when it is up again. */
static void test_backend_down_and_up(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	setup->described[1].is_present = false;
	setup_publish(setup);
	expect_reselected(setup, backends, 1);
	setup->described[1].is_present = true;
	setup_publish(setup);
	assert_true(count_moved(setup, backends) > FLOWS / 8);
	for (uint16_t flow = 0; flow < FLOWS; flow++)
		assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
}

/* A flow that said nothing while its backend was down still has it: it is the same one. */
static void test_backend_down_unnoticed(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	setup->described[1].is_present = false;
	setup_publish(setup);
	setup->described[1].is_present = true;
	for (uint16_t i = 20; i < 24; i++)
		setup_add_backend(setup, i, 0);
	setup_publish(setup);
	assert_true(count_moved(setup, backends) > FLOWS / 4);
	for (uint16_t flow = 0; flow < FLOWS; flow++)
		assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
	assert_int_equal(setup->counters.lookups_stale, 0);
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
		struct test_packet packet = flow_packet(flow, ACK);

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

		assert_int_equal(send_flow(setup, flow, ACK),
				 is_lost ? SETUP_DROPPED : backends[flow]);
		dropped += is_lost;
	}
	assert_int_equal(setup->counters.dropped[DROP_NO_NEXT_HOP], dropped);
	setup->described[2].is_resolved = true;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < FLOWS; flow++)
		assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
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

		assert_int_equal(send_flow(setup, flow, SYN), choice);
		assert_int_equal(state_of_flow(setup, flow), CONNECTION_SYN);
		assert_int_equal(send_flow(setup, flow, ACK), choice);
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
			assert_int_equal(send_flow(setup, flow, SYN), choice_of_flow(setup, flow));
			assert_int_equal(send_flow(setup, flow, ACK), choice_of_flow(setup, flow));
		}
		setup_add_backend(setup, 20, 0);
		setup_publish(setup);
	}
	assert_int_equal(setup->connections.count, 0);
	assert_int_equal(setup->counters.lookups_hit + setup->counters.lookups_miss +
				 setup->counters.lookups_stale,
			 0);
}

/* One flow per 5-tuple: the same ports under the other protocol, or another VIP, are another. */
static void test_flows_are_apart(void **state)
{
	struct setup *setup = *state;
	struct test_packet packet = flow_packet(1, ACK);

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
		TEST(test_within_a_batch),
		TEST(test_backend_added),
		TEST(test_draining),
		TEST(test_backend_removed),
		TEST(test_first_generation),
		TEST(test_weight_changed),
		TEST(test_backend_down_and_up),
		TEST(test_backend_down_unnoticed),
		TEST(test_index_reused),
		TEST(test_backend_moved_to_another_pool),
		TEST(test_vip_moved_to_another_pool),
		TEST(test_next_hop_lost),
		TEST(test_syn_selects_afresh),
		TEST(test_without_tracking),
		TEST(test_flows_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
