/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon: devices, workers, the control loop with its signals, timers and netlink socket.
 */
#ifndef FLUXPIN_DAEMON_H
#define FLUXPIN_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/configuration.h>

struct daemon_options {
	const char *configuration_file;
	/* From the command line, in place of those in the file; taken over by daemon_run. */
	struct interface_configuration *interfaces;
	uint32_t interface_count;
	const enum xdp_mode *mode; /* for every interface; NULL: what the file says */
	bool busy_poll;		   /* on every interface; else what the file says */
	const char *metrics_file;  /* NULL: what the file says */
	const char *control;	   /* path of the control socket; NULL: what the file says */
};

/*
 * Runs until SIGTERM or SIGINT. SIGHUP reads the configuration again. Returns 0 after a clean stop,
 * or negative errno after logging why it could not start or go on; nothing is left behind either
 * way.
 */
int daemon_run(const struct daemon_options *options);

#endif
