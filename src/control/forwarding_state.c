/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/backend_path.h>
#include <fluxpin/duration.h>
#include <fluxpin/forwarding_builder.h>

static void add_source(struct forwarding_interface *interface, const struct address *source)
{
	if (interface->source_count < FORWARDING_MAX_SOURCES && !address_is_zero(source) &&
	    !address_is_in(interface->sources, interface->source_count, source))
		interface->sources[interface->source_count++] = *source;
}

/* What the interface takes for its own, and whether it is known which tags frames leave under. */
static void describe_interface(struct neighbours *neighbours, const struct interface *nic,
			       struct forwarding_interface *interface, bool *keeps_tags)
{
	uint32_t count = 0;

	memcpy(interface->mac, nic->mac, sizeof(nic->mac));
	interface->any_mac = neighbours == NULL;
	*keeps_tags = neighbours == NULL || !neighbours_has_vlans(neighbours, nic->index);
	if (neighbours != NULL)
		count = neighbours_vlan_macs(neighbours, nic->index, interface->vlan_macs,
					     FORWARDING_MAX_MACS);
	interface->vlan_mac_count =
		(uint8_t)(count < FORWARDING_MAX_MACS ? count : FORWARDING_MAX_MACS);
}

static int resolve_interface(const struct configuration *configuration,
			     struct neighbours *neighbours, const struct interface *nic,
			     uint32_t ordinal, struct forwarding_state *state)
{
	const struct forwarding_tables *tables = state->tables;
	struct destination *destinations = state->destinations + ordinal * tables->index_limit;
	uint8_t *next_hops = state->next_hops + ordinal * tables->backend_count;
	bool keeps_tags;

	state->interfaces[ordinal].destinations = destinations;
	describe_interface(neighbours, nic, &state->interfaces[ordinal], &keeps_tags);
	for (uint32_t i = 0; i < tables->backend_count; i++) {
		const struct forwarding_backend *backend = &tables->backends[i];
		const struct pool_configuration *pool = &configuration->pools[backend->pool];
		const struct address *address = &pool->backends[backend->backend].address;
		struct destination *destination = &destinations[backend->index];
		struct next_hop next_hop;
		struct encapsulation_path path;
		int error;

		/* Nothing is sent to this load balancer itself. */
		if (pool->is_peers && backend->index == tables->peer_self)
			continue;
		error = backend_path_find(configuration, pool, address, neighbours, nic, keeps_tags,
					  &next_hop, &path);
		if (error != 0)
			return error;
		/* Also of one that is down: people ask why. */
		next_hops[i] = (uint8_t)next_hop.state;
		if (backend->is_down)
			continue;
		destination->generation = backend->generation;
		destination->pool = (uint16_t)backend->pool;
		destination->state = DESTINATION_UNRESOLVED;
		if (next_hop.state == NEXT_HOP_RESOLVED) {
			add_source(&state->interfaces[ordinal], &next_hop.source);
			encapsulation_prepare(destination, &path);
		} else {
			state->unresolved++;
		}
	}
	return 0;
}

static uint32_t to_seconds(uint64_t nanoseconds)
{
	return (uint32_t)(nanoseconds / NANOSECONDS_PER_SECOND);
}

static struct connection_settings connection_settings(const struct configuration *configuration)
{
	return (struct connection_settings){
		.tcp_idle = to_seconds(configuration->connections.tcp_idle_ns),
		.tcp_syn_idle = to_seconds(configuration->connections.tcp_syn_idle_ns),
		.tcp_closing_idle = to_seconds(configuration->connections.tcp_closing_idle_ns),
		.udp_idle = to_seconds(configuration->connections.udp_idle_ns),
		.other_idle = to_seconds(configuration->connections.other_idle_ns),
		.new_rate = configuration->connections.new_rate,
	};
}

static struct forwarding_state *allocate(const struct forwarding_tables *tables, uint32_t nic_count)
{
	struct forwarding_state *state = calloc(1, sizeof(*state));
	size_t size = (size_t)nic_count * tables->index_limit * sizeof(struct destination);

	if (state == NULL)
		return NULL;
	state->tables = tables;
	state->interfaces = calloc(nic_count, sizeof(*state->interfaces));
	state->next_hops = calloc((size_t)nic_count * tables->backend_count + 1, 1);
	state->destinations = aligned_alloc(64, size + sizeof(struct destination));
	if (state->interfaces == NULL || state->next_hops == NULL || state->destinations == NULL) {
		forwarding_state_release(state);
		return NULL;
	}
	memset(state->destinations, 0, size);
	return state;
}

int forwarding_state_build(const struct configuration *configuration,
			   const struct forwarding_tables *tables, struct neighbours *neighbours,
			   const struct interface *nics, uint32_t nic_count, uint64_t generation,
			   struct forwarding_state **result)
{
	struct forwarding_state *state = allocate(tables, nic_count);
	int error = 0;

	if (state == NULL)
		return -ENOMEM;
	if (neighbours != NULL)
		neighbours_begin_round(neighbours);
	for (uint32_t i = 0; i < nic_count && error == 0; i++)
		error = resolve_interface(configuration, neighbours, &nics[i], i, state);
	if (error != 0) {
		forwarding_state_release(state);
		return error;
	}
	if (neighbours != NULL)
		neighbours_end_round(neighbours);
	state->connections = connection_settings(configuration);
	state->forwarding = (struct forwarding){
		.generation = generation,
		.hash_seed = configuration->hash_seed,
		.icmp_echo_rate = configuration->icmp.echo_rate,
		.icmp_error_rate = configuration->icmp.error_rate,
		.connections = &state->connections,
		.vips = tables->vips,
		.pools = tables->pools,
		.decapsulation = tables->decapsulation,
		.peers = tables->peers,
		.peer_self = tables->peer_self,
		.interfaces = state->interfaces,
		.pool_count = tables->pool_count,
		.interface_count = nic_count,
		.destination_count = tables->index_limit,
	};
	*result = state;
	return 0;
}

bool forwarding_state_equal(const struct forwarding_state *a, const struct forwarding_state *b)
{
	uint32_t nics = a->forwarding.interface_count;
	size_t size = (size_t)nics * a->tables->index_limit * sizeof(struct destination);

	if (a->tables != b->tables || nics != b->forwarding.interface_count)
		return false;
	for (uint32_t i = 0; i < nics; i++) {
		const struct forwarding_interface *x = &a->interfaces[i], *y = &b->interfaces[i];

		if (memcmp(x->mac, y->mac, sizeof(x->mac)) != 0 ||
		    x->vlan_mac_count != y->vlan_mac_count ||
		    memcmp(x->vlan_macs, y->vlan_macs, sizeof(x->vlan_macs)) != 0)
			return false;
	}
	/* Both are zeroed before they are filled in, padding included. */
	return memcmp(a->destinations, b->destinations, size) == 0 &&
	       memcmp(a->next_hops, b->next_hops, (size_t)nics * a->tables->backend_count) == 0;
}

void forwarding_state_release(struct forwarding_state *state)
{
	if (state == NULL)
		return;
	free(state->destinations);
	free(state->next_hops);
	free(state->interfaces);
	free(state);
}
