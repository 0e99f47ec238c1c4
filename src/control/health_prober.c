/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "configuration_internal.h"
#include "health_internal.h"

/* Timers that run out by so much too late tell of more than a busy loop. */
#define HELD_UP_NS UINT64_C(10000000)

struct prober *prober_new(struct health *health, struct check *check, const struct address *address)
{
	struct prober *prober = calloc(1, sizeof(*prober));

	if (prober == NULL)
		return NULL;
	prober->health = health;
	prober->check = check;
	prober->address = *address;
	prober->descriptor = -1;
	prober->machine.is_up = !check->configuration.starts_down;
	check->users++;
	return prober;
}

static bool is_http(const struct prober *prober)
{
	return prober->check->configuration.type == HEALTH_CHECK_HTTP ||
	       prober->check->configuration.type == HEALTH_CHECK_HTTPS;
}

static void cancel(struct prober *prober)
{
	if (is_http(prober))
		probe_http_cancel(prober);
	else
		probe_socket_cancel(prober);
}

static void on_timer(uv_timer_t *timer);

/* The timer serves the probe under way, which may not take longer than the interval, and then the
 * next one: from start to start, so that slow answers do not make probes fewer. */
static void wait_for_next(struct prober *prober)
{
	health_start_timer(prober->health, &prober->timer, on_timer, prober->due_ns);
}

static void start_probe(struct prober *prober, uint64_t now_ns)
{
	const struct health_check_configuration *check = &prober->check->configuration;
	struct health *health = prober->health;
	uint64_t late_ns = now_ns > prober->due_ns ? now_ns - prober->due_ns : 0;

	health->probes++;
	health->late_sum_ns += late_ns;
	health->latest_ns = late_ns > health->latest_ns ? late_ns : health->latest_ns;
	if (health->started != NULL)
		health->started(health->started_context, late_ns);
	health->under_way++;
	prober->is_probing = true;
	prober->is_prolonged = false;
	prober->started_ns = now_ns;
	prober->due_ns =
		health_align(now_ns + health_next_delay(check->interval_ns, health_random(health)),
			     check->interval_ns);
	health_start_timer(health, &prober->timer, on_timer, now_ns + check->timeout_ns);
	if (is_http(prober))
		probe_http_start(prober);
	else
		probe_socket_start(prober);
}

/*
 * When this thread was held up, by a reload or a pause of the whole machine, the answer may be
 * there and not be read yet: timers are looked at before sockets again. The probe gets the time
 * that was lost, once.
 */
static bool prolong(struct prober *prober)
{
	uint64_t timeout_ns = prober->check->configuration.timeout_ns, now_ns = clock_ns();
	uint64_t end_ns = prober->started_ns + timeout_ns;
	uint64_t late_ns = now_ns > end_ns ? now_ns - end_ns : 0;

	if (prober->is_prolonged || late_ns < HELD_UP_NS)
		return false;
	prober->is_prolonged = true;
	health_start_timer(prober->health, &prober->timer, on_timer,
			   now_ns + (late_ns < timeout_ns ? late_ns : timeout_ns));
	return true;
}

static void on_timer(uv_timer_t *timer)
{
	struct prober *prober = timer->data;
	char text[64], duration[32];

	if (!prober->is_probing) {
		start_probe(prober, clock_ns());
		return;
	}
	if (prolong(prober))
		return;
	snprintf(text, sizeof(text), "no answer within %s",
		 duration_format(prober->check->configuration.timeout_ns, duration));
	prober_fail(prober, text);
}

/* What became of the last probe, for those who ask and for the log. */
static void note_suspension(struct prober *prober, bool is_suspended, bool is_cut_off)
{
	struct health *health = prober->health;
	uint32_t before = health->cut_off;

	health->suspended += (uint32_t)is_suspended - (uint32_t)prober->is_suspended;
	health->cut_off += (uint32_t)is_cut_off - (uint32_t)prober->is_cut_off;
	prober->is_suspended = is_suspended;
	prober->is_cut_off = is_cut_off;
	if (before == 0 && health->cut_off > 0)
		health_log_cut_off(prober->error);
	else if (before > 0 && health->cut_off == 0)
		health_log_reached();
}

static bool is_cut_off(const struct prober *prober, uint64_t since_ns,
		       char reason[HEALTH_ERROR_SIZE])
{
	const struct health_host *host = &prober->health->host;
	const struct health_failure failure = { .pool = prober->pool,
						.backend = prober->backend,
						.since_ns = since_ns,
						.good_ns = prober->good_ns };

	return host->is_cut_off != NULL &&
	       host->is_cut_off(host->context, &failure, reason, HEALTH_ERROR_SIZE);
}

void prober_look_again(struct prober *prober)
{
	const struct health_check_configuration *check = &prober->check->configuration;
	struct health *health = prober->health;
	char reason[HEALTH_ERROR_SIZE];
	uint64_t now_ns = clock_ns();

	if (!prober->is_cut_off || prober->is_hastened || is_cut_off(prober, UINT64_MAX, reason))
		return;
	if (prober->is_probing) {
		cancel(prober);
		prober->is_probing = false;
		health->under_way--;
	}
	prober->is_hastened = true;
	/* Not all at once, but well before an interval is over. */
	prober->due_ns =
		health_align(now_ns + health_first_delay(check->timeout_ns, health_random(health)),
			     check->interval_ns);
	wait_for_next(prober);
}

void prober_fail(struct prober *prober, const char *error)
{
	cancel(prober);
	prober_finish(prober, PROBE_BAD, error);
}

void prober_finish(struct prober *prober, enum probe_outcome outcome, const char *error)
{
	struct health *health = prober->health;
	bool is_good = outcome == PROBE_GOOD, has_way = true;
	uint64_t now_ns = clock_ns();
	char reason[HEALTH_ERROR_SIZE];

	prober->is_probing = false;
	prober->is_hastened = false;
	health->under_way--;
	if (outcome == PROBE_BAD && is_cut_off(prober, prober->started_ns, reason)) {
		outcome = PROBE_UNDECIDED;
		has_way = false;
		error = reason;
	}
	snprintf(prober->error, sizeof(prober->error), "%s", error != NULL ? error : "");
	text_make_printable(prober->error);
	wait_for_next(prober);
	note_suspension(prober, outcome == PROBE_UNDECIDED, !has_way);
	if (outcome == PROBE_UNDECIDED) {
		health->undecided++;
		if (has_way)
			health_log_undecided(prober, prober->error);
		return;
	}
	if (is_good) {
		prober->probes_good++;
		prober->latency_ns = now_ns - prober->started_ns;
		prober->good_ns = prober->started_ns;
	} else {
		prober->probes_bad++;
	}
	if (!health_machine_take(&prober->machine, &prober->check->configuration, is_good, now_ns))
		return;
	health_log_transition(prober);
	health->changed(health->context);
}

void prober_start(struct prober *prober)
{
	struct health *health = prober->health;
	uint64_t interval_ns;

	uv_timer_init(health->loop, &prober->timer);
	health_handle_opened(health);
	prober->timer.data = prober;
	if (prober->machine.since_ns == 0)
		prober->machine.since_ns = clock_ns();
	interval_ns = prober->check->configuration.interval_ns;
	prober->due_ns = health_align(
		clock_ns() + health_first_delay(interval_ns, health_random(health)), interval_ns);
	wait_for_next(prober);
}

static void release(struct prober *prober)
{
	probe_http_release(prober);
	free(prober);
}

static void on_closed(uv_handle_t *handle)
{
	struct prober *prober = handle->data;
	struct health *health = prober->health;

	release(prober);
	health_handle_closed(health);
}

void prober_stop(struct prober *prober, bool was_started)
{
	if (prober->is_probing) {
		cancel(prober);
		prober->health->under_way--;
	}
	health_tunnel_forget(prober);
	prober->health->suspended -= prober->is_suspended;
	prober->health->cut_off -= prober->is_cut_off;
	prober->is_probing = false;
	prober->check->users--;
	prober->check = NULL;
	if (was_started)
		uv_close((uv_handle_t *)&prober->timer, on_closed);
	else
		release(prober);
}
