/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "control_internal.h"

/* How often clients are looked at that may have taken too long, and accepting is tried again. */
#define TICK_MS 500

/* Connections taken in one round of the loop. */
#define ACCEPT_MOST 16

static void on_accept(uv_poll_t *poll, int status, int events);

void control_handle_closed(struct control *control)
{
	if (--control->handles == 0 && control->is_closing)
		free(control);
}

/* The one that has been idle for longest, or NULL. */
static struct control_client *find_idle(const struct control *control)
{
	struct control_client *found = NULL;

	for (struct control_client *client = control->clients; client != NULL;
	     client = client->next)
		if (control_client_is_idle(client) &&
		    (found == NULL || client->since_ms <= found->since_ms))
			found = client;
	return found;
}

/* So that clients who only hold connections open keep nobody out. */
static bool make_room(struct control *control)
{
	struct control_client *idle;

	if (control->client_count < CONTROL_CLIENT_LIMIT)
		return true;
	idle = find_idle(control);
	if (idle != NULL)
		control_client_close(idle);
	return idle != NULL;
}

static void turn_away(int descriptor)
{
	static const char line[] = "{\"ok\":false,\"errors\":[\"too many clients; try again\"]}\n";

	/* Fits into the buffer of a new socket; and if not, the client finds it closed. */
	(void)!send(descriptor, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(descriptor);
}

static void on_tick(uv_timer_t *timer)
{
	struct control *control = timer->data;
	uint64_t now = uv_now(control->loop);

	for (struct control_client *client = control->clients, *next; client != NULL;
	     client = next) {
		next = client->next;
		control_client_check_time(client, now);
	}
	/* It was stopped when there was no descriptor for another client. */
	if (control->accept != NULL && !uv_is_active((uv_handle_t *)control->accept))
		uv_poll_start(control->accept, UV_READABLE, on_accept);
	if (control->client_count == 0)
		uv_timer_stop(timer);
}

static void on_accept(uv_poll_t *poll, int status, int events)
{
	struct control *control = poll->data;

	(void)events;
	if (!uv_is_active((uv_handle_t *)&control->timer))
		uv_timer_start(&control->timer, on_tick, TICK_MS, TICK_MS);
	if (status < 0) {
		uv_poll_stop(poll);
		return;
	}
	for (int i = 0; i < ACCEPT_MOST; i++) {
		int descriptor = accept4(control->listener.descriptor, NULL, NULL,
					 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (descriptor < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
				uv_poll_stop(poll);
			return;
		}
		if (make_room(control))
			control_client_open(control, descriptor);
		else
			turn_away(descriptor);
	}
}

/* A descriptor may be closed only when its handle is. */
struct acceptor {
	uv_poll_t poll;
	struct control *control;
	int descriptor;
};

static void on_acceptor_closed(uv_handle_t *handle)
{
	struct acceptor *acceptor = (struct acceptor *)handle;
	struct control *control = acceptor->control;

	close(acceptor->descriptor);
	free(acceptor);
	control_handle_closed(control);
}

/* Accepts from the listener; the descriptor is then the acceptor's. */
static int start_accepting(struct control *control, const struct control_listener *listener)
{
	struct acceptor *acceptor = calloc(1, sizeof(*acceptor));
	int error;

	if (acceptor == NULL)
		return -ENOMEM;
	error = uv_poll_init(control->loop, &acceptor->poll, listener->descriptor);
	if (error != 0) {
		free(acceptor);
		return error;
	}
	acceptor->control = control;
	acceptor->descriptor = listener->descriptor;
	acceptor->poll.data = control;
	control->handles++;
	uv_poll_start(&acceptor->poll, UV_READABLE, on_accept);
	control->accept = &acceptor->poll;
	return 0;
}

static void stop_accepting(struct control *control)
{
	if (control->accept == NULL)
		return;
	uv_close((uv_handle_t *)control->accept, on_acceptor_closed);
	control->accept = NULL;
	control_listener_remove(&control->listener);
}

static int listen_at(struct control *control, const char *path)
{
	struct control_listener old = control->listener, listener;
	uv_poll_t *old_accept = control->accept;
	int error = control_listener_open(path, &listener);

	if (error != 0)
		return error;
	error = start_accepting(control, &listener);
	if (error != 0) {
		log_error("control socket %s: %s", path, strerror(-error));
		close(listener.descriptor);
		control_listener_remove(&listener);
		return error;
	}
	control->listener = listener;
	if (old_accept != NULL) {
		uv_close((uv_handle_t *)old_accept, on_acceptor_closed);
		control_listener_remove(&old);
	}
	log_info("control socket %s", path);
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	control_handle_closed(handle->data);
}

int control_open(uv_loop_t *loop, const char *path, control_handler *handle, void *context,
		 struct control **result)
{
	struct control *control = calloc(1, sizeof(*control));
	int error;

	if (control == NULL)
		return -ENOMEM;
	control->loop = loop;
	control->handle = handle;
	control->context = context;
	error = path != NULL ? listen_at(control, path) : 0;
	if (error != 0) {
		free(control);
		return error;
	}
	uv_timer_init(loop, &control->timer);
	control->timer.data = control;
	control->handles++;
	*result = control;
	return 0;
}

int control_move(struct control *control, const char *path)
{
	const char *old = control_path(control);

	if (path == NULL && old != NULL) {
		log_info("control socket %s: closed", old);
		stop_accepting(control);
	}
	return path == NULL || (old != NULL && strcmp(path, old) == 0) ? 0
								       : listen_at(control, path);
}

const char *control_path(const struct control *control)
{
	return control->accept != NULL ? control->listener.path : NULL;
}

void control_close(struct control *control)
{
	if (control == NULL)
		return;
	control->is_closing = true;
	while (control->clients != NULL)
		control_client_close(control->clients);
	stop_accepting(control);
	uv_close((uv_handle_t *)&control->timer, on_timer_closed);
}
