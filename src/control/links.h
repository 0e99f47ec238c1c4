/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interfaces of this network namespace, as the kernel reported them last, and how VLAN devices
 * are stacked on them. Not a contract of its own: a part of neighbours.h.
 *
 *     eth0.100.7   802.1Q, 7      a route that leaves here:  MACs | 88a8 100 | 8100 7 | IP
 *     eth0.100     802.1ad, 100
 *     eth0         the NIC
 */
#ifndef FLUXPIN_LINKS_H
#define FLUXPIN_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include <fluxpin/neighbours.h>
#include <fluxpin/packet.h>

/* What of an interface decides over routes and frames. */
struct link {
	int index;
	uint32_t flags;
	uint32_t mtu;
	uint8_t mac[6];
	uint32_t xdp_program; /* its number; 0: none */
	bool is_vlan;	      /* an 802.1Q or 802.1ad device; then: */
	int lower;	      /* the interface that it is on; 0: one of another namespace */
	struct vlan_tag tag;
	bool is_asked;	  /* next hops are looked up over it */
	bool is_seen;	  /* in the dump that is being read */
	uint64_t cut_ns;  /* clock_ns of the last report before or after which it had no carrier */
	uint64_t lost_ns; /* of the last one that it has lost its carrier; 0: none told of that */
};

struct links {
	struct link *list; /* in no order */
	uint32_t count;
	uint32_t room;
};

/* Reads an RTM_NEWLINK or RTM_DELLINK message; false for what is no report about an interface.
 * *is_port: it is one of a bridge or bond. */
bool link_parse(const struct nlmsghdr *message, struct link *link, bool *is_port);

/* The interface or NULL. */
struct link *link_find(const struct links *links, int index);

/* Returns 0 or -ENOMEM. */
int link_add(struct links *links, const struct link *link);

void link_remove(struct links *links, struct link *link);

/* Puts a newer report about the same interface in the place of what was known of it. */
void link_replace(struct link *known, const struct link *report);

/* Whether it is up and has carrier. */
bool link_has_carrier(const struct link *link);

/* Whether next hops are looked up over it, or over what it is a VLAN device of. */
bool link_is_asked(const struct links *links, const struct link *link);

/* The VLAN devices between a route and a NIC. */
struct vlan_stack {
	uint8_t count;			       /* 0: the NIC itself */
	struct vlan_tag tags[PACKET_MAX_TAGS]; /* the outermost first */
	uint32_t mtu;			       /* the smallest of the devices'; 0: no device */
	uint8_t mac[6];			       /* of the uppermost device */
};

/*
 * How frames that leave by interface `index` leave by the NIC: NEXT_HOP_RESOLVED with *stack filled
 * in; NEXT_HOP_OTHER_INTERFACE when they do not; NEXT_HOP_TOO_MANY_TAGS.
 */
enum next_hop_state link_find_stack(const struct links *links, int index, int nic,
				    struct vlan_stack *stack);

#endif
