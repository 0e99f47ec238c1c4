/* SPDX-License-Identifier: BSD-2-Clause */
/* What the XDP programs know of VIPs and tunnels, which counts with slow_path = "pass" alone. */
#include <string.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"

void daemon_update_vip_filter(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		int error = redirect_set_vips(daemon->devices[i].redirect, daemon->tables->prefixes,
					      daemon->tables->vip_count);

		if (error != 0)
			log_error("%s: telling the XDP program the VIPs: %s", daemon->nics[i].name,
				  strerror(-error));
	}
}

void daemon_update_tunnel_filter(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		const struct forwarding_interface *interface = &daemon->state->interfaces[i];
		int error = redirect_set_tunnels(daemon->devices[i].redirect,
						 daemon->state->forwarding.decapsulation,
						 interface->sources, interface->source_count);

		if (error != 0)
			log_error("%s: telling the XDP program the tunnels: %s",
				  daemon->nics[i].name, strerror(-error));
	}
}
