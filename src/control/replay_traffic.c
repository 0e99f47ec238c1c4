/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replay_internal.h"

/* Adds traffic to the result's entry of that name, and starts the counter anew. */
static int collect(struct replay_traffic **entries, uint32_t *count, const char *pool,
		   const char *name, struct traffic_counter *counter)
{
	struct replay_traffic *entry = NULL;

	for (uint32_t i = 0; i < *count && entry == NULL; i++)
		if (strcmp((*entries)[i].name, name) == 0 &&
		    (pool == NULL || strcmp((*entries)[i].pool, pool) == 0))
			entry = &(*entries)[i];
	if (entry == NULL) {
		struct replay_traffic *grown = reallocarray(*entries, *count + 1, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		*entries = grown;
		entry = &grown[(*count)++];
		*entry = (struct replay_traffic){ .pool = pool != NULL ? strdup(pool) : NULL,
						  .name = strdup(name) };
		if (entry->name == NULL || (pool != NULL && entry->pool == NULL))
			return -ENOMEM;
	}
	entry->frames += counter->packets;
	entry->bytes += counter->bytes;
	*counter = (struct traffic_counter){ 0 };
	return 0;
}

int replay_collect_traffic(const struct configuration *configuration,
			   const struct forwarding_tables *tables, struct traffic_counter *vips,
			   struct traffic_counter *backends, struct replay_result *result)
{
	int error = 0;

	for (uint32_t i = 0; i < configuration->vip_count && error == 0; i++)
		error = collect(&result->vips, &result->vip_count, NULL,
				configuration->vips[i].name, &vips[tables->vip_indexes[i]]);
	for (uint32_t i = 0; i < tables->backend_count && error == 0; i++) {
		const struct forwarding_backend *backend = &tables->backends[i];
		const struct pool_configuration *pool = &configuration->pools[backend->pool];

		error = collect(&result->backends, &result->backend_count, pool->name,
				pool->backends[backend->backend].name, &backends[backend->index]);
	}
	return error;
}

void replay_result_release(struct replay_result *result)
{
	for (uint32_t i = 0; i < result->vip_count; i++)
		free(result->vips[i].name);
	for (uint32_t i = 0; i < result->backend_count; i++) {
		free(result->backends[i].pool);
		free(result->backends[i].name);
	}
	free(result->vips);
	free(result->backends);
}
