/* SPDX-License-Identifier: BSD-2-Clause */
/* Surveys of the connection tables: one after the other, and in each one worker after the other, so
 * that one set of counts does for all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control_answers.h"

/* How often a worker is looked at that has a survey to do. */
#define TICK_MS 2

/* A worker that takes longer is stalled: the largest table, of 2^21 buckets, takes one that is busy
 * under a second. */
#define PATIENCE_NS UINT64_C(4000000000)

/* Memory that is there when a worker writes to it: no page is touched for the first time. */
static void *allocate(size_t count, size_t size)
{
	volatile char *memory = calloc(count, size);

	for (size_t i = 0; memory != NULL && i < count * size; i += 4096)
		memory[i] = 0;
	return (void *)memory;
}

static void release(struct control_survey *survey)
{
	free(survey->survey.backends);
	free(survey->survey.tags);
	free(survey->survey.samples);
	free(survey->sample_ends);
	free(survey->places);
	free(survey);
}

struct control_survey *control_survey_open(struct control_answers *answers,
					   struct control_call *call, control_survey_done *done)
{
	struct control_survey *survey = calloc(1, sizeof(*survey));

	if (survey == NULL) {
		control_refuse(call, "%s", strerror(ENOMEM));
		return NULL;
	}
	survey->answers = answers;
	survey->call = call;
	survey->done = done;
	survey->survey.sample_backend = SURVEY_NO_BACKEND;
	return survey;
}

/* What the survey asks, by the tables that are active now. */
static int prepare(struct control_survey *survey)
{
	const struct daemon *daemon = survey->answers->daemon;
	const struct forwarding_tables *tables = daemon->tables;
	struct connection_survey *asked = &survey->survey;

	free(asked->backends);
	free(asked->tags);
	free(asked->samples);
	asked->backend_count = tables->index_limit;
	asked->backends = allocate(tables->index_limit + 1, sizeof(*asked->backends));
	asked->tags = allocate((size_t)tables->pool_count * SURVEY_TAGS + 1, sizeof(*asked->tags));
	asked->samples = allocate(asked->sample_room + 1, sizeof(*asked->samples));
	free(survey->sample_ends);
	survey->sample_ends = calloc(daemon->worker_count + 1, sizeof(*survey->sample_ends));
	if (asked->backends == NULL || asked->tags == NULL || asked->samples == NULL ||
	    survey->sample_ends == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < tables->index_limit; i++)
		asked->backends[i].generation = SURVEY_NO_BACKEND;
	for (uint32_t i = 0; i < tables->backend_count; i++) {
		const struct forwarding_backend *backend = &tables->backends[i];

		asked->backends[backend->index].pool = backend->pool;
		if (!backend->is_down)
			asked->backends[backend->index].generation = backend->generation;
	}
	asked->flows = asked->stale = 0;
	memset(asked->states, 0, sizeof(asked->states));
	asked->sample_count = asked->sample_skip = 0;
	survey->generation = daemon->metrics.generation;
	survey->worker = 0;
	return 0;
}

/* Every so many flows, so that a sample of all fits and is spread over the tables. */
static void choose_stride(struct control_survey *survey)
{
	const struct daemon *daemon = survey->answers->daemon;
	struct connection_survey *asked = &survey->survey;
	uint64_t flows = 0;

	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		struct worker_report report;

		worker_read_report(daemon->workers[i], &report);
		flows += report.connections;
	}
	asked->sample_stride = 1;
	if (asked->sample_backend == SURVEY_NO_BACKEND && asked->sample_room > 0 &&
	    flows > asked->sample_room)
		asked->sample_stride = (uint32_t)(flows / asked->sample_room);
}

static void begin_worker(struct control_survey *survey)
{
	survey->survey.position = 0;
	survey->began_ns = clock_ns();
	worker_survey(survey->answers->daemon->workers[survey->worker], &survey->survey);
}

/* Where each index is in the tables of now, by which it is named. */
static int find_places(struct control_survey *survey)
{
	const struct forwarding_tables *tables = survey->answers->daemon->tables;
	uint32_t count = survey->survey.backend_count;

	survey->places = malloc((count + 1) * sizeof(*survey->places));
	if (survey->places == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		survey->places[i] = SURVEY_NO_BACKEND;
	for (uint32_t i = 0; i < tables->backend_count; i++)
		if (tables->backends[i].index < count)
			survey->places[tables->backends[i].index] = i;
	return 0;
}

static void begin(struct control_answers *answers);

/* The first of the queue is over. */
static void finish(struct control_answers *answers, int error)
{
	struct control_survey *survey = answers->surveys;

	answers->surveys = survey->next;
	if (survey->call == NULL)
		; /* it has got its answer */
	else if (error == 0 && find_places(survey) == 0)
		survey->done(survey);
	else
		control_refuse(survey->call, "%s", strerror(ENOMEM));
	release(survey);
	begin(answers);
}

/* A worker does not get on. What it was given stays its own until it does. */
static void give_up(struct control_answers *answers)
{
	struct control_survey *first = answers->surveys;
	const struct worker *worker = answers->daemon->workers[first->worker];

	for (struct control_survey *survey = first; survey != NULL; survey = survey->next) {
		if (survey->call != NULL)
			control_refuse(survey->call, "the worker of %s queue %u does not answer",
				       worker_interface(worker), worker_queue(worker));
		survey->call = NULL;
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct control_answers *answers = timer->data;
	struct daemon *daemon = answers->daemon;
	struct control_survey *survey = answers->surveys;

	if (worker_is_surveying(daemon->workers[survey->worker])) {
		if (clock_ns() - survey->began_ns > PATIENCE_NS)
			give_up(answers);
		return;
	}
	survey->sample_ends[survey->worker] = survey->survey.sample_count;
	if (survey->call == NULL) {
		finish(answers, 0);
	} else if (survey->generation != daemon->metrics.generation) {
		/* A reload came in between: indexes of pools are other ones. */
		begin(answers);
	} else if (++survey->worker < daemon->worker_count) {
		begin_worker(survey);
	} else {
		finish(answers, 0);
	}
}

/* Begins with the first of the queue. */
static void begin(struct control_answers *answers)
{
	struct control_survey *survey = answers->surveys;

	if (survey == NULL) {
		uv_timer_stop(&answers->daemon->survey_timer);
		return;
	}
	if (survey->call == NULL || prepare(survey) != 0) {
		finish(answers, -ENOMEM);
		return;
	}
	choose_stride(survey);
	begin_worker(survey);
	uv_timer_start(&answers->daemon->survey_timer, on_tick, 1, TICK_MS);
}

void control_survey_start(struct control_survey *survey)
{
	struct control_answers *answers = survey->answers;
	struct control_survey **end = &answers->surveys;

	while (*end != NULL)
		end = &(*end)->next;
	*end = survey;
	if (answers->surveys == survey)
		begin(answers);
}

void control_surveys_open(struct control_answers *answers)
{
	uv_timer_init(&answers->daemon->loop, &answers->daemon->survey_timer);
	answers->daemon->survey_timer.data = answers;
}

void control_surveys_close(struct control_answers *answers)
{
	uv_timer_stop(&answers->daemon->survey_timer);
	while (answers->surveys != NULL) {
		struct control_survey *survey = answers->surveys;

		answers->surveys = survey->next;
		if (survey->call != NULL)
			control_refuse(survey->call, "the daemon stops");
		release(survey);
	}
}
