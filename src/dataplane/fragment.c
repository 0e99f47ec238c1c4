/* SPDX-License-Identifier: BSD-2-Clause */
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/flow.h>
#include <fluxpin/fragment.h>

#include "bytes.h"

#define IPV4_MORE	  0x2000
#define IPV4_OFFSET	  0x1fff
#define IPV6_MORE	  0x0001
#define IPV6_OFFSET_SHIFT 3
#define TCP_HEADER_LENGTH 20
#define UDP_HEADER_LENGTH 8

/* So that no flow has the hash of a datagram. */
#define KEY_SEED UINT64_C(0x66726167)

static uint16_t load16_raw(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint32_t end_of(const struct packet *packet)
{
	return (uint32_t)packet->l3_offset + packet->l3_length;
}

static void read_ipv4(const struct packet *packet, uint64_t seed, struct fragment *fragment)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;
	uint16_t fields = load16_be(ip + 6);

	fragment->offset = fields & IPV4_OFFSET;
	fragment->more = (fields & IPV4_MORE) != 0;
	fragment->owner = flow_hash_ipv4(packet->source_be, packet->destination_be, 0, 0,
					 packet->protocol, seed);
	fragment->key = flow_hash_ipv4(packet->source_be, packet->destination_be,
				       load16_raw(ip + 4), 0, packet->protocol, seed ^ KEY_SEED);
}

/* The protocol in the header counts in the first fragment alone (RFC 8200 section 4.5). */
static void read_ipv6(const struct packet *packet, uint64_t seed, struct fragment *fragment)
{
	const uint8_t *header = packet->frame.data + packet->l4_offset;
	const uint8_t *addresses = packet_ipv6_addresses(packet);
	uint16_t fields = load16_be(header + 2);

	fragment->offset = fields >> IPV6_OFFSET_SHIFT;
	fragment->more = (fields & IPV6_MORE) != 0;
	fragment->owner = flow_hash_ipv6(addresses, 0, 0, IPPROTO_FRAGMENT, seed);
	fragment->key = flow_hash_ipv6(addresses, load16_raw(header + 4), load16_raw(header + 6),
				       IPPROTO_FRAGMENT, seed ^ KEY_SEED);
}

static bool refuse(struct packet *packet, enum drop_reason reason)
{
	packet->reason = (uint8_t)reason;
	return false;
}

bool fragment_read(struct packet *packet, uint64_t seed, struct fragment *fragment)
{
	uint32_t start, length, header, offset;

	if (packet->is_ipv6)
		read_ipv6(packet, seed, fragment);
	else
		read_ipv4(packet, seed, fragment);
	start = (uint32_t)packet->l4_offset + (packet->is_ipv6 ? FRAGMENT_HEADER_LENGTH : 0);
	length = end_of(packet) - start;
	/* Of IPv4 the header counts against the largest packet, of IPv6 it does not. */
	header = packet->is_ipv6 ? 0 : (uint32_t)packet->l4_offset - packet->l3_offset;
	offset = (uint32_t)fragment->offset * FRAGMENT_UNIT;
	if (length == 0 || (fragment->more && length % FRAGMENT_UNIT != 0) ||
	    header + offset + length > UINT16_MAX)
		return refuse(packet, DROP_FRAGMENT_INVALID);
	if (packet->protocol == IPPROTO_TCP && offset != 0 && offset < TCP_HEADER_LENGTH)
		return refuse(packet, DROP_FRAGMENT_TINY);
	fragment->units = (uint16_t)((length + FRAGMENT_UNIT - 1) / FRAGMENT_UNIT);
	return true;
}

/* The transport header as far as it can be judged without the rest of the datagram. */
static bool check_transport(struct packet *packet)
{
	const uint8_t *l4 = packet->frame.data + packet->l4_offset;
	uint32_t length = end_of(packet) - packet->l4_offset, stated;

	if (packet->protocol == IPPROTO_TCP) {
		if (length < TCP_HEADER_LENGTH)
			return refuse(packet, DROP_FRAGMENT_TINY);
		stated = (uint32_t)(l4[12] >> 4) * 4;
		if (stated < TCP_HEADER_LENGTH)
			return refuse(packet, DROP_TCP_HEADER);
		return stated <= length || refuse(packet, DROP_FRAGMENT_TINY);
	}
	if (packet->protocol == IPPROTO_UDP) {
		if (length < UDP_HEADER_LENGTH)
			return refuse(packet, DROP_FRAGMENT_TINY);
		return load16_be(l4 + 4) >= UDP_HEADER_LENGTH || refuse(packet, DROP_UDP_HEADER);
	}
	return true;
}

bool fragment_enter(struct packet *packet)
{
	struct packet inner = *packet;

	if (packet->is_ipv6) {
		inner.l4_offset = (uint16_t)(packet->l4_offset + FRAGMENT_HEADER_LENGTH);
		inner.is_fragment = false;
		if (!packet_walk_extensions(&inner) || inner.is_fragment ||
		    packet_has_unknown_extension(&inner))
			return refuse(packet, DROP_IPV6_EXTENSION);
		packet->protocol = inner.protocol;
		packet->l4_offset = inner.l4_offset;
	}
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP)
		packet_parse_ports(packet);
	return check_transport(packet);
}
