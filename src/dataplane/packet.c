/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/packet.h>

#include "bytes.h"

#define ETHERTYPE_OFFSET     12
#define ETHERTYPE_VLAN	     0x8100 /* IEEE 802.1Q */
#define ETHERTYPE_QINQ	     0x88a8 /* IEEE 802.1ad */
#define ETHERTYPE_QINQ_OLD   0x9100
#define TCP_HEADER_LENGTH    20
#define TCP_DATA_OFFSET	     12
#define TCP_FLAGS	     13
#define UDP_HEADER_LENGTH    8
#define UDP_LENGTH	     4
#define IPV4_MORE_FRAGMENTS  0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff

static uint16_t load16_raw(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint32_t load32_raw(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

uint16_t packet_checksum(const void *data, uint32_t length)
{
	const uint8_t *bytes = data;
	uint64_t sum = 0;
	uint32_t i = 0;

	/* The ones' complement sum may be taken in any word size (RFC 1071 section 2(C)). */
	for (; i + 4 <= length; i += 4)
		sum += load32_raw(bytes + i);
	if (i + 2 <= length) {
		sum += load16_raw(bytes + i);
		i += 2;
	}
	if (i < length) {
		/* The last byte is the first one of a word that is filled up with a zero. */
		const uint8_t last[2] = { bytes[i], 0 };

		sum += load16_raw(last);
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint16_t packet_transport_checksum(const uint8_t *addresses, uint32_t addresses_length,
				   uint8_t protocol, const void *data, uint32_t length)
{
	uint32_t sum = (uint16_t)~packet_checksum(addresses, addresses_length);

	sum += htons((uint16_t)length);
	sum += htons(protocol);
	sum += (uint16_t)~packet_checksum(data, length);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* More than any sane packet has; keeps the walk short. */
#define MOST_EXTENSIONS 8
#define EXTENSION_UNIT	8 /* lengths count in units of 8 bytes, without the first */

/* The offset and M of a fragment header; between them are two reserved bits (RFC 8200 section 4.5).
 */
#define FRAGMENT_FIELDS 0xfff9

static enum packet_kind malformed(struct packet *packet, enum drop_reason reason)
{
	packet->reason = (uint8_t)reason;
	return PACKET_MALFORMED;
}

static enum packet_kind parse_ipv4(struct packet *packet)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;
	uint32_t available = packet->frame.length - packet->l3_offset;
	uint32_t header_length, total_length;
	uint16_t fragment;

	if (available < IPV4_HEADER_LENGTH)
		return malformed(packet, DROP_IPV4_TRUNCATED);
	header_length = (uint32_t)(ip[0] & 0x0f) * 4;
	if (ip[0] >> 4 != 4 || header_length < IPV4_HEADER_LENGTH)
		return malformed(packet, DROP_IPV4_HEADER);
	if (available < header_length)
		return malformed(packet, DROP_IPV4_TRUNCATED);
	total_length = load16_be(ip + 2);
	if (total_length < header_length || total_length > available)
		return malformed(packet, DROP_IPV4_LENGTH);
	if (packet_checksum(ip, header_length) != 0)
		return malformed(packet, DROP_IPV4_CHECKSUM);

	fragment = load16_be(ip + 6);
	packet->is_fragment = (fragment & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) != 0;
	packet->l3_length = (uint16_t)total_length;
	packet->l4_offset = (uint16_t)(packet->l3_offset + header_length);
	packet->protocol = ip[9];
	packet->traffic_class = ip[1];
	packet->source_be = load32_raw(ip + 12);
	packet->destination_be = load32_raw(ip + 16);
	return PACKET_IPV4;
}

static enum packet_kind parse_ipv6(struct packet *packet)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;
	uint32_t available = packet->frame.length - packet->l3_offset;
	uint32_t payload_length;

	if (available < IPV6_HEADER_LENGTH)
		return malformed(packet, DROP_IPV6_TRUNCATED);
	if (ip[0] >> 4 != 6)
		return malformed(packet, DROP_IPV6_HEADER);
	payload_length = load16_be(ip + 4);
	/* A length of 0 with a hop-by-hop header is a jumbogram (RFC 2675), which no link of ours
	 * carries. */
	if (payload_length > available - IPV6_HEADER_LENGTH ||
	    payload_length > UINT16_MAX - IPV6_HEADER_LENGTH ||
	    (payload_length == 0 && ip[6] == IPPROTO_HOPOPTS))
		return malformed(packet, DROP_IPV6_LENGTH);

	packet->is_ipv6 = true;
	packet->is_fragment = false;
	packet->l3_length = (uint16_t)(payload_length + IPV6_HEADER_LENGTH);
	packet->l4_offset = (uint16_t)(packet->l3_offset + IPV6_HEADER_LENGTH);
	packet->protocol = ip[6];
	packet->traffic_class = (uint8_t)(load16_be(ip) >> 4);
	packet->source_be = 0;
	packet->destination_be = 0;
	return PACKET_IPV6;
}

static bool is_extension(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_DSTOPTS;
}

bool packet_walk_extensions(struct packet *packet)
{
	uint32_t end = (uint32_t)packet->l3_offset + packet->l3_length;

	packet->reason = DROP_IPV6_EXTENSION;
	for (int i = 0; is_extension(packet->protocol); i++) {
		const uint8_t *header = packet->frame.data + packet->l4_offset;
		uint32_t length = EXTENSION_UNIT;

		if (i == MOST_EXTENSIONS || packet->l4_offset + length > end)
			return false;
		if (packet->protocol == IPPROTO_FRAGMENT) {
			packet->is_fragment = (load16_be(header + 2) & FRAGMENT_FIELDS) != 0;
			/* What follows may be the middle of anything. */
			if (packet->is_fragment) {
				packet->protocol = header[0];
				return true;
			}
		} else {
			length += (uint32_t)header[1] * EXTENSION_UNIT;
		}
		if (packet->l4_offset + length > end)
			return false;
		packet->protocol = header[0];
		packet->l4_offset = (uint16_t)(packet->l4_offset + length);
	}
	return true;
}

bool packet_has_unknown_extension(const struct packet *packet)
{
	switch (packet->protocol) {
	case 135: /* mobility */
	case 139: /* host identity */
	case 140: /* Shim6 */
	case 253: /* experiments */
	case 254:
		return packet->is_ipv6;
	default:
		return false;
	}
}

struct address packet_source(const struct packet *packet)
{
	struct address address;

	if (!packet->is_ipv6)
		return address_from_ipv4(packet->source_be);
	memcpy(address.bytes, packet_ipv6_addresses(packet), sizeof(address.bytes));
	return address;
}

struct address packet_destination(const struct packet *packet)
{
	struct address address;

	if (!packet->is_ipv6)
		return address_from_ipv4(packet->destination_be);
	memcpy(address.bytes, packet_ipv6_addresses(packet) + 16, sizeof(address.bytes));
	return address;
}

const uint8_t *packet_ipv6_addresses(const struct packet *packet)
{
	return packet->frame.data + packet->l3_offset + 8;
}

static bool is_tag(uint16_t ethertype)
{
	return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ ||
	       ethertype == ETHERTYPE_QINQ_OLD;
}

/* Steps over the tags. Returns the EtherType behind them, 0 when the frame ends before it. */
static uint16_t skip_tags(struct packet *packet, uint16_t ethertype)
{
	while (is_tag(ethertype) && packet->tag_count < PACKET_MAX_TAGS) {
		packet->tag_count++;
		packet->l3_offset = (uint16_t)(packet->l3_offset + VLAN_TAG_LENGTH);
		if (packet->frame.length < packet->l3_offset)
			return 0;
		ethertype = load16_be(packet->frame.data + packet->l3_offset - 2);
	}
	return ethertype;
}

enum packet_kind packet_parse_ip(struct packet *packet, bool is_ipv6)
{
	packet->source_port_be = 0;
	packet->destination_port_be = 0;
	packet->tcp_flags = 0;
	packet->is_ipv6 = false;
	return is_ipv6 ? parse_ipv6(packet) : parse_ipv4(packet);
}

enum packet_kind packet_parse(struct packet *packet, const uint8_t *mac)
{
	const uint8_t *ethernet = packet->frame.data;
	uint16_t ethertype;

	packet->source_port_be = 0;
	packet->destination_port_be = 0;
	packet->tcp_flags = 0;
	packet->is_ipv6 = false;
	packet->tag_count = 0;
	packet->flags = 0;
	if (packet->frame.length < ETHERNET_HEADER_LENGTH)
		return malformed(packet, DROP_ETHERNET_TRUNCATED);
	/* A group address, or a station that is not us: seen in promiscuous mode or when a switch
	 * floods. Forwarding it would deliver a second copy. */
	if (ethernet[0] & 1)
		return PACKET_OTHER;
	if (mac != NULL && (load32_raw(ethernet) != load32_raw(mac) ||
			    load16_raw(ethernet + 4) != load16_raw(mac + 4)))
		return PACKET_OTHER;
	packet->l3_offset = ETHERNET_HEADER_LENGTH;
	ethertype = load16_be(ethernet + ETHERTYPE_OFFSET);
	if (__builtin_expect(is_tag(ethertype), false)) {
		ethertype = skip_tags(packet, ethertype);
		if (ethertype == 0 && packet->frame.length < packet->l3_offset)
			return malformed(packet, DROP_ETHERNET_TRUNCATED);
	}
	switch (ethertype) {
	case ETHERTYPE_IPV4:
		return parse_ipv4(packet);
	case ETHERTYPE_IPV6:
		return parse_ipv6(packet);
	default:
		return PACKET_OTHER;
	}
}

/* Bytes of the transport header and payload. */
static uint32_t transport_length(const struct packet *packet)
{
	return (uint32_t)packet->l3_offset + packet->l3_length - packet->l4_offset;
}

bool packet_parse_ports(struct packet *packet)
{
	const uint8_t *l4 = packet->frame.data + packet->l4_offset;
	uint32_t length = transport_length(packet);

	if (length < UDP_HEADER_LENGTH)
		return false;
	packet->source_port_be = load16_raw(l4);
	packet->destination_port_be = load16_raw(l4 + 2);
	if (packet->protocol == IPPROTO_TCP && length > TCP_FLAGS)
		packet->tcp_flags = l4[TCP_FLAGS];
	return true;
}

bool packet_check_transport(struct packet *packet)
{
	const uint8_t *l4 = packet->frame.data + packet->l4_offset;
	uint32_t length = transport_length(packet);
	uint32_t stated;

	if (packet->protocol == IPPROTO_TCP) {
		packet->reason = DROP_TCP_HEADER;
		if (length < TCP_HEADER_LENGTH)
			return false;
		stated = (uint32_t)(l4[TCP_DATA_OFFSET] >> 4) * 4;
		return stated >= TCP_HEADER_LENGTH && stated <= length;
	}
	packet->reason = DROP_UDP_HEADER;
	if (length < UDP_HEADER_LENGTH)
		return false;
	stated = load16_be(l4 + UDP_LENGTH);
	return stated >= UDP_HEADER_LENGTH && stated <= length;
}
