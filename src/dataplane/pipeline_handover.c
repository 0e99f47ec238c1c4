/* SPDX-License-Identifier: BSD-2-Clause */
/* What workers of one NIC hand over to each other, by their inboxes. */
#include <string.h>

#include "pipeline_internal.h"

/* Of a batch, for what was handed over, also when the NIC alone could fill it. */
#define INBOX_SHARE (PORT_BATCH / 4)

uint32_t pipeline_next_worker(const struct pipeline *pipeline)
{
	uint32_t next = pipeline->inbox_own + 1;

	return next < pipeline->inbox_count ? next : 0;
}

bool pipeline_hand_over(struct pipeline *pipeline, struct batch *batch, struct packet *packet,
			const struct handover *handover)
{
	struct inbox *inbox = pipeline->inboxes[handover->worker];
	uint32_t reserve = handover->is_must ? 0 : inbox->slot_count / 2;
	struct inbox_note note = { .hops = (uint8_t)(packet->hops + 1),
				   .record = handover->record };

	if (!inbox_put(inbox, &packet->frame, &note, reserve))
		return false;
	packet->verdict = VERDICT_HANDED_OVER;
	batch->handed_over.packets++;
	batch->handed_over.bytes += packet->frame.length;
	if (inbox_must_wake(inbox))
		pipeline->wakes[pipeline->wake_count++] = (uint16_t)handover->worker;
	return true;
}

/* Into a frame of this port's own. False when there is none, or none that holds it. */
static bool copy_in(struct port *port, const struct frame *copy, struct frame *frame)
{
	if (!port->operations->allocate(port, copy->address, frame))
		return false;
	if (copy->length > frame->length) {
		port->operations->recycle(port, frame, 1);
		return false;
	}
	memcpy(frame->data, copy->data, copy->length);
	frame->length = copy->length;
	return true;
}

uint32_t pipeline_receive_limit(const struct pipeline *pipeline)
{
	struct inbox_note note;
	struct frame copy;

	if (pipeline->inbox_count == 0 ||
	    !inbox_take(pipeline->inboxes[pipeline->inbox_own], &copy, &note))
		return PORT_BATCH;
	return PORT_BATCH - INBOX_SHARE;
}

uint32_t pipeline_take_handed_over(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct inbox_note note;
	struct inbox *inbox;
	struct frame copy;
	uint32_t taken = 0;

	if (pipeline->inbox_count == 0)
		return 0;
	inbox = pipeline->inboxes[pipeline->inbox_own];
	for (; batch->count < PORT_BATCH && taken < PORT_BATCH && inbox_take(inbox, &copy, &note);
	     taken++) {
		if (copy_in(port, &copy, &batch->packets[batch->count].frame)) {
			batch->packets[batch->count].hops = note.hops;
			batch->packets[batch->count++].record = note.record;
		} else {
			batch->received.packets++;
			batch->received.bytes += copy.length;
			counter_add(&pipeline->counters->dropped[DROP_NO_FRAME], 1);
			port->operations->discard(port, copy.address, DROP_NO_FRAME);
		}
		inbox_take_done(inbox);
	}
	return taken;
}
