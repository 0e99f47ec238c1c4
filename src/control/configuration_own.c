/* SPDX-License-Identifier: BSD-2-Clause */
/* VIPs that take what is for the load balancer itself. */
#include <netinet/in.h>
#include <stdio.h>

#include <fluxpin/interface.h>

#include "configuration_internal.h"

/* An exact address and port are meant as they are; everything of an address, or a network that
 * happens to hold it, may not be. */
static bool takes_too_much(const struct vip_configuration *vip)
{
	return vip->port == 0 || vip->prefix.length < 128;
}

/* "all TCP", "UDP port 53", ... */
static const char *describe(const struct vip_configuration *vip, char buffer[static 32])
{
	const char *protocol = vip->protocol == IPPROTO_TCP   ? "TCP"
			       : vip->protocol == IPPROTO_UDP ? "UDP"
							      : NULL;

	if (vip->port == 0)
		snprintf(buffer, 32, "%s%s", protocol != NULL ? "all " : "",
			 protocol != NULL ? protocol : "everything");
	else
		snprintf(buffer, 32, "%s%sport %u", protocol != NULL ? protocol : "",
			 protocol != NULL ? " " : "", vip->port);
	return buffer;
}

/* Returns whether there was something to say, or negative errno. */
static int warn_of(const struct vip_configuration *vip, const struct address *address,
		   const char *what, struct findings *findings)
{
	char text[ADDRESS_TEXT_SIZE], buffer[32];
	int error;

	if (address_is_zero(address) || !prefix_holds(&vip->prefix, address))
		return 0;
	error = findings_add(findings, true, vip->position,
			     "this VIP holds %s, %s: %s to the load balancer itself goes to the "
			     "backends",
			     address_format(address, text), what, describe(vip, buffer));
	return error == 0 ? 1 : error;
}

static int check_vip(const struct configuration *configuration, const struct vip_configuration *vip,
		     struct findings *findings)
{
	int found = warn_of(vip, &configuration->source_ipv4, "the \"source_address\"", findings);

	if (found == 0)
		found = warn_of(vip, &configuration->source_ipv6, "the \"source_address\"",
				findings);
	for (uint32_t i = 0; i < configuration->decapsulation.address_count && found == 0; i++)
		found = warn_of(vip, &configuration->decapsulation.addresses[i],
				"where tunnels end", findings);
	return found < 0 ? found : 0;
}

int configuration_check_own(const struct configuration *configuration, struct findings *findings)
{
	int error = 0;

	for (uint32_t i = 0; i < configuration->vip_count && error == 0; i++)
		if (takes_too_much(&configuration->vips[i]))
			error = check_vip(configuration, &configuration->vips[i], findings);
	return error;
}

int configuration_check_nic_address(const struct configuration *configuration,
				    const struct interface *nic, struct findings *findings)
{
	struct address address;
	uint32_t ipv4_be;
	int found = 0;

	if (!address_is_zero(&configuration->source_ipv4) ||
	    interface_source_ipv4(nic->index, &ipv4_be) != 0)
		return 0;
	address = address_from_ipv4(ipv4_be);
	for (uint32_t i = 0; i < configuration->vip_count && found >= 0; i++)
		if (takes_too_much(&configuration->vips[i]))
			found = warn_of(&configuration->vips[i], &address,
					"the address of an interface", findings);
	return found < 0 ? found : 0;
}
