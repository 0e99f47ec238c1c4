/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files redirect*.c share. */
#ifndef FLUXPIN_REDIRECT_INTERNAL_H
#define FLUXPIN_REDIRECT_INTERNAL_H

#include <linux/types.h>
#include <string.h>
#include <xdp/libxdp.h>

#include <fluxpin/redirect.h>

#include "../../bpf/redirect.h"
#include "redirect.skel.h"

/* libxdp's name for the program that calls several others. */
#define REDIRECT_DISPATCHER_NAME "xdp_dispatcher"

/* The abstract Unix socket that is the lock of a NIC: this and its interface index. */
#define REDIRECT_LOCK_NAME "fluxpin/interface/"

static inline bool redirect_is_our_name(const char *name)
{
	return strncmp(name, REDIRECT_PROGRAM_NAME, sizeof(REDIRECT_PROGRAM_NAME) - 1) == 0;
}

struct filter_entry {
	struct redirect_prefix key;
	__u8 value;
};

/* What one of the program's maps holds, sorted by key. */
struct filter_list {
	struct filter_entry *entries;
	uint32_t count;
};

struct redirect {
	struct interface nic;
	struct redirect_bpf *skeleton;
	struct xdp_program *program;
	enum xdp_attach_mode mode;
	int lock;
	bool attached;
	bool only_vips;
	struct filter_list vips;
	struct filter_list tunnel_sources;
	struct filter_list own_addresses;
};

/* redirect_inspect.c: whether a link of the kernel puts a program into another one; both by their
 * numbers. Takes CAP_SYS_ADMIN and Linux 5.13; false without. */
bool redirect_is_extension(uint32_t program, uint32_t of);

/* redirect_filter.c */
void redirect_release_filters(struct redirect *redirect);

#endif
