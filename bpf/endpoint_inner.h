/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Part of endpoint.bpf.c: the tunnel's header, and the inner packet behind it. A function returns
 * UNDECIDED when all is well so far; or the counter of a frame that is not to be decapsulated.
 */
#ifndef FLUXPIN_BPF_ENDPOINT_INNER_H
#define FLUXPIN_BPF_ENDPOINT_INNER_H

#define ECN_MASK 3 /* RFC 3168 section 5 */

enum ecn {
	ECN_NOT_CAPABLE,
	ECN_CAPABLE_1,
	ECN_CAPABLE_0,
	ECN_CONGESTION,
	ECN_INVALID
};

struct gre_header {
	__be16 flags_version;
	__be16 protocol;
};

/* draft-ietf-intarea-gue section 3.1 */
struct gue_header {
	__u8 version_control_length;
	__u8 protocol;
	__be16 flags;
};

static __always_inline __u32 gre(const void *data, const void *end, struct frame *frame)
{
	const struct gre_header *header = data + frame->offset;

	if (frame->room < sizeof(*header) || (const void *)(header + 1) > end)
		return ENDPOINT_DROPPED_OUTER_LENGTH;
	frame->ether_type = bpf_ntohs(header->protocol);
	if (header->flags_version != 0 ||
	    (frame->ether_type != ETH_P_IP && frame->ether_type != ETH_P_IPV6))
		return ENDPOINT_PASSED_OTHER_GRE;
	frame->offset += sizeof(*header);
	frame->room -= sizeof(*header);
	return UNDECIDED;
}

/*
 * The UDP checksum is not looked at: the load balancer sends none over IPv4 and may send none over
 * IPv6 (RFC 6935, 6936), and what the inner packet's own checksums do not cover decides nothing
 * here that could misdeliver it. Options mean something that is to be done, so a packet with
 * options is not ours.
 */
static __always_inline __u32 gue(const void *data, const void *end, struct frame *frame)
{
	const struct udphdr *udp = data + frame->offset;
	const struct gue_header *header = (const void *)(udp + 1);
	__u32 length;

	if (frame->room < sizeof(*udp) || (const void *)(udp + 1) > end)
		return ENDPOINT_DROPPED_OUTER_LENGTH;
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp) || length > frame->room)
		return ENDPOINT_DROPPED_OUTER_LENGTH;
	if (length < sizeof(*udp) + sizeof(*header) || (const void *)(header + 1) > end ||
	    header->version_control_length != 0 || header->flags != 0)
		return ENDPOINT_PASSED_OTHER_GUE;
	if (header->protocol == IPPROTO_IPIP)
		frame->ether_type = ETH_P_IP;
	else if (header->protocol == IPPROTO_IPV6)
		frame->ether_type = ETH_P_IPV6;
	else
		return ENDPOINT_PASSED_OTHER_GUE;
	frame->offset += sizeof(*udp) + sizeof(*header);
	frame->room = length - (__u32)(sizeof(*udp) + sizeof(*header));
	return UNDECIDED;
}

/* RFC 6040 section 4.2: the inner packet's ECN field behind the tunnel. */
static __always_inline enum ecn decapsulated_ecn(enum ecn outer, enum ecn inner)
{
	if (outer == ECN_CONGESTION)
		return inner == ECN_NOT_CAPABLE ? ECN_INVALID : ECN_CONGESTION;
	return outer == ECN_CAPABLE_1 && inner == ECN_CAPABLE_0 ? ECN_CAPABLE_1 : inner;
}

static __always_inline void ipv4_set_ecn(struct iphdr *header, enum ecn ecn)
{
	__u16 *first_word = (__u16 *)header;
	__u32 sum = (__u16)~header->check + (__u32)(__u16) ~*first_word;

	header->tos = (__u8)((header->tos & ~ECN_MASK) | ecn);
	sum += *first_word;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	header->check = (__u16)~sum; /* RFC 1624 section 3, equation 3 */
}

static __always_inline __u32 inner_ipv4(void *data, const void *end, struct frame *frame)
{
	struct iphdr *header = data + frame->offset;
	__u32 header_length;
	__u32 total_length;
	enum ecn ecn;

	if (frame->room < sizeof(*header) || (const void *)(header + 1) > end)
		return ENDPOINT_DROPPED_INNER_LENGTH;
	header_length = header->ihl * 4u;
	total_length = bpf_ntohs(header->tot_len);
	if (header->version != 4 || header_length < sizeof(*header) || total_length < header_length)
		return ENDPOINT_DROPPED_INNER_HEADER;
	if (total_length > frame->room)
		return ENDPOINT_DROPPED_INNER_LENGTH;
	ecn = decapsulated_ecn(frame->ecn, header->tos & ECN_MASK);
	if (ecn == ECN_INVALID)
		return ENDPOINT_DROPPED_ECN;
	frame->is_marked = ecn != (header->tos & ECN_MASK);
	if (frame->is_marked)
		ipv4_set_ecn(header, ecn);
	return UNDECIDED;
}

static __always_inline __u32 inner_ipv6(void *data, const void *end, struct frame *frame)
{
	struct ipv6hdr *header = data + frame->offset;
	__u8 *ecn_byte = &header->flow_lbl[0]; /* the lower half of the traffic class is on top */
	__u8 inner;
	enum ecn ecn;

	if (frame->room < sizeof(*header) || (const void *)(header + 1) > end)
		return ENDPOINT_DROPPED_INNER_LENGTH;
	if (header->version != 6)
		return ENDPOINT_DROPPED_INNER_HEADER;
	if (sizeof(*header) + bpf_ntohs(header->payload_len) > frame->room)
		return ENDPOINT_DROPPED_INNER_LENGTH;
	inner = (*ecn_byte >> 4) & ECN_MASK;
	ecn = decapsulated_ecn(frame->ecn, inner);
	if (ecn == ECN_INVALID)
		return ENDPOINT_DROPPED_ECN;
	frame->is_marked = ecn != inner;
	if (frame->is_marked)
		*ecn_byte = (__u8)((*ecn_byte & ~(ECN_MASK << 4)) | (__u32)ecn << 4);
	return UNDECIDED;
}

#endif
