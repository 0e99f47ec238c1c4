/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What requests on the control socket mean: shared by control_answers.c and the files control_*.c
 * that answer one command each.
 */
#ifndef FLUXPIN_CONTROL_ANSWERS_H
#define FLUXPIN_CONTROL_ANSWERS_H

#include <fluxpin/control.h>

#include "daemon_internal.h"

struct control_answers {
	struct daemon *daemon;
	struct control *control;
	uint64_t started_ns;
};

/* Each answers its command: the call ends now or later. */
typedef void control_answer(struct control_answers *answers, struct control_call *call,
			    const json_t *request);

control_answer control_status;

/* ---- control_answers.c ---- */

/* Whether the request has "command" and nothing else; the call is refused if it has more. */
bool control_takes_nothing(struct control_call *call, const json_t *request);

/* Counters are below 2^63. */
json_t *control_number(uint64_t number);

/* ---- control_worker.c: a worker as JSON ---- */
json_t *control_worker(const struct daemon *daemon, const struct worker *worker);

/* {"reason": count} of the reasons with a count, of one worker or summed up. */
json_t *control_drops(const uint64_t drops[static DROP_REASON_COUNT]);

#endif
