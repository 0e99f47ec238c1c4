/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/configuration.h>

#include "../../src/control/configuration_internal.h"
#include "arguments.h"

#define MOST_SECONDS 3600

int usage_error(const struct usage *usage, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "fluxpin-bench %s: ", usage->command);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n\n%s", usage->text);
	return EXIT_USAGE;
}

int arguments_read(const struct usage *usage, int argc, char **argv, const char *letters,
		   const struct option *known, int (*take)(int option, void *options),
		   void *options)
{
	int option, status;

	while ((option = getopt_long(argc, argv, letters, known, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage->text, stdout);
			return EXIT_ANSWERED;
		}
		if (option == '?') {
			fputs(usage->text, stderr);
			return EXIT_USAGE;
		}
		status = take(option, options);
		if (status != EXIT_DONE)
			return status;
	}
	if (optind < argc)
		return usage_error(usage, "unexpected argument \"%s\"", argv[optind]);
	return EXIT_DONE;
}

int argument_number(const struct usage *usage, const char *option, const char *text, uint64_t least,
		    uint64_t most, uint64_t *number)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || value < least ||
	    value > most)
		return usage_error(usage,
				   "%s is a number from %" PRIu64 " to %" PRIu64 ", not \"%s\"",
				   option, least, most, text);
	*number = value;
	return EXIT_DONE;
}

int argument_number32(const struct usage *usage, const char *option, const char *text,
		      uint32_t least, uint32_t most, uint32_t *number)
{
	uint64_t value = 0;
	int status = argument_number(usage, option, text, least, most, &value);

	if (status == EXIT_DONE)
		*number = (uint32_t)value;
	return status;
}

int argument_seconds(const struct usage *usage, const char *option, const char *text,
		     double *seconds)
{
	double value;
	char *end;

	errno = 0;
	value = strtod(text, &end);
	/* Written so that it refuses what is no number, too. */
	if (errno != 0 || end == text || *end != '\0' || !(value > 0 && value <= MOST_SECONDS))
		return usage_error(usage, "%s is a number of seconds up to %d, not \"%s\"", option,
				   MOST_SECONDS, text);
	*seconds = value;
	return EXIT_DONE;
}

int argument_duration(const struct usage *usage, const char *option, const char *text,
		      uint64_t *nanoseconds)
{
	uint64_t value = 0;

	if (duration_parse(text, &value) != 0 || value < 10 * NANOSECONDS_PER_MILLISECOND ||
	    value > 3600 * NANOSECONDS_PER_SECOND)
		return usage_error(usage, "%s is a duration from 10ms to 1h, not \"%s\"", option,
				   text);
	*nanoseconds = value;
	return EXIT_DONE;
}

int argument_ipv4(const struct usage *usage, const char *option, const char *text,
		  struct in_addr *address)
{
	if (inet_pton(AF_INET, text, address) != 1)
		return usage_error(usage, "%s is an IPv4 address, not \"%s\"", option, text);
	return EXIT_DONE;
}

int argument_choice(const struct usage *usage, const char *option, const char *text,
		    const char *const *words, int *choice)
{
	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], text) == 0) {
			*choice = i;
			return EXIT_DONE;
		}
	}
	return usage_error(usage, "%s cannot be \"%s\"", option, text);
}

int argument_check_size(const struct usage *usage, uint32_t size, uint32_t backends)
{
	if (!configuration_is_table_size(size))
		return usage_error(usage, "--size %u is not a prime", size);
	if (size <= backends)
		return usage_error(usage, "--size %u is not above the number of backends, %u", size,
				   backends);
	return EXIT_DONE;
}
