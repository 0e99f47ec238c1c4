/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/mman.h>
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
	memory->base = base;
	memory->size = size;
	memory->huge = (flags & MAP_HUGETLB) != 0;
	return 0;
}

int memory_map(size_t size, struct memory *memory)
{
	if (map(round_up(size, HUGE_PAGE), MAP_POPULATE | MAP_HUGETLB | MAP_HUGE_2MB, memory) == 0)
		return 0;
	return map(round_up(size, SMALL_PAGE), MAP_POPULATE, memory);
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
