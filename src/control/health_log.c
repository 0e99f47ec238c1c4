/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A switch that fails takes hundreds of backends with it: what happens to the first of a second is
 * told backend by backend, what happens to the others as numbers.
 */
#include <stdio.h>

#include <fluxpin/log.h>

#include "configuration_internal.h"
#include "health_internal.h"

#define BURST_NS NANOSECONDS_PER_SECOND

/* How often probes that cannot be sent are told of. */
#define UNDECIDED_NS UINT64_C(60000000000)

#define NAME_SIZE (2 * CONFIGURATION_NAME_LENGTH + ADDRESS_TEXT_SIZE + 64)

/* "web/web-1 (10.1.0.11)", or "web/web-1 (10.1.0.11; in pools: 3)". */
static const char *describe(const struct prober *prober, char buffer[static NAME_SIZE])
{
	const struct pool_configuration *pool = &prober->health->configuration->pools[prober->pool];
	char address[ADDRESS_TEXT_SIZE], users[32] = "";

	if (prober->user_count > 1)
		snprintf(users, sizeof(users), "; in pools: %u", prober->user_count);
	snprintf(buffer, NAME_SIZE, "%s/%s (%s%s)", pool->name,
		 pool->backends[prober->backend].name, address_format(&prober->address, address),
		 users);
	return buffer;
}

static void on_timer(uv_timer_t *timer)
{
	struct health *health = timer->data;
	struct health_log *log = &health->log;

	if (log->unsaid_down > 0)
		log_warning("health checks: backends beside these that went down: %u",
			    log->unsaid_down);
	if (log->unsaid_up > 0)
		log_info("health checks: backends beside these that came up: %u", log->unsaid_up);
	log->lines = log->unsaid_up = log->unsaid_down = 0;
}

void health_log_transition(struct prober *prober)
{
	const struct health_check_configuration *check = &prober->check->configuration;
	struct health *health = prober->health;
	struct health_log *log = &health->log;
	char name[NAME_SIZE];

	if (log->lines == 0)
		health_start_timer(health, &log->timer, on_timer, clock_ns() + BURST_NS);
	if (log->lines == HEALTH_LOG_LINES) {
		*(prober->machine.is_up ? &log->unsaid_up : &log->unsaid_down) += 1;
		return;
	}
	log->lines++;
	if (prober->machine.is_up) {
		log_info("backend %s is up: good %s probes of port %u: %u in a row",
			 describe(prober, name), health_check_names[check->type], check->port,
			 health_machine_needed(&prober->machine, check));
		return;
	}
	log_warning("backend %s is down: %s (%s, port %u%s; bad probes in a row: %u)",
		    describe(prober, name), prober->error, health_check_names[check->type],
		    check->port, check->via == HEALTH_CHECK_TUNNEL ? ", by the tunnel" : "",
		    check->fall);
}

void health_log_cut_off(const char *reason)
{
	log_warning("%s: health checks are suspended, and backends keep their states", reason);
}

void health_log_reached(void)
{
	log_info("health checks: all can be sent again");
}

void health_log_undecided(struct prober *prober, const char *error)
{
	struct health_log *log = &prober->health->log;
	uint64_t now_ns = clock_ns();
	char name[NAME_SIZE];

	if (log->undecided_ns != 0 && now_ns - log->undecided_ns < UNDECIDED_NS)
		return;
	log->undecided_ns = now_ns;
	log_warning("health check of backend %s cannot be sent: %s; its state stays as it is, and "
		    "more of these are not told for a minute",
		    describe(prober, name), error);
}
