/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files icmp*.c share: messages, quotes and answers in the making. */
#ifndef FLUXPIN_ICMP_INTERNAL_H
#define FLUXPIN_ICMP_INTERNAL_H

#include <netinet/in.h>

#include <fluxpin/icmp.h>
#include <fluxpin/packet.h>

#define ICMP_MACS_LENGTH 12u
#define ICMP_MTU_OFFSET	 4 /* of ICMPv6 32 bits, of ICMP the last 16 of them */

static inline uint32_t icmp_message_length(const struct packet *packet)
{
	return (uint32_t)packet->l3_offset + packet->l3_length - packet->l4_offset;
}

static inline uint8_t *icmp_message(const struct packet *packet)
{
	return packet->frame.data + packet->l4_offset;
}

/* That of ICMPv6 has a pseudo-header. As it lies in memory. */
static inline uint16_t icmp_checksum(bool is_ipv6, const uint8_t *addresses, const uint8_t *message,
				     uint32_t length)
{
	if (!is_ipv6)
		return packet_checksum(message, length);
	return packet_transport_checksum(addresses, 32, IPPROTO_ICMPV6, message, length);
}

/* ---- icmp.c ---- */

/* `type` counts when the protocol is the family's ICMP. */
bool icmp_is_error_type(bool is_ipv6, uint8_t protocol, uint8_t type);

/* Where the protocol of an IPv6 packet begins, from `quote`; 0 when that cannot be told. */
uint32_t icmp_walk_ipv6(const uint8_t *quote, uint32_t length, uint8_t *protocol);

/* The same for an IPv4 packet. */
uint32_t icmp_measure_ipv4(const uint8_t *quote, uint32_t length, uint8_t *protocol);

/* ---- icmp_answer.c ---- */

/* What an answer takes over from the packet that it is built over. */
struct icmp_answer {
	uint8_t link[ICMP_MACS_LENGTH + PACKET_MAX_TAGS * VLAN_TAG_LENGTH];
	uint32_t link_length;  /* without the EtherType */
	uint8_t addresses[32]; /* source and destination of the answer, as in its header */
	uint8_t fragment[4];   /* identification, flags and offset of IPv4 */
	uint8_t traffic_class;
	bool is_ipv6;
	bool is_fragment; /* of IPv6: what is behind the IP header begins with its header */
};

/* Takes everything that building may write over. */
void icmp_begin_answer(const struct packet *packet, struct icmp_answer *answer);

/* Puts the header of a "too big" in front of what it quotes; answer and packet as they were. */
void icmp_build_too_big(struct packet *packet, const struct icmp_answer *answer, uint8_t *quoted,
			uint32_t quoted_length, uint32_t mtu);

#endif
