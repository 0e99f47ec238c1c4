/* SPDX-License-Identifier: BSD-2-Clause */
/* Drains by command: since when, and what is left on the backends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control_answers.h"

#define BACKEND_TEXT_SIZE (2 * CONFIGURATION_NAME_LENGTH + 2)

/* Whether it is the backend at `place`, or the same in a pool that contains that one. */
static bool is_same(const struct daemon *daemon, uint32_t i, uint32_t place)
{
	const struct forwarding_backend *one = &daemon->tables->backends[i];
	const struct forwarding_backend *other = &daemon->tables->backends[place];

	return i == place ||
	       (strcmp(control_backend_name(daemon, i), control_backend_name(daemon, place)) == 0 &&
		configuration_contains(daemon->configuration, one->pool, other->pool));
}

/* With drains that have not reached the tables yet. */
static bool gets_new_flows(const struct daemon *daemon, uint32_t i)
{
	const struct forwarding_backend *backend = &daemon->tables->backends[i];
	const struct backend_state *state =
		backend_states_get(daemon->states, backend->pool, backend->backend);
	unsigned int flags = backend_states_overrides(daemon->configuration, daemon->drains,
						      backend->pool, backend->backend);

	return (flags & BACKEND_DRAINED) == 0 && !state->service.is_down &&
	       state->service.weight > 0;
}

/* Whether workers know already that it is drained, in all pools that have it. */
static bool is_in_force(const struct daemon *daemon, uint32_t place)
{
	for (uint32_t i = 0; i < daemon->tables->backend_count; i++) {
		const struct forwarding_backend *backend = &daemon->tables->backends[i];

		if (is_same(daemon, i, place) &&
		    !backend_states_get(daemon->states, backend->pool, backend->backend)
			     ->is_drained)
			return false;
	}
	return !daemon->has_new_states;
}

/* The pools with this backend and a VIP in which no backend gets new flows. */
static json_t *find_exhausted(const struct daemon *daemon, uint32_t place)
{
	const struct configuration *configuration = daemon->configuration;
	struct {
		bool has_vip, is_concerned, serves;
	} *pools = calloc(configuration->pool_count + 1, sizeof(*pools));
	json_t *names = json_array();

	for (uint32_t i = 0; pools != NULL && i < configuration->vip_count; i++)
		pools[configuration->vips[i].pool].has_vip = true;
	for (uint32_t i = 0; pools != NULL && i < daemon->tables->backend_count; i++) {
		uint32_t pool = daemon->tables->backends[i].pool;

		pools[pool].is_concerned |= is_same(daemon, i, place);
		pools[pool].serves |= gets_new_flows(daemon, i);
	}
	for (uint32_t i = 0; pools != NULL && i < configuration->pool_count; i++)
		if (pools[i].has_vip && pools[i].is_concerned && !pools[i].serves)
			json_array_append_new(names, json_string(configuration->pools[i].name));
	free(pools);
	return names;
}

static void answer(struct control_survey *survey)
{
	const struct daemon *daemon = survey->answers->daemon;
	uint32_t place, flows = 0, closing = 0;

	if (!control_find_backend(daemon, survey->call, survey->subject, &place))
		return;
	for (uint32_t i = 0; i < daemon->tables->backend_count; i++) {
		uint32_t of_these;

		if (!is_same(daemon, i, place))
			continue;
		flows += control_survey_flows(survey, i, &of_these);
		closing += of_these;
	}
	control_reply(survey->call,
		      json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:o}", "pool",
				control_pool_name(daemon, place), "backend",
				control_backend_name(daemon, place), "drained",
				json_object_get(survey->answers->drains, survey->subject) != NULL,
				"in_force", survey->is_in_force, "flows", (json_int_t)flows,
				"closing", (json_int_t)closing, "exhausted_pools",
				find_exhausted(daemon, place)));
}

/* The reply is given behind a survey; a backend that is gone has no flows. */
static void report(struct control_answers *answers, struct control_call *call, const char *text,
		   uint32_t place)
{
	struct control_survey *survey = control_survey_open(answers, call, answer);

	if (survey == NULL)
		return;
	snprintf(survey->subject, sizeof(survey->subject), "%s", text);
	/* Before the flows are counted: none that is counted later came by the tables before. */
	survey->is_in_force = is_in_force(answers->daemon, place);
	control_survey_start(survey);
}

static bool read_request(struct control_call *call, const json_t *request, const char **backend)
{
	const char *name;
	json_error_t error;

	if (json_unpack_ex((json_t *)request, &error, JSON_STRICT, "{s:s, s:s}", "command", &name,
			   "backend", backend) != 0) {
		control_refuse(call, "%s", error.text);
		return false;
	}
	return true;
}

void control_drain(struct control_answers *answers, struct control_call *call,
		   const json_t *request)
{
	struct daemon *daemon = answers->daemon;
	const char *text;
	uint32_t place;
	int error;

	if (!read_request(call, request, &text) ||
	    !control_find_backend(daemon, call, text, &place))
		return;
	control_log(call, "drain %s", text);
	error = daemon_drain(daemon, control_pool_name(daemon, place),
			     control_backend_name(daemon, place), true);
	if (error != 0) {
		control_refuse(call, "draining %s: %s", text, strerror(-error));
		return;
	}
	/* Of one that was drained before, the first time counts. */
	if (json_object_get(answers->drains, text) == NULL)
		json_object_set_new(answers->drains, text, control_number(clock_ms()));
	report(answers, call, text, place);
}

/* "POOL/BACKEND". */
static const char *name_of(const struct daemon *daemon, uint32_t place,
			   char text[static BACKEND_TEXT_SIZE])
{
	snprintf(text, BACKEND_TEXT_SIZE, "%s/%s", control_pool_name(daemon, place),
		 control_backend_name(daemon, place));
	return text;
}

/* The drains in force of a backend; one that is gone has none. */
static json_t *find_drains(const struct control_answers *answers, const char *backend)
{
	const struct daemon *daemon = answers->daemon;
	uint32_t count = daemon->tables->backend_count, place = 0;
	json_t *names = json_array();
	char text[BACKEND_TEXT_SIZE];

	while (place < count && strcmp(name_of(daemon, place, text), backend) != 0)
		place++;
	for (uint32_t i = 0; place < count && i < count; i++)
		if (is_same(daemon, place, i) &&
		    json_object_get(answers->drains, name_of(daemon, i, text)) != NULL)
			json_array_append_new(names, json_string(text));
	return names;
}

void control_undrain(struct control_answers *answers, struct control_call *call,
		     const json_t *request)
{
	struct daemon *daemon = answers->daemon;
	const char *text, *slash;
	bool was_drained;
	uint32_t place;

	if (!read_request(call, request, &text))
		return;
	/* That of a backend which a reload has removed can be taken back, too. */
	if (json_object_get(answers->drains, text) == NULL &&
	    !control_find_backend(daemon, call, text, &place))
		return;
	control_log(call, "undrain %s", text);
	was_drained = json_object_get(answers->drains, text) != NULL;
	if (was_drained) {
		char pool[CONFIGURATION_NAME_LENGTH + 1];

		slash = strchr(text, '/');
		snprintf(pool, sizeof(pool), "%.*s", (int)(slash - text), text);
		daemon_drain(daemon, pool, slash + 1, false);
	}
	json_object_del(answers->drains, text);
	control_reply(call, json_pack("{s:b, s:o}", "was_drained", was_drained, "drained_by",
				      find_drains(answers, text)));
}

void control_flows(struct control_answers *answers, struct control_call *call,
		   const json_t *request)
{
	const char *text;
	uint32_t place;

	if (read_request(call, request, &text) &&
	    control_find_backend(answers->daemon, call, text, &place))
		report(answers, call, text, place);
}

json_t *control_drains(const struct control_answers *answers)
{
	uint64_t now_ms = clock_ms();
	json_t *array = json_array(), *since;
	const char *backend;

	json_object_foreach(answers->drains, backend, since) json_array_append_new(
		array, json_pack("{s:s, s:o}", "backend", backend, "for_ms",
				 control_number(now_ms - (uint64_t)json_integer_value(since))));
	return array;
}
