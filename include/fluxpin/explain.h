/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Explain: what becomes of the first packet of a flow, and why, from a configuration alone. The
 * pipeline itself decides, over a packet that is made up for the flow: a TCP SYN, a UDP datagram
 * without data, an ICMP or ICMPv6 echo request without data, or a bare IP header for other
 * protocols; TTL 64, DSCP 0.
 *
 * Thread: any one. Allocates.
 */
#ifndef FLUXPIN_EXPLAIN_H
#define FLUXPIN_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/configuration.h>
#include <fluxpin/encapsulation.h>
#include <fluxpin/forwarding_builder.h>
#include <fluxpin/verdict.h>

struct explained_flow {
	uint8_t protocol; /* 1 to 255; ICMP of the addresses' family: an echo request */
	struct address source;
	struct address destination;
	uint16_t source_port; /* host order; 0 for all but TCP and UDP */
	uint16_t destination_port;
};

/* Why a VIP is not the one, or that it is. */
enum explained_match {
	EXPLAINED_CHOSEN,
	EXPLAINED_OTHER_ADDRESS,
	EXPLAINED_OTHER_PROTOCOL,
	EXPLAINED_OTHER_PORT,
	EXPLAINED_LESS_SPECIFIC, /* it matches too, and another one matches more closely */
	EXPLAINED_OTHER_ECHO,	 /* it has the address, and another one's icmp_echo counts */
};

struct explanation {
	enum explained_match *vips; /* of the configuration's VIPs */
	bool is_tunnel; /* ends here (decapsulation.h): what is inside is matched; nothing below */
	enum verdict verdict;
	enum drop_reason reason; /* of VERDICT_DROP */
	bool has_vip;
	uint32_t vip;	    /* index into the configuration's VIPs */
	bool is_selected;   /* for a backend of the VIP's pool: the fields below are set */
	uint64_t flow_hash; /* by which a worker tracks it */
	uint64_t hash; /* that chooses the slot: with affinity "source" of the addresses alone */
	uint32_t slot;
	bool has_backend;	/* the fields below are set when it has */
	uint32_t backend;	/* index into the pool's backends */
	uint32_t packet_length; /* of the packet that was made up, bytes from its IP header */
	uint8_t header[ENCAPSULATION_MAX_HEADER]; /* in front of that packet, behind Ethernet */
	uint32_t header_length;			  /* 0 for l2 */
};

/*
 * Reads "tcp 198.51.100.7:40000 203.0.113.10:80", IPv6 addresses in brackets, or, of a protocol
 * without ports, "esp 198.51.100.7 203.0.113.10". The protocol is a name or a number.
 * Returns 0, or -EINVAL with a message in *error (static).
 */
int explain_parse(const char *text, struct explained_flow *flow, const char **error);

/* The name of a protocol as explain_parse takes it; NULL for one that has only a number. */
const char *explain_protocol_name(uint8_t protocol);

/* Returns 0 with *explanation filled in (release it), or negative errno. */
int explain_flow(const struct configuration *configuration, const struct explained_flow *flow,
		 struct explanation *explanation);

/*
 * The same by the tables and state that are in use, of this configuration: what the backends may do
 * now counts, and so do the next hops, of the first interface. Thread: control.
 */
int explain_flow_now(const struct configuration *configuration,
		     const struct forwarding_tables *tables, const struct forwarding_state *state,
		     const struct explained_flow *flow, struct explanation *explanation);
void explanation_release(struct explanation *explanation);

/* "another address", ... */
const char *explained_match_text(enum explained_match match);

#endif
