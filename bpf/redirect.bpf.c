/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The program on the load balancer's NIC: each frame goes to the AF_XDP socket of the queue that
 * it arrived on. A queue without a socket (no worker, or a daemon that died) passes its frames to
 * the kernel, so a dead daemon never leaves a dead NIC.
 *
 * With slow_path = "pass", only frames to the address of a VIP are redirected, also under VLAN
 * tags, and the kernel sees the others at once.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "redirect.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1); /* resized to the number of queues before loading */
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

/* A reload adds the new VIPs before it removes the old ones: room for all of both. Memory is taken
 * per entry. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2 * 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct redirect_prefix);
	__type(value, __u8);
} vips SEC(".maps");

const volatile bool only_vips = false;

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

static __always_inline bool is_for_vip(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct redirect_prefix key = { .length = 128 };
	struct ethhdr *ethernet = data;
	void *network = ethernet + 1;
	__be16 protocol;
	bool is_ipv4;
	__u8 *value;

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
	is_ipv4 = protocol == bpf_htons(ETH_P_IP);
	if (is_ipv4) {
		struct iphdr *ip = network;

		if ((void *)(ip + 1) > end)
			return false;
		key.address[10] = 0xff;
		key.address[11] = 0xff;
		__builtin_memcpy(key.address + 12, &ip->daddr, 4);
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = network;

		if ((void *)(ip + 1) > end)
			return false;
		__builtin_memcpy(key.address, &ip->daddr, 16);
		/* Link-local and multicast addresses are never a VIP's (vip_table.h). */
		if (key.address[0] == 0xff ||
		    (key.address[0] == 0xfe && (key.address[1] & 0xc0) == 0x80))
			return false;
	} else {
		return false;
	}
	value = bpf_map_lookup_elem(&vips, &key);
	return value && *value == is_ipv4;
}

SEC("xdp")
int fluxpin_redir(struct xdp_md *context)
{
	if (only_vips && !is_for_vip(context))
		return XDP_PASS;
	return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
}
