/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon tells by HTTP, and where. */
#include <stdio.h>
#include <string.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"

/* Long enough for the metrics of the largest configuration. */
#define DEADLINE_MS 10000

static int render(const void *context, char **text, size_t *length)
{
	const struct daemon *daemon = context;

	return metrics_render(&daemon->metrics, text, length);
}

/* A refused reload is no reason: the configuration before it serves on. */
static bool is_healthy(const void *context, char reason[static LISTENER_REASON_SIZE])
{
	const struct metrics_source *source = &((const struct daemon *)context)->metrics;

	if (source->worker_count == 0) {
		snprintf(reason, LISTENER_REASON_SIZE, "no worker is running");
		return false;
	}
	for (uint32_t i = 0; source->is_stalled != NULL && i < source->worker_count; i++) {
		if (!source->is_stalled(source->context, i))
			continue;
		snprintf(reason, LISTENER_REASON_SIZE, "the worker of %s queue %u does not move",
			 worker_interface(source->workers[i]), worker_queue(source->workers[i]));
		return false;
	}
	return true;
}

static void format_address(const struct listen_address *where, char *buffer, size_t size)
{
	char address[ADDRESS_TEXT_SIZE];

	address_format(&where->address, address);
	snprintf(buffer, size, address_is_ipv4(&where->address) ? "%s:%u" : "[%s]:%u", address,
		 where->port);
}

int daemon_follow_listener(struct daemon *daemon)
{
	const struct listen_address *where = &daemon->configuration->metrics.listen;
	int error = listener_listen(daemon->listener, where);
	char text[ADDRESS_TEXT_SIZE + 8];

	if (error == 0)
		return 0;
	format_address(where, text, sizeof(text));
	log_warning("metrics cannot listen on %s: %s; they stay where they were", text,
		    strerror(-error));
	return error;
}

int daemon_open_listener(struct daemon *daemon)
{
	const struct listen_address *where = &daemon->configuration->metrics.listen;
	const struct listener_options options = {
		.loop = &daemon->loop,
		.deadline_ms = DEADLINE_MS,
		.context = daemon,
		.render = render,
		.is_healthy = is_healthy,
	};
	char text[ADDRESS_TEXT_SIZE + 8];
	int error = listener_open(&options, &daemon->listener);

	if (error == 0)
		error = listener_listen(daemon->listener, where);
	if (error != 0) {
		format_address(where, text, sizeof(text));
		log_error("metrics cannot listen on %s: %s", text, strerror(-error));
	}
	return error;
}
