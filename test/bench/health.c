/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include <fluxpin/health.h>
#include <fluxpin/log.h>

#include "arguments.h"
#include "health_server.h"
#include "measurement.h"

#define MOST_BACKENDS 65535
#define MOST_PROBES   10000000

static const char usage_text[] =
	"usage: fluxpin-bench health [OPTION]...\n"
	"\n"
	"Runs the health checks of many backends, which are addresses of the loopback device with\n"
	"a server of its own, and reports the CPU time of the thread that probes and how late\n"
	"probes start.\n"
	"\n"
	"      --type tcp|http  (tcp)\n"
	"      --backends N     (2000)\n"
	"      --interval D     between two probes of a backend: 200ms and the like (2s)\n"
	"      --silent N       backends at addresses that nobody answers (0)\n"
	"      --seconds S      that are measured, after one interval (10)\n"
	"      --json           print one JSON document\n"
	"  -h, --help           print this\n";

static const struct usage usage = { "health", usage_text };

struct options {
	int type; /* into types */
	uint32_t backends;
	uint64_t interval_ns;
	uint32_t silent;
	double seconds;
	bool is_json;
};

static const char *const types[] = { "tcp", "http", NULL };

struct run {
	const struct options *options;
	struct configuration configuration;
	struct pool_configuration pool;
	struct status_range statuses;
	struct health *health;
	uv_loop_t loop;
	uv_timer_t timer;
	bool is_measuring;
	double *late_ms; /* of the probes measured */
	uint32_t late_count;
	uint64_t cpu_ns;
	uint64_t wall_ns;
};

struct result {
	double cpu_share;
	double probes_per_second;
	double cpu_us_per_probe;
	double late_ms_median;
	double late_ms_p99;
	double late_ms_max;
	uint32_t up;
	uint32_t probes;
};

static void on_changed(void *context)
{
	(void)context;
}

static void on_started(void *context, uint64_t late_ns)
{
	struct run *run = context;

	if (run->is_measuring && run->late_count < MOST_PROBES)
		run->late_ms[run->late_count++] = (double)late_ns / 1e6;
}

static void on_end(uv_timer_t *timer)
{
	struct run *run = timer->data;

	run->cpu_ns = measurement_now_ns() - run->cpu_ns;
	run->wall_ns = uv_hrtime() - run->wall_ns;
	uv_stop(&run->loop);
}

static void on_begin(uv_timer_t *timer)
{
	struct run *run = timer->data;

	run->is_measuring = true;
	run->cpu_ns = measurement_now_ns();
	run->wall_ns = uv_hrtime();
	uv_timer_start(timer, on_end, (uint64_t)(1000 * run->options->seconds), 0);
}

/* 127.x.y.z, or 240.x.y.z, which is nobody's. */
static bool make_backends(struct run *run)
{
	const struct options *options = run->options;
	uint32_t count = options->backends + options->silent;

	run->pool.backends = calloc(count, sizeof(*run->pool.backends));
	if (run->pool.backends == NULL)
		return false;
	run->pool.backend_count = count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t network = i < options->backends ? 127 : 240;

		run->pool.backends[i].name = (char *)(uintptr_t) "backend";
		run->pool.backends[i].address =
			address_from_ipv4(__builtin_bswap32(network << 24 | (i + 256)));
	}
	return true;
}

static bool prepare(struct run *run, uint16_t port)
{
	uint64_t interval_ns = run->options->interval_ns;

	run->statuses = (struct status_range){ 200, 399 };
	run->pool.name = (char *)(uintptr_t) "pool";
	run->pool.health_check = (struct health_check_configuration){
		.type = run->options->type == 0 ? HEALTH_CHECK_TCP : HEALTH_CHECK_HTTP,
		.port = port,
		.path = (char *)(uintptr_t) "/healthz",
		.statuses = &run->statuses,
		.status_count = 1,
		.starts_down = true,
		.interval_ns = interval_ns,
		.timeout_ns = interval_ns / 2,
		.rise = 1,
		.fall = 3,
	};
	run->configuration.pools = &run->pool;
	run->configuration.pool_count = 1;
	run->late_ms = calloc(MOST_PROBES, sizeof(*run->late_ms));
	return run->late_ms != NULL && make_backends(run);
}

static bool summarise(struct run *run, struct result *result)
{
	struct health_report report;

	if (run->late_count == 0)
		return false;
	statistics_sort(run->late_ms, run->late_count);
	for (uint32_t i = 0; i < run->pool.backend_count; i++) {
		health_read(run->health, 0, i, &report);
		result->up += report.state == HEALTH_UP;
	}
	result->probes = run->late_count;
	result->cpu_share = (double)run->cpu_ns / (double)run->wall_ns;
	result->probes_per_second = run->late_count / ((double)run->wall_ns / 1e9);
	result->cpu_us_per_probe = (double)run->cpu_ns / 1e3 / run->late_count;
	result->late_ms_median = statistics_percentile(run->late_ms, run->late_count, 0.5);
	result->late_ms_p99 = statistics_percentile(run->late_ms, run->late_count, 0.99);
	result->late_ms_max = run->late_ms[run->late_count - 1];
	return true;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static bool measure(struct run *run, struct result *result)
{
	bool ok = uv_loop_init(&run->loop) == 0;

	if (!ok)
		return false;
	uv_timer_init(&run->loop, &run->timer);
	run->timer.data = run;
	ok = health_open(&run->loop, on_changed, NULL, &run->health) == 0;
	if (ok) {
		health_observe(run->health, on_started, run);
		ok = health_configure(run->health, &run->configuration) == 0;
		/* By then every backend has been probed. */
		uv_timer_start(&run->timer, on_begin, run->options->interval_ns / 1000000 + 100, 0);
	}
	if (ok) {
		uv_run(&run->loop, UV_RUN_DEFAULT);
		ok = summarise(run, result);
	}
	health_close(run->health);
	uv_walk(&run->loop, close_handle, NULL);
	uv_run(&run->loop, UV_RUN_DEFAULT);
	uv_loop_close(&run->loop);
	return ok;
}

static int run_once(const struct options *options, struct result *result)
{
	struct run run = { .options = options };
	uint16_t port;
	pid_t server;
	int status = EXIT_FAILED;

	/* Before there is a loop that the child would share. */
	if (health_server_start(&server, &port) != 0) {
		fputs("fluxpin-bench: the server cannot be started\n", stderr);
		return EXIT_FAILED;
	}
	log_set_level(LOG_LEVEL_ERROR);
	if (!prepare(&run, port) || !measure(&run, result))
		fputs("fluxpin-bench: out of memory\n", stderr);
	else if (result->up != options->backends)
		fprintf(stderr, "fluxpin-bench: %u of %u backends are up\n", result->up,
			options->backends);
	else
		status = EXIT_DONE;
	health_server_stop(server);
	free(run.pool.backends);
	free(run.late_ms);
	return status;
}

static int print_json(const struct options *options, const struct result *result)
{
	json_t *document = json_pack(
		"{s:s, s:i, s:i, s:f, s:i, s:f, s:f, s:f, s:{s:f, s:f, s:f}}", "type",
		types[options->type], "backends", (int)options->backends, "silent",
		(int)options->silent, "interval_ms", (double)options->interval_ns / 1e6, "probes",
		(int)result->probes, "probes_per_second", result->probes_per_second, "cpu_share",
		result->cpu_share, "cpu_us_per_probe", result->cpu_us_per_probe, "late_ms",
		"median", result->late_ms_median, "p99", result->late_ms_p99, "max",
		result->late_ms_max);

	return print_document(document);
}

static int print_table(const struct options *options, const struct result *result)
{
	printf("%u backends, %s every %g s\n\n", options->backends + options->silent,
	       types[options->type], (double)options->interval_ns / 1e9);
	printf("probes      %9u, %.0f a second\n", result->probes, result->probes_per_second);
	printf("CPU         %9.2f %% of one core, %.1f us a probe\n", 100 * result->cpu_share,
	       result->cpu_us_per_probe);
	printf("lateness    %9.2f ms (median), %.2f ms (99 %%), %.2f ms (most)\n",
	       result->late_ms_median, result->late_ms_p99, result->late_ms_max);
	return EXIT_DONE;
}

static int take_option(int option, void *context)
{
	struct options *options = context;

	switch (option) {
	case 't':
		return argument_choice(&usage, "--type", optarg, types, &options->type);
	case 'b':
		return argument_number32(&usage, "--backends", optarg, 1, MOST_BACKENDS / 2,
					 &options->backends);
	case 'i':
		return argument_duration(&usage, "--interval", optarg, &options->interval_ns);
	case 'n':
		return argument_number32(&usage, "--silent", optarg, 0, MOST_BACKENDS / 2,
					 &options->silent);
	case 's':
		return argument_seconds(&usage, "--seconds", optarg, &options->seconds);
	case 'j':
		options->is_json = true;
		return EXIT_DONE;
	default:
		return EXIT_USAGE;
	}
}

int command_health(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "type", required_argument, NULL, 't' },
		{ "backends", required_argument, NULL, 'b' },
		{ "interval", required_argument, NULL, 'i' },
		{ "silent", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options options = { .backends = 2000,
				   .interval_ns = UINT64_C(2000000000),
				   .seconds = 10 };
	struct result result = { 0 };
	int status = arguments_read(&usage, argc, argv, "h", long_options, take_option, &options);

	if (status != EXIT_DONE)
		return status;
	status = run_once(&options, &result);
	if (status != EXIT_DONE)
		return status;
	return options.is_json ? print_json(&options, &result) : print_table(&options, &result);
}
