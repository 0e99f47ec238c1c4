/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "health_internal.h"

/* What an answer must begin with is no longer than this (configuration_health_values.c). */
#define ANSWER_SIZE 1024

enum probe_outcome probe_error_outcome(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRINUSE:
	case EADDRNOTAVAIL:
	case EACCES:
	case EPERM:
	case EAFNOSUPPORT:
	case ENODEV:
	case EOPNOTSUPP: /* no tunnel */
		return PROBE_UNDECIDED;
	default:
		return PROBE_BAD;
	}
}

const char *probe_error_text(int error, char buffer[static HEALTH_ERROR_SIZE])
{
	snprintf(buffer, HEALTH_ERROR_SIZE, "%s",
		 error == EOPNOTSUPP ? "there is no tunnel for probes" : strerror(error));
	buffer[0] = (char)tolower((unsigned char)buffer[0]);
	return buffer;
}

uint32_t probe_address_fill(const struct address *address, uint16_t port, void *storage)
{
	struct sockaddr_in *ipv4 = storage;
	struct sockaddr_in6 *ipv6 = storage;

	if (address_is_ipv4(address)) {
		*ipv4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
		memcpy(&ipv4->sin_addr, &address->words_be[3], sizeof(ipv4->sin_addr));
		return sizeof(*ipv4);
	}
	*ipv6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
	memcpy(&ipv6->sin6_addr, address->bytes, sizeof(ipv6->sin6_addr));
	return sizeof(*ipv6);
}

static const struct address *target_of(const struct prober *prober)
{
	const struct health_check_configuration *check = &prober->check->configuration;

	return check->via == HEALTH_CHECK_TUNNEL ? &check->vip : &prober->address;
}

/* The source asked for. The port is chosen when it connects, so that probes of different backends
 * may have the same. */
static int bind_source(const struct prober *prober, int descriptor)
{
	const struct address *source = &prober->check->configuration.source;
	struct sockaddr_storage storage;
	const int on = 1;

	if (address_is_zero(source))
		return 0;
	setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(descriptor, (struct sockaddr *)&storage,
		 probe_address_fill(source, 0, &storage)) != 0)
		return -errno;
	return 0;
}

int probe_socket_open(struct prober *prober, int type)
{
	const struct linger reset = { .l_onoff = 1 };
	int family = address_is_ipv4(target_of(prober)) ? AF_INET : AF_INET6;
	int descriptor = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (descriptor < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (prober->check->configuration.via == HEALTH_CHECK_TUNNEL)
		error = health_tunnel_bind(prober, descriptor, type);
	else
		error = bind_source(prober, descriptor);
	if (error == 0)
		return descriptor;
	close(descriptor);
	return error;
}

static void end(struct prober *prober)
{
	if (prober->descriptor < 0)
		return;
	poller_forget(&prober->health->poller, prober->descriptor);
	close(prober->descriptor);
	prober->descriptor = -1;
}

static void finish_with(struct prober *prober, int error)
{
	char text[HEALTH_ERROR_SIZE];

	end(prober);
	if (error == 0)
		prober_finish(prober, PROBE_GOOD, NULL);
	else
		prober_finish(prober, probe_error_outcome(error), probe_error_text(error, text));
}

static void on_connected(void *context, int descriptor, uint32_t events)
{
	socklen_t length = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
		error = errno;
	finish_with(context, error);
}

/* Answers come from the address that was asked alone: the socket is connected. */
static void on_answer(void *context, int descriptor, uint32_t events)
{
	struct prober *prober = context;
	const struct byte_string *expect = &prober->check->configuration.expect;
	uint8_t answer[ANSWER_SIZE];
	ssize_t length = recv(descriptor, answer, sizeof(answer), 0);

	(void)events;
	if (length < 0) {
		/* A datagram with a wrong checksum wakes, and is not there. */
		if (errno != EAGAIN && errno != EINTR)
			finish_with(prober, errno);
		return;
	}
	if (length >= (ssize_t)expect->length &&
	    (expect->length == 0 || memcmp(answer, expect->bytes, expect->length) == 0)) {
		finish_with(prober, 0);
		return;
	}
	end(prober);
	prober_finish(prober, PROBE_BAD, "the answer does not begin as expected");
}

static int send_request(struct prober *prober)
{
	const struct byte_string *request = &prober->check->configuration.send;

	if (send(prober->descriptor, request->bytes, request->length, MSG_NOSIGNAL) < 0)
		return -errno;
	return poller_watch(&prober->health->poller, prober->descriptor, EPOLLIN, on_answer,
			    prober);
}

void probe_socket_start(struct prober *prober)
{
	bool is_udp = prober->check->configuration.type == HEALTH_CHECK_UDP;
	struct sockaddr_storage storage;
	uint32_t length =
		probe_address_fill(target_of(prober), prober->check->configuration.port, &storage);
	int error = 0;

	prober->descriptor = probe_socket_open(prober, is_udp ? SOCK_DGRAM : SOCK_STREAM);
	if (prober->descriptor < 0) {
		error = prober->descriptor;
		prober->descriptor = -1;
	} else if (connect(prober->descriptor, (struct sockaddr *)&storage, length) != 0 &&
		   errno != EINPROGRESS) {
		error = -errno;
	} else if (is_udp) {
		error = send_request(prober);
	} else {
		error = poller_watch(&prober->health->poller, prober->descriptor, EPOLLOUT,
				     on_connected, prober);
	}
	if (error != 0)
		finish_with(prober, -error);
}

void probe_socket_cancel(struct prober *prober)
{
	end(prober);
}
