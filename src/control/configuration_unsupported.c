/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the configuration may say but this version does not do yet, in one place: errors where it
 * would forward nothing or wrongly, warnings where it works, but not as asked.
 */
#include "configuration_internal.h"

static struct position value_position(const struct reader *reader, const struct node *group,
				      const char *name)
{
	const struct node *node = node_find(reader, group, name);

	return node ? node->value_position : group->value_position;
}

static void check_pool(struct reader *reader, const struct pool_configuration *pool,
		       const struct node *node)
{
	const struct node *check = node_find(reader, node, "health_check");

	if (check && pool->health_check.type != HEALTH_CHECK_NONE)
		reader_warn(reader, value_position(reader, check, "type"),
			    "health checks are not run by this version yet: every backend counts "
			    "as healthy");
}

void configuration_check_supported(struct reader *reader)
{
	const struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	const struct node *pools = node_find(reader, &nodes[0], "pools");
	uint32_t i = 0;

	/* Elements that are no groups have a node without children and an empty structure. */
	if (pools && configuration->pool_count == pools->child_count) {
		for (uint32_t child = pools->first_child; child != 0; child = nodes[child].next)
			check_pool(reader, &configuration->pools[i++], &nodes[child]);
	}
}
