/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether VIPs can be served, and so be announced (announcing.c), and what daemon_announce.c keeps,
 * which announces and withdraws them. A part of the daemon.
 */
#ifndef FLUXPIN_ANNOUNCING_H
#define FLUXPIN_ANNOUNCING_H

#include "daemon_internal.h"

/* Why a VIP is withdrawn, in words, with the names in it. */
#define ANNOUNCING_REASON_SIZE 160

struct announcing {
	struct announce *announce; /* NULL: the configuration announces nothing */
	struct announce *next;	   /* of a reload that is under way, when the table is another */
	uint32_t ticks;
	bool is_lingering;
};

/* What is known of a pool. */
struct announcing_ability {
	uint32_t serving; /* backends that get new flows and have a next hop */
	bool is_last_resort;
};

/* Why nothing at all can be served, or NULL. */
const char *announcing_obstacle(const struct daemon *daemon);

/* Fills in the abilities, zeroed, by pool. */
void announcing_read_abilities(const struct daemon *daemon, struct announcing_ability *abilities);

/* Whether its pool is able to serve the VIP. */
bool announcing_is_able(const struct vip_configuration *vip,
			const struct announcing_ability *ability);

/* Why a VIP is withdrawn that is so. */
void announcing_explain(const struct daemon *daemon, const struct vip_configuration *vip,
			const struct announcing_ability *abilities, const char *obstacle,
			char reason[ANNOUNCING_REASON_SIZE]);

#endif
