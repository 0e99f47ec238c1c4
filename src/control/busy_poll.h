/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Busy polling: what keeps it from doing what it is for, in words that the log, `warnings` and the
 * doctor share. Thread: start-up and control.
 */
#ifndef FLUXPIN_BUSY_POLL_H
#define FLUXPIN_BUSY_POLL_H

#include <stdint.h>

#include <fluxpin/interface.h>

enum busy_poll_fault {
	BUSY_POLL_WELL,
	BUSY_POLL_NOT_DEFERRED,	     /* interrupts come on after every poll */
	BUSY_POLL_DEFERRED_BRIEFLY,  /* they come on between two polls of a busy worker */
	BUSY_POLL_DEFERRED_FOR_LONG, /* a packet that comes while nobody polls waits too long */
	BUSY_POLL_NO_NAPI,	     /* the kernel has nothing to poll for the socket */
	BUSY_POLL_NAPI_GONE,	     /* the driver has made another one since */
};

struct busy_poll_finding {
	enum busy_poll_fault fault;
	struct interface_deferral deferral; /* of the three that are about it */
};

struct busy_poll_finding busy_poll_judge(const struct interface_deferral *deferral);

/* A clause that says what is wrong. */
const char *busy_poll_describe(const struct busy_poll_finding *finding, char buffer[static 256]);

/* The commands that mend it, for a shell, or NULL where none do. */
const char *busy_poll_command(const struct busy_poll_finding *finding, const char *interface,
			      char buffer[static 256]);

#endif
