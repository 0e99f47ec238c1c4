/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets of a probe: a TCP SYN or RST from this host to a VIP, and what the answers to it say.
 * Pure functions over memory. Thread: any.
 */
#ifndef FLUXPIN_PROBE_PACKET_H
#define FLUXPIN_PROBE_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>

#define PROBE_PACKET_SIZE 1500

struct probe_flow {
	struct address source;
	struct address vip;   /* of the same family */
	uint16_t source_port; /* host order */
	uint16_t vip_port;
	uint32_t sequence; /* of the SYN */

	/* Of the packet around it, to know reports about that by; zero with l2. */
	struct address outer_source;
	struct address outer_destination;
};

enum probe_answer_kind {
	PROBE_OTHER, /* nothing of the probe's */
	PROBE_SYN_ACK,
	PROBE_RESET,
	PROBE_ERROR, /* an ICMP error about it */
};

struct probe_answer {
	enum probe_answer_kind kind;
	struct address from;
	bool is_ipv6;
	bool is_about_outer; /* the error quotes the packet around it */
	uint8_t type;	     /* of the ICMP error */
	uint8_t code;
};

/* Writes a SYN, with so many bytes of data that the packet has `length` bytes where that is longer
 * than the headers. Returns the packet's length. */
uint32_t probe_build_syn(const struct probe_flow *flow, uint32_t length,
			 uint8_t packet[static PROBE_PACKET_SIZE]);

/* Writes the RST that ends the connection. Returns the packet's length. */
uint32_t probe_build_reset(const struct probe_flow *flow, uint8_t packet[static PROBE_PACKET_SIZE]);

/* What an IP packet that arrived says of the probe. */
struct probe_answer probe_read(const struct probe_flow *flow, const uint8_t *packet,
			       uint32_t length);

/* The error in words: "protocol unreachable", ... */
const char *probe_report_text(const struct probe_answer *answer);

/* Whether the error means that nobody takes tunnel packets at the address: an unknown protocol, or
 * a UDP port without listener. */
bool probe_is_no_tunnel(const struct probe_answer *answer);

#endif
