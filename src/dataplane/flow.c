/* SPDX-License-Identifier: BSD-2-Clause */
#define XXH_INLINE_ALL
#include <string.h>
#include <xxhash.h>

#include <fluxpin/flow.h>

uint64_t flow_hash_ipv4(uint32_t source_be, uint32_t destination_be, uint16_t source_port_be,
			uint16_t destination_port_be, uint8_t protocol, uint64_t seed)
{
	struct {
		uint32_t source_be;
		uint32_t destination_be;
		uint16_t source_port_be;
		uint16_t destination_port_be;
		uint8_t protocol;
		uint8_t zero[3];
	} key = { source_be, destination_be, source_port_be, destination_port_be, protocol, { 0 } };

	_Static_assert(sizeof(key) == 16, "the canonical IPv4 5-tuple is 16 bytes");
	return XXH3_64bits_withSeed(&key, sizeof(key), seed);
}
