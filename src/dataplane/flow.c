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
	const struct flow_seed prepared = flow_seed_of(seed);
	uint8_t addresses[8];

	memcpy(addresses, &source_be, 4);
	memcpy(addresses + 4, &destination_be, 4);
	return flow_hash_ipv4_inline(&prepared, addresses,
				     join(source_port_be, destination_port_be), protocol);
}

uint64_t flow_hash_ipv6(const uint8_t addresses[static 32], uint16_t source_port_be,
			uint16_t destination_port_be, uint8_t protocol, uint64_t seed)
{
	const struct flow_seed prepared = flow_seed_of(seed);

	return flow_hash_ipv6_inline(&prepared, addresses,
				     join(source_port_be, destination_port_be), protocol);
}
