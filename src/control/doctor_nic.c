/* SPDX-License-Identifier: BSD-2-Clause */
/* A NIC: its link, its queues, its MTU, its driver. */
#include "doctor_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/driver.h>
#include <fluxpin/icmp.h>

#include "configuration_internal.h"

#define XDP_HEADROOM   256 /* XDP_PACKET_HEADROOM of the kernel */
#define LINK_HEADER    22  /* Ethernet and two tags */
#define LEAST_INNER    576 /* RFC 791 section 3.1 */
#define CLIENT_MTU     1500
#define LIST_TEXT_SIZE 256

/* Whether there is more to look at. */
bool doctor_check_link(struct doctor *doctor, struct doctor_nic *nic)
{
	const char *name = nic->wanted->name;
	struct interface_relations relations = { .has_arp = true };
	char command[DOCTOR_COMMAND_SIZE];
	int error = interface_query(name, &nic->interface);

	if (error != 0) {
		doctor_add(doctor->report, DOCTOR_ERROR, "interface", name, NULL, "%s: %s", name,
			   error == -ENODEV ? "there is no such interface" : strerror(-error));
		return false;
	}
	nic->is_there = true;
	interface_relations(nic->interface.index, &relations);
	if (!nic->interface.is_up)
		doctor_add(doctor->report, DOCTOR_ERROR, "link", name,
			   doctor_command(command, "ip link set dev %s up", name), "%s is down",
			   name);
	else if (!nic->interface.has_carrier)
		doctor_add(doctor->report, DOCTOR_ERROR, "link", name, NULL,
			   "%s has no carrier: the cable, the switch port or the other end is down",
			   name);
	else
		doctor_add(doctor->report, DOCTOR_OK, "link", name, NULL, "%s is up (driver %s)",
			   name, nic->interface.driver[0] ? nic->interface.driver : "unknown");
	if (!relations.has_arp && !relations.is_loopback)
		doctor_add(doctor->report, DOCTOR_ERROR, "arp", name,
			   doctor_command(command, "ip link set dev %s arp on", name),
			   "ARP is off on %s: no neighbour is found", name);
	if (relations.is_loopback)
		doctor_add(doctor->report, DOCTOR_ERROR, "interface", name, NULL,
			   "%s is the loopback interface: no packet of a client arrives there",
			   name);
	if (relations.master != 0)
		doctor_add(doctor->report, DOCTOR_WARNING, "interface", name,
			   doctor_command(command, "ip link set dev %s nomaster", name),
			   "%s is a port of a bridge or bond, so that this host's routes leave by "
			   "that and not by %s",
			   name, name);
	return true;
}

bool doctor_is_served(const struct interface_configuration *wanted, uint32_t queue)
{
	if (wanted->queue_count == 0)
		return true;
	for (uint32_t i = 0; i < wanted->queue_count; i++)
		if (wanted->queues[i] == queue)
			return true;
	return false;
}

/* Queues that are served, when they are the first ones; else 0. */
static uint32_t count_served_from_zero(const struct interface_configuration *wanted)
{
	for (uint32_t i = 0; i < wanted->queue_count; i++)
		if (wanted->queues[i] != i)
			return 0;
	return wanted->queue_count;
}

/* What makes the NIC use no other queues. */
static const char *shrink_command(const struct doctor_nic *nic, char *command)
{
	uint32_t served = count_served_from_zero(nic->wanted);
	struct interface_channels channels;

	if (served == 0 || interface_channels(nic->wanted->name, &channels) != 0)
		return NULL;
	if (channels.receive == 0)
		return doctor_command(command, "ethtool -L %s combined %u", nic->wanted->name,
				      served);
	if (channels.combined == 0)
		return doctor_command(command, "ethtool -L %s rx %u", nic->wanted->name, served);
	return NULL;
}

static void add_unserved(struct doctor *doctor, const struct doctor_nic *nic,
			 const uint16_t *queues, uint32_t count, bool are_spread)
{
	char list[LIST_TEXT_SIZE], command[DOCTOR_COMMAND_SIZE];

	doctor_add(doctor->report, are_spread ? DOCTOR_WARNING : DOCTOR_NOTE, "queues",
		   nic->wanted->name, shrink_command(nic, command),
		   "%s has %u receive queues, and no worker serves %s: %s", nic->wanted->name,
		   nic->interface.queue_count,
		   number_list_format(queues, count, list, sizeof(list)),
		   are_spread ? "what arrives there bypasses fluxpin"
			      : "the NIC spreads no packets to them");
}

void doctor_check_queues(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct interface_configuration *wanted = nic->wanted;
	uint32_t total = nic->interface.queue_count, unserved_count = 0, highest = total - 1;
	uint16_t *unserved = calloc(total + 1, sizeof(*unserved));
	bool *is_used = calloc(total + 1, sizeof(*is_used));
	char command[DOCTOR_COMMAND_SIZE];
	bool are_spread = false, is_known;

	if (unserved == NULL || is_used == NULL) {
		doctor->report->error = -ENOMEM;
		goto release;
	}
	is_known = interface_spread(wanted->name, is_used, total) == 0;
	for (uint32_t queue = 0; queue < total; queue++) {
		if (doctor_is_served(wanted, queue))
			continue;
		unserved[unserved_count++] = (uint16_t)queue;
		are_spread = are_spread || !is_known || is_used[queue];
	}
	if (wanted->queue_count > 0)
		highest = wanted->queues[wanted->queue_count - 1];
	if (highest >= total)
		doctor_add(doctor->report, DOCTOR_ERROR, "queues", wanted->name, NULL,
			   "queue %u is to be served, and %s has only %u", highest, wanted->name,
			   total);
	else if (nic->interface.transmit_count != 0 && highest >= nic->interface.transmit_count)
		doctor_add(
			doctor->report, DOCTOR_ERROR, "queues", wanted->name,
			doctor_command(command, "ethtool -L %s tx %u", wanted->name, highest + 1),
			"queue %u of %s cannot transmit: there are %u transmit queues", highest,
			wanted->name, nic->interface.transmit_count);
	else if (unserved_count > 0)
		add_unserved(doctor, nic, unserved, unserved_count, are_spread);
	else
		doctor_add(doctor->report, DOCTOR_OK, "queues", wanted->name, NULL,
			   "every receive queue of %s (%u) has a worker", wanted->name, total);
release:
	free(unserved);
	free(is_used);
}

uint32_t doctor_outer_header(const struct pool_configuration *pool)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		bool is_ipv6 = !address_is_ipv4(&pool->backends[i].address);
		uint32_t size = encapsulation_overhead(pool->encapsulation, is_ipv6);

		if (size > most)
			most = size;
	}
	return most;
}

/* The pool with the longest outer header. */
static const struct pool_configuration *find_largest(const struct configuration *configuration)
{
	const struct pool_configuration *largest = NULL;

	for (uint32_t i = 0; i < configuration->pool_count; i++)
		if (largest == NULL ||
		    doctor_outer_header(&configuration->pools[i]) > doctor_outer_header(largest))
			largest = &configuration->pools[i];
	return largest;
}

static bool has_ipv6_vip(const struct configuration *configuration)
{
	for (uint32_t i = 0; i < configuration->vip_count; i++)
		if (!address_is_ipv4(&configuration->vips[i].prefix.address))
			return true;
	return false;
}

static void check_outer_header(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct pool_configuration *pool = find_largest(doctor->configuration);
	const char *name = nic->wanted->name;
	char command[DOCTOR_COMMAND_SIZE];
	uint32_t mtu = nic->interface.mtu, outer;

	if (pool == NULL)
		return;
	outer = doctor_outer_header(pool);
	doctor_command(command, "ip link set dev %s mtu %u", name, CLIENT_MTU + outer);
	if (mtu < LEAST_INNER + outer)
		doctor_add(doctor->report, DOCTOR_ERROR, "mtu", name, command,
			   "the MTU of %s, %u, is too small for fluxpin to start: packets of %u "
			   "bytes need %u behind the outer header of pool %s",
			   name, mtu, LEAST_INNER, LEAST_INNER + outer, pool->name);
	else if (mtu < IPV6_LEAST_MTU + outer && has_ipv6_vip(doctor->configuration))
		doctor_add(doctor->report, DOCTOR_ERROR, "mtu", name, command,
			   "the MTU of %s, %u, is too small for IPv6: packets of %u bytes, which "
			   "no sender makes smaller, need %u behind the outer header of pool %s",
			   name, mtu, IPV6_LEAST_MTU, IPV6_LEAST_MTU + outer, pool->name);
	else if (mtu < CLIENT_MTU + outer)
		doctor_add(doctor->report, DOCTOR_WARNING, "mtu", name, command,
			   "the MTU of %s, %u, has no room for a client's packet of %u bytes "
			   "behind the outer header of pool %s (%s, %u bytes): uploads hang where "
			   "\"packet too big\" does not reach the client",
			   name, mtu, CLIENT_MTU, pool->name,
			   encapsulation_name(pool->encapsulation), outer);
	else
		doctor_add(doctor->report, DOCTOR_OK, "mtu", name, NULL,
			   "the MTU of %s, %u, has room for packets of %u bytes and outer headers",
			   name, mtu, CLIENT_MTU);
}

void doctor_check_mtu(struct doctor *doctor, const struct doctor_nic *nic)
{
	uint32_t frame_size =
		doctor->configuration != NULL ? doctor->configuration->umem.frame_size : 2048;
	uint32_t room = frame_size - XDP_HEADROOM - LINK_HEADER;
	char command[DOCTOR_COMMAND_SIZE];

	if (doctor->configuration != NULL)
		check_outer_header(doctor, nic);
	if (nic->interface.mtu <= room)
		return;
	doctor_add(doctor->report, DOCTOR_WARNING, "frame_size", nic->wanted->name,
		   doctor_command(command, "ip link set dev %s mtu %u", nic->wanted->name, room),
		   "the MTU of %s, %u, does not fit a frame of %u bytes: packets of more than %u "
		   "bytes are dropped%s",
		   nic->wanted->name, nic->interface.mtu, frame_size, room,
		   frame_size == 2048 ? " (umem.frame_size = 4096 makes room for more)" : "");
}

/* Since when drivers have zero-copy, of those that got it late (docs/operations.md). */
static uint32_t zero_copy_since(const char *driver)
{
	static const struct {
		const char *driver;
		uint32_t version;
	} drivers[] = {
		{ "igb", DOCTOR_KERNEL(6, 14) },
		{ "virtio_net", DOCTOR_KERNEL(6, 13) },
	};

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (strcmp(drivers[i].driver, driver) == 0)
			return drivers[i].version;
	return 0;
}

static void check_features(struct doctor *doctor, const struct doctor_nic *nic, uint64_t features)
{
	const uint64_t native = INTERFACE_XDP_BASIC | INTERFACE_XDP_REDIRECT;
	const char *name = nic->wanted->name, *driver = nic->interface.driver;
	enum xdp_mode mode = nic->wanted->mode;
	uint32_t since = zero_copy_since(driver);

	if ((features & native) != native)
		doctor_add(doctor->report,
			   mode == XDP_MODE_ZEROCOPY || mode == XDP_MODE_COPY ? DOCTOR_ERROR
									      : DOCTOR_WARNING,
			   "driver", name, NULL,
			   "the driver of %s, %s, has no XDP: only generic XDP works (mode "
			   "\"skb\"), behind the kernel's own buffers and slow",
			   name, driver);
	else if ((features & INTERFACE_XDP_ZERO_COPY) != 0)
		doctor_add(doctor->report, DOCTOR_OK, "driver", name, NULL,
			   "the driver of %s, %s, has XDP and zero-copy", name, driver);
	else if (since > doctor_kernel_version())
		doctor_add(doctor->report, mode == XDP_MODE_ZEROCOPY ? DOCTOR_ERROR : DOCTOR_NOTE,
			   "driver", name, NULL,
			   "the driver of %s, %s, has zero-copy since Linux %u.%u", name, driver,
			   since >> 16, since & 0xffff);
	else
		doctor_add(doctor->report, mode == XDP_MODE_ZEROCOPY ? DOCTOR_ERROR : DOCTOR_NOTE,
			   "driver", name, NULL,
			   "the driver of %s, %s, has XDP without zero-copy: each packet is copied",
			   name, driver);
}

void doctor_check_driver(struct doctor *doctor, const struct doctor_nic *nic)
{
	const char *name = nic->wanted->name, *driver = nic->interface.driver;
	uint32_t frame_size =
		doctor->configuration != NULL ? doctor->configuration->umem.frame_size : 2048;
	uint64_t features;

	if (interface_xdp_features(nic->interface.index, &features) == 0)
		check_features(doctor, nic, features);
	if (driver_warning(driver) != NULL && nic->wanted->mode != XDP_MODE_COPY &&
	    nic->wanted->mode != XDP_MODE_GENERIC)
		doctor_add(doctor->report, DOCTOR_WARNING, "driver", name, NULL, "%s: %s", name,
			   driver_warning(driver));
	if (driver_frame_size(driver, frame_size) != frame_size)
		doctor_add(
			doctor->report, DOCTOR_NOTE, "driver", name, NULL,
			"the driver of %s, %s, gets frames of %u bytes in zero-copy, so that its "
			"memory is twice as large",
			name, driver, driver_frame_size(driver, frame_size));
	if (strcmp(driver, "igb") == 0 || strcmp(driver, "igc") == 0)
		doctor_add(doctor->report, DOCTOR_NOTE, "driver", name, NULL,
			   "the link of %s goes down for about three seconds whenever fluxpin "
			   "starts or ends",
			   name);
}
