/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/interface.h>

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/netlink.h>

/* IFALIASZ of the kernel (linux/if.h, which cannot be included beside net/if.h). */
#define ALIAS_SIZE 256

static struct nlmsghdr *start_change(struct netlink_request *request, int index,
				     struct ifinfomsg **link)
{
	struct nlmsghdr *message = netlink_start(request, RTM_SETLINK, 0, sizeof(**link), link);

	(*link)->ifi_family = AF_UNSPEC;
	(*link)->ifi_index = index;
	return message;
}

static int set_attribute(int index, uint16_t type, const void *value, size_t length)
{
	struct netlink_request request;
	struct ifinfomsg *link;
	struct nlmsghdr *message = start_change(&request, index, &link);

	mnl_attr_put(message, type, length, value);
	return netlink_execute_once(message, NULL, NULL);
}

static int set_flag(int index, unsigned int flag, bool on)
{
	struct netlink_request request;
	struct ifinfomsg *link;
	struct nlmsghdr *message = start_change(&request, index, &link);

	link->ifi_change = flag;
	link->ifi_flags = on ? flag : 0;
	return netlink_execute_once(message, NULL, NULL);
}

int interface_set_mac(int index, const uint8_t mac[static 6])
{
	return set_attribute(index, IFLA_ADDRESS, mac, 6);
}

int interface_set_mtu(int index, uint32_t mtu)
{
	return set_attribute(index, IFLA_MTU, &mtu, sizeof(mtu));
}

int interface_set_up(int index, bool up)
{
	return set_flag(index, IFF_UP, up);
}

int interface_set_arp(int index, bool on)
{
	return set_flag(index, IFF_NOARP, !on);
}

int interface_set_queue_length(int index, uint32_t packets)
{
	return set_attribute(index, IFLA_TXQLEN, &packets, sizeof(packets));
}

int interface_set_alias(int index, const char *alias)
{
	size_t length = strlen(alias);

	if (length >= ALIAS_SIZE)
		return -EINVAL;
	return set_attribute(index, IFLA_IFALIAS, alias, length + 1);
}

int interface_disable_ipv6(int index)
{
	struct netlink_request request;
	struct ifinfomsg *link;
	struct nlmsghdr *message = start_change(&request, index, &link);
	struct nlattr *families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	struct nlattr *ipv6 = mnl_attr_nest_start(message, AF_INET6);
	int error;

	mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(message, ipv6);
	mnl_attr_nest_end(message, families);
	error = netlink_execute_once(message, NULL, NULL);
	/* A kernel or a device without IPv6 makes no addresses either. */
	return error == -EAFNOSUPPORT ? 0 : error;
}
