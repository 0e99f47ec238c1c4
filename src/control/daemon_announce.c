/* SPDX-License-Identifier: BSD-2-Clause */
/* The routes by which VIPs are announced follow what can be served. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <fluxpin/announce.h>
#include <fluxpin/duration.h>
#include <fluxpin/log.h>

#include "announcing.h"

/* How many looks of the watchdog there are between two comparisons with the kernel's table. */
#define REFRESH_TICKS 100

/* Lines about VIPs at a time. */
#define TOLD_LINES 20

static void tell_vip(const struct daemon *daemon, const struct vip_configuration *vip,
		     const struct announcing_ability *abilities, const char *obstacle,
		     bool is_announced)
{
	char text[ADDRESS_TEXT_SIZE], reason[ANNOUNCING_REASON_SIZE];

	prefix_format(&vip->prefix, text);
	if (is_announced) {
		log_info("VIP %s: %s is announced", vip->name, text);
		return;
	}
	announcing_explain(daemon, vip, abilities, obstacle, reason);
	log_warning("VIP %s: %s is withdrawn: %s", vip->name, text, reason);
}

/* `before` are the answers of announce_has, by VIP. */
static void tell(const struct daemon *daemon, const bool *before,
		 const struct announcing_ability *abilities, const char *obstacle)
{
	const struct configuration *configuration = daemon->configuration;
	uint32_t told = 0;

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];
		bool now =
			vip->announce && announce_has(daemon->announcing->announce, &vip->prefix);

		if (now != before[i] && told++ < TOLD_LINES)
			tell_vip(daemon, vip, abilities, obstacle, now);
	}
	if (told > TOLD_LINES)
		log_info("VIPs beside these that are announced or withdrawn now: %u",
			 told - TOLD_LINES);
}

/* The prefixes to announce, each once, into `wanted`; returns how many. */
static uint32_t choose(const struct daemon *daemon, const struct announcing_ability *abilities,
		       struct prefix *wanted)
{
	const struct configuration *configuration = daemon->configuration;
	uint32_t count = 0, kept = 0;

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];

		if (vip->announce && announcing_is_able(vip, &abilities[vip->pool]))
			wanted[count++] = vip->prefix;
	}
	if (count > 0)
		qsort(wanted, count, sizeof(*wanted), prefix_compare);
	for (uint32_t i = 0; i < count; i++)
		if (kept == 0 || prefix_compare(&wanted[kept - 1], &wanted[i]) != 0)
			wanted[kept++] = wanted[i];
	return kept;
}

void daemon_announce_update(struct daemon *daemon)
{
	const struct configuration *configuration = daemon->configuration;
	struct announcing *announcing = daemon->announcing;
	struct announcing_ability *abilities;
	struct prefix *wanted;
	const char *obstacle;
	uint32_t count = 0;
	int error = -ENOMEM;
	bool *before;

	if (announcing == NULL || announcing->announce == NULL)
		return;
	obstacle = announcing_obstacle(daemon);
	abilities = calloc(configuration->pool_count + 1, sizeof(*abilities));
	wanted = calloc(configuration->vip_count + 1, sizeof(*wanted));
	before = calloc(configuration->vip_count + 1, sizeof(*before));
	if (abilities == NULL || wanted == NULL || before == NULL)
		goto out;
	for (uint32_t i = 0; i < configuration->vip_count; i++)
		before[i] = configuration->vips[i].announce &&
			    announce_has(announcing->announce, &configuration->vips[i].prefix);
	announcing_read_abilities(daemon, abilities);
	if (obstacle == NULL)
		count = choose(daemon, abilities, wanted);
	error = announce_set(announcing->announce, wanted, count);
	if (error == 0)
		tell(daemon, before, abilities, obstacle);
out:
	if (error != 0) {
		/* Rather not announced than announced by chance. */
		log_error("announcing VIPs: %s: all are withdrawn", strerror(-error));
		announce_withdraw(announcing->announce);
	}
	free(before);
	free(wanted);
	free(abilities);
}

void daemon_announce_stop(struct daemon *daemon)
{
	uint32_t count;

	if (daemon->announcing == NULL || daemon->announcing->announce == NULL)
		return;
	count = announce_count(daemon->announcing->announce);
	announce_withdraw(daemon->announcing->announce);
	if (count > 0)
		log_warning("withdrew all announced prefixes: %u", count);
}

void daemon_announce_tick(struct daemon *daemon)
{
	struct announcing *announcing = daemon->announcing;
	int error;

	if (announcing == NULL || announcing->announce == NULL)
		return;
	error = announce_drain(announcing->announce);
	if (error != 0)
		log_warning("listening to routes: %s", strerror(-error));
	if (announcing->ticks++ % REFRESH_TICKS == REFRESH_TICKS - 1)
		announce_refresh(announcing->announce);
}

int daemon_open_announce(struct daemon *daemon)
{
	struct announcing *announcing = calloc(1, sizeof(*announcing));
	int error = 0;

	if (announcing == NULL)
		return -ENOMEM;
	daemon->announcing = announcing;
	uv_timer_init(&daemon->loop, &daemon->linger_timer);
	daemon->linger_timer.data = daemon;
	if (daemon->configuration->announce.is_on)
		error = announce_open(daemon->configuration->announce.table, &announcing->announce);
	/* Not by what was known of the NICs before the XDP programs came, which may cost carrier.
	 */
	if (error == 0)
		daemon_settle(daemon);
	return error;
}

int daemon_begin_announce(struct daemon *daemon, const struct configuration *new)
{
	struct announcing *announcing = daemon->announcing;

	if (!new->announce.is_on || (announcing->announce != NULL &&
				     announce_table(announcing->announce) == new->announce.table))
		return 0;
	return announce_open(new->announce.table, &announcing->next);
}

void daemon_end_announce(struct daemon *daemon, bool is_active)
{
	struct announcing *announcing = daemon->announcing;
	struct announce *old = announcing->announce;

	if (!is_active) {
		announce_close(announcing->next);
	} else if (!daemon->configuration->announce.is_on || announcing->next != NULL) {
		announcing->announce = announcing->next;
		daemon_announce_update(daemon);
		announce_close(old);
	} else {
		daemon_announce_update(daemon);
	}
	announcing->next = NULL;
}

bool daemon_vip_is_announced(const void *context, uint32_t vip, bool *is_announced)
{
	const struct daemon *daemon = context;
	const struct vip_configuration *configuration = &daemon->configuration->vips[vip];
	const struct announcing *announcing = daemon->announcing;

	if (!configuration->announce)
		return false;
	*is_announced = announcing != NULL && announcing->announce != NULL &&
			announce_has(announcing->announce, &configuration->prefix);
	return true;
}

void daemon_each_withdrawn(const struct daemon *daemon,
			   void (*take)(void *context, const char *vip, const char *reason),
			   void *context)
{
	const struct configuration *configuration = daemon->configuration;
	struct announcing_ability *abilities;
	const char *obstacle;

	if (daemon->announcing == NULL)
		return;
	abilities = calloc(configuration->pool_count + 1, sizeof(*abilities));
	if (abilities == NULL)
		return;
	obstacle = announcing_obstacle(daemon);
	announcing_read_abilities(daemon, abilities);
	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		char reason[ANNOUNCING_REASON_SIZE];
		bool is_announced;

		if (!daemon_vip_is_announced(daemon, i, &is_announced) || is_announced)
			continue;
		announcing_explain(daemon, &configuration->vips[i], abilities, obstacle, reason);
		take(context, configuration->vips[i].name, reason);
	}
	free(abilities);
}

static void on_linger_timer(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;

	log_info("stopping");
	uv_stop(&daemon->loop);
}

bool daemon_linger(struct daemon *daemon)
{
	uint64_t linger_ms =
		daemon->configuration->announce.linger_ns / NANOSECONDS_PER_MILLISECOND;
	struct announcing *announcing = daemon->announcing;

	if (announcing == NULL || announcing->announce == NULL || announcing->is_lingering ||
	    linger_ms == 0)
		return false;
	announcing->is_lingering = true;
	daemon_announce_update(daemon);
	log_info("VIPs are withdrawn; stopping in %llu ms, or at once at another signal",
		 (unsigned long long)linger_ms);
	uv_timer_start(&daemon->linger_timer, on_linger_timer, linger_ms, 0);
	return true;
}

void daemon_close_announce(struct daemon *daemon)
{
	if (daemon->announcing == NULL)
		return;
	announce_close(daemon->announcing->announce);
	free(daemon->announcing);
	daemon->announcing = NULL;
}
