/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "commands.h"
#include "cpu.h"
#include "memory_port.h"
#include "pipeline_options.h"

static int pin(const struct pipeline_options *options)
{
	int cpu = options->has_cpu ? (int)options->cpu : sched_getcpu();

	return cpu < 0 ? -errno : cpu_pin((uint32_t)cpu);
}

/* Packets until the connection table is as it is to be measured. */
static uint64_t warm_up_packets(const struct pipeline_options *options)
{
	/* Full: a table of several choices takes some more flows than it holds. */
	if (options->mix->is_endless)
		return 2 * (uint64_t)options->capacity;
	/* Every flow once, and again those that the first pass evicted. */
	return 2 * options->flows;
}

static bool is_as_expected(const struct pipeline_options *options, const struct memory_port *port,
			   const struct pipeline_result *result)
{
	const struct balancer_options *balancer = &options->balancer;
	uint32_t missing = memory_port_missing(port);
	const struct check check = {
		.mix = options->expected,
		.packets = result->measurement.total,
		.frame_length = port->workload.length,
		.packet_length = port->workload.packet_length,
		.header_length =
			ETHERNET_HEADER_LENGTH +
			encapsulation_overhead(balancer->encapsulation, balancer->is_outer_ipv6),
	};

	if (missing != 0)
		fprintf(stderr, "fluxpin-bench: the pipeline did not give %u frames back\n",
			missing);
	return check_reports(&check, &result->before, &result->after) && missing == 0;
}

static int measure(const struct pipeline_options *options, struct engine *engine,
		   struct memory_port *port, const struct forwarding *forwarding)
{
	struct pipeline_result result = { .connection_pages = engine->connection_memory.pages };
	int error;

	engine_run(engine, forwarding, warm_up_packets(options));
	engine_read(engine, &result.before);
	error = measurement_run(&options->measurement, engine, forwarding, &result.measurement);
	if (error != 0)
		return error;
	engine_read(engine, &result.after);
	if (!is_as_expected(options, port, &result))
		return -EPROTO;
	return pipeline_result_print(options, &result) == EXIT_DONE ? 0 : -EIO;
}

static int run(const struct pipeline_options *options)
{
	struct memory_port *port = aligned_alloc(64, sizeof(*port));
	struct engine *engine = aligned_alloc(64, sizeof(*engine));
	struct balancer balancer = { 0 };
	struct workload workload;
	int error = -ENOMEM;

	if (port == NULL || engine == NULL)
		goto free_all;
	workload_initialise(&workload, options->mix, options->inner != 0, options->flows);
	error = balancer_open(&balancer, &options->balancer);
	if (error != 0)
		goto close_balancer;
	error = memory_port_open(port, &workload, options->batch, options->depth);
	if (error != 0)
		goto close_balancer;
	error = engine_open(engine, &port->port, options->capacity);
	if (error == 0)
		error = measure(options, engine, port, &balancer.state->forwarding);
	engine_close(engine);
	memory_port_close(port);
close_balancer:
	balancer_close(&balancer);
free_all:
	if (error == -ENOMEM)
		fputs("fluxpin-bench: out of memory\n", stderr);
	free(engine);
	free(port);
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}

int command_pipeline(int argc, char **argv)
{
	struct pipeline_options options;
	int status = pipeline_options_read(argc, argv, &options);

	if (status != EXIT_DONE)
		return status;
	status = pin(&options);
	if (status != 0) {
		fprintf(stderr, "fluxpin-bench: pinning to a CPU: %s\n", strerror(-status));
		return EXIT_FAILED;
	}
	return run(&options);
}
