/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load balancers of the cluster. They become a pool of their own, by whose Maglev table each
 * of them finds the one that a fragment is for.
 */
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

#define POOL_NAME  "peers"
#define TABLE_SIZE 65537

/* Reads the list's addresses, all of one family. */
static bool read_addresses(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	uint32_t count = list->node->child_count, read = 0, element_index = 0;
	struct address *peers;

	if (count < 1 || count > CONFIGURATION_MAX_PEERS) {
		reader_error(reader, list->node->value_position,
			     "\"peers\" must have 1 to %d entries, found %u",
			     CONFIGURATION_MAX_PEERS, count);
		return false;
	}
	/* One more, for this load balancer itself. */
	peers = reader_allocate(reader, count + 1, sizeof(*peers));
	if (reader->status != 0)
		return false;
	configuration->peers = peers;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, element_index++) {
		struct value element =
			value_string_element(reader, list, &nodes[i], element_index, "a peer");
		struct address *peer = &peers[read];

		if (!value_address(reader, &element, peer))
			continue;
		if (address_is_in(peers, read, peer))
			reader_error(reader, nodes[i].value_position, "this peer is listed twice");
		else if (read > 0 && address_is_ipv4(peer) != address_is_ipv4(&peers[0]))
			reader_error(reader, nodes[i].value_position,
				     "peers must be of one family: the first one is not");
		else
			read++;
	}
	configuration->peer_count = read;
	return read > 0;
}

/* Whether or not the list names this load balancer, all of the cluster have the same set. */
static bool add_self(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	bool is_ipv4 = address_is_ipv4(&configuration->peers[0]);

	configuration->peer_self =
		is_ipv4 ? configuration->source_ipv4 : configuration->source_ipv6;
	if (address_is_zero(&configuration->peer_self)) {
		reader_error(reader, list->node->name_position,
			     "\"peers\" needs the %s address of \"source_address\": which of them "
			     "is this one?",
			     is_ipv4 ? "IPv4" : "IPv6");
		return false;
	}
	if (!address_is_in(configuration->peers, configuration->peer_count,
			   &configuration->peer_self))
		configuration->peers[configuration->peer_count++] = configuration->peer_self;
	return true;
}

static bool check_pools(struct reader *reader, const struct value *list)
{
	const struct configuration *configuration = reader->configuration;
	uint32_t backend_count = configuration->peer_count;

	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		backend_count += pool->backend_count;
		if (pool->name == NULL || strcmp(pool->name, POOL_NAME) != 0)
			continue;
		reader_error(reader, pool->position,
			     "with \"peers\", the pool of that name is theirs; choose another one");
		return false;
	}
	if (configuration->pool_count < CONFIGURATION_MAX_POOLS &&
	    backend_count <= CONFIGURATION_MAX_BACKENDS)
		return true;
	reader_error(reader, list->node->value_position,
		     "too many pools or backends: peers count among them");
	return false;
}

static void add_pool(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	struct pool_configuration *pools =
		reader_allocate(reader, configuration->pool_count + 1, sizeof(*pools));
	struct pool_configuration *pool;

	if (reader->status != 0)
		return;
	if (configuration->pool_count > 0)
		memcpy(pools, configuration->pools, configuration->pool_count * sizeof(*pools));
	free(configuration->pools);
	configuration->pools = pools;
	pool = &pools[configuration->pool_count++];
	*pool = (struct pool_configuration){
		.name = reader_copy(reader, POOL_NAME),
		.encapsulation = ENCAPSULATION_GRE,
		.is_peers = true,
		.table_size = TABLE_SIZE,
		.health_check = { .type = HEALTH_CHECK_NONE },
		.backends =
			reader_allocate(reader, configuration->peer_count, sizeof(*pool->backends)),
		.position = list->node->value_position,
	};
	for (uint32_t i = 0; i < configuration->peer_count && reader->status == 0; i++) {
		char text[ADDRESS_TEXT_SIZE];

		pool->backends[i] = (struct backend_configuration){
			.name = reader_copy(reader, address_format(&configuration->peers[i], text)),
			.address = configuration->peers[i],
			.weight = 1,
			.origin = configuration->pool_count - 1,
			.position = list->node->value_position,
		};
		pool->backend_count = i + 1;
	}
}

struct configuration_size configuration_size(const struct configuration *configuration)
{
	struct configuration_size size = { 0 };

	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		if (configuration->pools[i].is_peers)
			continue;
		size.pools++;
		size.backends += configuration->pools[i].backend_count;
	}
	return size;
}

uint32_t configuration_backend_count(const struct configuration *configuration)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < configuration->pool_count; i++)
		count += configuration->pools[i].backend_count;
	return count;
}

void configuration_read_peers(struct reader *reader, const struct value *list)
{
	if (!list->setting)
		return;
	if (reader->configuration->slow_path == SLOW_PATH_PASS) {
		reader_error(reader, list->node->name_position,
			     "\"peers\" needs slow_path = \"tap\" in this version");
		return;
	}
	if (read_addresses(reader, list) && add_self(reader, list) && check_pools(reader, list))
		add_pool(reader, list);
}
