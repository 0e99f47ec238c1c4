/* SPDX-License-Identifier: BSD-2-Clause */
#include "route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

struct lookup {
	const struct neighbours *neighbours;
	const struct address *destination;
	const struct address *source; /* of the packet; NULL: none is known */
	int nic;		      /* 0: any */
	int device;		      /* 0: any on the NIC */
	struct route *route;
	uint32_t nexthop_id; /* of a route that refers to a nexthop object; 0: none */
	bool has_nexthop;    /* the answer showed where the route leads */
};

/* One way out of a route: the attributes of a plain route, or those inside RTA_MULTIPATH. */
struct way {
	int index;
	bool is_dead;
	bool is_encapsulated;
	struct address gateway; /* zero: on-link */
};

static bool read_via(const struct nlattr *attribute, struct address *gateway)
{
	const struct rtvia *via = mnl_attr_get_payload(attribute);
	size_t length = mnl_attr_get_payload_len(attribute);

	if (length < sizeof(*via))
		return false;
	length -= sizeof(*via);
	if (via->rtvia_family == AF_INET && length >= 4) {
		uint32_t ipv4_be;

		memcpy(&ipv4_be, via->rtvia_addr, sizeof(ipv4_be));
		*gateway = address_from_ipv4(ipv4_be);
		return true;
	}
	if (via->rtvia_family != AF_INET6 || length < sizeof(gateway->bytes))
		return false;
	memcpy(gateway->bytes, via->rtvia_addr, sizeof(gateway->bytes));
	return true;
}

static void read_way_attribute(const struct nlattr *attribute, struct way *way)
{
	uint32_t index;

	switch (mnl_attr_get_type(attribute)) {
	case RTA_OIF:
		if (netlink_get_u32(attribute, &index))
			way->index = (int)index;
		break;
	case RTA_GATEWAY:
		netlink_get_address(attribute, &way->gateway);
		break;
	case RTA_VIA: /* an IPv4 route over an IPv6 gateway (RFC 5549) */
		read_via(attribute, &way->gateway);
		break;
	case RTA_ENCAP_TYPE:
		way->is_encapsulated = true;
		break;
	}
}

static bool is_looked_for(const struct lookup *lookup, int index)
{
	struct vlan_stack stack;

	if (lookup->device != 0)
		return index == lookup->device;
	if (lookup->nic == 0)
		return true;
	return link_find_stack(&lookup->neighbours->links, index, lookup->nic, &stack) !=
	       NEXT_HOP_OTHER_INTERFACE;
}

static void add_way(struct lookup *lookup, const struct way *way)
{
	struct route *route = lookup->route;

	lookup->has_nexthop = true;
	if (!is_looked_for(lookup, way->index) || way->is_dead)
		return;
	if (way->is_encapsulated) {
		route->is_encapsulated = true;
		return;
	}
	if (route->gateway_count == ROUTE_MAX_GATEWAYS)
		return;
	route->gateways[route->gateway_count++] = (struct route_gateway){
		.device = way->index,
		.address = address_is_zero(&way->gateway) ? *lookup->destination : way->gateway,
	};
}

static void read_multipath(const struct nlattr *multipath, struct lookup *lookup)
{
	const char *position = mnl_attr_get_payload(multipath);
	size_t left = mnl_attr_get_payload_len(multipath);

	while (left >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *nexthop = (const struct rtnexthop *)position;
		struct way way = {
			.index = nexthop->rtnh_ifindex,
			.is_dead = (nexthop->rtnh_flags & RTNH_F_DEAD) != 0,
		};
		const struct nlattr *attribute =
			(const struct nlattr *)(position + sizeof(*nexthop));
		size_t step = (size_t)RTNH_ALIGN(nexthop->rtnh_len);

		if (nexthop->rtnh_len < sizeof(*nexthop) || nexthop->rtnh_len > left)
			return;
		while (mnl_attr_ok(attribute,
				   netlink_distance(attribute, position + nexthop->rtnh_len))) {
			read_way_attribute(attribute, &way);
			attribute = mnl_attr_next(attribute);
		}
		add_way(lookup, &way);
		if (step >= left)
			return;
		position += step;
		left -= step;
	}
}

static void read_metrics(const struct nlattr *metrics, struct route *route)
{
	const struct nlattr *attribute;

	netlink_for_each_nested(attribute, metrics)
	{
		if (mnl_attr_get_type(attribute) == RTAX_MTU)
			netlink_get_u32(attribute, &route->mtu);
	}
}

static int take_route(const struct nlmsghdr *message, void *context)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct lookup *lookup = context;
	struct route *route = lookup->route;
	const struct nlattr *attribute;
	struct way way = { 0 };

	if (message->nlmsg_type != RTM_NEWROUTE ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return -EBADMSG;
	route->type = header->rtm_type;
	route->prefix_length = header->rtm_dst_len;
	route->table = header->rtm_table;
	way.is_dead = (header->rtm_flags & RTNH_F_DEAD) != 0;
	netlink_for_each_attribute(attribute, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attribute)) {
		case RTA_TABLE:
			netlink_get_u32(attribute, &route->table);
			break;
		case RTA_PREFSRC:
			netlink_get_address(attribute, &route->source);
			break;
		case RTA_METRICS:
			read_metrics(attribute, route);
			break;
		case RTA_MULTIPATH:
			read_multipath(attribute, lookup);
			break;
		case RTA_NH_ID:
			netlink_get_u32(attribute, &lookup->nexthop_id);
			break;
		default:
			read_way_attribute(attribute, &way);
			break;
		}
	}
	if (way.index != 0)
		add_way(lookup, &way);
	return 0;
}

static int ask(struct neighbours *neighbours, struct lookup *lookup, unsigned int flags)
{
	struct netlink_request request;
	struct rtmsg *header;
	struct nlmsghdr *message =
		netlink_start(&request, RTM_GETROUTE, 0, sizeof(*header), &header);

	header->rtm_family = netlink_family(lookup->destination);
	header->rtm_dst_len = header->rtm_family == AF_INET ? 32 : 128;
	/* Without it every route is said to be of the main table. */
	header->rtm_flags = flags | RTM_F_LOOKUP_TABLE;
	netlink_put_address(message, RTA_DST, lookup->destination);
	if (lookup->source != NULL)
		netlink_put_address(message, RTA_SRC, lookup->source);
	if (lookup->device != 0)
		mnl_attr_put_u32(message, RTA_OIF, (uint32_t)lookup->device);
	return netlink_execute(&neighbours->requests, message, take_route, lookup);
}

static int compare_gateways(const void *a, const void *b)
{
	const struct route_gateway *left = a, *right = b;

	if (left->device != right->device)
		return left->device < right->device ? -1 : 1;
	return memcmp(&left->address, &right->address, sizeof(left->address));
}

static int look_up(struct neighbours *neighbours, struct lookup *lookup, struct route *route)
{
	struct route result = { 0 };
	int error;

	lookup->route = &result;
	error = ask(neighbours, lookup, RTM_F_FIB_MATCH);
	if (error != 0)
		return error;
	result.is_prefix_uncertain =
		lookup->nexthop_id != 0 && !address_is_ipv4(lookup->destination);
	if (lookup->nexthop_id != 0 && !lookup->has_nexthop) {
		/*
		 * With net.ipv4.nexthop_compat_mode = 0 a route is shown with the number of its
		 * nexthop object alone. That there is a route is known now, so that the plain
		 * answer, which names one gateway, can be relied on.
		 */
		struct route plain = { 0 };

		lookup->route = &plain;
		error = ask(neighbours, lookup, 0);
		if (error != 0)
			return error;
		result.gateway_count = plain.gateway_count;
		memcpy(result.gateways, plain.gateways, sizeof(result.gateways));
	}
	/* The kernel lists them as it pleases (IPv6: the one that it would take first), so that
	 * only an order of our own gives the same gateway each time. */
	qsort(result.gateways, result.gateway_count, sizeof(result.gateways[0]), compare_gateways);
	*route = result;
	return 0;
}

int route_lookup(struct neighbours *neighbours, const struct address *destination, int nic,
		 int device, struct route *route)
{
	struct lookup lookup = {
		.neighbours = neighbours, .destination = destination, .nic = nic, .device = device
	};

	return look_up(neighbours, &lookup, route);
}

int route_lookup_own(struct neighbours *neighbours, const struct address *destination,
		     const struct address *source, struct route *route)
{
	struct lookup lookup = { .neighbours = neighbours,
				 .destination = destination,
				 .source = source };

	return look_up(neighbours, &lookup, route);
}

bool route_is_refusal(int error)
{
	switch (error) {
	case -ENETUNREACH:  /* no route, or the interface is down */
	case -EHOSTUNREACH: /* unreachable; no route that leaves by this interface */
	case -EINVAL:	    /* blackhole */
	case -EACCES:	    /* prohibit */
	case -ESRCH:	    /* no rule matches */
	case -EAGAIN:	    /* throw, and no rule behind it */
		return true;
	default:
		return false;
	}
}

int route_lookup_source(struct neighbours *neighbours, const struct address *destination,
			int device, struct address *source)
{
	struct route route = { 0 };
	struct lookup lookup = { .neighbours = neighbours,
				 .destination = destination,
				 .device = device,
				 .route = &route };
	int error = ask(neighbours, &lookup, 0);

	if (error == 0)
		*source = route.source;
	return error;
}
