/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What redirect.bpf.c and its loader share. */
#ifndef FLUXPIN_BPF_REDIRECT_H
#define FLUXPIN_BPF_REDIRECT_H

#include <linux/types.h>

/* The program's name in the kernel, by which a start finds what a killed daemon left. */
#define REDIRECT_PROGRAM_NAME "fluxpin_redir"

/* Key of the VIP trie: length in bits of the 16-byte form, IPv4 mapped (address.h). */
struct redirect_prefix {
	__u32 length;
	__u8 address[16];
};

#endif
