/* SPDX-License-Identifier: BSD-2-Clause */
/* What the pipeline puts on record of a flow, for how long, and what floods may do to it. */
#include "pipeline_flows.h"

/* All sequences are test_connection_state.c's; here is what the pipeline makes of them. */
static void test_states(void **state)
{
	static const struct {
		uint8_t flags;
		enum connection_state expected;
	} steps[] = {
		/* Nothing is recorded for a connection that is closing already, nor for nonsense.
		 */
		{ RST, CONNECTION_EMPTY },
		{ FIN | ACK, CONNECTION_EMPTY },
		{ SYN | FIN, CONNECTION_EMPTY },
		{ SYN | RST, CONNECTION_EMPTY },
		{ 0, CONNECTION_EMPTY },
		{ SYN, CONNECTION_SYN },
		{ SYN, CONNECTION_SYN },
		{ SYN | 0xc0, CONNECTION_SYN }, /* with ECN (RFC 3168) */
		{ ACK, CONNECTION_ESTABLISHED },
		{ ACK | 0x08, CONNECTION_ESTABLISHED },
		{ SYN | FIN, CONNECTION_ESTABLISHED },
		{ FIN | ACK, CONNECTION_CLOSING },
		{ ACK, CONNECTION_CLOSING },
		{ SYN, CONNECTION_SYN },
		{ RST, CONNECTION_SYN },
		{ ACK, CONNECTION_ESTABLISHED },
		{ RST, CONNECTION_CLOSING },
		{ SYN, CONNECTION_SYN },
		{ SYN | ACK, CONNECTION_ESTABLISHED },
		{ 0, CONNECTION_ESTABLISHED },
	};
	struct setup *setup = *state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		assert_int_equal(send_flow(setup, 1, steps[i].flags), choice_of_flow(setup, 1));
		assert_int_equal(state_of_flow(setup, 1), steps[i].expected);
	}
	assert_int_equal(setup->connections.count, 1);

	/* In the middle of a connection, as after a restart. */
	send_flow(setup, 2, ACK);
	assert_int_equal(state_of_flow(setup, 2), CONNECTION_TCP_ONCE);
	send_flow(setup, 2, ACK);
	assert_int_equal(state_of_flow(setup, 2), CONNECTION_ESTABLISHED);
}

/* Of UDP and of a protocol without ports. */
static void test_datagrams(void **state)
{
	static const struct {
		uint8_t protocol;
		uint16_t port;
		enum connection_state once, more;
	} cases[] = { { IPPROTO_UDP, 53, CONNECTION_UDP_ONCE, CONNECTION_UDP },
		      { IPPROTO_SCTP, 0, CONNECTION_OTHER_ONCE, CONNECTION_OTHER } };
	struct setup *setup = *state;
	uint64_t idle[] = { setup->settings.udp_idle, setup->settings.other_idle };

	setup_add_vip(setup, TEST_VIP, 128, 0, 0, 0);
	setup_publish(setup);
	for (uint64_t i = 0; i < 2; i++) {
		struct test_packet packet = flow_packet(1, 0);

		packet.protocol = cases[i].protocol;
		packet.destination_port = cases[i].port;
		packet.source_port = cases[i].port == 0 ? 0 : packet.source_port;
		packet.payload = 12;
		setup_send(setup, &packet);
		assert_int_equal(connection_of(setup, &packet)->state, cases[i].once);
		setup->now += idle[i] * SECOND;
		setup_send(setup, &packet);
		assert_int_equal(connection_of(setup, &packet)->state, cases[i].more);
		assert_int_equal(setup->counters.lookups_hit, i + 1);
		assert_int_equal(setup->counters.lookups_miss, 2 * i + 1);
		setup->now += (idle[i] + 1) * SECOND;
		setup_send(setup, &packet);
		assert_int_equal(connection_of(setup, &packet)->state, cases[i].once);
		assert_int_equal(setup->counters.lookups_hit, i + 1);
		assert_int_equal(setup->counters.lookups_miss, 2 * i + 2);
	}
	/* The second one need not be of another second. */
	for (uint64_t i = 0; i < 2; i++) {
		struct test_packet packet = flow_packet(2, 0);

		packet.protocol = cases[i].protocol;
		packet.destination_port = cases[i].port;
		packet.source_port = cases[i].port == 0 ? 0 : packet.source_port;
		packet.source++;
		packet.payload = 12;
		setup_send(setup, &packet);
		assert_int_equal(connection_of(setup, &packet)->state, cases[i].once);
		setup_send(setup, &packet);
		assert_int_equal(connection_of(setup, &packet)->state, cases[i].more);
	}
}

static void test_idle_times(void **state)
{
	struct setup *setup = *state;
	const struct {
		uint8_t flags[3];
		uint32_t idle;
	} cases[] = {
		{ { SYN, SYN, SYN }, setup->settings.tcp_syn_idle },
		{ { SYN, SYN, RST }, setup->settings.tcp_syn_idle },
		{ { ACK, RST, RST }, setup->settings.tcp_idle },
		{ { SYN, ACK, ACK }, setup->settings.tcp_idle },
		{ { SYN, ACK, FIN }, setup->settings.tcp_closing_idle },
		{ { ACK, FIN | ACK, ACK }, setup->settings.tcp_closing_idle },
		{ { SYN, ACK, RST }, setup->settings.tcp_closing_idle },
	};

	for (uint16_t flow = 0; flow < sizeof(cases) / sizeof(cases[0]); flow++) {
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
	setup->now += (uint64_t)setup->settings.tcp_idle * SECOND;
	pipeline_run(&setup->pipeline, &setup->forwarding, setup->now);
	assert_int_equal(setup->connections.count, 0);
}

/* What means nothing keeps no flow alive, in whichever bucket its entry is. */
static void test_nonsense_refreshes_nothing(void **state)
{
	const uint16_t flows = 950;
	struct setup *setup = *state;

	for (uint16_t flow = 0; flow < flows; flow++) {
		send_flow(setup, flow, SYN);
		send_flow(setup, flow, ACK);
	}
	assert_int_equal(setup->connections.count, flows);
	for (int i = 0; i < 3; i++) {
		setup->now += (uint64_t)setup->settings.tcp_idle / 3 * SECOND;
		for (uint16_t flow = 0; flow < flows; flow++) {
			assert_int_equal(send_flow(setup, flow, i == 1 ? 0 : SYN | FIN),
					 choice_of_flow(setup, flow));
			assert_int_equal(state_of_flow(setup, flow), CONNECTION_ESTABLISHED);
		}
	}
	assert_int_equal(setup->counters.lookups_hit, 4 * flows);
	setup->now += SECOND;
	for (uint16_t flow = 0; flow < flows; flow++)
		assert_int_equal(state_of_flow(setup, flow), CONNECTION_EMPTY);
}

/* Nor does it put the choice of another backend on record. */
static void test_nonsense_records_nothing(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];
	uint64_t gone = 0;

	open_flows(setup, backends);
	setup->described[1].is_present = false;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		bool is_gone = backends[flow] == 1;

		for (int i = 0; i < 2; i++)
			assert_int_equal(send_flow(setup, flow, SYN | RST),
					 is_gone ? choice_of_flow(setup, flow) : backends[flow]);
		gone += is_gone;
	}
	assert_true(gone > FLOWS / 8);
	assert_int_equal(setup->counters.lookups_stale, 2 * gone);
	assert_int_equal(setup->counters.lookups_miss, 0);
}

/* A client that has closed its side, and acknowledges what it still gets for hours: the backend
 * stays its own, whatever comes and goes. */
static void test_half_closed_download(void **state)
{
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	for (uint16_t flow = 0; flow < FLOWS; flow++)
		send_flow(setup, flow, FIN | ACK);
	for (uint16_t i = 20; i < 24; i++)
		setup_add_backend(setup, i, 0);
	setup_publish(setup);
	assert_true(count_moved(setup, backends) > FLOWS / 4);
	for (int minute = 0; minute < 120; minute++) {
		setup->now += 60 * SECOND;
		for (uint16_t flow = 0; flow < FLOWS; flow += 20)
			assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
	}
	assert_int_equal(setup->counters.lookups_miss, 0);
	assert_int_equal(setup->connections.count, FLOWS / 20);
}

/* New settings count for the flows on record, from the next batch on. */
static void test_settings_change(void **state)
{
	struct setup *setup = *state;

	send_flow(setup, 1, SYN);
	send_flow(setup, 1, ACK);
	setup->now += 500 * SECOND;
	setup->settings.tcp_idle = 2000;
	setup_publish(setup);
	send_flow(setup, 2, SYN);
	setup->now += 1500 * SECOND;
	assert_int_equal(state_of_flow(setup, 1), CONNECTION_ESTABLISHED);
	setup->settings.tcp_idle = 1999;
	setup_publish(setup);
	send_flow(setup, 2, SYN);
	assert_int_equal(state_of_flow(setup, 1), CONNECTION_EMPTY);
	/* A forwarding state that says nothing changes nothing. */
	setup->forwarding.connections = NULL;
	setup->forwarding.generation++;
	send_flow(setup, 3, SYN);
	assert_int_equal(setup->connections.idle[CONNECTION_ESTABLISHED], 1999);
}

/* One seed for all that hashes: a new one is in force from the next batch on. */
static void test_seed_change(void **state)
{
	struct setup *setup = *state;
	const uint64_t seed = setup->forwarding.hash_seed + 1;
	uint32_t moved = 0;

	for (uint16_t flow = 0; flow < FLOWS; flow++)
		send_flow(setup, flow, ACK);
	setup->forwarding.hash_seed = seed;
	setup->forwarding.generation++;
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		struct test_packet packet = flow_packet(flow, SYN);
		uint64_t hash = flow_hash_ipv4(
			htonl(packet.source), htonl(packet.destination), htons(packet.source_port),
			htons(packet.destination_port), packet.protocol, seed);
		uint16_t choice = setup->slots[0][maglev_slot(hash, SETUP_TABLE_SIZE)];

		assert_int_equal(send_flow(setup, flow, SYN), choice);
		moved += choice != choice_of_flow(setup, flow);
	}
	assert_true(moved > FLOWS / 4);
}

/* At most so many new entries per second; the others go by hash, untracked and counted. */
static void test_new_rate(void **state)
{
	struct setup *setup = *state;

	setup->settings.new_rate = 10;
	setup_publish(setup);
	for (uint16_t flow = 0; flow < 15; flow++)
		assert_int_equal(send_flow(setup, flow, SYN), choice_of_flow(setup, flow));
	assert_int_equal(setup->connections.count, 10);
	assert_int_equal(setup->connections.over_rate, 5);
	/* Flows on record take nothing of it, whatever they do. */
	for (uint16_t flow = 0; flow < 10; flow++) {
		assert_int_equal(send_flow(setup, flow, ACK), choice_of_flow(setup, flow));
		assert_int_equal(send_flow(setup, flow, SYN), choice_of_flow(setup, flow));
	}
	/* Nor do packets that are not recorded anyway. */
	send_flow(setup, 100, RST);
	assert_int_equal(setup->connections.over_rate, 5);
	setup->now += SECOND / 2;
	for (uint16_t flow = 100; flow < 110; flow++)
		assert_int_equal(send_flow(setup, flow, ACK), choice_of_flow(setup, flow));
	assert_int_equal(setup->connections.count, 15);
	assert_int_equal(setup->connections.over_rate, 10);
	setup->settings.new_rate = 0;
	setup_publish(setup);
	for (uint16_t flow = 200; flow < 500; flow++)
		send_flow(setup, flow, SYN);
	assert_int_equal(setup->connections.count, 315);
	assert_int_equal(setup->connections.over_rate, 10);
	assert_int_equal(setup->connections.untracked, 0);
}

/* Runs a batch of new flows' SYNs and then ACKs of flows on record: each goes to its own flow's
 * choice, whatever the former did to the entries of the latter. */
static void run_mixed_batch(struct setup *setup, uint16_t *next, uint32_t news, uint16_t limit,
			    uint64_t *random)
{
	uint16_t flows[PORT_BATCH];

	for (uint32_t i = 0; i < PORT_BATCH; i++) {
		struct test_packet packet;

		flows[i] = i < news ? (*next)++ : (uint16_t)test_random_below(random, limit);
		packet = flow_packet(flows[i], i < news ? SYN : ACK);
		setup_queue(setup, &packet);
	}
	setup_run(setup);
	assert_int_equal(setup->port.sent_count, PORT_BATCH);
	for (uint32_t i = 0; i < PORT_BATCH; i++)
		assert_int_equal(setup_backend_of(&setup->port.sent[i]),
				 choice_of_flow(setup, flows[i]));
	memory_port_clear(&setup->port);
}

/* An entry that a batch has seen ahead may be moved, or be another flow's, once it is needed. */
static void test_entries_change_within_a_batch(void **state)
{
	struct setup *setup = *state;
	uint16_t next = 900;
	uint64_t random = 21;

	/* Moved: found all the same. */
	for (uint16_t flow = 0; flow < next; flow++) {
		send_flow(setup, flow, SYN);
		send_flow(setup, flow, ACK);
	}
	for (int batch = 0; batch < 12; batch++)
		run_mixed_batch(setup, &next, 8, 900, &random);
	assert_true(setup->connections.moves > 50);
	assert_int_equal(setup->counters.lookups_miss, 0);
	/* Taken: gone, and not mistaken for the one that has its place. */
	setup->now += 1000 * SECOND;
	for (next = 0; next < 2000; next++)
		send_flow(setup, next, SYN);
	for (int batch = 0; batch < 300; batch++)
		run_mixed_batch(setup, &next, 32, (uint16_t)(next - 1), &random);
	assert_true(setup->counters.lookups_miss > 1000);
}

/* A full table: what finds no place goes by consistent hash, the same way each time. */
static void test_full_table(void **state)
{
	struct setup *setup = *state;

	for (uint16_t flow = 0; flow < 2000; flow++)
		for (uint32_t i = 0; i < 2; i++)
			assert_int_equal(send_flow(setup, flow, ACK), choice_of_flow(setup, flow));
	assert_in_range(setup->connections.count, 1000, CONNECTION_MIN_CAPACITY);
	assert_true(setup->connections.states[CONNECTION_ESTABLISHED] >=
		    setup->connections.count - 5);
	assert_int_equal(setup->counters.lookups_hit + setup->counters.lookups_miss, 4000);
	/* One that found room with its second packet only may have lost it to another such. */
	assert_int_equal(setup->connections.untracked, setup->counters.lookups_miss -
							       setup->connections.count -
							       setup->connections.evictions);
	assert_in_range(setup->connections.evictions, 0, 5);
	assert_int_equal(setup_dropped(setup), 0);
}

/* A flood of SYNs, of ACKs or of datagrams from any port pushes out none of the flows that are
 * under way: those keep their backends when others come. */
static void test_floods(void **state)
{
	static const struct {
		uint8_t protocol, flags;
		uint16_t port;
	} floods[] = { { IPPROTO_TCP, SYN, 80 }, { IPPROTO_TCP, ACK, 80 }, { IPPROTO_UDP, 0, 53 } };
	struct setup *setup = *state;
	uint16_t backends[FLOWS];

	open_flows(setup, backends);
	for (uint16_t i = 20; i < 24; i++)
		setup_add_backend(setup, i, 0);
	setup_publish(setup);
	assert_true(count_moved(setup, backends) > FLOWS / 4);
	for (size_t f = 0; f < sizeof(floods) / sizeof(floods[0]); f++) {
		for (uint32_t i = 0; i < 5000; i++) {
			struct test_packet packet = {
				.source = TEST_CLIENT + 1000 + i,
				.destination = TEST_VIP,
				.source_port = (uint16_t)(i * 7),
				.destination_port = floods[f].port,
				.protocol = floods[f].protocol,
				.tcp_flags = floods[f].flags,
			};

			assert_int_equal(setup_send(setup, &packet),
					 setup_choice(setup, 0, &packet));
		}
		for (uint16_t flow = 0; flow < FLOWS; flow++)
			assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
	}
	assert_in_range(setup->connections.count, 1000, CONNECTION_MIN_CAPACITY);
	assert_true(setup->connections.evictions > 10000);
	assert_int_equal(setup->counters.lookups_stale, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_open, setup_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_states),
		TEST(test_datagrams),
		TEST(test_idle_times),
		TEST(test_nonsense_refreshes_nothing),
		TEST(test_nonsense_records_nothing),
		TEST(test_half_closed_download),
		TEST(test_settings_change),
		TEST(test_seed_change),
		TEST(test_new_rate),
		TEST(test_entries_change_within_a_batch),
		TEST(test_full_table),
		TEST(test_floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
