/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of flow.h for the packet path: XXH3-64 of exactly 16 and 40 bytes, with what
 * depends on the seed alone computed before. (The library's function is too large to be inlined
 * more than once.) The algorithm is that of xxHash's doc/xxhash_spec.md, "XXH3 Algorithm (for small
 * inputs)" and "(for medium inputs)"; the words are of its default secret.
 */
#ifndef FLUXPIN_FLOW_INLINE_H
#define FLUXPIN_FLOW_INLINE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include <fluxpin/flow.h>

static inline struct flow_seed flow_seed_of(uint64_t seed)
{
	return (struct flow_seed){
		/* Each is two words, exclusive or: those at 24 and 32, 40 and 48. */
		.ipv4 = { UINT64_C(0x6782737bea4239b9) + seed,
			  UINT64_C(0xaf56bc3b0996523a) - seed },
		/* Those from 0 to 56. */
		.ipv6 = { UINT64_C(0xbe4ba423396cfeb8) + seed, UINT64_C(0x1cad21f72c81017c) - seed,
			  UINT64_C(0xdb979083e96dd4de) + seed, UINT64_C(0x1f67b3b7a4a44072) - seed,
			  UINT64_C(0x78e5c0cc4ee679cb) + seed, UINT64_C(0x2172ffcc7dd05a82) - seed,
			  UINT64_C(0x8e2443f7744608b8) + seed,
			  UINT64_C(0x4c263a81e69035e0) - seed },
	};
}

/* Both halves of the product in one. */
static inline uint64_t flow_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t flow_avalanche(uint64_t hash)
{
	hash = (hash ^ hash >> 37) * UINT64_C(0x165667919e3779f9);
	return hash ^ hash >> 32;
}

static inline uint64_t flow_word(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return le64toh(word);
}

/* Ports and protocol as the last word of the key; ports as they lie in the packet. */
static inline uint64_t flow_last_word(uint32_t ports_be, uint8_t protocol)
{
	return (uint64_t)protocol << 32 | le32toh(ports_be);
}

/* `addresses`: source and destination, 8 bytes as in the header; `ports_be`: the first four bytes
 * of a TCP or UDP header, as loaded. */
static inline uint64_t flow_hash_ipv4_inline(const struct flow_seed *seed, const uint8_t *addresses,
					     uint32_t ports_be, uint8_t protocol)
{
	uint64_t low = flow_word(addresses) ^ seed->ipv4[0];
	uint64_t high = flow_last_word(ports_be, protocol) ^ seed->ipv4[1];

	return flow_avalanche(16 + __builtin_bswap64(low) + high + flow_fold(low, high));
}

/* The same of IPv6, whose addresses are 32 bytes. */
static inline uint64_t flow_hash_ipv6_inline(const struct flow_seed *seed, const uint8_t *addresses,
					     uint32_t ports_be, uint8_t protocol)
{
	const uint64_t *secret = seed->ipv6;
	uint64_t first = flow_word(addresses), second = flow_word(addresses + 8);
	uint64_t third = flow_word(addresses + 16), fourth = flow_word(addresses + 24);
	uint64_t last = flow_last_word(ports_be, protocol);
	uint64_t sum = 40 * UINT64_C(0x9e3779b185ebca87);

	/* Of each two words from the start on, and from the end on. */
	sum += flow_fold(first ^ secret[0], second ^ secret[1]);
	sum += flow_fold(fourth ^ secret[2], last ^ secret[3]);
	sum += flow_fold(third ^ secret[4], fourth ^ secret[5]);
	sum += flow_fold(second ^ secret[6], third ^ secret[7]);
	return flow_avalanche(sum);
}

#endif
