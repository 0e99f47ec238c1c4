/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "configuration_internal.h"

/* From the largest down, so that formatting takes the largest that divides. */
static const struct {
	const char *name;
	uint64_t nanoseconds;
} units[] = {
	{ "h", 3600 * NANOSECONDS_PER_SECOND },
	{ "m", 60 * NANOSECONDS_PER_SECOND },
	{ "s", NANOSECONDS_PER_SECOND },
	{ "ms", NANOSECONDS_PER_MILLISECOND },
	{ "us", UINT64_C(1000) },
};

int duration_parse(const char *text, uint64_t *nanoseconds)
{
	size_t digits = strspn(text, "0123456789");
	bool is_too_large = false;
	uint64_t number = 0;

	if (digits == 0 || (text[0] == '0' && digits > 1))
		return -EINVAL;
	for (size_t i = 0; i < digits; i++)
		is_too_large |= __builtin_mul_overflow(number, 10u, &number) ||
				__builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number);
	for (uint32_t i = 0; i < COUNT_OF(units); i++) {
		uint64_t product;

		if (strcmp(text + digits, units[i].name) != 0)
			continue;
		if (is_too_large || __builtin_mul_overflow(number, units[i].nanoseconds, &product))
			return -ERANGE;
		*nanoseconds = product;
		return 0;
	}
	return -EINVAL;
}

const char *duration_format(uint64_t nanoseconds, char buffer[static 32])
{
	for (uint32_t i = 0; i < COUNT_OF(units); i++) {
		/* 0 is told in seconds. */
		if (nanoseconds % units[i].nanoseconds == 0 &&
		    (nanoseconds > 0 || units[i].nanoseconds == NANOSECONDS_PER_SECOND)) {
			snprintf(buffer, 32, "%" PRIu64 "%s", nanoseconds / units[i].nanoseconds,
				 units[i].name);
			return buffer;
		}
	}
	snprintf(buffer, 32, "%" PRIu64 "ns", nanoseconds);
	return buffer;
}
