/* SPDX-License-Identifier: BSD-2-Clause */
#include "neighbour_entry.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/neighbours.h>

bool neighbour_entry_parse(const struct nlmsghdr *message, struct neighbour_entry *entry)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct neighbour_entry result = { 0 };
	const struct nlattr *attribute;
	bool has_address = false;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header) ||
	    (header->ndm_family != AF_INET && header->ndm_family != AF_INET6))
		return false;
	result.index = header->ndm_ifindex;
	result.state = header->ndm_state;
	result.flags = header->ndm_flags;
	netlink_for_each_attribute(attribute, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attribute)) {
		case NDA_DST:
			has_address = netlink_get_address(attribute, &result.address);
			break;
		case NDA_LLADDR:
			result.has_mac = mnl_attr_get_payload_len(attribute) == sizeof(result.mac);
			if (result.has_mac)
				memcpy(result.mac, mnl_attr_get_payload(attribute),
				       sizeof(result.mac));
			break;
		case NDA_PROTOCOL:
			netlink_get_u8(attribute, &result.protocol);
			break;
		case NDA_FLAGS_EXT:
			netlink_get_u32(attribute, &result.extended_flags);
			break;
		}
	}
	if (!has_address || (result.flags & NTF_PROXY) != 0)
		return false;
	*entry = result;
	return true;
}

bool neighbour_entry_is_valid(const struct neighbour_entry *entry)
{
	const unsigned int valid =
		NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;

	return entry->has_mac && (entry->state & valid) != 0;
}

bool neighbour_entry_is_static(const struct neighbour_entry *entry)
{
	return (entry->state & (NUD_PERMANENT | NUD_NOARP)) != 0;
}

bool neighbour_entry_is_ours(const struct neighbour_entry *entry)
{
	/*
	 * The protocol alone does not tell: it stays when the operator replaces our entry by one
	 * of their own. The managed flag does not.
	 */
	return entry->protocol == NEIGHBOURS_PROTOCOL &&
	       (entry->extended_flags & NTF_EXT_MANAGED) != 0;
}

static struct nlmsghdr *start_request(struct netlink_request *request, uint16_t type,
				      uint16_t flags, const struct address *address, int index,
				      struct ndmsg **header)
{
	struct nlmsghdr *message = netlink_start(request, type, flags, sizeof(**header), header);

	(*header)->ndm_family = netlink_family(address);
	(*header)->ndm_ifindex = index;
	netlink_put_address(message, NDA_DST, address);
	return message;
}

static int take_entry(const struct nlmsghdr *message, void *context)
{
	return neighbour_entry_parse(message, context) ? 0 : -EBADMSG;
}

int neighbour_entry_read(struct netlink *netlink, const struct address *address, int index,
			 struct neighbour_entry *entry)
{
	struct netlink_request request;
	struct ndmsg *header;
	struct nlmsghdr *message =
		start_request(&request, RTM_GETNEIGH, 0, address, index, &header);

	return netlink_execute(netlink, message, take_entry, entry);
}

int neighbour_entry_manage(struct netlink *netlink, const struct address *address, int index,
			   bool must_be_new)
{
	uint16_t flags = (uint16_t)(NLM_F_CREATE | (must_be_new ? NLM_F_EXCL : 0));
	struct netlink_request request;
	struct ndmsg *header;
	struct nlmsghdr *message =
		start_request(&request, RTM_NEWNEIGH, flags, address, index, &header);

	/*
	 * NTF_USE is what a kernel before 5.16 understands. It skips the extended flags unread,
	 * and without NTF_USE would take the state NUD_NONE for a wish to forget the neighbour.
	 */
	header->ndm_flags = NTF_USE;
	header->ndm_state = NUD_NONE;
	mnl_attr_put_u32(message, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	mnl_attr_put_u8(message, NDA_PROTOCOL, NEIGHBOURS_PROTOCOL);
	return netlink_execute(netlink, message, NULL, NULL);
}

int neighbour_entry_ask(struct netlink *netlink, const struct address *address, int index)
{
	struct netlink_request request;
	struct ndmsg *header;
	struct nlmsghdr *message =
		start_request(&request, RTM_NEWNEIGH, NLM_F_CREATE, address, index, &header);

	header->ndm_flags = NTF_USE;
	header->ndm_state = NUD_NONE;
	return netlink_execute(netlink, message, NULL, NULL);
}

int neighbour_entry_probe(struct netlink *netlink, const struct neighbour_entry *entry)
{
	struct netlink_request request;
	struct ndmsg *header;
	struct nlmsghdr *message =
		start_request(&request, RTM_NEWNEIGH, 0, &entry->address, entry->index, &header);

	/* The kernel clears flags that the request does not repeat. */
	header->ndm_flags = NTF_USE | (entry->flags & (NTF_EXT_LEARNED | NTF_ROUTER));
	header->ndm_state = NUD_NONE;
	if (entry->extended_flags != 0)
		mnl_attr_put_u32(message, NDA_FLAGS_EXT, entry->extended_flags);
	return netlink_execute(netlink, message, NULL, NULL);
}

int neighbour_entry_remove(struct netlink *netlink, const struct address *address, int index)
{
	struct netlink_request request;
	struct neighbour_entry entry;
	struct ndmsg *header;
	struct nlmsghdr *message;
	int error = neighbour_entry_read(netlink, address, index, &entry);

	if (error == 0 && neighbour_entry_is_ours(&entry)) {
		message = start_request(&request, RTM_DELNEIGH, 0, address, index, &header);
		error = netlink_execute(netlink, message, NULL, NULL);
	}
	/* Gone with its interface, or removed by somebody else. */
	return error == -ENOENT || error == -ENODEV || error == -ENXIO ? 0 : error;
}
