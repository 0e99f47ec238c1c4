/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "health_internal.h"

#define NANOSECONDS_PER_MILLISECOND UINT64_C(1000000)

/* splitmix64 (Steele, Lea and Flood: Fast splittable pseudorandom number generators, 2014). */
uint64_t health_random(struct health *health)
{
	uint64_t z = health->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void health_start_timer(struct health *health, uv_timer_t *timer, uv_timer_cb callback,
			uint64_t due_ns)
{
	/* libuv's clock is the same, in milliseconds, and stands still while callbacks run. */
	uint64_t due = (due_ns + NANOSECONDS_PER_MILLISECOND - 1) / NANOSECONDS_PER_MILLISECOND;
	uint64_t now = uv_now(health->loop);

	uv_timer_start(timer, callback, due > now ? due - now : 0, 0);
}

void health_handle_opened(struct health *health)
{
	health->handles++;
}

void health_handle_closed(struct health *health)
{
	health->handles--;
	if (health->is_closed && health->handles == 0)
		free(health);
}

static void on_timer_closed(uv_handle_t *handle)
{
	health_handle_closed(handle->data);
}

static void on_poller_closed(uv_handle_t *handle)
{
	struct poller *poller = handle->data;

	health_handle_closed((struct health *)((char *)poller - offsetof(struct health, poller)));
}

static void open_timer(struct health *health, uv_timer_t *timer)
{
	uv_timer_init(health->loop, timer);
	timer->data = health;
	health_handle_opened(health);
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int health_open(uv_loop_t *loop, void (*changed)(void *context), void *context,
		struct health **health)
{
	struct health *made = calloc(1, sizeof(*made));
	int error;

	if (made == NULL)
		return -ENOMEM;
	made->loop = loop;
	made->changed = changed;
	made->context = context;
	/* Only the spread of probes hangs on it: without randomness, the clock will do. */
	if (getrandom(&made->random, sizeof(made->random), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(made->random))
		made->random = clock_ns();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		error = -ENOMEM;
		goto out_memory;
	}
	error = poller_open(&made->poller, loop);
	if (error != 0)
		goto out_curl;
	health_handle_opened(made);
	open_timer(made, &made->http_timer);
	open_timer(made, &made->log.timer);
	raise_file_limit();
	*health = made;
	return 0;
out_curl:
	curl_global_cleanup();
out_memory:
	free(made);
	return error;
}

void health_read(const struct health *health, uint32_t pool, uint32_t backend,
		 struct health_report *report)
{
	const struct prober *prober = health->slots[health->pool_first[pool] + backend];
	const struct health_machine *machine;

	*report = (struct health_report){ .state = HEALTH_UNCHECKED };
	if (prober == NULL)
		return;
	machine = &prober->machine;
	*report = (struct health_report){
		.state = machine->is_up ? HEALTH_UP : HEALTH_DOWN,
		.is_suspended = prober->is_suspended,
		.is_damped = health_machine_is_damped(machine, &prober->check->configuration),
		.error = prober->error[0] != '\0' ? prober->error : NULL,
		.since_ns = machine->since_ns,
		.latency_ns = prober->latency_ns,
		.probes_good = prober->probes_good,
		.probes_bad = prober->probes_bad,
		.flaps = machine->flaps,
	};
}

void health_read_totals(const struct health *health, struct health_totals *totals)
{
	*totals = (struct health_totals){
		.probers = health->prober_count,
		.under_way = health->under_way,
		.probes = health->probes,
		.suspended = health->suspended,
		.undecided = health->undecided,
		.latest_ns = health->latest_ns,
		.late_sum_ns = health->late_sum_ns,
	};
	for (uint32_t i = 0; health->suspended > 0 && i < health->prober_count; i++) {
		if (!health->probers[i]->is_suspended)
			continue;
		totals->reason = health->probers[i]->error;
		break;
	}
}

void health_set_host(struct health *health, const struct health_host *host)
{
	health->host = *host;
}

void health_look_again(struct health *health)
{
	for (uint32_t i = 0; health->cut_off > 0 && i < health->prober_count; i++)
		prober_look_again(health->probers[i]);
}

void health_observe(struct health *health, void (*started)(void *context, uint64_t late_ns),
		    void *context)
{
	health->started = started;
	health->started_context = context;
}

void health_close(struct health *health)
{
	if (health == NULL)
		return;
	for (uint32_t i = 0; i < health->prober_count; i++)
		prober_stop(health->probers[i], true);
	health_unset_tunnel(health);
	for (uint32_t i = 0; i < health->check_count; i++) {
		http_client_put(health, health->checks[i]->client);
		check_release(health->checks[i]);
	}
	free(health->checks);
	free(health->probers);
	free(health->slots);
	free(health->pool_first);
	curl_global_cleanup();
	health->is_closed = true;
	uv_close((uv_handle_t *)&health->http_timer, on_timer_closed);
	uv_close((uv_handle_t *)&health->log.timer, on_timer_closed);
	poller_close(&health->poller, on_poller_closed);
}
