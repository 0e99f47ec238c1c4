/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only one process of a network namespace may have: an abstract Unix socket (unix(7)) belongs
 * to the namespace, as NICs and routing tables do, and goes away with the process however that
 * ends. Any process of the namespace may take a name, so this keeps fluxpins apart and nothing
 * else.
 *
 * Thread: control.
 */
#ifndef FLUXPIN_PROCESS_LOCK_H
#define FLUXPIN_PROCESS_LOCK_H

/* Takes the lock of this name, at most 100 bytes; *lock is a descriptor, to be closed. Returns 0;
 * -EBUSY when another process has it; another negative errno. */
int process_lock_take(const char *name, int *lock);

#endif
