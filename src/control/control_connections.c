/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control_answers.h"

#define SAMPLE_DEFAULT 20
#define SAMPLE_MOST    1000

static json_t *states_to_json(const struct connection_survey *survey)
{
	json_t *object = json_object();

	for (int state = CONNECTION_EMPTY + 1; state < CONNECTION_STATE_COUNT; state++)
		json_object_set_new(object, connection_state_label((enum connection_state)state),
				    control_number(survey->states[state]));
	return object;
}

static json_t *backends_to_json(const struct control_survey *survey)
{
	const struct daemon *daemon = survey->answers->daemon;
	const struct forwarding_tables *tables = daemon->tables;
	json_t *array = json_array();

	for (uint32_t i = 0; i < tables->backend_count; i++) {
		uint32_t closing, flows = control_survey_flows(survey, i, &closing);

		if (flows > 0)
			json_array_append_new(array,
					      json_pack("{s:s, s:s, s:I, s:I}", "pool",
							control_pool_name(daemon, i), "backend",
							control_backend_name(daemon, i), "flows",
							(json_int_t)flows, "closing",
							(json_int_t)closing));
	}
	return array;
}

/* A VIP, and where its flows are counted. */
struct counted {
	size_t tag;
	uint32_t vip;
};

static int compare_tags(const void *left, const void *right)
{
	const struct counted *a = left, *b = right;

	if (a->tag != b->tag)
		return a->tag < b->tag ? -1 : 1;
	return a->vip < b->vip ? -1 : 1;
}

static struct counted *list_vips(const struct daemon *daemon)
{
	const struct configuration *configuration = daemon->configuration;
	struct counted *list = calloc(configuration->vip_count + 1, sizeof(*list));

	for (uint32_t i = 0; list != NULL && i < configuration->vip_count; i++)
		list[i] = (struct counted){
			.tag = (size_t)configuration->vips[i].pool * SURVEY_TAGS +
			       (uint8_t)daemon->tables->vip_indexes[i],
			.vip = i,
		};
	if (list != NULL && configuration->vip_count > 0)
		qsort(list, configuration->vip_count, sizeof(*list), compare_tags);
	return list;
}

/* VIPs of the same pool whose flows cannot be told apart are one entry with all their names; flows
 * whose VIP is gone are one without a name. */
static json_t *vips_to_json(const struct control_survey *survey)
{
	const struct daemon *daemon = survey->answers->daemon;
	const struct configuration *configuration = daemon->configuration;
	struct counted *list = list_vips(daemon);
	json_t *array = json_array();
	uint64_t named = 0;

	for (uint32_t i = 0, end; list != NULL && i < configuration->vip_count; i = end) {
		uint32_t flows = survey->survey.tags[list[i].tag];
		json_t *names = json_array();

		for (end = i; end < configuration->vip_count && list[end].tag == list[i].tag; end++)
			json_array_append_new(names,
					      json_string(configuration->vips[list[end].vip].name));
		named += flows;
		if (flows > 0)
			json_array_append_new(array, json_pack("{s:O, s:I}", "vips", names, "flows",
							       (json_int_t)flows));
		json_decref(names);
	}
	free(list);
	if (survey->survey.flows > named)
		json_array_append_new(array,
				      json_pack("{s:[], s:o}", "vips", "flows",
						control_number(survey->survey.flows - named)));
	return array;
}

static json_t *sample_to_json(const struct control_survey *survey)
{
	json_t *array = json_array();
	uint32_t worker = 0;

	for (uint32_t i = 0; i < survey->survey.sample_count; i++) {
		while (i >= survey->sample_ends[worker])
			worker++;
		json_array_append_new(array, control_entry(survey, worker, i));
	}
	return array;
}

static void answer(struct control_survey *survey)
{
	const struct connection_survey *found = &survey->survey;
	const struct daemon *daemon = survey->answers->daemon;
	uint64_t capacity = 0;

	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		struct worker_report report;

		worker_read_report(daemon->workers[i], &report);
		capacity += report.connection_capacity;
	}
	control_reply(survey->call,
		      json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "flows",
				control_number(found->flows), "stale", control_number(found->stale),
				"capacity", control_number(capacity), "by_state",
				states_to_json(found), "by_vip", vips_to_json(survey), "by_backend",
				backends_to_json(survey), "sample", sample_to_json(survey)));
}

void control_connections(struct control_answers *answers, struct control_call *call,
			 const json_t *request)
{
	const char *name, *backend = NULL, *flow = NULL;
	json_int_t sample = SAMPLE_DEFAULT;
	struct control_survey *survey;
	json_error_t error;
	uint32_t place = 0;

	if (json_unpack_ex((json_t *)request, &error, JSON_STRICT, "{s:s, s?s, s?I, s?s}",
			   "command", &name, "backend", &backend, "sample", &sample, "flow",
			   &flow) != 0) {
		control_refuse(call, "%s", error.text);
		return;
	}
	if (flow != NULL) {
		control_lookup(answers, call, flow);
		return;
	}
	if (sample < 0 || sample > SAMPLE_MOST) {
		control_refuse(call, "\"sample\" is a number from 0 to %d", SAMPLE_MOST);
		return;
	}
	if (backend != NULL && !control_find_backend(answers->daemon, call, backend, &place))
		return;
	survey = control_survey_open(answers, call, answer);
	if (survey == NULL)
		return;
	survey->survey.sample_room = (uint32_t)sample;
	if (backend != NULL)
		survey->survey.sample_backend = answers->daemon->tables->backends[place].index;
	control_survey_start(survey);
}
