/* SPDX-License-Identifier: BSD-2-Clause */
#include "encapsulation_inline.h"
#include "pipeline_internal.h"

static inline void add_outgoing(struct batch *batch, struct packet *packet)
{
	struct outgoing *outgoing = &batch->outgoing;

	outgoing->frames[outgoing->frame_count++] = packet->frame;
	outgoing->packets[outgoing->packet_count] = packet;
	outgoing->ends[outgoing->packet_count++] = outgoing->frame_count;
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
	add_outgoing(batch, packet);
	for (; part < batch->part_count; part++)
		outgoing->frames[outgoing->frame_count++] = batch->parts[part].frame;
	outgoing->ends[outgoing->packet_count - 1] = outgoing->frame_count;
}

void pipeline_encapsulate(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct batch *batch)
{
	struct answers answers;

	answers.count = 0;
	if (batch->match_count < batch->total)
		find_answers(batch, &answers);
	for (uint32_t i = 0; i < batch->match_count; i++) {
		struct match *match = &batch->matches[i];
		struct packet *packet = match->packet;

		if (packet->verdict != VERDICT_FORWARD)
			continue;
		if (match->destination->state != DESTINATION_READY ||
		    packet->l3_length > match->destination->packet_limit ||
		    !encapsulation_is_plain(packet, match->destination)) {
			encapsulate_other(pipeline, forwarding, batch, match);
			continue;
		}
		if (encapsulation_apply_inline(packet, match->destination, true))
			add_outgoing(batch, packet);
		else
			packet->verdict = VERDICT_DROP;
	}
	for (uint32_t i = 0; i < answers.count; i++)
		add_outgoing(batch, answers.packets[i]);
	batch->outgoing.answer_count += answers.count;
}
