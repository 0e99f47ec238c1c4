/* SPDX-License-Identifier: BSD-2-Clause */
/* What "fluxpin-bench traffic" is asked for. */
#ifndef FLUXPIN_BENCH_TRAFFIC_OPTIONS_H
#define FLUXPIN_BENCH_TRAFFIC_OPTIONS_H

#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct traffic_options {
	const char *interface; /* sends and receives */
	struct ether_addr mac; /* of who is to forward */
	struct in_addr vip;
	uint32_t port;
	uint32_t flows;
	uint32_t rate;	 /* packets per second; 0: as many as can be sent */
	uint32_t window; /* packets under way at most; 0: no limit */
	uint32_t cpu;
	double seconds;
	double warm_up;
	bool has_cpu;
	bool is_json;
};

/* Reads the command line, as arguments_read. */
int traffic_options_read(int argc, char **argv, struct traffic_options *options);

#endif
