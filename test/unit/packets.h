/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the packet path share: frames built field by field, a checksum that is not the
 * one under test, and random numbers that are the same in every run.
 */
#ifndef FLUXPIN_TEST_PACKETS_H
#define FLUXPIN_TEST_PACKETS_H

#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/encapsulation.h>
#include <fluxpin/packet.h>

#define TEST_FRAME_SIZE 2048

static const uint8_t test_own_mac[6] = { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 };
static const uint8_t test_peer_mac[6] = { 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee };

/* An IPv4 frame to test_own_mac. Addresses and ports in host order; what is left zero is usual. */
struct test_packet {
	uint32_t source;
	uint32_t destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t protocol; /* IPPROTO_*; neither TCP nor UDP: the payload starts behind IPv4 */
	uint8_t tcp_flags;
	uint8_t traffic_class;
	uint8_t option_words; /* of the IPv4 header, 0 to 10 */
	uint16_t fragment;    /* flags and offset */
	uint16_t payload;     /* bytes */
	uint16_t padding;     /* bytes behind the IP packet */
};

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static inline uint64_t test_random(uint64_t *state)
{
	uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

/* A number below limit. */
static inline uint32_t test_random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)(test_random(state) % limit);
}

static inline void test_store16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static inline void test_store32(uint8_t *bytes, uint32_t value)
{
	test_store16(bytes, value >> 16);
	test_store16(bytes + 2, value & 0xffff);
}

static inline uint16_t test_load16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* RFC 1071, word by word in network order with an end-around carry after each addition. */
static inline uint16_t test_checksum(const uint8_t *bytes, uint32_t length)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < length; i += 2) {
		sum += test_load16(bytes + i);
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)(0xffff - sum);
}

/* Makes the checksum of the IPv4 header at `ip` right, as long as its IHL says. */
static inline void test_fix_checksum(uint8_t *ip)
{
	test_store16(ip + 10, 0);
	test_store16(ip + 10, test_checksum(ip, (ip[0] & 0x0fu) * 4));
}

/* Writes the frame to buffer (TEST_FRAME_SIZE); returns its length, padding included. */
static inline uint32_t test_build(const struct test_packet *packet, uint8_t *buffer)
{
	uint32_t ip_length = IPV4_HEADER_LENGTH + packet->option_words * 4u;
	uint8_t *ip = buffer + ETHERNET_HEADER_LENGTH;
	uint8_t *l4 = ip + ip_length;
	uint32_t l4_length = 0;

	memset(buffer, 0, TEST_FRAME_SIZE);
	memcpy(buffer, test_own_mac, 6);
	memcpy(buffer + 6, test_peer_mac, 6);
	test_store16(buffer + 12, 0x0800);
	if (packet->protocol == IPPROTO_TCP)
		l4_length = 20;
	else if (packet->protocol == IPPROTO_UDP)
		l4_length = 8;
	if (l4_length > 0) {
		test_store16(l4, packet->source_port);
		test_store16(l4 + 2, packet->destination_port);
	}
	if (packet->protocol == IPPROTO_TCP) {
		l4[12] = 5 << 4;
		l4[13] = packet->tcp_flags;
	} else if (packet->protocol == IPPROTO_UDP) {
		test_store16(l4 + 4, 8u + packet->payload);
	}
	for (uint32_t i = 0; i < packet->payload; i++)
		l4[l4_length + i] = (uint8_t)(i * 7 + 1);
	memset(l4 + l4_length + packet->payload, 0xee, packet->padding);

	ip[0] = (uint8_t)(4 << 4 | ip_length / 4);
	ip[1] = packet->traffic_class;
	test_store16(ip + 2, ip_length + l4_length + packet->payload);
	test_store16(ip + 6, packet->fragment);
	ip[8] = 63;
	ip[9] = packet->protocol;
	test_store32(ip + 12, packet->source);
	test_store32(ip + 16, packet->destination);
	memset(ip + IPV4_HEADER_LENGTH, 1, packet->option_words * 4u); /* no operation */
	test_fix_checksum(ip);
	return ETHERNET_HEADER_LENGTH + ip_length + l4_length + packet->payload + packet->padding;
}

/* An extension header of an IPv6 frame; `length` as on the wire, in units of 8 bytes. */
struct test_extension {
	uint8_t kind; /* IPPROTO_* */
	uint8_t length;
	uint16_t fragment; /* offset, reserved bits and M of a fragment header */
};

/*
 * The same frame over IPv6, from 2001:db8:1::SOURCE to 2001:db8::DESTINATION, with extension
 * headers behind the IPv6 one. IPv4 options, `fragment` and unlike protocols do not apply.
 */
static inline uint32_t test_build_ipv6(const struct test_packet *packet,
				       const struct test_extension *extensions, uint32_t count,
				       uint8_t *buffer)
{
	struct test_packet without = *packet;
	uint8_t *ip = buffer + ETHERNET_HEADER_LENGTH, *next = ip + 6;
	uint8_t *rest = ip + IPV6_HEADER_LENGTH;
	uint8_t ipv4[TEST_FRAME_SIZE];
	uint32_t length;

	without.option_words = 0;
	length = test_build(&without, ipv4) - ETHERNET_HEADER_LENGTH - IPV4_HEADER_LENGTH;
	memset(buffer, 0, TEST_FRAME_SIZE);
	memcpy(buffer, ipv4, 12);
	test_store16(buffer + 12, 0x86dd);
	for (uint32_t i = 0; i < count; i++) {
		*next = extensions[i].kind;
		next = rest;
		rest[1] = extensions[i].kind == IPPROTO_FRAGMENT ? 0 : extensions[i].length;
		if (extensions[i].kind == IPPROTO_FRAGMENT)
			test_store16(rest + 2, extensions[i].fragment);
		rest += 8 + rest[1] * 8u;
	}
	*next = packet->protocol;
	memcpy(rest, ipv4 + ETHERNET_HEADER_LENGTH + IPV4_HEADER_LENGTH, length);
	rest += length;
	test_store32(ip, 6u << 28 | (uint32_t)packet->traffic_class << 20 | 0x12345);
	test_store16(ip + 4, (uint32_t)(rest - ip) - IPV6_HEADER_LENGTH - packet->padding);
	ip[7] = 63;
	test_store32(ip + 8, 0x20010db8);
	test_store16(ip + 12, 1);
	test_store32(ip + 20, packet->source);
	test_store32(ip + 24, 0x20010db8);
	test_store32(ip + 36, packet->destination);
	return (uint32_t)(rest - buffer);
}

/* A copy of the bytes in a heap block of exactly that size, for AddressSanitizer to fence. */
static inline uint8_t *test_exact_copy(const uint8_t *bytes, uint32_t length)
{
	uint8_t *copy = malloc(length);

	if (copy == NULL)
		abort();
	if (length > 0)
		memcpy(copy, bytes, length);
	return copy;
}

/* Prepares GRE over IPv4, addresses in network order. */
static inline void test_prepare_gre_ipv4(struct destination *destination,
					 const uint8_t source_mac[6], const uint8_t next_hop_mac[6],
					 uint32_t source_be, uint32_t destination_be, uint32_t mtu)
{
	struct encapsulation_path path = { .encapsulation = ENCAPSULATION_GRE,
					   .source = address_from_ipv4(source_be),
					   .destination = address_from_ipv4(destination_be),
					   .keeps_tags = true,
					   .mtu = mtu };

	memcpy(path.source_mac, source_mac, 6);
	memcpy(path.next_hop_mac, next_hop_mac, 6);
	encapsulation_prepare(destination, &path);
}

#endif
