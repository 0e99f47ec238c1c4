/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

const char *node_kind_name(enum node_kind kind)
{
	static const char *const names[] = {
		[NODE_GROUP] = "a group { }",  [NODE_LIST] = "a list ( )",
		[NODE_ARRAY] = "an array [ ]", [NODE_STRING] = "a string",
		[NODE_INTEGER] = "an integer", [NODE_FLOAT] = "a floating-point number",
		[NODE_BOOLEAN] = "a boolean",
	};

	return names[kind];
}

int tree_add_node(struct tree *tree, uint32_t parent, const struct node *node, uint32_t *index)
{
	uint32_t added = tree->count;

	if (added == NODES_MAX)
		return -EFBIG;
	if (added == tree->capacity) {
		uint32_t capacity = tree->capacity ? 2 * tree->capacity : 64;
		struct node *nodes = reallocarray(tree->nodes, capacity, sizeof(*nodes));

		if (!nodes)
			return -ENOMEM;
		tree->nodes = nodes;
		tree->capacity = capacity;
	}
	tree->nodes[added] = *node;
	tree->count++;
	if (added > 0) {
		struct node *above = &tree->nodes[parent];

		if (above->child_count++ == 0)
			above->first_child = added;
		else
			tree->nodes[above->last_child].next = added;
		above->last_child = added;
	}
	*index = added;
	return 0;
}

const struct node *tree_find_setting(const struct tree *tree, const char *text, uint32_t group,
				     const char *name, uint32_t name_length)
{
	const struct node *nodes = tree->nodes;

	for (uint32_t i = nodes[group].first_child; i != 0; i = nodes[i].next) {
		if (nodes[i].name_length == name_length &&
		    memcmp(text + nodes[i].name_start, name, name_length) == 0)
			return &nodes[i];
	}
	return NULL;
}

void tree_release(struct tree *tree)
{
	free(tree->nodes);
	free(tree->copy);
	*tree = (struct tree){ 0 };
}
