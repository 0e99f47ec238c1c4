/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options and their values. Each function prints what is wrong, with the command's usage, and
 * returns EXIT_DONE or EXIT_USAGE.
 */
#ifndef FLUXPIN_BENCH_ARGUMENTS_H
#define FLUXPIN_BENCH_ARGUMENTS_H

#include <getopt.h>
#include <netinet/in.h>
#include <stdint.h>

#include "commands.h"

/* Who is called, and how. */
struct usage {
	const char *command; /* "pipeline" */
	const char *text;
};

/* "fluxpin-bench pipeline: MESSAGE", and the usage. Returns EXIT_USAGE. */
int usage_error(const struct usage *usage, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Reads a command line. `known` are the long options, with what `take` is called with for each,
 * whose value is in optarg then; "help" is 'h', and not for `take`. `letters` are the options of
 * one letter, as getopt has them. `take` fills in `options`. Returns also EXIT_ANSWERED: the help
 * was printed, or `take` returned that.
 */
int arguments_read(const struct usage *usage, int argc, char **argv, const char *letters,
		   const struct option *known, int (*take)(int option, void *options),
		   void *options);

/* A whole number from `least` to `most`. */
int argument_number(const struct usage *usage, const char *option, const char *text, uint64_t least,
		    uint64_t most, uint64_t *number);
int argument_number32(const struct usage *usage, const char *option, const char *text,
		      uint32_t least, uint32_t most, uint32_t *number);

/* Seconds, with a fraction: above 0, at most 3600. */
int argument_seconds(const struct usage *usage, const char *option, const char *text,
		     double *seconds);

/* A duration with a unit, as in the configuration: "2s", "200ms"; from 10ms to 1h. */
int argument_duration(const struct usage *usage, const char *option, const char *text,
		      uint64_t *nanoseconds);

int argument_ipv4(const struct usage *usage, const char *option, const char *text,
		  struct in_addr *address);

/* One of a NULL-terminated list of words; *choice is its place in it. */
int argument_choice(const struct usage *usage, const char *option, const char *text,
		    const char *const *words, int *choice);

/* A Maglev table's size: a prime above the number of backends. */
int argument_check_size(const struct usage *usage, uint32_t size, uint32_t backends);

#endif
