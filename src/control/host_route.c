/* SPDX-License-Identifier: BSD-2-Clause */
#include "host_route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/netlink.h>

static void read_metrics(const struct nlattr *metrics, struct host_route *route)
{
	const struct nlattr *attribute;

	netlink_for_each_nested(attribute, metrics)
	{
		if (mnl_attr_get_type(attribute) == RTAX_MTU)
			netlink_get_u32(attribute, &route->mtu);
		else if (mnl_attr_get_type(attribute) == RTAX_ADVMSS)
			netlink_get_u32(attribute, &route->advmss);
	}
}

static void read_first_way(const struct nlattr *multipath, struct host_route *route)
{
	const struct rtnexthop *nexthop = mnl_attr_get_payload(multipath);
	const struct nlattr *attribute = (const struct nlattr *)(nexthop + 1);
	const char *end = (const char *)nexthop + mnl_attr_get_payload_len(multipath);

	route->is_multipath = true;
	if (mnl_attr_get_payload_len(multipath) < sizeof(*nexthop) ||
	    nexthop->rtnh_len < sizeof(*nexthop) ||
	    nexthop->rtnh_len > mnl_attr_get_payload_len(multipath))
		return;
	end = (const char *)nexthop + nexthop->rtnh_len;
	route->device = nexthop->rtnh_ifindex;
	for (; mnl_attr_ok(attribute, netlink_distance(attribute, end));
	     attribute = mnl_attr_next(attribute))
		if (mnl_attr_get_type(attribute) == RTA_GATEWAY)
			netlink_get_address(attribute, &route->gateway);
}

static void read_attribute(const struct nlattr *attribute, struct host_route *route)
{
	uint32_t index;

	switch (mnl_attr_get_type(attribute)) {
	case RTA_TABLE:
		netlink_get_u32(attribute, &route->table);
		break;
	case RTA_DST:
		netlink_get_address(attribute, &route->prefix);
		break;
	case RTA_PRIORITY:
		netlink_get_u32(attribute, &route->metric);
		break;
	case RTA_PREFSRC:
		netlink_get_address(attribute, &route->source);
		break;
	case RTA_GATEWAY:
		netlink_get_address(attribute, &route->gateway);
		break;
	case RTA_OIF:
		if (netlink_get_u32(attribute, &index))
			route->device = (int)index;
		break;
	case RTA_METRICS:
		read_metrics(attribute, route);
		break;
	case RTA_MULTIPATH:
		read_first_way(attribute, route);
		break;
	}
}

static bool parse(const struct nlmsghdr *message, struct host_route *route)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;

	if (message->nlmsg_type != RTM_NEWROUTE ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return false;
	*route = (struct host_route){
		.type = header->rtm_type,
		.prefix_length = header->rtm_dst_len,
		.protocol = header->rtm_protocol,
		.is_onlink = (header->rtm_flags & RTNH_F_ONLINK) != 0,
		.table = header->rtm_table,
	};
	netlink_for_each_attribute(attribute, message, sizeof(*header))
		read_attribute(attribute, route);
	return true;
}

static int take_route(const struct nlmsghdr *message, void *context)
{
	return parse(message, context) ? 0 : -EBADMSG;
}

static struct nlmsghdr *start_request(struct netlink_request *request, uint16_t flags,
				      const struct address *destination, struct rtmsg **header)
{
	struct nlmsghdr *message =
		netlink_start(request, RTM_GETROUTE, flags, sizeof(**header), header);

	(*header)->rtm_family = netlink_family(destination);
	return message;
}

int host_route_lookup(const struct address *destination, struct host_route *route)
{
	struct host_route result = { 0 };
	struct netlink_request request;
	struct rtmsg *header;
	struct nlmsghdr *message = start_request(&request, 0, destination, &header);
	int error;

	header->rtm_dst_len = header->rtm_family == AF_INET ? 32 : 128;
	header->rtm_flags = RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE;
	netlink_put_address(message, RTA_DST, destination);
	error = netlink_execute_once(message, take_route, &result);
	if (error != 0)
		return error;
	if (result.device != 0)
		if_indextoname((unsigned int)result.device, result.device_name);
	*route = result;
	return 0;
}

struct refusal_search {
	const struct address *destination;
	struct host_route best;
	bool is_found;
};

static bool is_refusal(const struct host_route *route)
{
	return route->type == RTN_UNREACHABLE || route->type == RTN_BLACKHOLE ||
	       route->type == RTN_PROHIBIT;
}

static int take_refusal(const struct nlmsghdr *message, void *context)
{
	struct refusal_search *search = context;
	struct host_route route;
	struct prefix prefix;
	bool is_ipv4 = address_is_ipv4(search->destination);

	if (!parse(message, &route) || !is_refusal(&route))
		return 0;
	if (is_ipv4 && route.prefix_length == 0)
		route.prefix = address_from_ipv4(0);
	prefix.address = route.prefix;
	prefix.length = (uint8_t)(route.prefix_length + (is_ipv4 ? 96 : 0));
	if (!prefix_holds(&prefix, search->destination) ||
	    (search->is_found && route.prefix_length <= search->best.prefix_length))
		return 0;
	search->best = route;
	search->is_found = true;
	return 0;
}

int host_route_find_refusal(const struct address *destination, struct host_route *route)
{
	struct refusal_search search = { .destination = destination };
	struct netlink_request request;
	struct rtmsg *header;
	struct nlmsghdr *message = start_request(&request, NLM_F_DUMP, destination, &header);
	int error = netlink_execute_once(message, take_refusal, &search);

	if (error != 0)
		return error;
	if (!search.is_found)
		return -ENOENT;
	*route = search.best;
	return 0;
}

const char *host_route_format(const struct host_route *route, char *buffer, uint32_t size)
{
	char prefix[ADDRESS_TEXT_SIZE], gateway[ADDRESS_TEXT_SIZE], source[ADDRESS_TEXT_SIZE];
	FILE *stream;
	bool is_whole;

	if (route->is_multipath || route->table != RT_TABLE_MAIN || route->device_name[0] == '\0')
		return NULL;
	stream = fmemopen(buffer, size, "w");
	if (stream == NULL)
		return NULL;
	if (route->prefix_length == 0)
		fputs("default", stream);
	else
		fprintf(stream, "%s/%u", address_format(&route->prefix, prefix),
			route->prefix_length);
	if (!address_is_zero(&route->gateway))
		fprintf(stream, " via %s", address_format(&route->gateway, gateway));
	fprintf(stream, " dev %s", route->device_name);
	if (route->protocol != RTPROT_BOOT)
		fprintf(stream, " proto %u", route->protocol);
	if (!address_is_zero(&route->source))
		fprintf(stream, " src %s", address_format(&route->source, source));
	if (route->metric != 0)
		fprintf(stream, " metric %u", route->metric);
	if (route->is_onlink)
		fputs(" onlink", stream);
	is_whole = ftell(stream) < (long)size;
	return fclose(stream) == 0 && is_whole ? buffer : NULL;
}
