/* SPDX-License-Identifier: BSD-2-Clause */
/* Surveys: every live flow is counted once, by what it is, whatever the pace. */
#include <fluxpin/connection_survey.h>

#include "connection_setup.h"

#define CAPACITY 4096
#define FLOWS	 1500
#define BACKENDS 7
#define POOLS	 2
#define AGES	 50
#define NOW	 1000

struct setup {
	struct connection_table table;
	struct connection_survey survey;
	struct survey_backend backends[BACKENDS];
	uint32_t tags[POOLS * SURVEY_TAGS];
	struct survey_sample samples[FLOWS];
};

static uint64_t hash_of(uint32_t i)
{
	return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Flow i: backend i % BACKENDS under generation 1, tag i % 5, established or closing, last seen i %
 * AGES seconds ago. */
static void fill(struct setup *setup)
{
	memset(setup, 0, sizeof(*setup));
	open_table(&setup->table, CAPACITY);
	/* In the order of their times, as on a clock. */
	for (uint32_t j = 0; j < FLOWS; j++) {
		uint32_t age = AGES - 1 - j / (FLOWS / AGES);
		uint32_t i = age + AGES * (j % (FLOWS / AGES));
		struct connection *entry =
			connection_insert(&setup->table, hash_of(i),
					  i % 3 == 0 ? CONNECTION_CLOSING : CONNECTION_ESTABLISHED,
					  (uint16_t)(i % BACKENDS), 1, NOW - age);

		assert_non_null(entry);
		entry->vip_tag = (uint8_t)(i % 5);
	}
	for (uint32_t i = 0; i < BACKENDS; i++)
		setup->backends[i] = (struct survey_backend){ .generation = 1, .pool = i % POOLS };
	setup->survey = (struct connection_survey){
		.backends = setup->backends,
		.backend_count = BACKENDS,
		.tags = setup->tags,
		.samples = setup->samples,
		.sample_stride = 1,
		.sample_backend = SURVEY_NO_BACKEND,
	};
}

/* Returns how many steps it took. */
static uint32_t run(struct setup *setup, uint32_t budget)
{
	uint32_t steps = 1;

	while (!connection_survey_step(&setup->survey, &setup->table, NOW, budget))
		steps++;
	return steps;
}

static void every_flow_is_counted_by_backend_state_and_tag(void **state)
{
	static struct setup setup;

	(void)state;
	fill(&setup);
	assert_int_equal(run(&setup, 10), (CAPACITY / BUCKET_ENTRIES + 9) / 10);
	assert_int_equal(setup.survey.flows, FLOWS);
	assert_int_equal(setup.survey.stale, 0);
	assert_int_equal(setup.survey.states[CONNECTION_CLOSING], FLOWS / 3);
	assert_int_equal(setup.survey.states[CONNECTION_ESTABLISHED], FLOWS - FLOWS / 3);
	for (uint32_t backend = 0; backend < BACKENDS; backend++) {
		uint32_t flows = 0, closing = 0;

		for (uint32_t i = backend; i < FLOWS; i += BACKENDS) {
			flows++;
			closing += i % 3 == 0;
		}
		assert_int_equal(setup.backends[backend].flows, flows);
		assert_int_equal(setup.backends[backend].closing, closing);
	}
	for (uint32_t tag = 0; tag < 5; tag++)
		for (uint32_t pool = 0; pool < POOLS; pool++) {
			uint32_t flows = 0;

			for (uint32_t i = tag; i < FLOWS; i += 5)
				flows += i % BACKENDS % POOLS == pool;
			assert_int_equal(setup.tags[pool * SURVEY_TAGS + tag], flows);
		}
	close_table(&setup.table);
}

static void flows_of_backends_that_are_gone_are_stale(void **state)
{
	static struct setup setup;

	(void)state;
	fill(&setup);
	setup.backends[0].generation = 2; /* another one has the index now */
	setup.backends[1].generation = SURVEY_NO_BACKEND;
	setup.survey.backend_count = BACKENDS - 1;
	run(&setup, 1000);
	assert_int_equal(setup.backends[0].flows, 0);
	assert_int_equal(setup.backends[1].flows, 0);
	assert_int_equal(setup.backends[BACKENDS - 1].flows, 0);
	assert_int_equal(setup.survey.stale + setup.survey.flows, FLOWS);
	assert_in_range(setup.survey.stale, 3 * (FLOWS / BACKENDS), 3 * (FLOWS / BACKENDS) + 3);
	close_table(&setup.table);
}

static void dead_entries_do_not_count(void **state)
{
	static struct setup setup;
	uint32_t live = 0;

	(void)state;
	fill(&setup);
	connection_table_configure(&setup.table,
				   &(struct connection_settings){ .tcp_idle = 20,
								  .tcp_syn_idle = 20,
								  .tcp_closing_idle = 20,
								  .udp_idle = 20,
								  .other_idle = 20 });
	for (uint32_t i = 0; i < FLOWS; i++)
		live += i % AGES <= 20;
	run(&setup, 64);
	assert_int_equal(setup.survey.flows, live);
	close_table(&setup.table);
}

static void a_sample_is_bounded_and_spread(void **state)
{
	static struct setup setup;
	bool late = false;

	(void)state;
	fill(&setup);
	setup.survey.sample_room = 20;
	setup.survey.sample_stride = FLOWS / 20;
	run(&setup, 64);
	assert_int_equal(setup.survey.sample_count, 20);
	for (uint32_t i = 0; i < 20; i++) {
		const struct survey_sample *sample = &setup.samples[i];

		late |= connection_first_bucket(&setup.table, sample->hash) >
			&setup.table.buckets[setup.table.bucket_count * 3 / 4];
		assert_false(sample->is_stale);
		assert_in_range(sample->age, 0, AGES - 1);
	}
	assert_true(late);
	close_table(&setup.table);
}

static void a_sample_may_be_of_one_backend(void **state)
{
	static struct setup setup;

	(void)state;
	fill(&setup);
	setup.survey.sample_room = FLOWS;
	setup.survey.sample_backend = 3;
	run(&setup, 64);
	assert_int_equal(setup.survey.sample_count, setup.backends[3].flows);
	for (uint32_t i = 0; i < setup.survey.sample_count; i++)
		assert_int_equal(setup.samples[i].backend, 3);
	close_table(&setup.table);
}

static void one_flow_is_found_by_its_hash(void **state)
{
	static struct setup setup;

	(void)state;
	fill(&setup);
	setup.survey.is_lookup = true;
	setup.survey.sample_room = 2;
	setup.survey.hash = hash_of(17);
	assert_true(connection_survey_step(&setup.survey, &setup.table, NOW, 1));
	assert_int_equal(setup.survey.sample_count, 1);
	assert_int_equal(setup.samples[0].backend, 17 % BACKENDS);
	assert_int_equal(setup.samples[0].age, 17);
	assert_int_equal(setup.samples[0].vip_tag, 17 % 5);
	assert_int_equal(setup.samples[0].state, CONNECTION_ESTABLISHED);
	setup.survey.hash = 12345;
	assert_true(connection_survey_step(&setup.survey, &setup.table, NOW, 1));
	assert_int_equal(setup.survey.sample_count, 1);
	close_table(&setup.table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flow_is_counted_by_backend_state_and_tag),
		cmocka_unit_test(flows_of_backends_that_are_gone_are_stale),
		cmocka_unit_test(dead_entries_do_not_count),
		cmocka_unit_test(a_sample_is_bounded_and_spread),
		cmocka_unit_test(a_sample_may_be_of_one_backend),
		cmocka_unit_test(one_flow_is_found_by_its_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
