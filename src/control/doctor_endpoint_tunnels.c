/* SPDX-License-Identifier: BSD-2-Clause */
/* Who takes the outer headers off: our program, or the kernel's tunnel devices. */
#include "doctor_endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fou.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/endpoint.h>
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
	if (!is_tunnel_kind(tunnel.kind))
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

/* The kind of device that takes these outer headers off; NULL: none is needed. */
static const char *needed_kind(enum encapsulation encapsulation, bool outer_is_ipv6,
			       bool inner_is_ipv6)
{
	switch (encapsulation) {
	case ENCAPSULATION_GRE:
		return outer_is_ipv6 ? "ip6gre" : "gre";
	case ENCAPSULATION_IPIP:
	case ENCAPSULATION_GUE:
		return outer_is_ipv6 ? "ip6tnl" : inner_is_ipv6 ? "sit" : "ipip";
	case ENCAPSULATION_L2:
		break;
	}
	return NULL;
}

static const struct endpoint_tunnel *find_tunnel(const struct tunnel_list *list, const char *kind)
{
	const struct endpoint_tunnel *found = NULL;

	for (uint32_t i = 0; i < list->count; i++)
		if ((kind == NULL || strcmp(list->tunnels[i].kind, kind) == 0) &&
		    (found == NULL || list->tunnels[i].is_up))
			found = &list->tunnels[i];
	return found;
}

/* What is missing for one kind of packet that the load balancer sends. Returns whether anything
 * is. */
static bool check_kernel(struct endpoint *endpoint, const struct tunnel_list *list,
			 enum encapsulation encapsulation, bool outer_is_ipv6, bool inner_is_ipv6)
{
	const char *kind = needed_kind(encapsulation, outer_is_ipv6, inner_is_ipv6);
	const struct endpoint_tunnel *tunnel;
	char command[DOCTOR_COMMAND_SIZE];

	if (kind == NULL)
		return false;
	tunnel = find_tunnel(list, kind);
	if (tunnel == NULL) {
		doctor_add(endpoint->report, DOCTOR_ERROR, "decapsulation", endpoint->name,
			   doctor_command(command, "fluxpin endpoint attach -i %s", endpoint->name),
			   "nobody takes %s over IPv%d off: the program is not on %s, and there is "
			   "no device of type %s",
			   encapsulation_name(encapsulation), outer_is_ipv6 ? 6 : 4, endpoint->name,
			   kind);
		return true;
	}
	if (!tunnel->is_up) {
		doctor_add(endpoint->report, DOCTOR_ERROR, "decapsulation", tunnel->name,
			   doctor_command(command, "ip link set dev %s up", tunnel->name),
			   "the tunnel device %s is down", tunnel->name);
		return true;
	}
	if (encapsulation == ENCAPSULATION_GUE && !endpoint_has_gue_port(outer_is_ipv6)) {
		doctor_add(endpoint->report, DOCTOR_ERROR, "decapsulation", endpoint->name,
			   doctor_command(command, "ip%s fou add port %d gue",
					  outer_is_ipv6 ? " -6" : "", ENCAPSULATION_GUE_PORT),
			   "the kernel takes no GUE from UDP port %d", ENCAPSULATION_GUE_PORT);
		return true;
	}
	return false;
}

static void check_devices(struct endpoint *endpoint)
{
	struct tunnel_list list = { 0 };
	char command[DOCTOR_COMMAND_SIZE];
	const struct endpoint_tunnel *any;
	uint32_t missing = 0;

	endpoint_list_tunnels(&list.tunnels, &list.count);
	any = find_tunnel(&list, NULL);
	for (int kind = 0; kind <= ENCAPSULATION_L2; kind++)
		for (int families = 0; families < 4 && missing == 0; families++)
			if (endpoint->uses[kind][families >> 1][families & 1])
				missing += check_kernel(endpoint, &list, (enum encapsulation)kind,
							families >> 1, families & 1);
	if (!endpoint->is_known && (any == NULL || !any->is_up))
		doctor_add(
			endpoint->report, DOCTOR_ERROR, "decapsulation", endpoint->name,
			doctor_command(command, "fluxpin endpoint attach -i %s", endpoint->name),
			"nobody takes outer headers off: the program is not on %s, and no tunnel "
			"device of the kernel is up (l2 alone needs neither)",
			endpoint->name);
	else if (missing == 0 && any != NULL)
		doctor_add(endpoint->report, DOCTOR_OK, "decapsulation", endpoint->name, NULL,
			   "the kernel's tunnel devices take outer headers off (%s)", any->name);
	else if (missing == 0)
		doctor_add(endpoint->report, DOCTOR_OK, "decapsulation", endpoint->name, NULL,
			   "there is no outer header to take off");
	free(list.tunnels);
}

static void check_mode(struct endpoint *endpoint, const struct endpoint_status *status)
{
	char command[DOCTOR_COMMAND_SIZE];
	uint64_t features = 0;
	bool has_native = interface_xdp_features(endpoint->interface.index, &features) == 0 &&
			  (features & INTERFACE_XDP_BASIC) != 0;

	if (status->mode != ENDPOINT_MODE_GENERIC)
		doctor_add(endpoint->report, DOCTOR_OK, "decapsulation", endpoint->name, NULL,
			   "the program is on %s, in the driver", endpoint->name);
	else
		doctor_add(endpoint->report, has_native ? DOCTOR_WARNING : DOCTOR_NOTE,
			   "decapsulation_generic", endpoint->name,
			   has_native ? doctor_command(command,
						       "fluxpin endpoint detach -i %s && fluxpin "
						       "endpoint attach -i %s --mode native",
						       endpoint->name, endpoint->name)
				      : NULL,
			   "the program is on %s in generic mode, which is slow%s", endpoint->name,
			   has_native ? ", and the driver has native XDP" : "");
}

/* What the program counted that should not be there. */
static void check_counters(struct endpoint *endpoint, const struct endpoint_status *status)
{
	for (uint32_t i = 0; i < status->counter_count; i++) {
		const struct endpoint_counter *counter = &status->counters[i];

		if (counter->frames > 0 && (strncmp(counter->name, "dropped", 7) == 0 ||
					    strcmp(counter->name, "passed_fragment") == 0 ||
					    strcmp(counter->name, "passed_not_local") == 0))
			doctor_add(endpoint->report, DOCTOR_NOTE, "counters", endpoint->name, NULL,
				   "the program has counted %llu of %s (%s)",
				   (unsigned long long)counter->frames, counter->name,
				   counter->description);
	}
}

void endpoint_check_decapsulation(struct endpoint *endpoint)
{
	struct endpoint_status status = { 0 };
	char command[DOCTOR_COMMAND_SIZE];
	const char *name = endpoint->name;

	doctor_command(command, "fluxpin endpoint attach -i %s", name);
	if (endpoint_status(name, &status) != 0) {
		doctor_add(endpoint->report, DOCTOR_WARNING, "decapsulation", name, command,
			   "the program on %s is of another version, or may not be read", name);
		return;
	}
	if (!status.is_attached) {
		if (status.foreign_program[0] != '\0')
			doctor_add(endpoint->report, DOCTOR_NOTE, "program", name, NULL,
				   "another XDP program, \"%s\", is on %s", status.foreign_program,
				   name);
		check_devices(endpoint);
		return;
	}
	check_mode(endpoint, &status);
	if (status.missing_address_count > 0)
		doctor_add(endpoint->report, DOCTOR_WARNING, "addresses", name, command,
			   "the program on %s does not know %u of this host's addresses, and "
			   "leaves tunnels to them alone",
			   name, status.missing_address_count);
	check_counters(endpoint, &status);
}
