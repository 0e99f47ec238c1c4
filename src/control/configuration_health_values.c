/* SPDX-License-Identifier: BSD-2-Clause */
/* The values that only health checks have: status codes, bytes to send and expect, host names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

#define STATUSES_MAX 64
#define STATUS_LOW   100
#define STATUS_HIGH  599
#define BYTES_MAX    1024

#define HEX_PREFIX "hex:"

/* Three digits, or NULL; otherwise what follows them. */
static const char *parse_status(const char *text, uint16_t *status)
{
	if (strspn(text, "0123456789") != 3)
		return NULL;
	*status = (uint16_t)atoi(text);
	return *status >= STATUS_LOW && *status <= STATUS_HIGH ? text + 3 : NULL;
}

static bool parse_range(const char *text, struct status_range *range)
{
	const char *rest = parse_status(text, &range->low);

	range->high = range->low;
	if (rest && *rest == '-')
		rest = parse_status(rest + 1, &range->high);
	return rest && *rest == '\0' && range->low <= range->high;
}

static void read_status(struct reader *reader, const struct value *list, const struct node *node,
			uint32_t index, struct status_range *range)
{
	config_setting_t *setting;
	const char *text;
	int64_t number;

	if (node->is_bad)
		return;
	setting = config_setting_get_elem(list->setting, index);
	if (node->kind == NODE_INTEGER) {
		number = config_setting_get_int64(setting);
		range->low = range->high = (uint16_t)number;
		if (number >= STATUS_LOW && number <= STATUS_HIGH)
			return;
	} else if (node->kind == NODE_STRING) {
		text = config_setting_get_string(setting);
		if (parse_range(text, range))
			return;
	}
	reader_error(reader, node->value_position,
		     "a status must be a code from %d to %d or a range such as \"200-299\", found "
		     "%.*s",
		     STATUS_LOW, STATUS_HIGH,
		     node->value_length < 40 ? (int)node->value_length : 40,
		     reader->text + node->value_start);
}

void value_statuses(struct reader *reader, const struct value *list,
		    struct health_check_configuration *check)
{
	const struct node *nodes = reader->tree->nodes;
	uint32_t index = 0;

	if (!list->setting)
		return;
	if (list->node->child_count < 1 || list->node->child_count > STATUSES_MAX) {
		reader_error(reader, list->node->value_position,
			     "\"%s\" must have 1 to %u entries, found %u", list->key, STATUSES_MAX,
			     list->node->child_count);
		return;
	}
	check->statuses =
		reader_allocate(reader, list->node->child_count, sizeof(*check->statuses));
	if (!check->statuses)
		return;
	check->status_count = list->node->child_count;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++)
		read_status(reader, list, &nodes[i], index, &check->statuses[index]);
}

static int hex_digit(char c)
{
	if (character_is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Digits in pairs. Writes at most BYTES_MAX of them; returns whether that was all. */
static bool parse_hex(const char *text, uint8_t *bytes, uint32_t *length)
{
	for (*length = 0; *text != '\0'; text += 2) {
		int high, low;

		text += strspn(text, " ");
		if (*text == '\0')
			return true;
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0 || *length == BYTES_MAX)
			return false;
		bytes[(*length)++] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void value_bytes(struct reader *reader, const struct value *value, struct byte_string *bytes)
{
	uint8_t buffer[BYTES_MAX];
	uint32_t length;
	const char *text;
	bool is_good;

	if (!value_string(value, &text))
		return;
	if (strncmp(text, HEX_PREFIX, strlen(HEX_PREFIX)) == 0) {
		is_good = parse_hex(text + strlen(HEX_PREFIX), buffer, &length);
	} else {
		is_good = strlen(text) <= BYTES_MAX;
		length = is_good ? (uint32_t)strlen(text) : 0;
		memcpy(buffer, text, length);
	}
	if (!is_good || length == 0) {
		reader_error(reader, value->node->value_position,
			     "\"%s\" must be 1 to %d bytes, as text or as \"hex:\" and pairs of "
			     "hexadecimal digits",
			     value->key, BYTES_MAX);
		return;
	}
	bytes->bytes = reader_allocate(reader, length, 1);
	if (!bytes->bytes)
		return;
	memcpy(bytes->bytes, buffer, length);
	bytes->length = length;
}

bool is_host_name(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	size_t length = strlen(text);

	return length >= 1 && length <= 253 && strspn(text, allowed) == length && text[0] != '.' &&
	       text[0] != '-' && !strstr(text, "..");
}
