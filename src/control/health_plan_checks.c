/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>

#include "health_plan.h"

/* A pool and its check, borrowed from the configuration. */
struct pool_check {
	struct check check;
	uint32_t pool;
};

static int compare_pool_checks(const void *left, const void *right)
{
	const struct pool_check *a = left, *b = right;
	int order = check_compare(&a->check, &b->check);

	return order != 0 ? order : (a->pool > b->pool) - (a->pool < b->pool);
}

/* The active check that is equal, or NULL. */
static struct check *find_check(const struct health *health, const struct check *check)
{
	uint32_t low = 0, high = health->check_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = check_compare(health->checks[middle], check);

		if (order == 0)
			return health->checks[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int add_check(struct health_plan *plan, const struct check *check)
{
	struct check *made = find_check(plan->health, check);
	int error = 0;

	if (made != NULL) {
		plan->checks[plan->check_count++] = made;
		return 0;
	}
	made = check_copy(check);
	if (made == NULL)
		return -ENOMEM;
	error = http_check_prepare(plan->health, made);
	if (error != 0)
		check_release(made);
	else
		plan->checks[plan->check_count++] = made;
	return error;
}

int health_plan_checks(struct health_plan *plan)
{
	const struct configuration *configuration = plan->configuration;
	struct pool_check *sorted = calloc(configuration->pool_count + 1, sizeof(*sorted));
	uint32_t count = 0;
	int error = 0;

	plan->checks = calloc(configuration->pool_count + 1, sizeof(struct check *));
	plan->pool_checks = calloc(configuration->pool_count + 1, sizeof(struct check *));
	if (sorted == NULL || plan->checks == NULL || plan->pool_checks == NULL)
		error = -ENOMEM;
	for (uint32_t i = 0; i < configuration->pool_count && error == 0; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		if (pool->health_check.type != HEALTH_CHECK_NONE && pool->backend_count > 0)
			sorted[count++] =
				(struct pool_check){ check_of_pool(configuration, pool), i };
	}
	if (count > 0)
		qsort(sorted, count, sizeof(*sorted), compare_pool_checks);
	for (uint32_t i = 0; i < count && error == 0; i++) {
		if (i == 0 || check_compare(&sorted[i].check, &sorted[i - 1].check) != 0)
			error = add_check(plan, &sorted[i].check);
		if (error == 0)
			plan->pool_checks[sorted[i].pool] = plan->checks[plan->check_count - 1];
	}
	free(sorted);
	return error;
}
