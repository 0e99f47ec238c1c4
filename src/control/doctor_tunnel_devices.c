/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's own tunnel devices, and its UDP ports for GUE. */
#include "doctor_endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fou.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/generic_netlink.h>

struct tunnel_list {
	struct endpoint_tunnel *tunnels;
	uint32_t count;
};

static bool is_tunnel_kind(const char *kind)
{
	static const char *const kinds[] = { "gre", "ip6gre", "ipip", "sit", "ip6tnl" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

/* The modules make these by themselves, and leave them down. */
static bool is_made_by_module(const char *name)
{
	static const char *const names[] = { "gre0", "ip6gre0", "tunl0", "sit0", "ip6tnl0" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void read_kind(const struct nlattr *information, struct endpoint_tunnel *tunnel)
{
	const struct nlattr *attribute;

	netlink_for_each_nested(attribute, information)
	{
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			snprintf(tunnel->kind, sizeof(tunnel->kind), "%.*s",
				 (int)mnl_attr_get_payload_len(attribute),
				 mnl_attr_get_str(attribute));
	}
}

static int take_tunnel(const struct nlmsghdr *message, void *context)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct endpoint_tunnel tunnel = { 0 }, *grown;
	struct tunnel_list *list = context;
	const struct nlattr *attribute;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*link))
		return -EBADMSG;
	tunnel.is_up = (link->ifi_flags & IFF_UP) != 0;
	netlink_for_each_attribute(attribute, message, sizeof(*link))
	{
		if (mnl_attr_get_type(attribute) == IFLA_IFNAME)
			snprintf(tunnel.name, sizeof(tunnel.name), "%.*s",
				 (int)mnl_attr_get_payload_len(attribute),
				 mnl_attr_get_str(attribute));
		else if (mnl_attr_get_type(attribute) == IFLA_LINKINFO)
			read_kind(attribute, &tunnel);
	}
	if (!is_tunnel_kind(tunnel.kind) || (!tunnel.is_up && is_made_by_module(tunnel.name)))
		return 0;
	grown = reallocarray(list->tunnels, list->count + 1, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	list->tunnels = grown;
	list->tunnels[list->count++] = tunnel;
	return 0;
}

int endpoint_list_tunnels(struct endpoint_tunnel **tunnels, uint32_t *count)
{
	struct tunnel_list list = { 0 };
	struct netlink_request request;
	struct ifinfomsg *link;
	struct nlmsghdr *message =
		netlink_start(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(*link), &link);
	int error = netlink_execute_once(message, take_tunnel, &list);

	if (error != 0) {
		free(list.tunnels);
		return error;
	}
	*tunnels = list.tunnels;
	*count = list.count;
	return 0;
}

struct port_search {
	uint8_t family;
	bool is_found;
};

static int take_port(const struct nlmsghdr *message, void *context)
{
	struct port_search *search = context;
	uint8_t family = 0, type = FOU_ENCAP_UNSPEC;
	const struct nlattr *attribute;
	uint16_t port_be = 0;

	netlink_for_each_attribute(attribute, message, GENERIC_NETLINK_HEADER)
	{
		switch (mnl_attr_get_type(attribute)) {
		case FOU_ATTR_PORT:
			if (mnl_attr_get_payload_len(attribute) >= sizeof(port_be))
				memcpy(&port_be, mnl_attr_get_payload(attribute), sizeof(port_be));
			break;
		case FOU_ATTR_AF:
			netlink_get_u8(attribute, &family);
			break;
		case FOU_ATTR_TYPE:
			netlink_get_u8(attribute, &type);
			break;
		}
	}
	if (ntohs(port_be) == ENCAPSULATION_GUE_PORT && type == FOU_ENCAP_GUE &&
	    family == search->family)
		search->is_found = true;
	return 0;
}

bool endpoint_has_gue_port(bool is_ipv6)
{
	struct port_search search = { .family = is_ipv6 ? AF_INET6 : AF_INET };

	return generic_netlink_ask(FOU_GENL_NAME, FOU_CMD_GET, NLM_F_DUMP, 0, 0, take_port,
				   &search) == 0 &&
	       search.is_found;
}
