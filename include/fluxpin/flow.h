/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flow hash: XXH3-64 of the canonical 5-tuple with the cluster's seed. Every fluxpin with the
 * same hash_seed computes the same value, whatever its host, byte order or version.
 *
 * The canonical IPv4 5-tuple is 16 bytes: source address, destination address, source port,
 * destination port, all in network order, the protocol, and three zero bytes. That of IPv6 is 40
 * bytes: the two addresses, the ports, the protocol, and three zero bytes.
 *
 * Uses of the 64 bits: Maglev slot from the upper 32; connection buckets from the lower 32, the
 * second one from all; and all of them as the connection's key.
 */
#ifndef FLUXPIN_FLOW_H
#define FLUXPIN_FLOW_H

#include <stdint.h>

/* A seed as the packet path takes it (flow_inline.h): words of XXH3's secret, in host order, each
 * with the seed added or subtracted. */
struct flow_seed {
	uint64_t ipv4[2];
	uint64_t ipv6[8];
};

/* Thread: any. */
uint64_t flow_hash_ipv4(uint32_t source_be, uint32_t destination_be, uint16_t source_port_be,
			uint16_t destination_port_be, uint8_t protocol, uint64_t seed);

/* The same for IPv6; `addresses` are source and destination, 32 bytes as in the header. */
uint64_t flow_hash_ipv6(const uint8_t addresses[static 32], uint16_t source_port_be,
			uint16_t destination_port_be, uint8_t protocol, uint64_t seed);

#endif
