/* SPDX-License-Identifier: BSD-2-Clause */
/* VIPs that the load balancer has for itself, and answers from VIPs that its kernel refuses. */
#include "doctor_internal.h"

#include <string.h>

/* Of the VIPs so many are looked up as sources. */
#define VIPS_LOOKED_UP 32

#define STRICT 1

static void check_local(struct doctor *doctor, const struct vip_configuration *vip, uint32_t *alike)
{
	char device[IF_NAMESIZE], text[ADDRESS_TEXT_SIZE], command[DOCTOR_COMMAND_SIZE];
	uint8_t length;

	if (vip->prefix.length < 128 || !doctor_find_local(&vip->prefix.address, device, &length))
		return;
	if ((*alike)++ >= DOCTOR_ALIKE_MOST)
		return;
	address_format(&vip->prefix.address, text);
	doctor_add(doctor->report, DOCTOR_WARNING, "vip_local", vip->name,
		   doctor_command(command, "ip addr del %s/%u dev %s", text, length, device),
		   "VIP %s, %s, is an address of this load balancer, on %s: its kernel answers "
		   "what bypasses fluxpin, and refuses what backends send from it",
		   vip->name, text, device);
}

void doctor_check_vips(struct doctor *doctor)
{
	const struct configuration *configuration = doctor->configuration;
	uint32_t alike = 0;

	for (uint32_t i = 0; i < configuration->vip_count; i++)
		check_local(doctor, &configuration->vips[i], &alike);
	if (alike == 0)
		doctor_add(doctor->report, DOCTOR_OK, "vip_local", "", NULL,
			   "no VIP is an address of this host");
	else if (alike > DOCTOR_ALIKE_MOST)
		doctor_add(doctor->report, DOCTOR_WARNING, "vip_local", "", NULL,
			   "%u more VIPs are addresses of this load balancer",
			   alike - DOCTOR_ALIKE_MOST);
}

/* Whether the host's own way to the address leaves by another device than the NIC or a VLAN device
 * on it, which counts as the NIC. */
static bool leaves_elsewhere(const struct address *address, const struct doctor_nic *nic,
			     char device[static IF_NAMESIZE])
{
	struct host_route route;
	size_t length = strlen(nic->wanted->name);

	if (host_route_lookup(address, &route) != 0) {
		snprintf(device, IF_NAMESIZE, "nowhere");
		return true;
	}
	snprintf(device, IF_NAMESIZE, "%s", route.device_name);
	if (route.device == nic->interface.index)
		return false;
	return strncmp(device, nic->wanted->name, length) != 0 || device[length] != '.';
}

/*
 * With a TAP, what is for the host itself enters the kernel by the NIC, and is judged there: from a
 * VIP (the answer to a check through the tunnel), or a backend. Strict filtering (RFC 3704) drops
 * what the host would not send back by the same device.
 */
void doctor_check_reverse_path(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct configuration *configuration = doctor->configuration;
	const char *name = nic->wanted->name;
	char device[IF_NAMESIZE], text[ADDRESS_TEXT_SIZE], command[DOCTOR_COMMAND_SIZE];
	uint32_t count = configuration != NULL ? configuration->vip_count : 0;

	doctor_command(command, "sysctl -w net.ipv4.conf.%s.rp_filter=2", name);
	if (doctor_read_effective_conf(name, "rp_filter") != STRICT) {
		doctor_add(doctor->report, DOCTOR_OK, "rp_filter", name, NULL,
			   "%s has no strict reverse path filter", name);
		return;
	}
	for (uint32_t i = 0; i < count && i < VIPS_LOOKED_UP; i++) {
		const struct address *address = &configuration->vips[i].prefix.address;

		if (!address_is_ipv4(address) || !leaves_elsewhere(address, nic, device))
			continue;
		doctor_add(doctor->report, DOCTOR_WARNING, "rp_filter", name, command,
			   "the strict reverse path filter of %s drops what backends answer from "
			   "VIP %s, since the route to it leads to %s: checks through the tunnel "
			   "fail",
			   name, address_format(address, text), device);
		return;
	}
	doctor_add(doctor->report, DOCTOR_NOTE, "rp_filter", name, command,
		   "%s has a strict reverse path filter, which drops what a route of this host "
		   "does not lead back to by %s",
		   name, name);
}
