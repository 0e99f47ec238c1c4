/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forwarding state: everything that a worker needs to decide on a packet, in one immutable
 * snapshot. The control thread builds it, publishes it with one rcu_assign_pointer, and frees the
 * old one after a grace period; workers read the pointer once per batch.
 *
 * Backends are named by 16-bit indexes that stay theirs over reloads. An index that is given to
 * another backend gets another generation, so that a connection of the old one never hits the new
 * one.
 */
#ifndef FLUXPIN_FORWARDING_H
#define FLUXPIN_FORWARDING_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/connection_table.h>
#include <fluxpin/decapsulation.h>
#include <fluxpin/encapsulation.h>
#include <fluxpin/vip_table.h>

/* Outer source addresses that one interface may use; those beyond get no reports relayed. */
#define FORWARDING_MAX_SOURCES 8

/* MAC addresses of VLAN devices that differ from the NIC's; frames to those beyond are the
 * kernel's. */
#define FORWARDING_MAX_MACS 4

struct forwarding_pool {
	const uint16_t *slots; /* Maglev table: backend indexes or MAGLEV_NO_BACKEND */
	uint32_t size;	       /* M */
};

/* What the workers of one NIC need; they know it by its ordinal. */
struct forwarding_interface {
	const struct destination *destinations; /* by backend index, destination_count of them */
	uint8_t mac[6];				/* of the NIC, as on the wire */
	bool any_mac;				/* take frames to every unicast address (replay) */
	uint8_t source_count;
	uint8_t vlan_mac_count; /* those of VLAN devices, where they are others */
	uint8_t vlan_macs[FORWARDING_MAX_MACS][6];
	struct address sources[FORWARDING_MAX_SOURCES]; /* of outer headers */
};

struct forwarding {
	uint64_t generation; /* from 1 on; another one for whatever else changes in here */
	uint64_t hash_seed;
	uint32_t icmp_echo_rate; /* answers per second and worker */
	uint32_t icmp_error_rate;
	/* What every connection table is set to; NULL leaves them as they are. */
	const struct connection_settings *connections;
	const struct vip_table *vips;
	const struct forwarding_pool *pools;
	const struct forwarding_interface *interfaces;
	const struct decapsulation *decapsulation; /* NULL: no tunnel ends here */
	const struct forwarding_pool *peers;	   /* the cluster's load balancers; NULL: alone */
	uint16_t peer_self;			   /* which of their indexes is this one's */
	uint32_t pool_count;
	uint32_t interface_count;
	uint32_t destination_count;
};

#endif
