/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last stage before sending: each match gets its destination and its outer header. Nearly all
 * are of flows whose entry was seen by pipeline_look_ahead and is all right; they are worked off by
 * one loop, the others by pipeline_select and encapsulate_other.
 */
#include "encapsulation_inline.h"
#include "pipeline_internal.h"

/* Behind what was gathered: one frame more, the packet's own. */
static inline void add_outgoing(struct outgoing *outgoing, struct packet *packet)
{
	uint32_t frames = outgoing->frame_count + 1, place = outgoing->packet_count;

	outgoing->packets[place] = packet;
	outgoing->ends[place] = frames;
	outgoing->frame_count = frames;
	outgoing->packet_count = place + 1;
}

static void add_packet(struct outgoing *outgoing, struct packet *packet)
{
	outgoing->frames[outgoing->frame_count] = packet->frame;
	add_outgoing(outgoing, packet);
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
 * What select_tracked does for a flow whose entry was seen, if its backend serves and can be
 * reached. False: it is not so, or packets of this batch that came before have changed the entry.
 */
static inline bool select_seen(const struct seen *seen, struct match *match)
{
	const struct connection *connection = match->connection;
	const struct destination *destination;
	uint32_t backend;

	if (connection == NULL || connection->hash != match->hash)
		return false;
	backend = connection->backend;
	destination = &seen->destinations[backend];
	if (backend >= seen->destination_count ||
	    destination->generation != connection->generation ||
	    destination->pool != match->vip->pool || destination->state != DESTINATION_READY)
		return false;
	/* Touching it may move it; nothing of it is read after that. */
	if (__builtin_expect(connection_mark_of(connection) != seen->current[match->event],
			     false) &&
	    !touch_seen(seen, match))
		return false;
	match->destination = destination;
	match->packet->backend = (uint16_t)backend;
	return true;
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
	for (; part < batch->part_count; part++)
		outgoing->frames[outgoing->frame_count++] = batch->parts[part].frame;
	outgoing->ends[outgoing->packet_count - 1] = outgoing->frame_count;
}

/* The outer header, if that is all there is to do. */
static inline bool encapsulate_bare(struct outgoing *outgoing, const struct match *match)
{
	const struct destination *destination = match->destination;
	const struct inside inside = { .hash = match->hash,
				       .length = match->length,
				       .traffic_class = match->traffic_class,
				       .is_ipv6 = match->is_ipv6 };

	if (destination->state != DESTINATION_READY || match->length > destination->packet_limit ||
	    destination->tag_count != 0 || !match->is_bare ||
	    !encapsulation_apply_bare(match->frame, &inside, destination,
				      &outgoing->frames[outgoing->frame_count]))
		return false;
	add_outgoing(outgoing, match->packet);
	return true;
}

/* Another way than by an entry that was seen; false when the packet goes no further. */
static __attribute__((noinline)) bool select_other(struct pipeline *pipeline,
						   const struct forwarding *forwarding,
						   const struct batch *batch, struct match *match)
{
	if (match->kind == MATCH_DECIDED)
		return true;
	pipeline_select(pipeline, forwarding, batch, match);
	if (match->packet->verdict == VERDICT_FORWARD)
		return true;
	pipeline_read_packet(match);
	return false;
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
	struct answers answers;
	uint64_t hits = 0;

	set_current(&seen);
	answers.count = 0;
	if (batch->match_count < batch->total)
		find_answers(batch, &answers);
	for (uint32_t i = 0; i < batch->match_count; i++) {
		struct match *match = &batch->matches[i];

		if (match->kind == MATCH_TRACKED && select_seen(&seen, match))
			hits++;
		else if (!select_other(pipeline, forwarding, batch, match))
			continue;
		if (!encapsulate_bare(&batch->outgoing, match))
			encapsulate_other(pipeline, forwarding, batch, match);
	}
	counter_add(&pipeline->counters->lookups_hit, hits);
	for (uint32_t i = 0; i < answers.count; i++)
		add_packet(&batch->outgoing, answers.packets[i]);
	batch->outgoing.answer_count += answers.count;
}
