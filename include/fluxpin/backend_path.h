/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of a packet from a NIC to one backend: its next hop, and what an outer header for it is
 * prepared from. The same answer for the workers' tables, for probes and for the doctor.
 *
 * Thread: control. Makes system calls on local sockets.
 */
#ifndef FLUXPIN_BACKEND_PATH_H
#define FLUXPIN_BACKEND_PATH_H

#include <stdbool.h>

#include <fluxpin/configuration.h>
#include <fluxpin/encapsulation.h>
#include <fluxpin/interface.h>
#include <fluxpin/neighbours.h>

/*
 * Finds the way from the NIC to a backend of the pool. Without `neighbours` (NULL, in replay) the
 * next hop counts as resolved, with MAC addresses of zeros. Where the pool's encapsulation or the
 * lack of a source address forbids the way, next_hop->state says so; *path is filled in when it is
 * NEXT_HOP_RESOLVED, and its keeps_tags is that given. Returns 0 or negative errno.
 */
int backend_path_find(const struct configuration *configuration,
		      const struct pool_configuration *pool, const struct address *backend,
		      struct neighbours *neighbours, const struct interface *nic, bool keeps_tags,
		      struct next_hop *next_hop, struct encapsulation_path *path);

#endif
