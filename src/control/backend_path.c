/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/backend_path.h>

#include <string.h>

/*
 * The outer source address: the operator's, else the one that the route prefers, else the device's.
 * Without any, nothing can be sent, but in replay, where there is no host (nic->index is 0).
 */
static void choose_source(const struct configuration *configuration, const struct interface *nic,
			  const struct pool_configuration *pool, bool is_ipv4,
			  struct next_hop *next_hop)
{
	const struct address *configured =
		is_ipv4 ? &configuration->source_ipv4 : &configuration->source_ipv6;
	uint32_t source_be = 0;

	if (!address_is_zero(configured))
		next_hop->source = *configured;
	if (!address_is_zero(&next_hop->source) || next_hop->state != NEXT_HOP_RESOLVED)
		return;
	if (is_ipv4 &&
	    (nic->index == 0 || interface_source_ipv4(next_hop->device, &source_be) == 0))
		next_hop->source = address_from_ipv4(source_be);
	else if (nic->index != 0 && pool->encapsulation != ENCAPSULATION_L2)
		next_hop->state = NEXT_HOP_NO_SOURCE;
}

/* Without an outer header only the backend's own MAC address will do, not that of a router. */
static void require_link(const struct pool_configuration *pool, const struct address *address,
			 struct next_hop *next_hop)
{
	if (pool->encapsulation == ENCAPSULATION_L2 && next_hop->state == NEXT_HOP_RESOLVED &&
	    !address_equal(&next_hop->gateway, address))
		next_hop->state = NEXT_HOP_OFF_LINK;
}

int backend_path_find(const struct configuration *configuration,
		      const struct pool_configuration *pool, const struct address *backend,
		      struct neighbours *neighbours, const struct interface *nic, bool keeps_tags,
		      struct next_hop *next_hop, struct encapsulation_path *path)
{
	*next_hop = (struct next_hop){ .state = NEXT_HOP_RESOLVED, .gateway = *backend };
	if (neighbours != NULL) {
		int error = next_hop_resolve(neighbours, backend, nic->index, next_hop);

		if (error != 0)
			return error;
	}
	require_link(pool, backend, next_hop);
	choose_source(configuration, nic, pool, address_is_ipv4(backend), next_hop);
	if (next_hop->state != NEXT_HOP_RESOLVED)
		return 0;
	*path = (struct encapsulation_path){
		.encapsulation = pool->encapsulation,
		.source = next_hop->source,
		.destination = *backend,
		.mtu = nic->mtu,
		.udp_checksum = pool->udp_checksum,
		.is_peer = pool->is_peers,
		.keeps_tags = keeps_tags,
		.tag_count = next_hop->tag_count,
	};
	memcpy(path->source_mac, next_hop->tag_count > 0 ? next_hop->source_mac : nic->mac,
	       sizeof(path->source_mac));
	memcpy(path->tags, next_hop->tags, sizeof(path->tags));
	memcpy(path->next_hop_mac, next_hop->mac, sizeof(path->next_hop_mac));
	if (next_hop->mtu != 0 && next_hop->mtu < path->mtu)
		path->mtu = next_hop->mtu;
	return 0;
}
