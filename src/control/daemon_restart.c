/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings that are in force as they were at the start, whatever a reload says. */
#include <string.h>

#include "daemon_internal.h"

static bool same_list(const uint16_t *a, uint32_t a_count, const uint16_t *b, uint32_t b_count)
{
	return a_count == b_count && (a == NULL) == (b == NULL) &&
	       (a == NULL || memcmp(a, b, a_count * sizeof(*a)) == 0);
}

/* `has_modes`: the file's, and not that of the command line. */
static bool same_interfaces(const struct configuration *a, const struct configuration *b,
			    bool has_modes)
{
	if (a->interface_count != b->interface_count)
		return false;
	for (uint32_t i = 0; i < a->interface_count; i++) {
		const struct interface_configuration *x = &a->interfaces[i], *y = &b->interfaces[i];

		if (strcmp(x->name, y->name) != 0 || (has_modes && x->mode != y->mode) ||
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
	    !same_interfaces(start, configuration, daemon->options->mode == NULL))
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
