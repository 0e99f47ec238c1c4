/* SPDX-License-Identifier: BSD-2-Clause */
#include <netinet/in.h>

#include <fluxpin/maglev.h>

#include "pipeline_internal.h"

static bool is_new_connection(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

/* The state in which the packet's flow is, after one that was in `state` before (or EMPTY). */
static enum connection_state next_state(const struct packet *packet, uint8_t state)
{
	if (packet->protocol != IPPROTO_TCP)
		return CONNECTION_DATAGRAM;
	if (is_new_connection(packet))
		return CONNECTION_SYN;
	if (state == CONNECTION_CLOSING || (packet->tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST)))
		return CONNECTION_CLOSING;
	return CONNECTION_ESTABLISHED;
}

/* Whether the entry's backend still serves the VIP. */
static bool is_current(const struct forwarding *forwarding, const struct destination *destinations,
		       const struct connection *connection, const struct vip *vip)
{
	const struct destination *destination;

	if (connection->backend >= forwarding->destination_count)
		return false;
	destination = &destinations[connection->backend];
	return destination->state != DESTINATION_ABSENT &&
	       destination->generation == connection->generation && destination->pool == vip->pool;
}

/* Writes only what changes: a hit within the same second leaves the cache line clean. */
static void touch(struct connection *connection, enum connection_state state, uint64_t second)
{
	if (connection->last_seen != (uint16_t)second)
		connection->last_seen = (uint16_t)second;
	if (connection->state != state)
		connection->state = (uint8_t)state;
}

static uint16_t select_by_hash(const struct forwarding *forwarding, const struct vip *vip,
			       uint64_t hash)
{
	const struct forwarding_pool *pool = &forwarding->pools[vip->pool];

	return pool->slots[maglev_slot(hash, pool->size)];
}

/*
 * The backend of a tracked flow: its old one while that serves and the packet does not open a new
 * connection; otherwise by consistent hash, and recorded.
 */
static uint16_t select_tracked(struct pipeline *pipeline, const struct forwarding *forwarding,
			       const struct packet *packet, const struct vip *vip, uint64_t second)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	struct connection *connection =
		connection_find(pipeline->connections, packet->hash, second);
	enum connection_state state;
	uint16_t backend;

	state = next_state(packet, connection != NULL ? connection->state : CONNECTION_EMPTY);
	if (!is_new_connection(packet)) {
		uint64_t *result = &pipeline->counters->lookups_miss;
		bool hit = false;

		if (connection != NULL) {
			hit = is_current(forwarding, destinations, connection, vip);
			result = hit ? &pipeline->counters->lookups_hit
				     : &pipeline->counters->lookups_stale;
		}
		counter_add(result, 1);
		if (hit) {
			touch(connection, state, second);
			return connection->backend;
		}
	}
	backend = select_by_hash(forwarding, vip, packet->hash);
	if (backend == MAGLEV_NO_BACKEND)
		return backend;
	if (connection != NULL) {
		connection->backend = backend;
		connection->generation = destinations[backend].generation;
		touch(connection, state, second);
	} else if (state != CONNECTION_CLOSING) {
		connection_insert(pipeline->connections, packet->hash, state, backend,
				  destinations[backend].generation, second);
	}
	return backend;
}

/* The backend of the flow that an ICMP error is about. It is no packet of that flow: nothing is
 * recorded or kept alive by it. */
static uint16_t select_for_error(const struct pipeline *pipeline,
				 const struct forwarding *forwarding, const struct packet *packet,
				 const struct vip *vip, uint64_t second)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	const struct connection *connection =
		vip->tracking ? connection_find(pipeline->connections, packet->hash, second) : NULL;

	if (connection != NULL && is_current(forwarding, destinations, connection, vip))
		return connection->backend;
	return select_by_hash(forwarding, vip, packet->hash);
}

uint16_t pipeline_select_flow(struct pipeline *pipeline, const struct forwarding *forwarding,
			      const struct packet *packet, const struct vip *vip, uint64_t second)
{
	if (vip->tracking)
		return select_tracked(pipeline, forwarding, packet, vip, second);
	return select_by_hash(forwarding, vip, packet->hash);
}

void pipeline_select(struct pipeline *pipeline, const struct forwarding *forwarding,
		     struct batch *batch)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;

	for (uint32_t i = 0; i < batch->match_count; i++) {
		struct match *match = &batch->matches[i];
		struct packet *packet = match->packet;

		if (match->kind == MATCH_DECIDED)
			continue;
		if (match->kind == MATCH_ICMP_ERROR)
			packet->backend = select_for_error(pipeline, forwarding, packet, match->vip,
							   batch->second);
		else
			packet->backend = pipeline_select_flow(pipeline, forwarding, packet,
							       match->vip, batch->second);
		if (packet->backend == MAGLEV_NO_BACKEND) {
			packet_drop(packet, DROP_NO_BACKEND);
			continue;
		}
		match->destination = &destinations[packet->backend];
		__builtin_prefetch(match->destination);
	}
}
