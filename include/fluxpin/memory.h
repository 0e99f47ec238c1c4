/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large blocks of memory for UMEMs and tables: page-aligned, zeroed, all of it touched at start so
 * that the packet path takes no page faults, on 2 MB pages when the host has reserved any.
 */
#ifndef FLUXPIN_MEMORY_H
#define FLUXPIN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct memory {
	void *base;
	size_t size; /* as mapped: rounded up to whole pages */
	bool huge;   /* on 2 MB pages */
};

/* Maps at least `size` bytes. Thread: control; blocks while pages are cleared. 0 or -ENOMEM. */
int memory_map(size_t size, struct memory *memory);

/* The same without touching the pages: for sparse tables that are rarely full. */
int memory_map_lazy(size_t size, struct memory *memory);

void memory_unmap(struct memory *memory);

#endif
