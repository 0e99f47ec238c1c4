/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What bpf/endpoint.bpf.c and src/io/endpoint*.c agree on: the program's and its maps' names, the
 * key of the address map, and the list of counters.
 */
#ifndef FLUXPIN_BPF_ENDPOINT_H
#define FLUXPIN_BPF_ENDPOINT_H

#include <linux/types.h>

/* The kernel cuts names to 15 characters. */
#define ENDPOINT_PROGRAM_NAME	"fluxpin_endp"
#define ENDPOINT_COUNTERS_NAME	"counters"
#define ENDPOINT_ADDRESSES_NAME "addresses"

/* Addresses of the host that the program can know; only those used take memory. */
#define ENDPOINT_MAX_ADDRESSES 16384

/* The IP version keeps 10.0.0.1 apart from a00:1::, and from ::ffff:10.0.0.1 on the wire. */
struct endpoint_address {
	__u32 version;	/* 4 or 6 */
	__be32 word[4]; /* of IPv4 the first, the others 0 */
};

/*
 * X(symbol, label, description). What begins with DROPPED_ is dropped and comes last, all else goes
 * on to the kernel. Every frame that the program sees adds one to exactly one counter, apart from
 * MARKED_ECN, which counts some of the decapsulated frames once more. The family in the name of a
 * decapsulated frame is that of the inner packet; a tunnel's counter for IPv6 follows its counter
 * for IPv4.
 */
#define ENDPOINT_COUNTERS(X)                                                                  \
	X(PASSED, "passed", "no tunnel packet to a unicast MAC")                              \
	X(PASSED_NOT_LOCAL, "passed_not_local", "tunnel packet to another host's address")    \
	X(PASSED_FRAGMENT, "passed_fragment", "fragment of a tunnel packet")                  \
	X(PASSED_OTHER_GRE, "passed_other_gre", "GRE with flags, or that carries no IP")      \
	X(PASSED_OTHER_GUE, "passed_other_gue", "UDP to port 6080 other than plain GUE")      \
	X(DECAPSULATED_GRE_IPV4, "decapsulated_gre_ipv4", "IPv4 in GRE")                      \
	X(DECAPSULATED_GRE_IPV6, "decapsulated_gre_ipv6", "IPv6 in GRE")                      \
	X(DECAPSULATED_IPIP_IPV4, "decapsulated_ipip_ipv4", "IPv4 in IP")                     \
	X(DECAPSULATED_IPIP_IPV6, "decapsulated_ipip_ipv6", "IPv6 in IP")                     \
	X(DECAPSULATED_GUE_IPV4, "decapsulated_gue_ipv4", "IPv4 in GUE")                      \
	X(DECAPSULATED_GUE_IPV6, "decapsulated_gue_ipv6", "IPv6 in GUE")                      \
	X(MARKED_ECN, "marked_ecn", "of the decapsulated: given the outer ECN mark")          \
	X(DROPPED_OUTER_HEADER, "dropped_outer_header", "outer version or header length")     \
	X(DROPPED_OUTER_CHECKSUM, "dropped_outer_checksum", "outer IPv4 header checksum")     \
	X(DROPPED_OUTER_LENGTH, "dropped_outer_length", "outer length does not fit")          \
	X(DROPPED_INNER_HEADER, "dropped_inner_header", "inner version or header length")     \
	X(DROPPED_INNER_LENGTH, "dropped_inner_length", "inner packet longer than the outer") \
	X(DROPPED_ECN, "dropped_ecn", "congestion marked, and the inner packet knows no ECN") \
	X(DROPPED_NO_ROOM, "dropped_no_room", "the kernel could not move the frame's start")

/* The first counter of dropped frames. */
#define ENDPOINT_FIRST_DROPPED ENDPOINT_DROPPED_OUTER_HEADER

enum endpoint_counter_index {
#define ENDPOINT_COUNTER_SYMBOL(symbol, label, description) ENDPOINT_##symbol,
	ENDPOINT_COUNTERS(ENDPOINT_COUNTER_SYMBOL)
#undef ENDPOINT_COUNTER_SYMBOL
	ENDPOINT_COUNTER_COUNT
};

#endif
