/* SPDX-License-Identifier: BSD-2-Clause */
#include <stddef.h>

#include <fluxpin/packet.h>

#include "recorder.h"

#define OUTER_DESTINATION_END (ETHERNET_HEADER_LENGTH + 18) /* the last two bytes */

static struct recorder *from_port(struct port *port)
{
	return (struct recorder *)((char *)port - offsetof(struct recorder, port));
}

static uint32_t receive_frames(struct port *port, struct frame *frames, uint32_t capacity)
{
	struct port *inner = &from_port(port)->inner->port;

	return inner->operations->receive(inner, frames, capacity);
}

/* Frames are sent in the order in which they came, and none is dropped (survive.c checks it). */
static uint32_t send_frames(struct port *port, const struct frame *frames, uint32_t count)
{
	struct recorder *recorder = from_port(port);
	struct port *inner = &recorder->inner->port;

	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *bytes = frames[i].data + OUTER_DESTINATION_END;

		recorder->backends[recorder->next] = (uint16_t)((bytes[0] << 8 | bytes[1]) - 1);
		if (++recorder->next == recorder->flows)
			recorder->next = 0;
	}
	return inner->operations->send(inner, frames, count);
}

static uint64_t deliver_frames(struct port *port, const struct frame *frames, uint32_t count)
{
	struct port *inner = &from_port(port)->inner->port;

	return inner->operations->deliver(inner, frames, count);
}

static bool allocate_frame(struct port *port, uint64_t origin, struct frame *frame)
{
	struct port *inner = &from_port(port)->inner->port;

	return inner->operations->allocate(inner, origin, frame);
}

static void recycle_frames(struct port *port, const struct frame *frames, uint32_t count)
{
	struct port *inner = &from_port(port)->inner->port;

	inner->operations->recycle(inner, frames, count);
}

static void drop_frames(struct port *port, const struct frame *frames, const uint8_t *reasons,
			uint32_t count)
{
	struct port *inner = &from_port(port)->inner->port;

	inner->operations->drop(inner, frames, reasons, count);
}

static void discard(struct port *port, uint64_t origin, enum drop_reason reason)
{
	struct port *inner = &from_port(port)->inner->port;

	inner->operations->discard(inner, origin, reason);
}

static const struct port_operations operations = {
	.receive = receive_frames,
	.send = send_frames,
	.deliver = deliver_frames,
	.allocate = allocate_frame,
	.recycle = recycle_frames,
	.drop = drop_frames,
	.discard = discard,
};

void recorder_initialise(struct recorder *recorder, struct memory_port *inner, uint16_t *backends,
			 uint32_t flows)
{
	*recorder = (struct recorder){
		.port = { .operations = &operations },
		.inner = inner,
		.backends = backends,
		.flows = flows,
	};
}
