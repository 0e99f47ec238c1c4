/* SPDX-License-Identifier: BSD-2-Clause */
#include "interface_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include <fluxpin/netlink.h>

static int take_link(const struct nlmsghdr *message, void *context)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct interface *interface = context;
	const struct nlattr *attribute;

	if (message->nlmsg_type != RTM_NEWLINK ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*link))
		return -EBADMSG;
	interface->index = link->ifi_index;
	interface->is_up = (link->ifi_flags & IFF_UP) != 0;
	/* IFF_LOWER_UP of linux/if.h, which cannot be included beside net/if.h. */
	interface->has_carrier = (link->ifi_flags & 1U << 16) != 0;
	netlink_for_each_attribute(attribute, message, sizeof(*link))
	{
		uint16_t length = mnl_attr_get_payload_len(attribute);

		switch (mnl_attr_get_type(attribute)) {
		case IFLA_MTU:
			netlink_get_u32(attribute, &interface->mtu);
			break;
		case IFLA_ADDRESS:
			if (length == sizeof(interface->mac))
				memcpy(interface->mac, mnl_attr_get_payload(attribute), length);
			break;
		}
	}
	return 0;
}

bool interface_sysfs_shows(const char *name, int index)
{
	char path[64];
	int shown = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/net/%s/ifindex", name);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fscanf(file, "%d", &shown) != 1)
		shown = 0;
	fclose(file);
	return shown == index;
}

static uint32_t count_sysfs_queues(const char *name)
{
	const struct dirent *entry;
	uint32_t count = 0;
	char path[64];
	DIR *folder;

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues", name);
	folder = opendir(path);
	if (folder == NULL)
		return 0;
	while ((entry = readdir(folder)) != NULL) {
		if (strncmp(entry->d_name, "rx-", 3) == 0 &&
		    isdigit((unsigned char)entry->d_name[3]))
			count++;
	}
	closedir(folder);
	return count;
}

int interface_query(const char *name, struct interface *interface)
{
	struct interface result = { 0 };
	struct netlink_request request;
	struct ifinfomsg *link;
	struct nlmsghdr *message;
	size_t length = strlen(name);
	int error;

	if (length == 0 || length >= sizeof(result.name))
		return -ENODEV;
	memcpy(result.name, name, length);
	message = netlink_start(&request, RTM_GETLINK, 0, sizeof(*link), &link);
	link->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	error = netlink_execute_once(message, take_link, &result);
	if (error != 0)
		return error;
	interface_ethtool_driver(name, result.driver);
	result.queue_count = interface_ethtool_queues(name, &result.transmit_count);
	if (result.queue_count == 0 && interface_sysfs_shows(name, result.index))
		result.queue_count = count_sysfs_queues(name);
	if (result.queue_count == 0)
		result.queue_count = 1;
	*interface = result;
	return 0;
}

struct address_search {
	int index;
	uint32_t ipv4_be; /* 0: none yet */
};

static int take_address(const struct nlmsghdr *message, void *context)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct address_search *search = context;
	const struct nlattr *attribute;

	if (message->nlmsg_type != RTM_NEWADDR ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return -EBADMSG;
	if (search->ipv4_be != 0 || header->ifa_family != AF_INET ||
	    header->ifa_scope != RT_SCOPE_UNIVERSE || header->ifa_index != (uint32_t)search->index)
		return 0;
	netlink_for_each_attribute(attribute, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attribute) == IFA_LOCAL)
			netlink_get_u32(attribute, &search->ipv4_be);
	}
	return 0;
}

int interface_source_ipv4(int index, uint32_t *ipv4_be)
{
	struct address_search search = { .index = index };
	struct netlink_request request;
	struct ifaddrmsg *header;
	struct nlmsghdr *message =
		netlink_start(&request, RTM_GETADDR, NLM_F_DUMP, sizeof(*header), &header);
	int error;

	header->ifa_family = AF_INET;
	error = netlink_execute_once(message, take_address, &search);
	if (error != 0)
		return error;
	if (search.ipv4_be == 0)
		return -EADDRNOTAVAIL;
	*ipv4_be = search.ipv4_be;
	return 0;
}
