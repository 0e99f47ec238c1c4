/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parsing: from the bytes of a frame to the fields that the pipeline decides on. Nothing is
 * written to the frame and nothing outside [data, data + length) is read.
 *
 * Only what is needed to know the destination is checked here (Ethernet, IPv4: RFC 791 section
 * 3.1). The TCP and UDP headers are checked by packet_parse_transport, when the packet turned out
 * to be for a VIP: what is not for a VIP is the kernel's to judge.
 *
 * Thread: worker. No function here blocks or allocates.
 */
#ifndef FLUXPIN_PACKET_H
#define FLUXPIN_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/port.h>
#include <fluxpin/verdict.h>

#define ETHERNET_HEADER_LENGTH 14
#define IPV4_HEADER_LENGTH     20 /* without options */

enum packet_kind {
	PACKET_MALFORMED, /* drop for packet->reason */
	PACKET_OTHER,	  /* not IPv4, or not addressed to this station: for the kernel */
	PACKET_IPV4,
};

/* One packet of a batch, from parsing to its verdict. One cache line, owned by the worker. */
struct packet {
	struct frame frame;
	uint64_t hash;	    /* of the flow; set once the packet is known to be for a VIP */
	uint32_t source_be; /* IPv4 addresses and ports, network order */
	uint32_t destination_be;
	uint16_t source_port_be; /* 0 for what has no ports */
	uint16_t destination_port_be;
	uint16_t l3_offset; /* from data */
	uint16_t l4_offset;
	uint16_t l3_length;    /* bytes of the IP packet, without link padding */
	uint8_t protocol;      /* IPPROTO_* */
	uint8_t traffic_class; /* DSCP and ECN */
	uint8_t tcp_flags;     /* TCP_FLAG_*; 0 for other protocols */
	bool is_fragment;      /* any fragment, the first one too */
	uint8_t verdict;       /* enum verdict */
	uint8_t reason;	       /* enum drop_reason, when dropped */
	uint16_t backend;      /* index, when forwarded */
	uint16_t vip;	       /* index */
} __attribute__((aligned(64)));

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10

/*
 * Parses packet->frame up to the transport header and fills in the rest, except hash, backend and
 * vip. `mac` is the station's address in network order; frames to another unicast address are
 * PACKET_OTHER, as are broadcasts and multicasts. NULL takes every unicast destination (replay).
 */
enum packet_kind packet_parse(struct packet *packet, const uint8_t *mac);

/*
 * Reads ports and TCP flags of a PACKET_IPV4 that is no fragment, if they lie within the packet.
 * Returns false when they do not (the ports are then 0).
 */
bool packet_parse_ports(struct packet *packet);

/*
 * Checks the transport header of a packet whose ports were read: TCP data offset within the
 * packet (RFC 9293 section 3.1), UDP length at least 8 and within the packet (RFC 768).
 * Returns false with packet->reason set.
 */
bool packet_check_transport(struct packet *packet);

/* The Internet checksum (RFC 1071) of `length` bytes (even), as it lies in memory; 0 when a header
 * that contains a right checksum is summed. */
uint16_t packet_checksum(const void *data, uint32_t length);

#endif
