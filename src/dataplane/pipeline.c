/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/flow.h>
#include <fluxpin/maglev.h>
#include <fluxpin/pipeline.h>

/* How many frames ahead the parse stage fetches. */
#define PREFETCH_DISTANCE 4

/* Connection buckets to sweep per batch, and when there was none. */
#define SWEEP_BUSY 16
#define SWEEP_IDLE 256

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

/* The packets of one batch that are on their way through the stages. */
struct batch {
	struct packet packets[PORT_BATCH];
	struct packet *matched[PORT_BATCH]; /* for a VIP */
	const struct vip *vips[PORT_BATCH]; /* of matched[i] */
	uint32_t count;
	uint32_t matched_count;
	uint64_t second; /* coarse clock */
};

static void drop(struct packet *packet, enum drop_reason reason)
{
	packet->verdict = VERDICT_DROP;
	packet->reason = (uint8_t)reason;
}

static bool has_ports(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
}

/* Mapped IPv4 addresses do not belong on a wire (RFC 4942 section 2.2). As a destination they would
 * be taken for the IPv4 VIP; as a source no backend would answer to them. */
static bool has_mapped_address(const struct packet *packet, const struct address *destination)
{
	struct address source;

	if (!packet->is_ipv6)
		return false;
	memcpy(source.bytes, packet_ipv6_addresses(packet), sizeof(source.bytes));
	return address_is_ipv4(destination) || address_is_ipv4(&source);
}

/* Decides whether an IP packet is for a VIP. Returns it, or NULL with the verdict set. */
static const struct vip *match_vip(const struct forwarding *forwarding, struct packet *packet)
{
	struct address destination = packet_destination(packet);
	const struct vip *vip = NULL;
	enum vip_match match;
	bool ports_known = false;

	packet->verdict = VERDICT_SLOW_PATH;
	if (has_mapped_address(packet, &destination))
		return NULL;
	if (packet->is_ipv6 && !has_ports(packet)) {
		/* Extension headers of what is for no VIP are the kernel's. */
		if (vip_table_find(forwarding->vips, &destination, 0, 0, &vip) == VIP_MATCH_NONE)
			return NULL;
		if (!packet_walk_extensions(packet)) {
			packet->verdict = VERDICT_DROP;
			return NULL;
		}
	}
	if (!packet->is_fragment && has_ports(packet))
		ports_known = packet_parse_ports(packet);
	match = vip_table_find(forwarding->vips, &destination, ports_known ? packet->protocol : 0,
			       ntohs(packet->destination_port_be), &vip);
	if (match == VIP_MATCH_NONE)
		return NULL;
	if (packet->is_fragment) {
		drop(packet, DROP_FRAGMENT);
		return NULL;
	}
	if (!has_ports(packet))
		return NULL;
	if (ports_known && match != VIP_MATCH_SERVICE)
		return NULL;
	if (!packet_check_transport(packet)) {
		packet->verdict = VERDICT_DROP;
		return NULL;
	}
	return vip;
}

static uint64_t hash_flow(const struct packet *packet, uint64_t seed)
{
	if (packet->is_ipv6)
		return flow_hash_ipv6(packet_ipv6_addresses(packet), packet->source_port_be,
				      packet->destination_port_be, packet->protocol, seed);
	return flow_hash_ipv4(packet->source_be, packet->destination_be, packet->source_port_be,
			      packet->destination_port_be, packet->protocol, seed);
}

static void parse_stage(struct pipeline *pipeline, const struct forwarding *forwarding,
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

static void match_stage(struct pipeline *pipeline, const struct forwarding *forwarding,
			struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++) {
		struct packet *packet = &batch->packets[i];
		const struct vip *vip;

		if (packet->verdict != VERDICT_FORWARD)
			continue;
		vip = match_vip(forwarding, packet);
		if (vip == NULL)
			continue;
		packet->hash = hash_flow(packet, forwarding->hash_seed);
		if (vip->tracking)
			connection_prefetch(pipeline->connections, packet->hash);
		packet->vip = vip->index;
		packet->verdict = VERDICT_FORWARD;
		counter_add(&pipeline->vips[vip->index].packets, 1);
		counter_add(&pipeline->vips[vip->index].bytes, packet->frame.length);
		batch->matched[batch->matched_count] = packet;
		batch->vips[batch->matched_count] = vip;
		batch->matched_count++;
	}
}

static bool is_new_connection(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

/* The state in which the packet's flow is, after one that was in `state` before (or EMPTY). */
static enum connection_state next_state(const struct packet *packet, uint8_t state)
{
	if (packet->protocol != IPPROTO_TCP)
		return CONNECTION_DATAGRAM;
	if (is_new_connection(packet))
		return CONNECTION_SYN;
	if (state == CONNECTION_CLOSING || (packet->tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST)))
		return CONNECTION_CLOSING;
	return CONNECTION_ESTABLISHED;
}

/* Whether the entry's backend still serves the VIP. */
static bool is_current(const struct forwarding *forwarding, const struct destination *destinations,
		       const struct connection *connection, const struct vip *vip)
{
	const struct destination *destination;

	if (connection->backend >= forwarding->destination_count)
		return false;
	destination = &destinations[connection->backend];
	return destination->state != DESTINATION_ABSENT &&
	       destination->generation == connection->generation && destination->pool == vip->pool;
}

/* Writes only what changes: a hit within the same second leaves the cache line clean. */
static void touch(struct connection *connection, enum connection_state state, uint64_t second)
{
	if (connection->last_seen != (uint16_t)second)
		connection->last_seen = (uint16_t)second;
	if (connection->state != state)
		connection->state = (uint8_t)state;
}

static uint16_t select_by_hash(const struct forwarding *forwarding, const struct vip *vip,
			       uint64_t hash)
{
	const struct forwarding_pool *pool = &forwarding->pools[vip->pool];

	return pool->slots[maglev_slot(hash, pool->size)];
}

/*
 * The backend of a tracked flow: its old one while that serves and the packet does not open a new
 * connection; otherwise by consistent hash, and recorded.
 */
static uint16_t select_tracked(struct pipeline *pipeline, const struct forwarding *forwarding,
			       const struct packet *packet, const struct vip *vip, uint64_t second)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	struct connection *connection =
		connection_find(pipeline->connections, packet->hash, second);
	enum connection_state state;
	uint16_t backend;

	state = next_state(packet, connection != NULL ? connection->state : CONNECTION_EMPTY);
	if (!is_new_connection(packet)) {
		uint64_t *result = &pipeline->counters->lookups_miss;
		bool hit = false;

		if (connection != NULL) {
			hit = is_current(forwarding, destinations, connection, vip);
			result = hit ? &pipeline->counters->lookups_hit
				     : &pipeline->counters->lookups_stale;
		}
		counter_add(result, 1);
		if (hit) {
			touch(connection, state, second);
			return connection->backend;
		}
	}
	backend = select_by_hash(forwarding, vip, packet->hash);
	if (backend == MAGLEV_NO_BACKEND)
		return backend;
	if (connection != NULL) {
		connection->backend = backend;
		connection->generation = destinations[backend].generation;
		touch(connection, state, second);
	} else if (state != CONNECTION_CLOSING) {
		connection_insert(pipeline->connections, packet->hash, state, backend,
				  destinations[backend].generation, second);
	}
	return backend;
}

static void select_stage(struct pipeline *pipeline, const struct forwarding *forwarding,
			 struct batch *batch)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;

	for (uint32_t i = 0; i < batch->matched_count; i++) {
		struct packet *packet = batch->matched[i];
		const struct vip *vip = batch->vips[i];

		if (vip->tracking)
			packet->backend =
				select_tracked(pipeline, forwarding, packet, vip, batch->second);
		else
			packet->backend = select_by_hash(forwarding, vip, packet->hash);
		if (packet->backend == MAGLEV_NO_BACKEND)
			drop(packet, DROP_NO_BACKEND);
		else
			__builtin_prefetch(&destinations[packet->backend]);
	}
}

static void encapsulate_stage(struct pipeline *pipeline, const struct forwarding *forwarding,
			      struct batch *batch)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;

	for (uint32_t i = 0; i < batch->matched_count; i++) {
		struct packet *packet = batch->matched[i];
		const struct destination *destination;

		if (packet->verdict != VERDICT_FORWARD)
			continue;
		destination = &destinations[packet->backend];
		if (destination->state != DESTINATION_READY)
			drop(packet, DROP_NO_NEXT_HOP);
		else if (!encapsulation_apply(packet, destination))
			packet->verdict = VERDICT_DROP;
	}
}

/* Gathers the packets with that verdict, in order. */
static uint32_t gather(struct batch *batch, enum verdict verdict, struct packet **packets,
		       struct frame *frames)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < batch->count; i++) {
		if (batch->packets[i].verdict != verdict)
			continue;
		packets[count] = &batch->packets[i];
		frames[count] = batch->packets[i].frame;
		count++;
	}
	return count;
}

static void send_stage(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct counters *counters = pipeline->counters;
	struct packet *packets[PORT_BATCH];
	struct frame frames[PORT_BATCH];
	uint32_t count = gather(batch, VERDICT_FORWARD, packets, frames);
	uint32_t taken;
	uint64_t bytes = 0;

	if (count == 0)
		return;
	taken = port->operations->send(port, frames, count);
	for (uint32_t i = 0; i < taken; i++) {
		struct traffic_counter *backend = &pipeline->backends[packets[i]->backend];

		counter_add(&backend->packets, 1);
		counter_add(&backend->bytes, frames[i].length);
		bytes += frames[i].length;
	}
	counter_add(&counters->forwarded.packets, taken);
	counter_add(&counters->forwarded.bytes, bytes);
	for (uint32_t i = taken; i < count; i++)
		drop(packets[i], DROP_TX_RING_FULL);
}

static void deliver_stage(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct packet *packets[PORT_BATCH];
	struct frame frames[PORT_BATCH];
	uint32_t count = gather(batch, VERDICT_SLOW_PATH, packets, frames);
	uint64_t accepted;

	if (count == 0)
		return;
	accepted = port->operations->deliver(port, frames, count);
	for (uint32_t i = 0; i < count; i++)
		if (!(accepted >> i & 1))
			drop(packets[i], DROP_SLOW_PATH_REFUSED);
	counter_add(&pipeline->counters->slow_path, (uint64_t)__builtin_popcountll(accepted));
}

/* Counts the drops and gives back every frame that was not sent. */
static void recycle_stage(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct frame recycled[PORT_BATCH], dropped[PORT_BATCH];
	uint32_t recycled_count = 0, dropped_count = 0;
	uint8_t reasons[PORT_BATCH];

	for (uint32_t i = 0; i < batch->count; i++) {
		const struct packet *packet = &batch->packets[i];

		if (packet->verdict == VERDICT_DROP) {
			counter_add(&pipeline->counters->dropped[packet->reason], 1);
			reasons[dropped_count] = packet->reason;
			dropped[dropped_count++] = packet->frame;
		} else if (packet->verdict != VERDICT_FORWARD) {
			recycled[recycled_count++] = packet->frame;
		}
	}
	if (recycled_count > 0)
		port->operations->recycle(port, recycled, recycled_count);
	if (dropped_count > 0)
		port->operations->drop(port, dropped, reasons, dropped_count);
}

uint32_t pipeline_run(struct pipeline *pipeline, const struct forwarding *forwarding,
		      uint64_t now_ns)
{
	struct frame frames[PORT_BATCH];
	struct batch batch;

	batch.second = now_ns / NANOSECONDS_PER_SECOND;
	batch.count = pipeline->port->operations->receive(pipeline->port, frames, PORT_BATCH);
	connection_sweep(pipeline->connections, batch.second,
			 batch.count > 0 ? SWEEP_BUSY : SWEEP_IDLE);
	if (batch.count == 0)
		return 0;
	batch.matched_count = 0;
	for (uint32_t i = 0; i < batch.count; i++)
		batch.packets[i].frame = frames[i];

	parse_stage(pipeline, forwarding, &batch);
	match_stage(pipeline, forwarding, &batch);
	select_stage(pipeline, forwarding, &batch);
	encapsulate_stage(pipeline, forwarding, &batch);
	send_stage(pipeline, &batch);
	deliver_stage(pipeline, &batch);
	recycle_stage(pipeline, &batch);
	return batch.count;
}
