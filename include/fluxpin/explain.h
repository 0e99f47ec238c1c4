/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Explain: what the pipeline decides for one flow, and why, from a configuration alone. The
 * decision itself is taken by the data plane's own functions.
 *
 * Thread: any one. Allocates.
 */
#ifndef FLUXPIN_EXPLAIN_H
#define FLUXPIN_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/configuration.h>
#include <fluxpin/encapsulation.h>

struct explained_flow {
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	struct address source;
	struct address destination;
	uint16_t source_port; /* host order */
	uint16_t destination_port;
};

/* Why a VIP is not the one, or that it is. */
enum explained_match {
	EXPLAINED_CHOSEN,
	EXPLAINED_OTHER_ADDRESS,
	EXPLAINED_OTHER_PROTOCOL,
	EXPLAINED_OTHER_PORT,
	EXPLAINED_LESS_SPECIFIC, /* it matches too, and another one matches more closely */
};

struct explanation {
	enum explained_match *vips; /* of the configuration's VIPs */
	bool is_for_vip;	    /* the fields below are set when it is */
	uint32_t vip;		    /* index into the configuration's VIPs */
	uint64_t
		hash; /* that the slot is chosen by: of the addresses alone for affinity "source" */
	uint32_t slot;
	bool has_backend;		/* the fields below are set when it has */
	uint32_t backend;		/* index into the pool's backends */
	struct destination destination; /* with MAC addresses of zeros */
};

/*
 * Reads "tcp 198.51.100.7:40000 203.0.113.10:80"; IPv6 addresses stand in brackets.
 * Returns 0, or -EINVAL with a message in *error (static).
 */
int explain_parse(const char *text, struct explained_flow *flow, const char **error);

/* Returns 0 with *explanation filled in (release it), or negative errno. */
int explain_flow(const struct configuration *configuration, const struct explained_flow *flow,
		 struct explanation *explanation);
void explanation_release(struct explanation *explanation);

/* "another address", ... */
const char *explained_match_text(enum explained_match match);

#endif
