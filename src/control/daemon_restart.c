/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings that are in force as they were at the start, whatever a reload says. */
#include <string.h>

#include "daemon_internal.h"

static bool same_list(const uint16_t *a, uint32_t a_count, const uint16_t *b, uint32_t b_count)
{
	return a_count == b_count && (a == NULL) == (b == NULL) &&
	       (a == NULL || memcmp(a, b, a_count * sizeof(*a)) == 0);
}

static bool same_busy_poll(const struct busy_poll_configuration *a,
			   const struct busy_poll_configuration *b, bool is_forced)
{
	return (is_forced || a->is_on == b->is_on) && a->budget == b->budget &&
	       a->idle_ns == b->idle_ns;
}

/* But for what the command line says in place of the file. */
static bool same_interfaces(const struct configuration *a, const struct configuration *b,
			    const struct daemon_options *options)
{
	if (a->interface_count != b->interface_count)
		return false;
	for (uint32_t i = 0; i < a->interface_count; i++) {
		const struct interface_configuration *x = &a->interfaces[i], *y = &b->interfaces[i];

		if (strcmp(x->name, y->name) != 0 ||
		    (options->mode == NULL && x->mode != y->mode) ||
		    !same_busy_poll(&x->busy_poll, &y->busy_poll, options->busy_poll) ||
		    !same_list(x->queues, x->queue_count, y->queues, y->queue_count) ||
		    !same_list(x->cpus, x->cpu_count, y->cpus, y->cpu_count))
			return false;
	}
	return true;
}

uint32_t daemon_find_restart(const struct daemon *daemon, const struct configuration *configuration,
			     const char *settings[static DAEMON_RESTART_MAX])
{
	const struct configuration *start = daemon->start;
	uint32_t count = 0;

	/* What the command line says counts, whatever is in the file. */
	if (daemon->options->interface_count == 0 &&
	    !same_interfaces(start, configuration, daemon->options))
		settings[count++] = "interfaces";
	if (start->slow_path != configuration->slow_path)
		settings[count++] = "slow_path";
	if (start->connections.capacity != configuration->connections.capacity)
		settings[count++] = "the capacity of connections";
	if (memcmp(&start->fragments, &configuration->fragments, sizeof(start->fragments)) != 0)
		settings[count++] = "fragments";
	if (memcmp(&start->umem, &configuration->umem, sizeof(start->umem)) != 0)
		settings[count++] = "umem";
	return count;
}
