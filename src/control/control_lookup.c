/* SPDX-License-Identifier: BSD-2-Clause */
/* One flow: what the pipeline would do with its first packet now, and which worker tracks it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <fluxpin/explain.h>
#include <fluxpin/maglev.h>

#include "control_answers.h"

/* Where its first packet would go: NULL for nowhere. */
static const char *backend_of_slot(const struct daemon *daemon, uint32_t pool, uint32_t slot)
{
	const struct forwarding_tables *tables = daemon->tables;
	uint16_t index = tables->pools[pool].slots[slot];

	for (uint32_t i = 0; i < tables->backend_count; i++)
		if (tables->backends[i].index == index && tables->backends[i].pool == pool)
			return control_backend_name(daemon, i);
	return NULL;
}

static const char *verdict_name(const struct explanation *explanation)
{
	switch (explanation->verdict) {
	case VERDICT_FORWARD:
		return "forward";
	case VERDICT_SLOW_PATH:
		return "slow_path";
	case VERDICT_ANSWER:
		return "answer";
	default:
		return "drop";
	}
}

static json_t *selection_to_json(const struct daemon *daemon, const struct explanation *explanation)
{
	const struct vip_configuration *vip;
	json_t *reply;
	char hash[17];

	if (explanation->is_tunnel)
		return json_pack("{s:s}", "verdict", "decapsulate");
	reply = json_pack("{s:s}", "verdict", verdict_name(explanation));
	if (explanation->verdict == VERDICT_DROP)
		json_object_set_new(reply, "reason",
				    json_string(drop_reason_label(explanation->reason)));
	if (explanation->has_vip)
		json_object_set_new(
			reply, "vip",
			json_string(daemon->configuration->vips[explanation->vip].name));
	if (!explanation->is_selected)
		return reply;
	vip = &daemon->configuration->vips[explanation->vip];
	snprintf(hash, sizeof(hash), "%016" PRIx64, explanation->flow_hash);
	json_object_update_new(reply,
			       json_pack("{s:s, s:s, s:b, s:s, s:I, s:s?}", "pool",
					 daemon->configuration->pools[vip->pool].name, "hash", hash,
					 "tracking", vip->tracking, "affinity",
					 vip->affinity == AFFINITY_SOURCE ? "source" : "5tuple",
					 "slot", (json_int_t)explanation->slot, "by_hash",
					 backend_of_slot(daemon, vip->pool, explanation->slot)));
	return reply;
}

static void answer(struct control_survey *survey)
{
	const struct daemon *daemon = survey->answers->daemon;
	json_t *entries = json_array(), *reply;
	struct explanation explanation;
	uint32_t worker = 0;

	/* Again, since a reload may have come in between. */
	if (explain_flow_now(daemon->configuration, daemon->tables, daemon->state, &survey->flow,
			     &explanation) != 0) {
		json_decref(entries);
		control_refuse(survey->call, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < survey->survey.sample_count; i++) {
		while (i >= survey->sample_ends[worker])
			worker++;
		json_array_append_new(entries, control_entry(survey, worker, i));
	}
	reply = selection_to_json(daemon, &explanation);
	json_object_set_new(reply, "entries", entries);
	explanation_release(&explanation);
	control_reply(survey->call, reply);
}

void control_lookup(struct control_answers *answers, struct control_call *call, const char *text)
{
	const struct daemon *daemon = answers->daemon;
	struct explanation explanation;
	struct control_survey *survey;
	struct explained_flow flow;
	const char *error;

	if (explain_parse(text, &flow, &error) != 0) {
		control_refuse(call, "\"%.200s\": %s", text, error);
		return;
	}
	if (explain_flow_now(daemon->configuration, daemon->tables, daemon->state, &flow,
			     &explanation) != 0) {
		control_refuse(call, "out of memory");
		return;
	}
	/* What no VIP takes, no worker tracks. */
	if (!explanation.is_selected) {
		json_t *reply = selection_to_json(daemon, &explanation);

		json_object_set_new(reply, "entries", json_array());
		explanation_release(&explanation);
		control_reply(call, reply);
		return;
	}
	survey = control_survey_open(answers, call, answer);
	if (survey != NULL) {
		survey->flow = flow;
		survey->survey.is_lookup = true;
		survey->survey.hash = explanation.flow_hash;
		survey->survey.sample_room = daemon->worker_count;
		control_survey_start(survey);
	}
	explanation_release(&explanation);
}
