/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments to a VIP. A record is six bytes, and what the fragment carries, repeated up to its
 * length:
 *
 *     0  bit 0: IPv6; bit 1: more fragments; bit 2: TCP, else UDP; bit 3: behind a hop-by-hop
 *        header or with IPv4 options; bit 4: a whole header of the VIP's service in a first
 *        fragment; bit 5: an echo request instead of either protocol
 *     1  the kind of the VIP
 *     2  identification
 *     3  offset, times 8
 *     4  length, times 8
 *     5  bytes on top of that; bit 7: the offset's upper bits are set, too
 */
#include <netinet/in.h>
#include <string.h>

#include "../unit/packets.h"
#include "harness.h"

#define BEHIND 8 /* bytes of a fragment header, of a hop-by-hop header, or of IPv4 options */

static void fill(uint8_t *payload, uint32_t length, const uint8_t *data, uint32_t size)
{
	for (uint32_t i = 0; i < length; i++)
		payload[i] = size > 0 ? data[i % size] : (uint8_t)i;
}

static uint8_t protocol_of(const uint8_t *data)
{
	if (data[0] & 0x20)
		return data[0] & 1 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	return data[0] & 4 ? IPPROTO_TCP : IPPROTO_UDP;
}

/* A service of the VIP, and the rest of a whole header. */
static void write_header(uint8_t *l4, uint32_t length, uint8_t protocol)
{
	bool is_tcp = protocol == IPPROTO_TCP;

	if (length < 20)
		return;
	if (!is_tcp && protocol != IPPROTO_UDP) {
		l4[0] = protocol == IPPROTO_ICMP ? 8 : 128;
		return;
	}
	test_store16(l4, 40000);
	test_store16(l4 + 2, is_tcp ? 80 : 53);
	if (is_tcp)
		l4[12] = 5 << 4;
	else
		test_store16(l4 + 4, 2000);
}

static uint32_t write_ipv6(uint8_t *frame, const uint8_t *data, uint32_t field, uint32_t length)
{
	uint8_t *behind = frame + fuzz_header(true), source[16], vip[16];
	uint8_t protocol = protocol_of(data);
	uint32_t extensions = data[0] & 8 ? 2 * BEHIND : BEHIND;

	fuzz_client(true, 7, source);
	fuzz_vip(true, 1 + data[1] % FUZZ_KINDS, vip);
	memset(behind, 0, extensions);
	if (data[0] & 8) {
		behind[0] = IPPROTO_FRAGMENT;
		memcpy(behind + 2, "\1\4", 2); /* PadN */
		behind += BEHIND;
	}
	behind[0] = protocol;
	test_store16(behind + 2, (field & 0x1fff) << 3 | field >> 13);
	behind[7] = data[2];
	return fuzz_write_headers(frame, true, data[0] & 8 ? IPPROTO_HOPOPTS : IPPROTO_FRAGMENT,
				  source, vip, extensions + length);
}

static uint32_t write_ipv4(uint8_t *frame, const uint8_t *data, uint32_t field, uint32_t length)
{
	uint8_t protocol = protocol_of(data), source[4], vip[4];
	uint32_t options = data[0] & 8 ? BEHIND : 0, written;
	uint8_t *ip = frame + FUZZ_ETHERNET;

	fuzz_client(false, 7, source);
	fuzz_vip(false, 1 + data[1] % FUZZ_KINDS, vip);
	written = fuzz_write_headers(frame, false, protocol, source, vip, options + length);
	memset(ip + IPV4_HEADER_LENGTH, 1, options);
	ip[0] = (uint8_t)(0x45 + options / 4);
	ip[5] = data[2];
	test_store16(ip + 6, field);
	test_fix_checksum(ip);
	return written;
}

static uint32_t build(const uint8_t *data, uint32_t size, uint8_t *frame)
{
	uint32_t at, field, length;
	bool is_ipv6;

	if (size < 6)
		return FUZZ_NO_FRAME;
	is_ipv6 = data[0] & 1;
	/* In the IPv4 layout: offset and flag. */
	field = data[3] | (data[5] & 0x80 ? 0x1f00u : 0) | (data[0] & 2 ? 0x2000u : 0);
	length = data[4] * 8u + (data[5] & 7);
	at = fuzz_header(is_ipv6) + (data[0] & 8 ? BEHIND : 0) + (is_ipv6 ? BEHIND : 0);
	fill(frame + at, length, data + 6, size - 6);
	if (data[0] & 0x10 && (field & 0x1fff) == 0)
		write_header(frame + at, length, protocol_of(data));
	return (is_ipv6 ? write_ipv6 : write_ipv4)(frame, data, field, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_run(data, size, build);
}
