/* SPDX-License-Identifier: BSD-2-Clause */
#include "links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/clock.h>
#include <fluxpin/netlink.h>

#include "neighbours_internal.h"

/* The kernel stacks no more devices than this (MAX_NEST_DEV in netdevice.h). */
#define MOST_LEVELS 8

#define VLAN_ID 0x0fff

struct link *link_find(const struct links *links, int index)
{
	for (uint32_t i = 0; i < links->count; i++) {
		if (links->list[i].index == index)
			return &links->list[i];
	}
	return NULL;
}

int link_add(struct links *links, const struct link *link)
{
	if (links->count == links->room) {
		uint32_t room = links->room == 0 ? 16 : 2 * links->room;
		struct link *list = reallocarray(links->list, room, sizeof(*list));

		if (list == NULL)
			return -ENOMEM;
		links->list = list;
		links->room = room;
	}
	links->list[links->count++] = *link;
	return 0;
}

void link_remove(struct links *links, struct link *link)
{
	*link = links->list[--links->count];
}

bool link_has_carrier(const struct link *link)
{
	return (link->flags & IFF_UP) != 0 && (link->flags & IFF_LOWER_UP) != 0;
}

void link_replace(struct link *known, const struct link *report)
{
	struct link link = *report;

	link.is_asked = known->is_asked;
	link.cut_ns = known->cut_ns;
	link.lost_ns = known->lost_ns;
	if (!link_has_carrier(known) || !link_has_carrier(&link))
		link.cut_ns = clock_ns();
	if (link_has_carrier(known) && !link_has_carrier(&link))
		link.lost_ns = clock_ns();
	*known = link;
}

static void read_xdp(const struct nlattr *xdp, struct link *link)
{
	const struct nlattr *attribute;

	netlink_for_each_nested(attribute, xdp)
	{
		if (mnl_attr_get_type(attribute) == IFLA_XDP_PROG_ID)
			netlink_get_u32(attribute, &link->xdp_program);
	}
}

static bool read_u16(const struct nlattr *attribute, uint16_t *value)
{
	if (mnl_attr_get_payload_len(attribute) < sizeof(*value))
		return false;
	memcpy(value, mnl_attr_get_payload(attribute), sizeof(*value));
	return true;
}

/* Whether the device's own data name a VLAN. Kernels before 3.10 know 802.1Q alone and do not say
 * so. */
static bool read_vlan_data(const struct nlattr *data, struct vlan_tag *tag)
{
	uint16_t protocol_be = htons(ETH_P_8021Q), id = 0;
	const struct nlattr *attribute;
	bool has_id = false;

	netlink_for_each_nested(attribute, data)
	{
		switch (mnl_attr_get_type(attribute)) {
		case IFLA_VLAN_ID:
			has_id = read_u16(attribute, &id);
			break;
		case IFLA_VLAN_PROTOCOL:
			if (!read_u16(attribute, &protocol_be))
				return false;
			break;
		}
	}
	tag->protocol = ntohs(protocol_be);
	tag->id = id;
	return has_id && id <= VLAN_ID &&
	       (tag->protocol == ETH_P_8021Q || tag->protocol == ETH_P_8021AD);
}

static void read_kind(const struct nlattr *information, struct link *link)
{
	static const char vlan[] = "vlan";
	const struct nlattr *attribute, *data = NULL;
	bool is_vlan = false;

	netlink_for_each_nested(attribute, information)
	{
		uint16_t length = mnl_attr_get_payload_len(attribute);

		switch (mnl_attr_get_type(attribute)) {
		case IFLA_INFO_KIND:
			is_vlan = length == sizeof(vlan) &&
				  memcmp(mnl_attr_get_payload(attribute), vlan, length) == 0;
			break;
		case IFLA_INFO_DATA:
			data = attribute;
			break;
		}
	}
	link->is_vlan = is_vlan && data != NULL && read_vlan_data(data, &link->tag);
}

static void read_attribute(const struct nlattr *attribute, struct link *link)
{
	uint32_t index;

	switch (mnl_attr_get_type(attribute)) {
	case IFLA_MTU:
		netlink_get_u32(attribute, &link->mtu);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attribute) == sizeof(link->mac))
			memcpy(link->mac, mnl_attr_get_payload(attribute), sizeof(link->mac));
		break;
	case IFLA_XDP:
		read_xdp(attribute, link);
		break;
	case IFLA_LINK:
		if (netlink_get_u32(attribute, &index))
			link->lower = (int)index;
		break;
	case IFLA_LINKINFO:
		read_kind(attribute, link);
		break;
	}
}

bool link_parse(const struct nlmsghdr *message, struct link *link, bool *is_port)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	bool is_lower_foreign = false;

	/* AF_BRIDGE messages tell of bridge ports, with other attributes. */
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header) || header->ifi_family != AF_UNSPEC)
		return false;
	*link = (struct link){
		.index = header->ifi_index,
		.flags = header->ifi_flags & (IFF_UP | IFF_RUNNING | IFF_LOWER_UP | IFF_NOARP),
	};
	*is_port = false;
	netlink_for_each_attribute(attribute, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attribute) == IFLA_MASTER)
			*is_port = true;
		else if (mnl_attr_get_type(attribute) == IFLA_LINK_NETNSID)
			is_lower_foreign = true;
		else
			read_attribute(attribute, link);
	}
	/* The index is one of the other namespace's. So is that of a veth's other end, but of VLAN
	 * devices alone it is the device below. */
	if (!link->is_vlan || is_lower_foreign)
		link->lower = 0;
	return true;
}

bool link_is_asked(const struct links *links, const struct link *link)
{
	for (int level = 0; link != NULL && level < MOST_LEVELS; level++) {
		if (link->is_asked)
			return true;
		link = link->is_vlan ? link_find(links, link->lower) : NULL;
	}
	return false;
}

enum next_hop_state link_find_stack(const struct links *links, int index, int nic,
				    struct vlan_stack *stack)
{
	struct vlan_tag tags[MOST_LEVELS];
	struct vlan_stack found = { 0 };
	uint32_t count = 0;

	/* From above: the innermost tag is the first that is met. */
	while (index != nic) {
		const struct link *link = link_find(links, index);

		if (link == NULL || !link->is_vlan || count == MOST_LEVELS)
			return NEXT_HOP_OTHER_INTERFACE;
		if (count == 0)
			memcpy(found.mac, link->mac, sizeof(found.mac));
		if (found.mtu == 0 || link->mtu < found.mtu)
			found.mtu = link->mtu;
		tags[count++] = link->tag;
		index = link->lower;
	}
	if (count > PACKET_MAX_TAGS)
		return NEXT_HOP_TOO_MANY_TAGS;
	found.count = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++)
		found.tags[i] = tags[count - 1 - i];
	*stack = found;
	return NEXT_HOP_RESOLVED;
}

static int take_link(const struct nlmsghdr *message, void *context)
{
	struct neighbours *neighbours = context;
	struct link *known;
	struct link link;
	bool is_port;

	if (!link_parse(message, &link, &is_port))
		return 0;
	link.is_seen = true;
	known = link_find(&neighbours->links, link.index);
	if (known == NULL) {
		link.is_asked = asked_is_over(neighbours, link.index);
		return link_add(&neighbours->links, &link);
	}
	link_replace(known, &link);
	return 0;
}

int links_read(struct neighbours *neighbours)
{
	struct links *links = &neighbours->links;
	struct netlink_request request;
	struct ifinfomsg *header;
	struct nlmsghdr *message =
		netlink_start(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(*header), &header);
	int error;

	for (uint32_t i = 0; i < links->count; i++)
		links->list[i].is_seen = false;
	error = netlink_execute(&neighbours->requests, message, take_link, neighbours);
	if (error != 0)
		return error;
	for (uint32_t i = links->count; i-- > 0;) {
		if (!links->list[i].is_seen)
			link_remove(links, &links->list[i]);
	}
	return 0;
}
