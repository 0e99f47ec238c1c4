/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include <fluxpin/packet.h>

#include "explain_internal.h"

#define TTL 64

bool explain_is_echo(const struct explained_flow *flow)
{
	return flow->protocol ==
	       (address_is_ipv4(&flow->destination) ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

static bool is_group(const struct address *address)
{
	if (address_is_ipv4(address))
		return IN_MULTICAST(ntohl(address->words_be[3])) ||
		       address->words_be[3] == INADDR_BROADCAST;
	return address->bytes[0] == 0xff;
}

/* Zeroed but for what is needed; without its checksum. Returns its length. */
static uint32_t write_transport(const struct explained_flow *flow, uint8_t *l4, uint16_t **checksum)
{
	struct tcphdr *tcp = (struct tcphdr *)l4;
	struct udphdr *udp = (struct udphdr *)l4;
	struct icmp6_hdr *icmp = (struct icmp6_hdr *)l4;

	*checksum = NULL;
	if (flow->protocol == IPPROTO_TCP) {
		tcp->source = htons(flow->source_port);
		tcp->dest = htons(flow->destination_port);
		tcp->doff = sizeof(*tcp) / 4;
		tcp->syn = 1;
		tcp->window = UINT16_MAX;
		*checksum = &tcp->check;
		return sizeof(*tcp);
	}
	if (flow->protocol == IPPROTO_UDP) {
		udp->source = htons(flow->source_port);
		udp->dest = htons(flow->destination_port);
		udp->len = htons(sizeof(*udp));
		*checksum = &udp->check;
		return sizeof(*udp);
	}
	if (!explain_is_echo(flow))
		return 0;
	/* Type, code and checksum are in the same places in both. */
	icmp->icmp6_type = flow->protocol == IPPROTO_ICMP ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	*checksum = &icmp->icmp6_cksum;
	return sizeof(*icmp);
}

static uint32_t write_ipv4(const struct explained_flow *flow, uint8_t *packet)
{
	struct iphdr *ip = (struct iphdr *)packet;
	uint8_t *l4 = packet + sizeof(*ip);
	uint16_t *checksum;
	uint32_t length = write_transport(flow, l4, &checksum);

	ip->version = IPVERSION;
	ip->ihl = sizeof(*ip) / 4;
	ip->tot_len = htons((uint16_t)(sizeof(*ip) + length));
	ip->frag_off = htons(IP_DF);
	ip->ttl = TTL;
	ip->protocol = flow->protocol;
	ip->saddr = flow->source.words_be[3];
	ip->daddr = flow->destination.words_be[3];
	ip->check = packet_checksum(ip, sizeof(*ip));
	if (flow->protocol == IPPROTO_ICMP)
		*checksum = packet_checksum(l4, length);
	else if (checksum != NULL)
		*checksum = packet_transport_checksum(packet + 12, 8, flow->protocol, l4, length);
	return sizeof(*ip) + length;
}

static uint32_t write_ipv6(const struct explained_flow *flow, uint8_t *packet)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)packet;
	uint8_t *l4 = packet + sizeof(*ip);
	uint16_t *checksum;
	uint32_t length = write_transport(flow, l4, &checksum);

	ip->ip6_flow = htonl(6u << 28);
	ip->ip6_plen = htons((uint16_t)length);
	ip->ip6_nxt = flow->protocol;
	ip->ip6_hlim = TTL;
	memcpy(&ip->ip6_src, flow->source.bytes, sizeof(ip->ip6_src));
	memcpy(&ip->ip6_dst, flow->destination.bytes, sizeof(ip->ip6_dst));
	if (checksum != NULL)
		*checksum = packet_transport_checksum(packet + 8, 32, flow->protocol, l4, length);
	return sizeof(*ip) + length;
}

uint32_t explain_make_frame(const struct explained_flow *flow,
			    uint8_t frame[static EXPLAIN_MOST_FRAME])
{
	bool is_ipv4 = address_is_ipv4(&flow->destination);
	struct ether_header *ethernet = (struct ether_header *)frame;
	uint8_t packet[EXPLAIN_MOST_FRAME - sizeof(*ethernet)] __attribute__((aligned(4))) = { 0 };
	uint32_t length = is_ipv4 ? write_ipv4(flow, packet) : write_ipv6(flow, packet);

	memset(ethernet, 0, sizeof(*ethernet));
	ethernet->ether_dhost[0] = is_group(&flow->destination) ? 1 : 2;
	ethernet->ether_shost[0] = 2;
	ethernet->ether_type = htons(is_ipv4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	memcpy(frame + sizeof(*ethernet), packet, length);
	return (uint32_t)sizeof(*ethernet) + length;
}
