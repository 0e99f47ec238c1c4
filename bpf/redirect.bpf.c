/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The programs on the load balancer's NIC, of which one is loaded: each frame goes to the AF_XDP
 * socket of the queue that it arrived on. A queue without a socket (no worker, or a daemon that
 * died) passes its frames to the kernel, so a dead daemon never leaves a dead NIC.
 *
 * With slow_path = "pass" (fluxpin_redir_v), only frames for a VIP are redirected
 * (redirect_filter.h), also under VLAN tags, and the kernel sees the others at once. That follows
 * headers of variable length by packet pointers, which most kernels let only CAP_PERFMON do. A
 * program of its own, because older kernels (6.1) refuse such code also where it is never run.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "redirect.h"
#include "redirect_filter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1); /* resized to the number of queues before loading */
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

/* As many tags as packet.h knows. */
#define MOST_TAGS 2

struct tag {
	__be16 control;
	__be16 protocol; /* of what follows */
};

static __always_inline bool is_tag(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD) ||
	       protocol == bpf_htons(0x9100);
}

/* The IP packet of a frame; false for other frames. */
static __always_inline bool find_packet(struct xdp_md *context, struct span *packet)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	void *network = ethernet + 1;
	__be16 protocol;

	if (network > end)
		return false;
	protocol = ethernet->h_proto;
	for (int i = 0; i < MOST_TAGS && is_tag(protocol); i++) {
		struct tag *tag = network;

		network = tag + 1;
		if (network > end)
			return false;
		protocol = tag->protocol;
	}
	packet->start = network;
	packet->end = end;
	packet->is_ipv4 = protocol == bpf_htons(ETH_P_IP);
	return packet->is_ipv4 || protocol == bpf_htons(ETH_P_IPV6);
}

SEC("xdp")
int fluxpin_redir(struct xdp_md *context)
{
	return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
}

SEC("xdp")
int fluxpin_redir_v(struct xdp_md *context)
{
	struct span packet;

	if (!find_packet(context, &packet) || !is_wanted(&packet))
		return XDP_PASS;
	return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
}
