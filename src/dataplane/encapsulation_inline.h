/* SPDX-License-Identifier: BSD-2-Clause */
/* encapsulation_apply for the packet path: one body, specialised by encapsulation and outer family.
 */
#ifndef FLUXPIN_ENCAPSULATION_INLINE_H
#define FLUXPIN_ENCAPSULATION_INLINE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include <fluxpin/encapsulation.h>

#include "bytes.h"

#define OUTER_TTL	   64
#define IPV4_DONT_FRAGMENT 0x4000
#define GRE_HEADER_LENGTH  4
#define UDP_HEADER_LENGTH  8
#define GUE_HEADER_LENGTH  4

/* Offsets in the prepared header. */
#define MACS_LENGTH	    12
#define ETHERTYPE	    12
#define OUTER		    ETHERNET_HEADER_LENGTH
#define IPV4_TOS	    (OUTER + 1)
#define IPV4_TOTAL_LENGTH   (OUTER + 2)
#define IPV4_FLAGS	    (OUTER + 6)
#define IPV4_TTL	    (OUTER + 8)
#define IPV4_PROTOCOL	    (OUTER + 9)
#define IPV4_CHECKSUM	    (OUTER + 10)
#define IPV4_SOURCE	    (OUTER + 12)
#define IPV4_DESTINATION    (OUTER + 16)
#define IPV6_PAYLOAD_LENGTH (OUTER + 4)
#define IPV6_NEXT_HEADER    (OUTER + 6)
#define IPV6_HOP_LIMIT	    (OUTER + 7)
#define IPV6_SOURCE	    (OUTER + 8)
#define IPV6_DESTINATION    (OUTER + 24)

_Static_assert(OUTER + IPV6_HEADER_LENGTH + UDP_HEADER_LENGTH + GUE_HEADER_LENGTH <=
		       ENCAPSULATION_MAX_HEADER,
	       "GUE over IPv6, the longest one, fits");
_Static_assert(offsetof(struct destination, header) + OUTER + IPV4_HEADER_LENGTH +
			       UDP_HEADER_LENGTH + GUE_HEADER_LENGTH <=
		       64,
	       "what a hit reads for outer IPv4 without tags lies in the first cache line");

static inline uint32_t outer_length(enum encapsulation encapsulation, bool is_ipv6)
{
	uint32_t length = is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;

	switch (encapsulation) {
	case ENCAPSULATION_GRE:
		return length + GRE_HEADER_LENGTH;
	case ENCAPSULATION_IPIP:
		return length;
	case ENCAPSULATION_GUE:
		return length + UDP_HEADER_LENGTH + GUE_HEADER_LENGTH;
	case ENCAPSULATION_L2:
		break;
	}
	return 0;
}

static inline void finish_udp_checksum(uint8_t *udp, uint32_t length, const uint8_t *addresses,
				       uint32_t addresses_length)
{
	uint16_t checksum =
		packet_transport_checksum(addresses, addresses_length, IPPROTO_UDP, udp, length);

	/* 0 would say that there is none. */
	if (checksum == 0)
		checksum = 0xffff;
	memcpy(udp + 6, &checksum, sizeof(checksum));
}

static inline void finish_gue(const struct packet *packet, const struct destination *destination,
			      uint8_t *outer, uint32_t ip_length, bool is_ipv6)
{
	uint8_t *udp = outer + OUTER + ip_length;
	uint32_t length = UDP_HEADER_LENGTH + GUE_HEADER_LENGTH + (uint32_t)packet->l3_length;

	/* The dynamic ports (RFC 6335 section 6) by bits that no other use of the hash takes first.
	 */
	store16_be(udp, (uint16_t)(0xc000 | (packet->hash >> 16 & 0x3fff)));
	store16_be(udp + 4, (uint16_t)length);
	if (destination->udp_checksum)
		finish_udp_checksum(udp, length, outer + (is_ipv6 ? IPV6_SOURCE : IPV4_SOURCE),
				    is_ipv6 ? 32 : 8);
}

/* The header was prepared for an IPv4 packet inside. Returns what that adds to the checksum. */
static inline uint32_t say_ipv6_inside(uint8_t *outer, uint32_t header_length,
				       enum encapsulation encapsulation, bool is_ipv6)
{
	if (encapsulation == ENCAPSULATION_GRE) {
		store16_be(outer + header_length - 2, ETHERTYPE_IPV6);
	} else if (encapsulation == ENCAPSULATION_GUE) {
		outer[header_length - 3] = IPPROTO_IPV6;
	} else if (is_ipv6) {
		outer[IPV6_NEXT_HEADER] = IPPROTO_IPV6;
	} else {
		outer[IPV4_PROTOCOL] = IPPROTO_IPV6;
		return htons(IPPROTO_IPV6 - IPPROTO_IPIP);
	}
	return 0;
}

static inline void finish_ipv4(const struct packet *packet, const struct destination *destination,
			       uint8_t *outer, uint32_t overhead, uint32_t added)
{
	uint16_t length_be = htons((uint16_t)(packet->l3_length + overhead));
	uint16_t traffic_class_be = htons(packet->traffic_class);
	uint32_t sum = destination->checksum + length_be + traffic_class_be + added;
	uint16_t checksum;

	/* At most 13 words of 16 bits. Both halves in the upper one, with the carry (RFC 1071). */
	sum += sum << 16 | sum >> 16;
	checksum = (uint16_t)(~sum >> 16);
	outer[IPV4_TOS] = packet->traffic_class;
	memcpy(outer + IPV4_TOTAL_LENGTH, &length_be, sizeof(length_be));
	memcpy(outer + IPV4_CHECKSUM, &checksum, sizeof(checksum));
}

static inline void finish_ipv6(const struct packet *packet, uint8_t *outer, uint32_t overhead)
{
	store16_be(outer + OUTER, (uint16_t)(6 << 12 | packet->traffic_class << 4));
	store16_be(outer + IPV6_PAYLOAD_LENGTH,
		   (uint16_t)(packet->l3_length + overhead - IPV6_HEADER_LENGTH));
}

/*
 * One body, specialised at compile time by its last three arguments. `is_plain`: no tags in front
 * of the packet or on the way out, and no tunnel's header, so that all distances are known.
 */
static inline __attribute__((always_inline)) bool apply(struct packet *packet,
							const struct destination *destination,
							enum encapsulation encapsulation,
							bool is_ipv6, bool is_plain)
{
	const uint32_t overhead = outer_length(encapsulation, is_ipv6);
	const uint32_t header_length = ETHERNET_HEADER_LENGTH + overhead;
	const uint32_t ip_length = is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	const uint32_t l3_offset = is_plain ? ETHERNET_HEADER_LENGTH : packet->l3_offset;
	const uint8_t tag_count = is_plain		    ? 0
				  : destination->keeps_tags ? packet->tag_count
							    : destination->tag_count;
	const uint32_t tags_length = tag_count * VLAN_TAG_LENGTH;
	struct frame *frame = &packet->frame;
	uint8_t tags[PACKET_MAX_TAGS * VLAN_TAG_LENGTH];
	uint32_t moved, added = 0;
	uint8_t *outer;

	if (frame->headroom + l3_offset < header_length + tags_length) {
		packet->reason = DROP_NO_HEADROOM;
		return false;
	}
	/* Before the outer header covers the packet's own. */
	if (__builtin_expect(tags_length != 0, false))
		memcpy(tags,
		       destination->keeps_tags ? frame->data + MACS_LENGTH : destination->tags,
		       tags_length);
	outer = frame->data + l3_offset - header_length;
	memcpy(outer, destination->header, header_length);
	if (encapsulation == ENCAPSULATION_L2) {
		store16_be(outer + ETHERTYPE, packet->is_ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
	} else {
		if (packet->is_ipv6)
			added = say_ipv6_inside(outer, header_length, encapsulation, is_ipv6);
		if (encapsulation == ENCAPSULATION_GUE)
			finish_gue(packet, destination, outer, ip_length, is_ipv6);
		if (is_ipv6)
			finish_ipv6(packet, outer, overhead);
		else
			finish_ipv4(packet, destination, outer, overhead, added);
	}
	if (__builtin_expect(tags_length != 0, false)) {
		outer -= tags_length;
		memcpy(outer, destination->header, MACS_LENGTH);
		memcpy(outer + MACS_LENGTH, tags, tags_length);
	}
	/* Unsigned arithmetic: right whichever of the two starts lies further in front. */
	moved = l3_offset - header_length - tags_length;
	frame->address += (uint64_t)l3_offset - header_length - tags_length;
	frame->headroom += moved;
	frame->data = outer;
	frame->length = (uint32_t)packet->l3_length + header_length + tags_length;
	/* Nobody looks into a plain packet any more. */
	if (is_plain)
		return true;
	packet->tag_count = tag_count;
	packet->l3_offset = (uint16_t)(header_length + tags_length);
	packet->l4_offset = (uint16_t)(packet->l4_offset - moved);
	return true;
}

/* What a destination's `kind` says. */
#define ENCAPSULATION_KIND(encapsulation, is_ipv6) ((encapsulation) << 1 | (is_ipv6))

/* The packet is not longer than the destination's limit. */
static inline __attribute__((always_inline)) bool
encapsulation_apply_inline(struct packet *packet, const struct destination *destination,
			   bool is_plain)
{
	switch (destination->kind) {
	case ENCAPSULATION_KIND(ENCAPSULATION_GRE, false):
		return apply(packet, destination, ENCAPSULATION_GRE, false, is_plain);
	case ENCAPSULATION_KIND(ENCAPSULATION_GRE, true):
		return apply(packet, destination, ENCAPSULATION_GRE, true, is_plain);
	case ENCAPSULATION_KIND(ENCAPSULATION_IPIP, false):
		return apply(packet, destination, ENCAPSULATION_IPIP, false, is_plain);
	case ENCAPSULATION_KIND(ENCAPSULATION_IPIP, true):
		return apply(packet, destination, ENCAPSULATION_IPIP, true, is_plain);
	case ENCAPSULATION_KIND(ENCAPSULATION_GUE, false):
		return apply(packet, destination, ENCAPSULATION_GUE, false, is_plain);
	case ENCAPSULATION_KIND(ENCAPSULATION_GUE, true):
		return apply(packet, destination, ENCAPSULATION_GUE, true, is_plain);
	default:
		return apply(packet, destination, ENCAPSULATION_L2, false, is_plain);
	}
}

/* Whether all distances are known: see apply. */
static inline bool encapsulation_is_plain(const struct packet *packet,
					  const struct destination *destination)
{
	return packet->l3_offset == ETHERNET_HEADER_LENGTH && destination->tag_count == 0;
}

#endif
