/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Part of redirect.bpf.c: which packets are the load balancer's where the kernel gets all others.
 *
 *     to a VIP's address
 *     in a tunnel that ends here, from a listed source, with a packet to a VIP's address inside
 *     a router's report that such a tunnel packet of our own is too big for it
 *
 * Nothing is checked beyond what tells them apart: what is broken is the pipeline's to judge, or
 * the kernel's.
 */
#ifndef FLUXPIN_BPF_REDIRECT_FILTER_H
#define FLUXPIN_BPF_REDIRECT_FILTER_H

#define GUE_PORT      6080
#define IPV4_FRAGMENT 0x3fff /* more fragments, and the offset: RFC 791 section 3.1 */
#define UNIT	      4u     /* in which header lengths count */

/* GRE, in network order: RFC 2784, RFC 2890. */
#define GRE_CHECKSUM bpf_htons(0x8000)
#define GRE_KEY	     bpf_htons(0x2000)
#define GRE_SEQUENCE bpf_htons(0x1000)
#define GRE_OTHERS   bpf_htons(0x4007) /* routing, and the versions that are not 0 */

/* ICMP "fragmentation needed" (RFC 1191), ICMPv6 "packet too big" (RFC 4443 section 3.2). */
#define ICMP_UNREACHABLE 3
#define ICMP_TOO_BIG	 4
#define ICMPV6_TOO_BIG	 2
#define ICMP_LENGTH	 8

/* A reload adds the new VIPs before it removes the old ones: room for all of both. Memory is taken
 * per entry. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2 * 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct redirect_prefix);
	__type(value, __u8);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2 * REDIRECT_MOST_SOURCES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct redirect_prefix);
	__type(value, __u8);
} tunnel_sources SEC(".maps");

/* Of whole length only. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2 * REDIRECT_MOST_OWN);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct redirect_prefix);
	__type(value, __u8);
} own_addresses SEC(".maps");

/* An IP packet, as much of it as there is. */
struct span {
	const void *start;
	const void *end;
	bool is_ipv4;
};

/* Source and destination, IPv4 mapped; false when they are cut off. */
static __always_inline bool read_addresses(const struct span *span, struct redirect_prefix *source,
					   struct redirect_prefix *destination)
{
	if (span->is_ipv4) {
		const struct iphdr *ip = span->start;

		if ((const void *)(ip + 1) > span->end)
			return false;
		source->address[10] = source->address[11] = 0xff;
		destination->address[10] = destination->address[11] = 0xff;
		__builtin_memcpy(source->address + 12, &ip->saddr, 4);
		__builtin_memcpy(destination->address + 12, &ip->daddr, 4);
	} else {
		const struct ipv6hdr *ip = span->start;

		if ((const void *)(ip + 1) > span->end)
			return false;
		__builtin_memcpy(source->address, &ip->saddr, 16);
		__builtin_memcpy(destination->address, &ip->daddr, 16);
	}
	source->length = destination->length = 128;
	return true;
}

/* Link-local and multicast IPv6 addresses are never a VIP's (vip_table.h). */
static __always_inline bool is_link_or_group(const struct redirect_prefix *key)
{
	return key->address[0] == 0xff ||
	       (key->address[0] == 0xfe && (key->address[1] & 0xc0) == 0x80);
}

static __always_inline bool is_vip(const struct redirect_prefix *key, bool is_ipv4)
{
	const __u8 *value;

	if (is_link_or_group(key))
		return false;
	value = bpf_map_lookup_elem(&vips, key);
	return value && *value == is_ipv4;
}

static __always_inline bool is_to_vip(const struct span *span)
{
	struct redirect_prefix source = { 0 }, destination = { 0 };

	return read_addresses(span, &source, &destination) && is_vip(&destination, span->is_ipv4);
}

/* Sets *protocol, and *inside to what is behind the IP header, with the family of the header. */
static __always_inline bool skip_header(const struct span *span, struct span *inside,
					__u8 *protocol)
{
	*inside = *span;
	if (span->is_ipv4) {
		const struct iphdr *ip = span->start;

		if ((const void *)(ip + 1) > span->end ||
		    (ip->frag_off & bpf_htons(IPV4_FRAGMENT)) != 0)
			return false;
		*protocol = ip->protocol;
		inside->start = span->start + ip->ihl * UNIT;
	} else {
		const struct ipv6hdr *ip = span->start;

		if ((const void *)(ip + 1) > span->end)
			return false;
		*protocol = ip->nexthdr;
		inside->start = ip + 1;
	}
	return true;
}

static __always_inline bool skip_gre(struct span *inside)
{
	const struct {
		__be16 flags;
		__be16 ethertype;
	} *gre = inside->start;
	__u32 length = sizeof(*gre);

	if ((const void *)(gre + 1) > inside->end || (gre->flags & GRE_OTHERS) != 0)
		return false;
	if (gre->flags & GRE_CHECKSUM)
		length += 4;
	if (gre->flags & GRE_KEY)
		length += 4;
	if (gre->flags & GRE_SEQUENCE)
		length += 4;
	inside->is_ipv4 = gre->ethertype == bpf_htons(ETH_P_IP);
	if (!inside->is_ipv4 && gre->ethertype != bpf_htons(ETH_P_IPV6))
		return false;
	inside->start += length;
	return true;
}

static __always_inline bool skip_gue(struct span *inside)
{
	const struct {
		__be16 source;
		__be16 port;
		__be16 length;
		__be16 checksum;
		__u8 version_and_length; /* control flag in between; draft-ietf-intarea-gue section
					    3 */
		__u8 protocol;
		__be16 flags;
	} *gue = inside->start;

	if ((const void *)(gue + 1) > inside->end || gue->port != bpf_htons(GUE_PORT) ||
	    (gue->version_and_length & 0xe0) != 0)
		return false;
	inside->is_ipv4 = gue->protocol == IPPROTO_IPIP;
	if (!inside->is_ipv4 && gue->protocol != IPPROTO_IPV6)
		return false;
	inside->start += sizeof(*gue) + (gue->version_and_length & 0x1f) * UNIT;
	return true;
}

/* Whether a packet is in a tunnel of a kind that ends at a load balancer; sets what is inside. */
static __always_inline bool open_tunnel(const struct span *outer, struct span *inside)
{
	__u8 protocol;

	if (!skip_header(outer, inside, &protocol))
		return false;
	switch (protocol) {
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		inside->is_ipv4 = protocol == IPPROTO_IPIP;
		return true;
	case IPPROTO_GRE:
		return skip_gre(inside);
	case IPPROTO_UDP:
		return skip_gue(inside);
	default:
		return false;
	}
}

/* There is no memcmp to call. */
static __always_inline bool is_same(const struct redirect_prefix *a,
				    const struct redirect_prefix *b)
{
	__u8 difference = 0;

#pragma unroll
	for (int i = 0; i < 16; i++)
		difference |= a->address[i] ^ b->address[i];
	return difference == 0;
}

static __always_inline bool is_own(const struct redirect_prefix *address, __u8 use)
{
	const __u8 *uses = bpf_map_lookup_elem(&own_addresses, address);

	return uses && (*uses & use) != 0;
}

static __always_inline bool is_tunnel_source(const struct redirect_prefix *address, bool is_ipv4)
{
	const __u8 *value = bpf_map_lookup_elem(&tunnel_sources, address);

	return value && *value == is_ipv4;
}

/* The kind first, which costs least, then the ends, then what is inside. */
static __always_inline bool is_tunnel_to_vip(const struct span *packet)
{
	struct redirect_prefix source = { 0 }, destination = { 0 };
	struct span inside;

	return open_tunnel(packet, &inside) && read_addresses(packet, &source, &destination) &&
	       is_own(&destination, REDIRECT_TUNNEL_END) &&
	       is_tunnel_source(&source, packet->is_ipv4) && is_to_vip(&inside);
}

static __always_inline bool open_report(const struct span *packet, struct span *quoted)
{
	const __u8 *type;
	__u8 protocol;

	if (!skip_header(packet, quoted, &protocol) ||
	    protocol != (packet->is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return false;
	type = quoted->start;
	if ((const void *)(type + 2) > quoted->end)
		return false;
	if (packet->is_ipv4 ? type[0] != ICMP_UNREACHABLE || type[1] != ICMP_TOO_BIG
			    : type[0] != ICMPV6_TOO_BIG)
		return false;
	quoted->start += ICMP_LENGTH;
	return true;
}

static __always_inline bool is_report_of_tunnel(const struct span *packet)
{
	struct redirect_prefix source = { 0 }, destination = { 0 }, sender = { 0 }, other = { 0 };
	struct span quoted, inside;

	return open_report(packet, &quoted) && read_addresses(packet, &source, &destination) &&
	       is_own(&destination, REDIRECT_TUNNEL_SOURCE) &&
	       read_addresses(&quoted, &sender, &other) && is_same(&sender, &destination) &&
	       open_tunnel(&quoted, &inside) && is_to_vip(&inside);
}

static __always_inline bool is_wanted(const struct span *packet)
{
	return is_to_vip(packet) || is_tunnel_to_vip(packet) || is_report_of_tunnel(packet);
}

#endif
