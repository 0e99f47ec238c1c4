/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"
#include "rcu.h"

/* How long a new backend's neighbour is waited for before it gets traffic all the same. */
#define RESOLVE_NS	UINT64_C(1000000000)
#define RESOLVE_POLL_MS 50

/* Next hops of backends that serve, which only lack an answer of the neighbour. */
static uint32_t count_waiting(const struct daemon *daemon, const struct forwarding_state *state)
{
	const struct forwarding_tables *tables;
	uint32_t waiting = 0;

	if (state == NULL)
		return 0;
	tables = state->tables;
	for (uint32_t nic = 0; nic < daemon->device_count; nic++)
		for (uint32_t i = 0; i < tables->backend_count; i++)
			waiting += !tables->backends[i].is_down &&
				   state->next_hops[nic * tables->backend_count + i] ==
					   NEXT_HOP_NO_NEIGHBOUR;
	return waiting;
}

static int build_state(struct daemon *daemon, const struct configuration *configuration,
		       const struct forwarding_tables *tables, struct forwarding_state **state)
{
	return forwarding_state_build(configuration, tables, daemon->neighbours, daemon->nics,
				      daemon->device_count, daemon->metrics.generation, state);
}

/*
 * Builds a state, and again while neighbours answer: a backend that is new must not lose its first
 * packets to an ARP request. Those that were silent before are not waited for.
 */
static int build_settled_state(struct daemon *daemon, const struct configuration *configuration,
			       const struct forwarding_tables *tables,
			       struct forwarding_state **result)
{
	uint32_t silent = count_waiting(daemon, daemon->state);
	uint64_t deadline = clock_ns() + RESOLVE_NS;
	struct forwarding_state *state;
	int error = build_state(daemon, configuration, tables, &state);

	while (error == 0 && count_waiting(daemon, state) > silent && clock_ns() < deadline) {
		struct pollfd descriptor = { .fd = neighbours_descriptor(daemon->neighbours),
					     .events = POLLIN };
		bool changed = false;

		if (poll(&descriptor, 1, RESOLVE_POLL_MS) > 0 &&
		    neighbours_drain(daemon->neighbours, &changed) != 0)
			daemon_settle(daemon);
		if (!changed)
			continue;
		/* It may have been about the NIC itself, which is not looked at here. */
		daemon_settle(daemon);
		forwarding_state_release(state);
		error = build_state(daemon, configuration, tables, &state);
	}
	if (error == 0)
		*result = state;
	return error;
}

/* Makes the state the workers' and frees the old one when none of them uses it any more. */
static void publish(struct daemon *daemon, struct forwarding_state *state)
{
	struct forwarding_state *old = daemon->state;

	daemon->state = state;
	daemon->metrics.state = state;
	/* Partner: run_batch of the worker. */
	rcu_publish(&daemon->published, &state->forwarding);
	daemon_wait_for_readers(daemon);
	forwarding_state_release(old);
	daemon_update_tunnel_filter(daemon);
}

static void reset_backend(void *context, uint16_t index)
{
	struct daemon *daemon = context;

	daemon->warned[index] = 0;
	for (uint32_t i = 0; i < daemon->worker_count; i++)
		worker_reset_backend(daemon->workers[i], index);
}

static void reset_vip(void *context, uint16_t index)
{
	struct daemon *daemon = context;

	for (uint32_t i = 0; i < daemon->worker_count; i++)
		worker_reset_vip(daemon->workers[i], index);
}

int daemon_first_forwarding(struct daemon *daemon)
{
	const struct backend_sources sources = daemon_backend_sources(daemon);
	struct forwarding_state *state;
	int error;

	error = daemon_prepare_health(daemon, daemon->configuration);
	if (error != 0)
		return error;
	daemon_commit_health(daemon, daemon->configuration);
	registry_begin(daemon->backend_indexes);
	registry_begin(daemon->vip_indexes);
	error = backend_states_build(daemon->configuration, NULL, &sources, clock_ns(),
				     &daemon->states);
	if (error == 0)
		error = forwarding_tables_build(
			daemon->configuration, backend_states_services(daemon->states), NULL,
			daemon->backend_indexes, daemon->vip_indexes, &daemon->tables);
	if (error == 0)
		error = build_settled_state(daemon, daemon->configuration, daemon->tables, &state);
	if (error != 0) {
		log_error("building the forwarding state: %s", strerror(-error));
		return error;
	}
	publish(daemon, state);
	daemon_update_vip_filter(daemon);
	/* Else a reload that fails would take these indexes for its own and give them back. */
	registry_commit(daemon->backend_indexes, reset_backend, daemon);
	registry_commit(daemon->vip_indexes, reset_vip, daemon);
	return 0;
}

int daemon_follow_next_hops(struct daemon *daemon)
{
	struct forwarding_state *state;
	int error = build_state(daemon, daemon->configuration, daemon->tables, &state);

	if (error != 0)
		return error;
	if (forwarding_state_equal(state, daemon->state)) {
		forwarding_state_release(state);
		return 0;
	}
	log_debug("next hops changed: %u not resolved", state->unresolved);
	publish(daemon, state);
	return 0;
}

int daemon_follow_states(struct daemon *daemon)
{
	const struct backend_sources sources = daemon_backend_sources(daemon);
	struct forwarding_tables *tables, *old = daemon->tables;
	struct forwarding_state *state;
	uint64_t next_ns;
	int error = 0;

	if (backend_states_update(daemon->states, &sources, clock_ns(), &next_ns))
		daemon->has_new_states = true;
	daemon_schedule_growth(daemon, next_ns);
	/* The same tables all the same: a last resort gives those their weights that all lost them,
	 * or that have them back. */
	if (!daemon->has_new_states) {
		daemon_tell_pools(daemon);
		daemon_announce_update(daemon);
		return 0;
	}
	error = forwarding_tables_rebuild(daemon->configuration,
					  backend_states_services(daemon->states), old, &tables);
	if (error != 0)
		return error;
	error = build_state(daemon, daemon->configuration, tables, &state);
	if (error != 0) {
		forwarding_tables_release(tables);
		return error;
	}
	log_debug("what backends may do changed");
	daemon->has_new_states = false;
	publish(daemon, state);
	daemon->tables = tables;
	forwarding_tables_release(old);
	daemon_tell_pools(daemon);
	daemon_announce_update(daemon);
	return 0;
}

/* And what to do about it. Before the round of the registries ends. */
static void tell_failure(const struct daemon *daemon, struct findings *findings, int error)
{
	char text[256];

	if (error != -ENOSPC) {
		log_error("reload: building the forwarding state: %s", strerror(-error));
		return;
	}
	snprintf(text, sizeof(text),
		 "the active and the new configuration together have more than %d %s: reload a "
		 "file first that leaves out what is to go, and then this one, or restart fluxpin",
		 REGISTRY_SIZE, registry_is_full(daemon->backend_indexes) ? "backends" : "VIPs");
	log_error("reload: %s", text);
	findings_add(findings, false, (struct position){ 0 }, "%s", text);
}

int daemon_activate(struct daemon *daemon, struct configuration *new, struct findings *findings)
{
	const struct backend_sources sources = { .overrides = daemon->drains,
						 .health = daemon_read_planned_health,
						 .context = daemon };
	struct forwarding_tables *tables = NULL, *old_tables = daemon->tables;
	struct configuration *old = daemon->configuration;
	struct backend_states *states = NULL;
	struct forwarding_state *state;
	int error;

	error = daemon_prepare_health(daemon, new);
	if (error != 0)
		return error;
	registry_begin(daemon->backend_indexes);
	registry_begin(daemon->vip_indexes);
	daemon->metrics.generation++;
	error = backend_states_build(new, daemon->states, &sources, clock_ns(), &states);
	if (error == 0)
		error = forwarding_tables_build(new, backend_states_services(states), old_tables,
						daemon->backend_indexes, daemon->vip_indexes,
						&tables);
	if (error == 0)
		error = build_settled_state(daemon, new, tables, &state);
	if (error != 0) {
		tell_failure(daemon, findings, error);
		daemon->metrics.generation--;
		forwarding_tables_release(tables);
		backend_states_release(states);
		registry_abort(daemon->backend_indexes);
		registry_abort(daemon->vip_indexes);
		daemon_abandon_health(daemon);
		/* The neighbours of the old state were let go of when the new one was resolved. */
		daemon_settle(daemon);
		return error;
	}
	daemon_commit_health(daemon, new);
	publish(daemon, state);
	daemon->configuration = new;
	daemon->metrics.configuration = new;
	daemon->tables = tables;
	backend_states_release(daemon->states);
	daemon->states = states;
	daemon->has_new_states = false;
	daemon_states_changed(daemon);
	daemon_update_vip_filter(daemon);
	registry_commit(daemon->backend_indexes, reset_backend, daemon);
	registry_commit(daemon->vip_indexes, reset_vip, daemon);
	forwarding_tables_release(old_tables);
	if (old != daemon->start)
		configuration_release(old);
	return 0;
}

void daemon_release_forwarding(struct daemon *daemon)
{
	forwarding_state_release(daemon->state);
	forwarding_tables_release(daemon->tables);
	free(daemon->pool_conditions);
	backend_states_release(daemon->states);
	backend_overrides_close(daemon->drains);
	if (daemon->configuration != daemon->start)
		configuration_release(daemon->configuration);
	configuration_release(daemon->start);
}
