/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the endpoint module share: finding our program and its maps through the
 * interface, and the addresses that the program decapsulates for. The contract is in
 * fluxpin/endpoint.h.
 */
#ifndef FLUXPIN_ENDPOINT_INTERNAL_H
#define FLUXPIN_ENDPOINT_INTERNAL_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/endpoint.h>

#include "../../bpf/endpoint.h"

/* The XDP program that the kernel has on an interface. */
struct endpoint_attached {
	int program; /* descriptor, to be closed; -1: none is attached */
	bool is_ours;
	enum endpoint_mode mode;
	struct bpf_prog_info information;
};

/* The interface's index, or negative errno after logging. */
int endpoint_interface_index(const char *interface);

/*
 * Reads what is attached. Returns 0, and then *attached is to be released with
 * endpoint_close_attached; or negative errno after logging.
 */
int endpoint_query_attached(const char *interface, int index, struct endpoint_attached *attached);
void endpoint_close_attached(struct endpoint_attached *attached);

/*
 * The descriptor of a map that the attached program uses, to be closed; -EPROTO when it has none of
 * that name and size, which is what another version of the program looks like; another negative
 * errno.
 */
int endpoint_open_map(const struct endpoint_attached *attached, const char *name, uint32_t entries);

/* Makes the map hold this host's addresses. Returns 0, or negative errno after logging. */
int endpoint_refresh_addresses(const char *interface, int map);

/*
 * Counts the addresses that the map holds, and those of this host that it does not. Returns 0 or
 * negative errno.
 */
int endpoint_compare_addresses(int map, uint32_t *held, uint32_t *missing);

#endif
