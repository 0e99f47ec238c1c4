/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers, built over the packets that they answer. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "bytes.h"
#include "icmp_internal.h"

#define IPV4_DF		0x4000
#define ANSWER_TTL	64
#define MOST_IPV4_ERROR 576

void icmp_begin_answer(const struct packet *packet, struct icmp_answer *answer)
{
	const uint8_t *data = packet->frame.data;
	const uint8_t *ip = data + packet->l3_offset;

	answer->link_length = ICMP_MACS_LENGTH + packet->tag_count * VLAN_TAG_LENGTH;
	memcpy(answer->link, data + 6, 6);
	memcpy(answer->link + 6, data, 6);
	memcpy(answer->link + ICMP_MACS_LENGTH, data + ICMP_MACS_LENGTH,
	       answer->link_length - ICMP_MACS_LENGTH);
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

static uint32_t header_length_of(const struct icmp_answer *answer)
{
	return answer->is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
}

static void write_ipv4(const struct icmp_answer *answer, uint8_t *ip, uint32_t length)
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

static void write_ipv6(const struct icmp_answer *answer, uint8_t *ip, uint32_t length)
{
	memset(ip, 0, 8);
	store16_be(ip, (uint16_t)(6 << 12 | answer->traffic_class << 4));
	store16_be(ip + 4, (uint16_t)length);
	ip[6] = answer->is_fragment ? IPPROTO_FRAGMENT : IPPROTO_ICMPV6;
	ip[7] = ANSWER_TTL;
	memcpy(ip + 8, answer->addresses, 32);
}

/* Headers in front of the payload; the packet becomes the answer. */
static void write_headers(struct packet *packet, const struct icmp_answer *answer, uint8_t *payload,
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
static void finish_answer(struct packet *packet, const struct icmp_answer *answer, uint8_t *message,
			  uint32_t length)
{
	uint16_t checksum;

	memset(message + 2, 0, 2);
	checksum = icmp_checksum(answer->is_ipv6, answer->addresses, message, length);
	memcpy(message + 2, &checksum, sizeof(checksum));
	write_headers(packet, answer, message, length);
}

void icmp_answer_echo(struct packet *packet)
{
	struct icmp_answer answer;
	uint8_t *message = icmp_message(packet);
	uint32_t length = icmp_message_length(packet);

	icmp_begin_answer(packet, &answer);
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
	uint8_t *payload = icmp_message(packet), *end = payload + icmp_message_length(packet);
	struct icmp_answer answer;

	icmp_begin_answer(packet, &answer);
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

void icmp_build_too_big(struct packet *packet, const struct icmp_answer *answer, uint8_t *quoted,
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
	memcpy(message + ICMP_MTU_OFFSET, &mtu_be, sizeof(mtu_be));
	finish_answer(packet, answer, message, ICMP_HEADER_LENGTH + quoted_length);
}

bool icmp_answer_too_big(struct packet *packet, uint32_t mtu)
{
	struct icmp_answer answer;
	uint32_t needed;

	icmp_begin_answer(packet, &answer);
	needed = ICMP_HEADER_LENGTH + header_length_of(&answer) + 2 + answer.link_length;
	if (packet->frame.headroom + packet->l3_offset < needed)
		return false;
	icmp_build_too_big(packet, &answer, packet->frame.data + packet->l3_offset,
			   packet->l3_length, mtu);
	return true;
}
