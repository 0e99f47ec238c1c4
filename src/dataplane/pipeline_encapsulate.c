/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last stage before sending: each match gets its destination and its outer header. Nearly all
 * are of flows whose entry was seen by pipeline_look_ahead and is all right; they are worked off by
 * one loop, the others by pipeline_select and encapsulate_other.
 */
#include "encapsulation_inline.h"
#include "pipeline_internal.h"

static inline void add_outgoing(struct outgoing *outgoing, struct packet *packet)
{
	uint32_t frame = outgoing->frame_count, place = outgoing->packet_count;

	outgoing->frames[frame] = packet->frame;
	outgoing->packets[place] = packet;
	outgoing->ends[place] = frame + 1;
	outgoing->frame_count = frame + 1;
	outgoing->packet_count = place + 1;
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

/*
 * What select_tracked does for a flow whose entry was seen, if its backend serves and can be
 * reached. False: it is not so, or packets of this batch that came before have changed the entry.
 */
static inline bool select_seen(struct pipeline *pipeline, const struct batch *batch,
			       struct match *match)
{
	const struct destination *destination = match->destination;
	struct connection *connection = match->connection;
	struct packet *packet = match->packet;
	enum connection_event event = (enum connection_event)match->event;
	enum connection_state state;

	if (connection == NULL || connection->hash != packet->hash ||
	    connection_route(connection) != match->route || event == CONNECTION_EVENT_SYN ||
	    !connection_is_live(pipeline->connections, connection, batch->second) ||
	    destination->generation != connection->generation ||
	    destination->pool != match->vip->pool || destination->state != DESTINATION_READY)
		return false;
	/* Before the entry is touched, which may move it. */
	packet->backend = connection->backend;
	state = connection_next(connection->state, event);
	if (event != CONNECTION_EVENT_NONE)
		connection_touch(pipeline->connections, connection, state, batch->second);
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
	add_outgoing(outgoing, packet);
	for (; part < batch->part_count; part++)
		outgoing->frames[outgoing->frame_count++] = batch->parts[part].frame;
	outgoing->ends[outgoing->packet_count - 1] = outgoing->frame_count;
}

static inline bool is_plain(const struct packet *packet, const struct destination *destination)
{
	return destination->state == DESTINATION_READY &&
	       packet->l3_length <= destination->packet_limit &&
	       encapsulation_is_plain(packet, destination);
}

void pipeline_encapsulate(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct batch *batch)
{
	struct answers answers;
	uint64_t hits = 0;

	answers.count = 0;
	if (batch->match_count < batch->total)
		find_answers(batch, &answers);
	for (uint32_t i = 0; i < batch->match_count; i++) {
		struct match *match = &batch->matches[i];
		struct packet *packet = match->packet;

		if (match->kind == MATCH_TRACKED && select_seen(pipeline, batch, match)) {
			hits++;
		} else if (match->kind != MATCH_DECIDED) {
			pipeline_select(pipeline, forwarding, batch, match);
			if (packet->verdict != VERDICT_FORWARD)
				continue;
		}
		if (!is_plain(packet, match->destination))
			encapsulate_other(pipeline, forwarding, batch, match);
		else if (encapsulation_apply_inline(packet, match->destination, true))
			add_outgoing(&batch->outgoing, packet);
		else
			packet->verdict = VERDICT_DROP;
	}
	counter_add(&pipeline->counters->lookups_hit, hits);
	for (uint32_t i = 0; i < answers.count; i++)
		add_outgoing(&batch->outgoing, answers.packets[i]);
	batch->outgoing.answer_count += answers.count;
}
