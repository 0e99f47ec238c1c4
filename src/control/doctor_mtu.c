/* SPDX-License-Identifier: BSD-2-Clause */
/* The MTU of a NIC, against outer headers and against frames. */
#include "doctor_internal.h"

#include <fluxpin/icmp.h>

#define XDP_HEADROOM 256 /* XDP_PACKET_HEADROOM of the kernel */
#define LINK_HEADER  22	 /* Ethernet and two tags */
#define LEAST_INNER  576 /* RFC 791 section 3.1 */
#define CLIENT_MTU   1500

/* The pool with the longest outer header. */
static const struct pool_configuration *find_largest(const struct configuration *configuration)
{
	const struct pool_configuration *largest = NULL;

	for (uint32_t i = 0; i < configuration->pool_count; i++)
		if (largest == NULL || configuration_outer_header(&configuration->pools[i]) >
					       configuration_outer_header(largest))
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
	outer = configuration_outer_header(pool);
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
