/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/suggestion.h>

#include "configuration_internal.h"

/* With more pools than this an unknown name gets no suggestion: each takes a look at every pool. */
enum {
	POOLS_SEARCHED = 1000,
};

enum {
	NAME,
	ADDRESS,
	PROTOCOL,
	PORT,
	POOL,
	FRAGMENTS,
	ICMP_ECHO,
	TRACKING,
	AFFINITY,
	ANNOUNCE,
	MIN_HEALTHY
};

static const struct key keys[] = {
	[NAME] = { "name", KEY_STRING, false },
	[ADDRESS] = { "address", KEY_STRING, true },
	[PROTOCOL] = { "protocol", KEY_STRING, true },
	[PORT] = { "port", KEY_INTEGER, false },
	[POOL] = { "pool", KEY_STRING, true },
	[FRAGMENTS] = { "fragments", KEY_BOOLEAN, false },
	[ICMP_ECHO] = { "icmp_echo", KEY_STRING, false },
	[TRACKING] = { "tracking", KEY_BOOLEAN, false },
	[AFFINITY] = { "affinity", KEY_STRING, false },
	[ANNOUNCE] = { "announce", KEY_BOOLEAN, false },
	[MIN_HEALTHY] = { "min_healthy", KEY_INTEGER, false },
};

static const char *const protocol_names[] = { "any", "tcp", "udp" };
static const uint8_t protocols[] = { 0, IPPROTO_TCP, IPPROTO_UDP };

/* The pools' names, sorted. When a pool could not be read, its name may be the one that a VIP asks
 * for, and nothing is said about unknown ones. */
struct pool_names {
	struct name_entry *entries;
	uint32_t count;
	bool is_complete;
};

/* What makes two VIPs one; "index" is into the configuration's VIPs. */
struct vip_key {
	struct prefix prefix;
	uint16_t port;
	uint8_t protocol;
	uint32_t index;
};

static const char *protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "any";
}

static bool read_prefix(struct reader *reader, const struct value *value, struct prefix *prefix)
{
	const char *objection = NULL;

	if (!value_prefix(reader, value, prefix))
		return false;
	if (prefix->length == 128 || address_is_link_or_group(&prefix->address))
		objection = address_objection(&prefix->address);
	if (!objection && address_is_link_or_group(&prefix->address))
		objection = "a link-local address";
	if (objection) {
		reader_error(reader, value->node->value_position,
			     "\"address\" cannot be %s, found \"%.63s\"", objection,
			     config_setting_get_string(value->setting));
		return false;
	}
	return true;
}

static void find_pool(struct reader *reader, const struct value *value,
		      const struct pool_names *pools, uint32_t *pool)
{
	const struct name_entry *entry;
	const char *name, *nearest = NULL;

	if (!value_string(value, &name))
		return;
	entry = names_find(pools->entries, pools->count, name);
	if (entry) {
		*pool = entry->index;
		return;
	}
	if (!pools->is_complete)
		return;
	if (pools->count > 0 && pools->count <= POOLS_SEARCHED)
		nearest = suggestion_find(name, &pools->entries[0].name, pools->count,
					  sizeof(pools->entries[0]));
	reader_error(reader, value->node->value_position, "unknown pool \"%.63s\"%s%s%s", name,
		     nearest ? "; did you mean \"" : "", nearest ? nearest : "",
		     nearest ? "\"?" : "");
}

/* "203.0.113.10:443/tcp", "[2001:db8::1]:443/tcp": no name in a file holds a "/", so this is never
 * one that another VIP has. */
static char *make_name(struct reader *reader, const struct vip_configuration *vip)
{
	char buffer[ADDRESS_TEXT_SIZE], name[ADDRESS_TEXT_SIZE + 16];
	bool is_ipv6 = !address_is_ipv4(&vip->prefix.address);

	snprintf(name, sizeof(name), "%s%s%s:%u/%s", is_ipv6 ? "[" : "",
		 prefix_format(&vip->prefix, buffer), is_ipv6 ? "]" : "", vip->port,
		 protocol_name(vip->protocol));
	return reader_copy(reader, name);
}

static void read_options(struct reader *reader, const struct value *values,
			 struct vip_configuration *vip)
{
	uint32_t icmp_echo = ICMP_ECHO_REPLY, affinity = AFFINITY_5TUPLE;

	vip->fragments = true;
	vip->tracking = true;
	value_boolean(&values[FRAGMENTS], &vip->fragments);
	value_boolean(&values[TRACKING], &vip->tracking);
	value_choice(reader, &values[ICMP_ECHO], icmp_echo_names, COUNT_OF(icmp_echo_names),
		     &icmp_echo);
	value_choice(reader, &values[AFFINITY], affinity_names, COUNT_OF(affinity_names),
		     &affinity);
	vip->icmp_echo = (enum icmp_echo)icmp_echo;
	vip->affinity = (enum affinity)affinity;
	configuration_read_vip_announce(reader, &values[ANNOUNCE], &values[MIN_HEALTHY], vip);
}

/* Returns whether what identifies the VIP could be read. */
static bool read_vip(struct reader *reader, const struct value *element,
		     const struct pool_names *pools, struct vip_configuration *vip)
{
	struct value values[COUNT_OF(keys)];
	uint32_t protocol = 0, port = 0;
	const char *name;
	bool is_known;

	vip->position = element->node->value_position;
	/* 0.0.0.0/0 until the address is read, which no check objects to. */
	vip->prefix.address = address_from_ipv4(0);
	vip->prefix.length = 96;
	if (!element->setting)
		return false;
	value_read_group(reader, element, "a VIP", keys, COUNT_OF(keys), values);
	if (values[ADDRESS].node)
		vip->position = values[ADDRESS].node->value_position;
	if (values[NAME].node)
		vip->position = values[NAME].node->value_position;
	is_known = read_prefix(reader, &values[ADDRESS], &vip->prefix);
	is_known &= value_choice(reader, &values[PROTOCOL], protocol_names,
				 COUNT_OF(protocol_names), &protocol);
	vip->protocol = protocols[protocol];
	if (values[PORT].node)
		is_known &= value_integer(reader, &values[PORT], 0, UINT16_MAX, &port);
	else if (values[PROTOCOL].setting && vip->protocol != 0)
		reader_error(reader, element->node->value_position,
			     "missing key \"port\" in a VIP (0 stands for every port)");
	is_known &= values[PORT].node || vip->protocol == 0;
	vip->port = (uint16_t)port;
	find_pool(reader, &values[POOL], pools, &vip->pool);
	read_options(reader, values, vip);
	if (value_name(reader, &values[NAME], &name))
		vip->name = reader_copy(reader, name);
	else
		vip->name = make_name(reader, vip);
	return is_known;
}

static int compare_keys(const void *left, const void *right)
{
	const struct vip_key *a = left, *b = right;
	int order = memcmp(a->prefix.address.bytes, b->prefix.address.bytes, 16);

	if (order != 0)
		return order;
	if (a->prefix.length != b->prefix.length)
		return a->prefix.length - b->prefix.length;
	if (a->port != b->port)
		return a->port - b->port;
	return a->protocol - b->protocol;
}

static int compare_keys_and_order(const void *left, const void *right)
{
	const struct vip_key *a = left, *b = right;
	int order = compare_keys(a, b);

	return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

static void check_keys(struct reader *reader, struct vip_key *vip_keys, uint32_t count)
{
	const struct vip_configuration *vips = reader->configuration->vips;
	uint32_t first = 0;

	if (count == 0)
		return;
	qsort(vip_keys, count, sizeof(*vip_keys), compare_keys_and_order);
	for (uint32_t i = 1; i < count; i++) {
		const struct vip_configuration *earlier = &vips[vip_keys[first].index];

		if (compare_keys(&vip_keys[i], &vip_keys[first]) != 0)
			first = i;
		else
			reader_error(reader, vips[vip_keys[i].index].position,
				     "same address, protocol and port as the VIP at %u:%u",
				     earlier->position.line, earlier->position.column);
	}
}

/* The end of the keys that have the prefix of the one at `first`; they are sorted. */
static uint32_t end_of_prefix(const struct vip_key *vip_keys, uint32_t count, uint32_t first)
{
	const struct prefix *prefix = &vip_keys[first].prefix;
	uint32_t end = first + 1;

	while (end < count && vip_keys[end].prefix.length == prefix->length &&
	       address_equal(&vip_keys[end].prefix.address, &prefix->address))
		end++;
	return end;
}

/* Which of the VIPs of a prefix an echo request is for does not show in it: those that do not leave
 * it to fluxpin must agree on what becomes of it. */
static void check_echo(struct reader *reader, const struct vip_key *vip_keys, uint32_t count)
{
	const struct vip_configuration *vips = reader->configuration->vips;

	for (uint32_t first = 0, end; first < count; first = end) {
		const struct vip_configuration *earliest = NULL;

		end = end_of_prefix(vip_keys, count, first);
		for (uint32_t i = first; i < end; i++) {
			const struct vip_configuration *vip = &vips[vip_keys[i].index];

			if (vip->icmp_echo != ICMP_ECHO_REPLY &&
			    (earliest == NULL || vip < earliest))
				earliest = vip;
		}
		for (uint32_t i = first; earliest != NULL && i < end; i++) {
			const struct vip_configuration *vip = &vips[vip_keys[i].index];

			if (vip->icmp_echo != ICMP_ECHO_REPLY &&
			    vip->icmp_echo != earliest->icmp_echo)
				reader_error(reader, vip->position,
					     "\"icmp_echo\" is \"%s\" here, and \"%s\" for the VIP "
					     "of the same address at %u:%u",
					     icmp_echo_names[vip->icmp_echo],
					     icmp_echo_names[earliest->icmp_echo],
					     earliest->position.line, earliest->position.column);
		}
	}
}

static void check_names(struct reader *reader, struct name_entry *entries)
{
	const struct configuration *configuration = reader->configuration;
	uint32_t count = 0;

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];

		if (vip->name && !strchr(vip->name, '/'))
			entries[count++] = (struct name_entry){ vip->name, vip->position, i };
	}
	names_check_unique(reader, entries, count, "VIP");
}

static void collect_pool_names(struct reader *reader, const struct value *list,
			       struct pool_names *pools)
{
	const struct configuration *configuration = reader->configuration;

	pools->is_complete = !list->node || (list->setting &&
					     configuration->pool_count == list->node->child_count);
	pools->entries =
		reader_allocate(reader, configuration->pool_count, sizeof(*pools->entries));
	for (uint32_t i = 0; pools->entries && i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		if (pool->name)
			pools->entries[pools->count++] =
				(struct name_entry){ pool->name, pool->position, i };
		else
			pools->is_complete = false;
	}
	names_sort(pools->entries, pools->count);
}

void configuration_read_vips(struct reader *reader, const struct value *list,
			     const struct value *pools)
{
	struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	struct pool_names pool_names = { 0 };
	struct vip_key *vip_keys = NULL;
	struct name_entry *entries = NULL;
	uint32_t index = 0, key_count = 0, count;

	if (!list->setting)
		return;
	count = list->node->child_count;
	if (count > CONFIGURATION_MAX_VIPS) {
		reader_error(reader, list->node->value_position, "too many VIPs: %u, at most %d",
			     count, CONFIGURATION_MAX_VIPS);
		return;
	}
	collect_pool_names(reader, pools, &pool_names);
	vip_keys = reader_allocate(reader, count, sizeof(*vip_keys));
	entries = reader_allocate(reader, count, sizeof(*entries));
	configuration->vips = reader_allocate(reader, count, sizeof(*configuration->vips));
	if (reader->status != 0)
		goto out;
	configuration->vip_count = count;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element = value_element(reader, list, &nodes[i], index, "a VIP");
		struct vip_configuration *vip = &configuration->vips[index];

		if (read_vip(reader, &element, &pool_names, vip))
			vip_keys[key_count++] =
				(struct vip_key){ vip->prefix, vip->port, vip->protocol, index };
	}
	check_keys(reader, vip_keys, key_count);
	check_echo(reader, vip_keys, key_count);
	check_names(reader, entries);
out:
	free(entries);
	free(vip_keys);
	free(pool_names.entries);
}
