/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Encapsulation: an outer header, prepared per backend by the control thread and copied in front
 * of each packet by the worker, over the old Ethernet header and the headroom. The inner packet is
 * never touched.
 *
 * The outer IPv4 header: TTL 64, DF set with identification 0 (RFC 6864 section 4.1), DSCP and ECN
 * copied from the inner header (RFC 2983, RFC 6040 section 4.1), no options. GRE: RFC 2784 with
 * neither checksum nor key, four bytes.
 */
#ifndef FLUXPIN_ENCAPSULATION_H
#define FLUXPIN_ENCAPSULATION_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/packet.h>

#define ENCAPSULATION_GRE_IPV4_OVERHEAD 24 /* IPv4 and GRE headers, bytes */
#define ENCAPSULATION_MAX_HEADER	96 /* Ethernet included */

enum destination_state {
	DESTINATION_ABSENT,	/* the index is not in use */
	DESTINATION_UNRESOLVED, /* no next hop known */
	DESTINATION_READY,
};

/*
 * How to reach one backend through one interface. The first cache line holds all that a hit
 * reads for IPv4. Immutable once published.
 */
struct destination {
	uint16_t generation;   /* of this backend index */
	uint16_t pool;	       /* index of its pool */
	uint8_t state;	       /* enum destination_state */
	uint8_t header_length; /* bytes of `header` in use, Ethernet included */
	uint16_t packet_limit; /* the largest inner IP packet in bytes that the egress MTU holds */
	uint32_t checksum;     /* partial sum of the outer IPv4 header without length and TOS */
	uint8_t header[ENCAPSULATION_MAX_HEADER];
} __attribute__((aligned(64)));

/*
 * Prepares the header for GRE over IPv4: addresses in network order, MACs as on the wire, mtu of
 * the egress in bytes. Leaves generation and pool alone; sets the state to READY. Thread: control.
 */
void encapsulation_prepare_gre_ipv4(struct destination *destination, const uint8_t source_mac[6],
				    const uint8_t next_hop_mac[6], uint32_t source_be,
				    uint32_t destination_be, uint32_t mtu);

/*
 * Encapsulates the packet in place: frame.data, address, length and headroom are moved to the new
 * Ethernet header; link padding is left off. Thread: worker.
 * Returns false with packet->reason set (EXCEEDS_MTU, NO_HEADROOM); the frame is then unchanged.
 */
bool encapsulation_apply(struct packet *packet, const struct destination *destination);

#endif
