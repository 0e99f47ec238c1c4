/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/log.h>

#include "daemon_internal.h"

static void warn_macs(struct daemon *daemon, uint32_t ordinal)
{
	const struct interface *nic = &daemon->nics[ordinal];
	struct device *device = &daemon->devices[ordinal];
	uint8_t macs[FORWARDING_MAX_MACS][6];
	bool has_many = neighbours_vlan_macs(daemon->neighbours, nic->index, macs,
					     FORWARDING_MAX_MACS) > FORWARDING_MAX_MACS;

	if (has_many && !device->has_many_macs)
		log_warning("%s: its VLAN devices have more than %d MAC addresses that are not "
			    "its own: packets to VIPs that come to the others bypass fluxpin",
			    nic->name, FORWARDING_MAX_MACS);
	device->has_many_macs = has_many;
}

/* The largest MTU of a backend that is reached under two tags; 0: none is. */
static uint32_t two_tag_mtu(const struct forwarding *forwarding, uint32_t ordinal)
{
	const struct destination *destinations = forwarding->interfaces[ordinal].destinations;
	uint32_t most = 0;

	for (uint32_t i = 0; i < forwarding->destination_count; i++) {
		const struct destination *destination = &destinations[i];
		uint32_t mtu = (uint32_t)destination->packet_limit + destination->header_length -
			       ETHERNET_HEADER_LENGTH;

		if (destination->state == DESTINATION_READY && destination->tag_count == 2 &&
		    mtu > most)
			most = mtu;
	}
	return most;
}

/* Linux and its drivers have room for one tag beside the MTU. */
static void warn_mtu(struct daemon *daemon, uint32_t ordinal)
{
	const struct interface *nic = &daemon->nics[ordinal];
	struct device *device = &daemon->devices[ordinal];
	uint32_t mtu = two_tag_mtu(&daemon->state->forwarding, ordinal);
	bool is_tight = mtu + VLAN_TAG_LENGTH > nic->mtu && mtu != 0;

	if (is_tight && !device->is_mtu_tight)
		log_warning("%s: packets of up to %u bytes leave under two VLAN tags, and an MTU "
			    "of %u has room for %u beside them: longer ones may be lost on the "
			    "way out (raise it, or lower the MTU of the VLAN devices to that)",
			    nic->name, mtu, nic->mtu, nic->mtu - VLAN_TAG_LENGTH);
	device->is_mtu_tight = is_tight;
}

void daemon_warn_vlans(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		warn_macs(daemon, i);
		warn_mtu(daemon, i);
	}
}
