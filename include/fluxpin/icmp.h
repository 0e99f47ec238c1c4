/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP (RFC 792, RFC 4443): what an error quotes, and answers that are built in the frame of the
 * packet that caused them. An answer goes back to the MAC address that the frame came from, under
 * the VLAN tags that it came with; TTL or hop limit 64, no options or extension headers.
 *
 * Thread: worker. No function here blocks or allocates.
 */
#ifndef FLUXPIN_ICMP_H
#define FLUXPIN_ICMP_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>
#include <fluxpin/packet.h>

#define ICMP_HEADER_LENGTH 8

/* Types; those of ICMPv6 are apart. */
#define ICMP_ECHO_ANSWER      0
#define ICMP_UNREACHABLE      3
#define ICMP_SOURCE_QUENCH    4
#define ICMP_REDIRECTED	      5
#define ICMP_ECHO_REQUEST     8
#define ICMP_EXCEEDED	      11
#define ICMP_PARAMETER	      12
#define ICMP_CODE_TOO_BIG     4 /* of ICMP_UNREACHABLE: fragmentation needed and DF set */
#define ICMPV6_UNREACHABLE    1
#define ICMPV6_TOO_BIG	      2
#define ICMPV6_EXCEEDED	      3
#define ICMPV6_PARAMETER      4
#define ICMPV6_ECHO_REQUESTED 128
#define ICMPV6_ECHO_ANSWERED  129

/* The least MTU of a link with IPv6 (RFC 8200 section 5). */
#define IPV6_LEAST_MTU 1280

/* The same of IPv4 (RFC 791 section 3.2): nobody sends less, whatever is told. */
#define IPV4_LEAST_MTU 68

/* What an error is about: a packet of which it quotes the beginning. */
struct icmp_quote {
	struct address source; /* of the quoted packet */
	struct address destination;
	uint16_t source_port_be; /* 0 where the protocol has none */
	uint16_t destination_port_be;
	uint8_t protocol;  /* IPPROTO_* behind extension headers */
	uint8_t icmp_type; /* of a quoted ICMP message */
	bool is_ipv6;
};

/* The message's first byte; 0xff when there is none. For an unfragmented ICMP or ICMPv6 packet. */
uint8_t icmp_type(const struct packet *packet);

/* Whether the message is whole (8 bytes at least) and its checksum right. */
bool icmp_is_valid(const struct packet *packet);

/* Whether a packet of any protocol is an ICMP or ICMPv6 error, about which none may be sent
 * (RFC 1122 section 3.2.2, RFC 4443 section 2.4). A fragment of ICMP that does not hold the type
 * counts as one. */
bool icmp_is_error(const struct packet *packet);

/*
 * Reads what a valid error quotes. False when the quoted packet is cut off before its ports, is a
 * later fragment, or is none.
 */
bool icmp_read_quote(const struct packet *packet, struct icmp_quote *quote);

/* Turns a valid echo request into its reply, in place. Identifier, sequence and data stay. */
void icmp_answer_echo(struct packet *packet);

/*
 * The same for one fragment of an echo request, whose l4_offset is that of the fragment header of
 * IPv6, but of the first one that of the message, right behind that header. It becomes the same
 * fragment of the reply: identification, flags, offset and data stay, options and other extension
 * headers do not. The checksum of the message, in the first one, is as right as it was.
 */
void icmp_answer_echo_fragment(struct packet *packet, bool is_first);

/*
 * Turns the packet into the error that says that it exceeds `mtu` (bytes of IP packet): IPv4
 * "fragmentation needed" (RFC 1191), IPv6 "packet too big", from the address that it was sent to.
 * Quotes as much as a packet of 576 (RFC 1812 section 4.3.2.3) or 1280 bytes (RFC 4443 section 3.2)
 * holds. False when there is no room in front of the packet; it is then unchanged.
 */
bool icmp_answer_too_big(struct packet *packet, uint32_t mtu);

/* The packet inside a tunnel packet of ours that a router found too big. */
struct icmp_inner {
	struct address destination;
	uint32_t offset; /* of its IP header, from frame.data */
	uint32_t length; /* bytes that are quoted of it */
	uint32_t mtu;	 /* what the tunnel leaves for it, bytes of IP packet */
	bool is_ipv6;
};

/*
 * Reads a valid IPv4 "fragmentation needed" or IPv6 "packet too big". False when it tells no MTU,
 * or does not quote a tunnel packet as encapsulation.h makes them that its own destination sent,
 * with the inner IP header and 8 bytes behind it; when the inner packet may be fragmented (its
 * sender wants no report then), fits the MTU, or is one about which no report may be sent: an ICMP
 * error or a later fragment (RFC 1122 section 3.2.2, RFC 4443 section 2.4(e)).
 */
bool icmp_find_inner(const struct packet *packet, struct icmp_inner *inner);

/*
 * Turns the packet that icmp_find_inner has read into the report for the sender of the packet
 * inside, from the address that it was sent to (RFC 2003 section 5.1, RFC 2473 section 8.2).
 */
void icmp_relay_too_big(struct packet *packet, const struct icmp_inner *inner);

#endif
