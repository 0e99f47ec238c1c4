/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Encapsulation: an outer header, prepared per backend by the control thread and copied in front
 * of each packet by the worker, over the old Ethernet header and the headroom. The inner packet is
 * never touched. Every encapsulation carries both families of inner packets, over either family.
 *
 * Outer IPv4: TTL 64, DF set with identification 0 (RFC 6864 section 4.1), no options. Outer IPv6:
 * hop limit 64, flow label 0, no extension headers. DSCP and ECN are copied from the inner header
 * (RFC 2983, RFC 6040 section 4.1).
 *
 *     gre    RFC 2784, neither checksum nor key: 4 bytes
 *     ipip   IPv4 in IPv4 (RFC 2003), IPv6 in IPv6 and IPv4 in IPv6 (RFC 2473), IPv6 in IPv4
 *            (RFC 4213): nothing between the headers
 *     gue    variant 0 of draft-ietf-intarea-gue over UDP port 6080, no options: 8 + 4 bytes. The
 *            source port is of the flow hash, 49152 to 65535. The UDP checksum is 0, as RFC 6935
 *            and 6936 allow over IPv6, unless it is asked for.
 *     l2     no outer header: the frame goes to the backend's MAC address
 *
 * In front of all of it stand the VLAN tags of the way out, or none. Where it is not known (a load
 * balancer that has no VLAN devices is on one arm of a switch), the packet's own are kept.
 */
#ifndef FLUXPIN_ENCAPSULATION_H
#define FLUXPIN_ENCAPSULATION_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>
#include <fluxpin/packet.h>

#define ENCAPSULATION_MAX_HEADER 96 /* Ethernet included */
#define ENCAPSULATION_GUE_PORT	 6080

/* The recursion control field of GRE (RFC 1701). 1 is the last of its bits, which RFC 2784 section
 * 2.3 lets receivers ignore; the others would make them discard the packet. */
#define ENCAPSULATION_GRE_RECURSION 0x0700
#define ENCAPSULATION_GRE_ONCE	    0x0100

/* In place of the length of a packet that does not follow its Ethernet header at once: above every
 * bare_limit. */
#define ENCAPSULATION_NOT_BARE UINT16_MAX

enum encapsulation {
	ENCAPSULATION_GRE,
	ENCAPSULATION_IPIP,
	ENCAPSULATION_GUE,
	ENCAPSULATION_L2,
};

enum destination_state {
	DESTINATION_ABSENT,	/* the index is not in use */
	DESTINATION_UNRESOLVED, /* no next hop known */
	DESTINATION_READY,
};

/*
 * How to reach one backend through one interface. The first cache line holds all that a hit
 * reads for outer IPv4 without tags. Immutable once published.
 */
struct destination {
	uint16_t generation; /* of this backend index */
	uint16_t pool;	     /* index of its pool */
	/* The largest inner IP packet for which `header` is all that is to be written:
	 * packet_limit, but below NOT_BARE, and 0 under tags and where not READY. */
	uint16_t bare_limit;
	uint8_t kind;	   /* encapsulation and outer family in one number */
	bool udp_checksum; /* GUE: compute it */
	uint32_t checksum; /* partial sum of the outer IPv4 header without length and TOS */
	uint8_t state;	   /* enum destination_state */
	bool is_ipv6;	   /* the outer header's family */
	bool keeps_tags;   /* the packet's own VLAN tags, in place of those of `tags` */
	uint8_t tag_count; /* of `tags` */
	uint8_t header[ENCAPSULATION_MAX_HEADER]; /* without tags, for an IPv4 packet inside */
	uint8_t tags[PACKET_MAX_TAGS * VLAN_TAG_LENGTH]; /* as on the wire, the outermost first */
	uint16_t packet_limit; /* the largest inner IP packet in bytes that the egress MTU holds */
	uint8_t header_length; /* bytes of `header` in use, Ethernet included */
} __attribute__((aligned(64)));

/* What a prepared header is made from. */
struct encapsulation_path {
	enum encapsulation encapsulation;
	struct address source; /* of the same family as the destination */
	struct address destination;
	uint8_t source_mac[6]; /* as on the wire */
	uint8_t next_hop_mac[6];
	uint32_t mtu; /* of the egress, bytes of IP packet */
	bool udp_checksum;
	bool is_peer;	   /* GRE: another load balancer, which must not send it on once more */
	bool keeps_tags;   /* the packet's own VLAN tags are kept; tag_count does not count */
	uint8_t tag_count; /* at most PACKET_MAX_TAGS */
	struct vlan_tag tags[PACKET_MAX_TAGS]; /* of the egress, the outermost first */
};

/*
 * Prepares the header. Leaves generation and pool alone; sets the state to READY. Thread: control.
 */
void encapsulation_prepare(struct destination *destination, const struct encapsulation_path *path);

/*
 * Bytes that the encapsulation adds to an IP packet: 0 for l2. `is_ipv6`: the outer family.
 * Thread: any.
 */
uint32_t encapsulation_overhead(enum encapsulation encapsulation, bool is_ipv6);

/*
 * Encapsulates the packet in place: frame.data, address, length and headroom are moved to the new
 * Ethernet header, l3_offset, l4_offset and tag_count follow; link padding is left off. VLAN tags
 * are the destination's, or the packet's own as they came. Thread: worker.
 * Returns false with packet->reason set (EXCEEDS_MTU, NO_HEADROOM); the frame is then unchanged.
 */
bool encapsulation_apply(struct packet *packet, const struct destination *destination);

#endif
