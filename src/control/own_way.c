/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/if.h>

#include "neighbours_internal.h"
#include "route.h"

/*
 * The kernel asks every 5 seconds for a managed neighbour that has failed while the link was down
 * (net.ipv4.neigh.*.interval_probe_time_ms), and then once a second; and the other end of the link
 * has to wake up, too.
 */
#define SETTLED_NS UINT64_C(7000000000)

bool neighbours_had_carrier(const struct neighbours *neighbours, int device, uint64_t since_ns)
{
	const struct link *link = link_find(&neighbours->links, device);

	/* One that is new has not been reported yet. */
	return link == NULL || (link_has_carrier(link) &&
				(link->cut_ns == 0 ||
				 (since_ns > SETTLED_NS && link->cut_ns < since_ns - SETTLED_NS)));
}

bool neighbours_lost_carrier(const struct neighbours *neighbours, int device, uint64_t since_ns)
{
	const struct link *link = link_find(&neighbours->links, device);

	return link != NULL && link->lost_ns >= since_ns;
}

bool neighbours_is_up(const struct neighbours *neighbours, int device)
{
	const struct link *link = link_find(&neighbours->links, device);

	return link == NULL || (link->flags & IFF_UP) != 0;
}

int neighbours_own_way(struct neighbours *neighbours, const struct address *destination,
		       const struct address *source, uint64_t since_ns, enum own_way *way,
		       int *device)
{
	struct route route;
	int error = route_lookup_own(neighbours, destination, source, &route);

	if (error == -ENETUNREACH || error == -ESRCH) {
		*way = OWN_WAY_MISSING;
		return 0;
	}
	if (error != 0 && !route_is_refusal(error))
		return error;
	*way = OWN_WAY_OPEN;
	/* An encapsulation of the kernel's names no device. */
	if (error != 0 || route.gateway_count == 0)
		return 0;
	for (uint32_t i = 0; i < route.gateway_count; i++)
		if (neighbours_had_carrier(neighbours, route.gateways[i].device, since_ns))
			return 0;
	*way = OWN_WAY_CUT;
	*device = route.gateways[0].device;
	return 0;
}
