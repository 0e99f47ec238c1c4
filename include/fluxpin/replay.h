/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replay: the daemon's pipeline over a capture file, without a NIC. Frames are taken one by one in
 * the file's order, and its times are the only clock, so two runs give the same bytes.
 *
 * Thread: one; blocks on files, allocates.
 */
#ifndef FLUXPIN_REPLAY_H
#define FLUXPIN_REPLAY_H

#include <stdint.h>

#include <fluxpin/configuration.h>
#include <fluxpin/counters.h>

struct replay_options {
	const char *configuration_file;
	const char *input;     /* capture file */
	const char *output;    /* frames sent, or NULL */
	const char *slow_path; /* frames for the kernel, bit for bit, or NULL */
	const char *drops;     /* CSV of dropped frames, or NULL */
	const char *events;    /* control events, or NULL */
	uint32_t workers;      /* pipelines, 1 to 1024 */
	uint32_t mtu;	       /* egress, bytes */
};

/* Traffic by name; what a reload removed stays listed. */
struct replay_traffic {
	char *pool; /* NULL for VIPs */
	char *name;
	uint64_t frames;
	uint64_t bytes;
};

struct replay_result {
	struct counters counters; /* of all workers together */
	struct replay_traffic *vips;
	struct replay_traffic *backends;
	uint32_t vip_count;
	uint32_t backend_count;
};

/*
 * Runs it. Returns 0 with *result filled in (release it), or negative errno after saying on
 * standard error what is wrong with which file.
 */
int replay_run(const struct replay_options *options, struct replay_result *result);
void replay_result_release(struct replay_result *result);

#endif
