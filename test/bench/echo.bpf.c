/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The BPF part of "fluxpin-bench echo": one program hands frames to the socket of their queue, the
 * other one sends them back itself, with their MAC addresses swapped.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("xdp")
int echo_redirect(struct xdp_md *context)
{
	return (int)bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
}

SEC("xdp")
int echo_in_kernel(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u16 *words = data;

	if (data + sizeof(struct ethhdr) > end)
		return XDP_PASS;
	for (int i = 0; i < ETH_ALEN / 2; i++) {
		__u16 word = words[i];

		words[i] = words[i + ETH_ALEN / 2];
		words[i + ETH_ALEN / 2] = word;
	}
	return XDP_TX;
}
