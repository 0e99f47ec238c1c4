/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files control.c, control_client.c, control_listener.c and control_protocol.c share. */
#ifndef FLUXPIN_CONTROL_INTERNAL_H
#define FLUXPIN_CONTROL_INTERNAL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <fluxpin/control.h>

/* ---- control_listener.c: the socket in the file system ---- */

struct control_listener {
	int descriptor;
	dev_t device; /* with inode: the socket file that is ours to remove */
	ino_t inode;
	char *path;
	bool made_directory;
};

/* Binds and listens, not blocking. Returns 0, or negative errno after logging. */
int control_listener_open(const char *path, struct control_listener *listener);

/* Removes the file if it is still the one that was made, and frees the path; the descriptor stays
 * the caller's to close. */
void control_listener_remove(struct control_listener *listener);

/* ---- control_protocol.c: lines to requests and back; pure ---- */

/*
 * Reads one request, without its newline. Returns 0 with *request to be released, or -EINVAL with a
 * sentence in *error, of `room` bytes.
 */
int control_parse_request(const char *line, size_t length, json_t **request, char *error,
			  size_t room);

/* {"ok": false, "errors": [MESSAGE]}; NULL without memory. */
json_t *control_make_error(const char *format, va_list arguments);

/* The object as a line with its newline, "ok" in front, allocated. NULL without memory. */
char *control_print(const json_t *reply, bool is_ok, size_t *length);

/* ---- control_client.c: one connection ---- */

struct control_client {
	struct control *control;
	struct control_client *next;
	struct control_call *call; /* under way, or NULL */
	uv_poll_t poll;
	int descriptor;
	struct ucred peer;
	char *input; /* what of requests has come */
	size_t input_length;
	size_t input_room;
	char *output; /* the reply that is being sent, or NULL */
	size_t output_length;
	size_t output_sent;
	uint64_t since_ms; /* when what it is in began: idling, sending a request, a reply's part */
	bool has_begun;	   /* a request: a part of one is there */
	bool is_last;	   /* closed behind the reply */
	bool is_closing;
};

/* Takes the descriptor over, or closes it and returns negative errno. */
int control_client_open(struct control *control, int descriptor);
void control_client_close(struct control_client *client);

/* Closes it if it took too long. */
void control_client_check_time(struct control_client *client, uint64_t now_ms);

/* Whether nothing is under way with it, so that it may make room for another one. */
bool control_client_is_idle(const struct control_client *client);

/* Sends the reply and takes it over; NULL ends the connection. */
void control_client_send(struct control_client *client, json_t *reply, bool is_ok);

/* ---- control_call.c: a request that is being answered ---- */

/* Makes client->call. Returns 0 or -ENOMEM. */
int control_call_open(struct control_client *client);

/* The client goes, and the call under way, if any, goes on without it. */
void control_call_forget(struct control_client *client);

/* ---- control.c ---- */

struct control {
	uv_loop_t *loop;
	control_handler *handle;
	void *context;
	struct control_listener listener;
	uv_poll_t *accept;
	uv_timer_t timer;
	struct control_client *clients;
	uint32_t client_count;
	size_t output_bytes; /* of all clients */
	uint32_t handles;    /* whose closing is waited for */
	bool is_closing;
};

/* A handle of the control's was closed: the last one frees it. */
void control_handle_closed(struct control *control);

#endif
