/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_packet.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include <fluxpin/packet.h>

#define TCP_HEADER_LENGTH  20
#define ICMP_HEADER_LENGTH 8
#define TTL		   64
#define WINDOW		   65535

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

static uint16_t load16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t load32(const uint8_t *bytes)
{
	return (uint32_t)load16(bytes) << 16 | load16(bytes + 2);
}

/* RFC 9293 section 3.1; the IP header as RFC 791 and RFC 8200 have it. */
static uint32_t build(const struct probe_flow *flow, uint32_t sequence, uint8_t flags,
		      uint32_t length, uint8_t *packet)
{
	bool is_ipv6 = !address_is_ipv4(&flow->source);
	uint32_t ip_length = is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	uint8_t *tcp = packet + ip_length;
	uint8_t *addresses = packet + (is_ipv6 ? 8 : 12);
	uint32_t address_length = is_ipv6 ? 16 : 4;
	uint16_t checksum;

	if (length < ip_length + TCP_HEADER_LENGTH)
		length = ip_length + TCP_HEADER_LENGTH;
	if (length > PROBE_PACKET_SIZE)
		length = PROBE_PACKET_SIZE;
	memset(packet, 0, length);
	memcpy(addresses, flow->source.bytes + 16 - address_length, address_length);
	memcpy(addresses + address_length, flow->vip.bytes + 16 - address_length, address_length);
	store16(tcp, flow->source_port);
	store16(tcp + 2, flow->vip_port);
	store32(tcp + 4, sequence);
	tcp[12] = TCP_HEADER_LENGTH / 4 << 4;
	tcp[13] = flags;
	store16(tcp + 14, WINDOW);
	checksum = packet_transport_checksum(addresses, 2 * address_length, IPPROTO_TCP, tcp,
					     length - ip_length);
	memcpy(tcp + 16, &checksum, sizeof(checksum));
	if (is_ipv6) {
		packet[0] = 6 << 4;
		store16(packet + 4, length - ip_length);
		packet[6] = IPPROTO_TCP;
		packet[7] = TTL;
		return length;
	}
	packet[0] = 4 << 4 | IPV4_HEADER_LENGTH / 4;
	store16(packet + 2, length);
	store16(packet + 6, 0x4000); /* do not fragment */
	packet[8] = TTL;
	packet[9] = IPPROTO_TCP;
	checksum = packet_checksum(packet, IPV4_HEADER_LENGTH);
	memcpy(packet + 10, &checksum, sizeof(checksum));
	return length;
}

uint32_t probe_build_syn(const struct probe_flow *flow, uint32_t length,
			 uint8_t packet[static PROBE_PACKET_SIZE])
{
	return build(flow, flow->sequence, TCP_FLAG_SYN, length, packet);
}

uint32_t probe_build_reset(const struct probe_flow *flow, uint8_t packet[static PROBE_PACKET_SIZE])
{
	return build(flow, flow->sequence + 1, TCP_FLAG_RST, 0, packet);
}

/* An IP packet, or the beginning of one that an error quotes. */
struct part {
	struct address source;
	struct address destination;
	uint8_t protocol;
	bool is_ipv6;
	const uint8_t *rest; /* behind the IP header */
	uint32_t rest_length;
};

static bool read_part(const uint8_t *packet, uint32_t length, struct part *part)
{
	if (length >= IPV4_HEADER_LENGTH && packet[0] >> 4 == 4) {
		uint32_t ip_length = (packet[0] & 0x0fu) * 4, source_be, destination_be;

		if (ip_length < IPV4_HEADER_LENGTH || ip_length > length)
			return false;
		memcpy(&source_be, packet + 12, sizeof(source_be));
		memcpy(&destination_be, packet + 16, sizeof(destination_be));
		*part = (struct part){ .source = address_from_ipv4(source_be),
				       .destination = address_from_ipv4(destination_be),
				       .protocol = packet[9],
				       .rest = packet + ip_length,
				       .rest_length = length - ip_length };
		return true;
	}
	if (length < IPV6_HEADER_LENGTH || packet[0] >> 4 != 6)
		return false;
	*part = (struct part){ .protocol = packet[6],
			       .is_ipv6 = true,
			       .rest = packet + IPV6_HEADER_LENGTH,
			       .rest_length = length - IPV6_HEADER_LENGTH };
	memcpy(part->source.bytes, packet + 8, sizeof(part->source.bytes));
	memcpy(part->destination.bytes, packet + 24, sizeof(part->destination.bytes));
	return true;
}

static enum probe_answer_kind read_tcp(const struct probe_flow *flow, const struct part *part)
{
	const uint8_t *tcp = part->rest;
	uint32_t acknowledged;

	if (part->rest_length < TCP_HEADER_LENGTH || !address_equal(&part->source, &flow->vip) ||
	    !address_equal(&part->destination, &flow->source) || load16(tcp) != flow->vip_port ||
	    load16(tcp + 2) != flow->source_port)
		return PROBE_OTHER;
	/* Of the SYN alone, or of its data, too. */
	acknowledged = load32(tcp + 8) - flow->sequence;
	if ((tcp[13] & TCP_FLAG_ACK) == 0 || acknowledged == 0 || acknowledged > PROBE_PACKET_SIZE)
		return PROBE_OTHER;
	if ((tcp[13] & TCP_FLAG_RST) != 0)
		return PROBE_RESET;
	return (tcp[13] & TCP_FLAG_SYN) != 0 ? PROBE_SYN_ACK : PROBE_OTHER;
}

/* Errors alone: destination unreachable, packet too big, time exceeded, parameter problem. */
static bool is_error(const struct part *part)
{
	uint8_t type = part->rest[0];

	if (part->is_ipv6)
		return part->protocol == IPPROTO_ICMPV6 && type >= ICMP6_DST_UNREACH &&
		       type <= ICMP6_PARAM_PROB;
	return part->protocol == IPPROTO_ICMP &&
	       (type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
		type == ICMP_PARAMETERPROB);
}

static bool quotes_probe(const struct probe_flow *flow, const struct part *quoted)
{
	return quoted->protocol == IPPROTO_TCP && address_equal(&quoted->source, &flow->source) &&
	       address_equal(&quoted->destination, &flow->vip) && quoted->rest_length >= 4 &&
	       load16(quoted->rest) == flow->source_port &&
	       load16(quoted->rest + 2) == flow->vip_port;
}

static bool quotes_outer(const struct probe_flow *flow, const struct part *quoted)
{
	return !address_is_zero(&flow->outer_destination) &&
	       address_equal(&quoted->source, &flow->outer_source) &&
	       address_equal(&quoted->destination, &flow->outer_destination) &&
	       (quoted->protocol == IPPROTO_GRE || quoted->protocol == IPPROTO_IPIP ||
		quoted->protocol == IPPROTO_IPV6 || quoted->protocol == IPPROTO_UDP);
}

struct probe_answer probe_read(const struct probe_flow *flow, const uint8_t *packet,
			       uint32_t length)
{
	struct probe_answer answer = { .kind = PROBE_OTHER };
	struct part part, quoted;

	if (!read_part(packet, length, &part))
		return answer;
	answer.from = part.source;
	answer.is_ipv6 = part.is_ipv6;
	if (part.protocol == IPPROTO_TCP) {
		answer.kind = read_tcp(flow, &part);
		return answer;
	}
	if (part.rest_length < ICMP_HEADER_LENGTH || !is_error(&part) ||
	    !read_part(part.rest + ICMP_HEADER_LENGTH, part.rest_length - ICMP_HEADER_LENGTH,
		       &quoted))
		return answer;
	answer.is_about_outer = quotes_outer(flow, &quoted);
	if (!answer.is_about_outer && !quotes_probe(flow, &quoted))
		return answer;
	answer.kind = PROBE_ERROR;
	answer.type = part.rest[0];
	answer.code = part.rest[1];
	return answer;
}

static const char *error_text_ipv6(const struct probe_answer *answer)
{
	static const char *const unreachable[] = { "no route to the destination",
						   "administratively prohibited",
						   "beyond the scope of the source",
						   "address unreachable", "port unreachable" };

	switch (answer->type) {
	case ICMP6_DST_UNREACH:
		return answer->code < sizeof(unreachable) / sizeof(unreachable[0])
			       ? unreachable[answer->code]
			       : "destination unreachable";
	case ICMP6_PACKET_TOO_BIG:
		return "packet too big";
	case ICMP6_TIME_EXCEEDED:
		return "hop limit exceeded";
	default:
		return answer->code == ICMP6_PARAMPROB_NEXTHEADER ? "unknown next header"
								  : "parameter problem";
	}
}

const char *probe_report_text(const struct probe_answer *answer)
{
	static const char *const unreachable[] = {
		[ICMP_NET_UNREACH] = "network unreachable",
		[ICMP_HOST_UNREACH] = "host unreachable",
		[ICMP_PROT_UNREACH] = "protocol unreachable",
		[ICMP_PORT_UNREACH] = "port unreachable",
		[ICMP_FRAG_NEEDED] = "fragmentation needed",
		[ICMP_NET_ANO] = "network administratively prohibited",
		[ICMP_HOST_ANO] = "host administratively prohibited",
		[ICMP_PKT_FILTERED] = "administratively prohibited",
	};

	if (answer->is_ipv6)
		return error_text_ipv6(answer);
	if (answer->type == ICMP_TIME_EXCEEDED)
		return "time to live exceeded";
	if (answer->type == ICMP_PARAMETERPROB)
		return "parameter problem";
	return answer->code < sizeof(unreachable) / sizeof(unreachable[0]) &&
			       unreachable[answer->code] != NULL
		       ? unreachable[answer->code]
		       : "destination unreachable";
}

bool probe_is_no_tunnel(const struct probe_answer *answer)
{
	if (!answer->is_about_outer)
		return false;
	if (answer->is_ipv6)
		return (answer->type == ICMP6_DST_UNREACH &&
			answer->code == ICMP6_DST_UNREACH_NOPORT) ||
		       (answer->type == ICMP6_PARAM_PROB &&
			answer->code == ICMP6_PARAMPROB_NEXTHEADER);
	return answer->type == ICMP_DEST_UNREACH &&
	       (answer->code == ICMP_PROT_UNREACH || answer->code == ICMP_PORT_UNREACH);
}
