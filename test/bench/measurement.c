/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "measurement.h"

/* A repetition has at least that many packets: thousands of batches between two readings of the
 * clock. */
#define LEAST_PACKETS 65536

/* Share of the time that finding out the speed takes. */
#define CALIBRATION_SHARE 0.05

uint64_t measurement_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static double time_floor(struct engine *engine, uint64_t packets)
{
	uint64_t started = measurement_now_ns();
	uint64_t done = engine_run_empty(engine->pipeline.port, packets);

	return (double)(measurement_now_ns() - started) / (double)done;
}

static double time_pipeline(struct engine *engine, const struct forwarding *forwarding,
			    uint64_t packets, uint64_t *total)
{
	uint64_t started = measurement_now_ns();
	uint64_t done = engine_run(engine, forwarding, packets);

	*total += done;
	return (double)(measurement_now_ns() - started) / (double)done;
}

/* Packets of a repetition so that all take about as long as they should. */
static uint64_t calibrate(const struct measurement_options *options, struct engine *engine,
			  const struct forwarding *forwarding, uint64_t *total)
{
	double share_ns = options->seconds * CALIBRATION_SHARE * 1e9, pair_ns = 0;
	uint64_t started = measurement_now_ns();

	do {
		pair_ns = time_floor(engine, LEAST_PACKETS) +
			  time_pipeline(engine, forwarding, LEAST_PACKETS, total);
	} while ((double)(measurement_now_ns() - started) < share_ns);
	return (uint64_t)(options->seconds * (1 - CALIBRATION_SHARE) * 1e9 /
			  (options->repetitions * pair_ns));
}

int measurement_run(const struct measurement_options *options, struct engine *engine,
		    const struct forwarding *forwarding, struct measurement *measurement)
{
	uint64_t packets = options->packets, total = 0;
	uint32_t count = options->repetitions;
	double *floor = calloc(count, sizeof(*floor));
	double *whole = calloc(count, sizeof(*whole));
	double *net = calloc(count, sizeof(*net));
	int error = -ENOMEM;

	if (floor == NULL || whole == NULL || net == NULL)
		goto out;
	if (packets == 0)
		packets = calibrate(options, engine, forwarding, &total);
	if (options->packets == 0 && packets < LEAST_PACKETS)
		packets = LEAST_PACKETS;
	for (uint32_t i = 0; i < count; i++) {
		/* Which of the two is first alternates as well. */
		if (i % 2 == 0)
			floor[i] = time_floor(engine, packets);
		whole[i] = time_pipeline(engine, forwarding, packets, &total);
		if (i % 2 == 1)
			floor[i] = time_floor(engine, packets);
		net[i] = whole[i] - floor[i];
	}
	*measurement = (struct measurement){ .floor_ns = statistics_of(floor, count),
					     .whole_ns = statistics_of(whole, count),
					     .net_ns = statistics_of(net, count),
					     .packets = packets,
					     .total = total };
	error = 0;
out:
	free(net);
	free(whole);
	free(floor);
	return error;
}
