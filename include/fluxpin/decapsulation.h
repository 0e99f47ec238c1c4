/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Encapsulated ingress (the Maglev paper, section 2.1): packets that reach the load balancer in a
 * tunnel, addressed to itself. GRE (RFC 2784, with the key and sequence number of RFC 2890),
 * IP-in-IP (RFC 2003, 2473, 4213) and GUE variant 0 over UDP port 6080, from listed sources only.
 * And fragments that the other load balancers of the cluster redirect to this one (section 4.3):
 * GRE with a recursion control field (RFC 1701), from a peer's address to the own one among them.
 * Whoever can write a peer's address into a packet gets nothing else decapsulated by that.
 *
 * The lists belong to the control thread and are immutable once published.
 */
#ifndef FLUXPIN_DECAPSULATION_H
#define FLUXPIN_DECAPSULATION_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>
#include <fluxpin/packet.h>

/* They are searched one by one, for tunnel packets alone. */
#define DECAPSULATION_MAX_SOURCES   64
#define DECAPSULATION_MAX_ADDRESSES 8

struct decapsulation {
	const struct prefix *sources;	 /* of tunnels */
	const struct address *addresses; /* the load balancer's own, where tunnels end */
	const struct address *peers;	 /* those of the cluster, this one included */
	uint32_t source_count;
	uint32_t address_count;
	uint32_t peer_count;
	struct address self; /* which of the peers this one is */
};

enum decapsulation_result {
	DECAPSULATION_NONE,   /* not a tunnel of ours: the packet is unchanged */
	DECAPSULATION_DONE,   /* the packet's fields are those of the packet inside */
	DECAPSULATION_FAILED, /* dropped: packet->reason is set */
};

/*
 * Looks into a whole IP packet, whose extension headers have not been walked. When it is DONE,
 * flags has PACKET_DECAPSULATED, and PACKET_REDIRECTED when a peer has sent it; the frame itself is
 * unchanged in any case. traffic_class combines the two ECN fields (RFC 6040 section 4.2), so that
 * the next outer header hands a congestion mark on; the bits inside stay as they are. Thread:
 * worker.
 */
enum decapsulation_result decapsulation_apply(const struct decapsulation *decapsulation,
					      struct packet *packet);

#endif
