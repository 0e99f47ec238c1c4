/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands of fluxpin-bench, one file each. A command gets the arguments from its own name on
 * and returns an exit status; only main exits. Standard output is the result, standard error is
 * everything else.
 */
#ifndef FLUXPIN_BENCH_COMMANDS_H
#define FLUXPIN_BENCH_COMMANDS_H

enum exit_status {
	EXIT_ANSWERED = -1, /* of options: what they ask for was printed; main makes it EXIT_DONE */
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* could not run, or what ran was not what was to be measured */
	EXIT_USAGE = 2,	 /* called wrongly */
};

int command_pipeline(int argc, char **argv);
int command_maglev(int argc, char **argv);
int command_survive(int argc, char **argv);
int command_health(int argc, char **argv);
int command_requests(int argc, char **argv);
int command_traffic(int argc, char **argv);
int command_echo(int argc, char **argv);

#endif
