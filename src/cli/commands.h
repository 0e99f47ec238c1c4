/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subcommands of fluxpin, one file each. A command gets the arguments from its own name on and
 * returns an exit status; only main exits.
 */
#ifndef FLUXPIN_COMMANDS_H
#define FLUXPIN_COMMANDS_H

enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,      /* the operation failed: bad configuration, device refused */
	EXIT_USAGE = 2,	      /* called wrongly */
	EXIT_UNREACHABLE = 3, /* the daemon cannot be reached */
};

/* Says what is wrong with a command's arguments (`value` may be NULL), and its usage. Returns
 * EXIT_USAGE. */
int usage_error(const char *command, const char *usage, const char *message, const char *value);

int command_run(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_check(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_announce(int argc, char **argv);
int command_endpoint(int argc, char **argv);
int command_status(int argc, char **argv);
int command_vips(int argc, char **argv);
int command_backends(int argc, char **argv);
int command_connections(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_undrain(int argc, char **argv);
int command_reload(int argc, char **argv);
int command_diff(int argc, char **argv);
int command_warnings(int argc, char **argv);
int command_top(int argc, char **argv);
int command_endpoint_doctor(int argc, char **argv);
int command_version(int argc, char **argv);

#endif
