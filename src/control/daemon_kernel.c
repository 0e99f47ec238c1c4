/* SPDX-License-Identifier: BSD-2-Clause */
/* Follows what the kernel reports of interfaces, routes and neighbours, and looks for what it does
 * not report. */
#include <errno.h>
#include <string.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"

/* Changes of routes and neighbours come in bursts; this much later all of one are read at once. */
#define SETTLE_MS 10

/* The pause after the kernel did not give an answer. */
#define RETRY_MS 1000

/* How often the NICs' queues are looked at, of which netlink does not tell. */
#define QUEUES_MS 1000

/* A next hop that is missing for less is not worth a warning. */
#define WARN_MS 3000

static void on_warn_timer(uv_timer_t *timer)
{
	daemon_warn_next_hops(timer->data);
	daemon_warn_vlans(timer->data);
}

static void give_up(struct daemon *daemon, int error)
{
	daemon->exit_error = error;
	uv_stop(&daemon->loop);
}

static void on_queues_timer(uv_timer_t *timer)
{
	int error = daemon_watch_queues(timer->data);

	daemon_watch_busy_poll(timer->data);
	if (error != 0)
		give_up(timer->data, error);
}

static void on_settle_timer(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	int error = daemon_refresh_devices(daemon);

	if (error == -ENODEV) {
		give_up(daemon, error);
		return;
	}
	if (error == 0)
		error = daemon_follow_next_hops(daemon);
	if (error == 0) {
		daemon_announce_update(daemon);
		health_look_again(daemon->health);
	}
	/* What was reported is not reported again. */
	if (error != 0)
		uv_timer_start(timer, on_settle_timer, RETRY_MS, 0);
	if (error != 0 && !daemon->follow_failed)
		log_warning("reading interfaces, routes and neighbours: %s; trying again",
			    strerror(-error));
	daemon->follow_failed = error != 0;
	/* Not put off by each further change: on some hosts there is always one. */
	if (!uv_is_active((uv_handle_t *)&daemon->warn_timer))
		uv_timer_start(&daemon->warn_timer, on_warn_timer, WARN_MS, 0);
}

void daemon_settle(struct daemon *daemon)
{
	if (!uv_is_active((uv_handle_t *)&daemon->settle_timer))
		uv_timer_start(&daemon->settle_timer, on_settle_timer, SETTLE_MS, 0);
}

static void on_netlink(uv_poll_t *poll, int status, int events)
{
	struct daemon *daemon = poll->data;
	bool changed = false;
	int error = neighbours_drain(daemon->neighbours, &changed);

	(void)events;
	/*
	 * A netlink socket that lost messages has an error pending, and libuv stops listening to a
	 * descriptor that shows one, as if it were closed. The drain has taken the error.
	 */
	if (status < 0)
		status = uv_poll_start(poll, UV_READABLE, on_netlink);
	if (status < 0 || error != 0)
		log_warning("listening to routes and neighbours: %s",
			    status < 0 ? uv_strerror(status) : strerror(-error));
	/* What was read before an error may have been a change. */
	if (changed || error != 0)
		daemon_settle(daemon);
}

void daemon_open_kernel(struct daemon *daemon)
{
	uv_timer_init(&daemon->loop, &daemon->settle_timer);
	uv_timer_init(&daemon->loop, &daemon->queues_timer);
	uv_timer_init(&daemon->loop, &daemon->warn_timer);
	daemon->settle_timer.data = daemon;
	daemon->queues_timer.data = daemon;
	daemon->warn_timer.data = daemon;
}

int daemon_listen_to_kernel(struct daemon *daemon)
{
	int error = uv_poll_init(&daemon->loop, &daemon->netlink,
				 neighbours_descriptor(daemon->neighbours));

	if (error == 0) {
		daemon->netlink.data = daemon;
		error = uv_poll_start(&daemon->netlink, UV_READABLE, on_netlink);
	}
	if (error != 0)
		log_error("listening to routes and neighbours: %s", uv_strerror(error));
	return error;
}

void daemon_warn_later(struct daemon *daemon)
{
	uv_timer_start(&daemon->warn_timer, on_warn_timer, WARN_MS, 0);
}

void daemon_start_looking(struct daemon *daemon)
{
	daemon_warn_later(daemon);
	daemon_watch_busy_poll(daemon);
	uv_timer_start(&daemon->queues_timer, on_queues_timer, QUEUES_MS, QUEUES_MS);
}
