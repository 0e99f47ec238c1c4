/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What requests on the control socket mean: shared by control_answers.c and the files control_*.c
 * that answer one command each.
 */
#ifndef FLUXPIN_CONTROL_ANSWERS_H
#define FLUXPIN_CONTROL_ANSWERS_H

#include <fluxpin/control.h>

#include <fluxpin/connection_survey.h>
#include <fluxpin/explain.h>

#include "daemon_internal.h"

struct control_survey;

struct control_answers {
	struct daemon *daemon;
	struct control *control;
	uint64_t started_ns;
	struct control_survey *surveys; /* the first is under way, the others wait */
	json_t *drains;			/* by command: {"POOL/BACKEND": since, in milliseconds} */
	struct control_drops *drops;	/* control_drops.c */
};

/* Each answers its command: the call ends now or later. */
typedef void control_answer(struct control_answers *answers, struct control_call *call,
			    const json_t *request);

control_answer control_status;
control_answer control_connections;
control_answer control_backends;
control_answer control_vips;
control_answer control_configuration;
control_answer control_reload;
control_answer control_drain;
control_answer control_undrain;
control_answer control_flows;
control_answer control_warnings;

/* ---- control_answers.c ---- */

/* Whether the request has "command" and nothing else; the call is refused if it has more. */
bool control_takes_nothing(struct control_call *call, const json_t *request);

/* Counters are below 2^63. */
json_t *control_number(uint64_t number);

/* ---- control_survey.c: asks the workers about their connection tables ---- */

/* Called when all workers have answered: ends the survey's call. The survey is freed behind it. */
typedef void control_survey_done(struct control_survey *survey);

struct control_survey {
	struct connection_survey survey; /* the sample is to be set before it is started */
	struct control_answers *answers;
	struct control_call *call; /* NULL when it was given up */
	control_survey_done *done;
	struct explained_flow flow;			   /* of a lookup */
	char subject[2 * (CONFIGURATION_NAME_LENGTH + 1)]; /* POOL/BACKEND, of a drain */
	bool is_in_force;      /* of a drain: workers knew of it before the flows were counted */
	uint32_t *sample_ends; /* by worker: how many samples there are behind its own */
	uint32_t *places;      /* by backend index: of tables->backends, or SURVEY_NO_BACKEND */
	uint64_t generation;   /* of the configuration */
	uint32_t worker;       /* the one at work */
	uint64_t began_ns;
	struct control_survey *next;
};

/* NULL when there is no memory; the call is then refused. */
struct control_survey *control_survey_open(struct control_answers *answers,
					   struct control_call *call, control_survey_done *done);
void control_survey_start(struct control_survey *survey);

void control_surveys_open(struct control_answers *answers);

/* Ends those that wait; workers have stopped. */
void control_surveys_close(struct control_answers *answers);

/* ---- control_lookup.c: what "connections" says of one flow ---- */
void control_lookup(struct control_answers *answers, struct control_call *call, const char *text);

/* ---- control_names.c: backends, by their place in tables->backends ---- */

const char *control_pool_name(const struct daemon *daemon, uint32_t place);
const char *control_backend_name(const struct daemon *daemon, uint32_t place);

/* Finds "POOL/BACKEND"; the call is refused when there is none. */
bool control_find_backend(const struct daemon *daemon, struct control_call *call, const char *text,
			  uint32_t *place);

/* Flows of a backend, and those of them that are closing. */
uint32_t control_survey_flows(const struct control_survey *survey, uint32_t place,
			      uint32_t *closing);

/* Sample i, which is of that worker. */
json_t *control_entry(const struct control_survey *survey, uint32_t worker, uint32_t i);

/* ---- control_backends.c: "up", "down" or "unchecked" ---- */
const char *control_backend_state(const struct metrics_backend *described);

/* ---- control_drain.c: the drains in force by command ---- */
json_t *control_drains(const struct control_answers *answers);

/* ---- control_warnings.c ---- */

/* [{"about", "message"}] of what is wrong now. */
json_t *control_find_warnings(const struct control_answers *answers);

/* Adds one to the array; without memory it is left out. */
void control_warn(json_t *array, const char *about, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- control_warnings_service.c: those about backends, pools and VIPs ---- */
void control_warn_of_service(const struct control_answers *answers, json_t *array);

/* ---- control_drops.c: what was lost lately ---- */

#define CONTROL_DROPS_SECONDS 10

/* Counts since the second last time that this many seconds were over: of 10 to 20 seconds. */
struct control_recent {
	uint64_t drops[DROP_REASON_COUNT];
	uint64_t received;
	uint64_t lost; /* by the kernel at the sockets: rings full */
};

int control_drops_open(struct control_answers *answers);
void control_drops_close(struct control_answers *answers);
void control_drops_read(const struct control_answers *answers, struct control_recent *recent);

/* ---- control_worker.c: a worker as JSON ---- */
json_t *control_worker(const struct daemon *daemon, uint32_t number);

/* Whether it has not moved for longer than it may. */
bool control_is_stalled(const struct daemon *daemon, uint32_t number);

/* {"reason": count} of the reasons with a count, of one worker or summed up. */
json_t *control_drops(const uint64_t drops[static DROP_REASON_COUNT]);

#endif
