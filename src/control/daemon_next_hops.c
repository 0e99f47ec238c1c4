/* SPDX-License-Identifier: BSD-2-Clause */
/* What the log says of backends that have no next hop. */
#include <fluxpin/log.h>

#include "daemon_internal.h"

/* Lines at a time: with a link that goes down, thousands of backends may go. */
#define WARN_LINES 20

/* What a look at all backends had to say. */
struct told {
	uint32_t unresolved;
	uint32_t resolved;
};

static void warn_next_hop(struct daemon *daemon, uint32_t i, struct told *told)
{
	const struct forwarding_backend *backend = &daemon->tables->backends[i];
	const struct pool_configuration *pool = &daemon->configuration->pools[backend->pool];
	const struct backend_configuration *configuration = &pool->backends[backend->backend];
	const char *interface = NULL, *problem = NULL;
	char address[ADDRESS_TEXT_SIZE];

	/* Its health check has told, and what was told of its next hop still holds. */
	if (backend->is_down)
		return;
	for (uint32_t nic = 0; nic < daemon->device_count && problem == NULL; nic++) {
		enum next_hop_state state =
			daemon->state->next_hops[nic * daemon->tables->backend_count + i];

		if (state == NEXT_HOP_RESOLVED)
			continue;
		interface = daemon->nics[nic].name;
		problem = next_hop_state_name(state);
	}
	if (problem != NULL && !daemon->warned[backend->index] && told->unresolved++ < WARN_LINES)
		log_warning("backend %s/%s (%s) gets no traffic by %s, its packets are dropped: %s",
			    pool->name, configuration->name,
			    address_format(&configuration->address, address), interface, problem);
	else if (problem == NULL && daemon->warned[backend->index] && told->resolved++ < WARN_LINES)
		log_info("backend %s/%s (%s): next hop resolved", pool->name, configuration->name,
			 address_format(&configuration->address, address));
	daemon->warned[backend->index] = problem != NULL;
}

void daemon_warn_next_hops(struct daemon *daemon)
{
	struct told told = { 0 };

	for (uint32_t i = 0; i < daemon->tables->backend_count; i++)
		warn_next_hop(daemon, i, &told);
	if (told.unresolved > WARN_LINES)
		log_warning("backends beside these that get no traffic: %u",
			    told.unresolved - WARN_LINES);
	if (told.resolved > WARN_LINES)
		log_info("backends beside these whose next hop is resolved: %u",
			 told.resolved - WARN_LINES);
}
