/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets and the loop. libmicrohttpd polls its own sockets with an epoll descriptor, and
 * that one the loop polls: whenever it is readable, or the library asks for it by its timeout,
 * MHD_run does what can be done without waiting.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "listener_internal.h"

/* How often deadlines are looked at, unless they are shorter. */
#define TICK_MS 1000

/* For what a client sends, its headers above all; more is refused. */
#define CONNECTION_MEMORY 8192

#define BACKLOG 128

/* One address that is listened on. */
struct server {
	struct listener *listener;
	struct MHD_Daemon *daemon;
	struct listen_address where;
	uv_poll_t poll;
	uv_timer_t timer;
	int open_handles; /* of these two */
	struct listener_clients clients;
};

struct listener {
	struct listener_pages pages;
	struct server *server; /* NULL: listens nowhere */
};

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
				  const char *path, const char *method, const char *version,
				  const char *upload, size_t *upload_size, void **request)
{
	struct server *server = context;

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)request;
	return listener_pages_answer(&server->listener->pages, connection, path, method);
}

static void on_library_log(void *unused, const char *format, va_list arguments)
{
	char message[256];
	size_t length;

	(void)unused;
	vsnprintf(message, sizeof(message), format, arguments);
	length = strlen(message);
	while (length > 0 && message[length - 1] == '\n')
		message[--length] = '\0';
	log_debug("metrics listener: %s", message);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **slot,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info;
	struct server *server = context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*slot = listener_clients_add(&server->clients, info->connect_fd,
					     uv_now(server->poll.loop));
	} else if (*slot != NULL) {
		listener_clients_remove(&server->clients, *slot);
	}
}

static void on_timer(uv_timer_t *timer);

/* Does what can be done now, and sets the timer for what cannot. */
static void serve(struct server *server)
{
	uint64_t deadline = server->listener->pages.options.deadline_ms;
	uint64_t wait = deadline < TICK_MS ? deadline : TICK_MS;
	MHD_UNSIGNED_LONG_LONG timeout;

	if (MHD_run(server->daemon) != MHD_YES)
		log_debug("metrics listener: MHD_run failed");
	if (MHD_get_timeout(server->daemon, &timeout) == MHD_YES)
		wait = timeout < wait ? timeout : wait;
	else if (server->clients.count == 0) {
		uv_timer_stop(&server->timer);
		return;
	}
	/* Never later than it was to be: a client that keeps sending must not put it off. */
	if (!uv_is_active((uv_handle_t *)&server->timer) ||
	    wait < uv_timer_get_due_in(&server->timer))
		uv_timer_start(&server->timer, on_timer, wait, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct server *server = timer->data;
	uint64_t deadline = server->listener->pages.options.deadline_ms;

	listener_clients_end(&server->clients, uv_now(timer->loop), deadline);
	serve(server);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	serve(poll->data);
}

static int listen_on(const struct listen_address *where, int *descriptor)
{
	bool is_ipv4 = address_is_ipv4(&where->address);
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(where->port) };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(where->port) };
	int made, on = 1, error = 0;

	memcpy(&ipv4.sin_addr, &where->address.bytes[12], sizeof(ipv4.sin_addr));
	memcpy(&ipv6.sin6_addr, where->address.bytes, sizeof(ipv6.sin6_addr));
	made = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made < 0)
		return -errno;
	if (setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(made, is_ipv4 ? (struct sockaddr *)&ipv4 : (struct sockaddr *)&ipv6,
		 is_ipv4 ? sizeof(ipv4) : sizeof(ipv6)) != 0 ||
	    listen(made, BACKLOG) != 0)
		error = -errno;
	if (error != 0)
		close(made);
	else
		*descriptor = made;
	return error;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct server *server = handle->data;

	if (--server->open_handles == 0)
		free(server);
}

static void close_server(struct server *server)
{
	/* Before the library closes the descriptor that the loop polls. */
	uv_close((uv_handle_t *)&server->poll, on_handle_closed);
	uv_close((uv_handle_t *)&server->timer, on_handle_closed);
	MHD_stop_daemon(server->daemon);
	server->daemon = NULL;
}

/* Takes the descriptor over, also when it fails. */
static int start_library(struct server *server, int descriptor)
{
	const union MHD_DaemonInfo *info;

	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, server,
		MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
		descriptor, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)LISTENER_CONNECTIONS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
	if (server->daemon == NULL) {
		close(descriptor);
		return -ENOMEM;
	}
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	return info != NULL ? info->epoll_fd : -ENOTSUP;
}

static int open_server(struct listener *listener, const struct listen_address *where,
		       struct server **made)
{
	uv_loop_t *loop = listener->pages.options.loop;
	struct server *server = calloc(1, sizeof(*server));
	int descriptor = -1, epoll, error;

	if (server == NULL)
		return -ENOMEM;
	server->listener = listener;
	server->where = *where;
	listener_clients_start(&server->clients);
	error = listen_on(where, &descriptor);
	if (error != 0)
		goto free_server;
	epoll = start_library(server, descriptor);
	if (epoll < 0) {
		error = epoll;
		goto stop_library;
	}
	error = uv_poll_init(loop, &server->poll, epoll);
	if (error != 0)
		goto stop_library;
	uv_timer_init(loop, &server->timer);
	server->poll.data = server;
	server->timer.data = server;
	server->open_handles = 2;
	error = uv_poll_start(&server->poll, UV_READABLE, on_readable);
	if (error != 0) {
		close_server(server);
		return error;
	}
	*made = server;
	return 0;
stop_library:
	if (server->daemon != NULL)
		MHD_stop_daemon(server->daemon);
free_server:
	free(server);
	return error;
}

int listener_open(const struct listener_options *options, struct listener **listener)
{
	struct listener *made = calloc(1, sizeof(*made));
	int error;

	if (made == NULL)
		return -ENOMEM;
	error = listener_pages_open(&made->pages, options);
	if (error != 0) {
		free(made);
		return error;
	}
	*listener = made;
	return 0;
}

int listener_listen(struct listener *listener, const struct listen_address *where)
{
	struct server *server = NULL;
	int error;

	if (listener->server != NULL && where->port == listener->server->where.port &&
	    address_equal(&where->address, &listener->server->where.address))
		return 0;
	if (where->port != 0) {
		error = open_server(listener, where, &server);
		if (error != 0)
			return error;
	}
	if (listener->server != NULL)
		close_server(listener->server);
	listener->server = server;
	return 0;
}

void listener_close(struct listener *listener)
{
	if (listener == NULL)
		return;
	if (listener->server != NULL)
		close_server(listener->server);
	listener_pages_close(&listener->pages);
	free(listener);
}
