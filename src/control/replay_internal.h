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

/* replay_port.c: ports that are offered one frame at a time. */

/* The longest frame that libpcap reads. */
#define REPLAY_LONGEST 262144

/* What the ports of all workers share. Frames are known by their number in the file, from 1. */
struct replay_frames {
	uint8_t (*macs)[12]; /* destination and source as they came in, by number - 1 */
	uint64_t count;
	uint64_t capacity;
	uint64_t time_ns;	       /* of the frame that is worked on */
	struct capture_writer *output; /* each may be NULL */
	struct capture_writer *slow_path;
	FILE *drops;
};

/* Adds the next frame of the file and makes its time the current one. Returns 0 or -ENOMEM. */
int replay_frames_add(struct replay_frames *frames, const struct captured_frame *frame);
void replay_frames_release(struct replay_frames *frames);

struct replay_port {
	struct port port;
	struct replay_frames *frames;
	uint8_t **buffers; /* of frames */
	uint16_t *free;	   /* stack of the indexes of free buffers */
	uint32_t buffer_count;
	uint32_t free_count;
	struct frame frame;
	bool offered; /* the frame, which was not yet received */
};

int replay_port_open(struct replay_port *port, struct replay_frames *frames);
void replay_port_close(struct replay_port *port);

/* Puts the frame that was added last in, for the next receive. Returns -EMSGSIZE when it is too
 * long for any link, or -ENOMEM. */
int replay_port_offer(struct replay_port *port, const struct captured_frame *frame);

/* replay_files.c: the capture files, and the list of what was dropped. */

/* Prints "FILE: MESSAGE" to standard error. Returns -EINVAL. */
int replay_complain(const char *file, const char *message);

/* What fails is printed; what was opened is to be closed all the same. Return 0 or -EINVAL. */
int replay_files_open(const struct replay_options *options, struct capture_reader **input,
		      struct replay_frames *frames);
int replay_files_close(const struct replay_options *options, struct capture_reader *input,
		       struct replay_frames *frames);

/* replay_workers.c: the pipelines. */

/* A pipeline with what the daemon's worker would have. */
struct replay_worker {
	struct replay_port port;
	struct connection_table connections;
	struct fragment_table fragments;
	struct inbox inbox;
	struct memory memory; /* of the connection table */
	struct memory fragment_memory;
	struct memory inbox_memory;
	struct counters counters;
	struct pipeline pipeline;
};

struct replay_workers {
	struct replay_worker *list;
	uint32_t count;
	struct inbox **inboxes;	      /* of the workers; NULL when there is one alone */
	struct traffic_counter *vips; /* by index, of all workers */
	struct traffic_counter *backends;
};

/* Returns 0 or negative errno; *workers, zeroed before, is to be closed in either case. */
int replay_workers_open(const struct configuration *configuration, uint32_t count,
			struct replay_frames *frames, struct replay_workers *workers);
void replay_workers_close(struct replay_workers *workers);

/* The worker that a frame goes to, as RSS would choose: by the 5-tuple, fragments by addresses. */
uint32_t replay_workers_choose(const struct replay_workers *workers,
			       const struct captured_frame *frame);

/* Runs that worker, and then all until nothing is left to do: what one hands over, another one
 * takes. */
void replay_workers_run(struct replay_workers *workers, uint32_t first,
			const struct forwarding *forwarding, uint64_t clock_ns);

void replay_workers_add_counters(const struct replay_workers *workers, struct counters *sum);

/* replay_traffic.c: moves the counters of a configuration, by index, to the result, by name.
 * Returns 0 or -ENOMEM. */
int replay_collect_traffic(const struct configuration *configuration,
			   const struct forwarding_tables *tables, struct traffic_counter *vips,
			   struct traffic_counter *backends, struct replay_result *result);

#endif
