/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a configuration and the kernel's next hops to the snapshot that workers read.
 *
 * In two parts, since they change at different times: the tables (VIPs, pools, Maglev tables)
 * follow the configuration; the state around them (next hops per interface and backend) also
 * follows the kernel's routes and neighbours. A state borrows its tables.
 *
 * Thread: control only. Allocates.
 */
#ifndef FLUXPIN_FORWARDING_BUILDER_H
#define FLUXPIN_FORWARDING_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/backend_states.h>
#include <fluxpin/configuration.h>
#include <fluxpin/forwarding.h>
#include <fluxpin/interface.h>
#include <fluxpin/neighbours.h>
#include <fluxpin/registry.h>

/* A backend of the configuration with the index that it has on the packet path. */
struct forwarding_backend {
	uint32_t pool; /* indexes into the configuration's pools and the pool's backends */
	uint32_t backend;
	uint16_t index;
	uint16_t generation;
	bool is_down; /* serves nothing: no slot, and its flows are lost */
};

struct forwarding_tables {
	const struct vip_table *vips;
	struct vip_set *vip_set; /* shared with the tables before, as are the pools' */
	struct forwarding_pool *pools;
	struct pool_table **pool_tables;
	struct forwarding_backend *backends; /* of all pools, in the configuration's order */
	uint16_t *vip_indexes;		     /* of the configuration's VIPs */
	struct prefix *prefixes;	     /* of the configuration's VIPs */
	struct decapsulation *decapsulation; /* NULL: no tunnel ends here */
	uint32_t pool_count;
	uint32_t backend_count;
	uint32_t vip_count;
	uint32_t index_limit;		     /* above every backend index */
	const struct forwarding_pool *peers; /* of `pools`, or NULL */
	uint16_t peer_self;		     /* backend index of this load balancer among them */
};

/*
 * Builds the tables of a valid configuration, within a round of both registries (the caller begins
 * and ends it). `services` says what its backends may do, pool after pool; NULL: all that the
 * configuration says. `previous` are the tables in use, or NULL; what did not change is taken from
 * them: they may be released in any order. Returns 0, -ENOMEM, or -ENOSPC when the indexes do not
 * suffice.
 */
int forwarding_tables_build(const struct configuration *configuration,
			    const struct backend_service *services,
			    const struct forwarding_tables *previous, struct registry *backends,
			    struct registry *vips, struct forwarding_tables **tables);

/* The tables of the same configuration as the previous ones, with other services. 0 or -ENOMEM. */
int forwarding_tables_rebuild(const struct configuration *configuration,
			      const struct backend_service *services,
			      const struct forwarding_tables *previous,
			      struct forwarding_tables **tables);
void forwarding_tables_release(struct forwarding_tables *tables);

struct forwarding_state {
	struct forwarding forwarding; /* what is published */
	struct connection_settings connections;
	const struct forwarding_tables *tables;
	struct forwarding_interface *interfaces;
	struct destination *destinations; /* all interfaces', one after the other */
	uint8_t *next_hops; /* enum next_hop_state by interface * tables->backend_count + backend */
	uint32_t unresolved; /* how many of them are not resolved */
};

/*
 * Resolves every backend on every interface and builds the state. One round of neighbours; without
 * them (NULL) every next hop counts as resolved, with MAC addresses of zeros, and frames to every
 * unicast address are taken: for replay, whose port puts addresses in.
 * Returns 0 or negative errno.
 */
int forwarding_state_build(const struct configuration *configuration,
			   const struct forwarding_tables *tables, struct neighbours *neighbours,
			   const struct interface *nics, uint32_t nic_count, uint64_t generation,
			   struct forwarding_state **state);

/* Whether workers would do the same with both; they share their tables. */
bool forwarding_state_equal(const struct forwarding_state *a, const struct forwarding_state *b);

void forwarding_state_release(struct forwarding_state *state);

#endif
