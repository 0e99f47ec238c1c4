/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The route by which this host itself would send, whatever device it leaves by: for saying what is
 * wrong with it, and for a command that changes it. What workers send by is route.h's.
 */
#ifndef FLUXPIN_HOST_ROUTE_H
#define FLUXPIN_HOST_ROUTE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>

struct host_route {
	uint8_t type;	       /* RTN_* */
	uint8_t prefix_length; /* in bits of its own family */
	uint8_t protocol;      /* RTPROT_* */
	bool is_onlink;	       /* RTNH_F_ONLINK */
	bool is_multipath;     /* several gateways; `device` and `gateway` are the first's */
	uint32_t table;
	uint32_t metric; /* RTA_PRIORITY; 0: none */
	uint32_t mtu;	 /* RTAX_MTU; 0: none */
	uint32_t advmss; /* RTAX_ADVMSS; 0: none */
	int device;	 /* 0: none */
	char device_name[IF_NAMESIZE];
	struct address gateway; /* zero: on the link */
	struct address source;	/* RTA_PREFSRC; zero: none */
	struct address prefix;	/* RTA_DST; zero: the default route */
};

/*
 * The route to an address as it stands in the table that matches. Returns 0; the kernel's refusal
 * (-ENETUNREACH, -EHOSTUNREACH, -EINVAL, -EACCES, ...); another negative errno. Thread: any.
 */
int host_route_lookup(const struct address *destination, struct host_route *route);

/*
 * The most specific route of type unreachable, blackhole or prohibit that holds the address.
 * Returns 0, -ENOENT when there is none, or another negative errno.
 */
int host_route_find_refusal(const struct address *destination, struct host_route *route);

/*
 * The route as words behind `ip route change` or `ip -6 route change`, without MTU and MSS. Returns
 * buffer, or NULL where it has several gateways, is not of the main table, or has no room.
 */
const char *host_route_format(const struct host_route *route, char *buffer, uint32_t size);

#endif
