/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

/* How many frames ahead the parse stage fetches. */
#define PREFETCH_DISTANCE 4

/* Connection buckets to sweep per batch, and when there was none. */
#define SWEEP_BUSY 16
#define SWEEP_IDLE 256

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

/* A frame that is not to the NIC's own address: VLAN devices may have addresses of their own. */
static enum verdict parse_for_vlans(struct packet *packet,
				    const struct forwarding_interface *interface)
{
	for (uint32_t i = 0; i < interface->vlan_mac_count; i++) {
		switch (packet_parse(packet, interface->vlan_macs[i])) {
		case PACKET_MALFORMED:
			return VERDICT_DROP;
		case PACKET_OTHER:
			break;
		case PACKET_IPV4:
		case PACKET_IPV6:
			return VERDICT_FORWARD;
		}
	}
	return VERDICT_SLOW_PATH;
}

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
			packet->verdict = (uint8_t)parse_for_vlans(packet, interface);
			break;
		case PACKET_IPV4:
		case PACKET_IPV6:
			packet->verdict = VERDICT_FORWARD;
			break;
		}
	}
	batch->received.packets += batch->count;
	batch->received.bytes += bytes;
}

static void begin_batch(struct batch *batch, uint64_t now_ns)
{
	batch->now_ns = now_ns;
	batch->second = now_ns / NANOSECONDS_PER_SECOND;
	batch->count = batch->total = batch->match_count = batch->part_count = 0;
	batch->received = batch->handed_over = (struct traffic_counter){ 0 };
}

/* Every stage between receiving and sending; packets beyond the `arrived` were handed over. */
static void decide(struct pipeline *pipeline, const struct forwarding *forwarding,
		   struct batch *batch, uint32_t arrived)
{
	parse_stage(pipeline, forwarding, batch);
	for (uint32_t i = arrived; i < batch->count; i++)
		batch->packets[i].flags |= PACKET_HANDED_OVER;
	pipeline_match(pipeline, forwarding, batch);
	pipeline_select(pipeline, forwarding, batch);
	pipeline_encapsulate(pipeline, forwarding, batch);
}

uint32_t pipeline_run(struct pipeline *pipeline, const struct forwarding *forwarding,
		      uint64_t now_ns)
{
	struct frame frames[PORT_BATCH];
	struct batch batch;
	uint32_t arrived, taken;

	begin_batch(&batch, now_ns);
	arrived = pipeline->port->operations->receive(pipeline->port, frames, PORT_BATCH);
	for (uint32_t i = 0; i < arrived; i++)
		batch.packets[i].frame = frames[i];
	batch.count = arrived;
	taken = pipeline_take_handed_over(pipeline, &batch);
	connection_sweep(pipeline->connections, batch.second,
			 batch.count > 0 ? SWEEP_BUSY : SWEEP_IDLE);
	batch.total = batch.count;
	pipeline_expire_fragments(pipeline, &batch);
	if (batch.total == 0 && taken == 0)
		return 0;
	decide(pipeline, forwarding, &batch, arrived);
	pipeline_send(pipeline, &batch);
	return arrived + taken;
}

void pipeline_finish(struct pipeline *pipeline)
{
	struct batch batch;
	uint32_t taken;

	do {
		begin_batch(&batch, 0);
		taken = pipeline_take_handed_over(pipeline, &batch);
		for (uint32_t i = 0; i < batch.count; i++) {
			batch.received.bytes += batch.packets[i].frame.length;
			packet_drop(&batch.packets[i], DROP_FRAGMENT_INBOX);
		}
		batch.received.packets += batch.count;
		batch.total = batch.count;
		pipeline_drop_fragments(pipeline, &batch);
		pipeline_send(pipeline, &batch);
	} while (taken > 0);
}

bool pipeline_trace(struct pipeline *pipeline, const struct forwarding *forwarding, uint64_t now_ns,
		    struct packet *packet)
{
	struct batch batch;

	begin_batch(&batch, now_ns);
	batch.count = batch.total = 1;
	batch.packets[0].frame = packet->frame;
	decide(pipeline, forwarding, &batch, 1);
	*packet = batch.packets[0];
	return batch.match_count > 0;
}
