/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a health check says that depends on the rest of the file: the VIP that a check through the
 * tunnel is sent to, and whether its source can reach what is probed.
 */
#include <netinet/in.h>
#include <string.h>

#include "configuration_internal.h"

static struct position value_position(const struct reader *reader, const struct node *group,
				      const char *name)
{
	const struct node *node = node_find(reader, group, name);

	return node ? node->value_position : group->value_position;
}

/* The VIP of a name, or the pool's first one; NULL when there is none, which is reported. */
static const struct vip_configuration *find_vip(struct reader *reader, uint32_t pool,
						const struct node *node)
{
	const struct configuration *configuration = reader->configuration;
	const char *name = configuration->pools[pool].health_check.vip_name;

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];

		if (!vip->name || (name && strcmp(vip->name, name) != 0))
			continue;
		if (vip->pool == pool)
			return vip;
		if (name) {
			reader_error(reader, value_position(reader, node, "vip"),
				     "VIP \"%s\" is of another pool", name);
			return NULL;
		}
	}
	if (name)
		reader_error(reader, value_position(reader, node, "vip"), "unknown VIP \"%s\"",
			     name);
	else
		reader_error(reader, value_position(reader, node, "via"),
			     "a check through the tunnel takes a VIP of its pool, which has none");
	return NULL;
}

static void resolve_vip(struct reader *reader, uint32_t pool, const struct node *node)
{
	struct health_check_configuration *check = &reader->configuration->pools[pool].health_check;
	const struct vip_configuration *vip = find_vip(reader, pool, node);
	uint8_t protocol = check->type == HEALTH_CHECK_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	struct position position = value_position(reader, node, check->vip_name ? "vip" : "via");

	if (!vip)
		return;
	if (vip->prefix.length != 128) {
		reader_error(reader, position,
			     "a check through the tunnel takes a VIP of one address, and \"%s\" is "
			     "a prefix",
			     vip->name);
		return;
	}
	if (check->port == 0 && (vip->port == 0 || (vip->protocol && vip->protocol != protocol)))
		reader_error(reader, position,
			     "the check needs a \"port\": VIP \"%s\" has none of its protocol",
			     vip->name);
	if (!address_is_zero(&check->source) &&
	    address_is_ipv4(&check->source) != address_is_ipv4(&vip->prefix.address))
		reader_error(reader, value_position(reader, node, "source"),
			     "\"source\" and the VIP \"%s\" are of different families", vip->name);
	if (check->port == 0)
		check->port = vip->port;
	check->vip = vip->prefix.address;
}

/* A source says nothing about backends of the other family. */
static void check_source(struct reader *reader, const struct pool_configuration *pool,
			 const struct node *node)
{
	const struct address *source = &pool->health_check.source;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		const struct backend_configuration *backend = &pool->backends[i];

		if (!backend->name || address_is_ipv4(&backend->address) == address_is_ipv4(source))
			continue;
		reader_error(reader, value_position(reader, node, "source"),
			     "\"source\" and the address of backend \"%s\" are of different "
			     "families",
			     backend->name);
		return;
	}
}

static void resolve_pool(struct reader *reader, uint32_t pool, const struct node *node)
{
	const struct pool_configuration *configuration = &reader->configuration->pools[pool];
	const struct health_check_configuration *check = &configuration->health_check;
	const struct node *group = node_find(reader, node, "health_check");

	if (!group || check->type == HEALTH_CHECK_NONE)
		return;
	if (check->via == HEALTH_CHECK_TUNNEL)
		resolve_vip(reader, pool, group);
	else if (!address_is_zero(&check->source))
		check_source(reader, configuration, group);
}

void configuration_resolve_health_checks(struct reader *reader)
{
	const struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	const struct node *pools = node_find(reader, &nodes[0], "pools");
	uint32_t i = 0;

	/* Elements that are no groups have a node without children and an empty structure. */
	if (!pools || configuration->pool_count != pools->child_count)
		return;
	for (uint32_t child = pools->first_child; child != 0; child = nodes[child].next)
		resolve_pool(reader, i++, &nodes[child]);
}
