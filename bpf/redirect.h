/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What redirect.bpf.c and its loader share. */
#ifndef FLUXPIN_BPF_REDIRECT_H
#define FLUXPIN_BPF_REDIRECT_H

#include <linux/types.h>

/* What the names of the programs in the kernel begin with, by which a start finds what a killed
 * daemon left. */
#define REDIRECT_PROGRAM_NAME "fluxpin_redir"

/* Entries that one configuration may have; twice as many have room while a reload replaces them. */
#define REDIRECT_MOST_SOURCES 64
#define REDIRECT_MOST_OWN     32

/* What an address of the load balancer's own is for: the value in own_addresses. */
#define REDIRECT_TUNNEL_END    1 /* of packets that come encapsulated */
#define REDIRECT_TUNNEL_SOURCE 2 /* of packets that go to backends */

/*
 * Key of the tries: length in bits of the 16-byte form, IPv4 mapped (address.h). In those of VIPs
 * and sources the value is 1 for prefixes of IPv4 and 0 for those of IPv6: a short one such as ::/0
 * holds the mapped addresses, too, but does not mean them.
 */
struct redirect_prefix {
	__u32 length;
	__u8 address[16];
};

#endif
