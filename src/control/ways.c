/* SPDX-License-Identifier: BSD-2-Clause */
#include "ways.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

/* Addresses that are never a unicast neighbour, whatever the routes say. */
static bool is_never_remote(const struct address *address)
{
	if (address_is_ipv4(address)) {
		uint32_t ipv4 = ntohl(address->words_be[3]);

		return ipv4 == INADDR_ANY || ipv4 == INADDR_BROADCAST || IN_MULTICAST(ipv4);
	}
	return address_is_zero(address) || address->bytes[0] == 0xff;
}

static bool is_local(const struct route *route)
{
	switch (route->type) {
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
		return true;
	default:
		return false;
	}
}

static bool leaves_by(const struct route *route, int device)
{
	for (uint32_t i = 0; i < route->gateway_count; i++) {
		if (route->gateways[i].device == device)
			return true;
	}
	return false;
}

/*
 * Two lookups are needed. The one that is bound to the interface gives the gateway, and follows
 * policy rules on the outgoing interface. But it skips whatever leads elsewhere, and would send a
 * backend behind another interface to the default gateway of this one; so where the host's own way
 * to the destination (the unbound lookup) is more specific and does not leave by this interface,
 * that one counts. Routes of the same prefix that differ in metric alone are as good as each other:
 * there is no other way out of this interface. A table that only a rule on the interface selects
 * (or a VRF's) is the operator's word on what leaves by it.
 */
static enum next_hop_state judge_routes(int device, int bound_error, const struct route *bound,
					int unbound_error, const struct route *unbound)
{
	bool is_policy = bound_error == 0 && bound->table != RT_TABLE_MAIN &&
			 bound->table != RT_TABLE_DEFAULT;

	if ((bound_error == 0 && is_local(bound)) || (unbound_error == 0 && is_local(unbound)))
		return NEXT_HOP_LOCAL;
	if (bound_error != 0 || bound->gateway_count == 0) {
		bool is_elsewhere = unbound_error == 0 && unbound->type == RTN_UNICAST &&
				    !leaves_by(unbound, device) && !unbound->is_encapsulated;

		return is_elsewhere ? NEXT_HOP_OTHER_INTERFACE : NEXT_HOP_NO_ROUTE;
	}
	if (bound->type != RTN_UNICAST)
		return NEXT_HOP_NO_ROUTE;
	if (unbound_error == 0) {
		bool is_same = !unbound->is_prefix_uncertain && unbound->table == bound->table &&
			       unbound->prefix_length == bound->prefix_length;

		if (!leaves_by(unbound, device) && !is_same &&
		    (!is_policy || unbound->table == bound->table))
			return NEXT_HOP_OTHER_INTERFACE;
	} else if (unbound_error != -ENETUNREACH && !is_policy) {
		/* Blackhole, unreachable, prohibit: the bound lookup of IPv6 steps over them. */
		return NEXT_HOP_NO_ROUTE;
	}
	return NEXT_HOP_RESOLVED;
}

/* A destination, and the host's own way to it. */
struct search {
	struct neighbours *neighbours;
	const struct address *destination;
	int nic;
	int unbound_error;
	struct route unbound;
};

static void add_ways(const struct route *route, struct ways *ways)
{
	for (uint32_t i = 0; i < route->gateway_count && ways->count < ROUTE_MAX_GATEWAYS; i++)
		ways->list[ways->count++] = (struct way_out){ .gateway = route->gateways[i],
							      .source = route->source,
							      .mtu = route->mtu };
}

/* Adds the ways over one device, if it is one to send by. */
static int try_device(const struct search *search, int device, struct ways *ways,
		      enum next_hop_state *state)
{
	struct vlan_stack stack;
	struct route bound;
	int error;

	*state = link_find_stack(&search->neighbours->links, device, search->nic, &stack);
	if (*state != NEXT_HOP_RESOLVED)
		return 0;
	error = route_lookup(search->neighbours, search->destination, search->nic, device, &bound);
	/* A VLAN device that has just been removed: the report is on the way. */
	if (error == -ENODEV && device != search->nic) {
		*state = NEXT_HOP_NO_ROUTE;
		return 0;
	}
	if (error != 0 && !route_is_refusal(error))
		return error;
	*state = judge_routes(device, error, &bound, search->unbound_error, &search->unbound);
	if (*state == NEXT_HOP_RESOLVED)
		add_ways(&bound, ways);
	return 0;
}

/*
 * The host's own way says by which device of the NIC to send: the NIC itself, a VLAN device, or
 * several of them, where a route has as many gateways. Where it leaves by none of them, the NIC may
 * still have a way of its own; its VLAN devices are not tried then, as there may be thousands.
 */
int ways_find(struct neighbours *neighbours, const struct address *destination, int nic,
	      struct ways *ways, enum next_hop_state *state)
{
	struct search search = { .neighbours = neighbours, .destination = destination, .nic = nic };
	const struct route *unbound = &search.unbound;
	int error, device = 0;

	ways->count = 0;
	*state = NEXT_HOP_LOCAL;
	if (is_never_remote(destination))
		return 0;
	error = route_lookup(neighbours, destination, nic, 0, &search.unbound);
	if (error != 0 && !route_is_refusal(error))
		return error;
	search.unbound_error = error;
	if (unbound->gateway_count == 0)
		return try_device(&search, nic, ways, state);
	for (uint32_t i = 0; i < unbound->gateway_count; i++) {
		enum next_hop_state found;

		/* They are sorted by device. */
		if (unbound->gateways[i].device == device)
			continue;
		device = unbound->gateways[i].device;
		error = try_device(&search, device, ways, &found);
		if (error != 0)
			return error;
		if (i == 0 || found == NEXT_HOP_RESOLVED)
			*state = found;
	}
	return 0;
}
