/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IP addresses and prefixes, both families in one shape.
 *
 * An address is 16 bytes in network order. IPv4 is held in its IPv4-mapped form, ::ffff:a.b.c.d
 * (RFC 4291 section 2.5.5.2), so that one table, one comparison and one hash serve both families.
 * A prefix length counts bits of that form: an IPv4 /24 has the length 96 + 24.
 */
#ifndef FLUXPIN_ADDRESS_H
#define FLUXPIN_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct address {
	union {
		uint8_t bytes[16];    /* network order */
		uint32_t words_be[4]; /* words_be[3] is the IPv4 address of a mapped one */
		uint64_t halves[2];   /* raw bytes, for comparing and hashing only */
	};
};

/* An address with the number of leading bits that count, 0 to 128 (IPv4: 96 to 128). */
struct prefix {
	struct address address; /* the bits behind the length are zero */
	uint8_t length;
};

/* Room for any address or prefix as text, with its terminating zero. */
#define ADDRESS_TEXT_SIZE 64

/* The mapped form of an IPv4 address in network order. Thread: any. */
static inline struct address address_from_ipv4(uint32_t ipv4_be)
{
	struct address address = { .bytes = { [10] = 0xff, [11] = 0xff } };

	address.words_be[3] = ipv4_be;
	return address;
}

/* Whether the address is IPv4 in mapped form. Thread: any. */
static inline bool address_is_ipv4(const struct address *address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
}

static inline bool address_equal(const struct address *a, const struct address *b)
{
	return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}

/* Whether the address is one of `count` in a list. Thread: any. */
static inline bool address_is_in(const struct address *list, uint32_t count,
				 const struct address *address)
{
	for (uint32_t i = 0; i < count; i++)
		if (address_equal(&list[i], address))
			return true;
	return false;
}

/* Whether the address is an IPv6 one that means something on one link or to a group only:
 * link-local unicast (RFC 4291 section 2.5.6) or multicast (2.7). */
static inline bool address_is_link_or_group(const struct address *address)
{
	return address->bytes[0] == 0xff ||
	       (address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80);
}

/* Whether all 16 bytes are zero: "::", used for "not set". */
static inline bool address_is_zero(const struct address *address)
{
	return (address->halves[0] | address->halves[1]) == 0;
}

/*
 * Reads "192.0.2.1" or "2001:db8::1". Thread: any.
 * Returns 0, or -EINVAL (*address is then untouched).
 */
int address_parse(const char *text, struct address *address);

/*
 * Reads an address or "ADDRESS/LENGTH"; without a length it is the full one. Thread: any.
 * Returns 0, -EINVAL for text that is no prefix, or -ERANGE when bits behind the length are set
 * (*prefix is untouched on both).
 */
int prefix_parse(const char *text, struct prefix *prefix);

/* The address with every bit behind `length` (0 to 128) cleared. Thread: any. */
struct address address_mask(const struct address *address, uint8_t length);

/*
 * Whether the prefix holds the address. A short IPv6 prefix such as ::/0 holds no IPv4 address,
 * though those are mapped into it. Thread: any.
 */
bool prefix_holds(const struct prefix *prefix, const struct address *address);

/*
 * Writes the usual text form (RFC 5952 for IPv6, dotted for IPv4) to buffer and returns buffer.
 * prefix_format leaves out a full length. Thread: any.
 */
const char *address_format(const struct address *address, char buffer[static ADDRESS_TEXT_SIZE]);
const char *prefix_format(const struct prefix *prefix, char buffer[static ADDRESS_TEXT_SIZE]);

#endif
