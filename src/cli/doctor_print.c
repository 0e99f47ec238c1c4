/* SPDX-License-Identifier: BSD-2-Clause */
#include "doctor_print.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

static void print_text(const struct doctor_report *report)
{
	for (uint32_t i = 0; i < report->count; i++) {
		const struct doctor_finding *finding = &report->findings[i];

		printf("%-8s %s\n", doctor_severity_name(finding->severity), finding->sentence);
		if (finding->command != NULL)
			printf("             %s\n", finding->command);
	}
}

/* Names of files may be any bytes, JSON holds UTF-8 only. */
static json_t *text_to_json(const char *text)
{
	json_t *string = text != NULL ? json_string(text) : NULL;

	return string != NULL ? string : json_null();
}

static json_t *findings_to_json(const struct doctor_report *report)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < report->count; i++) {
		const struct doctor_finding *finding = &report->findings[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:o, s:o, s:o}", "severity",
						       doctor_severity_name(finding->severity),
						       "check", finding->check, "subject",
						       text_to_json(finding->subject), "message",
						       text_to_json(finding->sentence), "command",
						       text_to_json(finding->command)));
	}
	return array;
}

static bool print_json(const struct doctor_report *report, const char *outcome, bool is_healthy)
{
	json_t *document = json_pack(
		"{s:b, s:i, s:i, s:i, s:i, s:o}", "healthy", is_healthy, "ok",
		(int)report->by_severity[DOCTOR_OK], "notes", (int)report->by_severity[DOCTOR_NOTE],
		"warnings", (int)report->by_severity[DOCTOR_WARNING], "errors",
		(int)report->by_severity[DOCTOR_ERROR], "findings", findings_to_json(report));
	bool is_printed;

	if (document != NULL && outcome != NULL)
		json_object_set_new(document, "outcome", json_string(outcome));
	is_printed = document != NULL && json_dumpf(document, stdout, JSON_INDENT(2)) == 0;

	json_decref(document);
	putchar('\n');
	return is_printed;
}

int doctor_print_report(const struct doctor_report *report, int error, const char *command,
			const char *outcome, bool is_json)
{
	bool is_healthy =
		report->by_severity[DOCTOR_WARNING] == 0 && report->by_severity[DOCTOR_ERROR] == 0;

	if (error != 0) {
		fprintf(stderr, "fluxpin %s: %s\n", command, strerror(-error));
		return EXIT_FAILED;
	}
	if (!is_json)
		print_text(report);
	else if (!print_json(report, outcome, is_healthy))
		return EXIT_FAILED;
	return is_healthy ? EXIT_DONE : EXIT_FAILED;
}
