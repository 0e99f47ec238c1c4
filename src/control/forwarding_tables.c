/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/forwarding_builder.h>
#include <fluxpin/maglev.h>

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

static int build_pool(const struct configuration *configuration, uint32_t pool,
		      const struct backend_overrides *overrides, struct registry *registry,
		      struct forwarding_tables *tables)
{
	const struct pool_configuration *in = &configuration->pools[pool];
	struct forwarding_backend *indexed = &tables->backends[tables->backend_count];
	struct maglev_backend *backends = calloc(in->backend_count + 1, sizeof(*backends));
	uint16_t *slots = calloc(in->table_size, sizeof(*slots));
	unsigned int flags;
	int error = -ENOMEM;

	if (backends == NULL || slots == NULL)
		goto out;
	for (uint32_t i = 0; i < in->backend_count; i++) {
		error = add_backend(configuration, pool, i, registry, tables);
		if (error != 0)
			goto out;
		flags = backend_overrides_get(overrides, in->name, in->backends[i].name);
		indexed[i].is_down = (flags & BACKEND_DOWN) != 0;
		if (in->is_peers &&
		    address_equal(&in->backends[i].address, &configuration->peer_self))
			tables->peer_self = indexed[i].index;
		backends[i] =
			(struct maglev_backend){ .name = in->backends[i].name,
						 .weight = flags != 0 ? 0 : in->backends[i].weight,
						 .index = indexed[i].index };
	}
	error = maglev_build(backends, in->backend_count, in->table_size, slots);
	if (error != 0)
		goto out;
	tables->pools[pool] = (struct forwarding_pool){ .slots = slots, .size = in->table_size };
	tables->pool_count = pool + 1;
	if (in->is_peers)
		tables->peers = &tables->pools[pool];
	slots = NULL;
out:
	free(slots);
	free(backends);
	return error;
}

static int build_vips(const struct configuration *configuration, struct registry *registry,
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
	if (error == 0)
		error = vip_table_build(vips, configuration->vip_count, &tables->vips);
	tables->vip_count = configuration->vip_count;
	free(vips);
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

int forwarding_tables_build(const struct configuration *configuration,
			    const struct backend_overrides *overrides, struct registry *backends,
			    struct registry *vips, struct forwarding_tables **result)
{
	struct forwarding_tables *tables = calloc(1, sizeof(*tables));
	uint32_t backend_count = 0;
	int error = -ENOMEM;

	if (tables == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < configuration->pool_count; i++)
		backend_count += configuration->pools[i].backend_count;
	tables->pools = calloc(configuration->pool_count + 1, sizeof(*tables->pools));
	tables->backends = calloc(backend_count + 1, sizeof(*tables->backends));
	tables->vip_indexes = calloc(configuration->vip_count + 1, sizeof(*tables->vip_indexes));
	tables->prefixes = calloc(configuration->vip_count + 1, sizeof(*tables->prefixes));
	if (tables->pools == NULL || tables->backends == NULL || tables->vip_indexes == NULL ||
	    tables->prefixes == NULL)
		goto fail;
	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		error = build_pool(configuration, i, overrides, backends, tables);
		if (error != 0)
			goto fail;
	}
	error = build_vips(configuration, vips, tables);
	if (error != 0)
		goto fail;
	error = build_decapsulation(configuration, tables);
	if (error != 0)
		goto fail;
	for (uint32_t i = 0; i < tables->backend_count; i++)
		if (tables->backends[i].index >= tables->index_limit)
			tables->index_limit = (uint32_t)tables->backends[i].index + 1;
	*result = tables;
	return 0;
fail:
	forwarding_tables_release(tables);
	return error;
}

void forwarding_tables_release(struct forwarding_tables *tables)
{
	if (tables == NULL)
		return;
	for (uint32_t i = 0; i < tables->pool_count; i++)
		free((void *)tables->pools[i].slots);
	vip_table_release(tables->vips);
	free(tables->decapsulation);
	free(tables->prefixes);
	free(tables->vip_indexes);
	free(tables->backends);
	free(tables->pools);
	free(tables);
}
