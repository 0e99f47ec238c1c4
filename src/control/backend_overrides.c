/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/backend_overrides.h>

/* In one pool. */
struct override {
	char *pool;
	unsigned int flags;
	struct override *next;
};

/* Backends of one name, in all pools. */
struct overridden {
	char *backend;
	struct override *first; /* never NULL, but for one that is being made */
};

struct backend_overrides {
	void *tree; /* tsearch(3) of struct overridden, by backend */
};

static int compare(const void *a, const void *b)
{
	const struct overridden *left = a, *right = b;

	return strcmp(left->backend, right->backend);
}

static void release(void *item)
{
	struct overridden *overridden = item;

	while (overridden->first != NULL) {
		struct override *override = overridden->first;

		overridden->first = override->next;
		free(override->pool);
		free(override);
	}
	free(overridden->backend);
	free(overridden);
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

static struct overridden *find(const struct backend_overrides *overrides, const char *backend)
{
	const struct overridden key = { .backend = (char *)backend };
	struct overridden *const *found = tfind(&key, &overrides->tree, compare);

	return found != NULL ? *found : NULL;
}

/* The pointer that leads to it, or to the NULL behind the last one. */
static struct override **find_link(struct overridden *overridden, const char *pool)
{
	struct override **link = &overridden->first;

	while (*link != NULL && strcmp((*link)->pool, pool) != 0)
		link = &(*link)->next;
	return link;
}

static struct overridden *add_name(struct backend_overrides *overrides, const char *backend)
{
	struct overridden *overridden = calloc(1, sizeof(*overridden));

	if (overridden == NULL)
		return NULL;
	overridden->backend = strdup(backend);
	if (overridden->backend == NULL || tsearch(overridden, &overrides->tree, compare) == NULL) {
		release(overridden);
		return NULL;
	}
	return overridden;
}

static struct override *new_override(const char *pool)
{
	struct override *override = calloc(1, sizeof(*override));

	if (override == NULL)
		return NULL;
	override->pool = strdup(pool);
	if (override->pool != NULL)
		return override;
	free(override);
	return NULL;
}

static int add(struct backend_overrides *overrides, const char *pool, const char *backend,
	       unsigned int flags)
{
	struct overridden *overridden = find(overrides, backend);
	struct override *override = new_override(pool);

	if (override != NULL && overridden == NULL)
		overridden = add_name(overrides, backend);
	if (override == NULL || overridden == NULL) {
		if (override != NULL)
			free(override->pool);
		free(override);
		return -ENOMEM;
	}
	override->flags = flags;
	*find_link(overridden, pool) = override;
	return 0;
}

static void remove_override(struct backend_overrides *overrides, struct overridden *overridden,
			    struct override **link)
{
	struct override *override = *link;

	*link = override->next;
	free(override->pool);
	free(override);
	if (overridden->first != NULL)
		return;
	tdelete(overridden, &overrides->tree, compare);
	release(overridden);
}

int backend_overrides_set(struct backend_overrides *overrides, const char *pool,
			  const char *backend, enum backend_override flag, bool on)
{
	struct overridden *overridden = find(overrides, backend);
	struct override **link = overridden != NULL ? find_link(overridden, pool) : NULL;

	if (link == NULL || *link == NULL)
		return on ? add(overrides, pool, backend, flag) : 0;
	(*link)->flags = on ? (*link)->flags | flag : (*link)->flags & ~(unsigned int)flag;
	if ((*link)->flags == 0)
		remove_override(overrides, overridden, link);
	return 0;
}

unsigned int backend_overrides_get(const struct backend_overrides *overrides, const char *pool,
				   const char *backend)
{
	struct overridden *overridden = overrides != NULL ? find(overrides, backend) : NULL;
	struct override **link = overridden != NULL ? find_link(overridden, pool) : NULL;

	return link != NULL && *link != NULL ? (*link)->flags : 0;
}

unsigned int backend_overrides_gather(const struct backend_overrides *overrides,
				      const char *backend,
				      bool (*counts)(const void *context, const char *pool),
				      const void *context)
{
	const struct overridden *overridden = overrides != NULL ? find(overrides, backend) : NULL;
	unsigned int flags = 0;

	if (overridden == NULL)
		return 0;
	for (const struct override *each = overridden->first; each != NULL; each = each->next)
		if ((each->flags & ~flags) != 0 && counts(context, each->pool))
			flags |= each->flags;
	return flags;
}
