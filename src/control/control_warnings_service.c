/* SPDX-License-Identifier: BSD-2-Clause */
/* Warnings about what is served: backends, their health checks, pools and VIPs. */
#include <inttypes.h>
#include <stdlib.h>

#include "control_answers.h"

/* Lines of one kind; the others are counted in one. */
#define LINES_MOST 20

/* A drain that is older was perhaps forgotten. */
#define DRAIN_LONG_MS (24 * UINT64_C(3600000))

static void check_health(const struct daemon *daemon, uint32_t place, json_t *array)
{
	const struct forwarding_backend *backend = &daemon->tables->backends[place];
	const struct backend_state *state =
		backend_states_get(daemon->states, backend->pool, backend->backend);
	struct health_report report = { 0 };

	if (state->is_healthy)
		return;
	if (daemon->health != NULL)
		health_read(daemon->health, backend->pool, backend->backend, &report);
	control_warn(array, "backend", "backend %s/%s is down%s%s%s%s",
		     control_pool_name(daemon, place), control_backend_name(daemon, place),
		     report.error != NULL ? ": " : "", report.error != NULL ? report.error : "",
		     report.is_damped ? "; it answers, but has fallen too often lately" : "",
		     state->is_last_resort ? "; it serves as the last resort" : "");
}

static void check_next_hops(const struct daemon *daemon, uint32_t place, json_t *array)
{
	/* That of a backend which serves nothing is not missed. */
	if (daemon->tables->backends[place].is_down)
		return;
	for (uint32_t nic = 0; nic < daemon->device_count; nic++) {
		enum next_hop_state state =
			(enum next_hop_state)daemon->state
				->next_hops[nic * daemon->tables->backend_count + place];

		if (state != NEXT_HOP_RESOLVED)
			control_warn(
				array, "next_hop",
				"backend %s/%s gets no traffic by %s, its packets are dropped: %s",
				control_pool_name(daemon, place),
				control_backend_name(daemon, place), daemon->nics[nic].name,
				next_hop_state_name(state));
	}
}

static void check_backends(const struct daemon *daemon, json_t *array)
{
	size_t before = json_array_size(array);
	uint32_t beyond = 0;

	for (uint32_t i = 0; i < daemon->tables->backend_count; i++) {
		json_t *found = json_array();

		check_health(daemon, i, found);
		check_next_hops(daemon, i, found);
		if (json_array_size(array) - before < LINES_MOST)
			json_array_extend(array, found);
		else
			beyond += json_array_size(found) > 0;
		json_decref(found);
	}
	if (beyond > 0)
		control_warn(array, "backend",
			     "beside these, backends with a problem: %u (fluxpin "
			     "backends shows all)",
			     beyond);
}

static void check_checks(const struct daemon *daemon, json_t *array)
{
	struct health_totals totals = { 0 };

	if (daemon->health != NULL)
		health_read_totals(daemon->health, &totals);
	if (totals.suspended > 0)
		control_warn(
			array, "health",
			"%s: health checks are suspended (%u of %u): backends keep their states",
			totals.reason, totals.suspended, totals.probers);
}

static void check_pools(const struct daemon *daemon, json_t *array)
{
	const struct configuration *configuration = daemon->configuration;
	bool *is_used = calloc(configuration->pool_count + 1, sizeof(*is_used));

	for (uint32_t i = 0; is_used != NULL && i < configuration->vip_count; i++)
		is_used[configuration->vips[i].pool] = true;
	for (uint32_t i = 0; is_used != NULL && i < configuration->pool_count; i++) {
		struct pool_state state;

		backend_states_pool(daemon->states, i, &state);
		if (is_used[i] && state.serving == 0)
			control_warn(
				array, "pool",
				"pool %s: no backend serves, new flows to its VIPs are dropped "
				"(down %u, drained %u)",
				configuration->pools[i].name, state.down, state.drained);
		else if (is_used[i] && state.is_last_resort)
			control_warn(
				array, "pool",
				"pool %s: all backends are down, and all serve as the last resort",
				configuration->pools[i].name);
	}
	free(is_used);
}

struct withdrawn {
	json_t *array;
	uint32_t count;
};

static void warn_withdrawn(void *context, const char *vip, const char *reason)
{
	struct withdrawn *withdrawn = context;

	if (withdrawn->count++ < LINES_MOST)
		control_warn(withdrawn->array, "announcement", "VIP %s is withdrawn: %s", vip,
			     reason);
}

static void check_announcements(const struct daemon *daemon, json_t *array)
{
	struct withdrawn withdrawn = { .array = array };

	daemon_each_withdrawn(daemon, warn_withdrawn, &withdrawn);
	if (withdrawn.count > LINES_MOST)
		control_warn(array, "announcement",
			     "beside these, VIPs that are withdrawn: %u (fluxpin vips shows all)",
			     withdrawn.count - LINES_MOST);
}

static void check_drains(const struct control_answers *answers, json_t *array)
{
	uint64_t now_ms = clock_ms();
	const char *backend;
	json_t *since;

	json_object_foreach(answers->drains, backend, since)
	{
		uint64_t ms = now_ms - (uint64_t)json_integer_value(since);

		if (ms > DRAIN_LONG_MS)
			control_warn(array, "drain",
				     "backend %s has been drained by command for %" PRIu64
				     " hours (fluxpin undrain %s)",
				     backend, ms / 3600000, backend);
	}
}

void control_warn_of_service(const struct control_answers *answers, json_t *array)
{
	const struct daemon *daemon = answers->daemon;

	check_checks(daemon, array);
	check_pools(daemon, array);
	check_backends(daemon, array);
	check_announcements(daemon, array);
	check_drains(answers, array);
}
