/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that can fail is made first, into a plan; when it is committed, what goes is stopped,
 * what comes is started, and what stays is not touched.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "health_internal.h"

/* A backend that wants a prober. */
struct want {
	struct check *check;
	struct address address;
	uint32_t slot;
	uint32_t pool;
	uint32_t backend;
};

/* A pool and its check, borrowed from the configuration. */
struct pool_check {
	struct check check;
	uint32_t pool;
};

struct health_plan {
	struct health *health;
	const struct configuration *configuration;
	struct check **checks; /* sorted; those that are new have no users but new probers */
	uint32_t check_count;
	struct check **pool_checks; /* by pool; NULL: none */
	uint32_t *pool_first;
	struct want *wants; /* sorted by check and address */
	uint32_t want_count;
	struct prober **probers;
	uint32_t prober_count;
	struct prober **slots;
	uint32_t slot_count;
};

static int compare_pool_checks(const void *left, const void *right)
{
	const struct pool_check *a = left, *b = right;
	int order = check_compare(&a->check, &b->check);

	return order != 0 ? order : (a->pool > b->pool) - (a->pool < b->pool);
}

static int order_of(const struct check *check_a, const struct address *address_a,
		    const struct check *check_b, const struct address *address_b)
{
	uintptr_t a = (uintptr_t)check_a, b = (uintptr_t)check_b;

	if (a != b)
		return (a > b) - (a < b);
	return memcmp(address_a->bytes, address_b->bytes, sizeof(address_a->bytes));
}

static int compare_wants(const void *left, const void *right)
{
	const struct want *a = left, *b = right;
	int order = order_of(a->check, &a->address, b->check, &b->address);

	return order != 0 ? order : (a->slot > b->slot) - (a->slot < b->slot);
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

static bool is_active_check(const struct health *health, const struct check *check)
{
	for (uint32_t i = 0; i < health->check_count; i++)
		if (health->checks[i] == check)
			return true;
	return false;
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

/* One check for all pools whose checks are equal, sorted. */
static int plan_checks(struct health_plan *plan)
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

static int plan_wants(struct health_plan *plan)
{
	const struct configuration *configuration = plan->configuration;

	plan->pool_first = calloc(configuration->pool_count + 1, sizeof(uint32_t));
	if (plan->pool_first == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		plan->pool_first[i] = plan->slot_count;
		plan->slot_count += configuration->pools[i].backend_count;
	}
	plan->slots = calloc(plan->slot_count + 1, sizeof(struct prober *));
	plan->probers = calloc(plan->slot_count + 1, sizeof(struct prober *));
	plan->wants = calloc(plan->slot_count + 1, sizeof(*plan->wants));
	if (plan->slots == NULL || plan->probers == NULL || plan->wants == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		for (uint32_t j = 0; plan->pool_checks[i] != NULL && j < pool->backend_count; j++)
			plan->wants[plan->want_count++] =
				(struct want){ plan->pool_checks[i], pool->backends[j].address,
					       plan->pool_first[i] + j, i, j };
	}
	if (plan->want_count > 0)
		qsort(plan->wants, plan->want_count, sizeof(*plan->wants), compare_wants);
	return 0;
}

/* One prober for all that want the same; both lists are sorted. */
static int plan_probers(struct health_plan *plan)
{
	const struct health *health = plan->health;
	uint32_t old = 0;

	for (uint32_t i = 0; i < health->prober_count; i++)
		health->probers[i]->is_kept = false;
	for (uint32_t i = 0; i < plan->want_count; i++) {
		const struct want *want = &plan->wants[i];
		struct prober *prober;

		if (i > 0 &&
		    order_of(want->check, &want->address, want[-1].check, &want[-1].address) == 0) {
			plan->slots[want->slot] = plan->probers[plan->prober_count - 1];
			continue;
		}
		while (old < health->prober_count &&
		       order_of(health->probers[old]->check, &health->probers[old]->address,
				want->check, &want->address) < 0)
			old++;
		if (old < health->prober_count &&
		    order_of(health->probers[old]->check, &health->probers[old]->address,
			     want->check, &want->address) == 0)
			prober = health->probers[old];
		else
			prober = prober_new(plan->health, want->check, &want->address);
		if (prober == NULL)
			return -ENOMEM;
		prober->is_kept = old < health->prober_count && prober == health->probers[old];
		plan->probers[plan->prober_count++] = prober;
		plan->slots[want->slot] = prober;
	}
	return 0;
}

static void release(struct health_plan *plan)
{
	free(plan->pool_checks);
	free(plan->wants);
	free(plan);
}

void health_abandon(struct health_plan *plan)
{
	if (plan == NULL)
		return;
	for (uint32_t i = 0; plan->probers != NULL && i < plan->prober_count; i++)
		if (!plan->probers[i]->is_kept)
			prober_stop(plan->probers[i], false);
	for (uint32_t i = 0; plan->checks != NULL && i < plan->check_count; i++) {
		if (is_active_check(plan->health, plan->checks[i]))
			continue;
		http_client_put(plan->health, plan->checks[i]->client);
		check_release(plan->checks[i]);
	}
	free(plan->checks);
	free(plan->pool_first);
	free(plan->probers);
	free(plan->slots);
	release(plan);
}

static int compare_by_address(const void *left, const void *right)
{
	const struct prober *a = *(struct prober *const *)left, *b = *(struct prober *const *)right;
	int order = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
	uint16_t a_port = a->check->configuration.port, b_port = b->check->configuration.port;

	return order != 0 ? order : (a_port > b_port) - (a_port < b_port);
}

/* The state of a prober of the same address, of the same port if there is one. */
static void inherit(struct prober *prober, struct prober *const *old, uint32_t count)
{
	uint32_t low = 0, high = count;
	const struct prober *found = NULL;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(old[middle]->address.bytes, prober->address.bytes,
			   sizeof(prober->address.bytes)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && address_equal(&old[low]->address, &prober->address); low++) {
		bool has_port =
			old[low]->check->configuration.port == prober->check->configuration.port;

		if (found == NULL || has_port)
			found = old[low];
		if (has_port)
			break;
	}
	if (found == NULL)
		return;
	prober->machine = found->machine;
	prober->machine.run = 0;
}

static int inherit_all(struct health_plan *plan)
{
	uint32_t count = plan->health->prober_count;
	struct prober **sorted;

	if (count == 0)
		return 0;
	sorted = calloc(count, sizeof(*sorted));
	if (sorted == NULL)
		return -ENOMEM;
	memcpy(sorted, plan->health->probers, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_by_address);
	for (uint32_t i = 0; i < plan->prober_count; i++)
		if (!plan->probers[i]->is_kept)
			inherit(plan->probers[i], sorted, count);
	free(sorted);
	return 0;
}

static void stop_old(struct health *health)
{
	for (uint32_t i = 0; i < health->prober_count; i++)
		if (!health->probers[i]->is_kept)
			prober_stop(health->probers[i], true);
	for (uint32_t i = 0; i < health->check_count; i++) {
		if (health->checks[i]->users > 0)
			continue;
		http_client_put(health, health->checks[i]->client);
		check_release(health->checks[i]);
	}
	free(health->checks);
	free(health->probers);
	free(health->slots);
	free(health->pool_first);
}

void health_commit(struct health_plan *plan)
{
	struct health *health = plan->health;

	stop_old(health);
	health->configuration = plan->configuration;
	health->checks = plan->checks;
	health->check_count = plan->check_count;
	health->probers = plan->probers;
	health->prober_count = plan->prober_count;
	health->slots = plan->slots;
	health->pool_first = plan->pool_first;
	for (uint32_t i = 0; i < plan->prober_count; i++)
		plan->probers[i]->user_count = 0;
	for (uint32_t i = 0; i < plan->want_count; i++) {
		struct prober *prober = plan->slots[plan->wants[i].slot];

		if (prober->user_count++ > 0)
			continue;
		prober->pool = plan->wants[i].pool;
		prober->backend = plan->wants[i].backend;
	}
	for (uint32_t i = 0; i < plan->prober_count; i++)
		if (!plan->probers[i]->is_kept)
			prober_start(plan->probers[i]);
	release(plan);
}

int health_prepare(struct health *health, const struct configuration *configuration,
		   struct health_plan **result)
{
	struct health_plan *plan = calloc(1, sizeof(*plan));
	int error;

	if (plan == NULL)
		return -ENOMEM;
	plan->health = health;
	plan->configuration = configuration;
	error = plan_checks(plan);
	if (error == 0)
		error = plan_wants(plan);
	if (error == 0)
		error = plan_probers(plan);
	if (error == 0)
		error = inherit_all(plan);
	if (error == 0)
		*result = plan;
	else
		health_abandon(plan);
	return error;
}

enum health_state health_plan_read(const struct health_plan *plan, uint32_t pool, uint32_t backend)
{
	const struct prober *prober = plan->slots[plan->pool_first[pool] + backend];

	if (prober == NULL)
		return HEALTH_UNCHECKED;
	return prober->machine.is_up ? HEALTH_UP : HEALTH_DOWN;
}

int health_configure(struct health *health, const struct configuration *configuration)
{
	struct health_plan *plan;
	int error = health_prepare(health, configuration, &plan);

	if (error == 0)
		health_commit(plan);
	return error;
}
