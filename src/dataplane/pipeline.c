/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

/* How many frames ahead the parse stage fetches. */
#define PREFETCH_DISTANCE 4

/* Connection buckets to sweep per batch, and when there was none. */
#define SWEEP_BUSY 16
#define SWEEP_IDLE 256

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

static void parse_stage(const struct pipeline *pipeline, const struct forwarding *forwarding,
			struct batch *batch)
{
	const struct forwarding_interface *interface = &forwarding->interfaces[pipeline->interface];
	const uint8_t *mac = interface->any_mac ? NULL : interface->mac;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < batch->count; i++) {
		struct packet *packet = &batch->packets[i];

		if (i + PREFETCH_DISTANCE < batch->count)
			__builtin_prefetch(packet[PREFETCH_DISTANCE].frame.data);
		bytes += packet->frame.length;
		switch (packet_parse(packet, mac)) {
		case PACKET_MALFORMED:
			packet->verdict = VERDICT_DROP;
			break;
		case PACKET_OTHER:
			packet->verdict = VERDICT_SLOW_PATH;
			break;
		case PACKET_IPV4:
		case PACKET_IPV6:
			packet->verdict = VERDICT_FORWARD;
			break;
		}
	}
	counter_add(&pipeline->counters->received.packets, batch->count);
	counter_add(&pipeline->counters->received.bytes, bytes);
}

/* What a new configuration says of the connection table. */
static void adopt_settings(struct pipeline *pipeline, const struct forwarding *forwarding)
{
	if (forwarding->connections != NULL)
		connection_table_configure(pipeline->connections, forwarding->connections);
	pipeline->generation = forwarding->generation;
}

uint32_t pipeline_run(struct pipeline *pipeline, const struct forwarding *forwarding,
		      uint64_t now_ns)
{
	struct frame frames[PORT_BATCH];
	struct batch batch;

	if (__builtin_expect(pipeline->generation != forwarding->generation, false))
		adopt_settings(pipeline, forwarding);
	batch.now_ns = now_ns;
	batch.second = now_ns / NANOSECONDS_PER_SECOND;
	batch.count = pipeline->port->operations->receive(pipeline->port, frames, PORT_BATCH);
	connection_sweep(pipeline->connections, batch.second,
			 batch.count > 0 ? SWEEP_BUSY : SWEEP_IDLE);
	if (batch.count == 0)
		return 0;
	batch.match_count = batch.part_count = 0;
	for (uint32_t i = 0; i < batch.count; i++)
		batch.packets[i].frame = frames[i];

	parse_stage(pipeline, forwarding, &batch);
	pipeline_match(pipeline, forwarding, &batch);
	pipeline_select(pipeline, forwarding, &batch);
	pipeline_encapsulate(pipeline, forwarding, &batch);
	pipeline_send(pipeline, &batch);
	return batch.count;
}
