/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

/* What goes to the port in one call of send: packets in their order, each with its parts. */
struct outgoing {
	struct frame frames[PORT_MOST_FRAMES];
	uint32_t ends[PORT_BATCH]; /* behind the last frame of packets[i] */
	struct packet *packets[PORT_BATCH];
	uint32_t frame_count;
	uint32_t packet_count;
};

static void gather_outgoing(struct batch *batch, struct outgoing *outgoing)
{
	uint32_t part = 0;

	outgoing->frame_count = outgoing->packet_count = 0;
	for (uint32_t i = 0; i < batch->count; i++) {
		struct packet *packet = &batch->packets[i];

		if (packet->verdict != VERDICT_FORWARD && packet->verdict != VERDICT_ANSWER)
			continue;
		outgoing->frames[outgoing->frame_count++] = packet->frame;
		for (; part < batch->part_count && batch->parts[part].packet == packet; part++)
			outgoing->frames[outgoing->frame_count++] = batch->parts[part].frame;
		outgoing->packets[outgoing->packet_count] = packet;
		outgoing->ends[outgoing->packet_count++] = outgoing->frame_count;
	}
}

static void count_sent(struct pipeline *pipeline, const struct outgoing *outgoing, uint32_t i)
{
	const struct packet *packet = outgoing->packets[i];
	uint32_t first = i == 0 ? 0 : outgoing->ends[i - 1];
	struct counters *counters = pipeline->counters;
	uint64_t bytes = 0;

	if (packet->verdict == VERDICT_ANSWER) {
		counter_add(&counters->answered, 1);
		return;
	}
	for (uint32_t j = first; j < outgoing->ends[i]; j++)
		bytes += outgoing->frames[j].length;
	counter_add(&counters->forwarded.packets, 1);
	counter_add(&counters->forwarded.bytes, bytes);
	counter_add(&counters->parts_sent, outgoing->ends[i] - first - 1);
	counter_add(&pipeline->backends[packet->backend].packets, 1);
	counter_add(&pipeline->backends[packet->backend].bytes, bytes);
}

/* The port took only some frames: what became of the others. */
static void take_back(struct pipeline *pipeline, const struct outgoing *outgoing, uint32_t i,
		      uint32_t taken)
{
	struct packet *packet = outgoing->packets[i];
	uint32_t first = i == 0 ? 0 : outgoing->ends[i - 1];
	uint32_t part = taken > first + 1 ? taken : first + 1;
	struct port *port = pipeline->port;

	if (part < outgoing->ends[i])
		port->operations->recycle(port, &outgoing->frames[part], outgoing->ends[i] - part);
	packet_drop(packet, DROP_TX_RING_FULL);
	if (taken > first) {
		/* Its own frame is on the way: the rest of the packet is lost. */
		counter_add(&pipeline->counters->dropped[packet->reason], 1);
		port->operations->discard(port, packet->frame.address, DROP_TX_RING_FULL);
		packet->verdict = VERDICT_FORWARD;
	}
}

static void send_frames(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct outgoing outgoing;
	uint32_t taken;

	gather_outgoing(batch, &outgoing);
	if (outgoing.frame_count == 0)
		return;
	taken = port->operations->send(port, outgoing.frames, outgoing.frame_count);
	for (uint32_t i = 0; i < outgoing.packet_count; i++) {
		if (outgoing.ends[i] <= taken)
			count_sent(pipeline, &outgoing, i);
		else
			take_back(pipeline, &outgoing, i, taken);
	}
}

static void deliver_frames(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct packet *packets[PORT_BATCH];
	struct frame frames[PORT_BATCH];
	uint32_t count = 0;
	uint64_t accepted;

	for (uint32_t i = 0; i < batch->count; i++) {
		if (batch->packets[i].verdict != VERDICT_SLOW_PATH)
			continue;
		packets[count] = &batch->packets[i];
		frames[count++] = batch->packets[i].frame;
	}
	if (count == 0)
		return;
	accepted = port->operations->deliver(port, frames, count);
	for (uint32_t i = 0; i < count; i++)
		if (!(accepted >> i & 1))
			packet_drop(packets[i], DROP_SLOW_PATH_REFUSED);
	counter_add(&pipeline->counters->slow_path, (uint64_t)__builtin_popcountll(accepted));
}

/* Counts the drops and gives back every frame that was not sent. */
static void give_back_frames(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct frame recycled[PORT_BATCH], dropped[PORT_BATCH];
	uint32_t recycled_count = 0, dropped_count = 0;
	uint8_t reasons[PORT_BATCH];

	for (uint32_t i = 0; i < batch->count; i++) {
		const struct packet *packet = &batch->packets[i];

		switch (packet->verdict) {
		case VERDICT_FORWARD:
		case VERDICT_ANSWER:
			break;
		case VERDICT_DROP:
			counter_add(&pipeline->counters->dropped[packet->reason], 1);
			reasons[dropped_count] = packet->reason;
			dropped[dropped_count++] = packet->frame;
			break;
		default:
			recycled[recycled_count++] = packet->frame;
		}
	}
	if (recycled_count > 0)
		port->operations->recycle(port, recycled, recycled_count);
	if (dropped_count > 0)
		port->operations->drop(port, dropped, reasons, dropped_count);
}

void pipeline_send(struct pipeline *pipeline, struct batch *batch)
{
	send_frames(pipeline, batch);
	deliver_frames(pipeline, batch);
	give_back_frames(pipeline, batch);
}
