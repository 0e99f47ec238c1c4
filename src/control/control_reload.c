/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/configuration_json.h>

#include "control_answers.h"

/* What is in force: the active configuration, but for what has been the same since the start. */
static json_t *in_force(const struct daemon *daemon)
{
	json_t *active = configuration_to_json(daemon->configuration);
	json_t *start = configuration_to_json(daemon->start);

	json_object_set(active, "slow_path", json_object_get(start, "slow_path"));
	json_object_set(active, "fragments", json_object_get(start, "fragments"));
	json_object_set(active, "umem", json_object_get(start, "umem"));
	json_object_set(json_object_get(active, "connections"), "capacity",
			json_object_get(json_object_get(start, "connections"), "capacity"));
	/* Those of the command line are in no file. */
	if (daemon->options->interface_count > 0)
		json_object_del(active, "interfaces");
	else
		json_object_set(active, "interfaces", json_object_get(start, "interfaces"));
	json_decref(start);
	return active;
}

void control_configuration(struct control_answers *answers, struct control_call *call,
			   const json_t *request)
{
	if (control_takes_nothing(call, request))
		control_reply(call, json_pack("{s:o, s:o}", "generation",
					      control_number(answers->daemon->metrics.generation),
					      "configuration", in_force(answers->daemon)));
}

/* As `check` prints them. */
static json_t *print_findings(const struct findings *findings)
{
	size_t length = 0;
	char *text = NULL;
	json_t *string;
	FILE *stream = open_memstream(&text, &length);

	if (stream == NULL)
		return json_null();
	findings_print(findings, stream);
	/* The file's name may be any bytes; JSON holds UTF-8 only. */
	string = fclose(stream) == 0 ? json_string(text) : NULL;
	free(text);
	return string != NULL ? string : json_null();
}

static json_t *list_errors(const struct findings *findings, int error)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->entries[i];
		const char *file = findings->file;

		if (!finding->is_warning)
			json_array_append_new(
				array,
				finding->position.line > 0
					? json_sprintf("%s:%u:%u: %s", file, finding->position.line,
						       finding->position.column, finding->message)
					: json_sprintf("%s: %s", file, finding->message));
	}
	if (json_array_size(array) == 0)
		json_array_append_new(
			array, json_sprintf("the configuration cannot be made active: %s (the "
					    "daemon's log says what failed)",
					    strerror(-error)));
	return array;
}

void control_reload(struct control_answers *answers, struct control_call *call,
		    const json_t *request)
{
	struct daemon *daemon = answers->daemon;
	struct findings findings = { 0 };
	json_t *before, *after, *reply;
	int error;

	if (!control_takes_nothing(call, request))
		return;
	control_log(call, "reload");
	before = in_force(daemon);
	error = daemon_reload(daemon, &findings);
	reply = json_pack("{s:o, s:o}", "generation", control_number(daemon->metrics.generation),
			  "findings", print_findings(&findings));
	if (error == 0) {
		/* The file's own words: also of what takes a restart. */
		after = configuration_to_json(daemon->configuration);
		json_object_set_new(reply, "changes", configuration_diff(before, after));
		json_decref(after);
		control_reply(call, reply);
	} else {
		json_object_set_new(reply, "errors", list_errors(&findings, error));
		control_fail(call, reply);
	}
	json_decref(before);
	findings_release(&findings);
}
