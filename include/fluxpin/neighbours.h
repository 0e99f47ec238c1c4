/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Next hops from the kernel: for a destination and an egress NIC, the MAC addresses and VLAN tags
 * that a frame has to carry, from the routing and neighbour tables over rtnetlink. A route that
 * leaves by a VLAN device on the NIC, or by one that is stacked on such a device (802.1ad with
 * 802.1Q, two levels), leaves by the NIC, under the tags of these devices.
 *
 * The kernel keeps the neighbours fresh: fluxpin adds "managed" entries (NTF_EXT_MANAGED, Linux
 * 5.16) under its own protocol number (NDA_PROTOCOL), and removes those entries again. On older
 * kernels it asks the kernel to probe (NTF_USE) at every refresh instead. Static entries
 * (permanent, noarp) of the operator are used and never changed.
 *
 * One socket asks, another one listens to changes of links, addresses, routes and neighbours. The
 * module decides nothing: its user calls next_hop_resolve for what it needs, again when
 * neighbours_drain says that something changed.
 *
 * Thread: control only. Calls make system calls on local sockets that answer at once; every
 * receive has a time limit (1 s), and -ETIMEDOUT follows.
 */
#ifndef FLUXPIN_NEIGHBOURS_H
#define FLUXPIN_NEIGHBOURS_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>
#include <fluxpin/packet.h>

/* NDA_PROTOCOL of the entries that fluxpin adds (rtnetlink(7): protocols up to 255, those from 192
 * up are unassigned in iproute2's rt_protos). */
#define NEIGHBOURS_PROTOCOL 213

struct neighbours;

enum next_hop_state {
	NEXT_HOP_RESOLVED,
	NEXT_HOP_NO_ROUTE, /* no route, or one that is blackhole/unreachable/prohibit */
	NEXT_HOP_LOCAL,	   /* the destination is an address of this host, or broadcast/multicast */
	NEXT_HOP_OTHER_INTERFACE, /* the route leaves neither by the NIC nor a VLAN device on it */
	NEXT_HOP_TOO_MANY_TAGS,	  /* it leaves by a VLAN device of a third level */
	NEXT_HOP_NO_NEIGHBOUR,	  /* ARP or ND has not (yet, or no longer) an answer */
	NEXT_HOP_NO_SOURCE, /* no address to send from: none configured, and the host has none */
	NEXT_HOP_OFF_LINK,  /* behind a router, which its user's encapsulation cannot have */
};

struct next_hop {
	enum next_hop_state state;
	struct address gateway; /* whose MAC it is: a router, or the destination itself */
	struct address source;	/* the preferred source address towards it; zero when unknown */
	int device;		/* that the route leaves by: the NIC, or a VLAN device */
	uint8_t mac[6];		/* valid when resolved */
	uint8_t tag_count;	/* 0: the NIC itself */
	uint8_t source_mac[6];	/* of the VLAN device */
	struct vlan_tag tags[PACKET_MAX_TAGS]; /* of the VLAN devices, the outermost first */
	uint32_t mtu; /* the route's (RTAX_MTU) or the VLAN devices', the least; 0: the NIC's */
};

/* Opens both sockets. Returns 0, or negative errno after logging. */
int neighbours_open(struct neighbours **neighbours);

/*
 * The same for who only looks, beside a fluxpin or without one: no entry becomes a managed one or
 * is removed. Where a neighbour is not known or has failed, the kernel is asked to resolve it once,
 * as by any packet that is sent there. There are no rounds.
 */
int neighbours_open_passive(struct neighbours **neighbours);

/* Descriptor that is readable when the kernel has reported changes. */
int neighbours_descriptor(const struct neighbours *neighbours);

/*
 * Reads what the kernel reported. *changed tells whether any of it may alter a next hop (also when
 * messages were lost, ENOBUFS). Refreshes of a neighbour that keep its MAC and stay valid do not
 * count. Never waits. Returns 0 or negative errno.
 */
int neighbours_drain(struct neighbours *neighbours, bool *changed);

/*
 * The next hop towards `destination` for a frame that leaves by the NIC `index`. Where the
 * neighbour is not known, the kernel is asked to resolve it and keep it (managed), and
 * NEXT_HOP_NO_NEIGHBOUR is given until a change is reported. A neighbour that is STALE, DELAY or
 * PROBE is still resolved; INCOMPLETE and FAILED are not. Returns 0 with *next_hop filled in, or
 * negative errno (untouched).
 */
int next_hop_resolve(struct neighbours *neighbours, const struct address *destination, int index,
		     struct next_hop *next_hop);

/*
 * While on, next_hop_resolve answers for a neighbour that was asked for before as it did then: for
 * who sends a packet between rounds. Were the neighbour looked at, a change that is not drained yet
 * would be known from then on, its report no news, and all that had the answer before would keep
 * it.
 */
void neighbours_repeat(struct neighbours *neighbours, bool on);

/* Whether there are VLAN devices on the NIC, whatever their state. */
bool neighbours_has_vlans(const struct neighbours *neighbours, int index);

/*
 * The MAC addresses of VLAN devices on the NIC, at most two levels above it, that are not the NIC's
 * own: each once, in no order. Returns how many, or room + 1 when there are more than `room`.
 */
uint32_t neighbours_vlan_macs(const struct neighbours *neighbours, int index, uint8_t (*macs)[6],
			      uint32_t room);

/*
 * Brackets a round of next_hop_resolve calls for everything that is still needed. Within it each
 * neighbour is looked at once, so that all destinations behind it get the same answer. Managed
 * entries that fluxpin holds and that no call between begin and end asked for are removed. A round
 * that fails is not ended, so that nothing is removed. The first round also finds those that a
 * killed fluxpin left (by protocol number), and takes over or removes them. With several fluxpins
 * in one network namespace, an entry that another one needs comes back at its next round.
 */
void neighbours_begin_round(struct neighbours *neighbours);
void neighbours_end_round(struct neighbours *neighbours);

/* Removes the managed entries that this process holds, closes the sockets. NULL is allowed. */
void neighbours_close(struct neighbours *neighbours);

/* How packets of this host's own leave it, as those of health checks do. */
enum own_way {
	OWN_WAY_OPEN, /* also one that leads nowhere on purpose: blackhole, unreachable, prohibit */
	OWN_WAY_CUT,  /* by devices without carrier, or that were without it */
	OWN_WAY_MISSING, /* no route */
};

/*
 * The way of a packet to `destination`, from `source` unless that is NULL, as the kernel would
 * choose it now. It is cut when each device that it may leave by was without carrier from
 * `since_ns` of clock_ns on (neighbours_had_carrier); *device is then the first of these. Returns 0
 * or negative errno (untouched).
 */
int neighbours_own_way(struct neighbours *neighbours, const struct address *destination,
		       const struct address *source, uint64_t since_ns, enum own_way *way,
		       int *device);

/* Whether a device has been up and with carrier from `since_ns` on, and for seven seconds before,
 * which a link that comes up takes to be of use, as far as that was drained. UINT64_MAX: now. */
bool neighbours_had_carrier(const struct neighbours *neighbours, int device, uint64_t since_ns);

/* Whether a device that is without carrier, or was lately, lost it at `since_ns` or later, as far
 * as that was drained. One that has been without from the first report on lost it at 0. */
bool neighbours_lost_carrier(const struct neighbours *neighbours, int device, uint64_t since_ns);

/* Whether a device was set up, with carrier or not. */
bool neighbours_is_up(const struct neighbours *neighbours, int device);

/* One word or two for messages: "resolved", "no route", ... */
const char *next_hop_state_name(enum next_hop_state state);

#endif
