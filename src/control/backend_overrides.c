/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/backend_overrides.h>

struct override {
	char *pool;
	char *backend;
	unsigned int flags;
};

struct backend_overrides {
	void *tree; /* tsearch(3), by pool and backend */
};

static int compare(const void *a, const void *b)
{
	const struct override *left = a, *right = b;
	int order = strcmp(left->pool, right->pool);

	return order != 0 ? order : strcmp(left->backend, right->backend);
}

static void release(void *item)
{
	struct override *override = item;

	free(override->pool);
	free(override->backend);
	free(override);
}

int backend_overrides_open(struct backend_overrides **overrides)
{
	*overrides = calloc(1, sizeof(**overrides));
	return *overrides != NULL ? 0 : -ENOMEM;
}

void backend_overrides_close(struct backend_overrides *overrides)
{
	if (overrides == NULL)
		return;
	tdestroy(overrides->tree, release);
	free(overrides);
}

static struct override *find(const struct backend_overrides *overrides, const char *pool,
			     const char *backend)
{
	const struct override key = { .pool = (char *)pool, .backend = (char *)backend };
	struct override *const *found = tfind(&key, &overrides->tree, compare);

	return found != NULL ? *found : NULL;
}

static int add(struct backend_overrides *overrides, const char *pool, const char *backend,
	       unsigned int flags)
{
	struct override *override = calloc(1, sizeof(*override));

	if (override == NULL)
		return -ENOMEM;
	override->pool = strdup(pool);
	override->backend = strdup(backend);
	override->flags = flags;
	if (override->pool == NULL || override->backend == NULL ||
	    tsearch(override, &overrides->tree, compare) == NULL) {
		release(override);
		return -ENOMEM;
	}
	return 0;
}

int backend_overrides_set(struct backend_overrides *overrides, const char *pool,
			  const char *backend, enum backend_override flag, bool on)
{
	struct override *override = find(overrides, pool, backend);

	if (override == NULL)
		return on ? add(overrides, pool, backend, flag) : 0;
	override->flags = on ? override->flags | flag : override->flags & ~(unsigned int)flag;
	if (override->flags == 0) {
		tdelete(override, &overrides->tree, compare);
		release(override);
	}
	return 0;
}

unsigned int backend_overrides_get(const struct backend_overrides *overrides, const char *pool,
				   const char *backend)
{
	const struct override *override = overrides != NULL ? find(overrides, pool, backend) : NULL;

	return override != NULL ? override->flags : 0;
}
