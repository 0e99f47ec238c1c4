/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"
#include "control_internal.h"

int control_parse_request(const char *line, size_t length, json_t **result, char *error,
			  size_t room)
{
	json_error_t place;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &place);

	if (request == NULL) {
		snprintf(error, room, "not a JSON object: %s", place.text);
		text_make_printable(error);
		return -EINVAL;
	}
	if (!json_is_object(request))
		snprintf(error, room, "a request is a JSON object, {\"command\": \"status\"}");
	else if (!json_is_string(json_object_get(request, "command")))
		snprintf(error, room, "the request has no string \"command\"");
	else {
		*result = request;
		return 0;
	}
	json_decref(request);
	return -EINVAL;
}

json_t *control_make_error(const char *format, va_list arguments)
{
	char *message;
	json_t *reply;

	if (vasprintf(&message, format, arguments) < 0)
		return NULL;
	text_make_printable(message);
	reply = json_pack("{s:[s]}", "errors", message);
	free(message);
	return reply;
}

char *control_print(const json_t *reply, bool is_ok, size_t *length)
{
	json_t *whole = json_pack("{s:b}", "ok", is_ok);
	char *text = NULL, *line = NULL;

	/* A copy, not a deep one, so that "ok" is the first. */
	if (whole != NULL && json_object_update(whole, (json_t *)reply) == 0)
		text = json_dumps(whole, JSON_COMPACT);
	json_decref(whole);
	if (text == NULL)
		return NULL;
	*length = strlen(text);
	line = realloc(text, *length + 2);
	if (line == NULL) {
		free(text);
		return NULL;
	}
	memcpy(line + *length, "\n", 2);
	++*length;
	return line;
}
