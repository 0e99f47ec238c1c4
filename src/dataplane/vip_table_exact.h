/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of the VIP table that nearly every packet ends in: services of a whole address with a
 * protocol and a port of their own. They win over all others, so what is found here is right; what
 * is not may still be for a VIP that takes every port, every protocol, or a prefix.
 *
 * And a filter that tells at once of most addresses that no VIP has them.
 */
#ifndef FLUXPIN_VIP_TABLE_EXACT_H
#define FLUXPIN_VIP_TABLE_EXACT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <fluxpin/vip_table.h>

#define VIP_FILTER_BITS 4096 /* of each family; one page line for each 512 */

struct exact_ipv4 {
	uint64_t key; /* see exact_key_ipv4; 0: free */
	const struct vip *vip;
};

struct exact_ipv6 {
	uint64_t address[2]; /* as in the packet */
	uint64_t service;    /* protocol and port; 0: free */
	const struct vip *vip;
};

/* At most a quarter of the slots is in use. */
struct vip_exact {
	struct exact_ipv4 *ipv4;
	struct exact_ipv6 *ipv6;
	uint32_t shift; /* 64 - log2 of the number of slots */
	uint32_t mask;
	/* Only when all prefixes of the family are whole addresses; otherwise all bits are set. */
	uint64_t filter_ipv4[VIP_FILTER_BITS / 64];
	uint64_t filter_ipv6[VIP_FILTER_BITS / 64];
};

/* Fibonacci hashing: 2^64 divided by the golden ratio. */
#define VIP_EXACT_FACTOR UINT64_C(0x9e3779b97f4a7c15)

const struct vip_exact *vip_table_exact(const struct vip_table *table);

/* Points into `vips`, `count` of them. Thread: control; allocates. 0 or -ENOMEM. */
int vip_exact_build(struct vip_exact *exact, const struct vip *vips, uint32_t count);
void vip_exact_release(struct vip_exact *exact);

/* Whether it is one of IPv4 addresses: those are mapped. */
static inline bool vip_prefix_is_ipv4(const struct prefix *prefix)
{
	return prefix->length >= 96 && address_is_ipv4(&prefix->address);
}

/* Address and port as they lie in the packet. A protocol is never 0. */
static inline uint64_t exact_key_ipv4(uint32_t destination_be, uint16_t port_be, uint8_t protocol)
{
	return (uint64_t)protocol << 48 | (uint64_t)port_be << 32 | destination_be;
}

static inline uint64_t exact_service(uint16_t port_be, uint8_t protocol)
{
	return (uint64_t)protocol << 16 | port_be;
}

static inline uint64_t exact_mix_ipv6(const uint64_t address[2])
{
	return (address[0] ^ (address[1] << 23 | address[1] >> 41)) * VIP_EXACT_FACTOR;
}

static inline const struct vip *vip_exact_find_ipv4(const struct vip_exact *exact, uint64_t key)
{
	uint32_t i = (uint32_t)(key * VIP_EXACT_FACTOR >> exact->shift);

	for (;; i++) {
		const struct exact_ipv4 *slot = &exact->ipv4[i & exact->mask];

		if (slot->key == key || slot->key == 0)
			return slot->vip;
	}
}

static inline const struct vip *vip_exact_find_ipv6(const struct vip_exact *exact,
						    const uint64_t address[2], uint64_t service)
{
	uint32_t i =
		(uint32_t)((exact_mix_ipv6(address) ^ service * VIP_EXACT_FACTOR) >> exact->shift);

	for (;; i++) {
		const struct exact_ipv6 *slot = &exact->ipv6[i & exact->mask];

		if (slot->service == 0 ||
		    (slot->service == service && slot->address[0] == address[0] &&
		     slot->address[1] == address[1]))
			return slot->vip;
	}
}

/* False: no VIP has the address. */
static inline bool vip_exact_may_have_ipv4(const struct vip_exact *exact, uint32_t destination_be)
{
	uint32_t bit = (uint32_t)(destination_be * VIP_EXACT_FACTOR >> 52);

	return (exact->filter_ipv4[bit / 64] >> (bit % 64) & 1) != 0;
}

static inline bool vip_exact_may_have_ipv6(const struct vip_exact *exact, const uint64_t address[2])
{
	uint32_t bit = (uint32_t)(exact_mix_ipv6(address) >> 52);

	return (exact->filter_ipv6[bit / 64] >> (bit % 64) & 1) != 0;
}

#endif
