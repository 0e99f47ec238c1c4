/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ways from a NIC to a destination, by the NIC itself or a VLAN device on it: which of the
 * kernel's routes counts. Not a contract of its own: a part of neighbours.h.
 */
#ifndef FLUXPIN_WAYS_H
#define FLUXPIN_WAYS_H

#include <stdint.h>

#include <fluxpin/address.h>

#include "neighbours_internal.h"
#include "route.h"

struct way_out {
	struct route_gateway gateway;
	struct address source; /* that the route prefers; zero: none */
	uint32_t mtu;	       /* of the route; 0: none */
};

struct ways {
	uint32_t count;
	struct way_out list[ROUTE_MAX_GATEWAYS]; /* by device, and then by gateway */
};

/*
 * Finds them. *state is NEXT_HOP_RESOLVED when there are any; no neighbour was looked at. Returns 0
 * or negative errno.
 */
int ways_find(struct neighbours *neighbours, const struct address *destination, int nic,
	      struct ways *ways, enum next_hop_state *state);

#endif
