/* SPDX-License-Identifier: BSD-2-Clause */
/* Configurations from text, for tests. */
#ifndef FLUXPIN_TEST_CONFIGURATION_TEXT_H
#define FLUXPIN_TEST_CONFIGURATION_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <fluxpin/configuration.h>

/* A valid configuration; what is wrong with it is printed. */
static inline struct configuration *configuration_from_text(const char *text)
{
	char name[] = "/tmp/fluxpin-test-XXXXXX";
	int file = mkstemp(name);
	struct configuration *configuration = NULL;
	struct findings findings;

	assert_true(file >= 0);
	assert_int_equal(write(file, text, strlen(text)), strlen(text));
	close(file);
	if (configuration_read(name, &configuration, &findings) != 0)
		findings_print(&findings, stderr);
	findings_release(&findings);
	unlink(name);
	assert_non_null(configuration);
	return configuration;
}

/* Without VIPs, with these pools. */
static inline struct configuration *configuration_from_pools(const char *pools)
{
	char *text;
	struct configuration *configuration;

	assert_true(asprintf(&text, "hash_seed = \"1\";\npools = ( %s );\nvips = ();\n", pools) >
		    0);
	configuration = configuration_from_text(text);
	free(text);
	return configuration;
}

#endif
