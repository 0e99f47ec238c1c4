/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/mman.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <fluxpin/memory.h>

#define HUGE_PAGE  ((size_t)2 << 20)
#define SMALL_PAGE ((size_t)4 << 10)

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) / unit * unit;
}

static int map(size_t size, int flags, struct memory *memory)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags,
			  -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	*memory = (struct memory){ .base = base, .size = size };
	return 0;
}

/* Maps whole 2 MB units of address space: only these can become 2 MB pages. */
static int map_aligned(size_t size, struct memory *memory)
{
	uintptr_t start, aligned;
	int error = map(size + HUGE_PAGE, 0, memory);

	if (error != 0)
		return error;
	start = (uintptr_t)memory->base;
	aligned = round_up(start, HUGE_PAGE);
	if (aligned > start)
		munmap(memory->base, aligned - start);
	munmap((void *)(aligned + size), start + HUGE_PAGE - aligned);
	*memory = (struct memory){ .base = (void *)aligned, .size = size };
	return 0;
}

/* Touches every page. Returns 0 or -ENOMEM. */
static int populate(const struct memory *memory)
{
	if (madvise(memory->base, memory->size, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return -ENOMEM;
	/* Before Linux 5.14. */
	for (size_t offset = 0; offset < memory->size; offset += SMALL_PAGE)
		((volatile uint8_t *)memory->base)[offset] = 0;
	return 0;
}

/*
 * Whether all of the mapping around `base` lies on 2 MB pages. What madvise asked for, the kernel
 * need not have given: memory may be fragmented, or the host may have turned such pages off.
 */
static bool is_on_huge_pages(const void *base)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long long first, behind, kilobytes = 0, size = 0;
	bool is_inside = false;
	char line[512];

	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%llx-%llx ", &first, &behind) == 2) {
			if (is_inside)
				break;
			is_inside = (uintptr_t)base >= first && (uintptr_t)base < behind;
			size = (behind - first) / 1024;
		} else if (is_inside && sscanf(line, "AnonHugePages: %llu kB", &kilobytes) == 1) {
			break;
		}
	}
	fclose(file);
	return kilobytes > 0 && kilobytes == size;
}

size_t memory_huge_pages(size_t size)
{
	return size < HUGE_PAGE / 2 ? 0 : round_up(size, HUGE_PAGE) / HUGE_PAGE;
}

int memory_map(size_t size, struct memory *memory)
{
	size_t whole = memory_huge_pages(size) * HUGE_PAGE;

	if (whole > 0 && map(whole, MAP_POPULATE | MAP_HUGETLB | MAP_HUGE_2MB, memory) == 0) {
		memory->pages = MEMORY_PAGES_RESERVED;
		return 0;
	}
	if (whole == 0 || map_aligned(whole, memory) != 0)
		return map(round_up(size, SMALL_PAGE), MAP_POPULATE, memory);
	/* A kernel without such pages refuses: then it is small ones. */
	madvise(memory->base, memory->size, MADV_HUGEPAGE);
	if (populate(memory) != 0) {
		memory_unmap(memory);
		return -ENOMEM;
	}
	if (is_on_huge_pages(memory->base))
		memory->pages = MEMORY_PAGES_TRANSPARENT;
	return 0;
}

int memory_map_lazy(size_t size, struct memory *memory)
{
	return map(round_up(size, SMALL_PAGE), MAP_NORESERVE, memory);
}

void memory_unmap(struct memory *memory)
{
	if (memory->base != NULL)
		munmap(memory->base, memory->size);
	memory->base = NULL;
	memory->size = 0;
}

const char *memory_pages_name(enum memory_pages pages)
{
	switch (pages) {
	case MEMORY_PAGES_RESERVED:
		return "2 MB";
	case MEMORY_PAGES_TRANSPARENT:
		return "transparent 2 MB";
	case MEMORY_PAGES_SMALL:
		break;
	}
	return "4 KB";
}
