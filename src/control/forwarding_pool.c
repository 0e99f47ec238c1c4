/* SPDX-License-Identifier: BSD-2-Clause */
#include "forwarding_pool.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_same(const struct pool_table *table, const struct pool_member *members,
		    uint32_t count, uint32_t size)
{
	return table != NULL && table->size == size && table->member_count == count &&
	       memcmp(table->members, members, count * sizeof(*members)) == 0;
}

static int build(const struct pool_table *table, const char *const *names)
{
	struct maglev_backend *backends = calloc(table->member_count + 1, sizeof(*backends));
	int error;

	if (backends == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->member_count; i++)
		backends[i] = (struct maglev_backend){ .name = names[i],
						       .weight = table->members[i].weight,
						       .index = table->members[i].index };
	error = maglev_build(backends, table->member_count, table->size, table->slots);
	free(backends);
	return error;
}

int pool_table_get(struct pool_table *old, const struct pool_member *members,
		   const char *const *names, uint32_t count, uint32_t size,
		   struct pool_table **result)
{
	struct pool_table *table;
	int error = -ENOMEM;

	if (is_same(old, members, count, size)) {
		*result = pool_table_share(old);
		return 0;
	}
	table = calloc(1, sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	table->references = 1;
	table->size = size;
	table->member_count = count;
	table->members = calloc(count + 1, sizeof(*members));
	table->slots = calloc(size, sizeof(*table->slots));
	if (table->members != NULL && table->slots != NULL) {
		memcpy(table->members, members, count * sizeof(*members));
		error = build(table, names);
	}
	if (error != 0) {
		pool_table_release(table);
		return error;
	}
	*result = table;
	return 0;
}

struct pool_table *pool_table_share(struct pool_table *table)
{
	table->references++;
	return table;
}

void pool_table_release(struct pool_table *table)
{
	if (table == NULL || --table->references > 0)
		return;
	free(table->slots);
	free(table->members);
	free(table);
}

int vip_set_get(struct vip_set *old, struct vip *vips, uint32_t count, struct vip_set **result)
{
	struct vip_set *set;
	int error;

	if (old != NULL && old->count == count &&
	    memcmp(old->vips, vips, count * sizeof(*vips)) == 0) {
		free(vips);
		*result = vip_set_share(old);
		return 0;
	}
	set = calloc(1, sizeof(*set));
	if (set == NULL) {
		free(vips);
		return -ENOMEM;
	}
	*set = (struct vip_set){ .references = 1, .count = count, .vips = vips };
	error = vip_table_build(vips, count, &set->table);
	if (error != 0) {
		vip_set_release(set);
		return error;
	}
	*result = set;
	return 0;
}

struct vip_set *vip_set_share(struct vip_set *set)
{
	set->references++;
	return set;
}

void vip_set_release(struct vip_set *set)
{
	if (set == NULL || --set->references > 0)
		return;
	vip_table_release(set->table);
	free(set->vips);
	free(set);
}
