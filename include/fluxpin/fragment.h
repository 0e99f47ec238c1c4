/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading fragments of IPv4 (RFC 791) and IPv6 (RFC 8200 section 4.5): which datagram one belongs
 * to, which part of it it carries, and whether it is one that may be passed on at all.
 *
 * Thread: worker. No function here blocks or allocates.
 */
#ifndef FLUXPIN_FRAGMENT_H
#define FLUXPIN_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/packet.h>

#define FRAGMENT_UNIT 8 /* bytes: what offsets count */

struct fragment {
	uint64_t key;	 /* of the datagram: hash of addresses, identification, protocol of IPv4 */
	uint64_t owner;	 /* hash of addresses and, of IPv4, protocol: the same for all fragments */
	uint16_t offset; /* in units of FRAGMENT_UNIT */
	uint16_t units;	 /* of payload, the last one perhaps not full */
	bool more;	 /* others follow this one */
};

/*
 * Reads a packet with is_fragment set; that of IPv6 was walked up to its fragment header. False
 * with packet->reason set: FRAGMENT_INVALID when it is empty, ends within a unit though others
 * follow, or lies beyond the largest packet; FRAGMENT_TINY when it begins within the TCP header
 * (RFC 3128).
 */
bool fragment_read(struct packet *packet, uint64_t seed, struct fragment *fragment);

/*
 * Steps from the fragment header of a first fragment (offset 0) to its transport header: protocol
 * and l4_offset are then those of a whole packet, and ports and TCP flags are read. False with
 * packet->reason set: IPV6_EXTENSION when the headers behind the fragment header are cut off, too
 * many, of types that are not walked, or fragments again (RFC 7112); FRAGMENT_TINY when a TCP or
 * UDP header is cut off (RFC 1858 section 4.2.1); TCP_HEADER or UDP_HEADER when it is inconsistent.
 */
bool fragment_enter(struct packet *packet);

#endif
