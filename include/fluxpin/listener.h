/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An HTTP listener on a loopback address, on the control thread's event loop: /metrics for
 * Prometheus, /healthz for supervisors, / for people (src/control/status.html). It only reads;
 * there is no authentication, which is why the configuration takes loopback addresses alone.
 *
 * Clients are not trusted to be quick or sane: there are at most LISTENER_CONNECTIONS of them, the
 * oldest makes room for a new one, each has until a deadline for its one request, and what all of
 * them make the daemon render and hold is bounded (listener_pages.c).
 *
 * Thread: control. Does not block, but for what the functions of the options do.
 */
#ifndef FLUXPIN_LISTENER_H
#define FLUXPIN_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include <fluxpin/configuration.h>

#define LISTENER_CONNECTIONS 64
#define LISTENER_REASON_SIZE 128

struct listener;

struct listener_options {
	uv_loop_t *loop;
	uint64_t deadline_ms; /* from a client's connection to the end of its answer */
	const void *context;  /* given to the functions */

	/* Writes the metrics into memory, which the listener frees. Returns 0 or negative errno. */
	int (*render)(const void *context, char **text, size_t *length);

	/* Whether all is well; if not, why, in a line without its end. */
	bool (*is_healthy)(const void *context, char reason[static LISTENER_REASON_SIZE]);
};

/* Makes a listener that listens nowhere. Returns 0 or -ENOMEM. */
int listener_open(const struct listener_options *options, struct listener **listener);

/*
 * Listens there, or nowhere (port 0), in place of where it did before; clients of the old address
 * are cut off, unless it is the same. Returns 0, or negative errno, that of socket, bind or listen
 * or -ENOMEM: then it goes on where it was.
 */
int listener_listen(struct listener *listener, const struct listen_address *where);

/* Cuts all clients off. The loop has to run once more, to close its handles. NULL is allowed. */
void listener_close(struct listener *listener);

#endif
