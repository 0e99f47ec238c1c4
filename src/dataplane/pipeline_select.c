/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/maglev.h>

#include "pipeline_internal.h"

/* Whether the backend of an entry still serves the VIP. */
static bool serves(const struct forwarding *forwarding, const struct destination *destinations,
		   uint16_t backend, uint16_t generation, const struct vip *vip)
{
	const struct destination *destination;

	if (backend >= forwarding->destination_count)
		return false;
	destination = &destinations[backend];
	return destination->state != DESTINATION_ABSENT && destination->generation == generation &&
	       destination->pool == vip->pool;
}

static bool is_current(const struct forwarding *forwarding, const struct destination *destinations,
		       const struct connection *connection, const struct vip *vip)
{
	return serves(forwarding, destinations, connection->backend, connection->generation, vip);
}

/* The slot of the Maglev table that chooses for the flow. */
static inline const uint16_t *slot_of(const struct forwarding *forwarding,
				      const struct match *match)
{
	const struct forwarding_pool *pool = &forwarding->pools[match->vip->pool];
	uint64_t hash = match->vip->by_source ? match->source_hash : match->hash;

	return &pool->slots[maglev_slot(hash, pool->size)];
}

/* Whether the flow keeps the backend of its entry, or NULL; counts what the lookup gave. A packet
 * that opens a connection is no lookup. */
static bool is_hit(struct pipeline *pipeline, const struct forwarding *forwarding,
		   const struct match *match, enum connection_event event,
		   const struct connection *connection)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	uint64_t *result = &pipeline->counters->lookups_miss;
	bool hit = false;

	if (event == CONNECTION_EVENT_SYN)
		return false;
	if (connection != NULL) {
		hit = is_current(forwarding, destinations, connection, match->vip);
		result =
			hit ? &pipeline->counters->lookups_hit : &pipeline->counters->lookups_stale;
	}
	counter_add(result, 1);
	return hit;
}

/*
 * The backend of a tracked flow: its old one while that serves and the packet does not open a new
 * connection; otherwise `found`, or by consistent hash when that is MAGLEV_NO_BACKEND, and
 * recorded.
 */
static inline __attribute__((always_inline)) uint16_t
select_tracked(struct pipeline *pipeline, const struct forwarding *forwarding,
	       const struct batch *batch, const struct match *match, uint16_t found)
{
	enum connection_event event = (enum connection_event)match->event;
	struct connection_table *table = pipeline->connections;
	struct connection *remains = connection_look_up(table, match->hash), *connection = NULL;
	enum connection_state state;
	uint16_t backend, generation;

	if (remains != NULL && connection_is_live(table, remains, batch->second))
		connection = remains;
	state = connection_next(connection != NULL ? connection->state : CONNECTION_EMPTY, event);
	if (is_hit(pipeline, forwarding, match, event, connection)) {
		backend = connection->backend;
		if (event != CONNECTION_EVENT_NONE)
			connection_touch(table, connection, state, batch->second);
		return backend;
	}
	backend = found != MAGLEV_NO_BACKEND ? found : *slot_of(forwarding, match);
	if (backend == MAGLEV_NO_BACKEND || event == CONNECTION_EVENT_NONE)
		return backend;
	generation = forwarding->interfaces[pipeline->interface].destinations[backend].generation;
	if (connection != NULL) {
		connection->backend = backend;
		connection->generation = generation;
		connection->vip_tag = (uint8_t)match->vip->index;
		connection_touch(table, connection, state, batch->second);
	} else if (state != CONNECTION_EMPTY && connection_admit(table, batch->now_ns)) {
		connection = connection_record(table, remains, match->hash, state, backend,
					       generation, batch->second);
		if (connection != NULL)
			connection->vip_tag = (uint8_t)match->vip->index;
	}
	return backend;
}

const struct connection *pipeline_find_current(const struct pipeline *pipeline,
					       const struct forwarding *forwarding,
					       const struct match *match, uint64_t second)
{
	const struct vip *vip = match->vip;
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	const struct connection *connection =
		vip->tracking ? connection_find(pipeline->connections, match->hash, second) : NULL;

	if (connection == NULL || !is_current(forwarding, destinations, connection, vip))
		return NULL;
	return connection;
}

/* The backend of the flow that an ICMP error is about. It is no packet of that flow: nothing is
 * recorded or kept alive by it. */
static uint16_t select_for_error(const struct pipeline *pipeline,
				 const struct forwarding *forwarding, const struct match *match,
				 uint64_t second)
{
	const struct connection *connection =
		pipeline_find_current(pipeline, forwarding, match, second);

	return connection != NULL ? connection->backend : *slot_of(forwarding, match);
}

static inline __attribute__((always_inline)) uint16_t
select_flow(struct pipeline *pipeline, const struct forwarding *forwarding,
	    const struct batch *batch, const struct match *match, uint16_t found)
{
	if (match->vip->tracking)
		return select_tracked(pipeline, forwarding, batch, match, found);
	return *slot_of(forwarding, match);
}

uint16_t pipeline_select_flow(struct pipeline *pipeline, const struct forwarding *forwarding,
			      const struct batch *batch, const struct match *match,
			      const struct flow_record *record)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	bool is_right = record->is_known && serves(forwarding, destinations, record->backend,
						   record->generation, match->vip);

	return select_flow(pipeline, forwarding, batch, match,
			   is_right ? record->backend : MAGLEV_NO_BACKEND);
}

/* An entry that is seen in the first bucket at first sight, and the destination that it leads to. A
 * flow that is not there is in the second bucket, if anywhere. */
static inline void look_for_entry(const struct pipeline *pipeline,
				  const struct forwarding *forwarding,
				  const struct destination *destinations, struct match *match)
{
	struct connection_bucket *bucket = match->bucket;
	uint32_t mask = connection_match(bucket, match->hash);

	if (__builtin_expect(mask == 0, false)) {
		match->connection = NULL;
		__builtin_prefetch(connection_second_bucket(pipeline->connections, match->hash));
		__builtin_prefetch(slot_of(forwarding, match));
		return;
	}
	match->connection = &bucket->entries[__builtin_ctz(mask)];
	/* Whether there is such a destination is looked at later. */
	__builtin_prefetch(&destinations[match->connection->backend]);
}

/* Without tracking, the slot decides. */
static inline void decide_by_slot(const struct forwarding *forwarding,
				  const struct destination *destinations, struct match *match)
{
	uint16_t backend = *slot_of(forwarding, match);

	if (backend == MAGLEV_NO_BACKEND)
		return;
	match->packet->backend = backend;
	match->destination = &destinations[backend];
	match->kind = MATCH_DECIDED;
	__builtin_prefetch(match->destination);
}

void pipeline_look_ahead(const struct pipeline *pipeline, const struct forwarding *forwarding,
			 struct batch *batch)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	struct match *match = batch->matches;
	const struct match *end = match + batch->match_count;

	for (; match < end; match++) {
		if (__builtin_expect(match->kind != MATCH_TRACKED, false)) {
			if (match->kind == MATCH_FLOW)
				decide_by_slot(forwarding, destinations, match);
		} else if (__builtin_expect(match->event == CONNECTION_EVENT_SYN, false)) {
			/* What is on record does not count for those that open a connection, and
			 * both buckets are on their way. */
			match->connection = NULL;
			__builtin_prefetch(slot_of(forwarding, match));
		} else {
			look_for_entry(pipeline, forwarding, destinations, match);
		}
	}
}

void pipeline_select(struct pipeline *pipeline, const struct forwarding *forwarding,
		     const struct batch *batch, struct match *match)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	struct packet *packet = match->packet;

	if (match->kind == MATCH_DECIDED)
		return;
	if (match->kind == MATCH_ICMP_ERROR)
		packet->backend = select_for_error(pipeline, forwarding, match, batch->second);
	else
		packet->backend =
			select_flow(pipeline, forwarding, batch, match, MAGLEV_NO_BACKEND);
	if (packet->backend == MAGLEV_NO_BACKEND)
		packet_drop(packet, DROP_NO_BACKEND);
	else
		match->destination = &destinations[packet->backend];
}
