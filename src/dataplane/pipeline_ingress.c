/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <string.h>

#include "pipeline_internal.h"

bool pipeline_decapsulate(const struct forwarding *forwarding, struct packet *packet)
{
	if (decapsulation_apply(forwarding->decapsulation, packet) != DECAPSULATION_FAILED)
		return true;
	packet->verdict = VERDICT_DROP;
	return false;
}

/* "This" network, loopback, multicast, and all of class E: no source of a packet that may be
 * forwarded (RFC 6890 section 2.2.2) or whose sender may be told of an error (RFC 1122 3.2.2). */
static bool is_martian_ipv4(uint32_t source_be)
{
	uint32_t network = ntohl(source_be) >> 24;

	return network == 0 || network == 127 || network >= 224;
}

/* Unspecified, loopback, multicast; link-local ones may not be forwarded to another link
 * (RFC 4291 sections 2.5 to 2.7). */
static bool is_martian_ipv6(const uint8_t *source)
{
	static const uint8_t zeros[15];

	if (source[0] == 0xff || (source[0] == 0xfe && (source[1] & 0xc0) == 0x80))
		return true;
	return memcmp(source, zeros, sizeof(zeros)) == 0 && source[15] <= 1;
}

bool pipeline_check_addresses(struct packet *packet)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;
	const uint8_t *addresses;

	if (!packet->is_ipv6) {
		if (ip[8] == 0)
			return packet_refuse(packet, DROP_TTL);
		if (packet->source_be == packet->destination_be)
			return packet_refuse(packet, DROP_LAND);
		if (is_martian_ipv4(packet->source_be))
			return packet_refuse(packet, DROP_MARTIAN_SOURCE);
		return true;
	}
	addresses = packet_ipv6_addresses(packet);
	if (ip[7] == 0)
		return packet_refuse(packet, DROP_TTL);
	if (memcmp(addresses, addresses + 16, 16) == 0)
		return packet_refuse(packet, DROP_LAND);
	if (is_martian_ipv6(addresses))
		return packet_refuse(packet, DROP_MARTIAN_SOURCE);
	return true;
}
