/* SPDX-License-Identifier: BSD-2-Clause */
#include "neighbours_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/log.h>

#include "route.h"

const char *next_hop_state_name(enum next_hop_state state)
{
	switch (state) {
	case NEXT_HOP_RESOLVED:
		return "resolved";
	case NEXT_HOP_NO_ROUTE:
		return "no route";
	case NEXT_HOP_LOCAL:
		return "local";
	case NEXT_HOP_OTHER_INTERFACE:
		return "other interface";
	case NEXT_HOP_NO_NEIGHBOUR:
		return "no neighbour";
	case NEXT_HOP_NO_SOURCE:
		return "no source address";
	case NEXT_HOP_OFF_LINK:
		return "not on the same link, which l2 needs";
	}
	return "unknown";
}

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

/*
 * Two lookups are needed. The one that is bound to the interface gives the gateway, and follows
 * policy rules on the outgoing interface. But it skips whatever leads elsewhere, and would send a
 * backend behind another interface to the default gateway of this one; so where the host's own way
 * to the destination (the unbound lookup) is more specific and does not leave by this interface,
 * that one counts. Routes of the same prefix that differ in metric alone are as good as each other:
 * there is no other way out of this interface. A table that only a rule on the interface selects
 * (or a VRF's) is the operator's word on what leaves by it.
 */
static enum next_hop_state judge_routes(int bound_error, const struct route *bound,
					int unbound_error, const struct route *unbound)
{
	bool is_policy = bound_error == 0 && bound->table != RT_TABLE_MAIN &&
			 bound->table != RT_TABLE_DEFAULT;

	if ((bound_error == 0 && is_local(bound)) || (unbound_error == 0 && is_local(unbound)))
		return NEXT_HOP_LOCAL;
	if (bound_error != 0 || bound->gateway_count == 0) {
		bool is_elsewhere = unbound_error == 0 && unbound->type == RTN_UNICAST &&
				    unbound->gateway_count == 0 && !unbound->is_encapsulated;

		return is_elsewhere ? NEXT_HOP_OTHER_INTERFACE : NEXT_HOP_NO_ROUTE;
	}
	if (bound->type != RTN_UNICAST)
		return NEXT_HOP_NO_ROUTE;
	if (unbound_error == 0) {
		bool is_same = !unbound->is_prefix_uncertain && unbound->table == bound->table &&
			       unbound->prefix_length == bound->prefix_length;

		if (unbound->gateway_count == 0 && !is_same &&
		    (!is_policy || unbound->table == bound->table))
			return NEXT_HOP_OTHER_INTERFACE;
	} else if (unbound_error != -ENETUNREACH && !is_policy) {
		/* Blackhole, unreachable, prohibit: the bound lookup of IPv6 steps over them. */
		return NEXT_HOP_NO_ROUTE;
	}
	return NEXT_HOP_RESOLVED;
}

/* Makes the entry ours and reads it again. */
static int manage_entry(struct neighbours *neighbours, bool must_be_new,
			struct neighbour_entry *entry)
{
	struct netlink *netlink = &neighbours->requests;
	const struct address address = entry->address;
	int index = entry->index;
	int error = neighbour_entry_manage(netlink, &address, index, must_be_new);

	/* Its table is full: that one neighbour is missing, the others need not be. */
	if (error == -ENOBUFS) {
		if (!neighbours->is_table_full)
			log_warning("the kernel's neighbour table is full (sysctl "
				    "net.ipv4.neigh.default.gc_thresh3)");
		neighbours->is_table_full = true;
		return -ENOENT;
	}
	/* Somebody else was quicker: theirs is looked at again after its report. */
	if (error != 0 && error != -EEXIST)
		return error;
	error = neighbour_entry_read(netlink, &address, index, entry);
	if (error == 0 && entry->extended_flags == 0 && !neighbours->is_managing_refused &&
	    entry->protocol == NEIGHBOURS_PROTOCOL) {
		log_debug("this kernel has no managed neighbour entries; asking it to probe");
		neighbours->is_managing_refused = true;
	}
	return error;
}

/*
 * Reads the entry and sees to it that the kernel keeps it fresh: creates it, or takes over one that
 * the kernel itself learned. What the operator or a routing daemon set is left alone.
 */
static int keep_fresh(struct neighbours *neighbours, const struct address *address, int index,
		      struct neighbour_entry *entry)
{
	int error = neighbour_entry_read(&neighbours->requests, address, index, entry);
	bool is_managed = (entry->extended_flags & NTF_EXT_MANAGED) != 0;
	bool is_foreign;

	if (error == -ENOENT) {
		*entry = (struct neighbour_entry){ .address = *address, .index = index };
		return manage_entry(neighbours, true, entry);
	}
	if (error != 0 || neighbour_entry_is_static(entry) || (entry->flags & NTF_EXT_LEARNED) != 0)
		return error;
	is_foreign = entry->protocol == 0 ? is_managed : entry->protocol != NEIGHBOURS_PROTOCOL;
	if (is_foreign || neighbours->is_managing_refused) {
		if ((entry->state & NUD_REACHABLE) != 0)
			return 0;
		return neighbour_entry_probe(&neighbours->requests, entry);
	}
	if (neighbour_entry_is_ours(entry) && neighbour_entry_is_valid(entry))
		return 0;
	/* Also for one of ours that has failed: the kernel starts to ask again at once. */
	return manage_entry(neighbours, false, entry);
}

static int resolve_neighbour(struct neighbours *neighbours, const struct address *address,
			     int index, const struct asked **answer)
{
	struct asked *asked = asked_obtain(neighbours, ASKED_NEIGHBOUR, address, index);
	struct neighbour_entry entry = { 0 };
	int error;

	if (asked == NULL)
		return -ENOMEM;
	/*
	 * One answer a round for all that send by this neighbour. Were it looked at again and had
	 * changed meanwhile, the report of that would equal the last answer and be taken for no
	 * news, and who got the answer before would keep it.
	 */
	if (neighbours->is_in_round && asked->is_answered) {
		*answer = asked;
		return 0;
	}
	error = keep_fresh(neighbours, address, index, &entry);
	/* Removed between two requests: its report is on the way and starts a new round. */
	if (error == -ENOENT)
		entry = (struct neighbour_entry){ 0 };
	else if (error != 0)
		return error;
	asked->is_answered = true;
	asked->is_managed = neighbour_entry_is_ours(&entry);
	asked->is_valid = neighbour_entry_is_valid(&entry);
	memcpy(asked->mac, entry.mac, sizeof(asked->mac));
	*answer = asked;
	return 0;
}

/*
 * Of several routers one is chosen by the destination, so that backends spread over them, and each
 * stays with its own as long as that one answers.
 */
static int resolve_gateways(struct neighbours *neighbours, const struct address *destination,
			    int index, const struct route *route, struct next_hop *next_hop)
{
	uint32_t start = ntohl(destination->words_be[3]) % route->gateway_count;

	next_hop->state = NEXT_HOP_NO_NEIGHBOUR;
	next_hop->gateway = route->gateways[start];
	for (uint32_t i = 0; i < route->gateway_count; i++) {
		const struct address *gateway =
			&route->gateways[(start + i) % route->gateway_count];
		const struct asked *answer;
		int error = resolve_neighbour(neighbours, gateway, index, &answer);

		if (error != 0)
			return error;
		if (answer->is_valid && next_hop->state != NEXT_HOP_RESOLVED) {
			next_hop->state = NEXT_HOP_RESOLVED;
			next_hop->gateway = *gateway;
			memcpy(next_hop->mac, answer->mac, sizeof(next_hop->mac));
		}
	}
	return 0;
}

static int remember_destination(struct neighbours *neighbours, const struct address *destination,
				int index)
{
	struct link *link;

	if (asked_find(neighbours, ASKED_DESTINATION, destination, index) == NULL) {
		link = link_find(neighbours, index);
		if (link != NULL)
			link->is_asked = true;
	}
	if (asked_obtain(neighbours, ASKED_DESTINATION, destination, index) == NULL)
		return -ENOMEM;
	return 0;
}

/* Finds the way: sets the state, and for a destination that has one, MTU and source address. */
static int find_route(struct neighbours *neighbours, const struct address *destination, int index,
		      struct route *route, struct next_hop *next_hop)
{
	struct netlink *netlink = &neighbours->requests;
	struct route unbound;
	int unbound_error;
	int error;

	if (is_never_remote(destination)) {
		next_hop->state = NEXT_HOP_LOCAL;
		return 0;
	}
	error = route_lookup(netlink, destination, index, true, route);
	if (error != 0 && !route_is_refusal(error))
		return error;
	unbound_error = route_lookup(netlink, destination, index, false, &unbound);
	if (unbound_error != 0 && !route_is_refusal(unbound_error))
		return unbound_error;
	next_hop->state = judge_routes(error, route, unbound_error, &unbound);
	if (next_hop->state != NEXT_HOP_RESOLVED)
		return 0;
	next_hop->mtu = route->mtu;
	next_hop->source = route->source;
	if (!address_is_zero(&next_hop->source))
		return 0;
	error = route_lookup_source(netlink, destination, index, &next_hop->source);
	return route_is_refusal(error) ? 0 : error;
}

int next_hop_resolve(struct neighbours *neighbours, const struct address *destination, int index,
		     struct next_hop *next_hop)
{
	struct next_hop result = { 0 };
	struct route route;
	int error = remember_destination(neighbours, destination, index);

	if (error == 0)
		error = find_route(neighbours, destination, index, &route, &result);
	if (error == 0 && result.state == NEXT_HOP_RESOLVED)
		error = resolve_gateways(neighbours, destination, index, &route, &result);
	if (error != 0)
		return error;
	*next_hop = result;
	return 0;
}
