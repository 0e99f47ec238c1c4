/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/encapsulation.h>
#include <fluxpin/icmp.h>

#include "bytes.h"

#define MACS_LENGTH	     12u
#define MOST_EXTENSIONS	     8
#define EXTENSION_UNIT	     8
#define PORTS_LENGTH	     4
#define MTU_OFFSET	     4 /* of ICMPv6 32 bits, of ICMP the last 16 of them */
#define GRE_LENGTH	     4
#define GUE_LENGTH	     12 /* UDP header included */
#define IPV4_DF		     0x4000
#define IPV4_OFFSET	     0x1fff
#define IPV6_OFFSET	     0xfff8
#define ANSWER_TTL	     64
#define MOST_IPV4_ERROR	     576
#define QUOTE_WORDS	     5	 /* offset of the quoted packet's length, in ICMP */
#define LEAST_EXTENDED_QUOTE 128 /* RFC 4884 section 4 */
#define LEAST_QUOTED	     8	 /* bytes of the inner packet's own data: RFC 792 */

/* What an answer takes over from the packet that it is built over. */
struct answer {
	uint8_t link[MACS_LENGTH + PACKET_MAX_TAGS * VLAN_TAG_LENGTH];
	uint32_t link_length;  /* without the EtherType */
	uint8_t addresses[32]; /* source and destination of the answer, as in its header */
	uint8_t fragment[4];   /* identification, flags and offset of IPv4 */
	uint8_t traffic_class;
	bool is_ipv6;
	bool is_fragment; /* of IPv6: what is behind the IP header begins with its header */
};

static uint32_t message_length(const struct packet *packet)
{
	return (uint32_t)packet->l3_offset + packet->l3_length - packet->l4_offset;
}

static uint8_t *message_of(const struct packet *packet)
{
	return packet->frame.data + packet->l4_offset;
}

/* That of ICMPv6 has a pseudo-header. As it lies in memory. */
static uint16_t checksum_of(bool is_ipv6, const uint8_t *addresses, const uint8_t *message,
			    uint32_t length)
{
	if (!is_ipv6)
		return packet_checksum(message, length);
	return packet_transport_checksum(addresses, 32, IPPROTO_ICMPV6, message, length);
}

uint8_t icmp_type(const struct packet *packet)
{
	return message_length(packet) > 0 ? message_of(packet)[0] : 0xff;
}

bool icmp_is_valid(const struct packet *packet)
{
	uint32_t length = message_length(packet);

	return length >= ICMP_HEADER_LENGTH &&
	       checksum_of(packet->is_ipv6, packet->is_ipv6 ? packet_ipv6_addresses(packet) : NULL,
			   message_of(packet), length) == 0;
}

/* `type` counts when the protocol is the family's ICMP. */
static bool is_error(bool is_ipv6, uint8_t protocol, uint8_t type)
{
	if (is_ipv6)
		return protocol == IPPROTO_ICMPV6 && type < 128;
	return protocol == IPPROTO_ICMP &&
	       (type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECTED ||
		type == ICMP_EXCEEDED || type == ICMP_PARAMETER);
}

/* ---- what an error quotes, and what a fragment is of ---- */

/* Where the protocol of an IPv6 packet begins, from `quote`; 0 when that cannot be told. */
static uint32_t walk_quote(const uint8_t *quote, uint32_t length, uint8_t *protocol)
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

/* The same for an IPv4 packet. */
static uint32_t measure_quote(const uint8_t *quote, uint32_t length, uint8_t *protocol)
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
	uint32_t offset = packet->is_ipv6 ? walk_quote(ip, packet->l3_length, &protocol)
					  : measure_quote(ip, packet->l3_length, &protocol);

	if (offset == 0 || offset >= packet->l3_length)
		return packet->protocol == (packet->is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	return is_error(packet->is_ipv6, protocol, ip[offset]);
}

bool icmp_is_error(const struct packet *packet)
{
	if (packet->is_fragment)
		return is_error_fragment(packet);
	return is_error(packet->is_ipv6, packet->protocol, icmp_type(packet));
}

bool icmp_read_quote(const struct packet *packet, struct icmp_quote *quote)
{
	const uint8_t *quoted = message_of(packet) + ICMP_HEADER_LENGTH;
	uint32_t length = message_length(packet) - ICMP_HEADER_LENGTH;
	uint32_t least = packet->is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	uint32_t offset;

	*quote = (struct icmp_quote){ .is_ipv6 = packet->is_ipv6 };
	if (length < least || quoted[0] >> 4 != (packet->is_ipv6 ? 6 : 4))
		return false;
	if (packet->is_ipv6) {
		memcpy(quote->source.bytes, quoted + 8, 16);
		memcpy(quote->destination.bytes, quoted + 24, 16);
		offset = walk_quote(quoted, length, &quote->protocol);
	} else {
		uint32_t addresses_be[2];

		memcpy(addresses_be, quoted + 12, sizeof(addresses_be));
		quote->source = address_from_ipv4(addresses_be[0]);
		quote->destination = address_from_ipv4(addresses_be[1]);
		offset = measure_quote(quoted, length, &quote->protocol);
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

/* ---- answers ---- */

/* Everything that building may write over. */
static void begin_answer(const struct packet *packet, struct answer *answer)
{
	const uint8_t *data = packet->frame.data;
	const uint8_t *ip = data + packet->l3_offset;

	answer->link_length = MACS_LENGTH + packet->tag_count * VLAN_TAG_LENGTH;
	memcpy(answer->link, data + 6, 6);
	memcpy(answer->link + 6, data, 6);
	memcpy(answer->link + MACS_LENGTH, data + MACS_LENGTH, answer->link_length - MACS_LENGTH);
	answer->is_ipv6 = packet->is_ipv6;
	answer->is_fragment = false;
	answer->traffic_class = 0;
	store16_be(answer->fragment, 0);
	store16_be(answer->fragment + 2, IPV4_DF);
	if (packet->is_ipv6) {
		memcpy(answer->addresses, ip + 24, 16);
		memcpy(answer->addresses + 16, ip + 8, 16);
	} else {
		memcpy(answer->addresses, ip + 16, 4);
		memcpy(answer->addresses + 4, ip + 12, 4);
	}
}

static uint32_t header_length_of(const struct answer *answer)
{
	return answer->is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
}

static void write_ipv4(const struct answer *answer, uint8_t *ip, uint32_t length)
{
	uint16_t checksum;

	memset(ip, 0, IPV4_HEADER_LENGTH);
	ip[0] = 4 << 4 | IPV4_HEADER_LENGTH / 4;
	ip[1] = answer->traffic_class;
	store16_be(ip + 2, (uint16_t)(IPV4_HEADER_LENGTH + length));
	memcpy(ip + 4, answer->fragment, sizeof(answer->fragment));
	ip[8] = ANSWER_TTL;
	ip[9] = IPPROTO_ICMP;
	memcpy(ip + 12, answer->addresses, 8);
	checksum = packet_checksum(ip, IPV4_HEADER_LENGTH);
	memcpy(ip + 10, &checksum, sizeof(checksum));
}

static void write_ipv6(const struct answer *answer, uint8_t *ip, uint32_t length)
{
	memset(ip, 0, 8);
	store16_be(ip, (uint16_t)(6 << 12 | answer->traffic_class << 4));
	store16_be(ip + 4, (uint16_t)length);
	ip[6] = answer->is_fragment ? IPPROTO_FRAGMENT : IPPROTO_ICMPV6;
	ip[7] = ANSWER_TTL;
	memcpy(ip + 8, answer->addresses, 32);
}

/* Headers in front of the payload; the packet becomes the answer. */
static void write_headers(struct packet *packet, const struct answer *answer, uint8_t *payload,
			  uint32_t length)
{
	uint8_t *ip = payload - header_length_of(answer);
	uint8_t *start = ip - 2 - answer->link_length;
	struct frame *frame = &packet->frame;
	int64_t moved = start - frame->data;

	if (answer->is_ipv6)
		write_ipv6(answer, ip, length);
	else
		write_ipv4(answer, ip, length);
	store16_be(ip - 2, answer->is_ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
	memcpy(start, answer->link, answer->link_length);

	frame->data = start;
	frame->address += (uint64_t)moved;
	frame->headroom += (uint32_t)moved;
	frame->length = answer->link_length + 2 + header_length_of(answer) + length;
	packet->is_ipv6 = answer->is_ipv6;
	packet->l3_offset = (uint16_t)(answer->link_length + 2);
	packet->l4_offset = (uint16_t)(packet->l3_offset + header_length_of(answer));
	packet->l3_length = (uint16_t)(header_length_of(answer) + length);
	packet->verdict = VERDICT_ANSWER;
}

/* For a message that has its type, code and contents. */
static void finish_answer(struct packet *packet, const struct answer *answer, uint8_t *message,
			  uint32_t length)
{
	uint16_t checksum;

	memset(message + 2, 0, 2);
	checksum = checksum_of(answer->is_ipv6, answer->addresses, message, length);
	memcpy(message + 2, &checksum, sizeof(checksum));
	write_headers(packet, answer, message, length);
}

void icmp_answer_echo(struct packet *packet)
{
	struct answer answer;
	uint8_t *message = message_of(packet);
	uint32_t length = message_length(packet);

	begin_answer(packet, &answer);
	answer.traffic_class = packet->traffic_class;
	message[0] = packet->is_ipv6 ? ICMPV6_ECHO_ANSWERED : ICMP_ECHO_ANSWER;
	/* Whatever the request has there. */
	message[1] = 0;
	finish_answer(packet, &answer, message, length);
}

/*
 * Makes the beginning of an echo request that of its reply, whose data is elsewhere: what the type
 * and code add to the sum changes, and nothing else (RFC 1624 section 3, equation 3).
 */
static void turn_echo(uint8_t *message, bool is_ipv6)
{
	uint16_t reply = (uint16_t)((is_ipv6 ? ICMPV6_ECHO_ANSWERED : ICMP_ECHO_ANSWER) << 8);
	uint32_t sum = (uint16_t)~load16_be(message + 2);
	uint16_t checksum;

	sum += (uint16_t)~load16_be(message);
	sum += reply;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	checksum = (uint16_t)~sum;
	/* A message of zeros sums up to zero: then, and else as well, all ones are right. */
	if (checksum == 0)
		checksum = 0xffff;
	store16_be(message, reply);
	store16_be(message + 2, checksum);
}

void icmp_answer_echo_fragment(struct packet *packet, bool is_first)
{
	uint8_t *payload = message_of(packet), *end = payload + message_length(packet);
	struct answer answer;

	begin_answer(packet, &answer);
	answer.traffic_class = packet->traffic_class;
	if (is_first)
		turn_echo(payload, packet->is_ipv6);
	if (packet->is_ipv6) {
		answer.is_fragment = true;
		if (is_first)
			payload -= FRAGMENT_HEADER_LENGTH;
	} else {
		memcpy(answer.fragment, packet->frame.data + packet->l3_offset + 4,
		       sizeof(answer.fragment));
	}
	write_headers(packet, &answer, payload, (uint32_t)(end - payload));
}

/* Puts the header of a "too big" in front of what it quotes; answer and packet as they were. */
static void build_too_big(struct packet *packet, const struct answer *answer, uint8_t *quoted,
			  uint32_t quoted_length, uint32_t mtu)
{
	uint32_t most = answer->is_ipv6 ? IPV6_LEAST_MTU : MOST_IPV4_ERROR;
	uint32_t headers = header_length_of(answer) + ICMP_HEADER_LENGTH;
	uint8_t *message = quoted - ICMP_HEADER_LENGTH;
	uint32_t mtu_be = htonl(mtu);

	if (quoted_length > most - headers)
		quoted_length = most - headers;
	message[0] = answer->is_ipv6 ? ICMPV6_TOO_BIG : ICMP_UNREACHABLE;
	message[1] = answer->is_ipv6 ? 0 : ICMP_CODE_TOO_BIG;
	memcpy(message + MTU_OFFSET, &mtu_be, sizeof(mtu_be));
	finish_answer(packet, answer, message, ICMP_HEADER_LENGTH + quoted_length);
}

bool icmp_answer_too_big(struct packet *packet, uint32_t mtu)
{
	struct answer answer;
	uint32_t needed;

	begin_answer(packet, &answer);
	needed = ICMP_HEADER_LENGTH + header_length_of(&answer) + 2 + answer.link_length;
	if (packet->frame.headroom + packet->l3_offset < needed)
		return false;
	build_too_big(packet, &answer, packet->frame.data + packet->l3_offset, packet->l3_length,
		      mtu);
	return true;
}

/* ---- errors about our own tunnel packets ---- */

/* Bytes of the tunnel's own header behind the outer IP header; 0 with *is_tunnel false for what we
 * do not send. */
static uint32_t read_shim(const uint8_t *shim, uint32_t length, uint8_t protocol, bool *is_tunnel,
			  bool *is_ipv6)
{
	*is_tunnel = true;
	*is_ipv6 = protocol == IPPROTO_IPV6;
	if (protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6)
		return 0;
	/* To a backend without any flag, to a peer with the recursion bit. */
	if (protocol == IPPROTO_GRE && length >= GRE_LENGTH &&
	    (load16_be(shim) == 0 || load16_be(shim) == ENCAPSULATION_GRE_ONCE)) {
		*is_ipv6 = load16_be(shim + 2) == ETHERTYPE_IPV6;
		*is_tunnel = *is_ipv6 || load16_be(shim + 2) == ETHERTYPE_IPV4;
		return GRE_LENGTH;
	}
	if (protocol == IPPROTO_UDP && length >= GUE_LENGTH &&
	    load16_be(shim + 2) == ENCAPSULATION_GUE_PORT && shim[8] == 0) {
		*is_ipv6 = shim[9] == IPPROTO_IPV6;
		*is_tunnel = *is_ipv6 || shim[9] == IPPROTO_IPIP;
		return GUE_LENGTH;
	}
	*is_tunnel = false;
	return 0;
}

/* What the router says fits; 0 from routers older than RFC 1191. */
static uint32_t told_mtu(const struct packet *packet)
{
	uint32_t mtu_be;

	memcpy(&mtu_be, message_of(packet) + MTU_OFFSET, sizeof(mtu_be));
	return packet->is_ipv6 ? ntohl(mtu_be) : ntohl(mtu_be) & 0xffff;
}

/* Whether the quoted outer header is from where the report went to. */
static bool is_from_here(const struct packet *packet, const uint8_t *quoted)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;

	if (packet->is_ipv6)
		return memcmp(quoted + 8, ip + 24, 16) == 0;
	return memcmp(quoted + 12, ip + 16, 4) == 0;
}

/* Sets destination, length and the MTU that it leaves. */
static bool read_inner(const uint8_t *ip, uint32_t length, struct icmp_inner *inner)
{
	uint32_t least = inner->is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	uint32_t address_be, offset, stated;
	uint8_t protocol;

	if (length < least || ip[0] >> 4 != (inner->is_ipv6 ? 6 : 4))
		return false;
	if (inner->is_ipv6) {
		memcpy(inner->destination.bytes, ip + 24, 16);
		stated = IPV6_HEADER_LENGTH + (uint32_t)load16_be(ip + 4);
		offset = walk_quote(ip, length, &protocol);
		if (inner->mtu < IPV6_LEAST_MTU)
			inner->mtu = IPV6_LEAST_MTU;
	} else {
		memcpy(&address_be, ip + 16, sizeof(address_be));
		inner->destination = address_from_ipv4(address_be);
		stated = load16_be(ip + 2);
		offset = measure_quote(ip, length, &protocol);
		if (inner->mtu < IPV4_LEAST_MTU || (load16_be(ip + 6) & IPV4_DF) == 0)
			return false;
	}
	/* What is behind the packet (RFC 4884) is none of it. */
	inner->length = length < stated ? length : stated;
	return offset != 0 && length - offset >= LEAST_QUOTED && stated > inner->mtu &&
	       !is_error(inner->is_ipv6, protocol, ip[offset]);
}

bool icmp_find_inner(const struct packet *packet, struct icmp_inner *inner)
{
	const uint8_t *quoted = message_of(packet) + ICMP_HEADER_LENGTH;
	uint32_t length = message_length(packet) - ICMP_HEADER_LENGTH;
	uint32_t least = packet->is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	uint32_t mtu = told_mtu(packet), offset;
	uint32_t extended = packet->is_ipv6 ? 0 : message_of(packet)[QUOTE_WORDS] * 4u;
	uint8_t protocol;
	bool is_tunnel;

	/* Extensions follow the quoted packet (RFC 4884 section 4.1). */
	if (extended >= LEAST_EXTENDED_QUOTE && extended < length)
		length = extended;
	if (length < least || quoted[0] >> 4 != (packet->is_ipv6 ? 6 : 4) ||
	    !is_from_here(packet, quoted))
		return false;
	offset = packet->is_ipv6 ? walk_quote(quoted, length, &protocol)
				 : measure_quote(quoted, length, &protocol);
	/* Ours have neither options nor extension headers. */
	if (offset != least)
		return false;
	offset +=
		read_shim(quoted + offset, length - offset, protocol, &is_tunnel, &inner->is_ipv6);
	if (!is_tunnel || mtu <= offset)
		return false;
	inner->offset = packet->l4_offset + ICMP_HEADER_LENGTH + offset;
	inner->mtu = mtu - offset;
	return read_inner(quoted + offset, length - offset, inner);
}

void icmp_relay_too_big(struct packet *packet, const struct icmp_inner *inner)
{
	uint8_t *ip = packet->frame.data + inner->offset;
	struct answer answer;

	begin_answer(packet, &answer);
	answer.is_ipv6 = inner->is_ipv6;
	if (inner->is_ipv6) {
		memcpy(answer.addresses, ip + 24, 16);
		memcpy(answer.addresses + 16, ip + 8, 16);
	} else {
		memcpy(answer.addresses, ip + 16, 4);
		memcpy(answer.addresses + 4, ip + 12, 4);
	}
	build_too_big(packet, &answer, ip, inner->length, inner->mtu);
}
