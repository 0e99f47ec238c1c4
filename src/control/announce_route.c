/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "announce_internal.h"

/* IPv4 prefixes are held in mapped form. */
#define MAPPED_LENGTH 96

struct listing {
	uint32_t table;
	struct prefix_list *list;
};

int announce_route_open(struct netlink *netlink)
{
	int on = 1, error = netlink_open(netlink);

	if (error != 0)
		return error;
	/* So that a dump is of one table, and not of a million routes; since Linux 4.20. */
	(void)mnl_socket_setsockopt(netlink->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return 0;
}

static int change(struct netlink *netlink, uint16_t type, uint16_t flags, uint32_t table,
		  const struct prefix *prefix)
{
	bool is_ipv4 = address_is_ipv4(&prefix->address) && prefix->length >= MAPPED_LENGTH;
	struct netlink_request request;
	struct rtmsg *header;
	struct nlmsghdr *message = netlink_start(&request, type, flags, sizeof(*header), &header);

	header->rtm_family = is_ipv4 ? AF_INET : AF_INET6;
	header->rtm_dst_len = (unsigned char)(prefix->length - (is_ipv4 ? MAPPED_LENGTH : 0));
	/* Larger ones are in the attribute alone. */
	header->rtm_table = table < 256 ? (unsigned char)table : RT_TABLE_UNSPEC;
	header->rtm_protocol = ANNOUNCE_PROTOCOL;
	header->rtm_scope = RT_SCOPE_UNIVERSE;
	header->rtm_type = RTN_BLACKHOLE;
	netlink_put_address(message, RTA_DST, &prefix->address);
	mnl_attr_put_u32(message, RTA_TABLE, table);
	mnl_attr_put_u32(message, RTA_PRIORITY, ANNOUNCE_METRIC);
	return netlink_execute(netlink, message, NULL, NULL);
}

int announce_route_add(struct netlink *netlink, uint32_t table, const struct prefix *prefix)
{
	return change(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, table, prefix);
}

int announce_route_remove(struct netlink *netlink, uint32_t table, const struct prefix *prefix)
{
	return change(netlink, RTM_DELROUTE, 0, table, prefix);
}

bool announce_route_parse(const struct nlmsghdr *message, uint32_t table, struct prefix *prefix)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct prefix found = { 0 };
	const struct nlattr *attribute;
	uint32_t in = 0, metric = 0;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header) ||
	    (header->rtm_family != AF_INET && header->rtm_family != AF_INET6) ||
	    header->rtm_protocol != ANNOUNCE_PROTOCOL || header->rtm_type != RTN_BLACKHOLE ||
	    (header->rtm_flags & RTM_F_CLONED) != 0)
		return false;
	/* A default route has no destination in it. */
	if (header->rtm_family == AF_INET)
		found.address = address_from_ipv4(0);
	found.length = (uint8_t)(header->rtm_dst_len +
				 (header->rtm_family == AF_INET ? MAPPED_LENGTH : 0));
	in = header->rtm_table;
	netlink_for_each_attribute(attribute, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attribute)) {
		case RTA_DST:
			netlink_get_address(attribute, &found.address);
			break;
		case RTA_TABLE:
			netlink_get_u32(attribute, &in);
			break;
		case RTA_PRIORITY:
			netlink_get_u32(attribute, &metric);
			break;
		}
	}
	if (in != table || metric != ANNOUNCE_METRIC)
		return false;
	*prefix = found;
	return true;
}

int prefix_list_add(struct prefix_list *list, const struct prefix *prefix)
{
	if (list->count == list->room) {
		uint32_t room = list->room == 0 ? 64 : 2 * list->room;
		struct prefix *grown = reallocarray(list->prefixes, room, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		list->prefixes = grown;
		list->room = room;
	}
	list->prefixes[list->count++] = *prefix;
	return 0;
}

int prefix_compare(const void *left, const void *right)
{
	const struct prefix *a = left, *b = right;
	int order = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));

	return order != 0 ? order : a->length - b->length;
}

static int take_route(const struct nlmsghdr *message, void *context)
{
	struct listing *listing = context;
	struct prefix prefix;

	if (!announce_route_parse(message, listing->table, &prefix))
		return 0;
	return prefix_list_add(listing->list, &prefix);
}

static int list_family(struct netlink *netlink, uint8_t family, struct listing *listing)
{
	struct netlink_request request;
	struct rtmsg *header;
	struct nlmsghdr *message =
		netlink_start(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof(*header), &header);
	int error;

	header->rtm_family = family;
	header->rtm_table = listing->table < 256 ? (unsigned char)listing->table : RT_TABLE_UNSPEC;
	header->rtm_protocol = ANNOUNCE_PROTOCOL;
	mnl_attr_put_u32(message, RTA_TABLE, listing->table);
	error = netlink_execute(netlink, message, take_route, listing);
	/* No table of that number yet, or a kernel without IPv6. */
	return error == -ENOENT || error == -EOPNOTSUPP || error == -EAFNOSUPPORT ? 0 : error;
}

int announce_route_list(struct netlink *netlink, uint32_t table, struct prefix_list *list)
{
	struct listing listing = { table, list };
	uint32_t kept = 0;
	int error = list_family(netlink, AF_INET, &listing);

	if (error == 0)
		error = list_family(netlink, AF_INET6, &listing);
	if (error != 0)
		return error;
	if (list->count > 0)
		qsort(list->prefixes, list->count, sizeof(*list->prefixes), prefix_compare);
	/* An interrupted dump says some of them again. */
	for (uint32_t i = 0; i < list->count; i++)
		if (kept == 0 || prefix_compare(&list->prefixes[kept - 1], &list->prefixes[i]) != 0)
			list->prefixes[kept++] = list->prefixes[i];
	list->count = kept;
	return 0;
}
