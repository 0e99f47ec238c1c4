/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/duration.h>

#include "flow_inline.h"
#include "pipeline_internal.h"

/* Connection buckets to sweep per batch, and when there was none. */
#define SWEEP_BUSY 16
#define SWEEP_IDLE 256

static void begin_batch(struct batch *batch, uint64_t now_ns)
{
	batch->now_ns = now_ns;
	batch->second = now_ns / NANOSECONDS_PER_SECOND;
	batch->count = batch->total = batch->match_count = batch->part_count = 0;
	batch->outgoing.frame_count = batch->outgoing.packet_count = 0;
	batch->outgoing.split_count = batch->outgoing.answer_count = 0;
	batch->received = batch->handed_over = (struct traffic_counter){ 0 };
}

void pipeline_adopt_settings(struct pipeline *pipeline, const struct forwarding *forwarding)
{
	if (forwarding->connections != NULL)
		connection_table_configure(pipeline->connections, forwarding->connections);
	pipeline->seed = flow_seed_of(forwarding->hash_seed);
	pipeline->generation = forwarding->generation;
}

uint32_t pipeline_run(struct pipeline *pipeline, const struct forwarding *forwarding,
		      uint64_t now_ns)
{
	struct batch batch;
	uint32_t arrived, taken;

	if (__builtin_expect(pipeline->generation != forwarding->generation, false))
		pipeline_adopt_settings(pipeline, forwarding);
	begin_batch(&batch, now_ns);
	arrived = pipeline->port->operations->receive(pipeline->port, batch.frames,
						      pipeline_receive_limit(pipeline));
	batch.count = arrived;
	taken = pipeline_take_handed_over(pipeline, &batch);
	connection_sweep(pipeline->connections, batch.second,
			 batch.count > 0 ? SWEEP_BUSY : SWEEP_IDLE);
	batch.total = batch.count;
	if (__builtin_expect(pipeline->fragments->count > 0, false))
		pipeline_expire_fragments(pipeline, &batch);
	if (batch.total == 0 && taken == 0)
		return 0;
	pipeline_classify(pipeline, forwarding, &batch, arrived);
	pipeline_look_ahead(pipeline, forwarding, &batch);
	pipeline_encapsulate(pipeline, forwarding, &batch);
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
	pipeline_match(pipeline, forwarding, &batch, &batch.packets[0], 0);
	pipeline_look_ahead(pipeline, forwarding, &batch);
	pipeline_encapsulate(pipeline, forwarding, &batch);
	*packet = batch.packets[0];
	if (batch.outgoing.frame_count > 0)
		packet->frame = batch.outgoing.frames[0];
	return batch.match_count > 0;
}
