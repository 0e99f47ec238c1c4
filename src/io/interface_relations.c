/* SPDX-License-Identifier: BSD-2-Clause */
/* How a device stands to others, and what its driver says of XDP. */
#include <fluxpin/interface.h>

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include <fluxpin/generic_netlink.h>

/* Of linux/netdev.h (Linux 6.3), which older headers lack. */
enum {
	DEVICE_GET = 1,	  /* NETDEV_CMD_DEV_GET */
	DEVICE_INDEX = 1, /* NETDEV_A_DEV_IFINDEX */
	XDP_FEATURES = 3, /* NETDEV_A_DEV_XDP_FEATURES */
};

static int take_features(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute;
	uint64_t *features = context;

	netlink_for_each_attribute(attribute, message, GENERIC_NETLINK_HEADER)
	{
		if (mnl_attr_get_type(attribute) == XDP_FEATURES &&
		    mnl_attr_get_payload_len(attribute) >= sizeof(*features))
			memcpy(features, mnl_attr_get_payload(attribute), sizeof(*features));
	}
	return 0;
}

int interface_xdp_features(int index, uint64_t *features)
{
	uint64_t found = 0;
	int error = generic_netlink_ask("netdev", DEVICE_GET, 0, DEVICE_INDEX, (uint32_t)index,
					take_features, &found);

	if (error == 0)
		*features = found;
	return error;
}

static void read_kind(const struct nlattr *information, struct interface_relations *relations)
{
	const struct nlattr *attribute;

	netlink_for_each_nested(attribute, information)
	{
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			snprintf(relations->kind, sizeof(relations->kind), "%.*s",
				 (int)mnl_attr_get_payload_len(attribute),
				 mnl_attr_get_str(attribute));
	}
}

static int take_relations(const struct nlmsghdr *message, void *context)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct interface_relations *relations = context;
	const struct nlattr *attribute;
	uint32_t number;

	if (message->nlmsg_type != RTM_NEWLINK ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*link))
		return -EBADMSG;
	relations->has_arp = (link->ifi_flags & IFF_NOARP) == 0;
	relations->is_loopback = (link->ifi_flags & IFF_LOOPBACK) != 0;
	netlink_for_each_attribute(attribute, message, sizeof(*link))
	{
		switch (mnl_attr_get_type(attribute)) {
		case IFLA_MASTER:
			if (netlink_get_u32(attribute, &number))
				relations->master = (int)number;
			break;
		case IFLA_LINK:
			if (netlink_get_u32(attribute, &number))
				relations->peer = (int)number;
			break;
		case IFLA_LINK_NETNSID:
			if (netlink_get_u32(attribute, &number))
				relations->peer_namespace = (int)number;
			break;
		case IFLA_LINKINFO:
			read_kind(attribute, relations);
			break;
		}
	}
	return 0;
}

int interface_relations(int index, struct interface_relations *relations)
{
	struct interface_relations result = { .peer_namespace = -1 };
	struct netlink_request request;
	struct ifinfomsg *link;
	struct nlmsghdr *message = netlink_start(&request, RTM_GETLINK, 0, sizeof(*link), &link);
	int error;

	link->ifi_index = index;
	error = netlink_execute_once(message, take_relations, &result);
	if (error != 0)
		return error;
	/* Of other kinds of devices it is the one below. */
	if (strcmp(result.kind, "veth") != 0)
		result.peer = 0;
	*relations = result;
	return 0;
}
