/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of queues and CPUs as in "0-3,6". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

/* Reads digits without a leading zero; the result is cut at a million, above every limit. */
static bool read_number(const char **text, uint32_t *number)
{
	const char *digits = *text;
	size_t length = strspn(digits, "0123456789");
	uint32_t read = 0;

	if (length == 0 || (digits[0] == '0' && length > 1))
		return false;
	for (size_t i = 0; i < length; i++) {
		read = read * 10 + (uint32_t)(digits[i] - '0');
		if (read > 1000000)
			read = 1000000;
	}
	*text += length;
	*number = read;
	return true;
}

static int add_range(uint16_t *list, bool *is_listed, uint32_t *count, uint32_t first,
		     uint32_t last, char *error)
{
	for (uint32_t number = first; number <= last; number++) {
		if (is_listed[number]) {
			snprintf(error, NUMBER_LIST_ERROR_SIZE, "holds %u twice", number);
			return -EINVAL;
		}
		is_listed[number] = true;
		list[(*count)++] = (uint16_t)number;
	}
	return 0;
}

static int read_list(const char *text, uint32_t limit, uint16_t *list, bool *is_listed,
		     uint32_t *count, char *error)
{
	for (;;) {
		uint32_t first, last;
		int status;

		if (!read_number(&text, &first))
			break;
		last = first;
		if (*text == '-') {
			text++;
			if (!read_number(&text, &last))
				break;
		}
		if (first > limit || last > limit) {
			snprintf(error, NUMBER_LIST_ERROR_SIZE,
				 "holds a number above the limit of %u", limit);
			return -EINVAL;
		}
		if (first > last) {
			snprintf(error, NUMBER_LIST_ERROR_SIZE,
				 "holds the range %u-%u, which runs backwards", first, last);
			return -EINVAL;
		}
		status = add_range(list, is_listed, count, first, last, error);
		if (status != 0 || *text == '\0')
			return status;
		if (*text++ != ',')
			break;
	}
	snprintf(error, NUMBER_LIST_ERROR_SIZE, "must be numbers and ranges such as \"0-3,6\"");
	return -EINVAL;
}

int number_list_parse(const char *text, uint32_t limit, bool sort, uint16_t **numbers,
		      uint32_t *count, char error[static NUMBER_LIST_ERROR_SIZE])
{
	bool *is_listed = calloc(limit + 1, sizeof(*is_listed));
	uint16_t *list = calloc(limit + 1, sizeof(*list));
	uint32_t read = 0;
	int status = -ENOMEM;

	if (!list || !is_listed)
		goto out;
	status = read_list(text, limit, list, is_listed, &read, error);
	if (status != 0)
		goto out;
	if (sort) {
		read = 0;
		for (uint32_t number = 0; number <= limit; number++) {
			if (is_listed[number])
				list[read++] = (uint16_t)number;
		}
	}
	*numbers = list;
	*count = read;
	list = NULL;
out:
	free(list);
	free(is_listed);
	return status;
}

const char *number_list_format(const uint16_t *numbers, uint32_t count, char *buffer, size_t size)
{
	size_t used = 0;

	*buffer = '\0';
	for (uint32_t i = 0; i < count;) {
		const char *comma = i > 0 ? "," : "";
		uint32_t last = i;
		int length;

		while (last + 1 < count && numbers[last + 1] == numbers[last] + 1)
			last++;
		if (last > i)
			length = snprintf(buffer + used, size - used, "%s%u-%u", comma, numbers[i],
					  numbers[last]);
		else
			length = snprintf(buffer + used, size - used, "%s%u", comma, numbers[i]);
		/* Room for "..." stays free behind every part. */
		if (used + (size_t)length + 4 > size) {
			snprintf(buffer + used, size - used, "...");
			break;
		}
		used += (size_t)length;
		i = last + 1;
	}
	return buffer;
}
