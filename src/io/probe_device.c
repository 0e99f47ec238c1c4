/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/probe_device.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fluxpin/interface.h>
#include <fluxpin/netlink.h>

/* Packets that the kernel holds while the reader is busy; the first probes come in a burst. */
#define QUEUE_LENGTH 4096

/* Leftovers removed at a time. */
#define LEFTOVERS_MAX 16

struct probe_device {
	char name[IF_NAMESIZE];
	int index;
	int descriptor;
	uint32_t number;
	bool has_rule[2]; /* of IPv4 and IPv6 */
};

static const uint8_t families[2] = { AF_INET, AF_INET6 };

/* RTM_NEWRULE or RTM_DELRULE. */
static int change_rule(uint16_t type, uint16_t flags, uint8_t family, uint32_t mark)
{
	struct netlink_request request;
	struct fib_rule_hdr *header;
	struct nlmsghdr *message = netlink_start(&request, type, flags, sizeof(*header), &header);

	header->family = family;
	header->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(message, FRA_PRIORITY, PROBE_DEVICE_RULE_PRIORITY);
	mnl_attr_put_u32(message, FRA_FWMARK, mark);
	mnl_attr_put_u32(message, FRA_FWMASK, UINT32_MAX);
	mnl_attr_put_u32(message, FRA_TABLE, mark);
	return netlink_execute_once(message, NULL, NULL);
}

static int add_route(const struct probe_device *device, uint8_t family)
{
	struct netlink_request request;
	struct rtmsg *header;
	struct nlmsghdr *message = netlink_start(
		&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*header), &header);

	header->rtm_family = family;
	header->rtm_table = RT_TABLE_UNSPEC;
	header->rtm_protocol = RTPROT_STATIC;
	header->rtm_scope = RT_SCOPE_LINK;
	header->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(message, RTA_TABLE, probe_device_mark(device));
	mnl_attr_put_u32(message, RTA_OIF, (uint32_t)device->index);
	return netlink_execute_once(message, NULL, NULL);
}

struct leftovers {
	uint32_t marks[LEFTOVERS_MAX];
	uint32_t count;
};

/* Notes a rule of ours whose device is gone. In a dump that is asked again, it may come twice. */
static int note_leftover(const struct nlmsghdr *message, void *context)
{
	struct leftovers *leftovers = context;
	const struct nlattr *attribute;
	uint32_t mark = 0, table = 0, priority = 0;
	char name[IF_NAMESIZE];

	netlink_for_each_attribute(attribute, message, sizeof(struct fib_rule_hdr))
	{
		switch (mnl_attr_get_type(attribute)) {
		case FRA_FWMARK:
			netlink_get_u32(attribute, &mark);
			break;
		case FRA_TABLE:
			netlink_get_u32(attribute, &table);
			break;
		case FRA_PRIORITY:
			netlink_get_u32(attribute, &priority);
			break;
		}
	}
	if (mark != table || mark - PROBE_DEVICE_BASE >= PROBE_DEVICE_COUNT ||
	    priority != PROBE_DEVICE_RULE_PRIORITY || leftovers->count == LEFTOVERS_MAX)
		return 0;
	snprintf(name, sizeof(name), PROBE_DEVICE_NAME "%u", mark - PROBE_DEVICE_BASE);
	if (if_nametoindex(name) == 0)
		leftovers->marks[leftovers->count++] = mark;
	return 0;
}

/* Rules that only cost time, so that a failure does not matter. */
static void remove_leftovers(uint8_t family)
{
	struct leftovers leftovers = { 0 };
	struct netlink_request request;
	struct fib_rule_hdr *header;
	struct nlmsghdr *message =
		netlink_start(&request, RTM_GETRULE, NLM_F_DUMP, sizeof(*header), &header);

	header->family = family;
	netlink_execute_once(message, note_leftover, &leftovers);
	for (uint32_t i = 0; i < leftovers.count; i++)
		change_rule(RTM_DELRULE, 0, family, leftovers.marks[i]);
}

/* The kernel gives the first number that is free. */
static int create_device(struct probe_device *device)
{
	struct ifreq request = { .ifr_name = PROBE_DEVICE_NAME "%d",
				 .ifr_flags = IFF_TUN | IFF_NO_PI };

	device->descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (device->descriptor < 0)
		return -errno;
	if (ioctl(device->descriptor, TUNSETIFF, &request) < 0)
		return -errno;
	memcpy(device->name, request.ifr_name, sizeof(device->name));
	device->index = (int)if_nametoindex(device->name);
	device->number = (uint32_t)strtoul(device->name + strlen(PROBE_DEVICE_NAME), NULL, 10);
	if (device->index == 0 || device->number >= PROBE_DEVICE_COUNT)
		return -ENODEV;
	return 0;
}

static int set_up(struct probe_device *device)
{
	int error = interface_set_alias(device->index, "fluxpin health checks by the tunnel");

	/* The kernel has nothing to say on it by itself. */
	if (error == 0)
		error = interface_disable_ipv6(device->index);
	if (error == 0)
		error = interface_set_mtu(device->index, PROBE_DEVICE_MTU);
	if (error == 0)
		error = interface_set_queue_length(device->index, QUEUE_LENGTH);
	return error == 0 ? interface_set_up(device->index, true) : error;
}

int probe_device_open(struct probe_device **device)
{
	struct probe_device *made = calloc(1, sizeof(*made));
	int error;

	if (made == NULL)
		return -ENOMEM;
	made->descriptor = -1;
	for (int i = 0; i < 2; i++)
		remove_leftovers(families[i]);
	error = create_device(made);
	if (error == 0)
		error = set_up(made);
	for (int i = 0; i < 2 && error == 0; i++) {
		error = add_route(made, families[i]);
		if (error == 0)
			error = change_rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, families[i],
					    probe_device_mark(made));
		made->has_rule[i] = error == 0;
		/* A kernel without IPv6, or with that turned off. */
		if (families[i] == AF_INET6 && error != 0)
			error = 0;
	}
	if (error == 0)
		*device = made;
	else
		probe_device_close(made);
	return error;
}

void probe_device_close(struct probe_device *device)
{
	if (device == NULL)
		return;
	for (int i = 0; i < 2; i++)
		if (device->has_rule[i])
			change_rule(RTM_DELRULE, 0, families[i], probe_device_mark(device));
	if (device->descriptor >= 0)
		close(device->descriptor);
	free(device);
}

uint32_t probe_device_mark(const struct probe_device *device)
{
	return PROBE_DEVICE_BASE + device->number;
}

int probe_device_descriptor(const struct probe_device *device)
{
	return device->descriptor;
}

int probe_device_read(struct probe_device *device, void *buffer, size_t size)
{
	ssize_t length = read(device->descriptor, buffer, size);

	if (length >= 0)
		return (int)length;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}
