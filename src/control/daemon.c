/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"

/* SIGHUPs within this time make one reload. */
#define RELOAD_MS 10

static void on_reload_timer(uv_timer_t *timer)
{
	struct findings findings = { 0 };

	daemon_reload(timer->data, &findings);
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
	daemon_open_kernel(daemon);
	daemon_open_states(daemon);
	daemon->reload_timer.data = daemon;
	daemon->metrics_timer.data = daemon;
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

/* UMEMs count as locked memory. Without the right to raise the limit CAP_IPC_LOCK serves as well.
 */
static void raise_memory_limit(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) != 0)
		log_debug("raising RLIMIT_MEMLOCK: %s", strerror(errno));
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
		error = daemon_listen_to_kernel(daemon);
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
	daemon_write_metrics(daemon);
	daemon_start_metrics_timer(daemon);
	daemon_start_looking(daemon);
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
		daemon_log_totals(daemon);
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
