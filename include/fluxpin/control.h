/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: a Unix stream socket, mode 0600, on which programs of the same user (or root)
 * ask the daemon and tell it what to do. docs/control.md describes the protocol.
 *
 *     client --> {"command": "status"}\n --> parsed, handed to the handler
 *     client <-- {"ok": true, ...}\n     <-- control_reply, at once or later
 *
 * One line is one JSON object, and each request gets one reply, in their order. A client has one
 * request under way at a time: what else it sends waits in the socket. Everything is bounded: the
 * length of a request, the number of clients, what waits to be read by them, and the time that
 * each may take. Nothing here ever blocks, and no client can do more than lose its own connection.
 *
 * Not here: what requests mean (control_answers.c).
 *
 * Thread: control only, on its loop.
 */
#ifndef FLUXPIN_CONTROL_H
#define FLUXPIN_CONTROL_H

#include <stddef.h>
#include <sys/types.h>
#include <jansson.h>
#include <uv.h>

/* Where clients look unless told otherwise. */
#define CONTROL_DEFAULT_PATH "/run/fluxpin/control.sock"

#define CONTROL_REQUEST_LIMIT 65536 /* bytes of a request, its newline included */
#define CONTROL_CLIENT_LIMIT  32    /* those above push out the one that has been idle longest */
#define CONTROL_OUTPUT_LIMIT  (64u << 20) /* bytes of replies that wait, of all clients */
#define CONTROL_REQUEST_MS    10000	  /* a request that has begun has to be complete */
#define CONTROL_REPLY_MS      5000	  /* a reply has to be read, or the next part of it */
#define CONTROL_IDLE_MS	      60000	  /* without a request */

struct control;

/* A request that waits for its reply. Its client may be gone; the reply then goes nowhere. */
struct control_call;

/*
 * Called for each request: an object with a string "command", the handler's until it returns. It
 * calls control_reply or control_refuse for each call exactly once, at any time before
 * control_close.
 */
typedef void control_handler(void *context, struct control_call *call, const json_t *request);

/*
 * Listens at `path` (NULL: nowhere) and serves clients on the loop. A socket that a killed daemon
 * left is replaced. Returns 0, or negative errno after logging: -EADDRINUSE when another process
 * answers there, -EEXIST when there is something else than a socket.
 */
int control_open(uv_loop_t *loop, const char *path, control_handler *handle, void *context,
		 struct control **control);

/*
 * For a start that is not to touch a NIC in vain: whether there is a folder for a socket at `path`,
 * which may be NULL. Returns 0, or negative errno after logging.
 */
int control_check_folder(const char *path);

/*
 * Listens at another path (NULL: nowhere); clients that are connected stay. Returns 0, or as
 * control_open, and then still listens at the old one.
 */
int control_move(struct control *control, const char *path);

/* Where it listens, or NULL. */
const char *control_path(const struct control *control);

/*
 * Ends all connections and removes the socket. The memory goes when the loop has closed the
 * handles. NULL is allowed.
 */
void control_close(struct control *control);

/* Ends a call: sends `reply`, an object, which is taken over, as `"ok": true`. NULL: no memory. */
void control_reply(struct control_call *call, json_t *reply);

/* Ends a call: `"ok": false`, with one error. */
void control_refuse(struct control_call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Ends a call that failed with more to say: `reply` is sent with `"ok": false`. */
void control_fail(struct control_call *call, json_t *reply);

/* Logs who asks for what changes something: "control: drain web/web-1, by process 17, user 0". */
void control_log(const struct control_call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
