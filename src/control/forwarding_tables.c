/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/forwarding_builder.h>

#include "forwarding_pool.h"

/* A backend is the same one as before when pool, name and address are; its weight may change. */
static char *backend_key(const struct pool_configuration *pool,
			 const struct backend_configuration *backend)
{
	char address[ADDRESS_TEXT_SIZE];
	char *key;

	if (asprintf(&key, "%s\n%s\n%s", pool->name, backend->name,
		     address_format(&backend->address, address)) < 0)
		return NULL;
	return key;
}

static int add_backend(const struct configuration *configuration, uint32_t pool, uint32_t backend,
		       struct registry *registry, struct forwarding_tables *tables)
{
	const struct pool_configuration *in = &configuration->pools[pool];
	struct forwarding_backend *out = &tables->backends[tables->backend_count];
	char *key = backend_key(in, &in->backends[backend]);
	int error;

	if (key == NULL)
		return -ENOMEM;
	error = registry_acquire(registry, key, &out->index, &out->generation);
	free(key);
	if (error != 0)
		return error;
	out->pool = pool;
	out->backend = backend;
	tables->backend_count++;
	return 0;
}

/* What a new table may take over: the previous tables of pools, by the index of a backend. */
struct known_pools {
	struct pool_table **by_index;
	uint32_t limit;
};

static int know_pools(const struct forwarding_tables *previous, struct known_pools *known)
{
	*known = (struct known_pools){ 0 };
	if (previous == NULL)
		return 0;
	known->by_index = calloc(previous->index_limit + 1, sizeof(*known->by_index));
	if (known->by_index == NULL)
		return -ENOMEM;
	known->limit = previous->index_limit;
	for (uint32_t i = 0; i < previous->backend_count; i++)
		known->by_index[previous->backends[i].index] =
			previous->pool_tables[previous->backends[i].pool];
	return 0;
}

static int build_pool(const struct configuration *configuration, uint32_t pool,
		      const struct forwarding_backend *indexed,
		      const struct backend_service *services, const struct known_pools *known,
		      struct forwarding_tables *tables)
{
	const struct pool_configuration *in = &configuration->pools[pool];
	struct pool_member *members = calloc(in->backend_count + 1, sizeof(*members));
	const char **names = calloc(in->backend_count + 1, sizeof(*names));
	struct pool_table *old = NULL, *table = NULL;
	int error = -ENOMEM;

	if (members == NULL || names == NULL)
		goto out;
	for (uint32_t i = 0; i < in->backend_count; i++) {
		members[i] =
			(struct pool_member){ .index = indexed[i].index,
					      .generation = indexed[i].generation,
					      .weight = services != NULL ? services[i].weight
									 : in->backends[i].weight };
		names[i] = in->backends[i].name;
	}
	if (in->backend_count > 0 && indexed[0].index < known->limit)
		old = known->by_index[indexed[0].index];
	error = pool_table_get(old, members, names, in->backend_count, in->table_size, &table);
	if (error != 0)
		goto out;
	tables->pool_tables[pool] = table;
	tables->pools[pool] =
		(struct forwarding_pool){ .slots = table->slots, .size = table->size };
	tables->pool_count = pool + 1;
	if (in->is_peers)
		tables->peers = &tables->pools[pool];
out:
	free(names);
	free(members);
	return error;
}

static int build_pools(const struct configuration *configuration,
		       const struct backend_service *services,
		       const struct forwarding_tables *previous, struct forwarding_tables *tables)
{
	struct known_pools known;
	uint32_t first = 0;
	int error = know_pools(previous, &known);

	for (uint32_t i = 0; i < configuration->pool_count && error == 0; i++) {
		error = build_pool(configuration, i, &tables->backends[first],
				   services != NULL ? &services[first] : NULL, &known, tables);
		first += configuration->pools[i].backend_count;
	}
	for (uint32_t i = 0; i < tables->backend_count; i++)
		tables->backends[i].is_down = services != NULL && services[i].is_down;
	free(known.by_index);
	return error;
}

static int acquire_backends(const struct configuration *configuration, struct registry *registry,
			    struct forwarding_tables *tables)
{
	int error = 0;

	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		for (uint32_t j = 0; j < pool->backend_count && error == 0; j++) {
			error = add_backend(configuration, i, j, registry, tables);
			if (error == 0 && pool->is_peers &&
			    address_equal(&pool->backends[j].address, &configuration->peer_self))
				tables->peer_self =
					tables->backends[tables->backend_count - 1].index;
		}
	}
	for (uint32_t i = 0; i < tables->backend_count; i++)
		if (tables->backends[i].index >= tables->index_limit)
			tables->index_limit = (uint32_t)tables->backends[i].index + 1;
	return error;
}

static int build_vips(const struct configuration *configuration,
		      const struct forwarding_tables *previous, struct registry *registry,
		      struct forwarding_tables *tables)
{
	struct vip *vips = calloc(configuration->vip_count + 1, sizeof(*vips));
	int error = 0;

	if (vips == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < configuration->vip_count && error == 0; i++) {
		const struct vip_configuration *in = &configuration->vips[i];
		uint16_t generation;

		error = registry_acquire(registry, in->name, &tables->vip_indexes[i], &generation);
		vips[i] = (struct vip){ .prefix = in->prefix,
					.port = in->port,
					.protocol = in->protocol,
					.tracking = in->tracking,
					.fragments = in->fragments,
					.by_source = in->affinity == AFFINITY_SOURCE,
					.icmp_echo = (uint8_t)in->icmp_echo,
					.index = tables->vip_indexes[i],
					.pool = (uint16_t)in->pool };
		tables->prefixes[i] = in->prefix;
	}
	tables->vip_count = configuration->vip_count;
	if (error != 0) {
		free(vips);
		return error;
	}
	error = vip_set_get(previous != NULL ? previous->vip_set : NULL, vips,
			    configuration->vip_count, &tables->vip_set);
	if (error == 0)
		tables->vips = tables->vip_set->table;
	return error;
}

/* Copies of the lists, all in one block with the structure. */
static int build_decapsulation(const struct configuration *configuration,
			       struct forwarding_tables *tables)
{
	uint32_t source_count = configuration->decapsulation.source_count;
	uint32_t address_count = configuration->decapsulation.address_count;
	uint32_t peer_count = configuration->peer_count;
	struct decapsulation *made;
	struct address *addresses, *peers;
	struct prefix *sources;

	if (source_count == 0 && peer_count == 0)
		return 0;
	made = calloc(1, sizeof(*made) + (address_count + peer_count) * sizeof(*addresses) +
				 source_count * sizeof(*sources));
	if (made == NULL)
		return -ENOMEM;
	addresses = (struct address *)(made + 1);
	peers = addresses + address_count;
	sources = (struct prefix *)(peers + peer_count);
	if (peer_count > 0)
		memcpy(peers, configuration->peers, peer_count * sizeof(*peers));
	memcpy(addresses, configuration->decapsulation.addresses,
	       address_count * sizeof(*addresses));
	if (source_count > 0)
		memcpy(sources, configuration->decapsulation.sources,
		       source_count * sizeof(*sources));
	*made = (struct decapsulation){ .sources = sources,
					.addresses = addresses,
					.peers = peers,
					.source_count = source_count,
					.address_count = address_count,
					.peer_count = peer_count,
					.self = configuration->peer_self };
	tables->decapsulation = made;
	return 0;
}

static struct forwarding_tables *allocate(const struct configuration *configuration)
{
	struct forwarding_tables *tables = calloc(1, sizeof(*tables));
	uint32_t backend_count = configuration_backend_count(configuration);

	if (tables == NULL)
		return NULL;
	tables->pools = calloc(configuration->pool_count + 1, sizeof(*tables->pools));
	tables->pool_tables = calloc(configuration->pool_count + 1, sizeof(*tables->pool_tables));
	tables->backends = calloc(backend_count + 1, sizeof(*tables->backends));
	tables->vip_indexes = calloc(configuration->vip_count + 1, sizeof(*tables->vip_indexes));
	tables->prefixes = calloc(configuration->vip_count + 1, sizeof(*tables->prefixes));
	if (tables->pools == NULL || tables->pool_tables == NULL || tables->backends == NULL ||
	    tables->vip_indexes == NULL || tables->prefixes == NULL) {
		forwarding_tables_release(tables);
		return NULL;
	}
	return tables;
}

int forwarding_tables_build(const struct configuration *configuration,
			    const struct backend_service *services,
			    const struct forwarding_tables *previous, struct registry *backends,
			    struct registry *vips, struct forwarding_tables **result)
{
	struct forwarding_tables *tables = allocate(configuration);
	int error;

	if (tables == NULL)
		return -ENOMEM;
	error = acquire_backends(configuration, backends, tables);
	if (error == 0)
		error = build_pools(configuration, services, previous, tables);
	if (error == 0)
		error = build_vips(configuration, previous, vips, tables);
	if (error == 0)
		error = build_decapsulation(configuration, tables);
	if (error != 0)
		forwarding_tables_release(tables);
	else
		*result = tables;
	return error;
}

int forwarding_tables_rebuild(const struct configuration *configuration,
			      const struct backend_service *services,
			      const struct forwarding_tables *previous,
			      struct forwarding_tables **result)
{
	struct forwarding_tables *tables = allocate(configuration);
	int error;

	if (tables == NULL)
		return -ENOMEM;
	tables->backend_count = previous->backend_count;
	tables->index_limit = previous->index_limit;
	tables->peer_self = previous->peer_self;
	tables->vip_count = previous->vip_count;
	memcpy(tables->backends, previous->backends,
	       previous->backend_count * sizeof(*tables->backends));
	memcpy(tables->vip_indexes, previous->vip_indexes,
	       previous->vip_count * sizeof(*tables->vip_indexes));
	memcpy(tables->prefixes, previous->prefixes,
	       previous->vip_count * sizeof(*tables->prefixes));
	tables->vip_set = vip_set_share(previous->vip_set);
	tables->vips = tables->vip_set->table;
	error = build_pools(configuration, services, previous, tables);
	if (error == 0)
		error = build_decapsulation(configuration, tables);
	if (error != 0)
		forwarding_tables_release(tables);
	else
		*result = tables;
	return error;
}

void forwarding_tables_release(struct forwarding_tables *tables)
{
	if (tables == NULL)
		return;
	for (uint32_t i = 0; i < tables->pool_count; i++)
		pool_table_release(tables->pool_tables[i]);
	vip_set_release(tables->vip_set);
	free(tables->decapsulation);
	free(tables->prefixes);
	free(tables->vip_indexes);
	free(tables->backends);
	free(tables->pool_tables);
	free(tables->pools);
	free(tables);
}
