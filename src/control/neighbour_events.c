/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the kernel's reports may alter a next hop that was asked for. */
#include "neighbours_internal.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

struct drain {
	struct neighbours *neighbours;
	bool is_changed;
};

/*
 * IPv4 routes that vanish because an interface goes down are not reported, so that interfaces
 * count over which nothing was asked, too: but only their going up and down, and not that of ports
 * of a bridge or bond, which carry no routes. A VLAN device counts with the NIC that it is on, also
 * one that is new: the first one of a NIC changes the tags of all that leaves by it.
 */
static int take_link(struct drain *drain, const struct nlmsghdr *message)
{
	struct neighbours *neighbours = drain->neighbours;
	struct links *links = &neighbours->links;
	struct link *known;
	struct link link;
	bool is_port;

	if (!link_parse(message, &link, &is_port))
		return 0;
	known = link_find(links, link.index);
	if (message->nlmsg_type == RTM_DELLINK) {
		if (known == NULL)
			return 0;
		if (link_is_asked(links, known) || !is_port)
			drain->is_changed = true;
		link_remove(links, known);
		return 0;
	}
	if (known == NULL) {
		link.is_asked = asked_is_over(neighbours, link.index);
		if (link.is_vlan && link_is_asked(links, &link))
			drain->is_changed = true;
		return link_add(links, &link);
	}
	if (link_is_asked(links, known)) {
		if (link.flags != known->flags || link.mtu != known->mtu ||
		    link.xdp_program != known->xdp_program ||
		    memcmp(link.mac, known->mac, sizeof(link.mac)) != 0)
			drain->is_changed = true;
	} else if (!is_port && ((link.flags ^ known->flags) & (IFF_UP | IFF_LOWER_UP)) != 0) {
		drain->is_changed = true;
	}
	link_replace(known, &link);
	return 0;
}

/*
 * A report only says that it is worth looking: it may be older than the last answer, as those are
 * that the kernel sends while it resolves an entry of ours. What the table holds now decides.
 */
static int take_neighbour(struct drain *drain, const struct nlmsghdr *message)
{
	struct neighbour_entry entry;
	struct asked *asked;
	int error;

	if (!neighbour_entry_parse(message, &entry))
		return 0;
	asked = asked_find(drain->neighbours, ASKED_NEIGHBOUR, &entry.address, entry.index);
	if (asked == NULL ||
	    (message->nlmsg_type == RTM_NEWNEIGH && asked_is_answered_by(asked, &entry)))
		return 0;
	error = neighbour_entry_read(&drain->neighbours->requests, &asked->address, asked->index,
				     &entry);
	/* One that is gone is not kept resolved any more, even where it was not resolved. */
	if (error == -ENOENT || error == -ENODEV)
		drain->is_changed = true;
	else if (error != 0)
		return error;
	else
		drain->is_changed = !asked_is_answered_by(asked, &entry);
	return 0;
}

/* Whether a destination that was asked for lies in a prefix of this family. */
static bool covers_asked(const struct neighbours *neighbours, uint8_t family,
			 const struct address *prefix, unsigned int length)
{
	unsigned int bits = family == AF_INET ? 96 + length : length;

	if (bits > 128)
		return true; /* not understood: better once too often */
	for (const struct asked *asked = neighbours->first; asked != NULL; asked = asked->next) {
		const uint8_t *a = asked->address.bytes;
		const uint8_t *b = prefix->bytes;
		unsigned int whole = bits / 8;

		if (asked->kind != ASKED_DESTINATION || netlink_family(&asked->address) != family ||
		    memcmp(a, b, whole) != 0)
			continue;
		if (bits % 8 == 0 || (a[whole] ^ b[whole]) >> (8 - bits % 8) == 0)
			return true;
	}
	return false;
}

static void take_route(struct drain *drain, const struct nlmsghdr *message)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct address prefix = { 0 };
	const struct nlattr *attribute;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header) ||
	    (header->rtm_family != AF_INET && header->rtm_family != AF_INET6) ||
	    (header->rtm_flags & RTM_F_CLONED) != 0)
		return;
	if (header->rtm_family == AF_INET)
		prefix = address_from_ipv4(0);
	netlink_for_each_attribute(attribute, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attribute) == RTA_DST)
			netlink_get_address(attribute, &prefix);
	}
	if (covers_asked(drain->neighbours, header->rtm_family, &prefix, header->rtm_dst_len))
		drain->is_changed = true;
}

/*
 * An IPv4 address that goes may take routes with it unreported (those with that source). Else only
 * the interfaces count over which was asked: a new address may become the preferred source. Router
 * advertisements renew an address again and again; that is told by its time of update differing
 * from that of its creation.
 */
static void take_address(struct drain *drain, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	const struct link *link;
	bool is_gone = message->nlmsg_type == RTM_DELADDR;
	bool is_renewed = false;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return;
	netlink_for_each_attribute(attribute, message, sizeof(*header))
	{
		const struct ifa_cacheinfo *times = mnl_attr_get_payload(attribute);

		if (mnl_attr_get_type(attribute) == IFA_CACHEINFO &&
		    mnl_attr_get_payload_len(attribute) >= sizeof(*times))
			is_renewed = times->cstamp != times->tstamp;
	}
	link = link_find(&drain->neighbours->links, (int)header->ifa_index);
	if (is_gone && header->ifa_family == AF_INET)
		drain->is_changed = true;
	if (link == NULL || !link_is_asked(&drain->neighbours->links, link))
		return;
	if (is_gone || !is_renewed || (header->ifa_flags & IFA_F_DEPRECATED) != 0)
		drain->is_changed = true;
}

static int take_event(const struct nlmsghdr *message, void *context)
{
	struct drain *drain = context;

	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return take_link(drain, message);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (!drain->is_changed)
			return take_neighbour(drain, message);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (!drain->is_changed)
			take_route(drain, message);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		take_address(drain, message);
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		drain->is_changed = true;
		break;
	}
	return 0;
}

int neighbours_drain(struct neighbours *neighbours, bool *changed)
{
	struct drain drain = { .neighbours = neighbours };
	bool is_lost = false;
	int error = netlink_receive_events(&neighbours->events, take_event, &drain, &is_lost);

	/* What was lost may have been about an interface. */
	if (error == 0 && is_lost)
		error = links_read(neighbours);
	if (error != 0)
		return error;
	*changed = drain.is_changed || is_lost;
	return 0;
}
