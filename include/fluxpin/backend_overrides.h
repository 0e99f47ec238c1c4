/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What overrides the configuration for single backends: one that is down (by a health check or an
 * event), one that is drained by command. Kept by (pool, backend) name, so that it survives
 * reloads.
 *
 * Thread: control only. Allocates.
 */
#ifndef FLUXPIN_BACKEND_OVERRIDES_H
#define FLUXPIN_BACKEND_OVERRIDES_H

#include <stdbool.h>

struct backend_overrides;

enum backend_override {
	BACKEND_DOWN = 1,    /* leaves the table, and its flows are lost at once */
	BACKEND_DRAINED = 2, /* weight 0: keeps its flows and gets no new ones */
};

int backend_overrides_open(struct backend_overrides **overrides);
void backend_overrides_close(struct backend_overrides *overrides);

/* Sets or clears one. Returns 0 or -ENOMEM. */
int backend_overrides_set(struct backend_overrides *overrides, const char *pool,
			  const char *backend, enum backend_override override, bool on);

/* Those of a backend, or'ed; 0 for none. `overrides` may be NULL. */
unsigned int backend_overrides_get(const struct backend_overrides *overrides, const char *pool,
				   const char *backend);

/* Those of all backends of that name in pools that count, or'ed. `overrides` may be NULL. */
unsigned int backend_overrides_gather(const struct backend_overrides *overrides,
				      const char *backend,
				      bool (*counts)(const void *context, const char *pool),
				      const void *context);

#endif
