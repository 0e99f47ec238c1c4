/* SPDX-License-Identifier: BSD-2-Clause */
#define XXH_INLINE_ALL
#include <endian.h>
#include <string.h>
#include <xxhash.h>

#include <fluxpin/flow.h>

uint64_t flow_hash_ipv4(uint32_t source_be, uint32_t destination_be, uint16_t source_port_be,
			uint16_t destination_port_be, uint8_t protocol, uint64_t seed)
{
	/* In words, as XXH3 reads it: were the key put together from fields in memory, each word
	 * read would wait for several smaller stores, which CPUs do not forward. */
	const uint64_t key[2] = {
		htole64((uint64_t)le32toh(destination_be) << 32 | le32toh(source_be)),
		htole64((uint64_t)protocol << 32 | (uint64_t)le16toh(destination_port_be) << 16 |
			le16toh(source_port_be)),
	};

	return XXH3_64bits_withSeed(key, sizeof(key), seed);
}

uint64_t flow_hash_ipv6(const uint8_t addresses[static 32], uint16_t source_port_be,
			uint16_t destination_port_be, uint8_t protocol, uint64_t seed)
{
	uint64_t key[5];

	memcpy(key, addresses, 32);
	key[4] = htole64((uint64_t)protocol << 32 | (uint64_t)le16toh(destination_port_be) << 16 |
			 le16toh(source_port_be));
	return XXH3_64bits_withSeed(key, sizeof(key), seed);
}
