/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports about tunnel packets of ours, for the senders of the packets inside. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/encapsulation.h>

#include "bytes.h"
#include "icmp_internal.h"

#define GRE_LENGTH	     4
#define GUE_LENGTH	     12 /* UDP header included */
#define IPV4_DF		     0x4000
#define QUOTE_WORDS	     5	 /* offset of the quoted packet's length, in ICMP */
#define LEAST_EXTENDED_QUOTE 128 /* RFC 4884 section 4 */
#define LEAST_QUOTED	     8	 /* bytes of the inner packet's own data: RFC 792 */

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

	memcpy(&mtu_be, icmp_message(packet) + ICMP_MTU_OFFSET, sizeof(mtu_be));
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
		offset = icmp_walk_ipv6(ip, length, &protocol);
		if (inner->mtu < IPV6_LEAST_MTU)
			inner->mtu = IPV6_LEAST_MTU;
	} else {
		memcpy(&address_be, ip + 16, sizeof(address_be));
		inner->destination = address_from_ipv4(address_be);
		stated = load16_be(ip + 2);
		offset = icmp_measure_ipv4(ip, length, &protocol);
		if (inner->mtu < IPV4_LEAST_MTU || (load16_be(ip + 6) & IPV4_DF) == 0)
			return false;
	}
	/* What is behind the packet (RFC 4884) is none of it. */
	inner->length = length < stated ? length : stated;
	return offset != 0 && length - offset >= LEAST_QUOTED && stated > inner->mtu &&
	       !icmp_is_error_type(inner->is_ipv6, protocol, ip[offset]);
}

bool icmp_find_inner(const struct packet *packet, struct icmp_inner *inner)
{
	const uint8_t *quoted = icmp_message(packet) + ICMP_HEADER_LENGTH;
	uint32_t length = icmp_message_length(packet) - ICMP_HEADER_LENGTH;
	uint32_t least = packet->is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	uint32_t mtu = told_mtu(packet), offset;
	uint32_t extended = packet->is_ipv6 ? 0 : icmp_message(packet)[QUOTE_WORDS] * 4u;
	uint8_t protocol;
	bool is_tunnel;

	/* Extensions follow the quoted packet (RFC 4884 section 4.1). */
	if (extended >= LEAST_EXTENDED_QUOTE && extended < length)
		length = extended;
	if (length < least || quoted[0] >> 4 != (packet->is_ipv6 ? 6 : 4) ||
	    !is_from_here(packet, quoted))
		return false;
	offset = packet->is_ipv6 ? icmp_walk_ipv6(quoted, length, &protocol)
				 : icmp_measure_ipv4(quoted, length, &protocol);
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
	struct icmp_answer answer;

	icmp_begin_answer(packet, &answer);
	answer.is_ipv6 = inner->is_ipv6;
	if (inner->is_ipv6) {
		memcpy(answer.addresses, ip + 24, 16);
		memcpy(answer.addresses + 16, ip + 8, 16);
	} else {
		memcpy(answer.addresses, ip + 16, 4);
		memcpy(answer.addresses + 4, ip + 12, 4);
	}
	icmp_build_too_big(packet, &answer, ip, inner->length, inner->mtu);
}
