/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/flow.h>

#include "flow_inline.h"

/* The two ports as they lie in a packet. */
static uint32_t join(uint16_t source_port_be, uint16_t destination_port_be)
{
	const uint16_t ports_be[2] = { source_port_be, destination_port_be };
	uint32_t joined_be;

	memcpy(&joined_be, ports_be, sizeof(joined_be));
	return joined_be;
}

uint64_t flow_hash_ipv4(uint32_t source_be, uint32_t destination_be, uint16_t source_port_be,
			uint16_t destination_port_be, uint8_t protocol, uint64_t seed)
{
	return flow_hash_ipv4_inline(source_be, destination_be,
				     join(source_port_be, destination_port_be), protocol, seed);
}

uint64_t flow_hash_ipv6(const uint8_t addresses[static 32], uint16_t source_port_be,
			uint16_t destination_port_be, uint8_t protocol, uint64_t seed)
{
	return flow_hash_ipv6_inline(addresses, join(source_port_be, destination_port_be), protocol,
				     seed);
}
