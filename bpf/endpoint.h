/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What bpf/endpoint.bpf.c and src/io/endpoint.c agree on: the program's and its maps' names, and
 * the list of counters. Every frame that the program sees adds one to exactly one counter.
 */
#ifndef FLUXPIN_BPF_ENDPOINT_H
#define FLUXPIN_BPF_ENDPOINT_H

/* The kernel cuts names to 15 characters. */
#define ENDPOINT_PROGRAM_NAME	"fluxpin_endp"
#define ENDPOINT_COUNTERS_NAME	"counters"
#define ENDPOINT_ADDRESSES_NAME "addresses"

/* IPv4 addresses of the host that the program can know; only those used take memory. */
#define ENDPOINT_MAX_ADDRESSES 16384

/*
 * X(symbol, label, description). What begins with DROPPED_ is dropped and comes last, all else goes
 * on to the kernel.
 */
#define ENDPOINT_COUNTERS(X)                                                                  \
	X(PASSED, "passed", "not GRE over IPv4 to a unicast MAC")                             \
	X(PASSED_NOT_LOCAL, "passed_not_local", "GRE to an address of another host")          \
	X(PASSED_FRAGMENT, "passed_fragment", "fragment of a GRE packet")                     \
	X(PASSED_OTHER_GRE, "passed_other_gre", "GRE with flags, or that carries no IPv4")    \
	X(DECAPSULATED_GRE_IPV4, "decapsulated_gre_ipv4", "IPv4 in GRE over IPv4")            \
	X(DROPPED_OUTER_HEADER, "dropped_outer_header", "outer version or header length")     \
	X(DROPPED_OUTER_CHECKSUM, "dropped_outer_checksum", "outer header checksum")          \
	X(DROPPED_OUTER_LENGTH, "dropped_outer_length", "outer length does not fit")          \
	X(DROPPED_INNER_HEADER, "dropped_inner_header", "inner version or header length")     \
	X(DROPPED_INNER_LENGTH, "dropped_inner_length", "inner packet longer than the outer") \
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
