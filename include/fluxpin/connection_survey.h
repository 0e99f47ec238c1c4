/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A survey of a connection table: how many flows are there, by state, backend and VIP, a sample of
 * them, or one of them by its hash. The table is its worker's alone, so the worker does the
 * counting, a few buckets between two batches, and the control thread gives it everything to count
 * in: no memory is allocated, and none is touched for the first time.
 *
 * Only live entries count. What comes or goes while the survey is under way may be missed, and an
 * entry that is moved within the table may be missed or counted twice; both are rare.
 *
 * An entry does not hold its VIP, but the low 8 bits of the VIP's index (connection.vip_tag), as it
 * was when the flow got its backend. Together with the backend's pool that tells the VIP, unless
 * two VIPs of one pool have indexes with the same low 8 bits.
 *
 * Thread: see each function. No function allocates or makes a system call.
 */
#ifndef FLUXPIN_CONNECTION_SURVEY_H
#define FLUXPIN_CONNECTION_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/connection_table.h>

#define SURVEY_TAGS	  256
#define SURVEY_NO_BACKEND UINT32_MAX

/* What is asked about a backend index, and counted for it. */
struct survey_backend {
	uint32_t generation; /* entries of another one are stale; SURVEY_NO_BACKEND: all are */
	uint32_t pool;	     /* whose tags its flows are counted in */
	uint32_t flows;
	uint32_t closing; /* of these, in the state CLOSING */
};

struct survey_sample {
	uint64_t hash;
	uint16_t backend;
	uint16_t age; /* seconds since it was last seen */
	uint8_t state;
	uint8_t vip_tag;
	bool is_stale;
};

struct connection_survey {
	/* What is asked; zero of counts. The memory is the control thread's. */
	struct survey_backend *backends; /* by index */
	uint32_t backend_count;		 /* entries of indexes from here on are stale */
	uint32_t *tags;			 /* flows by pool * SURVEY_TAGS + tag */
	struct survey_sample *samples;
	uint32_t sample_room;
	uint32_t sample_stride;	 /* every so many flows are put into the sample; at least 1 */
	uint32_t sample_backend; /* only flows of this index, or SURVEY_NO_BACKEND for all */
	bool is_lookup;		 /* of `hash` alone: the one sample tells it, or there is none */
	uint64_t hash;

	/* What was found, added to what is there. */
	uint64_t flows;
	uint64_t stale; /* whose backend no longer serves, not in flows */
	uint64_t states[CONNECTION_STATE_COUNT];
	uint32_t sample_count;

	/* How far it is: zero at the start. */
	uint32_t position;
	uint32_t sample_skip;
};

/*
 * Goes over the next `budget` buckets. Returns whether all have been visited. Thread: the table's
 * worker.
 */
bool connection_survey_step(struct connection_survey *survey, const struct connection_table *table,
			    uint64_t second, uint32_t budget);

#endif
