/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Part of endpoint.bpf.c: the outer IPv4 or IPv6 header. A function returns UNDECIDED with
 * frame->offset at the tunnel's header, frame->room, frame->protocol and frame->ecn set; or the
 * counter of a frame that is not to be decapsulated.
 *
 * UDP is everybody's, so it is a tunnel packet only when its port says so; a fragment that does not
 * hold the port is none.
 */
#ifndef FLUXPIN_BPF_ENDPOINT_OUTER_H
#define FLUXPIN_BPF_ENDPOINT_OUTER_H

#define GUE_PORT	     6080
#define IPV4_MORE_FRAGMENTS  0x2000 /* RFC 791 section 3.1 */
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_WORDS_MAX	     15 /* the largest header, in 32-bit words */
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_OPTION_UNIT     8 /* RFC 8200 section 4.6 */

/* RFC 8200 section 4.5 */
struct ipv6_fragment_header {
	__u8 next_header;
	__u8 reserved;
	__be16 offset;
	__be32 identification;
};

enum fragment {
	WHOLE,
	FIRST_FRAGMENT,
	LATER_FRAGMENT
};

/*
 * The addresses of this host, filled in by `fluxpin endpoint attach`. XDP has no way to ask the
 * routing table whether an address is local (bpf_fib_lookup answers only where forwarding is on).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINT_MAX_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint_address);
	__type(value, __u8);
} addresses SEC(".maps");

/* Whether the header at this offset makes it a tunnel's packet. */
static __always_inline int is_tunnel(const void *data, const void *end, __u8 protocol, __u32 offset,
				     enum fragment fragment)
{
	const struct udphdr *udp = data + offset;

	if (protocol != IPPROTO_UDP)
		return protocol == IPPROTO_GRE || protocol == IPPROTO_IPIP ||
		       protocol == IPPROTO_IPV6;
	return fragment != LATER_FRAGMENT && (const void *)(udp + 1) <= end &&
	       udp->dest == bpf_htons(GUE_PORT);
}

/* A header without its checksum error sums up to 0xffff (RFC 1071). */
static __always_inline int ipv4_checksum_ok(const struct iphdr *header, const void *end)
{
	const __u32 *word_be = (const __u32 *)header;
	__u64 sum = 0;

	for (__u32 i = 0; i < IPV4_WORDS_MAX; i++) {
		if (i >= header->ihl)
			break;
		if ((const void *)(word_be + i + 1) > end)
			return 0;
		sum += word_be[i];
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static __always_inline __u32 outer_ipv4(const void *data, const void *end, struct frame *frame)
{
	const struct iphdr *header = data + frame->offset;
	struct endpoint_address destination = { .version = 4 };
	enum fragment fragment = WHOLE;
	__u32 header_length;
	__u32 total_length;

	if ((const void *)(header + 1) > end)
		return ENDPOINT_PASSED;
	if (header->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		fragment = LATER_FRAGMENT;
	else if (header->frag_off & bpf_htons(IPV4_MORE_FRAGMENTS))
		fragment = FIRST_FRAGMENT;
	header_length = header->ihl * 4u;
	frame->protocol = header->protocol;
	if (!is_tunnel(data, end, frame->protocol, frame->offset + header_length, fragment))
		return ENDPOINT_PASSED;
	destination.word[0] = header->daddr;
	if (!bpf_map_lookup_elem(&addresses, &destination))
		return ENDPOINT_PASSED_NOT_LOCAL;

	total_length = bpf_ntohs(header->tot_len);
	if (header->version != 4 || header_length < sizeof(*header) || total_length < header_length)
		return ENDPOINT_DROPPED_OUTER_HEADER;
	if (total_length > frame->length - frame->offset)
		return ENDPOINT_DROPPED_OUTER_LENGTH;
	if (!ipv4_checksum_ok(header, end))
		return ENDPOINT_DROPPED_OUTER_CHECKSUM;
	if (fragment != WHOLE)
		return ENDPOINT_PASSED_FRAGMENT;
	frame->ecn = header->tos & ECN_MASK;
	frame->offset += header_length;
	frame->room = total_length - header_length;
	return UNDECIDED;
}

/*
 * Steps over one Destination Options header, in which tunnels carry their encapsulation limit (RFC
 * 2473 section 4.1.1; Linux does by default), and one Fragment header. *length is that of the
 * headers so far. Returns the protocol of what follows; IPPROTO_NONE when a header is cut.
 */
static __always_inline __u8 ipv6_protocol(const void *data, const void *end,
					  const struct frame *frame, __u32 *length,
					  enum fragment *fragment)
{
	const struct ipv6hdr *header = data + frame->offset;
	const struct ipv6_opt_hdr *options = (const void *)(header + 1);
	const struct ipv6_fragment_header *found;
	__u8 protocol = header->nexthdr;

	if (protocol == IPPROTO_DSTOPTS) {
		if ((const void *)(options + 1) > end)
			return IPPROTO_NONE;
		protocol = options->nexthdr;
		*length += (options->hdrlen + 1u) * IPV6_OPTION_UNIT;
	}
	if (protocol == IPPROTO_FRAGMENT) {
		found = data + frame->offset + *length;
		if ((const void *)(found + 1) > end)
			return IPPROTO_NONE;
		*fragment = found->offset & bpf_htons(IPV6_FRAGMENT_OFFSET) ? LATER_FRAGMENT
									    : FIRST_FRAGMENT;
		protocol = found->next_header;
		*length += sizeof(*found);
	}
	return protocol;
}

static __always_inline __u32 outer_ipv6(const void *data, const void *end, struct frame *frame)
{
	const struct ipv6hdr *header = data + frame->offset;
	struct endpoint_address destination = { .version = 6 };
	enum fragment fragment = WHOLE;
	__u32 length = sizeof(*header); /* of the header and its extension headers */
	__u32 total_length;

	if ((const void *)(header + 1) > end)
		return ENDPOINT_PASSED;
	frame->protocol = ipv6_protocol(data, end, frame, &length, &fragment);
	if (!is_tunnel(data, end, frame->protocol, frame->offset + length, fragment))
		return ENDPOINT_PASSED;
#pragma unroll
	for (int i = 0; i < 4; i++)
		destination.word[i] = header->daddr.in6_u.u6_addr32[i];
	if (!bpf_map_lookup_elem(&addresses, &destination))
		return ENDPOINT_PASSED_NOT_LOCAL;

	if (header->version != 6)
		return ENDPOINT_DROPPED_OUTER_HEADER;
	total_length = sizeof(*header) + bpf_ntohs(header->payload_len);
	if (total_length > frame->length - frame->offset || total_length < length)
		return ENDPOINT_DROPPED_OUTER_LENGTH;
	if (fragment != WHOLE)
		return ENDPOINT_PASSED_FRAGMENT;
	frame->ecn = (header->flow_lbl[0] >> 4) & ECN_MASK;
	frame->offset += length;
	frame->room = total_length - length;
	return UNDECIDED;
}

#endif
