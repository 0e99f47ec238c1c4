/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/backend_overrides.h>
#include <fluxpin/backend_states.h>

struct backend_states {
	const struct configuration *configuration;
	uint64_t start_ns; /* of the first states of all */
	uint32_t count;
	uint32_t *first; /* by pool: index of its first backend */
	struct backend_state *states;
	struct backend_service *services;
};

/* A backend by which another configuration's states can be found. */
struct named {
	const char *pool;
	const struct backend_configuration *backend;
	const struct backend_state *state;
};

static int compare_named(const void *a, const void *b)
{
	const struct named *left = a, *right = b;
	int order = strcmp(left->pool, right->pool);

	return order != 0 ? order : strcmp(left->backend->name, right->backend->name);
}

static struct named *sort_by_name(const struct backend_states *states)
{
	struct named *sorted = calloc(states->count + 1, sizeof(*sorted));
	uint32_t index = 0;

	if (sorted == NULL)
		return NULL;
	for (uint32_t i = 0; i < states->configuration->pool_count; i++) {
		const struct pool_configuration *pool = &states->configuration->pools[i];

		for (uint32_t j = 0; j < pool->backend_count; j++, index++)
			sorted[index] = (struct named){ pool->name, &pool->backends[j],
							&states->states[index] };
	}
	qsort(sorted, states->count, sizeof(*sorted), compare_named);
	return sorted;
}

/* What goes on over a change of the configuration: serving, and growing. */
static int carry_over(struct backend_states *states, const struct backend_states *previous)
{
	struct named *sorted = sort_by_name(previous);
	uint32_t index = 0;

	if (sorted == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < states->configuration->pool_count; i++) {
		const struct pool_configuration *pool = &states->configuration->pools[i];

		for (uint32_t j = 0; j < pool->backend_count; j++, index++) {
			const struct named key = { pool->name, &pool->backends[j], NULL };
			const struct named *old = previous->count == 0
							  ? NULL
							  : bsearch(&key, sorted, previous->count,
								    sizeof(*sorted), compare_named);

			if (old != NULL &&
			    address_equal(&old->backend->address, &key.backend->address))
				states->states[index] = *old->state;
		}
	}
	free(sorted);
	return 0;
}

static struct backend_states *allocate(const struct configuration *configuration)
{
	struct backend_states *states = calloc(1, sizeof(*states));
	uint32_t count = configuration_backend_count(configuration);

	if (states == NULL)
		return NULL;
	states->configuration = configuration;
	states->count = count;
	states->first = calloc(configuration->pool_count + 1, sizeof(*states->first));
	states->states = calloc(count + 1, sizeof(*states->states));
	states->services = calloc(count + 1, sizeof(*states->services));
	if (states->first == NULL || states->states == NULL || states->services == NULL) {
		backend_states_release(states);
		return NULL;
	}
	for (uint32_t i = 0; i < configuration->pool_count; i++)
		states->first[i + 1] = states->first[i] + configuration->pools[i].backend_count;
	return states;
}

int backend_states_build(const struct configuration *configuration,
			 const struct backend_states *previous,
			 const struct backend_sources *sources, uint64_t now_ns,
			 struct backend_states **result)
{
	struct backend_states *states = allocate(configuration);
	uint64_t next_ns;

	if (states == NULL)
		return -ENOMEM;
	states->start_ns = previous != NULL ? previous->start_ns : now_ns;
	if (previous != NULL && carry_over(states, previous) != 0) {
		backend_states_release(states);
		return -ENOMEM;
	}
	backend_states_update(states, sources, now_ns, &next_ns);
	*result = states;
	return 0;
}

void backend_states_release(struct backend_states *states)
{
	if (states == NULL)
		return;
	free(states->services);
	free(states->states);
	free(states->first);
	free(states);
}

/* A pool, and those that it contains. */
struct family {
	const struct configuration *configuration;
	const struct pool_configuration *pool;
};

static bool is_of_family(const void *context, const char *name)
{
	const struct family *family = context;

	if (strcmp(family->pool->name, name) == 0)
		return true;
	for (uint32_t i = 0; i < family->pool->contained_count; i++)
		if (strcmp(family->configuration->pools[family->pool->contained[i]].name, name) ==
		    0)
			return true;
	return false;
}

unsigned int backend_states_overrides(const struct configuration *configuration,
				      const struct backend_overrides *overrides, uint32_t pool,
				      uint32_t backend)
{
	const struct family family = { configuration, &configuration->pools[pool] };

	return backend_overrides_gather(overrides, family.pool->backends[backend].name,
					is_of_family, &family);
}

static bool is_wanted(const struct backend_state *state)
{
	return state->configured_weight > 0 && !state->is_drained;
}

/* Takes in what the sources say. Returns whether the pool has to fall back on all of its backends.
 */
static bool read_pool(struct backend_states *states, const struct backend_sources *sources,
		      uint32_t index)
{
	const struct pool_configuration *pool = &states->configuration->pools[index];
	struct backend_state *of_pool = &states->states[states->first[index]];
	uint32_t healthy = 0, down = 0;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		unsigned int overrides = backend_states_overrides(states->configuration,
								  sources->overrides, index, i);
		struct backend_health health = { .is_healthy = true };
		struct backend_state *state = &of_pool[i];

		if (sources->health != NULL)
			sources->health(sources->context, index, i, &health);
		state->configured_weight = pool->backends[i].weight;
		state->is_checked = health.is_checked;
		state->is_healthy = health.is_healthy && (overrides & BACKEND_DOWN) == 0;
		state->is_drained = (overrides & BACKEND_DRAINED) != 0;
		if (is_wanted(state))
			*(state->is_healthy ? &healthy : &down) += 1;
	}
	return pool->on_all_down == ALL_DOWN_ALL && healthy == 0 && down > 0;
}

static bool is_growing(const struct backend_state *state, uint64_t slow_start_ns, uint64_t now_ns)
{
	return state->came_in_ns != 0 && now_ns - state->came_in_ns < slow_start_ns;
}

/* Says who serves, and who begins to grow. */
static void admit(const struct backend_states *states, struct backend_state *of_pool,
		  const struct pool_configuration *pool, bool is_last_resort, uint64_t now_ns)
{
	/* When the daemon starts, backends come up one after the other, and none is new. */
	bool may_grow = pool->slow_start_ns > 0 &&
			now_ns - states->start_ns >= pool->slow_start_ns && !is_last_resort;
	bool has_grown = false;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		struct backend_state *state = &of_pool[i];
		bool served = state->service.weight > 0;
		bool serves = is_wanted(state) && (state->is_healthy || is_last_resort);

		state->is_last_resort = serves && !state->is_healthy;
		state->service.is_down = !state->is_healthy && !is_last_resort;
		if (!serves || !is_growing(state, pool->slow_start_ns, now_ns))
			state->came_in_ns = serves && !served && may_grow ? now_ns : 0;
		/* Whether any; how much is said by grow. */
		state->service.weight = serves;
		has_grown = has_grown || (serves && state->came_in_ns == 0);
	}
	/* There is nobody to spare them their whole share. */
	for (uint32_t i = 0; !has_grown && i < pool->backend_count; i++)
		of_pool[i].came_in_ns = 0;
}

/* The weight in use of one that serves, and when it changes next. */
static void grow(struct backend_state *state, uint64_t slow_start_ns, uint64_t now_ns,
		 uint64_t *next_ns)
{
	uint64_t steps = BACKEND_SLOW_START_STEPS, step_ns, at;
	uint32_t weight;

	if (is_growing(state, slow_start_ns, now_ns)) {
		step_ns = slow_start_ns / BACKEND_SLOW_START_STEPS + 1;
		steps = (now_ns - state->came_in_ns) / step_ns + 1;
		at = state->came_in_ns + steps * step_ns;
		if (steps < BACKEND_SLOW_START_STEPS && at < *next_ns)
			*next_ns = at;
	}
	state->slow_start_percent = (uint8_t)(steps * 100 / BACKEND_SLOW_START_STEPS);
	if (state->service.weight == 0)
		return;
	weight = (uint32_t)(state->configured_weight * steps / BACKEND_SLOW_START_STEPS);
	state->service.weight = (uint16_t)(weight > 0 ? weight : 1);
}

bool backend_states_update(struct backend_states *states, const struct backend_sources *sources,
			   uint64_t now_ns, uint64_t *next_ns)
{
	bool changed = false;

	*next_ns = UINT64_MAX;
	for (uint32_t i = 0; i < states->configuration->pool_count; i++) {
		const struct pool_configuration *pool = &states->configuration->pools[i];
		struct backend_state *of_pool = &states->states[states->first[i]];
		bool is_last_resort = read_pool(states, sources, i);

		admit(states, of_pool, pool, is_last_resort, now_ns);
		for (uint32_t j = 0; j < pool->backend_count; j++) {
			struct backend_service *service = &states->services[states->first[i] + j];

			grow(&of_pool[j], pool->slow_start_ns, now_ns, next_ns);
			changed = changed || service->weight != of_pool[j].service.weight ||
				  service->is_down != of_pool[j].service.is_down;
			*service = of_pool[j].service;
		}
	}
	return changed;
}

const struct backend_state *backend_states_get(const struct backend_states *states, uint32_t pool,
					       uint32_t backend)
{
	return &states->states[states->first[pool] + backend];
}

const struct backend_service *backend_states_services(const struct backend_states *states)
{
	return states->services;
}

void backend_states_pool(const struct backend_states *states, uint32_t pool,
			 struct pool_state *result)
{
	*result = (struct pool_state){ 0 };
	for (uint32_t i = states->first[pool]; i < states->first[pool + 1]; i++) {
		const struct backend_state *state = &states->states[i];

		if (state->service.is_down)
			result->down++;
		else if (state->service.weight > 0)
			result->serving++;
		else
			result->drained++;
		result->is_last_resort = result->is_last_resort || state->is_last_resort;
	}
}
