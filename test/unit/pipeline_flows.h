/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows of one client to one VIP through a pipeline, by number, and what is on record of them. */
#ifndef FLUXPIN_TEST_PIPELINE_FLOWS_H
#define FLUXPIN_TEST_PIPELINE_FLOWS_H

#include "pipeline_setup.h"

#define FLOWS 400

#define FIN TCP_FLAG_FIN
#define SYN TCP_FLAG_SYN
#define RST TCP_FLAG_RST
#define ACK TCP_FLAG_ACK

static inline struct test_packet flow_packet(uint16_t flow, uint8_t tcp_flags)
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

static inline uint16_t send_flow(struct setup *setup, uint16_t flow, uint8_t tcp_flags)
{
	struct test_packet packet = flow_packet(flow, tcp_flags);

	return setup_send(setup, &packet);
}

static inline uint16_t choice_of_flow(const struct setup *setup, uint16_t flow)
{
	struct test_packet packet = flow_packet(flow, 0);

	return setup_choice(setup, 0, &packet);
}

static inline const struct connection *connection_of(const struct setup *setup,
						     const struct test_packet *packet)
{
	return connection_find(&setup->connections, setup_hash(packet), setup->now / SECOND);
}

static inline enum connection_state state_of_flow(const struct setup *setup, uint16_t flow)
{
	struct test_packet packet = flow_packet(flow, 0);
	const struct connection *connection = connection_of(setup, &packet);

	return connection != NULL ? (enum connection_state)connection->state : CONNECTION_EMPTY;
}

/* Opens all flows and remembers their backends. */
static inline void open_flows(struct setup *setup, uint16_t backends[FLOWS])
{
	for (uint16_t flow = 0; flow < FLOWS; flow++) {
		backends[flow] = send_flow(setup, flow, SYN);
		assert_int_equal(backends[flow], choice_of_flow(setup, flow));
		assert_int_equal(send_flow(setup, flow, ACK), backends[flow]);
	}
	assert_int_equal(setup->connections.count, FLOWS);
	assert_int_equal(setup->connections.untracked, 0);
}

/* How many of the flows a new table would send elsewhere: without these a test shows nothing. */
static inline uint32_t count_moved(const struct setup *setup, const uint16_t backends[FLOWS])
{
	uint32_t moved = 0;

	for (uint16_t flow = 0; flow < FLOWS; flow++)
		moved += choice_of_flow(setup, flow) != backends[flow];
	return moved;
}

#endif
