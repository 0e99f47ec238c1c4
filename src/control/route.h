/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One lookup in the kernel's routing tables. Not a contract of its own: a part of neighbours.h.
 *
 * The lookups are "FIB match" ones (RTM_F_FIB_MATCH, Linux 4.13): the answer is the route as it
 * stands in the table. The plain answer will not do with an output interface: where no route leads
 * out of that interface, IPv4 assumes that the destination is on its link, even for one that is
 * blackholed; and for a group of nexthop objects both families may answer with another interface.
 *
 * One flaw remains in the kernel (seen in 6.18): IPv6 caches its answer per nexthop object, so that
 * of several routes that share an object, any may be named, and of a group's members perhaps only
 * the one that this destination hashes to. Where that member leads out of another interface, the
 * group's member over this one stays unseen.
 */
#ifndef FLUXPIN_ROUTE_H
#define FLUXPIN_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>

#include "neighbours_internal.h"

/* More gateways than this over one NIC are not looked at. */
#define ROUTE_MAX_GATEWAYS 16

/* Who is asked for a MAC address, and where. */
struct route_gateway {
	int device;		/* the NIC, or a VLAN device on it */
	struct address address; /* the destination itself where the route is on-link */
};

struct route {
	uint8_t type;	       /* RTN_* */
	uint8_t prefix_length; /* of the matching route, in bits of its own family */
	uint32_t table;
	uint32_t mtu;		  /* RTAX_MTU; 0: none */
	struct address source;	  /* RTA_PREFSRC; zero: the route names none */
	bool is_prefix_uncertain; /* the prefix and table may be those of another route, see above
				   */
	bool is_encapsulated;	  /* RTA_ENCAP: more than an Ethernet header is needed */

	/* The usable ones when the packet leaves by the NIC of the lookup, sorted. */
	uint32_t gateway_count;
	struct route_gateway gateways[ROUTE_MAX_GATEWAYS];
};

/*
 * Looks the route to `destination` up: as for a packet that must leave by `device`, whose gateways
 * alone are listed, or with 0 as for any packet: then the gateways over `nic` and over all VLAN
 * devices that are stacked on it are, however many.
 * Returns 0; -ENETUNREACH, -EHOSTUNREACH, -EINVAL, -EACCES, ... as the kernel does (see
 * route_is_refusal); another negative errno when asking failed.
 */
int route_lookup(struct neighbours *neighbours, const struct address *destination, int nic,
		 int device, struct route *route);

/* The same as for a packet of this host's own, from `source` unless that is NULL: the gateways over
 * all devices are listed. */
int route_lookup_own(struct neighbours *neighbours, const struct address *destination,
		     const struct address *source, struct route *route);

/* Whether the error is the answer "there is no way": no route, unreachable, blackhole, prohibit. */
bool route_is_refusal(int error);

/* The source address that the kernel would choose for what leaves by `device`; zero when it names
 * none. */
int route_lookup_source(struct neighbours *neighbours, const struct address *destination,
			int device, struct address *source);

#endif
