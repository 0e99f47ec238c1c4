/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

void pipeline_encapsulate(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct batch *batch)
{
	for (uint32_t i = 0; i < batch->match_count; i++) {
		struct match *match = &batch->matches[i];
		struct packet *packet = match->packet;

		if (packet->verdict != VERDICT_FORWARD)
			continue;
		if (match->destination->state != DESTINATION_READY)
			packet_drop(packet, DROP_NO_NEXT_HOP);
		else if (packet->l3_length > match->destination->packet_limit)
			pipeline_exceeds_mtu(pipeline, forwarding, batch, match);
		else if (!encapsulation_apply(packet, match->destination))
			packet->verdict = VERDICT_DROP;
	}
}
