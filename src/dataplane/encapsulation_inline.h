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

/* What an outer header says of the packet inside. */
struct inside {
	uint64_t hash;	 /* of the flow */
	uint32_t length; /* of the IP packet */
	uint8_t traffic_class;
	bool is_ipv6;
};

static inline void finish_gue(const struct inside *inside, const struct destination *destination,
			      uint8_t *outer, uint32_t ip_length, bool is_ipv6)
{
	uint8_t *udp = outer + OUTER + ip_length;
	uint32_t length = UDP_HEADER_LENGTH + GUE_HEADER_LENGTH + inside->length;

	/* The dynamic ports (RFC 6335 section 6) by bits that no other use of the hash takes first.
	 */
	store16_be(udp, (uint16_t)(0xc000 | (inside->hash >> 16 & 0x3fff)));
	store16_be(udp + 4, (uint16_t)length);
	if (__builtin_expect(destination->udp_checksum, false))
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

static inline void finish_ipv4(const struct inside *inside, const struct destination *destination,
			       uint8_t *outer, uint32_t overhead, uint32_t added)
{
	uint16_t length_be = htons((uint16_t)(inside->length + overhead));
	uint16_t traffic_class_be = htons(inside->traffic_class);
	uint32_t sum = destination->checksum + length_be + traffic_class_be + added;
	uint16_t checksum;

	/* At most 13 words of 16 bits. Both halves in the upper one, with the carry (RFC 1071). */
	sum += sum << 16 | sum >> 16;
	checksum = (uint16_t)(~sum >> 16);
	outer[IPV4_TOS] = inside->traffic_class;
	memcpy(outer + IPV4_TOTAL_LENGTH, &length_be, sizeof(length_be));
	memcpy(outer + IPV4_CHECKSUM, &checksum, sizeof(checksum));
}

static inline void finish_ipv6(const struct inside *inside, uint8_t *outer, uint32_t overhead)
{
	store16_be(outer + OUTER, (uint16_t)(6 << 12 | inside->traffic_class << 4));
	store16_be(outer + IPV6_PAYLOAD_LENGTH,
		   (uint16_t)(inside->length + overhead - IPV6_HEADER_LENGTH));
}

/* One body, specialised at compile time by its last two arguments. In front of an l2 packet stands
 * an Ethernet header alone. */
static inline __attribute__((always_inline)) void
write_outer(uint8_t *outer, const struct inside *inside, const struct destination *destination,
	    enum encapsulation encapsulation, bool is_ipv6)
{
	const uint32_t overhead = outer_length(encapsulation, is_ipv6);
	const uint32_t header_length = ETHERNET_HEADER_LENGTH + overhead;
	uint32_t added = 0;

	memcpy(outer, destination->header, header_length);
	if (encapsulation == ENCAPSULATION_L2) {
		store16_be(outer + ETHERTYPE, inside->is_ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
		return;
	}
	if (inside->is_ipv6)
		added = say_ipv6_inside(outer, header_length, encapsulation, is_ipv6);
	if (encapsulation == ENCAPSULATION_GUE)
		finish_gue(inside, destination, outer,
			   is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH, is_ipv6);
	if (is_ipv6)
		finish_ipv6(inside, outer, overhead);
	else
		finish_ipv4(inside, destination, outer, overhead, added);
}

/* What a destination's `kind` says. */
#define ENCAPSULATION_KIND(encapsulation, is_ipv6) ((encapsulation) << 1 | (is_ipv6))

/* Calls apply(ENCAPSULATION, is_ipv6) for what `kind` says, and is of its type. */
#define ENCAPSULATION_SWITCH(kind, apply)                   \
	switch (kind) {                                     \
	case ENCAPSULATION_KIND(ENCAPSULATION_GRE, false):  \
		return apply(ENCAPSULATION_GRE, false);     \
	case ENCAPSULATION_KIND(ENCAPSULATION_GRE, true):   \
		return apply(ENCAPSULATION_GRE, true);      \
	case ENCAPSULATION_KIND(ENCAPSULATION_IPIP, false): \
		return apply(ENCAPSULATION_IPIP, false);    \
	case ENCAPSULATION_KIND(ENCAPSULATION_IPIP, true):  \
		return apply(ENCAPSULATION_IPIP, true);     \
	case ENCAPSULATION_KIND(ENCAPSULATION_GUE, false):  \
		return apply(ENCAPSULATION_GUE, false);     \
	case ENCAPSULATION_KIND(ENCAPSULATION_GUE, true):   \
		return apply(ENCAPSULATION_GUE, true);      \
	default:                                            \
		return apply(ENCAPSULATION_L2, false);      \
	}

/*
 * encapsulation_apply for a packet that stands right behind its Ethernet header and is not longer
 * than the destination's bare_limit: then all distances are known. Sets `*sent` to the frame as it
 * leaves. False: there is not the room for it.
 */
static inline __attribute__((always_inline)) bool
apply_bare(const struct frame *frame, const struct inside *inside,
	   const struct destination *destination, struct frame *sent,
	   enum encapsulation encapsulation, bool is_ipv6)
{
	const uint32_t overhead = outer_length(encapsulation, is_ipv6);

	if (__builtin_expect(frame->headroom < overhead, false))
		return false;
	*sent = (struct frame){ .data = frame->data - overhead,
				.address = frame->address - overhead,
				.length = inside->length + ETHERNET_HEADER_LENGTH + overhead,
				.headroom = frame->headroom - overhead };
	write_outer(sent->data, inside, destination, encapsulation, is_ipv6);
	return true;
}

static inline __attribute__((always_inline)) bool
encapsulation_apply_bare(const struct frame *frame, const struct inside *inside,
			 const struct destination *destination, struct frame *sent)
{
#define APPLY(encapsulation, is_ipv6) \
	apply_bare(frame, inside, destination, sent, encapsulation, is_ipv6)
	/* The usual one needs no jump to where a table says. */
	if (__builtin_expect(destination->kind == ENCAPSULATION_KIND(ENCAPSULATION_GRE, false),
			     true))
		return APPLY(ENCAPSULATION_GRE, false);
	ENCAPSULATION_SWITCH(destination->kind, APPLY)
#undef APPLY
}

#endif
