/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * XDP program of a backend's NIC: takes the outer headers off the packets that the load balancer
 * sends, so that the kernel sees the client's packet arrive on the NIC itself. It replaces a tunnel
 * device, its addresses and its routes.
 *
 * GRE (RFC 2784, no flags), IP in IP (RFC 2003, 2473, 4213) and GUE (variant 0, no options), IPv4
 * or IPv6 in IPv4 or IPv6, behind up to two VLAN tags, addressed to this host. All else goes to the
 * kernel as it came, other people's tunnels included; what is surely ours and broken is dropped.
 *
 * A frame's way: link -> outer_ipv4 or outer_ipv6 -> gre, gue or nothing -> inner_ipv4 or
 * inner_ipv6 -> strip. Each step moves frame.offset on, or decides by returning a counter. The
 * first two are in endpoint_outer.h, the next two in endpoint_inner.h.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "endpoint.h"

#define VLAN_TAGS_MAX 2
#define UNDECIDED     ENDPOINT_COUNTER_COUNT /* no counter yet: the next step decides */

struct vlan_tag {
	__be16 control;
	__be16 type; /* of what follows */
};

/* What has been learned about a frame. */
struct frame {
	__u32 length;	   /* of the whole frame, pieces beyond the first included */
	__u32 link_length; /* Ethernet header and VLAN tags */
	__u32 offset;	   /* of the header that comes next */
	__u32 room;	   /* how much the outer packet can hold from there */
	__u16 ether_type;  /* of the outer packet, later of the inner one; host order */
	__u8 protocol;	   /* of what the outer packet carries */
	__u8 ecn;	   /* of the outer packet */
	__u8 is_marked;	   /* the inner packet was given the outer packet's ECN mark */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ENDPOINT_COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

#include "endpoint_inner.h"
#include "endpoint_outer.h"

/* Returns 0 for what is no business of ours. */
static __always_inline int link(const void *data, const void *end, struct frame *frame)
{
	const struct ethhdr *ethernet = data;
	const struct vlan_tag *tag = (const void *)(ethernet + 1);

	if ((const void *)tag > end || (ethernet->h_dest[0] & 1) != 0)
		return 0;
	frame->ether_type = bpf_ntohs(ethernet->h_proto);
	/* Not a difference of pointers: the verifier would know nothing about that. */
	frame->link_length = sizeof(*ethernet);
#pragma unroll
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (frame->ether_type != ETH_P_8021Q && frame->ether_type != ETH_P_8021AD)
			break;
		if ((const void *)(tag + 1) > end)
			return 0;
		frame->ether_type = bpf_ntohs(tag->type);
		frame->link_length += sizeof(*tag);
		tag++;
	}
	frame->offset = frame->link_length;
	return 1;
}

static __always_inline __u32 classify(struct xdp_md *context, struct frame *frame)
{
	const void *data = (const void *)(long)context->data;
	const void *end = (const void *)(long)context->data_end;
	__u32 decapsulated;
	__u32 counter;

	if (!link(data, end, frame))
		return ENDPOINT_PASSED;
	if (frame->ether_type == ETH_P_IP)
		counter = outer_ipv4(data, end, frame);
	else if (frame->ether_type == ETH_P_IPV6)
		counter = outer_ipv6(data, end, frame);
	else
		counter = ENDPOINT_PASSED;
	if (counter != UNDECIDED)
		return counter;

	if (frame->protocol == IPPROTO_GRE) {
		decapsulated = ENDPOINT_DECAPSULATED_GRE_IPV4;
		counter = gre(data, end, frame);
	} else if (frame->protocol == IPPROTO_UDP) {
		decapsulated = ENDPOINT_DECAPSULATED_GUE_IPV4;
		counter = gue(data, end, frame);
	} else {
		decapsulated = ENDPOINT_DECAPSULATED_IPIP_IPV4;
		frame->ether_type = frame->protocol == IPPROTO_IPV6 ? ETH_P_IPV6 : ETH_P_IP;
	}
	if (counter != UNDECIDED)
		return counter;

	if (frame->ether_type == ETH_P_IP) {
		counter = inner_ipv4((void *)data, end, frame);
	} else {
		counter = inner_ipv6((void *)data, end, frame);
		decapsulated++;
	}
	return counter == UNDECIDED ? decapsulated : counter;
}

_Static_assert(ENDPOINT_DECAPSULATED_GRE_IPV6 == ENDPOINT_DECAPSULATED_GRE_IPV4 + 1 &&
		       ENDPOINT_DECAPSULATED_IPIP_IPV6 == ENDPOINT_DECAPSULATED_IPIP_IPV4 + 1 &&
		       ENDPOINT_DECAPSULATED_GUE_IPV6 == ENDPOINT_DECAPSULATED_GUE_IPV4 + 1,
	       "the next counter is that of IPv6");

struct link_header {
	struct ethhdr ethernet;
	struct vlan_tag tags[VLAN_TAGS_MAX];
} __attribute__((packed));

/* Writes the link header's first `length` bytes; a constant, as the verifier wants it. */
static __always_inline int write_link(struct xdp_md *context, const struct link_header *header,
				      __u32 length, __u16 ether_type)
{
	__be16 type_be = bpf_htons(ether_type);
	void *data = (void *)(long)context->data;

	if (data + length > (void *)(long)context->data_end)
		return -1;
	__builtin_memcpy(data, header, length - sizeof(type_be));
	__builtin_memcpy(data + length - sizeof(type_be), &type_be, sizeof(type_be));
	return 0;
}

/* Moves the link header up to the inner packet, whose family it then names. */
static __always_inline int strip(struct xdp_md *context, const struct frame *frame)
{
	const struct link_header *before = (const void *)(long)context->data;
	struct link_header header;

	/* The shortest outer header is longer than what may be read too much here. */
	if ((const void *)(before + 1) > (const void *)(long)context->data_end)
		return -1;
	header = *before;
	if (bpf_xdp_adjust_head(context, (int)(frame->offset - frame->link_length)) != 0)
		return -1;
	switch (frame->link_length) {
	case sizeof(struct ethhdr):
		return write_link(context, &header, sizeof(struct ethhdr), frame->ether_type);
	case sizeof(struct ethhdr) + sizeof(struct vlan_tag):
		return write_link(context, &header, sizeof(struct ethhdr) + sizeof(struct vlan_tag),
				  frame->ether_type);
	default:
		return write_link(context, &header, sizeof(header), frame->ether_type);
	}
}

static __always_inline void count(__u32 counter)
{
	__u64 *frames = bpf_map_lookup_elem(&counters, &counter);

	if (frames)
		(*frames)++;
}

/* "frags": a frame larger than a page may come in pieces; all that is read lies in the first. */
SEC("xdp.frags")
int fluxpin_endp(struct xdp_md *context)
{
	struct frame frame = { .length = (__u32)bpf_xdp_get_buff_len(context) };
	__u32 counter = classify(context, &frame);

	if (counter >= ENDPOINT_DECAPSULATED_GRE_IPV4 &&
	    counter <= ENDPOINT_DECAPSULATED_GUE_IPV6) {
		if (strip(context, &frame) != 0)
			counter = ENDPOINT_DROPPED_NO_ROOM;
		else if (frame.is_marked)
			count(ENDPOINT_MARKED_ECN);
	}
	count(counter);
	return counter >= ENDPOINT_FIRST_DROPPED ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
