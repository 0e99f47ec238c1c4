/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection, in one of four states:
 *
 *     reading --a line--> called --control_reply--> writing --all of it--> reading
 *        |                (not polled: replies come soon, and who died is found when they are sent)
 *        '-- there is another line already: served in the loop's next round, behind the others
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control_internal.h"

#define INPUT_ROOM 4096

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_closed(uv_handle_t *handle)
{
	struct control_client *client = handle->data;
	struct control *control = client->control;

	close(client->descriptor);
	free(client->input);
	free(client->output);
	free(client);
	control_handle_closed(control);
}

void control_client_close(struct control_client *client)
{
	struct control *control = client->control;
	struct control_client **link = &control->clients;

	if (client->is_closing)
		return;
	client->is_closing = true;
	control_call_forget(client);
	control->output_bytes -= client->output_length;
	control->client_count--;
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	uv_close((uv_handle_t *)&client->poll, on_closed);
}

bool control_client_is_idle(const struct control_client *client)
{
	return client->call == NULL && client->output == NULL;
}

void control_client_check_time(struct control_client *client, uint64_t now_ms)
{
	uint64_t limit = client->output != NULL ? CONTROL_REPLY_MS
			 : client->has_begun	? CONTROL_REQUEST_MS
						: CONTROL_IDLE_MS;

	if (client->call == NULL && now_ms - client->since_ms > limit)
		control_client_close(client);
}

static const char *find_line_end(const struct control_client *client)
{
	return client->input_length == 0 ? NULL : memchr(client->input, '\n', client->input_length);
}

/* Polls for what the client is waited for to do. */
static void wait_for_client(struct control_client *client)
{
	int events = UV_READABLE;

	/* A line that is there already is taken when the socket can be written to, which is at
	 * once. */
	if (client->output != NULL || find_line_end(client) != NULL)
		events = UV_WRITABLE;
	if (uv_poll_start(&client->poll, events, on_poll) != 0)
		control_client_close(client);
}

static void begin(struct control_client *client)
{
	client->since_ms = uv_now(client->control->loop);
}

/* Sends what the socket takes. */
static void write_output(struct control_client *client)
{
	while (client->output_sent < client->output_length) {
		ssize_t sent = send(client->descriptor, client->output + client->output_sent,
				    client->output_length - client->output_sent, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			wait_for_client(client);
			return;
		}
		if (sent <= 0) {
			control_client_close(client);
			return;
		}
		client->output_sent += (size_t)sent;
		begin(client);
	}
	client->control->output_bytes -= client->output_length;
	free(client->output);
	client->output = NULL;
	client->output_length = client->output_sent = 0;
	if (client->is_last)
		control_client_close(client);
	else
		wait_for_client(client);
}

void control_client_send(struct control_client *client, json_t *reply, bool is_ok)
{
	struct control *control = client->control;
	size_t length = 0;
	char *line = reply != NULL ? control_print(reply, is_ok, &length) : NULL;

	json_decref(reply);
	if (line != NULL && control->output_bytes + length > CONTROL_OUTPUT_LIMIT) {
		free(line);
		reply = json_pack("{s:[s]}", "errors",
				  "too many long replies wait to be read; try again");
		line = reply != NULL ? control_print(reply, false, &length) : NULL;
		json_decref(reply);
	}
	if (line == NULL) {
		control_client_close(client);
		return;
	}
	client->output = line;
	client->output_length = length;
	client->output_sent = 0;
	control->output_bytes += length;
	begin(client);
	write_output(client);
}

static void __attribute__((format(printf, 2, 3)))
refuse(struct control_client *client, const char *format, ...)
{
	va_list arguments;
	json_t *reply;

	va_start(arguments, format);
	reply = control_make_error(format, arguments);
	va_end(arguments);
	control_client_send(client, reply, false);
}

static void serve_line(struct control_client *client, const char *line, size_t length)
{
	struct control *control = client->control;
	json_t *request;
	char error[256];

	if (control_parse_request(line, length, &request, error, sizeof(error)) != 0) {
		refuse(client, "%s", error);
		return;
	}
	if (control_call_open(client) == 0) {
		uv_poll_stop(&client->poll);
		control->handle(control->context, client->call, request);
	} else {
		control_client_close(client);
	}
	json_decref(request);
}

/* Serves one line, so that a client with many of them takes turns with everything else. */
static void serve(struct control_client *client)
{
	const char *end = find_line_end(client);
	size_t length;
	char *line;

	if (end == NULL && client->input_length >= CONTROL_REQUEST_LIMIT) {
		client->is_last = true;
		refuse(client, "a request is longer than %d bytes", CONTROL_REQUEST_LIMIT);
		return;
	}
	if (end == NULL) {
		wait_for_client(client);
		return;
	}
	length = (size_t)(end - client->input);
	line = malloc(length + 1);
	if (line == NULL) {
		control_client_close(client);
		return;
	}
	memcpy(line, client->input, length);
	client->input_length -= length + 1;
	memmove(client->input, end + 1, client->input_length);
	if (client->input_length == 0) {
		free(client->input);
		client->input = NULL;
		client->input_room = 0;
	}
	client->has_begun = client->input_length > 0;
	serve_line(client, line, length);
	free(line);
}

static int make_room(struct control_client *client)
{
	size_t room = client->input_room == 0 ? INPUT_ROOM : 2 * client->input_room;
	char *input;

	if (client->input_length < client->input_room)
		return 0;
	input = realloc(client->input, room);
	if (input == NULL)
		return -ENOMEM;
	client->input = input;
	client->input_room = room;
	return 0;
}

_Static_assert(CONTROL_REQUEST_LIMIT % INPUT_ROOM == 0, "room grows to the limit exactly");

static void read_input(struct control_client *client)
{
	ssize_t got;

	if (make_room(client) != 0) {
		control_client_close(client);
		return;
	}
	got = recv(client->descriptor, client->input + client->input_length,
		   client->input_room - client->input_length, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		control_client_close(client);
		return;
	}
	client->input_length += (size_t)got;
	if (!client->has_begun)
		begin(client);
	client->has_begun = true;
	serve(client);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct control_client *client = poll->data;

	if (status < 0)
		control_client_close(client);
	else if (client->output != NULL)
		write_output(client);
	else if ((events & UV_READABLE) != 0)
		read_input(client);
	else
		serve(client);
}

int control_client_open(struct control *control, int descriptor)
{
	struct control_client *client = calloc(1, sizeof(*client));
	socklen_t length = sizeof(client->peer);

	if (client == NULL ||
	    getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &client->peer, &length) != 0 ||
	    uv_poll_init(control->loop, &client->poll, descriptor) != 0) {
		close(descriptor);
		free(client);
		return -ENOMEM;
	}
	client->control = control;
	client->descriptor = descriptor;
	client->poll.data = client;
	client->next = control->clients;
	control->clients = client;
	control->client_count++;
	control->handles++;
	begin(client);
	wait_for_client(client);
	return 0;
}
