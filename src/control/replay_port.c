/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "replay_internal.h"

/* As much in front of the frame as XDP gives. */
#define HEADROOM    256
#define MAC_LENGTH  6
#define MACS_LENGTH (2 * MAC_LENGTH)

/* A frame's address: its number in the file, the index of its buffer, the offset of its data. */
#define NUMBER_SHIFT 32
#define BUFFER_SHIFT 20
#define MOST_BUFFERS (1 << (NUMBER_SHIFT - BUFFER_SHIFT))

static struct replay_port *from_port(struct port *port)
{
	return (struct replay_port *)((char *)port - offsetof(struct replay_port, port));
}

static uint64_t number_of(uint64_t address)
{
	return address >> NUMBER_SHIFT;
}

static struct frame make_frame(const struct replay_port *port, uint64_t number, uint32_t buffer,
			       uint32_t length)
{
	return (struct frame){
		.data = port->buffers[buffer] + HEADROOM,
		.address = number << NUMBER_SHIFT | (uint64_t)buffer << BUFFER_SHIFT | HEADROOM,
		.length = length,
		.headroom = HEADROOM,
	};
}

static uint32_t receive_frame(struct port *base, struct frame *frames, uint32_t capacity)
{
	struct replay_port *port = from_port(base);

	if (!port->offered || capacity == 0)
		return 0;
	frames[0] = port->frame;
	port->offered = false;
	return 1;
}

/* A free buffer, one more when there is none. */
static bool take_buffer(struct replay_port *port, uint32_t *taken)
{
	if (port->free_count == 0) {
		uint8_t *buffer;

		if (port->buffer_count == MOST_BUFFERS)
			return false;
		buffer = malloc(HEADROOM + REPLAY_LONGEST);
		if (buffer == NULL)
			return false;
		port->buffers[port->buffer_count] = buffer;
		port->free[port->free_count++] = (uint16_t)port->buffer_count++;
	}
	*taken = port->free[--port->free_count];
	return true;
}

static bool allocate_frame(struct port *base, uint64_t origin, struct frame *frame)
{
	struct replay_port *port = from_port(base);
	uint32_t buffer;

	if (!take_buffer(port, &buffer))
		return false;
	*frame = make_frame(port, number_of(origin), buffer, REPLAY_LONGEST);
	return true;
}

static void recycle_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	struct replay_port *port = from_port(base);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t buffer = (uint32_t)(frames[i].address >> BUFFER_SHIFT) % MOST_BUFFERS;

		port->free[port->free_count++] = (uint16_t)buffer;
	}
}

/* What leaves goes back to where the frame came from. */
static uint32_t send_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	struct replay_port *port = from_port(base);

	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *macs = port->frames->macs[number_of(frames[i].address) - 1];

		memcpy(frames[i].data, macs + MAC_LENGTH, MAC_LENGTH);
		memcpy(frames[i].data + MAC_LENGTH, macs, MAC_LENGTH);
		if (port->frames->output != NULL)
			capture_writer_append(port->frames->output, frames[i].data,
					      frames[i].length, port->frames->time_ns);
	}
	recycle_frames(base, frames, count);
	return count;
}

static uint64_t deliver_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	struct replay_port *port = from_port(base);

	for (uint32_t i = 0; i < count; i++)
		if (port->frames->slow_path != NULL)
			capture_writer_append(port->frames->slow_path, frames[i].data,
					      frames[i].length, port->frames->time_ns);
	return UINT64_MAX >> (64 - count);
}

static void discard(struct port *base, uint64_t origin, enum drop_reason reason)
{
	struct replay_port *port = from_port(base);

	if (port->frames->drops != NULL)
		fprintf(port->frames->drops, "%" PRIu64 ",%s\n", number_of(origin),
			drop_reason_label(reason));
}

static void drop_frames(struct port *base, const struct frame *frames, const uint8_t *reasons,
			uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		discard(base, frames[i].address, (enum drop_reason)reasons[i]);
	recycle_frames(base, frames, count);
}

static const struct port_operations operations = {
	.receive = receive_frame,
	.send = send_frames,
	.deliver = deliver_frames,
	.allocate = allocate_frame,
	.recycle = recycle_frames,
	.drop = drop_frames,
	.discard = discard,
};

int replay_port_open(struct replay_port *port, struct replay_frames *frames)
{
	port->port.operations = &operations;
	port->frames = frames;
	port->buffers = calloc(MOST_BUFFERS, sizeof(*port->buffers));
	port->free = calloc(MOST_BUFFERS, sizeof(*port->free));
	return port->buffers == NULL || port->free == NULL ? -ENOMEM : 0;
}

void replay_port_close(struct replay_port *port)
{
	for (uint32_t i = 0; i < port->buffer_count; i++)
		free(port->buffers[i]);
	free(port->buffers);
	free(port->free);
}

int replay_frames_add(struct replay_frames *frames, const struct captured_frame *frame)
{
	if (frames->count == frames->capacity) {
		uint64_t capacity = frames->capacity == 0 ? 1024 : 2 * frames->capacity;
		uint8_t(*grown)[12] = reallocarray(frames->macs, capacity, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		frames->macs = grown;
		frames->capacity = capacity;
	}
	/* A frame without both addresses is never sent. */
	memset(frames->macs[frames->count], 0, MACS_LENGTH);
	if (frame->length >= MACS_LENGTH)
		memcpy(frames->macs[frames->count], frame->data, MACS_LENGTH);
	frames->count++;
	frames->time_ns = frame->time_ns;
	return 0;
}

void replay_frames_release(struct replay_frames *frames)
{
	free(frames->macs);
}

int replay_port_offer(struct replay_port *port, const struct captured_frame *frame)
{
	uint32_t buffer;

	if (frame->length > REPLAY_LONGEST)
		return -EMSGSIZE;
	if (!take_buffer(port, &buffer))
		return -ENOMEM;
	port->frame = make_frame(port, port->frames->count, buffer, frame->length);
	memcpy(port->frame.data, frame->data, frame->length);
	port->offered = true;
	return 0;
}
