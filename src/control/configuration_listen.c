/* SPDX-License-Identifier: BSD-2-Clause */
/* "127.0.0.1:9105" or "[::1]:9105": where something without authentication may listen. */
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

/* Splits ADDRESS:PORT or [ADDRESS]:PORT. */
static bool parse(const char *text, struct listen_address *where)
{
	const char *colon = strrchr(text, ':'), *digits;
	bool is_bracketed = text[0] == '[';
	size_t length = colon ? (size_t)(colon - text) : 0;
	char address[ADDRESS_TEXT_SIZE];
	long port;

	if (length == 0 || (is_bracketed && text[length - 1] != ']'))
		return false;
	if (is_bracketed) {
		text++;
		length -= 2;
	}
	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	/* Only IPv6 addresses have colons, and only they are in brackets. */
	if ((strchr(address, ':') != NULL) != is_bracketed ||
	    address_parse(address, &where->address) != 0)
		return false;
	digits = colon + 1;
	if (strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 5 ||
	    digits[0] == '0' || digits[0] == '\0')
		return false;
	port = strtol(digits, NULL, 10);
	where->port = (uint16_t)port;
	return port <= UINT16_MAX;
}

static bool is_loopback(const struct address *address)
{
	static const struct address loopback = { .bytes = { [15] = 1 } };

	return address_is_ipv4(address) ? address->bytes[12] == 127
					: address_equal(address, &loopback);
}

bool value_listen(struct reader *reader, const struct value *value, struct listen_address *where)
{
	struct listen_address parsed;
	const char *text;

	if (!value_string(value, &text))
		return false;
	if (!parse(text, &parsed)) {
		reader_error(reader, value->node->value_position,
			     "\"%s\" must be an address and a port of 1 to 65535, such as "
			     "\"127.0.0.1:9105\" or \"[::1]:9105\", found \"%.63s\"",
			     value->key, text);
		return false;
	}
	if (!is_loopback(&parsed.address)) {
		reader_error(reader, value->node->value_position,
			     "\"%s\" must be a loopback address (127.0.0.0/8 or [::1]), found "
			     "\"%.63s\": whoever reaches it may read, without authentication",
			     value->key, text);
		return false;
	}
	*where = parsed;
	return true;
}
