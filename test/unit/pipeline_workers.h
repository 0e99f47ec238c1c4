/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers of one NIC, as struct setup sets each up, and what they hand over to each other. */
#ifndef FLUXPIN_TEST_PIPELINE_WORKERS_H
#define FLUXPIN_TEST_PIPELINE_WORKERS_H

#include "pipeline_setup.h"

#define WORKERS_MOST	    4
#define WORKERS_INBOX_SLOTS 256

struct workers {
	struct setup *setups[WORKERS_MOST];
	struct inbox *inboxes[WORKERS_MOST];
	uint32_t count;
};

static inline int workers_open(void **state, uint32_t count)
{
	struct workers *workers = calloc(1, sizeof(*workers));

	assert_non_null(workers);
	workers->count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct pipeline *pipeline;

		if (setup_open((void **)&workers->setups[i]) != 0)
			return -1;
		workers->setups[i]->port.is_free_form = true;
		workers->inboxes[i] = aligned_alloc(64, sizeof(struct inbox));
		inbox_initialise(
			workers->inboxes[i],
			aligned_alloc(64, inbox_size(WORKERS_INBOX_SLOTS, TEST_FRAME_SIZE)),
			WORKERS_INBOX_SLOTS, TEST_FRAME_SIZE);
		pipeline = &workers->setups[i]->pipeline;
		pipeline->inboxes = workers->inboxes;
		pipeline->inbox_count = count;
		pipeline->inbox_own = i;
	}
	*state = workers;
	return 0;
}

static inline int workers_close(void **state)
{
	struct workers *workers = *state;

	for (uint32_t i = 0; i < workers->count; i++) {
		void *setup = workers->setups[i];

		setup_close(&setup);
		free(workers->inboxes[i]->slots);
		free(workers->inboxes[i]);
	}
	free(workers);
	return 0;
}

/* Every frame is somewhere, and every packet counted once, by the worker that decided on it. */
static inline void workers_check(const struct workers *workers)
{
	for (uint32_t i = 0; i < workers->count; i++) {
		const struct setup *setup = workers->setups[i];
		const struct counters *counters = &setup->counters;

		memory_port_check(&setup->port, setup->fragments.held_count);
		assert_int_equal(counters->received.packets,
				 counters->forwarded.packets + counters->slow_path +
					 counters->answered + setup_dropped(setup) +
					 setup->fragments.held_count);
	}
}

static inline void workers_publish(struct workers *workers)
{
	for (uint32_t i = 0; i < workers->count; i++)
		setup_publish(workers->setups[i]);
}

/* Backends come in all of them: choices change, and no flow on record. */
static inline void workers_change_choices(struct workers *workers)
{
	for (uint32_t i = 0; i < workers->count; i++)
		for (uint16_t backend = 5; backend <= 9; backend++)
			setup_add_backend(workers->setups[i], backend, 0);
	workers_publish(workers);
}

static inline uint64_t workers_handed_over(const struct workers *workers)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < workers->count; i++)
		count += workers->setups[i]->counters.handed_over;
	return count;
}

/* Until there is nothing left to do; checks after each batch. */
static inline void workers_run(struct workers *workers)
{
	uint32_t count;

	do {
		count = 0;
		for (uint32_t i = 0; i < workers->count; i++) {
			struct setup *setup = workers->setups[i];

			count += pipeline_run(&setup->pipeline, &setup->forwarding, setup->now);
			workers_check(workers);
		}
	} while (count > 0);
}

#endif
