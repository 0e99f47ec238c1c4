/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large blocks of memory for UMEMs and tables: page-aligned, zeroed, all of it touched at start so
 * that the packet path takes no page faults. On 2 MB pages where there are any, because random
 * reads of a large table on 4 KB pages miss the TLB each time: those that the host has reserved
 * (vm.nr_hugepages), else transparent ones, which the kernel is asked for (madvise, unless
 * /sys/kernel/mm/transparent_hugepage/enabled is "never") and gives if it has free ones.
 */
#ifndef FLUXPIN_MEMORY_H
#define FLUXPIN_MEMORY_H

#include <stddef.h>

enum memory_pages {
	MEMORY_PAGES_SMALL,	  /* 4 KB, at least for a part of it */
	MEMORY_PAGES_TRANSPARENT, /* 2 MB, all of it, as read back when it was mapped */
	MEMORY_PAGES_RESERVED,	  /* 2 MB */
};

struct memory {
	void *base;
	size_t size; /* as mapped: rounded up to whole pages */
	enum memory_pages pages;
};

/* Maps at least `size` bytes. Thread: control; blocks while pages are cleared. 0 or -ENOMEM. */
int memory_map(size_t size, struct memory *memory);

/* The same without touching the pages: for sparse tables that are rarely full. */
int memory_map_lazy(size_t size, struct memory *memory);

/* How many reserved 2 MB pages memory_map takes for that much: what is much smaller than one is not
 * worth one. Thread: any. */
size_t memory_huge_pages(size_t size);

void memory_unmap(struct memory *memory);

/* "4 KB", "transparent 2 MB", "2 MB". Thread: any. */
const char *memory_pages_name(enum memory_pages pages);

#endif
