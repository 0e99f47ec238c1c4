/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "health_server.h"

static const char answer[] =
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

static void accept_all(int listener, int epoll)
{
	struct epoll_event event = { .events = EPOLLIN };

	for (;;) {
		event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (event.data.fd < 0)
			return;
		epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
	}
}

static void answer_one(int connection)
{
	char request[4096];
	ssize_t length = recv(connection, request, sizeof(request), 0);

	if (length < 0 && errno == EAGAIN)
		return;
	if (length > 0 && send(connection, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
		length = 0;
	close(connection);
}

static void serve(int listener)
{
	struct epoll_event ready[64], event = { .events = EPOLLIN, .data.fd = listener };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int count = epoll_wait(epoll, ready, 64, -1);

		for (int i = 0; i < count; i++) {
			if (ready[i].data.fd == listener)
				accept_all(listener, epoll);
			else
				answer_one(ready[i].data.fd);
		}
	}
}

int health_server_start(pid_t *process, uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;

	if (listener < 0)
		return -errno;
	if (bind(listener, (struct sockaddr *)&address, length) != 0 ||
	    listen(listener, 4096) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		error = -errno;
	*port = ntohs(address.sin_port);
	*process = error == 0 ? fork() : -1;
	if (*process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(listener);
	}
	if (error == 0 && *process < 0)
		error = -errno;
	close(listener);
	return error;
}

void health_server_stop(pid_t process)
{
	kill(process, SIGKILL);
	waitpid(process, NULL, 0);
}
