/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include <fluxpin/duration.h>

#include "control_answers.h"
#include "metrics_internal.h"

const char *control_backend_state(const struct metrics_backend *described)
{
	if (!described->is_checked)
		return described->is_healthy ? "unchecked" : "down";
	return described->is_healthy ? "up" : "down";
}

static json_t *next_hops_to_json(const struct daemon *daemon, uint32_t place)
{
	json_t *object = json_object();

	for (uint32_t i = 0; i < daemon->device_count; i++)
		json_object_set_new(
			object, daemon->nics[i].name,
			json_string(next_hop_state_name(
				(enum next_hop_state)daemon->state
					->next_hops[i * daemon->tables->backend_count + place])));
	return object;
}

static json_t *health_to_json(const struct daemon *daemon, uint32_t pool, uint32_t backend)
{
	struct health_report report = { 0 };

	if (daemon->health != NULL)
		health_read(daemon->health, pool, backend, &report);
	if (report.state == HEALTH_UNCHECKED)
		return json_null();
	return json_pack(
		"{s:o, s:s?, s:b, s:b, s:o, s:o, s:o, s:o}", "for_ms",
		control_number((clock_ns() - report.since_ns) / NANOSECONDS_PER_MILLISECOND),
		"error", report.error, "suspended", report.is_suspended, "damped", report.is_damped,
		"probes_good", control_number(report.probes_good), "probes_bad",
		control_number(report.probes_bad), "flaps", control_number(report.flaps),
		"latency_us", control_number(report.latency_ns / 1000));
}

static json_t *backend_to_json(const struct daemon *daemon, uint32_t place)
{
	const struct forwarding_backend *backend = &daemon->tables->backends[place];
	const struct pool_configuration *pool = &daemon->configuration->pools[backend->pool];
	const struct backend_configuration *configured = &pool->backends[backend->backend];
	const struct backend_state *state =
		backend_states_get(daemon->states, backend->pool, backend->backend);
	const struct pool_configuration *origin = &daemon->configuration->pools[configured->origin];
	struct traffic_counter traffic =
		metrics_total(&daemon->metrics, worker_backends, backend->index);
	struct metrics_backend described;
	char address[ADDRESS_TEXT_SIZE];

	daemon_describe_backend(daemon, backend->pool, backend->backend, &described);
	return json_pack(
		"{s:s, s:s, s:s*, s:s, s:I, s:I, s:s, s:b, s:b, s:b, s:I, s:o, s:o, s:o, s:o}",
		"pool", pool->name, "name", configured->name, "of_pool",
		origin != pool ? origin->name : NULL, "address",
		address_format(&configured->address, address), "configured_weight",
		(json_int_t)configured->weight, "weight", (json_int_t)state->service.weight,
		"state", control_backend_state(&described), "drained", state->is_drained, "serves",
		!state->service.is_down && state->service.weight > 0, "last_resort",
		state->is_last_resort, "slow_start_percent", (json_int_t)state->slow_start_percent,
		"health", health_to_json(daemon, backend->pool, backend->backend), "next_hops",
		next_hops_to_json(daemon, place), "packets", control_number(traffic.packets),
		"bytes", control_number(traffic.bytes));
}

/* All backends, and their flows if the workers were asked for them (else NULL). */
static json_t *list_backends(const struct daemon *daemon, const struct control_survey *survey)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < daemon->tables->backend_count; i++) {
		json_t *backend;

		if (daemon->configuration->pools[daemon->tables->backends[i].pool].is_peers)
			continue;
		backend = backend_to_json(daemon, i);
		if (survey != NULL) {
			uint32_t closing, flows = control_survey_flows(survey, i, &closing);

			json_object_set_new(backend, "flows", json_integer(flows));
			json_object_set_new(backend, "closing", json_integer(closing));
		}
		json_array_append_new(array, backend);
	}
	return json_pack("{s:o}", "backends", array);
}

static void answer(struct control_survey *survey)
{
	control_reply(survey->call, list_backends(survey->answers->daemon, survey));
}

void control_backends(struct control_answers *answers, struct control_call *call,
		      const json_t *request)
{
	const json_t *flows = json_object_get(request, "flows");
	struct control_survey *survey;

	if (json_object_size(request) != (flows != NULL ? 2 : 1) ||
	    (flows != NULL && !json_is_boolean(flows))) {
		control_refuse(call,
			       "the command takes \"flows\", true or false, and nothing else");
		return;
	}
	/* Whoever asks every second does not have every table walked through for it. */
	if (json_is_false(flows)) {
		control_reply(call, list_backends(answers->daemon, NULL));
		return;
	}
	survey = control_survey_open(answers, call, answer);
	if (survey != NULL)
		control_survey_start(survey);
}

/* Whether its route is there; null when it is not to be. */
static json_t *announcement_to_json(const struct daemon *daemon, uint32_t vip)
{
	const struct metrics_source *metrics = &daemon->metrics;
	bool is_announced;

	if (metrics->announcement == NULL ||
	    !metrics->announcement(metrics->context, vip, &is_announced))
		return json_null();
	return json_boolean(is_announced);
}

static json_t *vip_to_json(const struct daemon *daemon, const struct pool_state *states, uint32_t i)
{
	const struct vip_configuration *vip = &daemon->configuration->vips[i];
	const struct pool_configuration *pool = &daemon->configuration->pools[vip->pool];
	struct traffic_counter traffic =
		metrics_total(&daemon->metrics, worker_vips, daemon->tables->vip_indexes[i]);
	const struct pool_state *state = &states[vip->pool];
	char address[ADDRESS_TEXT_SIZE];

	return json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:b, s:o, s:o, s:o}", "name",
			 vip->name, "address", prefix_format(&vip->prefix, address), "protocol",
			 vip->protocol == 0 ? "any" : explain_protocol_name(vip->protocol), "port",
			 (json_int_t)vip->port, "pool", pool->name, "serving",
			 (json_int_t)state->serving, "backends", (json_int_t)pool->backend_count,
			 "last_resort", state->is_last_resort, "announced",
			 announcement_to_json(daemon, i), "packets",
			 control_number(traffic.packets), "bytes", control_number(traffic.bytes));
}

void control_vips(struct control_answers *answers, struct control_call *call, const json_t *request)
{
	const struct daemon *daemon = answers->daemon;
	struct pool_state *states;
	json_t *array;

	if (!control_takes_nothing(call, request))
		return;
	/* Once for each pool: many VIPs may share one. */
	states = calloc(daemon->configuration->pool_count + 1, sizeof(*states));
	if (states == NULL) {
		control_refuse(call, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < daemon->configuration->pool_count; i++)
		backend_states_pool(daemon->states, i, &states[i]);
	array = json_array();
	for (uint32_t i = 0; i < daemon->configuration->vip_count; i++)
		json_array_append_new(array, vip_to_json(daemon, states, i));
	free(states);
	control_reply(call, json_pack("{s:o}", "vips", array));
}
