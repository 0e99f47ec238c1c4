/* SPDX-License-Identifier: BSD-2-Clause */
/* The addresses of this host, and the program's map of them. */
#include "endpoint_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/log.h>

static_assert(sizeof(struct endpoint_address) == sizeof(uint32_t) + sizeof(struct in6_addr),
	      "no padding, which memcmp and the kernel would compare too");

struct address_list {
	struct endpoint_address *addresses; /* sorted as plain bytes, each once */
	uint32_t count;
};

static int compare_addresses(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct endpoint_address));
}

static bool address_list_has(const struct address_list *list,
			     const struct endpoint_address *address)
{
	return list->count != 0 && bsearch(address, list->addresses, list->count, sizeof(*address),
					   compare_addresses) != NULL;
}

/* Whether a packet may come to this address from another network; stores it as the map's key. */
static bool address_key(const struct sockaddr *from, struct endpoint_address *key)
{
	struct sockaddr_in6 ipv6;
	struct sockaddr_in ipv4;

	memset(key, 0, sizeof(*key));
	if (from && from->sa_family == AF_INET) {
		memcpy(&ipv4, from, sizeof(ipv4));
		key->version = 4;
		key->word[0] = ipv4.sin_addr.s_addr;
		return ntohl(ipv4.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
	}
	if (from && from->sa_family == AF_INET6) {
		memcpy(&ipv6, from, sizeof(ipv6));
		key->version = 6;
		memcpy(key->word, &ipv6.sin6_addr, sizeof(key->word));
		return !IN6_IS_ADDR_LOOPBACK(&ipv6.sin6_addr) &&
		       !IN6_IS_ADDR_LINKLOCAL(&ipv6.sin6_addr);
	}
	return false;
}

/* The addresses of this network namespace. list->addresses is to be freed. */
static int address_list_read(struct address_list *list)
{
	struct address_list read = { 0 };
	struct endpoint_address key;
	struct ifaddrs *interfaces;
	uint32_t limit = 0;
	uint32_t kept = 0;

	if (getifaddrs(&interfaces) != 0)
		return -errno;
	for (const struct ifaddrs *each = interfaces; each; each = each->ifa_next)
		limit += address_key(each->ifa_addr, &key);
	read.addresses = calloc(limit + 1u, sizeof(*read.addresses));
	if (!read.addresses) {
		freeifaddrs(interfaces);
		return -ENOMEM;
	}
	for (const struct ifaddrs *each = interfaces; each; each = each->ifa_next) {
		if (address_key(each->ifa_addr, &key))
			read.addresses[read.count++] = key;
	}
	freeifaddrs(interfaces);
	qsort(read.addresses, read.count, sizeof(*read.addresses), compare_addresses);
	for (uint32_t i = 0; i < read.count; i++) {
		if (kept == 0 ||
		    compare_addresses(&read.addresses[kept - 1], &read.addresses[i]) != 0)
			read.addresses[kept++] = read.addresses[i];
	}
	read.count = kept;
	*list = read;
	return 0;
}

/* Takes out of the map what the list does not hold. */
static int addresses_prune(int map, const struct address_list *list)
{
	struct endpoint_address key;
	struct endpoint_address next;
	int error = bpf_map_get_next_key(map, NULL, &next);

	while (error == 0) {
		key = next;
		/* The next one first: from a key that is gone, the walk would start again. */
		error = bpf_map_get_next_key(map, &key, &next);
		if (!address_list_has(list, &key)) {
			int removed = bpf_map_delete_elem(map, &key);

			if (removed && removed != -ENOENT)
				return removed;
		}
	}
	return error == -ENOENT ? 0 : error;
}

/* Makes the map hold this host's addresses: first the new ones, so that none is missed meanwhile.
 */
int endpoint_refresh_addresses(const char *interface, int map)
{
	struct address_list list;
	const uint8_t present = 1;
	int error = address_list_read(&list);

	if (error) {
		log_error("cannot read the addresses of this host: %s", strerror(-error));
		return error;
	}
	if (list.count == 0)
		log_warning("%s: this host has no address yet, so nothing is decapsulated; "
			    "attach again when it has",
			    interface);
	for (uint32_t i = 0; i < list.count && error == 0; i++)
		error = bpf_map_update_elem(map, &list.addresses[i], &present, BPF_ANY);
	if (error == 0)
		error = addresses_prune(map, &list);
	if (error == -E2BIG)
		log_error("this host has %u addresses, the program holds %d", list.count,
			  ENDPOINT_MAX_ADDRESSES);
	else if (error)
		log_error("cannot write the program's addresses: %s", strerror(-error));
	free(list.addresses);
	return error;
}

int endpoint_compare_addresses(int map, uint32_t *held, uint32_t *missing)
{
	struct address_list list;
	uint32_t in_map = 0;
	uint32_t not_in_map = 0;
	struct endpoint_address key;
	uint8_t value;
	int error = address_list_read(&list);

	if (error)
		return error;
	for (uint32_t i = 0; i < list.count; i++)
		not_in_map += bpf_map_lookup_elem(map, &list.addresses[i], &value) != 0;
	free(list.addresses);
	for (error = bpf_map_get_next_key(map, NULL, &key); error == 0;
	     error = bpf_map_get_next_key(map, &key, &key))
		in_map++;
	if (error != -ENOENT)
		return error;
	*held = in_map;
	*missing = not_in_map;
	return 0;
}
