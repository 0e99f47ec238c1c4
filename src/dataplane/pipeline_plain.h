/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of a header is plain, so that the short way of pipeline_classify.c may be taken. Each passes
 * less than the full checks do (pipeline_ingress.c, packet.c), and nothing that they refuse. The
 * bytes are there; how many a frame must have is the caller's to look at.
 */
#ifndef FLUXPIN_PIPELINE_PLAIN_H
#define FLUXPIN_PIPELINE_PLAIN_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <fluxpin/encapsulation.h>

#include "bytes.h"

#define PLAIN_TCP_LENGTH    20
#define PLAIN_UDP_LENGTH    8
#define PLAIN_IPV4_FRAGMENT 0x3fff /* more fragments, and the offset */

static inline uint16_t load16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static inline uint32_t load32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static inline uint64_t load64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static inline uint64_t add_with_carry(uint64_t a, uint64_t b)
{
	uint64_t sum;
	bool carry = __builtin_add_overflow(a, b, &sum);

	return sum + carry;
}

/*
 * RFC 1071 over a header without options: its ones' complement sum is that of all ones. Such a sum
 * is one modulo 2^16 - 1, whatever the size of the words (section 2(B)), and is not 0, since the
 * version is not; a carry out of 64 bits counts 1. A number is a multiple of 2^16 - 1 if its
 * product with the inverse of that, modulo 2^64, is no more than the number of all multiples
 * (Granlund and Montgomery, Division by Invariant Integers using Multiplication, section 9).
 */
static inline bool is_ipv4_checksum_right(const uint8_t *ip)
{
	const uint64_t inverse = UINT64_C(0xfffefffefffeffff), most = UINT64_MAX / 0xffff;
	uint64_t sum = add_with_carry(load64(ip), load64(ip + 8));

	return add_with_carry(sum, load32(ip + 16)) * inverse <= most;
}

/* No fragment, a TTL, and a source that may send. */
static inline bool is_plain_ipv4(const uint8_t *ip)
{
	uint8_t network = ip[12];

	return (load16(ip + 6) & htons(PLAIN_IPV4_FRAGMENT)) == 0 && ip[8] != 0 &&
	       (uint8_t)(network - 1) < 223 && network != 127 &&
	       load32(ip + 12) != load32(ip + 16) && is_ipv4_checksum_right(ip);
}

/* A hop limit, and a source that is global: not ::/8, where mapped and loopback addresses are, nor
 * from fe80 on, where link-local and group ones are. */
static inline bool is_plain_ipv6(const uint8_t *ip)
{
	return ip[7] != 0 && ip[8] != 0 && ip[8] < 0xfe &&
	       (load64(ip + 8) != load64(ip + 24) || load64(ip + 16) != load64(ip + 32));
}

/* A transport header that packet_check_transport would pass, of a packet with `length` bytes behind
 * the IP header. */
static inline bool is_plain_transport(const uint8_t *l4, uint32_t length, uint8_t protocol)
{
	uint32_t stated;

	if (__builtin_expect(protocol == IPPROTO_TCP, true)) {
		stated = l4[12] >> 2 & 0x3cu;
		return stated >= PLAIN_TCP_LENGTH && stated <= length;
	}
	stated = load16_be(l4 + 4);
	return protocol == IPPROTO_UDP && stated >= PLAIN_UDP_LENGTH && stated <= length;
}

/* A tunnel that may end here comes before any VIP. */
static inline bool is_gue(const uint8_t *l4, uint8_t protocol)
{
	return protocol == IPPROTO_UDP && load16(l4 + 2) == htons(ENCAPSULATION_GUE_PORT);
}

#endif
