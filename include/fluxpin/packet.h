/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parsing: from the bytes of a frame to the fields that the pipeline decides on. Nothing is
 * written to the frame and nothing outside [data, data + length) is read.
 *
 * Only what is needed to know the destination is checked here (Ethernet, IPv4: RFC 791 section
 * 3.1, IPv6: RFC 8200 section 3). The TCP and UDP headers are checked by packet_check_transport,
 * when the packet turned out to be for a VIP: what is not for a VIP is the kernel's to judge.
 *
 * Thread: worker. No function here blocks or allocates.
 */
#ifndef FLUXPIN_PACKET_H
#define FLUXPIN_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>
#include <fluxpin/port.h>
#include <fluxpin/verdict.h>

#define ETHERNET_HEADER_LENGTH 14u
#define VLAN_TAG_LENGTH	       4u
#define IPV4_HEADER_LENGTH     20 /* without options */
#define IPV6_HEADER_LENGTH     40
#define FRAGMENT_HEADER_LENGTH 8 /* of IPv6 */

enum packet_kind {
	PACKET_MALFORMED, /* drop for packet->reason */
	PACKET_OTHER,	  /* not IP, or not addressed to this station: for the kernel */
	PACKET_IPV4,
	PACKET_IPV6,
};

/* What another worker, which handed the packet over, has on record of its flow. */
struct flow_record {
	bool is_known;	     /* an entry that leads to: */
	uint16_t backend;    /* index */
	uint16_t generation; /* of that index */
};

/* One packet of a batch, from parsing to its verdict. One cache line, owned by the worker. */
struct packet {
	struct frame frame;
	union {
		uint64_t hash; /* of the flow; set once the packet is known to be for a VIP */
		struct flow_record record; /* until then, of one that was handed over */
	};
	uint32_t source_be; /* IPv4 addresses, network order; those of IPv6 stay in the frame */
	uint32_t destination_be;
	uint16_t source_port_be; /* network order; 0 for what has no ports */
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
	bool is_ipv6;
	uint8_t tag_count; /* VLAN tags, at most PACKET_MAX_TAGS; they follow the MAC addresses */
	uint8_t flags;	   /* PACKET_* below */
	uint8_t hops;	   /* how often it was handed over; see pipeline_fragments.c */
} __attribute__((aligned(64)));

#define PACKET_MAX_TAGS 2

/* A VLAN tag of priority 0 (IEEE 802.1Q section 9.6). Numbers in host order. */
struct vlan_tag {
	uint16_t protocol; /* the TPID: 0x8100 or 0x88a8 */
	uint16_t id;	   /* 0 to 4095 */
};

/* How the packet came. */
#define PACKET_DECAPSULATED 0x01 /* l3_offset is that of the packet inside a tunnel's */
#define PACKET_REDIRECTED   0x02 /* by another load balancer of the cluster */

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
 * The same from packet->l3_offset on, where an IP header of that family is to stand: for a packet
 * inside another one. Tags and flags stay as they are.
 */
enum packet_kind packet_parse_ip(struct packet *packet, bool is_ipv6);

/*
 * Walks the extension headers of a PACKET_IPV6 (RFC 8200 section 4: hop-by-hop, routing, fragment,
 * destination options; at most 8) up to the transport header, or one that ends the walk. Sets
 * protocol, l4_offset and is_fragment; an atomic fragment (RFC 6946) is none.
 * Returns false with packet->reason set when the chain is cut off or longer; protocol and l4_offset
 * are then those of the first header that could not be read.
 */
bool packet_walk_extensions(struct packet *packet);

/*
 * Whether what a walked PACKET_IPV6 goes on with is an extension header of a type that is not
 * walked: where the packet's own protocol begins behind it, nobody here can tell (IANA, "IPv6
 * Extension Header Types").
 */
bool packet_has_unknown_extension(const struct packet *packet);

/* Source and destination in the form of address.h; both of IPv6 as they stand, 32 bytes. */
struct address packet_source(const struct packet *packet);
struct address packet_destination(const struct packet *packet);
const uint8_t *packet_ipv6_addresses(const struct packet *packet);

/*
 * Reads ports and TCP flags of an IP packet that is no fragment, if they lie within the packet.
 * Returns false when they do not (the ports are then 0).
 */
bool packet_parse_ports(struct packet *packet);

/*
 * Checks the transport header of a packet whose ports were read: TCP data offset within the
 * packet (RFC 9293 section 3.1), UDP length at least 8 and within the packet (RFC 768).
 * Returns false with packet->reason set.
 */
bool packet_check_transport(struct packet *packet);

/* The Internet checksum (RFC 1071) of `length` bytes, as it lies in memory; 0 when a header
 * that contains a right checksum is summed. */
uint16_t packet_checksum(const void *data, uint32_t length);

/*
 * The same of a transport header and payload of `length` bytes (at most 65535) with the
 * pseudo-header (RFC 768, RFC 8200 section 8.1): `addresses` are source and destination, 8 bytes
 * of IPv4 or 32 of IPv6.
 */
uint16_t packet_transport_checksum(const uint8_t *addresses, uint32_t addresses_length,
				   uint8_t protocol, const void *data, uint32_t length);

#endif
