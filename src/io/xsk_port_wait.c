/* SPDX-License-Identifier: BSD-2-Clause */
/* How a worker waits for frames. */
#include "xsk_port_internal.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

/* SO_BUSY_POLL in microseconds. How long a call that may wait would poll; ours never wait, and take
 * it as "on" (sk_busy_loop, include/net/busy_poll.h). */
#define BUSY_POLL_US 20

static int set_option(int descriptor, int option, int value)
{
	int got = -1;
	socklen_t size = sizeof(got);

	if (setsockopt(descriptor, SOL_SOCKET, option, &value, sizeof(value)) != 0)
		return -errno;
	/* The one that the kernel does not give back. */
	if (option == SO_BUSY_POLL_BUDGET)
		return 0;
	if (getsockopt(descriptor, SOL_SOCKET, option, &got, &size) != 0)
		return -errno;
	return got == value ? 0 : -EOPNOTSUPP;
}

int xsk_port_busy_poll(struct xsk_port *port, uint32_t budget, const char **option)
{
	const struct {
		const char *name;
		int number;
		int value;
	} options[] = {
		{ "SO_PREFER_BUSY_POLL", SO_PREFER_BUSY_POLL, 1 },
		{ "SO_BUSY_POLL", SO_BUSY_POLL, BUSY_POLL_US },
		{ "SO_BUSY_POLL_BUDGET", SO_BUSY_POLL_BUDGET, (int)budget },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		int error = set_option(port->descriptor, options[i].number, options[i].value);

		if (error != 0) {
			*option = options[i].name;
			return error;
		}
	}
	port->is_busy_polling = true;
	return 0;
}

uint32_t xsk_port_napi(const struct xsk_port *port)
{
	uint32_t napi = 0;
	socklen_t size = sizeof(napi);

	if (getsockopt(port->descriptor, SOL_SOCKET, SO_INCOMING_NAPI_ID, &napi, &size) != 0)
		return 0;
	return napi;
}

void xsk_port_wake_driver(struct xsk_port *port)
{
	struct pollfd descriptor = { .fd = port->descriptor };

	poll(&descriptor, 1, 0);
}

bool xsk_port_sleep(struct xsk_port *port, int wake, int timeout_ms)
{
	struct pollfd descriptors[] = {
		{ .fd = port->descriptor, .events = POLLIN },
		{ .fd = wake, .events = POLLIN },
	};

	/* A frame that the receiver holds on to may stay unsent for long: 1, 2, 4 ms and so on. */
	if (port->tx_count == 0) {
		port->backoff_ms = 0;
	} else {
		port->backoff_ms = port->backoff_ms == 0 ? 1 : port->backoff_ms * 2;
		if (port->backoff_ms < timeout_ms)
			timeout_ms = port->backoff_ms;
		else
			port->backoff_ms = timeout_ms;
	}
	if (poll(descriptors, 2, timeout_ms) <= 0)
		return false;
	if (descriptors[0].revents != 0)
		port->backoff_ms = 0;
	return descriptors[1].revents != 0;
}
