/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mixes of traffic that can be measured: what the packets are, and what has to become of them
 * (check.h), so that a figure is of what its name says.
 */
#ifndef FLUXPIN_BENCH_MIX_H
#define FLUXPIN_BENCH_MIX_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum mix_outcome {
	OUTCOME_HIT,	   /* forwarded by the connection table */
	OUTCOME_NEW,	   /* forwarded by Maglev; each inserted, and another entry evicted */
	OUTCOME_SYN,	   /* forwarded by Maglev; the entry is found and written again */
	OUTCOME_UNTRACKED, /* forwarded by Maglev alone */
	OUTCOME_MISS,	   /* for no VIP: to the kernel */
};

struct mix {
	const char *name;
	const char *summary;
	uint8_t protocol;  /* IPPROTO_TCP or IPPROTO_UDP */
	uint8_t tcp_flags; /* 0 for UDP */
	bool is_ipv6;	   /* unless --inner says otherwise */
	bool is_endless;   /* no flow comes twice */
	bool tracking;	   /* of the VIP */
	enum mix_outcome outcome;
};

/* NULL when there is none of that name. */
const struct mix *mix_find(const char *name);

/* A line for each: its name and summary. */
void mix_print_all(FILE *stream);

#endif
