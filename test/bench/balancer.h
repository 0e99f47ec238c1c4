/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A configuration of one pool and the forwarding state that the daemon would build from it: written
 * as a file, read by the configuration's reader, built by the forwarding builder. Next hops count
 * as resolved.
 *
 * Backend i has the outer address 10.1.x.y or fd00:1::x:y, where 256 x + y is i + 1, so that it can
 * be told from a frame that was sent.
 */
#ifndef FLUXPIN_BENCH_BALANCER_H
#define FLUXPIN_BENCH_BALANCER_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/forwarding_builder.h>

#define BALANCER_MOST_BACKENDS 65534
#define BALANCER_NAME_SIZE     32

struct balancer_options {
	enum encapsulation encapsulation;
	bool is_outer_ipv6;
	bool tracking;
	uint32_t backends;
	uint32_t table_size;
};

struct balancer {
	struct balancer_options options;
	struct registry *backend_indexes;
	struct registry *vip_indexes;
	struct configuration *configuration;
	struct forwarding_tables *tables;
	struct forwarding_state *state;
	uint64_t generation;
};

/* Builds it. Returns 0, or negative errno after saying why on standard error (close it then, too).
 */
int balancer_open(struct balancer *balancer, const struct balancer_options *options);

/* Reloads it without the backends of which removed[i] is set. Returns as balancer_open does. */
int balancer_reload(struct balancer *balancer, const bool *removed);

void balancer_close(struct balancer *balancer);

/* "backend-00017": what backend i is called, in the pool and in Maglev tables. */
const char *balancer_name(uint32_t backend, char name[static BALANCER_NAME_SIZE]);

#endif
