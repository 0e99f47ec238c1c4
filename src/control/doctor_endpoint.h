/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of a backend's doctor share. */
#ifndef FLUXPIN_DOCTOR_ENDPOINT_H
#define FLUXPIN_DOCTOR_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "doctor_internal.h"

/* A VIP that this backend is to have. */
struct endpoint_vip {
	struct prefix prefix;
	const struct vip_configuration *vip; /* NULL: given by the command line */
};

struct endpoint {
	struct doctor_report *report;
	const char *name; /* of the interface */
	struct interface interface;
	struct endpoint_vip *vips;
	uint32_t vip_count;

	/* From the configuration's pools that have an address of this host as a backend. */
	bool is_known;
	bool uses[ENCAPSULATION_L2 + 1][2][2]; /* by outer and inner family: is_ipv6 */
	uint32_t outer;			       /* the most bytes of outer header */
};

void endpoint_check_vips(struct endpoint *endpoint);
void endpoint_check_listeners(struct endpoint *endpoint);
void endpoint_check_arp(struct endpoint *endpoint);
void endpoint_check_reverse_path(struct endpoint *endpoint);
void endpoint_check_decapsulation(struct endpoint *endpoint);
void endpoint_check_segments(struct endpoint *endpoint);

/* Whether a family is among the VIPs; of IPv4 also when there are none. */
bool endpoint_has_family(const struct endpoint *endpoint, bool is_ipv6);

/* A client's address, for looking the route to it up: one that nobody has (RFC 2544, RFC 5180). */
struct address endpoint_client(bool is_ipv6);

/* The kernel's own tunnel devices. */
struct endpoint_tunnel {
	char name[IF_NAMESIZE];
	char kind[16]; /* "gre", "ip6gre", "ipip", "sit", "ip6tnl" */
	bool is_up;
};

/* Lists them; *tunnels is to be freed. Returns 0 or negative errno. */
int endpoint_list_tunnels(struct endpoint_tunnel **tunnels, uint32_t *count);

/* Whether the kernel takes GUE from the UDP port, of the family (linux/fou.h). */
bool endpoint_has_gue_port(bool is_ipv6);

#endif
