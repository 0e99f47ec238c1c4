/* SPDX-License-Identifier: BSD-2-Clause */
/* How a worker waits for frames. */
#include "xsk_port_internal.h"

#include <poll.h>

void xsk_port_sleep(struct xsk_port *port, int wake, int timeout_ms)
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
	if (poll(descriptors, 2, timeout_ms) > 0 && descriptors[0].revents != 0)
		port->backoff_ms = 0;
}
