/* SPDX-License-Identifier: BSD-2-Clause */
/* What messages are, and what errors quote. */
#include <netinet/in.h>
#include <string.h>

#include "bytes.h"
#include "icmp_internal.h"

#define MOST_EXTENSIONS 8
#define EXTENSION_UNIT	8
#define PORTS_LENGTH	4
#define IPV4_OFFSET	0x1fff
#define IPV6_OFFSET	0xfff8

uint8_t icmp_type(const struct packet *packet)
{
	return icmp_message_length(packet) > 0 ? icmp_message(packet)[0] : 0xff;
}

bool icmp_is_valid(const struct packet *packet)
{
	uint32_t length = icmp_message_length(packet);

	return length >= ICMP_HEADER_LENGTH &&
	       icmp_checksum(packet->is_ipv6,
			     packet->is_ipv6 ? packet_ipv6_addresses(packet) : NULL,
			     icmp_message(packet), length) == 0;
}

bool icmp_is_error_type(bool is_ipv6, uint8_t protocol, uint8_t type)
{
	if (is_ipv6)
		return protocol == IPPROTO_ICMPV6 && type < 128;
	return protocol == IPPROTO_ICMP &&
	       (type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECTED ||
		type == ICMP_EXCEEDED || type == ICMP_PARAMETER);
}

uint32_t icmp_walk_ipv6(const uint8_t *quote, uint32_t length, uint8_t *protocol)
{
	uint32_t offset = IPV6_HEADER_LENGTH;

	*protocol = quote[6];
	for (int i = 0; i <= MOST_EXTENSIONS; i++) {
		uint32_t size = EXTENSION_UNIT;

		switch (*protocol) {
		case IPPROTO_FRAGMENT:
			if (length - offset < EXTENSION_UNIT ||
			    (load16_be(quote + offset + 2) & IPV6_OFFSET) != 0)
				return 0;
			break;
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (length - offset < EXTENSION_UNIT)
				return 0;
			size += quote[offset + 1] * EXTENSION_UNIT;
			break;
		default:
			return offset;
		}
		if (size > length - offset)
			return 0;
		*protocol = quote[offset];
		offset += size;
	}
	return 0;
}

uint32_t icmp_measure_ipv4(const uint8_t *quote, uint32_t length, uint8_t *protocol)
{
	uint32_t header_length = (quote[0] & 0x0fu) * 4;

	*protocol = quote[9];
	if (header_length < IPV4_HEADER_LENGTH || header_length > length ||
	    (load16_be(quote + 6) & IPV4_OFFSET) != 0)
		return 0;
	return header_length;
}

/* By the type where the fragment has it; a later one of ICMP may be one of anything. */
static bool is_error_fragment(const struct packet *packet)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;
	uint8_t protocol;
	uint32_t offset = packet->is_ipv6 ? icmp_walk_ipv6(ip, packet->l3_length, &protocol)
					  : icmp_measure_ipv4(ip, packet->l3_length, &protocol);

	if (offset == 0 || offset >= packet->l3_length)
		return packet->protocol == (packet->is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	return icmp_is_error_type(packet->is_ipv6, protocol, ip[offset]);
}

bool icmp_is_error(const struct packet *packet)
{
	if (packet->is_fragment)
		return is_error_fragment(packet);
	return icmp_is_error_type(packet->is_ipv6, packet->protocol, icmp_type(packet));
}

bool icmp_read_quote(const struct packet *packet, struct icmp_quote *quote)
{
	const uint8_t *quoted = icmp_message(packet) + ICMP_HEADER_LENGTH;
	uint32_t length = icmp_message_length(packet) - ICMP_HEADER_LENGTH;
	uint32_t least = packet->is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	uint32_t offset;

	*quote = (struct icmp_quote){ .is_ipv6 = packet->is_ipv6 };
	if (length < least || quoted[0] >> 4 != (packet->is_ipv6 ? 6 : 4))
		return false;
	if (packet->is_ipv6) {
		memcpy(quote->source.bytes, quoted + 8, 16);
		memcpy(quote->destination.bytes, quoted + 24, 16);
		offset = icmp_walk_ipv6(quoted, length, &quote->protocol);
	} else {
		uint32_t addresses_be[2];

		memcpy(addresses_be, quoted + 12, sizeof(addresses_be));
		quote->source = address_from_ipv4(addresses_be[0]);
		quote->destination = address_from_ipv4(addresses_be[1]);
		offset = icmp_measure_ipv4(quoted, length, &quote->protocol);
	}
	if (offset == 0 || length - offset < PORTS_LENGTH)
		return false;
	if (quote->protocol == IPPROTO_TCP || quote->protocol == IPPROTO_UDP) {
		memcpy(&quote->source_port_be, quoted + offset, 2);
		memcpy(&quote->destination_port_be, quoted + offset + 2, 2);
	}
	quote->icmp_type = quoted[offset];
	return true;
}
