/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/vip_table.h>

#include "vip_table_exact.h"

#define NO_ENTRY UINT32_MAX

/* A prefix that at least one VIP has. */
struct address_slot {
	struct address address;
	uint32_t group; /* number of the prefix; NO_ENTRY: the slot is free */
	uint8_t length;
};

/* A protocol and port of such a prefix. */
struct service_slot {
	uint32_t group;
	uint32_t vip; /* NO_ENTRY: the slot is free */
	uint16_t port;
	uint8_t protocol;
};

struct vip_table {
	struct vip *vips;
	struct address_slot *addresses;
	struct service_slot *services;
	const struct vip **echo; /* by number of the prefix: who takes echo requests */
	bool *takes_fragments;	 /* by number of the prefix: whether one of its VIPs does */
	uint32_t address_mask;	 /* slots - 1; at most half of them are in use */
	uint32_t service_mask;
	uint32_t group_count;
	struct vip_exact exact;
	/* The prefix lengths in use, longest first. Apart by family: a short IPv6 prefix such as
	 * ::/0 would otherwise hold the IPv4 addresses, which are mapped into it. */
	struct lengths {
		uint32_t count;
		uint8_t values[129];
	} ipv4, ipv6;
};

/*
 * The upper half of a product depends on every bit of both factors, so networks that differ in any
 * bits spread. (The middle of value * constant does not see the bits above it: with the address in
 * them, all VIPs of a /16 would share two places of the table.)
 */
static uint32_t hash_address(const struct address *address, uint8_t length)
{
	unsigned __int128 product =
		(unsigned __int128)(address->halves[0] ^ UINT64_C(0x9e3779b97f4a7c15) ^ length) *
		(address->halves[1] ^ UINT64_C(0xd1b54a32d192ed03));

	return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

static uint32_t hash_service(uint32_t group, uint8_t protocol, uint16_t port)
{
	uint64_t value = (uint64_t)group << 32 ^ (uint64_t)protocol << 16 ^ port;

	/* Fibonacci hashing: 2^64 divided by the golden ratio. */
	return (uint32_t)((value * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

/* The prefix's slot, or the free slot where it belongs. */
static struct address_slot *find_address(const struct vip_table *table,
					 const struct address *address, uint8_t length)
{
	for (uint32_t i = hash_address(address, length);; i++) {
		struct address_slot *slot = &table->addresses[i & table->address_mask];

		if (slot->group == NO_ENTRY ||
		    (slot->length == length && address_equal(&slot->address, address)))
			return slot;
	}
}

static struct service_slot *find_service(const struct vip_table *table, uint32_t group,
					 uint8_t protocol, uint16_t port)
{
	for (uint32_t i = hash_service(group, protocol, port);; i++) {
		struct service_slot *slot = &table->services[i & table->service_mask];

		if (slot->vip == NO_ENTRY ||
		    (slot->group == group && slot->port == port && slot->protocol == protocol))
			return slot;
	}
}

static void add_vip(struct vip_table *table, uint32_t number)
{
	const struct vip *vip = &table->vips[number];
	struct address_slot *address =
		find_address(table, &vip->prefix.address, vip->prefix.length);
	struct service_slot *service;

	if (address->group == NO_ENTRY) {
		address->address = vip->prefix.address;
		address->length = vip->prefix.length;
		address->group = table->group_count++;
		table->echo[address->group] = vip;
	} else if (table->echo[address->group]->icmp_echo == ICMP_ECHO_REPLY &&
		   vip->icmp_echo != ICMP_ECHO_REPLY) {
		table->echo[address->group] = vip;
	}
	if (vip->fragments)
		table->takes_fragments[address->group] = true;
	service = find_service(table, address->group, vip->protocol, vip->port);
	service->group = address->group;
	service->port = vip->port;
	service->protocol = vip->protocol;
	service->vip = number;
}

static void collect_lengths(const struct vip_table *table, uint32_t count, bool is_ipv4,
			    struct lengths *lengths)
{
	bool used[129] = { false };

	for (uint32_t i = 0; i < count; i++) {
		const struct prefix *prefix = &table->vips[i].prefix;

		if (is_ipv4 == vip_prefix_is_ipv4(prefix))
			used[prefix->length] = true;
	}
	for (int length = 128; length >= 0; length--)
		if (used[length])
			lengths->values[lengths->count++] = (uint8_t)length;
}

const struct vip_exact *vip_table_exact(const struct vip_table *table)
{
	return &table->exact;
}

int vip_table_build(const struct vip *vips, uint32_t count, struct vip_table **result)
{
	struct vip_table *table = calloc(1, sizeof(*table));
	uint32_t slots = 2;

	if (table == NULL)
		return -ENOMEM;
	while (slots < 2 * count)
		slots *= 2;
	table->vips = calloc(count + 1, sizeof(*table->vips));
	table->addresses = calloc(slots, sizeof(*table->addresses));
	table->services = calloc(slots, sizeof(*table->services));
	table->echo = calloc(count + 1, sizeof(*table->echo));
	table->takes_fragments = calloc(count + 1, sizeof(*table->takes_fragments));
	if (table->vips == NULL || table->addresses == NULL || table->services == NULL ||
	    table->echo == NULL || table->takes_fragments == NULL) {
		vip_table_release(table);
		return -ENOMEM;
	}
	table->address_mask = slots - 1;
	table->service_mask = slots - 1;
	for (uint32_t i = 0; i < slots; i++) {
		table->addresses[i].group = NO_ENTRY;
		table->services[i].vip = NO_ENTRY;
	}
	if (count > 0)
		memcpy(table->vips, vips, count * sizeof(*vips));
	if (vip_exact_build(&table->exact, table->vips, count) != 0) {
		vip_table_release(table);
		return -ENOMEM;
	}
	collect_lengths(table, count, true, &table->ipv4);
	collect_lengths(table, count, false, &table->ipv6);
	for (uint32_t i = 0; i < count; i++)
		add_vip(table, i);
	*result = table;
	return 0;
}

void vip_table_release(struct vip_table *table)
{
	if (table == NULL)
		return;
	vip_exact_release(&table->exact);
	free(table->takes_fragments);
	free(table->echo);
	free(table->services);
	free(table->addresses);
	free(table->vips);
	free(table);
}

/* Exact port and protocol, exact port, exact protocol, neither: the contract's order. */
static uint32_t find_vip(const struct vip_table *table, uint32_t group, uint8_t protocol,
			 uint16_t port)
{
	uint32_t vip = find_service(table, group, protocol, port)->vip;

	if (vip == NO_ENTRY)
		vip = find_service(table, group, 0, port)->vip;
	if (vip == NO_ENTRY)
		vip = find_service(table, group, protocol, 0)->vip;
	if (vip == NO_ENTRY)
		vip = find_service(table, group, 0, 0)->vip;
	return vip;
}

/* The lengths of prefixes that may hold the address. */
static const struct lengths *lengths_for(const struct vip_table *table,
					 const struct address *destination)
{
	static const struct lengths none;

	if (address_is_ipv4(destination))
		return &table->ipv4;
	return address_is_link_or_group(destination) ? &none : &table->ipv6;
}

static uint32_t find_group(const struct vip_table *table, const struct address *destination,
			   uint8_t length)
{
	struct address masked = length == 128 ? *destination : address_mask(destination, length);

	return find_address(table, &masked, length)->group;
}

enum vip_match vip_table_find(const struct vip_table *table, const struct address *destination,
			      uint8_t protocol, uint16_t port, const struct vip **vip)
{
	const struct lengths *lengths = lengths_for(table, destination);
	enum vip_match match = VIP_MATCH_NONE;

	for (uint32_t i = 0; i < lengths->count; i++) {
		uint32_t group = find_group(table, destination, lengths->values[i]);
		uint32_t number;

		if (group == NO_ENTRY)
			continue;
		match = VIP_MATCH_ADDRESS;
		number = find_vip(table, group, protocol, port);
		if (number != NO_ENTRY) {
			*vip = &table->vips[number];
			return VIP_MATCH_SERVICE;
		}
	}
	return match;
}

const struct vip *vip_table_find_echo(const struct vip_table *table,
				      const struct address *destination)
{
	const struct lengths *lengths = lengths_for(table, destination);

	for (uint32_t i = 0; i < lengths->count; i++) {
		uint32_t group = find_group(table, destination, lengths->values[i]);

		if (group != NO_ENTRY)
			return table->echo[group];
	}
	return NULL;
}

bool vip_table_takes_fragments(const struct vip_table *table, const struct address *destination)
{
	const struct lengths *lengths = lengths_for(table, destination);

	for (uint32_t i = 0; i < lengths->count; i++) {
		uint32_t group = find_group(table, destination, lengths->values[i]);

		if (group != NO_ENTRY && table->takes_fragments[group])
			return true;
	}
	return false;
}
