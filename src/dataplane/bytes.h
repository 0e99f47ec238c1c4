/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers in network order at any address, and the EtherTypes that more than one file knows. */
#ifndef FLUXPIN_BYTES_H
#define FLUXPIN_BYTES_H

#include <stdint.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd

static inline uint16_t load16_be(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline void store16_be(uint8_t *bytes, uint16_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

#endif
