/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/packet.h>

#define ETHERTYPE_OFFSET     12
#define ETHERTYPE_IPV4	     0x0800
#define TCP_HEADER_LENGTH    20
#define TCP_DATA_OFFSET	     12
#define TCP_FLAGS	     13
#define UDP_HEADER_LENGTH    8
#define UDP_LENGTH	     4
#define IPV4_MORE_FRAGMENTS  0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff

static uint16_t load16_be(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

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
	if (i < length)
		sum += load16_raw(bytes + i);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

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

enum packet_kind packet_parse(struct packet *packet, const uint8_t *mac)
{
	const uint8_t *ethernet = packet->frame.data;

	packet->source_port_be = 0;
	packet->destination_port_be = 0;
	packet->tcp_flags = 0;
	if (packet->frame.length < ETHERNET_HEADER_LENGTH)
		return malformed(packet, DROP_ETHERNET_TRUNCATED);
	/* A group address, or a station that is not us: seen in promiscuous mode or when a switch
	 * floods. Forwarding it would deliver a second copy. */
	if (ethernet[0] & 1)
		return PACKET_OTHER;
	if (mac != NULL && (load32_raw(ethernet) != load32_raw(mac) ||
			    load16_raw(ethernet + 4) != load16_raw(mac + 4)))
		return PACKET_OTHER;
	if (load16_be(ethernet + ETHERTYPE_OFFSET) != ETHERTYPE_IPV4)
		return PACKET_OTHER;
	packet->l3_offset = ETHERNET_HEADER_LENGTH;
	return parse_ipv4(packet);
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
