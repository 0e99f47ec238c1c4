/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each backend of a configuration may do now, and why: its weight in the file, the word of its
 * health check, a drain by command, slow start and the last resort of its pool, put together.
 *
 * - A backend that is down serves nothing: it has no slot and loses its flows. One that is drained,
 *   or has the weight 0 in the file, keeps its flows and gets no new ones.
 * - Slow start: one that comes up, is undrained, is new in a reload or had weight 0 before grows to
 *   its weight in BACKEND_SLOW_START_STEPS steps over the pool's `slow_start`. A pool in which no
 *   other backend has grown does not wait: there all have their whole weight.
 * - Last resort (`on_all_down = "all"`): when each backend that is to serve is down, all of them
 *   serve.
 *
 * The states of one configuration; those of the next one are made from them. Times are those of the
 * monotonic clock in nanoseconds, given by the caller.
 *
 * Thread: control only. Allocates.
 */
#ifndef FLUXPIN_BACKEND_STATES_H
#define FLUXPIN_BACKEND_STATES_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/configuration.h>

/* A backend that comes in begins with the first of so many equal parts of its weight. */
#define BACKEND_SLOW_START_STEPS 10

struct backend_overrides;
struct backend_states;

/* All that the forwarding tables need to know of it. */
struct backend_service {
	uint16_t weight; /* in use */
	bool is_down;
};

struct backend_state {
	struct backend_service service;
	uint16_t configured_weight;
	bool is_checked; /* it has a health check */
	bool is_healthy; /* by the check; true without one */
	bool is_drained; /* by command */
	bool is_last_resort;
	uint8_t slow_start_percent; /* 100: grown */
	uint64_t came_in_ns;	    /* when it began to grow; 0: it was there from the start */
};

struct backend_health {
	bool is_checked;
	bool is_healthy;
};

/* What the states are made from beside the configuration. */
struct backend_sources {
	const struct backend_overrides *overrides; /* NULL: none; BACKEND_DOWN is unhealthy */
	/* Tells a backend's health; NULL: all are healthy and without a check. */
	void (*health)(const void *context, uint32_t pool, uint32_t backend,
		       struct backend_health *health);
	const void *context;
};

/*
 * Makes the states of a configuration, which must outlive them. `previous` (NULL at the start) are
 * those of the one before: a backend is the same when pool, name and address are. They are not
 * changed. Returns 0 or -ENOMEM.
 */
int backend_states_build(const struct configuration *configuration,
			 const struct backend_states *previous,
			 const struct backend_sources *sources, uint64_t now_ns,
			 struct backend_states **states);

/*
 * Brings them up to date. Returns whether a service changed; *next_ns is when slow start takes its
 * next step, UINT64_MAX for never.
 */
bool backend_states_update(struct backend_states *states, const struct backend_sources *sources,
			   uint64_t now_ns, uint64_t *next_ns);

const struct backend_state *backend_states_get(const struct backend_states *states, uint32_t pool,
					       uint32_t backend);

/* What overrides a backend, or'ed: in its own pool, and in each that this one contains. */
unsigned int backend_states_overrides(const struct configuration *configuration,
				      const struct backend_overrides *overrides, uint32_t pool,
				      uint32_t backend);

/* The services of all backends, pool after pool, as the forwarding tables want them. */
const struct backend_service *backend_states_services(const struct backend_states *states);

/* What a pool has. `serving`: backends with a weight in use. */
struct pool_state {
	uint32_t serving;
	uint32_t down;
	uint32_t drained; /* by command or by the weight 0 in the file, and not down */
	bool is_last_resort;
};
void backend_states_pool(const struct backend_states *states, uint32_t pool,
			 struct pool_state *state);

void backend_states_release(struct backend_states *states);

#endif
