/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

const char *address_objection(const struct address *address)
{
	uint8_t first = address->bytes[12];
	static const struct address loopback = { .bytes = { [15] = 1 } };

	if (address_is_zero(address))
		return "the unspecified address";
	if (!address_is_ipv4(address)) {
		if (address_equal(address, &loopback))
			return "the loopback address";
		return address->bytes[0] == 0xff ? "a multicast address" : NULL;
	}
	if (address->words_be[3] == 0)
		return "the unspecified address";
	if (first == 0)
		return "an address of 0.0.0.0/8";
	if (first == 127)
		return "a loopback address";
	if (address->words_be[3] == UINT32_MAX)
		return "the broadcast address";
	return first >= 224 && first < 240 ? "a multicast address" : NULL;
}

bool value_address(struct reader *reader, const struct value *value, struct address *address)
{
	struct address parsed;
	const char *text, *objection;

	if (!value_string(value, &text))
		return false;
	if (address_parse(text, &parsed) != 0) {
		reader_error(reader, value->node->value_position,
			     "\"%.63s\" is not an IPv4 or IPv6 address", text);
		return false;
	}
	objection = address_objection(&parsed);
	if (objection) {
		/* What an element of a list is called is not its name. */
		const char *quote = value->node->name_length > 0 ? "\"" : "";

		reader_error(reader, value->node->value_position,
			     "%s%s%s cannot be %s, found \"%.63s\"", quote, value->key, quote,
			     objection, text);
		return false;
	}
	*address = parsed;
	return true;
}

bool value_prefix(struct reader *reader, const struct value *value, struct prefix *prefix)
{
	char host[ADDRESS_TEXT_SIZE], suggestion[ADDRESS_TEXT_SIZE];
	struct position position;
	struct prefix masked;
	const char *text, *slash;
	int status;

	if (!value_string(value, &text))
		return false;
	position = value->node->value_position;
	status = prefix_parse(text, prefix);
	if (status == 0)
		return true;
	if (status != -ERANGE) {
		reader_error(reader, position, "\"%.63s\" is not an IPv4 or IPv6 address or prefix",
			     text);
		return false;
	}
	/* prefix_parse has seen both parts to be well-formed. */
	slash = strchr(text, '/');
	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	address_parse(host, &masked.address);
	masked.length = (uint8_t)(atoi(slash + 1) + (strchr(host, ':') ? 0 : 96));
	masked.address = address_mask(&masked.address, masked.length);
	reader_error(reader, position,
		     "\"%.63s\" has bits set behind its length; did you mean \"%s\"?", text,
		     prefix_format(&masked, suggestion));
	return false;
}
