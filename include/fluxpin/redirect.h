/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The redirect program on one NIC: attached with libxdp, with a socket map that has a place per
 * queue. Also the lock that lets one fluxpin alone serve a NIC.
 *
 * Thread: control. All functions make system calls and may allocate.
 */
#ifndef FLUXPIN_REDIRECT_H
#define FLUXPIN_REDIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>
#include <fluxpin/decapsulation.h>
#include <fluxpin/interface.h>

struct redirect; /* owned by the control thread */

/*
 * Attaches the program to the NIC: natively, or generic when `generic` is set. First it takes the
 * NIC's lock and removes what a killed fluxpin left attached; programs of others are left alone.
 * only_vips: frames that are for no VIP (redirect_set_vips, redirect_set_tunnels) are passed to the
 * kernel by the program itself.
 * Returns 0, or negative errno after logging the reason: -EBUSY when another fluxpin or another
 * XDP program has the NIC, -EOPNOTSUPP when the driver has no native XDP (logged at debug level
 * only: the caller may go down the ladder).
 */
int redirect_attach(const struct interface *nic, uint32_t queue_count, bool generic, bool only_vips,
		    struct redirect **redirect);

/* Gives queue's frames to an AF_XDP socket; remove: to the kernel again. 0 or negative errno. */
int redirect_set_socket(struct redirect *redirect, uint32_t queue, int socket);
int redirect_remove_socket(struct redirect *redirect, uint32_t queue);

/*
 * Replaces the VIP prefixes: adds the new ones first, then removes those that are gone, so no VIP
 * is without service in between. Returns 0 or negative errno (the old ones then stay as well).
 */
int redirect_set_vips(struct redirect *redirect, const struct prefix *prefixes, uint32_t count);

/*
 * Replaces what the program knows of tunnels, in the same way: those that end here (NULL: none),
 * and the source addresses of our own, source_count of them, at most FORWARDING_MAX_SOURCES.
 * Redirected are then, beside packets to VIPs, those that a listed source sends in a tunnel to a
 * VIP, and the reports of routers that a tunnel packet of ours to a VIP is too big. Returns 0 or
 * negative errno.
 */
int redirect_set_tunnels(struct redirect *redirect, const struct decapsulation *ends,
			 const struct address *sources, uint32_t source_count);

/* Read back from the kernel: whether the attached program is ours and native. */
bool redirect_is_native(const struct redirect *redirect);

/* Read back from the kernel: whether the NIC still carries our program. */
bool redirect_is_attached(const struct redirect *redirect);

/* Detaches our program, and only ours; releases the lock. NULL is allowed. */
void redirect_detach(struct redirect *redirect);

/* What XDP programs are on a NIC, for who only looks. */
enum redirect_attached {
	REDIRECT_NONE,
	REDIRECT_OURS,	     /* the program of a fluxpin, by itself or in libxdp's dispatcher */
	REDIRECT_DISPATCHER, /* a dispatcher without a program of ours */
	REDIRECT_FOREIGN,
	REDIRECT_UNKNOWN, /* there is one; which, may not be read (CAP_SYS_ADMIN) */
};

#define REDIRECT_NAME_SIZE 64

struct redirect_presence {
	enum redirect_attached attached;
	bool is_generic;
	bool is_shared;		       /* ours, with others in the same dispatcher */
	uint32_t program_id;	       /* what the kernel has on the NIC: ours, or the dispatcher */
	char name[REDIRECT_NAME_SIZE]; /* of the program of others */
	bool is_locked;		       /* a fluxpin that lives has the NIC */
};

/* Returns 0 or negative errno; changes nothing. */
int redirect_inspect(const struct interface *nic, struct redirect_presence *presence);

#endif
