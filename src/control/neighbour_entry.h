/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One entry of the kernel's neighbour tables (ARP, ND). Not a contract of its own: a part of
 * neighbours.h.
 */
#ifndef FLUXPIN_NEIGHBOUR_ENTRY_H
#define FLUXPIN_NEIGHBOUR_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>
#include <fluxpin/netlink.h>

struct neighbour_entry {
	struct address address;
	int index;
	uint16_t state;		 /* NUD_* */
	uint8_t flags;		 /* NTF_* */
	uint8_t protocol;	 /* NDA_PROTOCOL */
	uint32_t extended_flags; /* NTF_EXT_* */
	bool has_mac;
	uint8_t mac[6];
};

/* Reads an entry from an RTM_NEWNEIGH or RTM_DELNEIGH message; false for what is no ARP/ND entry.
 */
bool neighbour_entry_parse(const struct nlmsghdr *message, struct neighbour_entry *entry);

/* Whether a frame can be sent with the entry's MAC: also STALE, DELAY and PROBE. */
bool neighbour_entry_is_valid(const struct neighbour_entry *entry);

/* Whether it is one that fluxpin added and nobody has changed since. */
bool neighbour_entry_is_ours(const struct neighbour_entry *entry);

/* Whether the operator set it for good (permanent, noarp). */
bool neighbour_entry_is_static(const struct neighbour_entry *entry);

/* Returns 0; -ENOENT when there is none; other negative errno. */
int neighbour_entry_read(struct netlink *netlink, const struct address *address, int index,
			 struct neighbour_entry *entry);

/*
 * Has the kernel resolve the address now and keep it resolved, as an entry of ours: created, or
 * taken over with its state (a REACHABLE entry stays so). On a permanent entry this would take the
 * permanence away, so the caller looks first. Before Linux 5.16 it is resolved once and not kept.
 * must_be_new: -EEXIST when there is one.
 */
int neighbour_entry_manage(struct netlink *netlink, const struct address *address, int index,
			   bool must_be_new);

/* Has the kernel resolve an address that has no entry, as for a packet that is sent there; nobody
 * keeps the entry. */
int neighbour_entry_ask(struct netlink *netlink, const struct address *address, int index);

/* Has the kernel verify an entry that is not ours, and leaves its flags and protocol as they are.
 */
int neighbour_entry_probe(struct netlink *netlink, const struct neighbour_entry *entry);

/* Removes the entry if it is ours still. Returns 0 also when it is not, or gone. */
int neighbour_entry_remove(struct netlink *netlink, const struct address *address, int index);

#endif
