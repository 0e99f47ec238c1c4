/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/flow.h>
#include <fluxpin/forwarding_builder.h>
#include <fluxpin/maglev.h>
#include <fluxpin/memory.h>
#include <fluxpin/pipeline.h>

#include "explain_internal.h"

/* Beyond every packet that is made up. */
#define MTU 65535

#define INDEX_COUNT 65536

/* What a pipeline needs, for one packet. */
struct trial {
	struct registry *backend_indexes;
	struct registry *vip_indexes;
	const struct forwarding_tables *tables;
	const struct forwarding_state *state;
	struct forwarding_tables *own_tables; /* NULL when they are the caller's */
	struct forwarding_state *own_state;
	struct memory memory;
	struct connection_table connections;
	struct counters counters;
	struct traffic_counter *traffic; /* of VIPs, then of backends */
	struct pipeline pipeline;
	uint8_t buffer[ENCAPSULATION_MAX_HEADER + EXPLAIN_MOST_FRAME];
};

static int open_pipeline(struct trial *trial)
{
	int error = memory_map_lazy(connection_table_size(CONNECTION_MIN_CAPACITY), &trial->memory);

	if (error != 0)
		return error;
	trial->traffic = calloc(2 * INDEX_COUNT, sizeof(*trial->traffic));
	if (trial->traffic == NULL)
		return -ENOMEM;
	connection_table_initialise(&trial->connections, trial->memory.base,
				    CONNECTION_MIN_CAPACITY);
	trial->pipeline = (struct pipeline){ .connections = &trial->connections,
					     .counters = &trial->counters,
					     .vips = trial->traffic,
					     .backends = trial->traffic + INDEX_COUNT };
	return 0;
}

static int open_trial(const struct configuration *configuration, struct trial *trial)
{
	const struct interface nic = { .mtu = MTU };
	int error = registry_open(&trial->backend_indexes);

	if (error == 0)
		error = registry_open(&trial->vip_indexes);
	if (error == 0)
		error = forwarding_tables_build(configuration, NULL, NULL, trial->backend_indexes,
						trial->vip_indexes, &trial->own_tables);
	if (error == 0)
		error = forwarding_state_build(configuration, trial->own_tables, NULL, &nic, 1, 1,
					       &trial->own_state);
	trial->tables = trial->own_tables;
	trial->state = trial->own_state;
	return error == 0 ? open_pipeline(trial) : error;
}

static void close_trial(struct trial *trial)
{
	memory_unmap(&trial->memory);
	free(trial->traffic);
	forwarding_state_release(trial->own_state);
	forwarding_tables_release(trial->own_tables);
	registry_close(trial->vip_indexes);
	registry_close(trial->backend_indexes);
}

/* The VIP by which the packet is dropped or answered, where none takes it. */
static const struct vip *find_vip(const struct vip_table *table, const struct explained_flow *flow)
{
	const struct vip *vip = NULL;

	if (explain_is_echo(flow))
		return vip_table_find_echo(table, &flow->destination);
	if (vip_table_find(table, &flow->destination, flow->protocol, flow->destination_port,
			   &vip) != VIP_MATCH_SERVICE)
		return NULL;
	return vip;
}

static void choose_vip(const struct forwarding_tables *tables, uint16_t index,
		       struct explanation *explanation)
{
	explanation->has_vip = true;
	for (uint32_t i = 0; i < tables->vip_count; i++)
		if (tables->vip_indexes[i] == index)
			explanation->vip = i;
}

static void choose_backend(const struct forwarding_tables *tables, const struct packet *packet,
			   struct explanation *explanation)
{
	for (uint32_t i = 0; i < tables->backend_count; i++) {
		if (tables->backends[i].index != packet->backend)
			continue;
		explanation->has_backend = true;
		explanation->backend = tables->backends[i].backend;
	}
	explanation->header_length =
		packet->frame.length - ETHERNET_HEADER_LENGTH - explanation->packet_length;
	memcpy(explanation->header, packet->frame.data + ETHERNET_HEADER_LENGTH,
	       explanation->header_length);
}

static enum explained_match match(const struct configuration *configuration, uint32_t i,
				  const struct explained_flow *flow,
				  const struct explanation *explanation)
{
	const struct vip_configuration *vip = &configuration->vips[i];
	const struct vip_configuration *chosen =
		explanation->has_vip ? &configuration->vips[explanation->vip] : NULL;

	if (vip == chosen)
		return EXPLAINED_CHOSEN;
	if (address_is_link_or_group(&flow->destination) ||
	    !prefix_holds(&vip->prefix, &flow->destination))
		return EXPLAINED_OTHER_ADDRESS;
	if (chosen != NULL && explain_is_echo(flow))
		return chosen->prefix.length == vip->prefix.length ? EXPLAINED_OTHER_ECHO
								   : EXPLAINED_LESS_SPECIFIC;
	if (vip->protocol != 0 && vip->protocol != flow->protocol)
		return EXPLAINED_OTHER_PROTOCOL;
	if (vip->port != 0 && vip->port != flow->destination_port)
		return EXPLAINED_OTHER_PORT;
	/* What is to a group is for no VIP, though its prefix may hold the address. */
	return chosen != NULL ? EXPLAINED_LESS_SPECIFIC : EXPLAINED_OTHER_ADDRESS;
}

/* To the load balancer, where frames to others are not taken. */
static void set_destination(const struct forwarding *forwarding, uint8_t *frame)
{
	if (!forwarding->interfaces[0].any_mac && (frame[0] & 1) == 0)
		memcpy(frame, forwarding->interfaces[0].mac, sizeof(forwarding->interfaces[0].mac));
}

/* The packet as it arrives. */
static struct packet make_packet(const struct explained_flow *flow, struct trial *trial,
				 struct explanation *explanation)
{
	struct packet packet = { .frame = { .data = trial->buffer + ENCAPSULATION_MAX_HEADER,
					    .headroom = ENCAPSULATION_MAX_HEADER } };

	packet.frame.length = explain_make_frame(flow, packet.frame.data);
	set_destination(&trial->state->forwarding, packet.frame.data);
	explanation->packet_length = packet.frame.length - ETHERNET_HEADER_LENGTH;
	return packet;
}

/* Whatever is inside: the empty one that was made up does not count as such. */
static bool is_tunnel(const struct forwarding *forwarding, const struct packet *packet)
{
	struct packet outer = *packet;

	return forwarding->decapsulation != NULL && packet_parse(&outer, NULL) != PACKET_OTHER &&
	       decapsulation_apply(forwarding->decapsulation, &outer) != DECAPSULATION_NONE;
}

/* By which affinity "source" chooses the slot. */
static uint64_t hash_addresses(const struct explained_flow *flow, uint64_t seed)
{
	uint8_t addresses[32];

	if (address_is_ipv4(&flow->destination))
		return flow_hash_ipv4(flow->source.words_be[3], flow->destination.words_be[3], 0, 0,
				      0, seed);
	memcpy(addresses, flow->source.bytes, 16);
	memcpy(addresses + 16, flow->destination.bytes, 16);
	return flow_hash_ipv6(addresses, 0, 0, 0, seed);
}

static void decide(const struct configuration *configuration, const struct explained_flow *flow,
		   struct trial *trial, struct explanation *explanation)
{
	const struct forwarding *forwarding = &trial->state->forwarding;
	struct packet packet = make_packet(flow, trial, explanation);
	const struct vip *vip;

	if (is_tunnel(forwarding, &packet)) {
		explanation->is_tunnel = true;
		return;
	}
	explanation->is_selected = pipeline_trace(&trial->pipeline, forwarding, 0, &packet);
	explanation->verdict = (enum verdict)packet.verdict;
	explanation->reason = (enum drop_reason)packet.reason;
	if (explanation->is_selected) {
		choose_vip(trial->tables, packet.vip, explanation);
	} else if (packet.verdict != VERDICT_SLOW_PATH) {
		vip = find_vip(forwarding->vips, flow);
		if (vip != NULL)
			choose_vip(trial->tables, vip->index, explanation);
	}
	explanation->hash = explanation->flow_hash = packet.hash;
	if (explanation->is_selected &&
	    configuration->vips[explanation->vip].affinity == AFFINITY_SOURCE)
		explanation->hash = hash_addresses(flow, configuration->hash_seed);
	if (packet.verdict == VERDICT_FORWARD)
		choose_backend(trial->tables, &packet, explanation);
}

/* With a trial that was opened, or else `error`; closes it. */
static int run_trial(const struct configuration *configuration, const struct explained_flow *flow,
		     struct trial *trial, int error, struct explanation *explanation)
{
	*explanation = (struct explanation){ 0 };
	explanation->vips = calloc(configuration->vip_count + 1, sizeof(*explanation->vips));
	if (explanation->vips == NULL)
		error = -ENOMEM;
	if (error == 0) {
		decide(configuration, flow, trial, explanation);
		for (uint32_t i = 0; i < configuration->vip_count; i++)
			explanation->vips[i] = match(configuration, i, flow, explanation);
		if (explanation->is_selected)
			explanation->slot = maglev_slot(
				explanation->hash,
				trial->tables->pools[configuration->vips[explanation->vip].pool]
					.size);
	}
	close_trial(trial);
	if (error != 0)
		explanation_release(explanation);
	return error;
}

int explain_flow(const struct configuration *configuration, const struct explained_flow *flow,
		 struct explanation *explanation)
{
	struct trial trial = { 0 };
	int error = open_trial(configuration, &trial);

	return run_trial(configuration, flow, &trial, error, explanation);
}

int explain_flow_now(const struct configuration *configuration,
		     const struct forwarding_tables *tables, const struct forwarding_state *state,
		     const struct explained_flow *flow, struct explanation *explanation)
{
	struct trial trial = { .tables = tables, .state = state };
	int error = open_pipeline(&trial);

	return run_trial(configuration, flow, &trial, error, explanation);
}

void explanation_release(struct explanation *explanation)
{
	free(explanation->vips);
	explanation->vips = NULL;
}

const char *explained_match_text(enum explained_match match)
{
	switch (match) {
	case EXPLAINED_CHOSEN:
		return "matches";
	case EXPLAINED_OTHER_ADDRESS:
		return "no: another address";
	case EXPLAINED_OTHER_PROTOCOL:
		return "no: another protocol";
	case EXPLAINED_OTHER_PORT:
		return "no: another port";
	case EXPLAINED_LESS_SPECIFIC:
		return "no: matches, but less specifically";
	case EXPLAINED_OTHER_ECHO:
		return "no: has the address, but the icmp_echo of another one counts";
	}
	return "";
}
