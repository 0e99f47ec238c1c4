/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names to 16-bit indexes that stay theirs over reloads: of backends (connections and counters
 * refer to them by it) and of VIPs (counters do).
 *
 * A change of the configuration is a round: begin, one acquire per name that the new state has,
 * then commit or abort. Names that a committed round did not acquire give their index back; it
 * goes to another name under another generation, and as late as possible.
 *
 * Thread: control only. Allocates.
 */
#ifndef FLUXPIN_REGISTRY_H
#define FLUXPIN_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

/* Indexes are 0 to REGISTRY_SIZE - 1; UINT16_MAX is never given out. */
#define REGISTRY_SIZE 65535

struct registry;

int registry_open(struct registry **registry);
void registry_close(struct registry *registry);

void registry_begin(struct registry *registry);

/*
 * The index of a name, a new one if the name has none. Returns 0; -ENOSPC when all indexes are
 * taken by the old and the new state together; -ENOMEM.
 */
int registry_acquire(struct registry *registry, const char *name, uint16_t *index,
		     uint16_t *generation);

/* Gives back what the round added. */
void registry_abort(struct registry *registry);

/*
 * Ends the round: gives back the names that it did not acquire, calling released(index) for each.
 * To be called when no worker uses the old state any more.
 */
void registry_commit(struct registry *registry, void (*released)(void *context, uint16_t index),
		     void *context);

/* Whether all indexes are taken, by the old and the new state together within a round. */
bool registry_is_full(const struct registry *registry);

/* One more than the largest index in use. */
uint32_t registry_limit(const struct registry *registry);

#endif
