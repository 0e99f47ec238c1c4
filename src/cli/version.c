/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "commands.h"

int command_version(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		fputs("fluxpin: version takes no arguments\n", stderr);
		return EXIT_USAGE;
	}
	puts("fluxpin " FLUXPIN_VERSION);
	return EXIT_DONE;
}
