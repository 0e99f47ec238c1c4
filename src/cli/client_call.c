/* SPDX-License-Identifier: BSD-2-Clause */
/* One request and its reply over the control socket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <fluxpin/control.h>

#include "client.h"
#include "commands.h"

static const char *hint(int error)
{
	switch (error) {
	case -ENOENT:
		return ": no such socket. Is the daemon running (fluxpin run), and is `control` "
		       "in its configuration this path? --control names another one";
	case -ECONNREFUSED:
		return ": nobody answers there: the daemon was killed. Start it again (fluxpin "
		       "run)";
	case -EACCES:
		return ": not permitted. Only root, or the user that the daemon runs as, may "
		       "(sudo)";
	case -EPIPE:
	case -ECONNRESET:
		return ": the daemon closed the connection. It may have been stopped: see its log";
	default:
		return NULL;
	}
}

static uint32_t patience(const struct client_options *options)
{
	return options->reply_s > 0 ? options->reply_s : CLIENT_TIMEOUT_S;
}

static int say_unreachable(const struct client_options *options, int error)
{
	const char *text = hint(error);

	if (error == -EAGAIN) {
		fprintf(stderr,
			"fluxpin %s: %s: the daemon did not answer within %u seconds. Is it "
			"stopped, or very busy?\n",
			options->command, options->control, patience(options));
		return EXIT_UNREACHABLE;
	}
	fprintf(stderr, "fluxpin %s: %s%s%s\n", options->command, options->control,
		text != NULL ? text : ": ", text != NULL ? "" : strerror(-error));
	return EXIT_UNREACHABLE;
}

static int connect_to(const char *path, uint32_t reply_s)
{
	const struct timeval timeout = { .tv_sec = CLIENT_TIMEOUT_S };
	const struct timeval reply_timeout = { .tv_sec = reply_s };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int descriptor;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -errno;
	/* The time for sending is also that for connecting (unix(7), connect with a full backlog).
	 */
	if (setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &reply_timeout,
		       sizeof(reply_timeout)) != 0 ||
	    connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		int error = -errno;

		close(descriptor);
		return error;
	}
	return descriptor;
}

static int send_line(int descriptor, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t length, sent = 0;
	int error = 0;

	if (text == NULL)
		return -ENOMEM;
	length = strlen(text);
	text[length++] = '\n'; /* over the zero */
	while (sent < length && error == 0) {
		ssize_t count = send(descriptor, text + sent, length - sent, MSG_NOSIGNAL);

		if (count < 0 && errno != EINTR)
			error = -errno;
		if (count > 0)
			sent += (size_t)count;
	}
	free(text);
	return error;
}

/* The reply without its newline, which ends in a zero. */
static int receive_line(int descriptor, char **line)
{
	size_t room = 65536, used = 0;
	char *text = malloc(room);
	int error = -ENOMEM;

	while (text != NULL) {
		ssize_t got;
		char *end;

		if (used + 1 >= room) {
			char *grown = room < CLIENT_REPLY_LIMIT ? realloc(text, 2 * room) : NULL;

			if (grown == NULL)
				break;
			text = grown;
			room *= 2;
		}
		got = recv(descriptor, text + used, room - used - 1, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			error = got == 0 ? -EPIPE : -errno;
			break;
		}
		end = memchr(text + used, '\n', (size_t)got);
		used += (size_t)got;
		if (end == NULL)
			continue;
		*end = '\0';
		*line = text;
		return 0;
	}
	free(text);
	return error;
}

static int exchange(const struct client_options *options, const json_t *request, char **line)
{
	int descriptor = connect_to(options->control, patience(options));
	int error;

	if (descriptor < 0)
		return descriptor;
	error = send_line(descriptor, request);
	/* A daemon that closes at once may have said why. */
	if (error == 0 || error == -EPIPE)
		error = receive_line(descriptor, line);
	close(descriptor);
	return error;
}

int client_call(const struct client_options *options, json_t *request, json_t **reply)
{
	json_error_t place;
	char *line = NULL;
	int error = request != NULL ? exchange(options, request, &line) : -ENOMEM;

	json_decref(request);
	if (error == -ENOMEM) {
		fprintf(stderr, "fluxpin %s: %s\n", options->command, strerror(ENOMEM));
		return EXIT_FAILED;
	}
	if (error != 0)
		return say_unreachable(options, error);
	*reply = json_loads(line, 0, &place);
	free(line);
	if (!json_is_object(*reply)) {
		fprintf(stderr, "fluxpin %s: %s: what answers is not fluxpin: %s\n",
			options->command, options->control, place.text);
		json_decref(*reply);
		return EXIT_UNREACHABLE;
	}
	return EXIT_DONE;
}
