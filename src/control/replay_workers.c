/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/flow.h>

#include "replay_internal.h"

#define INDEX_COUNT 65536

/* One frame at a time is handed over, and taken before the next one is read. */
#define INBOX_SLOTS 2

static int map_worker(const struct configuration *configuration, bool is_alone,
		      struct replay_worker *worker)
{
	int error = memory_map_lazy(connection_table_size(configuration->connections.capacity),
				    &worker->memory);

	if (error == 0)
		error = memory_map_lazy(fragment_table_size(configuration->fragments.capacity),
					&worker->fragment_memory);
	if (error == 0 && !is_alone)
		error = memory_map_lazy(inbox_size(INBOX_SLOTS, REPLAY_LONGEST),
					&worker->inbox_memory);
	return error;
}

static int open_worker(const struct configuration *configuration, struct replay_frames *frames,
		       struct replay_workers *workers, uint32_t number)
{
	struct replay_worker *worker = &workers->list[number];
	uint32_t capacity = configuration->connections.capacity;
	int error = replay_port_open(&worker->port, frames);

	if (error == 0)
		error = map_worker(configuration, workers->inboxes == NULL, worker);
	if (error != 0)
		return error;
	fragment_table_initialise(&worker->fragments, worker->fragment_memory.base,
				  configuration->fragments.capacity, FRAGMENT_MOST_HELD,
				  configuration->fragments.timeout_ns);
	connection_table_initialise(&worker->connections, worker->memory.base, capacity);
	worker->pipeline = (struct pipeline){ .port = &worker->port.port,
					      .connections = &worker->connections,
					      .fragments = &worker->fragments,
					      .counters = &worker->counters,
					      .vips = workers->vips,
					      .backends = workers->backends };
	if (workers->inboxes == NULL)
		return 0;
	inbox_initialise(&worker->inbox, worker->inbox_memory.base, INBOX_SLOTS, REPLAY_LONGEST);
	workers->inboxes[number] = &worker->inbox;
	worker->pipeline.inboxes = workers->inboxes;
	worker->pipeline.inbox_count = workers->count;
	worker->pipeline.inbox_own = number;
	return 0;
}

int replay_workers_open(const struct configuration *configuration, uint32_t count,
			struct replay_frames *frames, struct replay_workers *workers)
{
	size_t size = count * sizeof(*workers->list);
	int error = 0;

	workers->count = count;
	workers->vips = calloc(INDEX_COUNT, sizeof(*workers->vips));
	workers->backends = calloc(INDEX_COUNT, sizeof(*workers->backends));
	workers->list = aligned_alloc(64, size);
	/* Before anything may fail: what is there is closed. */
	if (workers->list != NULL)
		memset(workers->list, 0, size);
	if (count > 1)
		workers->inboxes = calloc(count, sizeof(*workers->inboxes));
	if (workers->vips == NULL || workers->backends == NULL || workers->list == NULL ||
	    (count > 1 && workers->inboxes == NULL))
		return -ENOMEM;
	for (uint32_t i = 0; i < count && error == 0; i++)
		error = open_worker(configuration, frames, workers, i);
	return error;
}

void replay_workers_close(struct replay_workers *workers)
{
	for (uint32_t i = 0; workers->list != NULL && i < workers->count; i++) {
		replay_port_close(&workers->list[i].port);
		memory_unmap(&workers->list[i].memory);
		memory_unmap(&workers->list[i].fragment_memory);
		memory_unmap(&workers->list[i].inbox_memory);
	}
	free(workers->inboxes);
	free(workers->list);
	free(workers->backends);
	free(workers->vips);
}

uint32_t replay_workers_choose(const struct replay_workers *workers,
			       const struct captured_frame *frame)
{
	struct packet packet = { .frame = { .data = (uint8_t *)frame->data,
					    .length = frame->length } };
	uint8_t protocol;
	uint64_t hash;

	if (workers->count == 1)
		return 0;
	switch (packet_parse(&packet, NULL)) {
	case PACKET_IPV6:
		/* A chain that is cut off: as much of the 5-tuple as there is. */
		packet_walk_extensions(&packet);
		break;
	case PACKET_IPV4:
		break;
	default:
		return 0;
	}
	if (!packet.is_fragment &&
	    (packet.protocol == IPPROTO_TCP || packet.protocol == IPPROTO_UDP))
		packet_parse_ports(&packet);
	protocol = packet.is_fragment ? 0 : packet.protocol;
	hash = packet.is_ipv6
		       ? flow_hash_ipv6(packet_ipv6_addresses(&packet), packet.source_port_be,
					packet.destination_port_be, protocol, 0)
		       : flow_hash_ipv4(packet.source_be, packet.destination_be,
					packet.source_port_be, packet.destination_port_be, protocol,
					0);
	return (uint32_t)(hash % workers->count);
}

void replay_workers_run(struct replay_workers *workers, uint32_t first,
			const struct forwarding *forwarding, uint64_t clock_ns)
{
	uint32_t count;

	pipeline_run(&workers->list[first].pipeline, forwarding, clock_ns);
	do {
		count = 0;
		for (uint32_t i = 0; i < workers->count; i++)
			count += pipeline_run(&workers->list[i].pipeline, forwarding, clock_ns);
	} while (count > 0);
}

void replay_workers_add_counters(const struct replay_workers *workers, struct counters *sum)
{
	for (uint32_t i = 0; i < workers->count; i++) {
		const struct counters *counters = &workers->list[i].counters;

		sum->received.packets += counters->received.packets;
		sum->received.bytes += counters->received.bytes;
		sum->forwarded.packets += counters->forwarded.packets;
		sum->forwarded.bytes += counters->forwarded.bytes;
		sum->slow_path += counters->slow_path;
		sum->answered += counters->answered;
		sum->parts_sent += counters->parts_sent;
		sum->decapsulated += counters->decapsulated;
		sum->handed_over += counters->handed_over;
		for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
			sum->dropped[reason] += counters->dropped[reason];
		sum->lookups_hit += counters->lookups_hit;
		sum->lookups_miss += counters->lookups_miss;
		sum->lookups_stale += counters->lookups_stale;
	}
}
