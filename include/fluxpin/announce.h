/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Announcing prefixes: a route for each in one of the kernel's tables, for a BGP daemon on this
 * host to import and pass on. All are of the routing protocol ANNOUNCE_PROTOCOL, the metric
 * ANNOUNCE_METRIC and the type blackhole: what no rule looks at disturbs nobody, and a kernel that
 * is told to look at it all the same drops such packets, rather than to send them back to where
 * they came from or to answer them.
 *
 * A table belongs to one process at a time: an abstract Unix socket of the network namespace is
 * the lock. Its holder may remove whatever routes of that protocol it finds in the table. Kernel
 * routes outlive who made them, so a guard, a second process that sleeps on a pipe, removes them
 * when this process ends in whatever way (announce_guard.c).
 *
 * Thread: one, the control thread. All calls but announce_has make system calls and wait for the
 * kernel's answers.
 */
#ifndef FLUXPIN_ANNOUNCE_H
#define FLUXPIN_ANNOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>

/*
 * The number that fluxpin's neighbour entries have, too. Of /etc/iproute2/rt_protos, BIRD (12),
 * FRR (186 to 199) and systemd-networkd (4, 16) none has it.
 */
#define ANNOUNCE_PROTOCOL 213

/* By which a daemon that does not tell protocols apart may recognise the routes (FRR). It also
 * keeps them apart from other routes of the same prefixes. */
#define ANNOUNCE_METRIC 213

struct announce;

/*
 * Takes the table, removes what an earlier process left in it, and starts the guard. Waits up to
 * 1 s for an earlier process to let go of the table. Returns 0, or negative errno after logging:
 * -EBUSY when another process has the table.
 */
int announce_open(uint32_t table, struct announce **announce);

uint32_t announce_table(const struct announce *announce);

/*
 * Has exactly these prefixes announced, `count` of them in any order, each once. Withdraws before
 * it adds. What the kernel refuses is logged, once, and tried again by announce_refresh. Returns 0
 * or -ENOMEM, and then what was announced still is.
 */
int announce_set(struct announce *announce, const struct prefix *prefixes, uint32_t count);

/* Withdraws everything; needs no memory. */
void announce_withdraw(struct announce *announce);

/* Whether the kernel has the prefix's route, as far as is known. */
bool announce_has(const struct announce *announce, const struct prefix *prefix);

/* How many routes there are. */
uint32_t announce_count(const struct announce *announce);

/* By address, then length: for qsort. */
int prefix_compare(const void *left, const void *right);

/*
 * Reads what the kernel has reported meanwhile, without waiting, and puts back routes that somebody
 * removed. To be called often. Returns 0 or negative errno of the listening socket.
 */
int announce_drain(struct announce *announce);

/*
 * Compares with the kernel's table and mends what differs; restarts the guard if it is gone. To be
 * called every few seconds.
 */
void announce_refresh(struct announce *announce);

/* Withdraws everything and lets go of the table and the guard. NULL is allowed. */
void announce_close(struct announce *announce);

/*
 * Removes what a process that is no more left in the table; *removed is how many. Returns 0, -EBUSY
 * when a process that lives has the table, or another negative errno.
 */
int announce_remove_leftovers(uint32_t table, uint32_t *removed);

/*
 * The guard's whole life: waits for the end of standard input, a pipe that the process it guards
 * has the other end of, and removes what is left in the table. Signals that end processes are
 * ignored meanwhile: they may be meant for both. Returns as announce_remove_leftovers.
 */
int announce_guard(uint32_t table);

#endif
