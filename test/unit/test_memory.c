/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <cmocka.h>

#include <fluxpin/memory.h>

#define KILOBYTE  ((size_t)1024)
#define MEGABYTE  (1024 * KILOBYTE)
#define HUGE_PAGE (2 * MEGABYTE)

/* Whether all of it is there, zeroed and writable. */
static void check_contents(const struct memory *memory, size_t asked)
{
	unsigned char *resident = test_malloc(memory->size / (4 * KILOBYTE));

	assert_true(memory->size >= asked);
	assert_int_equal(mincore(memory->base, memory->size, resident), 0);
	for (size_t page = 0; page < memory->size / (4 * KILOBYTE); page++)
		assert_true(resident[page] & 1);
	for (size_t i = 0; i < memory->size; i++)
		assert_int_equal(((uint8_t *)memory->base)[i], 0);
	memset(memory->base, 0xff, memory->size);
	test_free(resident);
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = { 1,	   4 * KILOBYTE,  MEGABYTE - 1, MEGABYTE,
					HUGE_PAGE, HUGE_PAGE + 1, 16 * MEGABYTE };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct memory memory;

		assert_int_equal(memory_map(sizes[i], &memory), 0);
		check_contents(&memory, sizes[i]);
		/* Whatever the pages are, a block that may have large ones has whole ones. */
		if (sizes[i] >= MEGABYTE) {
			assert_int_equal((uintptr_t)memory.base % HUGE_PAGE, 0);
			assert_int_equal(memory.size % HUGE_PAGE, 0);
		}
		memory_unmap(&memory);
		assert_null(memory.base);
		memory_unmap(&memory);
	}
}

static void test_no_memory(void **state)
{
	struct memory memory = { .size = 7 };

	(void)state;
	assert_true(memory_map((size_t)1 << 60, &memory) < 0);
	assert_int_equal(memory.size, 7);
}

/* The mapping behind a block stays when the block goes, and the other way round. */
static void test_neighbours(void **state)
{
	struct memory blocks[8];

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(memory_map(HUGE_PAGE, &blocks[i]), 0);
		memset(blocks[i].base, (int)i + 1, blocks[i].size);
	}
	for (size_t i = 0; i < 8; i += 2)
		memory_unmap(&blocks[i]);
	for (size_t i = 1; i < 8; i += 2) {
		for (size_t j = 0; j < blocks[i].size; j++)
			assert_int_equal(((uint8_t *)blocks[i].base)[j], i + 1);
		memory_unmap(&blocks[i]);
	}
}

/* Pages of address space that the process has. */
static unsigned long address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	return pages;
}

/* What alignment takes besides is given back at once, the block itself when it goes. */
static void test_address_space(void **state)
{
	unsigned long before, mapped;
	struct memory memory;

	(void)state;
	address_space(); /* whatever the C library allocates for it, it has now */
	before = address_space();
	assert_int_equal(memory_map(4 * MEGABYTE, &memory), 0);
	mapped = address_space();
	assert_int_equal((mapped - before) * 4 * KILOBYTE, memory.size);
	memory_unmap(&memory);
	assert_int_equal(address_space(), before);
}

static bool host_has_transparent_pages(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char line[128] = "";
	bool has = false;

	if (file == NULL)
		return false;
	if (fgets(line, sizeof(line), file) != NULL)
		has = strstr(line, "[never]") == NULL;
	fclose(file);
	return has;
}

static void test_transparent_pages(void **state)
{
	struct memory memory;

	(void)state;
	if (!host_has_transparent_pages()) {
		print_message("skipped: this kernel gives no transparent 2 MB pages\n");
		skip();
	}
	assert_int_equal(memory_map(8 * MEGABYTE, &memory), 0);
	assert_int_not_equal(memory.pages, MEMORY_PAGES_SMALL);
	memory_unmap(&memory);
}

/* Asked for in vain: said as it is. */
static void test_pages_refused(void **state)
{
	struct memory memory;

	(void)state;
	assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	assert_int_equal(memory_map(8 * MEGABYTE, &memory), 0);
	assert_int_not_equal(memory.pages, MEMORY_PAGES_TRANSPARENT);
	check_contents(&memory, 8 * MEGABYTE);
	memory_unmap(&memory);
	assert_int_equal(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
}

static void test_small_and_lazy(void **state)
{
	struct memory memory;

	(void)state;
	assert_int_equal(memory_map(4 * KILOBYTE, &memory), 0);
	assert_int_equal(memory.pages, MEMORY_PAGES_SMALL);
	assert_int_equal(memory.size, 4 * KILOBYTE);
	assert_int_equal(memory_huge_pages(MEGABYTE - 1), 0);
	assert_int_equal(memory_huge_pages(MEGABYTE), 1);
	assert_int_equal(memory_huge_pages(2 * MEGABYTE + 1), 2);
	memory_unmap(&memory);
	assert_int_equal(memory_map_lazy(16 * MEGABYTE, &memory), 0);
	assert_int_equal(memory.pages, MEMORY_PAGES_SMALL);
	memory_unmap(&memory);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(memory_pages_name(MEMORY_PAGES_SMALL), "4 KB");
	assert_string_equal(memory_pages_name(MEMORY_PAGES_TRANSPARENT), "transparent 2 MB");
	assert_string_equal(memory_pages_name(MEMORY_PAGES_RESERVED), "2 MB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	       cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_neighbours),     cmocka_unit_test(test_transparent_pages),
		cmocka_unit_test(test_address_space),  cmocka_unit_test(test_pages_refused),
		cmocka_unit_test(test_small_and_lazy), cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
