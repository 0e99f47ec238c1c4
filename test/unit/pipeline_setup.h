/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pipeline on a memory port with VIPs and backends that a test describes, changes and publishes,
 * as a reload would. Backend i of the description has the outer address 10.1.0.i or fd01::i.
 */
#ifndef FLUXPIN_TEST_PIPELINE_SETUP_H
#define FLUXPIN_TEST_PIPELINE_SETUP_H

#include <stdio.h>

#include <fluxpin/flow.h>
#include <fluxpin/maglev.h>
#include <fluxpin/pipeline.h>

#include "memory_port.h"

#define SETUP_POOLS	 3
#define SETUP_BACKENDS	 32
#define SETUP_VIPS	 12
#define SETUP_TABLE_SIZE 251
#define SETUP_SEED	 UINT64_C(0x0123456789abcdef)
#define SETUP_HEADROOM	 256

#define TEST_VIP    0xcb00710a /* 203.0.113.10 */
#define TEST_CLIENT 0xc6336407 /* 198.51.100.7 */

#define SECOND UINT64_C(1000000000)

#define SETUP_FRAGMENT_TIMEOUT (2 * SECOND)

/* The index of a backend is its place in the description. */
struct setup_backend {
	bool is_present;
	bool is_resolved;
	uint16_t weight;
	uint16_t pool;
	uint16_t generation;
	uint16_t mtu;
	enum encapsulation encapsulation;
	bool is_ipv6;
	char name[16];
};

struct setup {
	/* the description */
	struct setup_backend described[SETUP_BACKENDS];
	struct vip vips[SETUP_VIPS];
	uint32_t vip_count;
	uint32_t backend_limit;
	bool any_mac;
	/* what is built from it */
	struct forwarding forwarding;
	struct forwarding_pool pools[SETUP_POOLS];
	uint16_t slots[SETUP_POOLS][SETUP_TABLE_SIZE];
	struct forwarding_interface interfaces[2];
	struct destination destinations[SETUP_BACKENDS];
	struct vip_table *table;
	/* what runs on it */
	struct memory_port port;
	struct connection_settings settings;
	struct connection_table connections;
	struct fragment_table fragments;
	struct counters counters;
	struct traffic_counter vip_counters[65536];
	struct traffic_counter backend_counters[65536];
	struct pipeline pipeline;
	uint64_t now;
};

static inline void setup_add_vip(struct setup *setup, uint32_t address, uint8_t length,
				 uint8_t protocol, uint16_t port, uint16_t pool)
{
	setup->vips[setup->vip_count] = (struct vip){
		.prefix = { .address = address_from_ipv4(htonl(address)), .length = length },
		.protocol = protocol,
		.port = port,
		.pool = pool,
		.tracking = true,
		.fragments = false,
		/* Not its place: counters are by index. */
		.index = (uint16_t)(1000 + 7 * setup->vip_count),
	};
	setup->vip_count++;
}

/* As test_build_ipv6 writes them. */
static inline struct address setup_ipv6_address(uint32_t destination)
{
	struct address address = { .bytes = { 0x20, 0x01, 0x0d, 0xb8 } };

	address.words_be[3] = htonl(destination);
	return address;
}

static inline void setup_prepare(const struct setup_backend *backend, uint16_t index,
				 struct destination *destination)
{
	struct encapsulation_path path = {
		.encapsulation = backend->encapsulation,
		.source = address_from_ipv4(htonl(0x0a000005)),
		.destination = address_from_ipv4(htonl(0x0a010000u + index)),
		.mtu = backend->mtu,
	};

	if (backend->is_ipv6) {
		path.source = (struct address){ .bytes = { 0xfd, [15] = 5 } };
		path.destination = (struct address){ .bytes = { 0xfd, 1 } };
		path.destination.words_be[3] = htonl(index);
	}
	memcpy(path.source_mac, test_own_mac, 6);
	memcpy(path.next_hop_mac, test_peer_mac, 6);
	encapsulation_prepare(destination, &path);
}

static inline void setup_add_backend(struct setup *setup, uint16_t index, uint16_t pool)
{
	struct setup_backend *backend = &setup->described[index];

	*backend = (struct setup_backend){
		.is_present = true,
		.is_resolved = true,
		.weight = 100,
		.pool = pool,
		.generation = (uint16_t)(backend->generation + 1),
		.mtu = 1500,
	};
	snprintf(backend->name, sizeof(backend->name), "b%u", index);
	if (index >= setup->backend_limit)
		setup->backend_limit = index + 1u;
}

/* Builds the forwarding from the description. */
static inline void setup_publish(struct setup *setup)
{
	struct maglev_backend backends[SETUP_BACKENDS];

	/* What lies beyond the limit keeps its old contents, which nothing may read. */
	memset(setup->destinations, 0, setup->backend_limit * sizeof(setup->destinations[0]));
	for (uint16_t pool = 0; pool < SETUP_POOLS; pool++) {
		uint32_t count = 0;

		for (uint16_t i = 0; i < setup->backend_limit; i++) {
			const struct setup_backend *backend = &setup->described[i];

			if (backend->is_present && backend->pool == pool)
				backends[count++] = (struct maglev_backend){
					.name = backend->name,
					.weight = backend->weight,
					.index = i,
				};
		}
		assert_int_equal(
			maglev_build(backends, count, SETUP_TABLE_SIZE, setup->slots[pool]), 0);
		setup->pools[pool] = (struct forwarding_pool){ .slots = setup->slots[pool],
							       .size = SETUP_TABLE_SIZE };
	}
	for (uint16_t i = 0; i < setup->backend_limit; i++) {
		const struct setup_backend *backend = &setup->described[i];
		struct destination *destination = &setup->destinations[i];

		if (!backend->is_present)
			continue;
		destination->state = DESTINATION_UNRESOLVED;
		if (backend->is_resolved)
			setup_prepare(backend, i, destination);
		destination->generation = backend->generation;
		destination->pool = backend->pool;
	}
	vip_table_release(setup->table);
	assert_int_equal(vip_table_build(setup->vips, setup->vip_count, &setup->table), 0);
	/* The pipeline's interface is the second one; the first would take no frame. */
	setup->interfaces[0] = (struct forwarding_interface){ .destinations = NULL };
	setup->interfaces[1] = (struct forwarding_interface){ .destinations = setup->destinations,
							      .any_mac = setup->any_mac };
	memcpy(setup->interfaces[1].mac, test_own_mac, 6);
	setup->forwarding = (struct forwarding){
		.generation = setup->forwarding.generation + 1,
		.hash_seed = SETUP_SEED,
		.connections = &setup->settings,
		.vips = setup->table,
		.pools = setup->pools,
		.interfaces = setup->interfaces,
		.pool_count = SETUP_POOLS,
		.interface_count = 2,
		.destination_count = setup->backend_limit,
	};
}

/* TCP 80 and UDP 53 of TEST_VIP on pool 0, which has backends 1 to 4; pool 1 has 11 and 12. */
static inline int setup_open(void **state)
{
	struct setup *setup = aligned_alloc(64, sizeof(*setup));
	size_t size = connection_table_size(CONNECTION_MIN_CAPACITY);
	void *memory = aligned_alloc(64, size);

	if (setup == NULL || memory == NULL)
		return -1;
	memset(setup, 0, sizeof(*setup));
	memset(memory, 0, size);
	connection_table_initialise(&setup->connections, memory, CONNECTION_MIN_CAPACITY);
	setup->settings = CONNECTION_DEFAULT_SETTINGS;
	fragment_table_initialise(
		&setup->fragments,
		aligned_alloc(64, (fragment_table_size(FRAGMENT_MIN_CAPACITY) + 63) / 64 * 64),
		FRAGMENT_MIN_CAPACITY, FRAGMENT_MOST_HELD, SETUP_FRAGMENT_TIMEOUT);
	memory_port_open(&setup->port);
	setup->now = 1000 * SECOND;
	setup->pipeline = (struct pipeline){
		.port = &setup->port.port,
		.connections = &setup->connections,
		.fragments = &setup->fragments,
		.counters = &setup->counters,
		.vips = setup->vip_counters,
		.backends = setup->backend_counters,
		.interface = 1,
	};
	setup_add_vip(setup, TEST_VIP, 128, IPPROTO_TCP, 80, 0);
	setup_add_vip(setup, TEST_VIP, 128, IPPROTO_UDP, 53, 0);
	for (uint16_t i = 1; i <= 4; i++)
		setup_add_backend(setup, i, 0);
	setup_add_backend(setup, 11, 1);
	setup_add_backend(setup, 12, 1);
	setup_publish(setup);
	*state = setup;
	return 0;
}

static inline int setup_close(void **state)
{
	struct setup *setup = *state;

	memory_port_clear(&setup->port);
	vip_table_release(setup->table);
	free(setup->fragments.datagrams);
	free(setup->connections.buckets);
	free(setup);
	return 0;
}

static inline uint32_t setup_queue(struct setup *setup, const struct test_packet *packet)
{
	uint8_t buffer[TEST_FRAME_SIZE];
	uint32_t length = test_build(packet, buffer);

	return memory_port_queue(&setup->port, buffer, length, SETUP_HEADROOM);
}

static inline uint64_t setup_dropped(const struct setup *setup)
{
	uint64_t dropped = 0;

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		dropped += setup->counters.dropped[reason];
	return dropped;
}

/* Runs batches until the port is empty; checks the ledger and the sums after each. */
static inline void setup_run(struct setup *setup)
{
	const struct counters *counters = &setup->counters;
	uint32_t count;

	do {
		count = pipeline_run(&setup->pipeline, &setup->forwarding, setup->now);
		memory_port_check(&setup->port, setup->fragments.held_count);
		assert_int_equal(counters->received.packets,
				 counters->forwarded.packets + counters->slow_path +
					 counters->answered + setup_dropped(setup) +
					 setup->fragments.held_count);
		assert_int_equal(counters->received.bytes, setup->port.received_bytes);
		/* Answers are sent, and count as no bytes forwarded. */
		if (counters->answered == 0)
			assert_int_equal(counters->forwarded.bytes, setup->port.sent_bytes);
	} while (count > 0);
}

/* The backend that a sent frame goes to, by the last two bytes of the outer destination. */
static inline uint16_t setup_backend_of(const struct frame *frame)
{
	bool is_ipv6 = test_load16(frame->data + 12) == 0x86dd;

	return test_load16(frame->data + 14 + (is_ipv6 ? 38 : 18));
}

/* The flow hash of a packet with ports. */
static inline uint64_t setup_hash(const struct test_packet *packet)
{
	return flow_hash_ipv4(htonl(packet->source), htonl(packet->destination),
			      htons(packet->source_port), htons(packet->destination_port),
			      packet->protocol, SETUP_SEED);
}

/* What the Maglev table of the pool says. */
static inline uint16_t setup_choice(const struct setup *setup, uint16_t pool,
				    const struct test_packet *packet)
{
	return setup->slots[pool][maglev_slot(setup_hash(packet), SETUP_TABLE_SIZE)];
}

#define SETUP_DROPPED UINT16_MAX

/* Runs one packet; returns its backend, or SETUP_DROPPED when it was not sent. */
static inline uint16_t setup_send(struct setup *setup, const struct test_packet *packet)
{
	uint32_t before = setup->port.sent_count;
	uint32_t number = setup_queue(setup, packet);
	uint16_t backend = SETUP_DROPPED;

	setup_run(setup);
	if (setup->port.sent_count > before) {
		assert_int_equal(setup->port.sent_count, before + 1);
		assert_int_equal(frame_number(&setup->port.sent[before]), number);
		backend = setup_backend_of(&setup->port.sent[before]);
	}
	memory_port_clear(&setup->port);
	return backend;
}

#endif
