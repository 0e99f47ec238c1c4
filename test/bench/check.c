/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "check.h"

/* What happened between the two reports. */
struct differences {
	uint64_t dropped;
	uint64_t hits, misses, stale;
	uint64_t added; /* entries in the table, above those that went */
	uint64_t evictions, untracked;
};

static bool expect(const struct check *check, const char *what, uint64_t value, uint64_t expected)
{
	if (value == expected)
		return true;
	fprintf(stderr,
		"fluxpin-bench: not what was to be measured (mix %s, %" PRIu64 " packets): "
		"%s: %" PRIu64 ", not %" PRIu64 "\n",
		check->mix->name, check->packets, what, value, expected);
	return false;
}

static bool expect_nearly_all(const struct check *check, const char *what, uint64_t value,
			      const char *remedy)
{
	if (value >= check->packets - check->packets / 10)
		return true;
	fprintf(stderr,
		"fluxpin-bench: not what was to be measured (mix %s, %" PRIu64 " packets): "
		"%s: %" PRIu64 ", less than nine in ten%s\n",
		check->mix->name, check->packets, what, value, remedy);
	return false;
}

static struct differences subtract(const struct engine_report *before,
				   const struct engine_report *after)
{
	struct differences differences = {
		.hits = after->counters.lookups_hit - before->counters.lookups_hit,
		.misses = after->counters.lookups_miss - before->counters.lookups_miss,
		.stale = after->counters.lookups_stale - before->counters.lookups_stale,
		.added = after->tracked - before->tracked,
		.evictions = after->evictions - before->evictions,
		.untracked = after->untracked - before->untracked,
	};

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		differences.dropped +=
			after->counters.dropped[reason] - before->counters.dropped[reason];
	return differences;
}

static bool check_verdicts(const struct check *check, const struct engine_report *before,
			   const struct engine_report *after)
{
	const struct counters *old = &before->counters, *new = &after->counters;
	bool is_miss = check->mix->outcome == OUTCOME_MISS;
	uint64_t forwarded = is_miss ? 0 : check->packets;
	uint64_t sent_length = check->packet_length + check->header_length;
	bool ok = true;

	ok &= expect(check, "received", new->received.packets - old->received.packets,
		     check->packets);
	ok &= expect(check, "received bytes", new->received.bytes - old->received.bytes,
		     check->packets * check->frame_length);
	ok &= expect(check, "forwarded", new->forwarded.packets - old->forwarded.packets,
		     forwarded);
	ok &= expect(check, "forwarded bytes", new->forwarded.bytes - old->forwarded.bytes,
		     forwarded * sent_length);
	ok &= expect(check, "slow path", new->slow_path - old->slow_path,
		     is_miss ? check->packets : 0);
	ok &= expect(check, "answered", new->answered - old->answered, 0);
	ok &= expect(check, "parts sent", new->parts_sent - old->parts_sent, 0);
	return ok;
}

/* How lookups and insertions add up; each packet that misses tries to insert. */
static bool check_connections(const struct check *check, const struct differences *seen)
{
	uint64_t inserts = seen->added + seen->evictions + seen->untracked;
	bool ok = expect(check, "stale lookups", seen->stale, 0);

	if (check->mix->outcome == OUTCOME_HIT) {
		ok &= expect(check, "lookups", seen->hits + seen->misses, check->packets);
		ok &= expect(check, "insertions", inserts, seen->misses);
		return ok & expect_nearly_all(check, "hits", seen->hits,
					      ": raise --capacity or lower --flows");
	}
	ok &= expect(check, "lookups", seen->hits + seen->misses, 0);
	switch (check->mix->outcome) {
	case OUTCOME_NEW:
		ok &= expect(check, "insertions", inserts, check->packets);
		return ok & expect_nearly_all(check, "evictions", seen->evictions, "");
	case OUTCOME_SYN:
		return ok & expect_nearly_all(check, "entries found", check->packets - inserts,
					      ": raise --capacity or lower --flows");
	default:
		return ok & expect(check, "insertions", inserts, 0);
	}
}

bool check_reports(const struct check *check, const struct engine_report *before,
		   const struct engine_report *after)
{
	struct differences seen = subtract(before, after);
	bool ok = expect(check, "dropped", seen.dropped, 0);

	ok &= check_verdicts(check, before, after);
	ok &= check_connections(check, &seen);
	return ok;
}
