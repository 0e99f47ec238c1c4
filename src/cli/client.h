/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's side of the control socket, shared by the commands that ask the daemon: their common
 * options, one request and its reply, and what is said when the daemon is not there.
 */
#ifndef FLUXPIN_CLIENT_H
#define FLUXPIN_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* How long connecting, sending and each part of the reply may take. */
#define CLIENT_TIMEOUT_S 5

/* How long a reload may: it reads and builds everything, and waits for workers and neighbours. */
#define CLIENT_RELOAD_S 120

/* The longest reply that is taken. */
#define CLIENT_REPLY_LIMIT (256u << 20)

struct client_options {
	const char *command; /* its name, for messages */
	const char *usage;
	const char *control; /* path of the socket */
	bool is_json;
	uint32_t reply_s; /* how long the reply may take; 0: CLIENT_TIMEOUT_S */
};

/*
 * A command's own option, in getopt_long's numbers. Returns EXIT_DONE, or EXIT_USAGE after saying
 * what is wrong (client_usage).
 */
typedef int client_option(void *context, int option, const char *value);

struct client_long_option {
	const char *name;
	int letter; /* 'a' to 'z' with a short form, else 256 and above */
	bool has_value;
};

/*
 * Reads --control, --json (if takes_json), --help, and the command's own options, at most 8, which
 * go to `take`. Returns whether to go on; otherwise *status is the exit status. Arguments begin at
 * optind.
 */
bool client_read_options(int argc, char **argv, struct client_options *options, bool takes_json,
			 const struct client_long_option *own, uint32_t own_count,
			 client_option *take, void *context, int *status);

/* Says what is wrong, and the usage. Returns EXIT_USAGE. */
int client_usage(const struct client_options *options, const char *message, const char *value);

/*
 * Sends one request, which is taken over, and waits for the reply. Returns EXIT_DONE with the reply
 * (to be released), whether it says "ok" or not; EXIT_UNREACHABLE or EXIT_FAILED after saying why.
 */
int client_call(const struct client_options *options, json_t *request, json_t **reply);

/*
 * The same, for a reply that has to be "ok": otherwise its errors are printed. With --json the
 * reply is printed too, and released; *reply is then NULL.
 */
int client_ask(const struct client_options *options, json_t *request, json_t **reply);

/*
 * A whole command that asks one thing without further options, and prints the reply, which is
 * "ok", for people unless it was for JSON. `print` returns an exit status.
 */
int client_show(int argc, char **argv, const char *command, const char *usage,
		int (*print)(const json_t *reply));

/* Prints a document. Returns EXIT_DONE or EXIT_FAILED. */
int client_print_json(const json_t *document);

/* Prints the errors of a reply that is not "ok". */
void client_print_errors(const struct client_options *options, const json_t *reply);

/* ---- reading replies: what is missing is "" or 0 ---- */

const char *client_text(const json_t *object, const char *key);
uint64_t client_number(const json_t *object, const char *key);
bool client_flag(const json_t *object, const char *key);

/* A number as text, in one of a few buffers that are used in turns. */
const char *client_format(uint64_t number);

/* "1 backend", "3 backends" likewise. */
const char *client_count(uint64_t number, const char *noun);

/* A time such as "3d 4h", "5m 10s", "12s", "350ms", likewise. */
const char *client_duration(uint64_t ms);

#endif
