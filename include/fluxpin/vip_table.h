/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VIP table: which VIP, if any, a packet's destination belongs to. Where several match, the
 * longest prefix wins, then an exact port over port 0, then a protocol over any.
 *
 * IPv4 addresses are in no IPv6 prefix, however short, and link-local and multicast IPv6 addresses
 * in none at all: a VIP for ::/0 must not take the network's own traffic.
 *
 * Immutable once built: a hash table of prefixes, looked up once for each prefix length in use (so
 * one probe tells that an address is no VIP), and one of the services of those prefixes.
 */
#ifndef FLUXPIN_VIP_TABLE_H
#define FLUXPIN_VIP_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>

/* What becomes of echo requests. */
enum icmp_echo {
	ICMP_ECHO_REPLY,
	ICMP_ECHO_FORWARD,
	ICMP_ECHO_DROP,
};

/* What the packet path needs to know of a VIP. */
struct vip {
	struct prefix prefix;
	uint16_t port;	   /* host order; 0: every port */
	uint8_t protocol;  /* IPPROTO_*; 0: any */
	bool tracking;	   /* false: by consistent hash alone */
	bool fragments;	   /* false: they are dropped */
	bool by_source;	   /* new flows choose by the client's address, not by the 5-tuple */
	uint8_t icmp_echo; /* enum icmp_echo */
	uint16_t index;	   /* for counters: stable over reloads */
	uint16_t pool;	   /* index into the forwarding's pools */
};

struct vip_table;

enum vip_match {
	VIP_MATCH_NONE,	   /* no VIP has this address */
	VIP_MATCH_ADDRESS, /* a VIP has it, but not this protocol and port */
	VIP_MATCH_SERVICE,
};

/*
 * Builds the table of copies of count VIPs (at most 65535), no two of which have the same prefix,
 * protocol and port. Thread: control; allocates. Returns 0 or -ENOMEM.
 */
int vip_table_build(const struct vip *vips, uint32_t count, struct vip_table **table);
void vip_table_release(struct vip_table *table);

/*
 * Looks up a destination; *vip is set on VIP_MATCH_SERVICE and lives as long as the table.
 * protocol 0 stands for "no ports known" and finds VIP_MATCH_ADDRESS or NONE, or a VIP for every
 * port and protocol. Thread: worker; no system call, no allocation.
 */
enum vip_match vip_table_find(const struct vip_table *table, const struct address *destination,
			      uint8_t protocol, uint16_t port, const struct vip **vip);

/*
 * The VIP that takes echo requests to this address, as its icmp_echo says: of the longest prefix
 * that holds the address, the first VIP that says other than "reply", or the first one. NULL when
 * no VIP has the address. Lives as long as the table. Thread: worker.
 */
const struct vip *vip_table_find_echo(const struct vip_table *table,
				      const struct address *destination);

/* Whether any VIP that has this address takes fragments. Thread: worker. */
bool vip_table_takes_fragments(const struct vip_table *table, const struct address *destination);

#endif
