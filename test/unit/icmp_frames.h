/* SPDX-License-Identifier: BSD-2-Clause */
/* ICMP and ICMPv6 messages from TEST_CLIENT, and what errors quote. */
#ifndef FLUXPIN_TEST_ICMP_FRAMES_H
#define FLUXPIN_TEST_ICMP_FRAMES_H

#include <fluxpin/packet.h>

#include "pipeline_setup.h"

/* A frame with an ICMP message; the checksum is made right. Returns its length. */
static inline uint32_t test_build_icmp(bool is_ipv6, uint32_t destination, uint8_t type,
				       uint8_t code, const uint8_t *rest, uint32_t rest_length,
				       uint8_t *buffer)
{
	const struct test_packet packet = { .source = TEST_CLIENT,
					    .destination = destination,
					    .protocol = is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
					    .payload = (uint16_t)(4 + rest_length) };
	uint32_t length =
		is_ipv6 ? test_build_ipv6(&packet, NULL, 0, buffer) : test_build(&packet, buffer);
	uint8_t *message = buffer + length - packet.payload;
	uint16_t sum;

	memset(message, 0, 4);
	message[0] = type;
	message[1] = code;
	memcpy(message + 4, rest, rest_length);
	sum = is_ipv6 ? packet_transport_checksum(buffer + 22, 32, IPPROTO_ICMPV6, message,
						  packet.payload)
		      : packet_checksum(message, packet.payload);
	memcpy(message + 2, &sum, sizeof(sum));
	return length;
}

/* A packet of the VIP to the client, as it answers the flow from `port`. */
static inline uint32_t test_build_quote(bool is_ipv6, uint32_t vip, uint16_t vip_port,
					uint16_t port, uint8_t protocol, uint8_t *quote)
{
	const struct test_packet packet = { .source = vip,
					    .destination = TEST_CLIENT,
					    .source_port = vip_port,
					    .destination_port = port,
					    .protocol = protocol,
					    .fragment = 0x4000,
					    .payload = 8 };
	uint8_t frame[TEST_FRAME_SIZE];
	uint32_t length =
		is_ipv6 ? test_build_ipv6(&packet, NULL, 0, frame) : test_build(&packet, frame);

	memset(quote, 0, 4);
	memcpy(quote + 4, frame + 14, length - 14);
	if (is_ipv6) {
		/* test_build_ipv6 has sources and destinations in nets of their own. */
		memcpy(quote + 4 + 8, frame + 14 + 24, 12);
		memcpy(quote + 4 + 24, frame + 14 + 8, 12);
	}
	return length - 14 + 4;
}

#endif
