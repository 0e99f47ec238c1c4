/* SPDX-License-Identifier: BSD-2-Clause */
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/decapsulation.h>
#include <fluxpin/encapsulation.h>

#include "bytes.h"

#define GUE_HEADER_LENGTH 4
#define UDP_HEADER_LENGTH 8

/* Bits of the GRE header's first word (RFC 2784, RFC 2890). */
#define GRE_CHECKSUM 0x8000
#define GRE_ROUTING  0x4000
#define GRE_KEY	     0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_VERSION  0x0007

/* The ECN field (RFC 3168 section 5). */
#define ECN_MASK    0x03
#define ECN_NOT_ECT 0x00
#define ECN_ECT_1   0x01
#define ECN_ECT_0   0x02
#define ECN_CE	    0x03

/* What stands in front of the packet inside. */
struct tunnel {
	const uint8_t *start; /* behind the outer IP header */
	uint32_t length;      /* from there to the end of the outer packet */
	uint32_t header;      /* bytes of it in front of the packet inside */
	bool is_ipv6;	      /* the packet inside */
};

static bool is_listed_source(const struct decapsulation *decapsulation,
			     const struct address *address)
{
	for (uint32_t i = 0; i < decapsulation->source_count; i++)
		if (prefix_holds(&decapsulation->sources[i], address))
			return true;
	return false;
}

static bool has_ethertype(uint16_t ethertype, struct tunnel *tunnel)
{
	tunnel->is_ipv6 = ethertype == ETHERTYPE_IPV6;
	return ethertype == ETHERTYPE_IPV4 || ethertype == ETHERTYPE_IPV6;
}

/* Checksum over the whole of the GRE packet (RFC 2784 section 2.1). */
static enum decapsulation_result read_gre(struct tunnel *tunnel)
{
	uint16_t flags;

	if (tunnel->length < 4)
		return DECAPSULATION_FAILED;
	flags = load16_be(tunnel->start);
	if ((flags & (GRE_ROUTING | GRE_VERSION)) != 0 ||
	    !has_ethertype(load16_be(tunnel->start + 2), tunnel))
		return DECAPSULATION_NONE;
	tunnel->header = 4;
	if ((flags & GRE_CHECKSUM) != 0)
		tunnel->header += 4;
	if ((flags & GRE_KEY) != 0)
		tunnel->header += 4;
	if ((flags & GRE_SEQUENCE) != 0)
		tunnel->header += 4;
	if (tunnel->header > tunnel->length)
		return DECAPSULATION_FAILED;
	if ((flags & GRE_CHECKSUM) != 0 && packet_checksum(tunnel->start, tunnel->length) != 0)
		return DECAPSULATION_FAILED;
	return DECAPSULATION_DONE;
}

static bool udp_checksum_is_right(const struct packet *packet, const uint8_t *udp, uint16_t length)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;

	return packet_transport_checksum(packet->is_ipv6 ? ip + 8 : ip + 12,
					 packet->is_ipv6 ? 32 : 8, IPPROTO_UDP, udp, length) == 0;
}

/*
 * Version 0, data, options of whatever kind stepped over (draft-ietf-intarea-gue section 3). The
 * port was seen to be GUE's. Without a checksum over IPv6, too, as RFC 6935 allows.
 */
static enum decapsulation_result read_gue(const struct packet *packet, struct tunnel *tunnel)
{
	const uint8_t *gue = tunnel->start + UDP_HEADER_LENGTH;
	uint16_t length;

	if (tunnel->length < UDP_HEADER_LENGTH + GUE_HEADER_LENGTH)
		return DECAPSULATION_FAILED;
	length = load16_be(tunnel->start + 4);
	if (length < UDP_HEADER_LENGTH + GUE_HEADER_LENGTH || length > tunnel->length)
		return DECAPSULATION_FAILED;
	/* The first two bits are the version, the third tells a control message. */
	if ((gue[0] & 0xe0) != 0 || (gue[1] != IPPROTO_IPIP && gue[1] != IPPROTO_IPV6))
		return DECAPSULATION_NONE;
	if (load16_be(tunnel->start + 6) != 0 &&
	    !udp_checksum_is_right(packet, tunnel->start, length))
		return DECAPSULATION_FAILED;
	tunnel->length = length;
	tunnel->header = UDP_HEADER_LENGTH + GUE_HEADER_LENGTH + (gue[0] & 0x1fu) * 4;
	tunnel->is_ipv6 = gue[1] == IPPROTO_IPV6;
	return tunnel->header <= length ? DECAPSULATION_DONE : DECAPSULATION_FAILED;
}

static enum decapsulation_result read_tunnel(const struct packet *packet, struct tunnel *tunnel)
{
	switch (packet->protocol) {
	case IPPROTO_GRE:
		return read_gre(tunnel);
	case IPPROTO_UDP:
		return read_gue(packet, tunnel);
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		tunnel->is_ipv6 = packet->protocol == IPPROTO_IPV6;
		return DECAPSULATION_DONE;
	default:
		return DECAPSULATION_NONE;
	}
}

/* A cheap first look: whether it can be a tunnel at all. */
static bool may_be_tunnel(const struct packet *packet, const struct tunnel *tunnel)
{
	switch (packet->protocol) {
	case IPPROTO_GRE:
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		return !packet->is_fragment;
	case IPPROTO_UDP:
		return !packet->is_fragment && tunnel->length >= 4 &&
		       load16_be(tunnel->start + 2) == ENCAPSULATION_GUE_PORT;
	default:
		return false;
	}
}

/*
 * RFC 6040 section 4.2: what the next hop is to see of both ECN fields. False where a packet that
 * cannot carry the outer one's mark has to be dropped.
 */
static bool combine_ecn(uint8_t outer, struct packet *packet)
{
	uint8_t inner = packet->traffic_class & ECN_MASK, combined = inner;

	outer &= ECN_MASK;
	if (outer == ECN_CE && inner == ECN_NOT_ECT)
		return false;
	if (outer == ECN_CE)
		combined = ECN_CE;
	else if (outer == ECN_ECT_1 && inner == ECN_ECT_0)
		combined = ECN_ECT_1;
	packet->traffic_class = (uint8_t)((packet->traffic_class & ~ECN_MASK) | combined);
	return true;
}

static enum decapsulation_result fail(struct packet *packet)
{
	packet->reason = DROP_DECAPSULATION;
	return DECAPSULATION_FAILED;
}

/* Whether the tunnel ends here and may come from there. */
static bool is_ours(const struct decapsulation *decapsulation, const struct packet *packet)
{
	struct address source = packet_source(packet), destination = packet_destination(packet);

	return address_is_in(decapsulation->addresses, decapsulation->address_count,
			     &destination) &&
	       is_listed_source(decapsulation, &source);
}

/* Whether another load balancer of the cluster has redirected what is inside. */
static bool is_redirected(const struct decapsulation *decapsulation, const struct packet *packet,
			  const struct tunnel *tunnel)
{
	struct address source, destination;

	if (decapsulation->peer_count == 0 || packet->protocol != IPPROTO_GRE ||
	    tunnel->length < 4 || (load16_be(tunnel->start) & ENCAPSULATION_GRE_RECURSION) == 0)
		return false;
	source = packet_source(packet);
	destination = packet_destination(packet);
	return address_equal(&destination, &decapsulation->self) &&
	       !address_equal(&source, &decapsulation->self) &&
	       address_is_in(decapsulation->peers, decapsulation->peer_count, &source);
}

/* All that a load balancer of the cluster ever redirects. */
static bool is_fragment(const struct packet *inner)
{
	struct packet walked = *inner;

	if (!inner->is_ipv6)
		return inner->is_fragment;
	return packet_walk_extensions(&walked) && walked.is_fragment;
}

enum decapsulation_result decapsulation_apply(const struct decapsulation *decapsulation,
					      struct packet *packet)
{
	struct tunnel tunnel = {
		.start = packet->frame.data + packet->l4_offset,
		.length = (uint32_t)packet->l3_offset + packet->l3_length - packet->l4_offset,
	};
	uint8_t outer_traffic_class = packet->traffic_class;
	enum decapsulation_result result;
	struct packet inner = *packet;
	bool redirected;

	if (!may_be_tunnel(packet, &tunnel))
		return DECAPSULATION_NONE;
	redirected = is_redirected(decapsulation, packet, &tunnel);
	if (!redirected && !is_ours(decapsulation, packet))
		return DECAPSULATION_NONE;
	result = read_tunnel(packet, &tunnel);
	if (result == DECAPSULATION_NONE)
		return result;
	if (result == DECAPSULATION_FAILED)
		return fail(packet);
	inner.l3_offset = (uint16_t)(packet->l4_offset + tunnel.header);
	/* What lies behind the outer packet is no part of the one inside. */
	inner.frame.length = (uint32_t)packet->l4_offset + tunnel.length;
	if (packet_parse_ip(&inner, tunnel.is_ipv6) == PACKET_MALFORMED) {
		packet->reason = inner.reason;
		return DECAPSULATION_FAILED;
	}
	if (redirected && !is_fragment(&inner) && !is_ours(decapsulation, packet))
		return DECAPSULATION_NONE;
	if (!combine_ecn(outer_traffic_class, &inner))
		return fail(packet);
	inner.frame.length = packet->frame.length;
	inner.flags |= PACKET_DECAPSULATED;
	if (redirected)
		inner.flags |= PACKET_REDIRECTED;
	*packet = inner;
	return DECAPSULATION_DONE;
}
