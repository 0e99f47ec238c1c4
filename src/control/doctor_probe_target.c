/* SPDX-License-Identifier: BSD-2-Clause */
/* What a probe is sent to, and by which NIC. */
#include "doctor_probe.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#include <fluxpin/backend_path.h>
#include <fluxpin/clock.h>

#define NEIGHBOUR_WAIT_MS 3200 /* three questions of the kernel, a second apart */

/* Both parts of "POOL/BACKEND"; names have no slash. */
bool doctor_probe_find_backend(struct doctor_probe *probe, const char *target)
{
	const struct configuration *configuration = probe->configuration;
	const char *slash = strchr(target, '/');
	size_t length = slash != NULL ? (size_t)(slash - target) : strlen(target);

	for (uint32_t i = 0; slash != NULL && i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		if (pool->is_peers || strlen(pool->name) != length ||
		    strncmp(pool->name, target, length) != 0)
			continue;
		for (uint32_t j = 0; j < pool->backend_count; j++) {
			if (strcmp(pool->backends[j].name, slash + 1) != 0)
				continue;
			probe->pool = pool;
			probe->backend = &pool->backends[j];
			return true;
		}
	}
	doctor_add(probe->report, DOCTOR_ERROR, "probe", target, NULL,
		   "there is no backend %s (POOL/BACKEND) in the configuration", target);
	return false;
}

bool doctor_probe_is_tcp(const struct vip_configuration *vip)
{
	return vip->protocol == 0 || vip->protocol == IPPROTO_TCP;
}

/* The VIP of that name, or of the pool: one that takes TCP, by preference to a port of its own. */
static int rank(const struct vip_configuration *vip)
{
	return (doctor_probe_is_tcp(vip) ? 2 : 0) + (vip->port != 0 ? 1 : 0);
}

bool doctor_probe_find_vip(struct doctor_probe *probe, const char *name)
{
	const struct configuration *configuration = probe->configuration;
	const struct pool_configuration *pools = configuration->pools;

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];

		if (&pools[vip->pool] != probe->pool ||
		    (name != NULL && strcmp(vip->name, name) != 0))
			continue;
		if (probe->vip == NULL || rank(vip) > rank(probe->vip))
			probe->vip = vip;
	}
	if (probe->vip != NULL)
		return true;
	if (name != NULL)
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "pool %s has no VIP named %s", probe->pool->name, name);
	else
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "no VIP uses pool %s", probe->pool->name);
	return false;
}

/* The way from a NIC, waiting for its neighbour. */
static int resolve(struct doctor_probe *probe, struct neighbours *neighbours)
{
	struct pollfd events = { .fd = neighbours_descriptor(neighbours), .events = POLLIN };
	int64_t end = (int64_t)clock_ms() + NEIGHBOUR_WAIT_MS;

	for (;;) {
		int error = backend_path_find(probe->configuration, probe->pool,
					      &probe->backend->address, neighbours, &probe->nic,
					      false, &probe->next_hop, &probe->path);
		bool changed = false;
		int64_t left = end - (int64_t)clock_ms();

		if (error != 0 || probe->next_hop.state != NEXT_HOP_NO_NEIGHBOUR || left <= 0)
			return error;
		poll(&events, 1, (int)left);
		error = neighbours_drain(neighbours, &changed);
		if (error != 0)
			return error;
	}
}

/* The first NIC from which there is a way. */
bool doctor_probe_find_nic(struct doctor_probe *probe,
			   const struct interface_configuration *interfaces, uint32_t count)
{
	char address[ADDRESS_TEXT_SIZE];
	struct neighbours *neighbours;
	bool is_found = false;
	int error = neighbours_open_passive(&neighbours);

	if (error != 0) {
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "routes and neighbours cannot be read: %s", strerror(-error));
		return false;
	}
	for (uint32_t i = 0; i < count && !is_found; i++) {
		error = interface_query(interfaces[i].name, &probe->nic);
		if (error == 0)
			error = resolve(probe, neighbours);
		is_found = error == 0 && probe->next_hop.state == NEXT_HOP_RESOLVED;
		if (!is_found)
			doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
				   "nothing was sent: from %s to backend %s (%s): %s",
				   interfaces[i].name, probe->subject,
				   address_format(&probe->backend->address, address),
				   error != 0 ? strerror(-error)
					      : next_hop_state_name(probe->next_hop.state));
	}
	if (count == 0)
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "no interface is named, in the configuration or by -i");
	neighbours_close(neighbours);
	return is_found;
}
