/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "../unit/packets.h"
#include "harness.h"

uint32_t fuzz_header(bool is_ipv6)
{
	return FUZZ_ETHERNET + (is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH);
}

uint32_t fuzz_write_headers(uint8_t *frame, bool is_ipv6, uint8_t protocol, const uint8_t *source,
			    const uint8_t *destination, uint32_t length)
{
	uint8_t *ip = frame + FUZZ_ETHERNET;

	memcpy(frame, test_own_mac, 6);
	memcpy(frame + 6, test_peer_mac, 6);
	test_store16(frame + 12, is_ipv6 ? 0x86dd : 0x0800);
	memset(ip, 0, fuzz_header(is_ipv6) - FUZZ_ETHERNET);
	if (is_ipv6) {
		ip[0] = 0x60;
		test_store16(ip + 4, length);
		ip[6] = protocol;
		ip[7] = 63;
		memcpy(ip + 8, source, 16);
		memcpy(ip + 24, destination, 16);
	} else {
		ip[0] = 0x45;
		test_store16(ip + 2, IPV4_HEADER_LENGTH + length);
		ip[8] = 63;
		ip[9] = protocol;
		memcpy(ip + 12, source, 4);
		memcpy(ip + 16, destination, 4);
		test_fix_checksum(ip);
	}
	return fuzz_header(is_ipv6) + length;
}

void fuzz_vip(bool is_ipv6, uint32_t kind, uint8_t *address)
{
	static const uint8_t ipv4[3] = { 203, 0, 113 }, ipv6[4] = { 0x20, 0x01, 0x0d, 0xb8 };

	memset(address, 0, is_ipv6 ? 16 : 4);
	memcpy(address, is_ipv6 ? ipv6 : ipv4, is_ipv6 ? sizeof(ipv6) : sizeof(ipv4));
	address[is_ipv6 ? 15 : 3] = (uint8_t)kind;
}

void fuzz_client(bool is_ipv6, uint8_t number, uint8_t *address)
{
	static const uint8_t ipv4[3] = { 198, 51, 100 }, ipv6[6] = { 0x20, 0x01, 0x0d, 0xb8, 0, 1 };

	memset(address, 0, is_ipv6 ? 16 : 4);
	memcpy(address, is_ipv6 ? ipv6 : ipv4, is_ipv6 ? sizeof(ipv6) : sizeof(ipv4));
	address[is_ipv6 ? 15 : 3] = number;
}

uint16_t fuzz_transport_sum(const uint8_t *ip, uint8_t protocol, const uint8_t *l4, uint32_t length)
{
	uint8_t bytes[40 + FUZZ_FRAME_MOST + 1] = { 0 };
	uint32_t addresses = ip[0] >> 4 == 6 ? 32 : 8;

	memcpy(bytes, ip + (addresses == 32 ? 8 : 12), addresses);
	test_store32(bytes + addresses, length);
	bytes[addresses + 7] = protocol;
	memcpy(bytes + addresses + 8, l4, length);
	return test_checksum(bytes, (addresses + 8 + length + 1) & ~1u);
}
