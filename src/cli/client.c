/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/control.h>

#include "client.h"
#include "commands.h"

#define OWN_MOST 8

enum {
	CONTROL = 512,
	JSON,
};

int client_usage(const struct client_options *options, const char *message, const char *value)
{
	return usage_error(options->command, options->usage, message, value);
}

/* The options as getopt_long wants them. */
static void list_options(struct option *list, char *letters, bool takes_json,
			 const struct client_long_option *own, uint32_t own_count)
{
	*list++ = (struct option){ "control", required_argument, NULL, CONTROL };
	*list++ = (struct option){ "help", no_argument, NULL, 'h' };
	*letters++ = 'h';
	if (takes_json)
		*list++ = (struct option){ "json", no_argument, NULL, JSON };
	for (uint32_t i = 0; i < own_count; i++) {
		*list++ = (struct option){ own[i].name,
					   own[i].has_value ? required_argument : no_argument, NULL,
					   own[i].letter };
		if (own[i].letter < 256) {
			*letters++ = (char)own[i].letter;
			if (own[i].has_value)
				*letters++ = ':';
		}
	}
	*letters = '\0';
	*list = (struct option){ 0 };
}

bool client_read_options(int argc, char **argv, struct client_options *options, bool takes_json,
			 const struct client_long_option *own, uint32_t own_count,
			 client_option *take, void *context, int *status)
{
	struct option list[OWN_MOST + 4];
	char letters[2 * OWN_MOST + 2];
	int option;

	list_options(list, letters, takes_json, own, own_count);
	options->control = CONTROL_DEFAULT_PATH;
	*status = EXIT_USAGE;
	while ((option = getopt_long(argc, argv, letters, list, NULL)) != -1) {
		switch (option) {
		case CONTROL:
			options->control = optarg;
			break;
		case JSON:
			options->is_json = true;
			break;
		case 'h':
			fputs(options->usage, stdout);
			*status = EXIT_DONE;
			return false;
		case '?':
			fputs(options->usage, stderr);
			return false;
		default:
			if (take(context, option, optarg) != EXIT_DONE)
				return false;
		}
	}
	*status = EXIT_DONE;
	return true;
}

void client_print_errors(const struct client_options *options, const json_t *reply)
{
	const json_t *errors = json_object_get(reply, "errors");
	json_t *error;
	size_t i;

	json_array_foreach(errors, i, error) if (json_is_string(error))
		fprintf(stderr, "fluxpin %s: %s\n", options->command, json_string_value(error));
	if (json_array_size(errors) == 0)
		fprintf(stderr, "fluxpin %s: the daemon refused without a reason\n",
			options->command);
}

int client_ask(const struct client_options *options, json_t *request, json_t **result)
{
	json_t *reply = NULL;
	int status = client_call(options, request, &reply);

	*result = NULL;
	if (status != EXIT_DONE)
		return status;
	if (!client_flag(reply, "ok")) {
		client_print_errors(options, reply);
		status = EXIT_FAILED;
	}
	if (options->is_json && client_print_json(reply) != EXIT_DONE)
		status = EXIT_FAILED;
	if (options->is_json || status != EXIT_DONE)
		json_decref(reply);
	else
		*result = reply;
	return status;
}

int client_show(int argc, char **argv, const char *command, const char *usage,
		int (*print)(const json_t *reply))
{
	struct client_options options = { .command = command, .usage = usage };
	json_t *reply;
	int status;

	if (!client_read_options(argc, argv, &options, true, NULL, 0, NULL, NULL, &status))
		return status;
	if (optind < argc)
		return client_usage(&options, "unexpected argument", argv[optind]);
	status = client_ask(&options, json_pack("{s:s}", "command", command), &reply);
	if (reply == NULL)
		return status;
	status = print(reply);
	json_decref(reply);
	return status;
}

int client_print_json(const json_t *document)
{
	int error = json_dumpf(document, stdout, JSON_INDENT(2));

	putchar('\n');
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}

const char *client_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

uint64_t client_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

bool client_flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

#define BUFFER_COUNT 16
#define BUFFER_SIZE  96

static char *next_buffer(void)
{
	static char buffers[BUFFER_COUNT][BUFFER_SIZE];
	static unsigned int next;

	return buffers[next++ % BUFFER_COUNT];
}

const char *client_format(uint64_t number)
{
	char *text = next_buffer();

	snprintf(text, BUFFER_SIZE, "%llu", (unsigned long long)number);
	return text;
}

const char *client_count(uint64_t number, const char *noun)
{
	char *text = next_buffer();

	snprintf(text, BUFFER_SIZE, "%llu %s%s", (unsigned long long)number, noun,
		 number == 1 ? "" : "s");
	return text;
}

const char *client_duration(uint64_t ms)
{
	unsigned long long seconds = ms / 1000;
	char *text = next_buffer();

	if (ms < 1000)
		snprintf(text, BUFFER_SIZE, "%llums", (unsigned long long)ms);
	else if (seconds < 60)
		snprintf(text, BUFFER_SIZE, "%llus", seconds);
	else if (seconds < 3600)
		snprintf(text, BUFFER_SIZE, "%llum %llus", seconds / 60, seconds % 60);
	else if (seconds < 86400)
		snprintf(text, BUFFER_SIZE, "%lluh %llum", seconds / 3600, seconds / 60 % 60);
	else
		snprintf(text, BUFFER_SIZE, "%llud %lluh", seconds / 86400, seconds / 3600 % 24);
	return text;
}
