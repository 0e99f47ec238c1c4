/* SPDX-License-Identifier: BSD-2-Clause */
/* What backends may do now: gathers changes of their health, drains and slow start. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/duration.h>
#include <fluxpin/log.h>

#include "daemon_internal.h"

/* Changes of backends come in bursts, as when a rack goes down: one publication for each. */
#define GATHER_MS 100

/* The pause after a publication for which there was no memory, or no answer of the kernel. */
#define RETRY_MS 1000

enum pool_condition {
	POOL_SERVES,
	POOL_LAST_RESORT,
	POOL_SERVES_NOTHING,
};

struct backend_sources daemon_backend_sources(struct daemon *daemon)
{
	return (struct backend_sources){ .overrides = daemon->drains,
					 .health = daemon_read_health,
					 .context = daemon };
}

static void on_states_timer(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	int error = daemon_follow_states(daemon);

	if (error == 0)
		return;
	log_warning("publishing changes of backends: %s; trying again", strerror(-error));
	uv_timer_start(timer, on_states_timer, RETRY_MS, 0);
}

void daemon_states_changed(struct daemon *daemon)
{
	/* Not put off by each further change. */
	if (!uv_is_active((uv_handle_t *)&daemon->states_timer))
		uv_timer_start(&daemon->states_timer, on_states_timer, GATHER_MS, 0);
}

static void on_growth_timer(uv_timer_t *timer)
{
	daemon_states_changed(timer->data);
}

void daemon_schedule_growth(struct daemon *daemon, uint64_t next_ns)
{
	uint64_t now = clock_ns();
	uint64_t wait = next_ns > now ? (next_ns - now) / NANOSECONDS_PER_MILLISECOND + 1 : 0;

	/* Gathering with others takes its time anyway. */
	wait = wait > GATHER_MS ? wait - GATHER_MS : 0;
	if (next_ns == UINT64_MAX)
		uv_timer_stop(&daemon->growth_timer);
	else
		uv_timer_start(&daemon->growth_timer, on_growth_timer, wait, 0);
}

int daemon_drain(struct daemon *daemon, const char *pool, const char *backend, bool drained)
{
	int error;

	/* A drain of what a reload has removed can still be taken back. */
	if (!configuration_has_backend(daemon->configuration, pool, backend) &&
	    (drained ||
	     (backend_overrides_get(daemon->drains, pool, backend) & BACKEND_DRAINED) == 0))
		return -ENOENT;
	error = backend_overrides_set(daemon->drains, pool, backend, BACKEND_DRAINED, drained);
	if (error == 0)
		daemon_states_changed(daemon);
	return error;
}

void daemon_describe_backend(const void *context, uint32_t pool, uint32_t backend,
			     struct metrics_backend *described)
{
	const struct daemon *daemon = context;
	const struct backend_state *state = backend_states_get(daemon->states, pool, backend);
	struct health_report report = { 0 };

	if (daemon->health != NULL)
		health_read(daemon->health, pool, backend, &report);
	*described = (struct metrics_backend){ .is_checked = state->is_checked,
					       .is_healthy = state->is_healthy,
					       .is_drained = state->is_drained,
					       .is_last_resort = state->is_last_resort,
					       .is_suspended = report.is_suspended,
					       .weight = state->service.weight,
					       .probes_good = report.probes_good,
					       .probes_bad = report.probes_bad,
					       .flaps = report.flaps,
					       .latency_ns = report.latency_ns };
}

static void tell(const char *pool, const struct pool_state *state, enum pool_condition condition)
{
	if (condition == POOL_SERVES)
		log_info("pool %s: backends serve again: %u", pool, state->serving);
	else if (condition == POOL_LAST_RESORT)
		log_warning(
			"pool %s: all backends are down; as the last resort, all of them serve: %u",
			pool, state->serving);
	else
		log_warning(
			"pool %s: no backend serves, new flows to its VIPs are dropped: down %u, "
			"drained %u",
			pool, state->down, state->drained);
}

/* Whether a VIP uses the pool: of the others, which only lend backends, nothing is dropped. */
static bool *find_used(const struct configuration *configuration)
{
	bool *is_used = calloc(configuration->pool_count + 1, sizeof(*is_used));

	for (uint32_t i = 0; is_used != NULL && i < configuration->vip_count; i++)
		is_used[configuration->vips[i].pool] = true;
	return is_used;
}

void daemon_tell_pools(struct daemon *daemon)
{
	const struct configuration *configuration = daemon->configuration;
	bool *is_used = find_used(configuration);

	if (daemon->conditions_generation != daemon->metrics.generation) {
		free(daemon->pool_conditions);
		daemon->pool_conditions = calloc(configuration->pool_count + 1, 1);
		daemon->conditions_generation = daemon->metrics.generation;
	}
	for (uint32_t i = 0;
	     daemon->pool_conditions != NULL && is_used != NULL && i < configuration->pool_count;
	     i++) {
		enum pool_condition condition = POOL_SERVES;
		struct pool_state state;

		if (!is_used[i])
			continue;
		backend_states_pool(daemon->states, i, &state);
		if (state.is_last_resort)
			condition = POOL_LAST_RESORT;
		else if (state.serving == 0 && configuration->pools[i].backend_count > 0)
			condition = POOL_SERVES_NOTHING;
		if (condition != (enum pool_condition)daemon->pool_conditions[i])
			tell(configuration->pools[i].name, &state, condition);
		daemon->pool_conditions[i] = (uint8_t)condition;
	}
	free(is_used);
}

void daemon_open_states(struct daemon *daemon)
{
	uv_timer_init(&daemon->loop, &daemon->states_timer);
	uv_timer_init(&daemon->loop, &daemon->growth_timer);
	daemon->states_timer.data = daemon;
	daemon->growth_timer.data = daemon;
}
