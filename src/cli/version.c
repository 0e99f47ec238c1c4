/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const char usage[] = "usage: fluxpin version\n"
			    "\n"
			    "Prints the version.\n";

int command_version(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return EXIT_DONE;
	}
	if (argc > 1) {
		fprintf(stderr, "fluxpin version: unexpected argument: %s\n\n%s", argv[1], usage);
		return EXIT_USAGE;
	}
	puts("fluxpin " FLUXPIN_VERSION);
	return EXIT_DONE;
}
