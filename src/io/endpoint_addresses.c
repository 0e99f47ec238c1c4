/* SPDX-License-Identifier: BSD-2-Clause */
/* The IPv4 addresses of this host, and the program's map of them. */
#include "endpoint_internal.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/log.h>

struct address_list {
	uint32_t *addresses_be; /* sorted as plain numbers, each once */
	uint32_t count;
};

static int compare_addresses(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static bool address_list_has(const struct address_list *list, uint32_t address_be)
{
	return list->count != 0 && bsearch(&address_be, list->addresses_be, list->count,
					   sizeof(address_be), compare_addresses) != NULL;
}

/* The IPv4 addresses of this network namespace, except 127.0.0.0/8. addresses_be is to be freed. */
static int address_list_read(struct address_list *list)
{
	struct address_list read = { 0 };
	struct ifaddrs *interfaces;
	uint32_t limit = 0;
	uint32_t kept = 0;

	if (getifaddrs(&interfaces) != 0)
		return -errno;
	for (const struct ifaddrs *each = interfaces; each; each = each->ifa_next)
		limit += each->ifa_addr && each->ifa_addr->sa_family == AF_INET;
	read.addresses_be = calloc(limit + 1u, sizeof(*read.addresses_be));
	if (!read.addresses_be) {
		freeifaddrs(interfaces);
		return -ENOMEM;
	}
	for (const struct ifaddrs *each = interfaces; each; each = each->ifa_next) {
		struct sockaddr_in socket_address;

		if (!each->ifa_addr || each->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&socket_address, each->ifa_addr, sizeof(socket_address));
		if (ntohl(socket_address.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
			read.addresses_be[read.count++] = socket_address.sin_addr.s_addr;
	}
	freeifaddrs(interfaces);
	qsort(read.addresses_be, read.count, sizeof(*read.addresses_be), compare_addresses);
	for (uint32_t i = 0; i < read.count; i++) {
		if (kept == 0 || read.addresses_be[kept - 1] != read.addresses_be[i])
			read.addresses_be[kept++] = read.addresses_be[i];
	}
	read.count = kept;
	*list = read;
	return 0;
}

/* Takes out of the map what the list does not hold. */
static int addresses_prune(int map, const struct address_list *list)
{
	uint32_t key;
	uint32_t next;
	int error = bpf_map_get_next_key(map, NULL, &next);

	while (error == 0) {
		key = next;
		/* The next one first: from a key that is gone, the walk would start again. */
		error = bpf_map_get_next_key(map, &key, &next);
		if (!address_list_has(list, key)) {
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
		log_warning("%s: this host has no IPv4 address yet, so nothing is decapsulated; "
			    "attach again when it has",
			    interface);
	for (uint32_t i = 0; i < list.count && error == 0; i++)
		error = bpf_map_update_elem(map, &list.addresses_be[i], &present, BPF_ANY);
	if (error == 0)
		error = addresses_prune(map, &list);
	if (error == -E2BIG)
		log_error("this host has %u IPv4 addresses, the program holds %d", list.count,
			  ENDPOINT_MAX_ADDRESSES);
	else if (error)
		log_error("cannot write the program's addresses: %s", strerror(-error));
	free(list.addresses_be);
	return error;
}

int endpoint_compare_addresses(int map, uint32_t *held, uint32_t *missing)
{
	struct address_list list;
	uint32_t in_map = 0;
	uint32_t not_in_map = 0;
	uint32_t key;
	uint8_t value;
	int error = address_list_read(&list);

	if (error)
		return error;
	for (uint32_t i = 0; i < list.count; i++)
		not_in_map += bpf_map_lookup_elem(map, &list.addresses_be[i], &value) != 0;
	free(list.addresses_be);
	for (error = bpf_map_get_next_key(map, NULL, &key); error == 0;
	     error = bpf_map_get_next_key(map, &key, &key))
		in_map++;
	if (error != -ENOENT)
		return error;
	*held = in_map;
	*missing = not_in_map;
	return 0;
}
