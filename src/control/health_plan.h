/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plan in the making: its checks (health_plan_checks.c), its probers (health_plan.c), and the
 * states in which these begin (health_plan_states.c).
 */
#ifndef FLUXPIN_HEALTH_PLAN_H
#define FLUXPIN_HEALTH_PLAN_H

#include "health_internal.h"

/* A backend that wants a prober. */
struct want {
	struct check *check;
	struct address address;
	uint32_t slot;
	uint32_t pool;
	uint32_t backend;
};

struct health_plan {
	struct health *health;
	const struct configuration *configuration;
	struct check **checks; /* sorted; those that are new have no users but new probers */
	uint32_t check_count;
	struct check **pool_checks; /* by pool; NULL: none */
	uint32_t *pool_first;
	struct want *wants; /* sorted by check and address */
	uint32_t want_count;
	struct prober **probers;
	uint32_t prober_count;
	struct prober **slots;
	uint32_t slot_count;
};

/* Fills in the checks: one for all pools whose checks are equal, sorted. Returns 0, -ENOMEM or what
 * opening a CA file gave. */
int health_plan_checks(struct health_plan *plan);

/* Gives each new prober the state of an active one of the same address. Returns 0 or -ENOMEM. */
int health_plan_inherit(struct health_plan *plan);

#endif
