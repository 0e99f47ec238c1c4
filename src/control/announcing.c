/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When VIPs are announced. A VIP is announced while this load balancer can serve it: no worker has
 * stalled, the XDP programs are attached, a NIC has carrier, and enough backends of its pool serve
 * and can be reached. VIPs of one prefix share its route, which is there as long as any of them can
 * be served: else a pool that fails would take other services of its address with it.
 */
#include <stdio.h>

#include "announcing.h"

/* Why nothing at all can be served, or NULL. */
const char *announcing_obstacle(const struct daemon *daemon)
{
	const char *obstacle = "no interface has carrier";

	if (daemon->announcing->is_lingering)
		return "stopping";
	if (daemon_has_stalled(daemon))
		return "a worker has stalled";
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		if (daemon->devices[i].is_detached)
			return "the XDP program was detached";
		if (daemon->nics[i].is_up && daemon->nics[i].has_carrier)
			obstacle = NULL;
	}
	return obstacle;
}

static bool has_next_hop(const struct daemon *daemon, uint32_t backend)
{
	for (uint32_t i = 0; i < daemon->device_count; i++)
		if (daemon->nics[i].has_carrier &&
		    daemon->state->next_hops[i * daemon->tables->backend_count + backend] ==
			    NEXT_HOP_RESOLVED)
			return true;
	return false;
}

void announcing_read_abilities(const struct daemon *daemon, struct announcing_ability *abilities)
{
	const struct forwarding_tables *tables = daemon->tables;

	for (uint32_t i = 0; i < tables->backend_count; i++) {
		const struct forwarding_backend *backend = &tables->backends[i];
		const struct backend_state *state =
			backend_states_get(daemon->states, backend->pool, backend->backend);

		if (!state->service.is_down && state->service.weight > 0 && has_next_hop(daemon, i))
			abilities[backend->pool].serving++;
		abilities[backend->pool].is_last_resort |= state->is_last_resort;
	}
}

/* A last resort is better than nothing, but not what somebody wants who asks for several. */
bool announcing_is_able(const struct vip_configuration *vip,
			const struct announcing_ability *ability)
{
	if (ability->is_last_resort && vip->min_healthy > 1)
		return false;
	return ability->serving >= vip->min_healthy;
}

void announcing_explain(const struct daemon *daemon, const struct vip_configuration *vip,
			const struct announcing_ability *abilities, const char *obstacle,
			char reason[ANNOUNCING_REASON_SIZE])
{
	const struct announcing_ability *ability = &abilities[vip->pool];

	if (obstacle != NULL)
		snprintf(reason, ANNOUNCING_REASON_SIZE, "%s", obstacle);
	else if (!announcing_is_able(vip, ability))
		snprintf(reason, ANNOUNCING_REASON_SIZE,
			 "backends of pool %s that serve%s: %u, min_healthy is %u",
			 daemon->configuration->pools[vip->pool].name,
			 ability->is_last_resort ? " as the last resort" : "", ability->serving,
			 vip->min_healthy);
	else
		snprintf(reason, ANNOUNCING_REASON_SIZE, "the kernel does not take the route");
}
