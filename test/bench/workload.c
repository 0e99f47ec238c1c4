/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/packet.h>

#include "workload.h"

#define SHORTEST_FRAME	60 /* 64 with the FCS */
#define TCP_HEADER	20
#define UDP_HEADER	8
#define IPV4_CHECKSUM	(ETHERNET_HEADER_LENGTH + 10)
#define IPV4_SOURCE	(ETHERNET_HEADER_LENGTH + 12)
#define IPV4_PORT	(ETHERNET_HEADER_LENGTH + IPV4_HEADER_LENGTH)
#define IPV6_SOURCE_END (ETHERNET_HEADER_LENGTH + 8 + 12) /* the last four bytes */
#define IPV6_PORT	(ETHERNET_HEADER_LENGTH + IPV6_HEADER_LENGTH)
#define IPV4_BYTES	64 /* what is written of an IPv4 frame: one cache line */

const uint8_t workload_mac[6] = { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 };

static void store16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static void store32(uint8_t *bytes, uint32_t value)
{
	store16(bytes, value >> 16);
	store16(bytes + 2, value & 0xffff);
}

static void write_ipv4(struct workload *workload, const struct mix *mix)
{
	uint8_t *ip = workload->frame + ETHERNET_HEADER_LENGTH;

	store16(workload->frame + 12, 0x0800);
	ip[0] = 0x45;
	store16(ip + 2, workload->packet_length);
	store16(ip + 6, 0x4000); /* DF */
	ip[8] = 64;
	ip[9] = mix->protocol;
	store32(ip + 16, mix->outcome == OUTCOME_MISS ? WORKLOAD_ELSEWHERE : WORKLOAD_VIP);
	for (int i = 0; i < IPV4_HEADER_LENGTH; i += 2) {
		uint16_t word;

		memcpy(&word, ip + i, sizeof(word));
		workload->checksum += word;
	}
}

static void write_ipv6(struct workload *workload, const struct mix *mix)
{
	uint8_t *ip = workload->frame + ETHERNET_HEADER_LENGTH;

	store16(workload->frame + 12, 0x86dd);
	ip[0] = 0x60;
	store16(ip + 4, workload->packet_length - IPV6_HEADER_LENGTH);
	ip[6] = mix->protocol;
	ip[7] = 64;
	store32(ip + 8, 0x20010db8);
	store32(ip + 24, 0x20010db8);
	store32(ip + 36, mix->outcome == OUTCOME_MISS ? WORKLOAD_ELSEWHERE : WORKLOAD_VIP);
}

void workload_initialise(struct workload *workload, const struct mix *mix, bool is_ipv6,
			 uint64_t flows)
{
	uint32_t header = is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	uint8_t *transport = workload->frame + ETHERNET_HEADER_LENGTH + header;

	*workload = (struct workload){ .is_ipv6 = is_ipv6, .flows = flows };
	memcpy(workload->frame, workload_mac, 6);
	memcpy(workload->frame + 6, "\x02\xaa\xbb\xcc\xdd\xee", 6);
	store16(transport + 2, WORKLOAD_PORT);
	if (mix->protocol == IPPROTO_TCP) {
		workload->packet_length = header + TCP_HEADER;
		transport[12] = TCP_HEADER / 4 << 4;
		transport[13] = mix->tcp_flags;
	} else {
		/* As much payload as the shortest frame holds. */
		workload->packet_length = header + UDP_HEADER;
		if (workload->packet_length + ETHERNET_HEADER_LENGTH < SHORTEST_FRAME)
			workload->packet_length = SHORTEST_FRAME - ETHERNET_HEADER_LENGTH;
		store16(transport + 4, workload->packet_length - header);
	}
	workload->length = workload->packet_length + ETHERNET_HEADER_LENGTH;
	if (workload->length < SHORTEST_FRAME)
		workload->length = SHORTEST_FRAME;
	if (is_ipv6)
		write_ipv6(workload, mix);
	else
		write_ipv4(workload, mix);
}

/* Multiplying by an odd number and folding the upper bits into the lower ones can both be undone,
 * so no two flows get the same 40 bits. The multipliers are those of splitmix64. */
static uint64_t scramble(uint64_t flow)
{
	const uint64_t mask = WORKLOAD_MOST_FLOWS - 1;

	flow = ((flow + 1) * UINT64_C(0x9e3779b97f4a7c15)) & mask;
	flow ^= flow >> 21;
	flow = (flow * UINT64_C(0xbf58476d1ce4e5b9)) & mask;
	return flow ^ flow >> 19;
}

void workload_render(struct workload *workload, uint8_t *data)
{
	uint64_t key = scramble(workload->next);
	uint32_t source_be = htonl((uint32_t)(10u << 24 | key >> 16));
	uint16_t port = (uint16_t)key, checksum;
	uint32_t sum;

	if (++workload->next == workload->flows)
		workload->next = 0;
	if (workload->is_ipv6) {
		memcpy(data, workload->frame, WORKLOAD_FRAME_SIZE);
		memcpy(data + IPV6_SOURCE_END, &source_be, sizeof(source_be));
		memcpy(data + IPV6_PORT, &port, sizeof(port));
		return;
	}
	sum = workload->checksum + (source_be & 0xffff) + (source_be >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	checksum = (uint16_t)~sum;
	memcpy(data, workload->frame, IPV4_BYTES);
	memcpy(data + IPV4_SOURCE, &source_be, sizeof(source_be));
	memcpy(data + IPV4_CHECKSUM, &checksum, sizeof(checksum));
	memcpy(data + IPV4_PORT, &port, sizeof(port));
}
