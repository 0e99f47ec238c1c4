/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last stage before sending: each match gets its destination and its outer header. Nearly all
 * are of flows whose entry was seen by pipeline_look_ahead and is all right; they are worked off by
 * one loop, the others by pipeline_select and encapsulate_other.
 */
#include "encapsulation_inline.h"
#include "pipeline_internal.h"

/* How many matches ahead buckets are fetched once more: of what the first stage asks for at one go,
 * the CPU leaves out what it has no room for. */
#define FETCH_DISTANCE 8

static void add_packet(struct outgoing *outgoing, struct packet *packet)
{
	outgoing->frames[outgoing->frame_count++] = packet->frame;
	outgoing->packets[outgoing->packet_count++] = packet;
}

static void add_parts(struct outgoing *outgoing, const struct part *parts, uint32_t count)
{
	if (count > 0)
		outgoing->splits[outgoing->split_count++] =
			(struct packet_parts){ .packet = outgoing->packet_count - 1,
					       .parts = count };
	for (uint32_t i = 0; i < count; i++)
		outgoing->frames[outgoing->frame_count++] = parts[i].frame;
}

/* Answers that were given without a match: to echo requests, and relayed reports. */
struct answers {
	struct packet *packets[BATCH_PACKETS];
	uint32_t count;
};

static void find_answers(struct batch *batch, struct answers *answers)
{
	for (uint32_t i = 0; i < batch->total; i++)
		if (batch->packets[i].verdict == VERDICT_ANSWER)
			answers->packets[answers->count++] = &batch->packets[i];
}

/* What a batch looks entries up in. */
struct seen {
	struct connection_table *connections;
	const struct destination *destinations;
	uint32_t destination_count;
	uint64_t second;
	/* By event: what the end of an entry looks like that is up to date, and stays as it is. */
	uint32_t current[CONNECTION_EVENT_COUNT];
};

static void set_current(struct seen *seen)
{
	for (int event = 0; event < CONNECTION_EVENT_COUNT; event++)
		seen->current[event] = CONNECTION_NO_MARK;
	seen->current[CONNECTION_EVENT_ACK] = connection_mark(CONNECTION_ESTABLISHED, seen->second);
	seen->current[CONNECTION_EVENT_UDP] = connection_mark(CONNECTION_UDP, seen->second);
	seen->current[CONNECTION_EVENT_OTHER] = connection_mark(CONNECTION_OTHER, seen->second);
}

/* The entry was seen to be that of the packet's flow, and its backend serves: false if it is dead.
 */
static __attribute__((noinline)) bool touch_seen(const struct seen *seen, const struct match *match)
{
	enum connection_event event = (enum connection_event)match->event;
	struct connection *connection = match->connection;

	if (!connection_is_live(seen->connections, connection, seen->second))
		return false;
	if (event != CONNECTION_EVENT_NONE)
		connection_touch(seen->connections, connection,
				 connection_next(connection->state, event), seen->second);
	return true;
}

/*
 * What select_tracked does for a flow whose entry was seen, without touching it. NULL: it is not
 * so, or packets of this batch that came before have changed the entry.
 */
static inline const struct destination *find_seen(const struct seen *seen,
						  const struct match *match)
{
	const struct connection *connection = match->connection;
	const struct destination *destination;
	uint32_t backend;

	if (connection == NULL || connection->hash != match->hash)
		return NULL;
	backend = connection->backend;
	destination = &seen->destinations[backend];
	if (backend >= seen->destination_count ||
	    destination->generation != connection->generation ||
	    destination->pool != match->vip->pool)
		return NULL;
	match->packet->backend = (uint16_t)backend;
	return destination;
}

/* Whether the entry that was found is live; it is touched. */
static inline bool is_current(const struct seen *seen, const struct match *match)
{
	return __builtin_expect(connection_mark_of(match->connection) ==
					seen->current[match->event],
				true) ||
	       touch_seen(seen, match);
}

/* What does not just take its outer header and go. */
static __attribute__((noinline)) void encapsulate_other(struct pipeline *pipeline,
							const struct forwarding *forwarding,
							struct batch *batch, struct match *match)
{
	struct outgoing *outgoing = &batch->outgoing;
	struct packet *packet = match->packet;
	uint32_t part = batch->part_count;

	pipeline_read_packet(match);
	if (match->destination->state != DESTINATION_READY)
		packet_drop(packet, DROP_NO_NEXT_HOP);
	else if (packet->l3_length > match->destination->packet_limit)
		pipeline_exceeds_mtu(pipeline, forwarding, batch, match);
	else if (!encapsulation_apply(packet, match->destination))
		packet->verdict = VERDICT_DROP;
	if (packet->verdict == VERDICT_DROP)
		return;
	if (packet->verdict == VERDICT_ANSWER)
		outgoing->answer_count++;
	add_packet(outgoing, packet);
	add_parts(outgoing, &batch->parts[part], batch->part_count - part);
}

static inline __attribute__((always_inline)) bool
apply_header(const struct match *match, const struct destination *destination, struct frame *sent)
{
	const struct inside inside = { .hash = match->hash,
				       .length = match->length,
				       .traffic_class = match->traffic_class,
				       .is_ipv6 = match->is_ipv6 };

	return encapsulation_apply_bare(match->frame, &inside, destination, sent);
}

static inline __attribute__((always_inline)) void
fetch_later(const struct pipeline *pipeline, const struct match *match, const struct match *end)
{
	if (match < end && match->kind == MATCH_TRACKED && match->connection == NULL)
		connection_prefetch_both(pipeline->connections, match->hash);
}

/* A match that the loop below leaves: a new flow above all. */
static __attribute__((noinline)) void encapsulate_slowly(struct pipeline *pipeline,
							 const struct forwarding *forwarding,
							 struct batch *batch, struct match *match)
{
	struct outgoing *outgoing = &batch->outgoing;

	fetch_later(pipeline, match + FETCH_DISTANCE, &batch->matches[batch->match_count]);
	pipeline_select(pipeline, forwarding, batch, match);
	if (match->packet->verdict != VERDICT_FORWARD) {
		pipeline_read_packet(match);
	} else if (match->bare_length <= match->destination->bare_limit &&
		   apply_header(match, match->destination,
				&outgoing->frames[outgoing->frame_count])) {
		outgoing->frame_count++;
		outgoing->packets[outgoing->packet_count++] = match->packet;
	} else {
		encapsulate_other(pipeline, forwarding, batch, match);
	}
}

/*
 * Matches for as long as they have a destination and nothing but an outer header to get, up to the
 * end of the batch. Returns the first one that is left.
 */
static inline struct match *encapsulate_run(const struct seen *seen, struct outgoing *outgoing,
					    struct match *match, const struct match *end,
					    uint64_t *hits)
{
	struct frame *sent = &outgoing->frames[outgoing->frame_count];
	struct packet **packet = &outgoing->packets[outgoing->packet_count];
	const struct match *first = match;
	uint64_t decided = 0;

	for (; match < end; match++) {
		const struct destination *destination;

		if (__builtin_expect(match->kind == MATCH_TRACKED, true)) {
			destination = find_seen(seen, match);
			if (destination == NULL || match->bare_length > destination->bare_limit ||
			    !is_current(seen, match) || !apply_header(match, destination, sent))
				break;
		} else if (match->kind == MATCH_DECIDED) {
			destination = match->destination;
			if (match->bare_length > destination->bare_limit ||
			    !apply_header(match, destination, sent))
				break;
			decided++;
		} else {
			break;
		}
		*packet++ = match->packet;
		sent++;
	}
	outgoing->frame_count = (uint32_t)(sent - outgoing->frames);
	outgoing->packet_count = (uint32_t)(packet - outgoing->packets);
	*hits += (uint64_t)(match - first) - decided;
	return match;
}

void pipeline_encapsulate(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct batch *batch)
{
	struct seen seen = {
		.connections = pipeline->connections,
		.destinations = forwarding->interfaces[pipeline->interface].destinations,
		.destination_count = forwarding->destination_count,
		.second = batch->second,
	};
	struct match *match = batch->matches;
	const struct match *end = match + batch->match_count;
	struct answers answers;
	uint64_t hits = 0;

	set_current(&seen);
	answers.count = 0;
	if (batch->match_count < batch->total)
		find_answers(batch, &answers);
	for (; match < end; match++) {
		match = encapsulate_run(&seen, &batch->outgoing, match, end, &hits);
		if (match == end)
			break;
		encapsulate_slowly(pipeline, forwarding, batch, match);
	}
	counter_add(&pipeline->counters->lookups_hit, hits);
	for (uint32_t i = 0; i < answers.count; i++)
		add_packet(&batch->outgoing, answers.packets[i]);
	batch->outgoing.answer_count += answers.count;
}
