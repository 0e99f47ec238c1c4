/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP requests over new connections, from one thread: GET, "Connection: close", until the server
 * has closed. With a rate, a request is due at its time whether those before have been answered or
 * not (an open loop), and its latency counts from then, also when it had to wait for one of the
 * connections: a server that stalls shows in every request of that time. Without, each
 * connection is followed by the next, and latency counts from its start.
 */
#ifndef FLUXPIN_BENCH_REQUESTS_RUN_H
#define FLUXPIN_BENCH_REQUESTS_RUN_H

#include <stdint.h>

#include <netinet/in.h>

struct requests_plan {
	struct sockaddr_in server;
	const char *path;
	double rate;	   /* requests due a second; 0 for as many as there can be */
	uint32_t parallel; /* connections at a time, at most */
	double seconds;	   /* in which requests are due; answers are waited for after that, too */
};

/* `late`: not answered within REQUESTS_PATIENCE_SECONDS of the end; `refused`: no connection;
 * `wrong`: a connection that broke, or another answer than 200. */
struct requests_outcome {
	double *latency_us; /* of those answered, sorted */
	uint32_t answered;
	uint32_t refused;
	uint32_t wrong;
	uint32_t late;
	double seconds; /* until the last answer, or the end */
};

#define REQUESTS_PATIENCE_SECONDS 10

/* Blocks for as long as it takes. The caller frees latency_us. Returns 0 or a negative errno. */
int requests_run(const struct requests_plan *plan, struct requests_outcome *outcome);

#endif
