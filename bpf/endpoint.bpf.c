/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * XDP program of a backend's NIC: takes the outer headers off the packets that the load balancer
 * sends, so that the kernel sees the client's packet arrive on the NIC itself. It replaces a tunnel
 * device, its addresses and its routes.
 *
 * GRE over IPv4 (RFC 2784, no flags) that carries IPv4, addressed to this host. All else goes to
 * the kernel as it came, other people's GRE included; what is surely ours and broken is dropped. A
 * frame's way: outer_ipv4 -> gre -> inner_ipv4 -> strip. Another tunnel is another function beside
 * gre, another outer protocol one beside outer_ipv4.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "endpoint.h"

#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, and the offset (RFC 791 section 3.1) */
#define IPV4_WORDS_MAX	   15	  /* the largest header, in 32-bit words */

struct gre_header {
	__be16 flags_version;
	__be16 protocol;
};

/* Where the inner packet starts and how much of it the outer packet can hold, from its start on. */
struct inner {
	__u32 offset;
	__u32 room;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ENDPOINT_COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/*
 * The IPv4 addresses of this host, filled in by `fluxpin endpoint attach`. XDP has no way to ask
 * the routing table whether an address is local (bpf_fib_lookup answers only where forwarding is
 * on).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINT_MAX_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u8);
} addresses SEC(".maps");

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

static __always_inline enum endpoint_counter_index inner_ipv4(const void *data, const void *end,
							      const struct inner *inner)
{
	const struct iphdr *header = data + inner->offset;
	__u32 header_length;
	__u32 total_length;

	if (inner->room < sizeof(*header) || (const void *)(header + 1) > end)
		return ENDPOINT_DROPPED_INNER_LENGTH;
	header_length = header->ihl * 4u;
	total_length = bpf_ntohs(header->tot_len);
	if (header->version != 4 || header_length < sizeof(*header) || total_length < header_length)
		return ENDPOINT_DROPPED_INNER_HEADER;
	if (total_length > inner->room)
		return ENDPOINT_DROPPED_INNER_LENGTH;
	return ENDPOINT_DECAPSULATED_GRE_IPV4;
}

static __always_inline enum endpoint_counter_index gre(const void *data, const void *end,
						       struct inner *inner)
{
	const struct gre_header *header = data + inner->offset;

	if (inner->room < sizeof(*header) || (const void *)(header + 1) > end)
		return ENDPOINT_DROPPED_OUTER_LENGTH;
	if (header->flags_version != 0 || header->protocol != bpf_htons(ETH_P_IP))
		return ENDPOINT_PASSED_OTHER_GRE;
	inner->offset += sizeof(*header);
	inner->room -= sizeof(*header);
	return inner_ipv4(data, end, inner);
}

static __always_inline enum endpoint_counter_index
outer_ipv4(const void *data, const void *end, __u32 frame_length, struct inner *inner)
{
	const struct iphdr *header = data + inner->offset;
	__u32 header_length;
	__u32 total_length;
	__be32 destination;

	if ((const void *)(header + 1) > end || header->protocol != IPPROTO_GRE)
		return ENDPOINT_PASSED;
	destination = header->daddr;
	if (!bpf_map_lookup_elem(&addresses, &destination))
		return ENDPOINT_PASSED_NOT_LOCAL;

	header_length = header->ihl * 4u;
	total_length = bpf_ntohs(header->tot_len);
	if (header->version != 4 || header_length < sizeof(*header) || total_length < header_length)
		return ENDPOINT_DROPPED_OUTER_HEADER;
	if (total_length > frame_length - inner->offset)
		return ENDPOINT_DROPPED_OUTER_LENGTH;
	if (!ipv4_checksum_ok(header, end))
		return ENDPOINT_DROPPED_OUTER_CHECKSUM;
	if (header->frag_off & bpf_htons(IPV4_FRAGMENT_MASK))
		return ENDPOINT_PASSED_FRAGMENT;
	inner->offset += header_length;
	inner->room = total_length - header_length;
	return gre(data, end, inner);
}

static __always_inline enum endpoint_counter_index classify(struct xdp_md *context,
							    struct inner *inner)
{
	const void *data = (const void *)(long)context->data;
	const void *end = (const void *)(long)context->data_end;
	const struct ethhdr *ethernet = data;

	if ((const void *)(ethernet + 1) > end || (ethernet->h_dest[0] & 1) != 0)
		return ENDPOINT_PASSED;
	inner->offset = sizeof(*ethernet);
	if (ethernet->h_proto == bpf_htons(ETH_P_IP))
		return outer_ipv4(data, end, (__u32)bpf_xdp_get_buff_len(context), inner);
	return ENDPOINT_PASSED;
}

/* Moves the Ethernet header up to the inner packet. What it carries is IPv4 before and after. */
static __always_inline int strip(struct xdp_md *context, __u32 offset)
{
	const struct ethhdr *before = (const void *)(long)context->data;
	struct ethhdr ethernet;
	struct ethhdr *after;

	if ((const void *)(before + 1) > (const void *)(long)context->data_end)
		return -1;
	ethernet = *before;
	if (bpf_xdp_adjust_head(context, (int)(offset - sizeof(ethernet))) != 0)
		return -1;
	after = (void *)(long)context->data;
	if ((void *)(after + 1) > (void *)(long)context->data_end)
		return -1;
	*after = ethernet;
	return 0;
}

/* "frags": a frame larger than a page may come in pieces; all that is read lies in the first. */
SEC("xdp.frags")
int fluxpin_endp(struct xdp_md *context)
{
	struct inner inner = { 0 };
	__u32 counter = classify(context, &inner);
	int action = XDP_PASS;
	__u64 *frames;

	if (counter == ENDPOINT_DECAPSULATED_GRE_IPV4 && strip(context, inner.offset) != 0)
		counter = ENDPOINT_DROPPED_NO_ROOM;
	if (counter >= ENDPOINT_FIRST_DROPPED)
		action = XDP_DROP;
	frames = bpf_map_lookup_elem(&counters, &counter);
	if (frames)
		(*frames)++;
	return action;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
