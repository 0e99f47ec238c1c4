/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>

#include <fluxpin/address.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void test_parse_and_format(void **state)
{
	static const struct {
		const char *text, *formatted;
		bool is_ipv4;
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "0.0.0.0", "0.0.0.0", true },
		{ "255.255.255.255", "255.255.255.255", true },
		{ "::ffff:192.0.2.1", "192.0.2.1", true },
		{ "::ffff:c000:201", "192.0.2.1", true },
		{ "::", "::", false },
		{ "::1", "::1", false },
		/* RFC 5952 sections 4.1 to 4.3 */
		{ "2001:0DB8:0:0:0:0:0:0001", "2001:db8::1", false },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", false },
		{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1", false },
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", false },
		{ "64:ff9b::192.0.2.33", "64:ff9b::c000:221", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char buffer[ADDRESS_TEXT_SIZE];
		struct address address;

		assert_int_equal(address_parse(cases[i].text, &address), 0);
		assert_string_equal(address_format(&address, buffer), cases[i].formatted);
		assert_int_equal(address_is_ipv4(&address), cases[i].is_ipv4);
	}
}

static void test_parse_refuses(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		"192.0.2",
		"192.0.2.256",
		"192.0.2.1.",
		"192.0.2.01",
		"192.0.2.1 ",
		" 192.0.2.1",
		"192.0.2.1/32",
		"0x7f.1",
		":",
		":::",
		"1::2::3",
		"fe80::1%lo",
		"12345::",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7",
		"[::1]",
		"localhost",
	};
	const struct address before = { .bytes = { 1, 2, 3 } };
	struct address address = before;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(address_parse(cases[i], &address), -EINVAL);
		assert_true(address_equal(&address, &before));
	}
}

static void test_mapped_form(void **state)
{
	struct address address;

	(void)state;
	assert_int_equal(address_parse("192.0.2.1", &address), 0);
	assert_memory_equal(address.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01", 16);
	assert_memory_equal(&address.words_be[3], "\xc0\x00\x02\x01", 4);
	assert_false(address_is_zero(&address));
}

static void test_prefix(void **state)
{
	static const struct {
		const char *text, *formatted;
		uint8_t length;
	} cases[] = {
		{ "192.0.2.0/24", "192.0.2.0/24", 120 },
		{ "192.0.2.1", "192.0.2.1", 128 },
		{ "192.0.2.1/32", "192.0.2.1", 128 },
		{ "0.0.0.0/0", "0.0.0.0/0", 96 },
		{ "128.0.0.0/1", "128.0.0.0/1", 97 },
		{ "::/0", "::/0", 0 },
		{ "2001:db8::/32", "2001:db8::/32", 32 },
		{ "2001:db8::/127", "2001:db8::/127", 127 },
		{ "2001:db8::1/128", "2001:db8::1", 128 },
		{ "::ffff:0:0/96", "0.0.0.0/0", 96 },
		{ "::ffff:192.0.2.0/120", "192.0.2.0/24", 120 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char buffer[ADDRESS_TEXT_SIZE];
		struct prefix prefix;

		assert_int_equal(prefix_parse(cases[i].text, &prefix), 0);
		assert_int_equal(prefix.length, cases[i].length);
		assert_string_equal(prefix_format(&prefix, buffer), cases[i].formatted);
	}
}

static void test_prefix_refuses(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "", -EINVAL },
		{ "/24", -EINVAL },
		{ "192.0.2.0/", -EINVAL },
		{ "192.0.2.0/33", -EINVAL },
		{ "192.0.2.0/-1", -EINVAL },
		{ "192.0.2.0/+8", -EINVAL },
		{ "192.0.2.0/024", -EINVAL },
		{ "192.0.2.0/24/8", -EINVAL },
		{ "192.0.2.0/ 24", -EINVAL },
		{ "192.0.2.0/24 ", -EINVAL },
		{ "192.0.2/24", -EINVAL },
		{ "192.0.2.0/4294967320", -EINVAL },
		{ "2001:db8::/129", -EINVAL },
		{ "192.0.2.0/255.255.255.0", -EINVAL },
		{ "192.0.2.1/24", -ERANGE },
		{ "192.0.2.1/31", -ERANGE },
		{ "192.0.2.1/0", -ERANGE },
		{ "2001:db8::1/127", -ERANGE },
		{ "2001:db8::/28", -ERANGE },
		{ "::ffff:192.0.2.0/95", -ERANGE },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/1", -EINVAL },
	};
	struct prefix prefix = { .length = 77 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(prefix_parse(cases[i].text, &prefix), cases[i].status);
		assert_int_equal(prefix.length, 77);
		assert_true(address_is_zero(&prefix.address));
	}
}

/* Bit by bit against the definition, for every length. */
static void test_mask(void **state)
{
	struct address all;

	(void)state;
	memset(&all, 0xff, sizeof(all));
	for (unsigned int length = 0; length <= 128; length++) {
		struct address masked = address_mask(&all, (uint8_t)length);

		for (unsigned int bit = 0; bit < 128; bit++)
			assert_int_equal(masked.bytes[bit / 8] >> (7 - bit % 8) & 1, bit < length);
	}
}

/* First and last address of a prefix, and those beside it. Of IPv4 and IPv6 neither holds the
 * other. */
static void test_holds(void **state)
{
	static const struct {
		const char *prefix;
		const char *address;
		bool holds;
	} cases[] = {
		{ "10.0.0.0/30", "10.0.0.0", true },
		{ "10.0.0.0/30", "10.0.0.3", true },
		{ "10.0.0.0/30", "10.0.0.4", false },
		{ "10.0.0.0/30", "9.255.255.255", false },
		{ "10.0.0.1", "10.0.0.1", true },
		{ "10.0.0.1", "10.0.0.0", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::", false },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "10.0.0.1", false },
		{ "::/80", "10.0.0.1", false },
		{ "::/80", "::1", true },
		{ "fd00::/127", "fd00::1", true },
		{ "fd00::/127", "fd00::2", false },
		{ "fd00::1", "fd00::1", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct address address;
		struct prefix prefix;

		assert_int_equal(prefix_parse(cases[i].prefix, &prefix), 0);
		assert_int_equal(address_parse(cases[i].address, &address), 0);
		assert_int_equal(prefix_holds(&prefix, &address), cases[i].holds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_mapped_form),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_prefix_refuses),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
