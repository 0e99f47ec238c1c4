/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Next hops from the kernel: for a destination and an egress interface, the MAC address that a
 * frame has to carry, from the routing and neighbour tables over rtnetlink.
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

/* NDA_PROTOCOL of the entries that fluxpin adds (rtnetlink(7): protocols up to 255, those from 192
 * up are unassigned in iproute2's rt_protos). */
#define NEIGHBOURS_PROTOCOL 213

struct neighbours;

enum next_hop_state {
	NEXT_HOP_RESOLVED,
	NEXT_HOP_NO_ROUTE, /* no route, or one that is blackhole/unreachable/prohibit */
	NEXT_HOP_LOCAL,	   /* the destination is an address of this host, or broadcast/multicast */
	NEXT_HOP_OTHER_INTERFACE, /* the route leaves by another interface */
	NEXT_HOP_NO_NEIGHBOUR,	  /* ARP or ND has not (yet, or no longer) an answer */
	NEXT_HOP_NO_SOURCE, /* no address to send from: none configured, and the host has none */
	NEXT_HOP_OFF_LINK,  /* behind a router, which its user's encapsulation cannot have */
};

struct next_hop {
	enum next_hop_state state;
	struct address gateway; /* whose MAC it is: a router, or the destination itself */
	struct address source;	/* the preferred source address towards it; zero when unknown */
	uint8_t mac[6];		/* valid when resolved */
	uint32_t mtu;		/* of the route (RTAX_MTU); 0: the interface's */
};

/* Opens both sockets. Returns 0, or negative errno after logging. */
int neighbours_open(struct neighbours **neighbours);

/* Descriptor that is readable when the kernel has reported changes. */
int neighbours_descriptor(const struct neighbours *neighbours);

/*
 * Reads what the kernel reported. *changed tells whether any of it may alter a next hop (also when
 * messages were lost, ENOBUFS). Refreshes of a neighbour that keep its MAC and stay valid do not
 * count. Never waits. Returns 0 or negative errno.
 */
int neighbours_drain(struct neighbours *neighbours, bool *changed);

/*
 * The next hop towards `destination` for a frame that leaves by interface `index`. Where the
 * neighbour is not known, the kernel is asked to resolve it and keep it (managed), and
 * NEXT_HOP_NO_NEIGHBOUR is given until a change is reported. A neighbour that is STALE, DELAY or
 * PROBE is still resolved; INCOMPLETE and FAILED are not. Returns 0 with *next_hop filled in, or
 * negative errno (untouched).
 */
int next_hop_resolve(struct neighbours *neighbours, const struct address *destination, int index,
		     struct next_hop *next_hop);

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

/* One word or two for messages: "resolved", "no route", ... */
const char *next_hop_state_name(enum next_hop_state state);

#endif
