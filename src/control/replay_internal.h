/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files replay*.c share. */
#ifndef FLUXPIN_REPLAY_INTERNAL_H
#define FLUXPIN_REPLAY_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <fluxpin/backend_overrides.h>
#include <fluxpin/capture.h>
#include <fluxpin/forwarding_builder.h>
#include <fluxpin/memory.h>
#include <fluxpin/pipeline.h>
#include <fluxpin/replay.h>

/* replay_events.c: control events, in the order of their times. */

enum replay_action {
	REPLAY_DOWN,
	REPLAY_UP,
	REPLAY_DRAIN,
	REPLAY_UNDRAIN,
	REPLAY_RELOAD,
};

struct replay_event {
	uint64_t offset_ns; /* from the first frame */
	enum replay_action action;
	char *pool; /* of down, up, drain, undrain */
	char *backend;
	struct configuration *configuration; /* of reload; taken over when it is applied */
};

struct replay_events {
	struct replay_event *entries;
	uint32_t count;
};

/* Reads FILE; the configurations that it names are read and validated too. Prints what is wrong
 * to standard error. Returns 0 or negative errno. */
int replay_events_read(const char *file, struct replay_events *events);
void replay_events_release(struct replay_events *events);

/* replay_port.c: a port that holds one frame at a time. */

struct replay_port {
	struct port port;
	uint8_t *buffer; /* headroom and one frame */
	uint32_t length; /* of the frame */
	bool offered;	 /* and not yet received */
	uint64_t number; /* of the frame in the file, from 1 */
	uint64_t time_ns;
	uint8_t destination_mac[6]; /* as it came in */
	uint8_t source_mac[6];
	struct capture_writer *output; /* each may be NULL */
	struct capture_writer *slow_path;
	FILE *drops;
};

int replay_port_open(struct replay_port *port);
void replay_port_close(struct replay_port *port);

/* Puts a frame in, for the next receive. Returns -EMSGSIZE when it is too long for any link. */
int replay_port_offer(struct replay_port *port, const struct captured_frame *frame,
		      uint64_t number);

#endif
