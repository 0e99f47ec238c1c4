/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/log.h>
#include <fluxpin/suggestion.h>

#include "control_answers.h"

static const struct {
	const char *name;
	control_answer *answer;
} commands[] = {
	{ "status", control_status },
	{ "vips", control_vips },
	{ "backends", control_backends },
	{ "connections", control_connections },
	{ "flows", control_flows },
	{ "drain", control_drain },
	{ "undrain", control_undrain },
	{ "reload", control_reload },
	{ "configuration", control_configuration },
	{ "warnings", control_warnings },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void on_request(void *context, struct control_call *call, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));
	const char *nearest;

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		commands[i].answer(context, call, request);
		return;
	}
	nearest = suggestion_find(name, &commands[0].name, COMMAND_COUNT, sizeof(commands[0]));
	control_refuse(call, "unknown command \"%.64s\"%s%s%s", name,
		       nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
		       nearest != NULL ? "\"?" : "");
}

bool control_takes_nothing(struct control_call *call, const json_t *request)
{
	if (json_object_size(request) == 1)
		return true;
	control_refuse(call, "the command takes nothing else");
	return false;
}

json_t *control_number(uint64_t number)
{
	return json_integer((json_int_t)number);
}

/* That of the command line, else that of the file; NULL: none. */
static const char *choose_path(const struct daemon *daemon)
{
	return daemon->options->control != NULL ? daemon->options->control
						: daemon->configuration->control;
}

int daemon_check_control(const struct daemon *daemon)
{
	return control_check_folder(choose_path(daemon));
}

int daemon_open_control(struct daemon *daemon)
{
	const char *path = choose_path(daemon);
	struct control_answers *answers = calloc(1, sizeof(*answers));
	int error;

	if (answers == NULL)
		return -ENOMEM;
	answers->daemon = daemon;
	answers->started_ns = clock_ns();
	answers->drains = json_object();
	error = answers->drains != NULL ? control_drops_open(answers) : -ENOMEM;
	if (error == 0)
		error = control_open(&daemon->loop, path, on_request, answers, &answers->control);
	if (error != 0) {
		control_drops_close(answers);
		json_decref(answers->drains);
		free(answers);
		return error;
	}
	control_surveys_open(answers);
	daemon->answers = answers;
	return 0;
}

void daemon_follow_control(struct daemon *daemon)
{
	struct control *control = daemon->answers->control;

	if (control_move(control, choose_path(daemon)) != 0 && control_path(control) != NULL)
		log_warning("control socket %s: kept", control_path(control));
}

void daemon_close_control(struct daemon *daemon)
{
	struct control_answers *answers = daemon->answers;

	if (answers == NULL)
		return;
	/* The worker may still walk through its table for a survey. */
	if (daemon->has_stuck_worker) {
		control_close(answers->control);
		return;
	}
	control_surveys_close(answers);
	control_close(answers->control);
	control_drops_close(answers);
	json_decref(answers->drains);
	free(answers);
	daemon->answers = NULL;
}
