/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/clock.h>

#include "requests_run.h"
#include "statistics.h"

#define SECOND	   UINT64_C(1000000000)
#define LONG_SLEEP (SECOND / 10)
#define EVENTS	   256
#define STATUS	   12 /* "HTTP/1.1 200" */

struct connection {
	uint64_t due_ns;
	int socket; /* -1: free */
	uint32_t next_free;
	uint32_t received;
	char status[STATUS];
	bool is_sent;
};

struct run {
	const struct requests_plan *plan;
	struct requests_outcome *outcome;
	struct connection *connections;
	uint32_t first_free; /* plan->parallel: none */
	uint32_t open;
	uint32_t started;
	uint32_t room; /* in latency_us */
	int epoll;
	int error; /* that ends the run */
	uint64_t begin_ns;
	uint64_t end_ns;
	uint64_t last_ns;
	char request[1024];
	size_t request_length;
};

static uint64_t next_due(const struct run *run, uint64_t now)
{
	if (run->plan->rate == 0)
		return now;
	return run->begin_ns + (uint64_t)(run->started * (double)SECOND / run->plan->rate);
}

static void free_connection(struct run *run, struct connection *connection)
{
	if (connection->socket >= 0)
		close(connection->socket);
	connection->socket = -1;
	connection->next_free = run->first_free;
	run->first_free = (uint32_t)(connection - run->connections);
	run->open--;
}

static void answered(struct run *run, struct connection *connection)
{
	struct requests_outcome *outcome = run->outcome;
	uint64_t now = clock_ns();

	if (outcome->answered == run->room) {
		uint32_t room = run->room * 2 + 1024;
		double *grown = realloc(outcome->latency_us, room * sizeof(*outcome->latency_us));

		if (grown == NULL) {
			run->error = -ENOMEM;
			return;
		}
		outcome->latency_us = grown;
		run->room = room;
	}
	outcome->latency_us[outcome->answered++] = (double)(now - connection->due_ns) / 1e3;
	run->last_ns = now;
}

static void start(struct run *run, uint64_t due)
{
	struct connection *connection = &run->connections[run->first_free];
	const struct sockaddr_in *server = &run->plan->server;
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = connection };

	run->first_free = connection->next_free;
	run->open++;
	run->started++;
	*connection = (struct connection){ .due_ns = due };
	connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection->socket < 0)
		run->error = -errno;
	else if (connect(connection->socket, (const struct sockaddr *)server, sizeof(*server)) !=
			 0 &&
		 errno != EINPROGRESS)
		run->outcome->refused++;
	else if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, connection->socket, &event) != 0)
		run->error = -errno;
	else
		return;
	free_connection(run, connection);
}

static void send_request(struct run *run, struct connection *connection)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
	int error = 0;
	socklen_t length = sizeof(error);

	getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error == 0 && send(connection->socket, run->request, run->request_length,
			       MSG_NOSIGNAL) == (ssize_t)run->request_length) {
		connection->is_sent = true;
		if (epoll_ctl(run->epoll, EPOLL_CTL_MOD, connection->socket, &event) == 0)
			return;
		run->error = -errno;
	}
	run->outcome->refused += error != 0;
	run->outcome->wrong += error == 0;
	free_connection(run, connection);
}

static void receive(struct run *run, struct connection *connection)
{
	char buffer[4096];
	ssize_t length;

	while ((length = recv(connection->socket, buffer, sizeof(buffer), 0)) > 0) {
		for (ssize_t i = 0; i < length && connection->received < STATUS; i++)
			connection->status[connection->received++] = buffer[i];
	}
	if (length < 0 && errno == EAGAIN)
		return;
	if (length == 0 && connection->received == STATUS &&
	    memcmp(connection->status, "HTTP/1.1 200", STATUS) == 0)
		answered(run, connection);
	else
		run->outcome->wrong++;
	free_connection(run, connection);
}

/* Starts what is due; returns for how long there is nothing to do. */
static uint64_t start_due(struct run *run)
{
	while (run->first_free < run->plan->parallel && run->error == 0) {
		uint64_t now = clock_ns(), due = next_due(run, now);

		if (due >= run->end_ns)
			break;
		if (due > now)
			return due - now < LONG_SLEEP ? due - now : LONG_SLEEP;
		start(run, due);
	}
	return LONG_SLEEP;
}

static bool is_over(const struct run *run)
{
	uint64_t now = clock_ns();

	if (run->error != 0)
		return true;
	if (run->open != 0)
		return now > run->end_ns + REQUESTS_PATIENCE_SECONDS * SECOND;
	return next_due(run, now) >= run->end_ns;
}

static void loop(struct run *run)
{
	struct epoll_event events[EVENTS];

	do {
		uint64_t sleep = start_due(run);
		struct timespec timeout = { .tv_nsec = (long)sleep };
		int count = epoll_pwait2(run->epoll, events, EVENTS, &timeout, NULL);

		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (connection->is_sent)
				receive(run, connection);
			else
				send_request(run, connection);
		}
	} while (!is_over(run));
}

static int prepare(struct run *run)
{
	uint32_t count = run->plan->parallel;
	char host[INET_ADDRSTRLEN];
	int length;

	inet_ntop(AF_INET, &run->plan->server.sin_addr, host, sizeof(host));
	length = snprintf(run->request, sizeof(run->request),
			  "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
			  run->plan->path, host);
	if (length >= (int)sizeof(run->request))
		return -ENAMETOOLONG;
	run->request_length = (size_t)length;
	run->connections = calloc(count, sizeof(*run->connections));
	if (run->connections == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		run->connections[i] = (struct connection){ .socket = -1, .next_free = i + 1 };
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	return run->epoll < 0 ? -errno : 0;
}

int requests_run(const struct requests_plan *plan, struct requests_outcome *outcome)
{
	struct run run = { .plan = plan, .outcome = outcome, .epoll = -1 };

	*outcome = (struct requests_outcome){ 0 };
	run.error = prepare(&run);
	if (run.error == 0) {
		run.begin_ns = run.last_ns = clock_ns();
		run.end_ns = run.begin_ns + (uint64_t)(plan->seconds * (double)SECOND);
		loop(&run);
		outcome->late = run.open;
		outcome->seconds = (double)(run.last_ns - run.begin_ns) / (double)SECOND;
		for (uint32_t i = 0; i < plan->parallel; i++) {
			if (run.connections[i].socket >= 0)
				close(run.connections[i].socket);
		}
		statistics_sort(outcome->latency_us, outcome->answered);
	}
	if (run.epoll >= 0)
		close(run.epoll);
	free(run.connections);
	return run.error;
}
