/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "commands.h"

int usage_error(const char *command, const char *usage, const char *message, const char *value)
{
	fprintf(stderr, "fluxpin %s: %s%s%s\n\n%s", command, message, value != NULL ? ": " : "",
		value != NULL ? value : "", usage);
	return EXIT_USAGE;
}
