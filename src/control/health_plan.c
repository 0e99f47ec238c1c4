/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that can fail is made first, into a plan; when it is committed, what goes is stopped,
 * what comes is started, and what stays is not touched.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "health_plan.h"

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

static bool is_active_check(const struct health *health, const struct check *check)
{
	for (uint32_t i = 0; i < health->check_count; i++)
		if (health->checks[i] == check)
			return true;
	return false;
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
	error = health_plan_checks(plan);
	if (error == 0)
		error = plan_wants(plan);
	if (error == 0)
		error = plan_probers(plan);
	if (error == 0)
		error = health_plan_inherit(plan);
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
