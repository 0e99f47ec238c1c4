/* SPDX-License-Identifier: BSD-2-Clause */
/* The ways from NICs to backends, between the file that finds them and the one that says what is
 * wrong with them. */
#ifndef FLUXPIN_DOCTOR_BACKENDS_H
#define FLUXPIN_DOCTOR_BACKENDS_H

#include <fluxpin/neighbours.h>

#include "doctor_internal.h"

#define DOCTOR_WAY_STATES (NEXT_HOP_OFF_LINK + 1)

/* A backend as seen from a NIC. */
struct doctor_way {
	const struct pool_configuration *pool;
	const struct backend_configuration *backend;
	const struct doctor_nic *nic;
	struct next_hop next_hop;
};

struct doctor_survey {
	struct doctor *doctor;
	struct neighbours *neighbours;
	struct doctor_way *ways;
	uint32_t count;
	uint32_t told[DOCTOR_WAY_STATES];
	uint32_t small_routes;
};

/* Adds what keeps the NIC from the backend, and the command that mends it, but of each kind of
 * problem only the first DOCTOR_ALIKE_MOST; all are counted in `told`. */
void doctor_add_way_problem(struct doctor_survey *survey, const struct doctor_way *way);

#endif
