/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port for tests: each frame lies in a heap block of exactly its headroom and length, and a
 * ledger checks that the pipeline gives each one back exactly once, in one piece and within the
 * batch, unless it is a fragment that waits.
 *
 * A frame's address is its number in the upper bits and the offset of its data in the lower 16.
 */
#ifndef FLUXPIN_TEST_MEMORY_PORT_H
#define FLUXPIN_TEST_MEMORY_PORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fluxpin/port.h>
#include <fluxpin/verdict.h>

#include "packets.h"

#define MEMORY_PORT_FRAMES   4096
#define MEMORY_PORT_HEADROOM 256

enum frame_owner {
	FRAME_QUEUED,
	FRAME_WITH_PIPELINE,
	FRAME_SENT,
	FRAME_RECYCLED,
	FRAME_DROPPED
};

struct memory_frame {
	uint8_t *memory;
	uint8_t *original; /* the frame as it was received */
	uint32_t headroom;
	uint32_t length;
	enum frame_owner owner;
	bool is_delivered;
};

struct memory_port {
	struct port port;
	struct memory_frame frames[MEMORY_PORT_FRAMES];
	uint32_t count;
	uint32_t received;
	struct frame sent[MEMORY_PORT_FRAMES]; /* in order */
	uint32_t sent_count;
	uint32_t delivered[MEMORY_PORT_FRAMES]; /* numbers, in order */
	uint32_t delivered_count;
	uint32_t send_limit;	 /* frames taken by each send */
	uint32_t allocate_limit; /* frames that allocate still gives */
	uint32_t allocate_length;
	bool is_free_form; /* what is sent need not hold what was received: the test checks it */
	uint64_t deliver_mask; /* answered by each deliver */
	uint64_t received_bytes, sent_bytes;
	uint64_t dropped[DROP_REASON_COUNT]; /* by the reasons that the pipeline gave */
	uint64_t discarded[DROP_REASON_COUNT];
};

static inline uint32_t frame_number(const struct frame *frame)
{
	return (uint32_t)(frame->address >> 16);
}

/* The frame's ledger entry; fails when address, data and headroom do not belong together. */
static inline struct memory_frame *memory_port_frame(struct memory_port *port,
						     const struct frame *frame)
{
	struct memory_frame *entry = &port->frames[frame_number(frame)];
	uint32_t offset = (uint32_t)(frame->address & 0xffff);

	if (frame_number(frame) >= port->count || frame->data != entry->memory + offset ||
	    frame->headroom != offset || offset + frame->length > entry->headroom + entry->length)
		fail_msg("frame %u: address, data, headroom and length disagree",
			 frame_number(frame));
	if (entry->owner != FRAME_WITH_PIPELINE)
		fail_msg("frame %u is not the pipeline's", frame_number(frame));
	return entry;
}

static inline uint32_t memory_port_receive(struct port *base, struct frame *frames,
					   uint32_t capacity)
{
	struct memory_port *port = (struct memory_port *)base;
	uint32_t count = 0;

	assert_in_range(capacity, 1, PORT_BATCH);
	for (; count < capacity && port->received < port->count; port->received++) {
		struct memory_frame *entry = &port->frames[port->received];

		/* One that was allocated. */
		if (entry->owner != FRAME_QUEUED)
			continue;
		entry->owner = FRAME_WITH_PIPELINE;
		frames[count++] = (struct frame){
			.data = entry->memory + entry->headroom,
			.address = (uint64_t)port->received << 16 | entry->headroom,
			.length = entry->length,
			.headroom = entry->headroom,
		};
		port->received_bytes += entry->length;
	}
	return count;
}

static inline uint32_t memory_port_send(struct port *base, const struct frame *frames,
					uint32_t count)
{
	struct memory_port *port = (struct memory_port *)base;
	uint32_t taken = count < port->send_limit ? count : port->send_limit;

	assert_in_range(count, 1, PORT_MOST_FRAMES);
	for (uint32_t i = 0; i < taken; i++) {
		struct memory_frame *entry = memory_port_frame(port, &frames[i]);
		const uint8_t *inner;
		uint32_t length;

		entry->owner = FRAME_SENT;
		port->sent[port->sent_count++] = frames[i];
		port->sent_bytes += frames[i].length;
		/* Parts have no original of their own. */
		if (port->is_free_form)
			continue;
		inner = entry->original + 14;
		length = inner[0] >> 4 == 6 ? 40u + test_load16(inner + 4) : test_load16(inner + 2);
		if (frames[i].length < 14 + length ||
		    memcmp(frames[i].data + frames[i].length - length, inner, length) != 0)
			fail_msg("frame %u: the inner packet was touched",
				 frame_number(&frames[i]));
		if (test_load16(frames[i].data + 12) == 0x0800 &&
		    test_checksum(frames[i].data + 14, 20) != 0)
			fail_msg("frame %u: wrong outer checksum", frame_number(&frames[i]));
	}
	return taken;
}

static inline uint64_t memory_port_deliver(struct port *base, const struct frame *frames,
					   uint32_t count)
{
	struct memory_port *port = (struct memory_port *)base;
	uint64_t all = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;

	assert_in_range(count, 1, PORT_BATCH);
	for (uint32_t i = 0; i < count; i++) {
		struct memory_frame *entry = memory_port_frame(port, &frames[i]);

		if (frames[i].length != entry->length ||
		    memcmp(frames[i].data, entry->original, entry->length) != 0)
			fail_msg("frame %u is delivered changed", frame_number(&frames[i]));
		if (entry->is_delivered)
			fail_msg("frame %u is delivered twice", frame_number(&frames[i]));
		if (!(port->deliver_mask >> i & 1))
			continue;
		entry->is_delivered = true;
		port->delivered[port->delivered_count++] = frame_number(&frames[i]);
	}
	return port->deliver_mask & all;
}

static inline void memory_port_recycle(struct port *base, const struct frame *frames,
				       uint32_t count)
{
	struct memory_port *port = (struct memory_port *)base;

	assert_in_range(count, 1, PORT_MOST_FRAMES);
	for (uint32_t i = 0; i < count; i++) {
		struct memory_frame *entry = memory_port_frame(port, &frames[i]);

		if (!entry->is_delivered && !port->is_free_form)
			fail_msg("frame %u is recycled, and was not delivered",
				 frame_number(&frames[i]));
		entry->owner = FRAME_RECYCLED;
	}
}

static inline void memory_port_drop(struct port *base, const struct frame *frames,
				    const uint8_t *reasons, uint32_t count)
{
	struct memory_port *port = (struct memory_port *)base;

	assert_in_range(count, 1, PORT_MOST_FRAMES);
	for (uint32_t i = 0; i < count; i++) {
		struct memory_frame *entry = memory_port_frame(port, &frames[i]);

		assert_in_range(reasons[i], 0, DROP_REASON_COUNT - 1);
		if (entry->is_delivered)
			fail_msg("frame %u is dropped after delivery", frame_number(&frames[i]));
		entry->owner = FRAME_DROPPED;
		port->dropped[reasons[i]]++;
	}
}

/* A block of the port's frame size, numbered behind those that are queued. */
static inline bool memory_port_allocate(struct port *base, uint64_t origin, struct frame *frame)
{
	struct memory_port *port = (struct memory_port *)base;
	uint32_t number = port->count;
	struct memory_frame *entry = &port->frames[number];

	assert_in_range(origin >> 16, 0, MEMORY_PORT_FRAMES - 1);
	if (port->allocate_limit == 0 || number == MEMORY_PORT_FRAMES)
		return false;
	port->allocate_limit--;
	*entry = (struct memory_frame){ .memory = malloc(MEMORY_PORT_HEADROOM +
							 port->allocate_length),
					.headroom = MEMORY_PORT_HEADROOM,
					.length = port->allocate_length,
					.owner = FRAME_WITH_PIPELINE };
	assert_non_null(entry->memory);
	port->count++;
	*frame = (struct frame){
		.data = entry->memory + entry->headroom,
		.address = (uint64_t)number << 16 | entry->headroom,
		.length = entry->length,
		.headroom = entry->headroom,
	};
	return true;
}

static inline void memory_port_discard(struct port *base, uint64_t origin, enum drop_reason reason)
{
	struct memory_port *port = (struct memory_port *)base;

	assert_in_range(origin >> 16, 0, MEMORY_PORT_FRAMES - 1);
	assert_in_range(reason, 0, DROP_REASON_COUNT - 1);
	port->discarded[reason]++;
}

static inline void memory_port_open(struct memory_port *port)
{
	static const struct port_operations operations = {
		.receive = memory_port_receive,
		.send = memory_port_send,
		.deliver = memory_port_deliver,
		.allocate = memory_port_allocate,
		.recycle = memory_port_recycle,
		.drop = memory_port_drop,
		.discard = memory_port_discard,
	};

	memset(port, 0, sizeof(*port));
	port->port.operations = &operations;
	port->send_limit = UINT32_MAX;
	port->allocate_limit = UINT32_MAX;
	port->allocate_length = TEST_FRAME_SIZE;
	port->deliver_mask = UINT64_MAX;
}

/* Puts a frame into the port's queue; returns its number. */
static inline uint32_t memory_port_queue(struct memory_port *port, const uint8_t *bytes,
					 uint32_t length, uint32_t headroom)
{
	struct memory_frame *entry = &port->frames[port->count];

	assert_in_range(port->count, 0, MEMORY_PORT_FRAMES - 1);
	*entry = (struct memory_frame){ .memory = malloc(headroom + length),
					.original = test_exact_copy(bytes, length),
					.headroom = headroom,
					.length = length };
	assert_non_null(entry->memory);
	memset(entry->memory, 0, headroom);
	memcpy(entry->memory + headroom, bytes, length);
	return port->count++;
}

/* After a batch: nothing stayed with the pipeline but the fragments that it holds. */
static inline void memory_port_check(const struct memory_port *port, uint64_t held)
{
	uint64_t kept = 0;

	for (uint32_t i = 0; i < port->count; i++)
		if (port->frames[i].owner == FRAME_WITH_PIPELINE)
			kept++;
	if (kept != held)
		fail_msg("%llu frames were not given back", (unsigned long long)(kept - held));
}

/* Forgets all frames. */
static inline void memory_port_clear(struct memory_port *port)
{
	for (uint32_t i = 0; i < port->count; i++) {
		free(port->frames[i].memory);
		free(port->frames[i].original);
	}
	port->count = port->received = port->sent_count = port->delivered_count = 0;
}

#endif
