/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "replay_internal.h"

/* As much in front of the frame as XDP gives, and the longest frame that libpcap reads. */
#define HEADROOM    256
#define LONGEST	    262144
#define MAC_LENGTH  6
#define MACS_LENGTH (2 * MAC_LENGTH)

static struct replay_port *from_port(struct port *port)
{
	return (struct replay_port *)((char *)port - offsetof(struct replay_port, port));
}

static uint32_t receive_frame(struct port *base, struct frame *frames, uint32_t capacity)
{
	struct replay_port *port = from_port(base);

	if (!port->offered || capacity == 0)
		return 0;
	frames[0] = (struct frame){ .data = port->buffer + HEADROOM,
				    .length = port->length,
				    .headroom = HEADROOM };
	port->offered = false;
	return 1;
}

/* What leaves goes back to where the frame came from. */
static uint32_t send_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	struct replay_port *port = from_port(base);

	for (uint32_t i = 0; i < count; i++) {
		memcpy(frames[i].data, port->source_mac, MAC_LENGTH);
		memcpy(frames[i].data + MAC_LENGTH, port->destination_mac, MAC_LENGTH);
		if (port->output != NULL)
			capture_writer_append(port->output, frames[i].data, frames[i].length,
					      port->time_ns);
	}
	return count;
}

static uint64_t deliver_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	struct replay_port *port = from_port(base);

	for (uint32_t i = 0; i < count; i++)
		if (port->slow_path != NULL)
			capture_writer_append(port->slow_path, frames[i].data, frames[i].length,
					      port->time_ns);
	return UINT64_MAX >> (64 - count);
}

static void recycle_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	(void)base;
	(void)frames;
	(void)count;
}

static void drop_frames(struct port *base, const struct frame *frames, const uint8_t *reasons,
			uint32_t count)
{
	struct replay_port *port = from_port(base);

	(void)frames;
	for (uint32_t i = 0; i < count; i++)
		if (port->drops != NULL)
			fprintf(port->drops, "%" PRIu64 ",%s\n", port->number,
				drop_reason_label((enum drop_reason)reasons[i]));
}

static const struct port_operations operations = {
	.receive = receive_frame,
	.send = send_frames,
	.deliver = deliver_frames,
	.recycle = recycle_frames,
	.drop = drop_frames,
};

int replay_port_open(struct replay_port *port)
{
	port->port.operations = &operations;
	port->buffer = malloc(HEADROOM + LONGEST);
	return port->buffer != NULL ? 0 : -ENOMEM;
}

void replay_port_close(struct replay_port *port)
{
	free(port->buffer);
	port->buffer = NULL;
}

int replay_port_offer(struct replay_port *port, const struct captured_frame *frame, uint64_t number)
{
	uint8_t *data = port->buffer + HEADROOM;

	if (frame->length > LONGEST)
		return -EMSGSIZE;
	memcpy(data, frame->data, frame->length);
	/* A frame without both addresses is never sent. */
	if (frame->length >= MACS_LENGTH) {
		memcpy(port->destination_mac, data, MAC_LENGTH);
		memcpy(port->source_mac, data + MAC_LENGTH, MAC_LENGTH);
	}
	port->length = frame->length;
	port->offered = true;
	port->number = number;
	port->time_ns = frame->time_ns;
	return 0;
}
