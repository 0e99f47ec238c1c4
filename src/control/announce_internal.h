/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files announce*.c share. */
#ifndef FLUXPIN_ANNOUNCE_INTERNAL_H
#define FLUXPIN_ANNOUNCE_INTERNAL_H

#include <sys/types.h>

#include <fluxpin/announce.h>
#include <fluxpin/netlink.h>

/* ---- announce_route.c ---- */

/* A socket for the calls below. Returns 0 or negative errno. */
int announce_route_open(struct netlink *netlink);

/* Return 0 or the kernel's negative errno; adding what is there is -EEXIST, removing what is not
 * -ESRCH. */
int announce_route_add(struct netlink *netlink, uint32_t table, const struct prefix *prefix);
int announce_route_remove(struct netlink *netlink, uint32_t table, const struct prefix *prefix);

/* Whether the message is about a route of ours in this table; *prefix is whose. */
bool announce_route_parse(const struct nlmsghdr *message, uint32_t table, struct prefix *prefix);

/* Prefixes that grow by one at a time. Zeroed when empty; the owner frees the list. */
struct prefix_list {
	struct prefix *prefixes;
	uint32_t count;
	uint32_t room;
};
int prefix_list_add(struct prefix_list *list, const struct prefix *prefix);

/* Adds our routes of the table to the list, each once, sorted. Returns 0 or negative errno. */
int announce_route_list(struct netlink *netlink, uint32_t table, struct prefix_list *list);

/* ---- announce_guard.c ---- */

/* Takes the table's lock, a descriptor, and waits up to 1 s for a process that has it to end.
 * Returns 0, -EBUSY, or another negative errno. */
int announce_lock(uint32_t table, int *lock);

/* Removes all of our routes in a table whose lock the caller has. */
int announce_clear(struct netlink *netlink, uint32_t table, uint32_t *removed);

struct guard {
	pid_t process; /* 0: none */
	int pipe;      /* its end is what the guard waits for; -1: none */
};
int guard_start(struct guard *guard, uint32_t table);

/* Whether it has ended; it is waited for then. */
bool guard_is_gone(struct guard *guard);
void guard_stop(struct guard *guard);

#endif
