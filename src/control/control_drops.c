/* SPDX-License-Identifier: BSD-2-Clause */
/* What was lost lately: counters only grow, so two older readings are kept beside them. */
#include <errno.h>
#include <stdlib.h>

#include "control_answers.h"

struct control_drops {
	struct control_recent last;	   /* up to CONTROL_DROPS_SECONDS old */
	struct control_recent before_last; /* as much older */
};

/* All workers' counters as they are now. */
static void read_counters(const struct daemon *daemon, struct control_recent *now)
{
	*now = (struct control_recent){ 0 };
	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		const struct counters *counters = worker_counters(daemon->workers[i]);
		struct xsk_statistics statistics = { 0 };

		for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
			now->drops[reason] += counter_read(&counters->dropped[reason]);
		now->received += counter_read(&counters->received.packets);
		xsk_port_read_statistics(worker_port(daemon->workers[i]), &statistics);
		now->lost += statistics.rx_dropped + statistics.rx_ring_full;
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct control_answers *answers = timer->data;

	answers->drops->before_last = answers->drops->last;
	read_counters(answers->daemon, &answers->drops->last);
}

void control_drops_read(const struct control_answers *answers, struct control_recent *recent)
{
	const struct control_recent *before = &answers->drops->before_last;

	read_counters(answers->daemon, recent);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		recent->drops[reason] -= before->drops[reason];
	recent->received -= before->received;
	recent->lost -= before->lost;
}

int control_drops_open(struct control_answers *answers)
{
	uv_timer_t *timer = &answers->daemon->drops_timer;

	answers->drops = calloc(1, sizeof(*answers->drops));
	if (answers->drops == NULL)
		return -ENOMEM;
	uv_timer_init(&answers->daemon->loop, timer);
	timer->data = answers;
	uv_timer_start(timer, on_tick, CONTROL_DROPS_SECONDS * 1000, CONTROL_DROPS_SECONDS * 1000);
	return 0;
}

void control_drops_close(struct control_answers *answers)
{
	if (answers->drops == NULL)
		return;
	uv_timer_stop(&answers->daemon->drops_timer);
	free(answers->drops);
	answers->drops = NULL;
}
