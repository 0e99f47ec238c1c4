/* SPDX-License-Identifier: BSD-2-Clause */
/* A doctor's report on standard output: for people, or as one JSON document. */
#ifndef FLUXPIN_DOCTOR_PRINT_H
#define FLUXPIN_DOCTOR_PRINT_H

#include <stdbool.h>

#include <fluxpin/doctor.h>

/*
 * Prints the report; `error` is what the examination returned, `command` the name for a message
 * about that, `outcome` that of a probe for JSON, or NULL. Returns the exit status: EXIT_DONE
 * without warnings and errors.
 */
int doctor_print_report(const struct doctor_report *report, int error, const char *command,
			const char *outcome, bool is_json);

#endif
