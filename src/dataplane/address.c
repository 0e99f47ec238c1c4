/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include <fluxpin/address.h>

enum {
	IPV4_OFFSET = 96, /* bits of the mapped form in front of an IPv4 address */
};

int address_parse(const char *text, struct address *address)
{
	struct address parsed;
	uint32_t ipv4_be;

	if (inet_pton(AF_INET, text, &ipv4_be) == 1)
		parsed = address_from_ipv4(ipv4_be);
	else if (inet_pton(AF_INET6, text, parsed.bytes) != 1)
		return -EINVAL;
	*address = parsed;
	return 0;
}

/* Decimal digits without a sign, a space or a leading zero, which strtoul would let pass. */
static int parse_length(const char *text, uint32_t limit, uint32_t *length)
{
	uint32_t number = 0;

	if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		number = number * 10 + (uint32_t)(*text - '0');
		if (number > limit)
			return -EINVAL;
	}
	*length = number;
	return 0;
}

int prefix_parse(const char *text, struct prefix *prefix)
{
	const char *slash = strchr(text, '/');
	char host[INET6_ADDRSTRLEN];
	struct address address, masked;
	uint32_t length = 128;
	size_t host_length = slash ? (size_t)(slash - text) : strlen(text);

	if (host_length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, host_length);
	host[host_length] = '\0';
	if (address_parse(host, &address) != 0)
		return -EINVAL;
	if (slash) {
		/* The notation decides what a length counts, not the address: in ::ffff:0:0/96 it
		 * counts from the front although the address is a mapped one. */
		bool is_dotted = strchr(host, ':') == NULL;

		if (parse_length(slash + 1, is_dotted ? 32 : 128, &length) != 0)
			return -EINVAL;
		if (is_dotted)
			length += IPV4_OFFSET;
	}
	masked = address_mask(&address, (uint8_t)length);
	if (!address_equal(&masked, &address))
		return -ERANGE;
	prefix->address = address;
	prefix->length = (uint8_t)length;
	return 0;
}

struct address address_mask(const struct address *address, uint8_t length)
{
	struct address masked = { 0 };
	uint32_t whole = length / 8u;

	if (length >= 128)
		return *address;
	memcpy(masked.bytes, address->bytes, whole);
	masked.bytes[whole] = (uint8_t)(address->bytes[whole] & (0xff00u >> (length % 8u)));
	return masked;
}

bool prefix_holds(const struct prefix *prefix, const struct address *address)
{
	struct address masked = address_mask(address, prefix->length);
	bool is_ipv4 = prefix->length >= IPV4_OFFSET && address_is_ipv4(&prefix->address);

	return is_ipv4 == address_is_ipv4(address) && address_equal(&masked, &prefix->address);
}

const char *address_format(const struct address *address, char buffer[static ADDRESS_TEXT_SIZE])
{
	if (address_is_ipv4(address))
		inet_ntop(AF_INET, &address->words_be[3], buffer, ADDRESS_TEXT_SIZE);
	else
		inet_ntop(AF_INET6, address->bytes, buffer, ADDRESS_TEXT_SIZE);
	return buffer;
}

const char *prefix_format(const struct prefix *prefix, char buffer[static ADDRESS_TEXT_SIZE])
{
	uint32_t length = prefix->length;
	size_t used;

	address_format(&prefix->address, buffer);
	if (length == 128)
		return buffer;
	if (address_is_ipv4(&prefix->address))
		length -= IPV4_OFFSET;
	used = strlen(buffer);
	snprintf(buffer + used, ADDRESS_TEXT_SIZE - used, "/%u", length);
	return buffer;
}
