/* SPDX-License-Identifier: BSD-2-Clause */
/* ICMP errors that RSS gives to another worker than the one that has their flow on record. */
#include "icmp_frames.h"
#include "../../src/dataplane/pipeline_internal.h"
#include "pipeline_workers.h"

#define WORKERS 3
#define PORTS	40

/* TCP 80 of TEST_VIP, and the same in IPv6. */
static int open_workers(void **state)
{
	struct workers *workers;

	if (workers_open(state, WORKERS) != 0)
		return -1;
	workers = *state;
	for (uint32_t i = 0; i < WORKERS; i++) {
		struct setup *setup = workers->setups[i];

		setup_add_vip(setup, 0, 128, IPPROTO_TCP, 80, 0);
		setup->vips[setup->vip_count - 1].prefix.address = setup_ipv6_address(TEST_VIP);
	}
	return 0;
}

static struct test_packet packet_of(uint16_t port)
{
	return (struct test_packet){ .source = TEST_CLIENT,
				     .destination = TEST_VIP,
				     .source_port = port,
				     .destination_port = 80,
				     .protocol = IPPROTO_TCP,
				     .tcp_flags = TCP_FLAG_ACK };
}

/* A frame arrives at a worker; returns who sends it on, and to which backend. */
static uint32_t deliver(struct workers *workers, uint32_t worker, const uint8_t *frame,
			uint32_t length, uint16_t *backend)
{
	uint32_t sender = WORKERS;

	memory_port_queue(&workers->setups[worker]->port, frame, length, SETUP_HEADROOM);
	workers_run(workers);
	for (uint32_t i = 0; i < WORKERS; i++) {
		struct memory_port *port = &workers->setups[i]->port;

		if (port->sent_count > 0) {
			assert_int_equal(sender, WORKERS);
			assert_int_equal(port->sent_count, 1);
			sender = i;
			*backend = setup_backend_of(&port->sent[0]);
		}
		memory_port_clear(port);
	}
	return sender;
}

static uint32_t send_flow(struct workers *workers, uint32_t worker, bool is_ipv6, uint16_t port,
			  uint16_t *backend)
{
	const struct test_packet packet = packet_of(port);
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length =
		is_ipv6 ? test_build_ipv6(&packet, NULL, 0, frame) : test_build(&packet, frame);

	return deliver(workers, worker, frame, length, backend);
}

static uint32_t build_error(bool is_ipv6, uint16_t port, uint8_t *frame)
{
	uint8_t quote[TEST_FRAME_SIZE];
	uint32_t length = test_build_quote(is_ipv6, TEST_VIP, 80, port, IPPROTO_TCP, quote);

	return test_build_icmp(is_ipv6, TEST_VIP, is_ipv6 ? 1 : 3, 1, quote, length, frame);
}

static uint32_t send_error(struct workers *workers, uint32_t worker, bool is_ipv6, uint16_t port,
			   uint16_t *backend)
{
	uint8_t frame[TEST_FRAME_SIZE];

	return deliver(workers, worker, frame, build_error(is_ipv6, port, frame), backend);
}

/* Whichever worker it reaches, the one that has the flow sends it, to the backend on record: after
 * as many steps as there are from the one to the other. */
static void test_found_where_the_flow_is(void **state)
{
	struct workers *workers = *state;
	uint16_t backends[2][PORTS], backend;
	uint64_t steps = 0, moved = 0;

	workers_publish(workers);
	for (int family = 0; family < 2; family++)
		for (uint16_t port = 1; port < PORTS; port++)
			assert_int_equal(send_flow(workers, port % WORKERS, family == 1, port,
						   &backends[family][port]),
					 port % WORKERS);
	workers_change_choices(workers);
	for (int family = 0; family < 2; family++) {
		for (uint16_t port = 1; port < PORTS; port++) {
			const struct test_packet packet = packet_of(port);
			uint32_t owner = port % WORKERS;

			moved += family == 0 &&
				 backends[0][port] != setup_choice(workers->setups[0], 0, &packet);
			for (uint32_t worker = 0; worker < WORKERS; worker++) {
				assert_int_equal(
					send_error(workers, worker, family == 1, port, &backend),
					owner);
				assert_int_equal(backend, backends[family][port]);
				steps += (owner + WORKERS - worker) % WORKERS;
				assert_int_equal(workers_handed_over(workers), steps);
			}
		}
	}
	/* The hash alone would have sent these elsewhere. */
	assert_true(moved > PORTS / 4);
}

/* A flow that no worker has: once round, then by the hash, at the last one. */
static void test_known_to_nobody(void **state)
{
	struct workers *workers = *state;
	uint16_t backend;

	workers_publish(workers);
	for (uint16_t port = 1; port < PORTS; port++) {
		const struct test_packet packet = packet_of(port);

		assert_int_equal(send_error(workers, 1, false, port, &backend), 0);
		assert_int_equal(backend, setup_choice(workers->setups[0], 0, &packet));
		assert_int_equal(workers_handed_over(workers), port * (WORKERS - 1));
	}
	assert_int_equal(workers->setups[0]->connections.count, 0);
}

/* Nothing to look for where flows are not tracked, or there is but one worker. */
static void test_not_searched(void **state)
{
	struct workers *workers = *state;
	uint16_t backend;

	for (uint32_t i = 0; i < WORKERS; i++)
		workers->setups[i]->vips[0].tracking = false;
	workers_publish(workers);
	assert_int_equal(send_error(workers, 1, false, 1, &backend), 1);
	workers->setups[1]->vips[0].tracking = true;
	workers->setups[1]->pipeline.inbox_count = 0;
	workers_publish(workers);
	assert_int_equal(send_error(workers, 1, false, 1, &backend), 1);
	assert_int_equal(workers_handed_over(workers), 0);
}

static void clear_ports(struct workers *workers)
{
	for (uint32_t i = 0; i < WORKERS; i++)
		memory_port_clear(&workers->setups[i]->port);
}

/* So many errors about a flow that nobody knows arrive at a worker, each a batch of its own. */
static void send_errors(struct workers *workers, uint32_t worker, uint32_t count)
{
	uint16_t backend;

	for (uint32_t i = 0; i < count; i++)
		send_error(workers, worker, false, 1, &backend);
}

/* Half of the inbox of the next stays free for fragments; the hash decides on the others at once.
 */
static void test_half_of_an_inbox(void **state)
{
	struct workers *workers = *state;
	struct setup *one = workers->setups[0];
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = build_error(false, 1, frame);

	workers_publish(workers);
	for (uint32_t i = 0; i < WORKERS_INBOX_SLOTS; i++)
		memory_port_queue(&one->port, frame, length, SETUP_HEADROOM);
	while (pipeline_run(&one->pipeline, &one->forwarding, one->now) > 0)
		workers_check(workers);
	assert_int_equal(one->counters.handed_over, WORKERS_INBOX_SLOTS / 2);
	assert_int_equal(one->counters.forwarded.packets, WORKERS_INBOX_SLOTS / 2);
	workers_run(workers);
	assert_int_equal(workers_handed_over(workers), WORKERS_INBOX_SLOTS);
	clear_ports(workers);
}

/* A worker starts so many searches a second, and passes on all of others. */
static void test_rate(void **state)
{
	struct workers *workers = *state;
	uint64_t expected = SEARCH_RATE * (WORKERS - 1);
	uint32_t worker;
	uint16_t backend;

	workers_publish(workers);
	send_errors(workers, 0, SEARCH_RATE + 10);
	assert_int_equal(workers_handed_over(workers), expected);
	send_errors(workers, 1, SEARCH_RATE + 10);
	expected *= 2;
	assert_int_equal(workers_handed_over(workers), expected);
	/* The first one may again; the second one has no token of its own. */
	workers->setups[0]->now += SECOND;
	worker = send_error(workers, 0, false, 1, &backend);
	assert_int_equal(worker, 2);
	expected += WORKERS - 1;
	assert_int_equal(workers_handed_over(workers), expected);
}

/* A record that leads nowhere any more ends no search: another worker may have a better one. */
static void test_stale_record(void **state)
{
	struct workers *workers = *state;
	uint16_t old, new, backend;
	uint32_t worker;

	workers_publish(workers);
	send_flow(workers, 0, false, 7, &old);
	for (uint32_t i = 0; i < WORKERS; i++)
		workers->setups[i]->described[old].is_present = false;
	workers_publish(workers);
	worker = send_flow(workers, 1, false, 7, &new);
	assert_int_equal(worker, 1);
	assert_int_not_equal(new, old);
	workers_change_choices(workers);
	worker = send_error(workers, 0, false, 7, &backend);
	assert_int_equal(worker, 1);
	assert_int_equal(backend, new);
}

/* A worker that sleeps is named to be woken. */
static void test_wakes(void **state)
{
	struct workers *workers = *state;
	struct setup *one = workers->setups[0];
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length = build_error(false, 1, frame);

	workers_publish(workers);
	assert_true(inbox_may_sleep(workers->inboxes[1]));
	memory_port_queue(&one->port, frame, length, SETUP_HEADROOM);
	pipeline_run(&one->pipeline, &one->forwarding, one->now);
	assert_int_equal(one->pipeline.wake_count, 1);
	assert_int_equal(one->pipeline.wakes[0], 1);
	inbox_awake(workers->inboxes[1]);
	workers_run(workers);
	clear_ports(workers);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_workers, workers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_found_where_the_flow_is),
		TEST(test_known_to_nobody),
		TEST(test_not_searched),
		TEST(test_half_of_an_inbox),
		TEST(test_rate),
		TEST(test_stale_record),
		TEST(test_wakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
