/* SPDX-License-Identifier: BSD-2-Clause */
#include <stddef.h>

#include <fluxpin/xsk_port.h>

#include "memory_port.h"

#define FRAME_SIZE 2048 /* umem.frame_size */
#define RING_MASK  (MEMORY_PORT_FRAMES - 1)

static struct memory_port *from_port(struct port *port)
{
	return (struct memory_port *)((char *)port - offsetof(struct memory_port, port));
}

/* What the NIC would do with the next packet. */
static void arrive(struct memory_port *port)
{
	uint64_t address = port->free[port->free_head++ & RING_MASK] + XSK_HEADROOM;

	workload_render(&port->workload, (uint8_t *)port->memory.base + address);
	port->rx[port->rx_tail++ & RING_MASK] = address;
}

static uint32_t receive_frames(struct port *base, struct frame *frames, uint32_t capacity)
{
	struct memory_port *port = from_port(base);
	uint32_t count = capacity < port->batch ? capacity : port->batch;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = port->rx[port->rx_head++ & RING_MASK];

		frames[i] = (struct frame){ .data = (uint8_t *)port->memory.base + address,
					    .address = address,
					    .length = port->workload.length,
					    .headroom = XSK_HEADROOM };
	}
	for (uint32_t i = 0; i < count; i++)
		arrive(port);
	return count;
}

static void recycle_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	struct memory_port *port = from_port(base);

	for (uint32_t i = 0; i < count; i++)
		port->free[port->free_tail++ & RING_MASK] =
			frames[i].address & ~(uint64_t)(FRAME_SIZE - 1);
}

static uint32_t send_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	recycle_frames(base, frames, count);
	return count;
}

static uint64_t deliver_frames(struct port *base, const struct frame *frames, uint32_t count)
{
	(void)base;
	(void)frames;
	return UINT64_MAX >> (PORT_BATCH - count);
}

static bool allocate_frame(struct port *base, uint64_t origin, struct frame *frame)
{
	(void)base;
	(void)origin;
	(void)frame;
	return false;
}

static void drop_frames(struct port *base, const struct frame *frames, const uint8_t *reasons,
			uint32_t count)
{
	(void)reasons;
	recycle_frames(base, frames, count);
}

static void discard(struct port *base, uint64_t origin, enum drop_reason reason)
{
	(void)base;
	(void)origin;
	(void)reason;
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

int memory_port_open(struct memory_port *port, const struct workload *workload, uint32_t batch,
		     uint32_t depth)
{
	int error;

	*port = (struct memory_port){ .port = { .operations = &operations },
				      .workload = *workload,
				      .batch = batch };
	error = memory_map((size_t)MEMORY_PORT_FRAMES * FRAME_SIZE, &port->memory);
	if (error != 0)
		return error;
	while (port->free_tail < MEMORY_PORT_FRAMES) {
		port->free[port->free_tail] = (uint64_t)port->free_tail * FRAME_SIZE;
		port->free_tail++;
	}
	for (uint32_t i = 0; i < depth; i++)
		arrive(port);
	return 0;
}

void memory_port_close(struct memory_port *port)
{
	memory_unmap(&port->memory);
}

uint32_t memory_port_missing(const struct memory_port *port)
{
	return MEMORY_PORT_FRAMES - (port->free_tail - port->free_head) -
	       (port->rx_tail - port->rx_head);
}
