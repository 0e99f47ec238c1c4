/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What became of a packet. Every frame that a pipeline receives ends in exactly one verdict, and
 * every drop has exactly one reason; the reason's name is the value of the metric label
 * fluxpin_worker_dropped_packets_total{reason}.
 */
#ifndef FLUXPIN_VERDICT_H
#define FLUXPIN_VERDICT_H

/* X(identifier, label, explanation for the manual) */
#define DROP_REASONS(X)                                                                           \
	X(ETHERNET_TRUNCATED, "ethernet_truncated",                                               \
	  "the frame is shorter than its link header or ends inside a VLAN tag")                  \
	X(IPV4_TRUNCATED, "ipv4_truncated", "the frame ends inside the IPv4 header")              \
	X(IPV4_HEADER, "ipv4_header", "the version is not 4 or the header length is below 20")    \
	X(IPV4_LENGTH, "ipv4_length", "the total length is below the header or beyond the frame") \
	X(IPV4_CHECKSUM, "ipv4_checksum", "the IPv4 header checksum is wrong")                    \
	X(IPV6_TRUNCATED, "ipv6_truncated", "the frame ends inside the IPv6 header")              \
	X(IPV6_HEADER, "ipv6_header", "the version is not 6")                                     \
	X(IPV6_LENGTH, "ipv6_length", "the payload length is beyond the frame, or a jumbogram's") \
	X(IPV6_EXTENSION, "ipv6_extension",                                                       \
	  "to a VIP: an extension header is cut off or unknown, or there are more than 8")        \
	X(TTL, "ttl", "to a VIP: the TTL or hop limit is 0, which nobody may send")               \
	X(LAND, "land", "to a VIP: the source is the destination itself")                         \
	X(MARTIAN_SOURCE, "martian_source",                                                       \
	  "to a VIP: a source that nobody can have or answer to")                                 \
	X(TCP_HEADER, "tcp_header", "to a VIP: the TCP header is cut off or its offset is wrong") \
	X(UDP_HEADER, "udp_header", "to a VIP: the UDP header is cut off or its length is wrong") \
	X(FRAGMENT, "fragment",                                                                   \
	  "to a VIP: a fragment, which the VIP or the protocol does not take")                    \
	X(FRAGMENT_INVALID, "fragment_invalid",                                                   \
	  "to a VIP: a fragment that is empty, not cut at 8 bytes or beyond 65535 bytes")         \
	X(FRAGMENT_TINY, "fragment_tiny", "to a VIP: a fragment that cuts the TCP or UDP header") \
	X(FRAGMENT_OVERLAP, "fragment_overlap",                                                   \
	  "to a VIP: a fragment of a part that was seen before, or of a datagram that has one")   \
	X(FRAGMENT_LIMIT, "fragment_limit",                                                       \
	  "to a VIP: the fragment waited for the first one, and made room for newer ones")        \
	X(FRAGMENT_TIMEOUT, "fragment_timeout",                                                   \
	  "to a VIP: the fragment waited for the first one, which did not come")                  \
	X(FRAGMENT_INBOX, "fragment_inbox",                                                       \
	  "to a VIP: the worker that has the datagram took no more fragments")                    \
	X(ICMP_HEADER, "icmp_header",                                                             \
	  "to a VIP: the ICMP message is cut off or its checksum is wrong")                       \
	X(ICMP_QUOTE, "icmp_quote",                                                               \
	  "to a VIP: an ICMP error whose quoted packet does not tell its flow")                   \
	X(ICMP_ECHO, "icmp_echo", "to a VIP: an echo request that the configuration refuses")     \
	X(ICMP_RATE, "icmp_rate",                                                                 \
	  "an answer of the load balancer's own would have exceeded the limit")                   \
	X(DECAPSULATION, "decapsulation",                                                         \
	  "from a listed source: the tunnel's header or checksum is wrong")                       \
	X(NO_BACKEND, "no_backend", "the VIP's pool has no backend that serves")                  \
	X(NO_NEXT_HOP, "no_next_hop", "the backend's route or neighbour is not resolved")         \
	X(EXCEEDS_MTU, "exceeds_mtu",                                                             \
	  "the encapsulated packet exceeds the egress MTU, and nobody may be told")               \
	X(NO_HEADROOM, "no_headroom", "no room in front of the packet for the outer header")      \
	X(NO_FRAME, "no_frame",                                                                   \
	  "no free frame for a part of a packet that is split, or for what was handed over")      \
	X(TX_RING_FULL, "tx_ring_full", "the transmit ring had no room")                          \
	X(SLOW_PATH_REFUSED, "slow_path_refused", "the kernel did not take the frame from the TAP")

enum drop_reason {
#define X(identifier, label, explanation) DROP_##identifier,
	DROP_REASONS(X)
#undef X
	DROP_REASON_COUNT
};

enum verdict {
	VERDICT_FORWARD,   /* encapsulated and sent to a backend */
	VERDICT_SLOW_PATH, /* handed to the kernel, unchanged */
	VERDICT_ANSWER,	   /* answered by fluxpin itself, in place */
	VERDICT_DROP,
	/* Not yet one: where the packet goes on, it gets its verdict. */
	VERDICT_HELD,	     /* a fragment that waits, with its frame, for the first one */
	VERDICT_HANDED_OVER, /* another worker has got a copy, and decides */
};

/* The label of a reason; never NULL for a valid one. Thread: any. */
const char *drop_reason_label(enum drop_reason reason);
const char *drop_reason_explanation(enum drop_reason reason);

#endif
