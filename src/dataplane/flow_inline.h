/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of flow.h for the packet path, where a call would cost as much as the hash. */
#ifndef FLUXPIN_FLOW_INLINE_H
#define FLUXPIN_FLOW_INLINE_H

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <endian.h>
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

/* Ports and protocol as the last word of the key; ports as they lie in the packet. */
static inline uint64_t flow_word(uint32_t ports_be, uint8_t protocol)
{
	return (uint64_t)protocol << 32 | le32toh(ports_be);
}

/* `ports_be`: the first four bytes of a TCP or UDP header, as loaded. */
static inline uint64_t flow_hash_ipv4_inline(uint32_t source_be, uint32_t destination_be,
					     uint32_t ports_be, uint8_t protocol, uint64_t seed)
{
	/* In words, as XXH3 reads it: were the key put together from fields in memory, each word
	 * read would wait for several smaller stores, which CPUs do not forward. */
	const uint64_t key[2] = {
		htole64((uint64_t)le32toh(destination_be) << 32 | le32toh(source_be)),
		htole64(flow_word(ports_be, protocol)),
	};

	return XXH3_64bits_withSeed(key, sizeof(key), seed);
}

static inline uint64_t flow_hash_ipv6_inline(const uint8_t *addresses, uint32_t ports_be,
					     uint8_t protocol, uint64_t seed)
{
	uint64_t key[5];

	memcpy(key, addresses, 32);
	key[4] = htole64(flow_word(ports_be, protocol));
	return XXH3_64bits_withSeed(key, sizeof(key), seed);
}

#endif
