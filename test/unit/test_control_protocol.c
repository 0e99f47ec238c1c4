/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines to requests and replies to lines. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../src/control/control_internal.h"

static void assert_refused(const char *line, size_t length, const char *why)
{
	json_t *request = NULL;
	char error[256] = "";

	assert_int_equal(control_parse_request(line, length, &request, error, sizeof(error)),
			 -EINVAL);
	assert_null(request);
	if (strstr(error, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error, why);
}

static void a_request_is_an_object_with_a_command(void **state)
{
	static const char line[] = " {\"command\": \"status\", \"more\": [1]} ";
	json_t *request;
	char error[256];

	(void)state;
	assert_int_equal(control_parse_request(line, strlen(line), &request, error, sizeof(error)),
			 0);
	assert_string_equal(json_string_value(json_object_get(request, "command")), "status");
	json_decref(request);
}

static void anything_else_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *line;
		const char *why;
	} cases[] = {
		{ "", "not a JSON object" },
		{ "garbage", "not a JSON object" },
		{ "{\"command\": \"status\"", "not a JSON object" },
		{ "{\"command\": \"status\"} {}", "not a JSON object" },
		{ "{\"command\": \"a\", \"command\": \"b\"}", "duplicate" },
		{ "\x01\x02\xff", "not a JSON object" },
		{ "{\"command\": \"\xff\"}", "not a JSON object" },
		{ "[]", "is a JSON object" },
		{ "[{\"command\": \"status\"}]", "is a JSON object" },
		{ "{}", "no string \"command\"" },
		{ "{\"command\": 1}", "no string \"command\"" },
		{ "{\"command\": null}", "no string \"command\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i].line, strlen(cases[i].line), cases[i].why);
}

static void zero_bytes_and_deep_nesting_are_refused(void **state)
{
	static const char zero[] = "{\"command\": \"sta\0tus\"}";
	char *deep = malloc(60000);

	(void)state;
	assert_refused(zero, sizeof(zero) - 1, "not a JSON object");
	assert_non_null(deep);
	memset(deep, '[', 60000);
	assert_refused(deep, 60000, "not a JSON object");
	free(deep);
}

static void a_reply_is_one_line_that_begins_with_ok(void **state)
{
	json_t *reply = json_pack("{s:s, s:[i, i]}", "text", "a\nb", "list", 1, 2);
	size_t length = 0;
	char *line = control_print(reply, true, &length);

	(void)state;
	assert_string_equal(line, "{\"ok\":true,\"text\":\"a\\nb\",\"list\":[1,2]}\n");
	assert_int_equal(length, strlen(line));
	free(line);
	json_object_set_new(reply, "ok", json_true());
	line = control_print(reply, false, &length);
	assert_memory_equal(line, "{\"ok\":", 6);
	free(line);
	json_decref(reply);
}

static json_t *__attribute__((format(printf, 1, 2))) make_error(const char *format, ...)
{
	va_list arguments;
	json_t *reply;

	va_start(arguments, format);
	reply = control_make_error(format, arguments);
	va_end(arguments);
	return reply;
}

static void an_error_is_printable_whatever_it_is_about(void **state)
{
	json_t *reply = make_error("no \"%s\"", "a\x1b[31m\xff");
	const char *text = json_string_value(json_array_get(json_object_get(reply, "errors"), 0));

	(void)state;
	assert_string_equal(text, "no \"a?[31m?\"");
	json_decref(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_an_object_with_a_command),
		cmocka_unit_test(anything_else_is_refused_with_a_reason),
		cmocka_unit_test(zero_bytes_and_deep_nesting_are_refused),
		cmocka_unit_test(a_reply_is_one_line_that_begins_with_ok),
		cmocka_unit_test(an_error_is_printable_whatever_it_is_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
