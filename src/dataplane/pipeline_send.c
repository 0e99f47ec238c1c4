/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

/* Everything was taken, and each packet is one frame to a backend. */
static void count_all_sent(struct pipeline *pipeline, const struct outgoing *outgoing)
{
	struct counters *counters = pipeline->counters;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < outgoing->packet_count; i++) {
		struct traffic_counter *backend =
			&pipeline->backends[outgoing->packets[i]->backend];
		uint32_t length = outgoing->frames[i].length;

		counter_add(&backend->packets, 1);
		counter_add(&backend->bytes, length);
		bytes += length;
	}
	counter_add(&counters->forwarded.packets, outgoing->packet_count);
	counter_add(&counters->forwarded.bytes, bytes);
}

/* A packet and its frames: its own, and those of its parts behind it. */
struct sent {
	struct packet *packet;
	const struct frame *frames;
	uint32_t count;
};

static void count_sent(struct pipeline *pipeline, const struct sent *sent)
{
	const struct packet *packet = sent->packet;
	struct counters *counters = pipeline->counters;
	uint64_t bytes = 0;

	if (packet->verdict == VERDICT_ANSWER) {
		counter_add(&counters->answered, 1);
		return;
	}
	for (uint32_t i = 0; i < sent->count; i++)
		bytes += sent->frames[i].length;
	counter_add(&counters->forwarded.packets, 1);
	counter_add(&counters->forwarded.bytes, bytes);
	counter_add(&counters->parts_sent, sent->count - 1);
	counter_add(&pipeline->backends[packet->backend].packets, 1);
	counter_add(&pipeline->backends[packet->backend].bytes, bytes);
}

/* The port took only `taken` of the packet's frames: what became of the others. */
static void take_back(struct pipeline *pipeline, const struct sent *sent, uint32_t taken)
{
	struct packet *packet = sent->packet;
	uint32_t part = taken > 1 ? taken : 1;
	struct port *port = pipeline->port;

	if (part < sent->count)
		port->operations->recycle(port, &sent->frames[part], sent->count - part);
	packet->frame = sent->frames[0];
	packet_drop(packet, DROP_TX_RING_FULL);
	if (taken > 0) {
		/* Its own frame is on the way: the rest of the packet is lost. */
		counter_add(&pipeline->counters->dropped[packet->reason], 1);
		port->operations->discard(port, packet->frame.address, DROP_TX_RING_FULL);
		packet->verdict = VERDICT_FORWARD;
	}
}

/* Packet by packet; the port took the first `taken` frames. */
static void settle(struct pipeline *pipeline, const struct outgoing *outgoing, uint32_t taken)
{
	const struct packet_parts *split = outgoing->splits, *last = split + outgoing->split_count;
	struct sent sent = { .frames = outgoing->frames };

	for (uint32_t i = 0; i < outgoing->packet_count; i++) {
		sent.packet = outgoing->packets[i];
		sent.count = 1;
		if (split < last && split->packet == i)
			sent.count += split++->parts;
		if (sent.count <= taken)
			count_sent(pipeline, &sent);
		else
			take_back(pipeline, &sent, taken);
		taken -= taken < sent.count ? taken : sent.count;
		sent.frames += sent.count;
	}
}

/* Whether all that leaves are whole packets to backends. */
static bool is_uniform(const struct batch *batch)
{
	return batch->part_count == 0 && batch->outgoing.answer_count == 0;
}

/* Returns whether all of it was taken. */
static bool send_frames(struct pipeline *pipeline, struct batch *batch)
{
	const struct outgoing *outgoing = &batch->outgoing;
	struct port *port = pipeline->port;
	uint32_t taken;

	if (outgoing->frame_count == 0)
		return true;
	taken = port->operations->send(port, outgoing->frames, outgoing->frame_count);
	if (taken == outgoing->frame_count && is_uniform(batch)) {
		count_all_sent(pipeline, outgoing);
		return true;
	}
	settle(pipeline, outgoing, taken);
	return taken == outgoing->frame_count;
}

/* Frames for the kernel, as many as one call takes. */
struct delivery {
	struct packet *packets[PORT_BATCH];
	struct frame frames[PORT_BATCH];
	uint32_t count;
};

static void deliver(struct pipeline *pipeline, struct delivery *delivery)
{
	struct port *port = pipeline->port;
	uint64_t accepted;

	if (delivery->count == 0)
		return;
	accepted = port->operations->deliver(port, delivery->frames, delivery->count);
	for (uint32_t i = 0; i < delivery->count; i++)
		if (!(accepted >> i & 1))
			packet_drop(delivery->packets[i], DROP_SLOW_PATH_REFUSED);
	counter_add(&pipeline->counters->slow_path, (uint64_t)__builtin_popcountll(accepted));
	delivery->count = 0;
}

static void deliver_frames(struct pipeline *pipeline, struct batch *batch)
{
	struct delivery delivery;

	delivery.count = 0;
	for (uint32_t i = 0; i < batch->total; i++) {
		struct packet *packet = &batch->packets[i];

		if (packet->verdict != VERDICT_SLOW_PATH)
			continue;
		delivery.packets[delivery.count] = packet;
		delivery.frames[delivery.count++] = packet->frame;
		if (delivery.count == PORT_BATCH)
			deliver(pipeline, &delivery);
	}
	deliver(pipeline, &delivery);
}

/* Counts the drops and gives back every frame that was not sent. */
static void give_back_frames(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct frame recycled[BATCH_PACKETS], dropped[BATCH_PACKETS];
	uint32_t recycled_count = 0, dropped_count = 0;
	uint8_t reasons[BATCH_PACKETS];

	for (uint32_t i = 0; i < batch->total; i++) {
		const struct packet *packet = &batch->packets[i];

		switch (packet->verdict) {
		case VERDICT_FORWARD:
		case VERDICT_ANSWER:
		case VERDICT_HELD:
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
	struct counters *counters = pipeline->counters;

	counter_add(&counters->received.packets,
		    batch->received.packets - batch->handed_over.packets);
	counter_add(&counters->received.bytes, batch->received.bytes - batch->handed_over.bytes);
	counter_add(&counters->handed_over, batch->handed_over.packets);
	if (send_frames(pipeline, batch) && batch->outgoing.packet_count == batch->total)
		return;
	deliver_frames(pipeline, batch);
	give_back_frames(pipeline, batch);
}
