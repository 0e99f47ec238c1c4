/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What redirect.bpf.c and its loader share. */
#ifndef FLUXPIN_BPF_REDIRECT_H
#define FLUXPIN_BPF_REDIRECT_H

#include <linux/types.h>

/* The program's name in the kernel, by which a start finds what a killed daemon left. */
#define REDIRECT_PROGRAM_NAME "fluxpin_redir"

/*
 * Key of the VIP trie: length in bits of the 16-byte form, IPv4 mapped (address.h). The value is 1
 * for prefixes of IPv4 and 0 for those of IPv6: a short one such as ::/0 holds the mapped
 * addresses, too, but does not mean them.
 */
struct redirect_prefix {
	__u32 length;
	__u8 address[16];
};

#endif
