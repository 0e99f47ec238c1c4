/* SPDX-License-Identifier: BSD-2-Clause */
/* Health checks as the daemon runs them: their word goes into the states of backends. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/backend_path.h>
#include <fluxpin/log.h>
#include <fluxpin/tunnel_frame.h>

#include "daemon_internal.h"

static void on_changed(void *context)
{
	daemon_states_changed(context);
}

/* By the first NIC that leads there, as a packet that comes in by it would go. */
static int send_by_nic(struct daemon *daemon, uint32_t pool, uint32_t backend, const void *packet,
		       size_t length)
{
	const struct configuration *configuration = daemon->configuration;
	const struct pool_configuration *in = &configuration->pools[pool];
	const struct address *address = &in->backends[backend].address;

	if (length > TUNNEL_FRAME_MAX_PACKET)
		return -EMSGSIZE;
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		const struct interface *nic = &daemon->nics[i];
		struct encapsulation_path path;
		struct next_hop next_hop;
		int error;

		if (!nic->has_carrier)
			continue;
		error = backend_path_find(configuration, in, address, daemon->neighbours, nic,
					  false, &next_hop, &path);
		if (error != 0)
			return error;
		if (next_hop.state == NEXT_HOP_RESOLVED)
			return tunnel_frame_send(daemon->probe_socket, (int)nic->index, &path,
						 configuration->hash_seed, packet,
						 (uint32_t)length);
	}
	return -EHOSTUNREACH;
}

static int send_probe(void *context, uint32_t pool, uint32_t backend, const void *packet,
		      size_t length)
{
	struct daemon *daemon = context;
	int error;

	neighbours_repeat(daemon->neighbours, true);
	error = send_by_nic(daemon, pool, backend, packet, length);
	neighbours_repeat(daemon->neighbours, false);
	return error;
}

static bool has_tunnel_checks(const struct configuration *configuration)
{
	for (uint32_t i = 0; i < configuration->pool_count; i++)
		if (configuration->pools[i].health_check.via == HEALTH_CHECK_TUNNEL)
			return true;
	return false;
}

/* The device and the rules are made when the first check asks for them. */
static int open_tunnel(struct daemon *daemon, const struct configuration *configuration)
{
	const struct health_tunnel tunnel = { .send = send_probe, .context = daemon };
	int error;

	if (daemon->probe_socket > 0 || !has_tunnel_checks(configuration))
		return 0;
	daemon->probe_socket = tunnel_frame_open();
	error = daemon->probe_socket < 0 ? daemon->probe_socket
					 : health_set_tunnel(daemon->health, &tunnel);
	if (error == 0)
		return 0;
	log_error("health checks through the tunnel: %s", strerror(-error));
	if (daemon->probe_socket > 0)
		close(daemon->probe_socket);
	daemon->probe_socket = 0;
	return error;
}

/* The checker, before the first checks. */
static int open_checker(struct daemon *daemon)
{
	int error;

	if (daemon->health != NULL)
		return 0;
	error = health_open(&daemon->loop, on_changed, daemon, &daemon->health);
	if (error != 0)
		log_error("starting health checks: %s", strerror(-error));
	else
		daemon_set_health_host(daemon);
	return error;
}

int daemon_prepare_health(struct daemon *daemon, const struct configuration *configuration)
{
	int error = open_checker(daemon);

	if (error == 0)
		error = open_tunnel(daemon, configuration);
	if (error == 0)
		error = health_prepare(daemon->health, configuration, &daemon->health_plan);
	if (error != 0)
		daemon_abandon_health(daemon);
	return error;
}

/* Of checks that are not to be, or are no more. */
static void close_unused_tunnel(struct daemon *daemon, const struct configuration *configuration)
{
	if (daemon->probe_socket == 0 || has_tunnel_checks(configuration))
		return;
	health_unset_tunnel(daemon->health);
	close(daemon->probe_socket);
	daemon->probe_socket = 0;
}

void daemon_commit_health(struct daemon *daemon, const struct configuration *configuration)
{
	health_commit(daemon->health_plan);
	daemon->health_plan = NULL;
	close_unused_tunnel(daemon, configuration);
}

void daemon_abandon_health(struct daemon *daemon)
{
	health_abandon(daemon->health_plan);
	daemon->health_plan = NULL;
	close_unused_tunnel(daemon, daemon->configuration);
}

void daemon_close_health(struct daemon *daemon)
{
	health_abandon(daemon->health_plan);
	daemon->health_plan = NULL;
	health_close(daemon->health);
	daemon->health = NULL;
	if (daemon->probe_socket > 0)
		close(daemon->probe_socket);
	daemon->probe_socket = 0;
}

void daemon_read_planned_health(const void *context, uint32_t pool, uint32_t backend,
				struct backend_health *health)
{
	const struct daemon *daemon = context;
	enum health_state state = health_plan_read(daemon->health_plan, pool, backend);

	health->is_checked = state != HEALTH_UNCHECKED;
	health->is_healthy = state != HEALTH_DOWN;
}

void daemon_read_health(const void *context, uint32_t pool, uint32_t backend,
			struct backend_health *health)
{
	const struct daemon *daemon = context;
	struct health_report report;

	*health = (struct backend_health){ .is_healthy = true };
	if (daemon->health == NULL)
		return;
	health_read(daemon->health, pool, backend, &report);
	health->is_checked = report.state != HEALTH_UNCHECKED;
	health->is_healthy = report.state != HEALTH_DOWN;
}
