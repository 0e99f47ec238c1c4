/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"

/* Changes of routes and neighbours come in bursts; this much later all of one are read at once. */
#define SETTLE_MS 10

/* SIGHUPs within this time make one reload. */
#define RELOAD_MS 10

/* The pause after the kernel did not give an answer. */
#define RETRY_MS 1000

/* How often the NICs' queues are looked at, of which netlink does not tell. */
#define QUEUES_MS 1000

/* A next hop that is missing for less is not worth a warning. */
#define WARN_MS 3000

#define NANOSECONDS_PER_MILLISECOND 1000000

const char *daemon_metrics_path(const struct daemon *daemon)
{
	return daemon->options->metrics_file != NULL ? daemon->options->metrics_file
						     : daemon->configuration->metrics.textfile;
}

static void write_metrics(struct daemon *daemon)
{
	const char *path = daemon_metrics_path(daemon);
	int error;

	if (path == NULL)
		return;
	error = metrics_write(&daemon->metrics, path);
	if (error != 0 && !daemon->metrics_failed)
		log_error("writing metrics to %s: %s", path,
			  error == -EINVAL ? "not a regular file" : strerror(-error));
	else if (error == 0 && daemon->metrics_failed)
		log_info("writing metrics to %s works again", path);
	daemon->metrics_failed = error != 0;
}

static void on_metrics_timer(uv_timer_t *timer)
{
	write_metrics(timer->data);
}

static void start_metrics_timer(struct daemon *daemon)
{
	uint64_t interval =
		daemon->configuration->metrics.interval_ns / NANOSECONDS_PER_MILLISECOND;

	uv_timer_start(&daemon->metrics_timer, on_metrics_timer, interval, interval);
}

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

int daemon_reload_all(struct daemon *daemon, struct findings *findings)
{
	const char *path = daemon_metrics_path(daemon);
	char *old_path = path != NULL ? strdup(path) : NULL;
	int error = daemon_reload(daemon, findings);

	if (error == 0) {
		path = daemon_metrics_path(daemon);
		if (old_path != NULL && (path == NULL || strcmp(path, old_path) != 0))
			metrics_remove(old_path);
		start_metrics_timer(daemon);
		daemon_follow_listener(daemon);
		daemon_follow_control(daemon);
		uv_timer_start(&daemon->warn_timer, on_warn_timer, WARN_MS, 0);
	}
	free(old_path);
	write_metrics(daemon);
	return error;
}

static void on_reload_timer(uv_timer_t *timer)
{
	struct findings findings = { 0 };

	daemon_reload_all(timer->data, &findings);
	findings_release(&findings);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct daemon *daemon = handle->data;

	/*
	 * After the other signals that wait, so that a stop comes first, and one reload serves all
	 * SIGHUPs that came before it: it reads what the last of them was about.
	 */
	if (number == SIGHUP) {
		if (!uv_is_active((uv_handle_t *)&daemon->reload_timer))
			uv_timer_start(&daemon->reload_timer, on_reload_timer, RELOAD_MS, 0);
		return;
	}
	if (daemon_linger(daemon))
		return;
	log_info("stopping");
	uv_stop(&daemon->loop);
}

/* Handlers before everything else: a signal during the start is served as soon as the loop runs. */
static int open_handles(struct daemon *daemon)
{
	const int numbers[] = { SIGHUP, SIGTERM, SIGINT };
	int error = 0;

	for (int i = 0; i < 3 && error == 0; i++) {
		error = uv_signal_init(&daemon->loop, &daemon->signals[i]);
		if (error != 0)
			return error;
		daemon->signals[i].data = daemon;
		error = uv_signal_start(&daemon->signals[i], on_signal, numbers[i]);
	}
	uv_timer_init(&daemon->loop, &daemon->reload_timer);
	uv_timer_init(&daemon->loop, &daemon->metrics_timer);
	uv_timer_init(&daemon->loop, &daemon->settle_timer);
	uv_timer_init(&daemon->loop, &daemon->queues_timer);
	uv_timer_init(&daemon->loop, &daemon->warn_timer);
	daemon_open_states(daemon);
	daemon->reload_timer.data = daemon;
	daemon->metrics_timer.data = daemon;
	daemon->settle_timer.data = daemon;
	daemon->queues_timer.data = daemon;
	daemon->warn_timer.data = daemon;
	signal(SIGPIPE, SIG_IGN);
	daemon_note_stops();
	return error;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void close_loop(struct daemon *daemon)
{
	uv_walk(&daemon->loop, close_handle, NULL);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	uv_loop_close(&daemon->loop);
}

static int listen_to_netlink(struct daemon *daemon)
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

/* UMEMs count as locked memory. Without the right to raise the limit CAP_IPC_LOCK serves as well.
 */
static void raise_memory_limit(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) != 0)
		log_debug("raising RLIMIT_MEMLOCK: %s", strerror(errno));
}

static void log_totals(const struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		const struct worker *worker = daemon->workers[i];
		const struct counters *counters = worker_counters(worker);
		uint64_t dropped = 0;

		for (int reason = 0; reason < DROP_REASON_COUNT; reason++) {
			uint64_t count = counter_read(&counters->dropped[reason]);

			dropped += count;
			if (count > 0)
				log_info("%s queue %u: dropped %s %" PRIu64,
					 worker_interface(worker), worker_queue(worker),
					 drop_reason_label((enum drop_reason)reason), count);
		}
		log_info("%s queue %u: received %" PRIu64 ", forwarded %" PRIu64
			 ", slow path %" PRIu64 ", answered %" PRIu64 ", dropped %" PRIu64,
			 worker_interface(worker), worker_queue(worker),
			 counter_read(&counters->received.packets),
			 counter_read(&counters->forwarded.packets),
			 counter_read(&counters->slow_path), counter_read(&counters->answered),
			 dropped);
	}
}

static void release_interfaces(const struct daemon_options *options)
{
	for (uint32_t i = 0; i < options->interface_count; i++)
		interface_configuration_release(&options->interfaces[i]);
	free(options->interfaces);
}

/* What is found next is about the command line, not about the file. */
static int turn_to_command_line(struct findings *findings)
{
	findings_print(findings, stderr);
	findings_release(findings);
	findings->file = strdup("-i");
	return findings->file != NULL ? 0 : -ENOMEM;
}

/* Reads the file and puts the command line's interfaces in place of its own. */
static int read_first_configuration(struct daemon *daemon)
{
	const struct daemon_options *options = daemon->options;
	struct findings findings = { 0 };
	struct configuration *configuration = NULL;
	int error = configuration_read(options->configuration_file, &configuration, &findings);

	if (error == 0 && options->interface_count > 0) {
		for (uint32_t i = 0; i < configuration->interface_count; i++)
			interface_configuration_release(&configuration->interfaces[i]);
		free(configuration->interfaces);
		configuration->interfaces = options->interfaces;
		configuration->interface_count = options->interface_count;
	} else {
		release_interfaces(options);
	}
	if (error == 0 && configuration->interface_count == 0) {
		log_error("no interface: name one in %s or with -i", options->configuration_file);
		error = -EINVAL;
	}
	if (error == 0 && options->interface_count > 0)
		error = turn_to_command_line(&findings);
	if (error == 0)
		error = configuration_check_host(configuration, &findings);
	findings_print(&findings, stderr);
	findings_release(&findings);
	daemon->configuration = configuration;
	daemon->start = configuration;
	return error;
}

static int start(struct daemon *daemon)
{
	int error = read_first_configuration(daemon);

	if (error != 0)
		return error;
	raise_memory_limit();
	daemon->metrics = (struct metrics_source){ .configuration = daemon->configuration,
						   .generation = 1,
						   .last_reload_successful = true,
						   .last_success_seconds = time(NULL),
						   .context = daemon,
						   .backend = daemon_describe_backend,
						   .announcement = daemon_vip_is_announced,
						   .is_stalled = daemon_worker_is_stalled };
	error = daemon_check_control(daemon);
	if (error == 0)
		error = daemon_open_listener(daemon);
	if (error == 0)
		error = registry_open(&daemon->backend_indexes);
	if (error == 0)
		error = backend_overrides_open(&daemon->drains);
	if (error == 0)
		error = registry_open(&daemon->vip_indexes);
	if (error == 0)
		error = neighbours_open(&daemon->neighbours);
	if (error == 0)
		error = daemon_open_devices(daemon);
	if (error == 0)
		error = daemon_first_forwarding(daemon);
	if (error == 0)
		error = listen_to_netlink(daemon);
	if (error == 0)
		error = daemon_start_workers(daemon);
	if (error == 0)
		error = daemon_open_watch(daemon);
	if (error == 0)
		error = daemon_open_announce(daemon);
	if (error == 0)
		error = daemon_open_control(daemon);
	if (error != 0)
		return error;
	daemon->metrics.workers = daemon->workers;
	daemon->metrics.worker_count = daemon->worker_count;
	write_metrics(daemon);
	start_metrics_timer(daemon);
	uv_timer_start(&daemon->warn_timer, on_warn_timer, WARN_MS, 0);
	uv_timer_start(&daemon->queues_timer, on_queues_timer, QUEUES_MS, QUEUES_MS);
	log_info("ready: workers %u, VIPs %u, pools %u, backends %u", daemon->worker_count,
		 daemon->configuration->vip_count, configuration_size(daemon->configuration).pools,
		 configuration_size(daemon->configuration).backends);
	return 0;
}

static void stop(struct daemon *daemon)
{
	daemon_close_health(daemon);
	listener_close(daemon->listener);
	daemon_close_announce(daemon);
	daemon_stop_workers(daemon);
	if (!daemon->has_stuck_worker)
		daemon_close_watch(daemon);
	daemon_close_control(daemon);
	if (daemon->metrics.worker_count > 0)
		log_totals(daemon);
	if (daemon->configuration != NULL && daemon->metrics.worker_count > 0 &&
	    daemon_metrics_path(daemon) != NULL)
		metrics_remove(daemon_metrics_path(daemon));
	daemon_close_devices(daemon);
	neighbours_close(daemon->neighbours);
	if (daemon->has_stuck_worker)
		return;
	daemon_release_forwarding(daemon);
	registry_close(daemon->vip_indexes);
	registry_close(daemon->backend_indexes);
}

/*
 * Not by way of main: that would run what is registered for the end beside a thread that may go on
 * at any time. The kernel takes back the rest, with the TAP and the sockets.
 */
static void __attribute__((noreturn)) leave(void)
{
	log_error("ended without a worker that is stuck");
	_exit(EXIT_FAILURE);
}

void daemon_end_now(struct daemon *daemon)
{
	log_error("told to stop while a change waits for a worker that does not move");
	/* Even if it moves now: a thread waits for it still, and the callers use what they have. */
	daemon->has_stuck_worker = true;
	stop(daemon);
	leave();
}

int daemon_run(const struct daemon_options *options)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	int error;

	if (daemon == NULL)
		return -ENOMEM;
	daemon->options = options;
	error = uv_loop_init(&daemon->loop);
	if (error != 0) {
		log_error("starting the event loop: %s", uv_strerror(error));
		release_interfaces(options);
		free(daemon);
		return error;
	}
	error = open_handles(daemon);
	if (error != 0) {
		log_error("listening to signals: %s", uv_strerror(error));
		release_interfaces(options);
	} else {
		error = start(daemon);
	}
	if (error == 0) {
		uv_run(&daemon->loop, UV_RUN_DEFAULT);
		error = daemon->exit_error;
	}
	stop(daemon);
	if (daemon->has_stuck_worker)
		leave();
	close_loop(daemon);
	free(daemon);
	return error;
}
