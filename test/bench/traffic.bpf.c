/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The BPF part of "fluxpin-bench traffic".
 *
 * traffic_send is run by BPF_PROG_TEST_RUN on "live frames" (Linux 5.18): it makes each frame the
 * next flow's and redirects it to the interface. Frames are used again after they were dropped, and
 * whoever had one may have written into it, so all of the headers is written each time.
 *
 * traffic_receive is attached to the same interface. It counts our frames that come back and drops
 * them, so that receiving costs little and the same whatever forwards; all else passes.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "traffic.h"

#define GUE_PORT    6080
#define MOST_LENGTH 4000

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 head[TRAFFIC_HEAD_WORDS];
const volatile __u32 head_sum; /* as traffic_set_flow needs it */
const volatile __u32 run;      /* of this run */
const volatile __u32 flow_count = 1;
const volatile __u32 interface;
const volatile bool has_window;

/* One thread runs traffic_send; the program reads what it wrote. */
__u32 next_flow;
__u64 sent;

/* With a window: frames that came back, on whichever CPU. */
__u64 returned;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic_seen);
} seen SEC(".maps");

SEC("xdp")
int traffic_send(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u64 *words = data;
	__u32 flow = next_flow;

	if (data + TRAFFIC_HEAD_WORDS * sizeof(*words) > end)
		return XDP_ABORTED;
	for (int i = 0; i < TRAFFIC_HEAD_WORDS; i++)
		words[i] = head[i];
	traffic_set_flow(data, flow, head_sum);
	next_flow = flow + 1 < flow_count ? flow + 1 : 0;
	sent++;
	return (int)bpf_redirect(interface, 0);
}

static __always_inline enum traffic_form form_of_protocol(__u8 protocol, struct udphdr *udp,
							  void *end)
{
	if (protocol == IPPROTO_GRE)
		return TRAFFIC_GRE;
	if (protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6)
		return TRAFFIC_IPIP;
	if (protocol == IPPROTO_UDP && (void *)(udp + 1) <= end && udp->dest == bpf_htons(GUE_PORT))
		return TRAFFIC_GUE;
	return TRAFFIC_PLAIN;
}

static __always_inline enum traffic_form form_of(void *data, void *end)
{
	struct ethhdr *ethernet = data;
	struct iphdr *ipv4 = (void *)(ethernet + 1);
	struct ipv6hdr *ipv6 = (void *)(ethernet + 1);

	if ((void *)(ipv6 + 1) > end)
		return TRAFFIC_PLAIN;
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		return form_of_protocol(ipv6->nexthdr, (void *)(ipv6 + 1), end);
	return form_of_protocol(ipv4->protocol, (void *)(ipv4 + 1), end);
}

SEC("xdp")
int traffic_receive(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u64 length = (__u64)(end - data), now;
	struct traffic_tail *tail;
	struct traffic_seen *mine;
	__u32 key = 0, bucket;

	length -= sizeof(*tail);
	if (length > MOST_LENGTH)
		return XDP_PASS;
	tail = data + length;
	/* What is compared with the end is to be what is read: the verifier goes by that. */
	barrier_var(tail);
	if ((void *)(tail + 1) > end || tail->run != run)
		return XDP_PASS;
	mine = bpf_map_lookup_elem(&seen, &key);
	if (mine == NULL)
		return XDP_ABORTED;
	mine->frames[form_of(data, end)]++;
	mine->bytes += length + sizeof(*tail);
	if (has_window)
		__sync_fetch_and_add(&returned, 1);
	if (tail->sent_ns == 0)
		return XDP_DROP;
	now = bpf_ktime_get_ns();
	now = now > tail->sent_ns ? now - tail->sent_ns : 0;
	if (now > mine->most_ns)
		mine->most_ns = now;
	bucket = traffic_bucket(now);
	if (bucket < TRAFFIC_BUCKETS)
		mine->latencies[bucket]++;
	return XDP_DROP;
}
