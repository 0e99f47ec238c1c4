/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of configuration_pools.c, in the order in which they run. */
#ifndef FLUXPIN_CONFIGURATION_POOLS_H
#define FLUXPIN_CONFIGURATION_POOLS_H

#include "configuration_internal.h"

/* What of a pool is looked at again when all pools are read. */
struct pool_reading {
	struct value table_size;
	struct value pools; /* names of those that it contains */
	bool is_read;
};

/* configuration_backends.c: reads a pool's own. *total counts those of all pools. */
void pool_read_backends(struct reader *reader, const struct value *list,
			struct pool_configuration *pool, uint32_t *total);

/*
 * configuration_members.c: adds to each pool the backends of those that it contains, directly and
 * through others (Maglev, section 2.2). `total` is the number of own backends of all pools.
 */
void pools_take_members(struct reader *reader, const struct pool_reading *readings, uint32_t total);

#endif
