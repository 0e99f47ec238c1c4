/* SPDX-License-Identifier: BSD-2-Clause */
#include "traffic.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <fluxpin/clock.h>

#include "commands.h"
#include "statistics.h"
#include "traffic_frame.h"
#include "traffic_options.h"
#include "traffic_receiver.h"
#include "traffic_sender.h"

/* All has come back when nothing did for this long. */
#define QUIET_MS 100
/* Of this length, for what must come. */
#define MOST_WAITS 200

static const char *const form_labels[] = {
#define FORM_LABEL(symbol, label) [TRAFFIC_##symbol] = label,
	TRAFFIC_FORMS(FORM_LABEL)
#undef FORM_LABEL
};

/* Of a time at which it was looked. */
struct look {
	uint64_t time_ns;
	uint64_t sent;
	struct traffic_seen seen;
};

struct run {
	struct traffic_options options;
	struct traffic_receiver receiver;
	struct traffic_sender sender;
	struct look begin, end; /* of what is measured */
	struct look last;	/* when all has come back */
};

static bool look(struct run *run, struct look *look)
{
	/* One after the other without a pause, though the CPU may be taken away between them. */
	look->time_ns = clock_ns();
	look->sent = traffic_sender_sent(&run->sender);
	return traffic_receiver_read(&run->receiver, &look->seen);
}

static void pause_for(double seconds)
{
	struct timespec pause = { .tv_sec = (time_t)seconds };

	pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
	nanosleep(&pause, NULL);
}

static bool wait_for_quiet(struct run *run)
{
	uint64_t before;

	if (!look(run, &run->last))
		return false;
	for (int i = 0; i < MOST_WAITS; i++) {
		before = traffic_seen_frames(&run->last.seen);
		pause_for(QUIET_MS / 1e3);
		if (!look(run, &run->last))
			return false;
		if (traffic_seen_frames(&run->last.seen) == before)
			return true;
	}
	fputs("fluxpin-bench: frames do not cease to come\n", stderr);
	return false;
}

/* Whether what was to be measured has happened: on a busy machine, the sender may have had no time
 * yet. At a rate, it sends what it is behind with. */
static bool is_enough(const struct run *run)
{
	const struct traffic_options *options = &run->options;
	uint64_t sent = run->end.sent - run->begin.sent;

	if (options->rate > 0)
		return (double)sent >= options->rate * options->seconds;
	return traffic_seen_frames(&run->end.seen) > traffic_seen_frames(&run->begin.seen);
}

static bool measure(struct run *run)
{
	bool ok = true;

	if (!traffic_sender_start(&run->sender))
		return false;
	pause_for(run->options.warm_up);
	traffic_sender_measure(&run->sender);
	ok = look(run, &run->begin);
	pause_for(run->options.seconds);
	ok = look(run, &run->end) && ok;
	for (int i = 0; i < MOST_WAITS && ok && !is_enough(run); i++) {
		pause_for(QUIET_MS / 1e3);
		ok = look(run, &run->end);
	}
	return traffic_sender_stop(&run->sender) && ok && wait_for_quiet(run);
}

static json_t *latencies(const struct traffic_seen *seen)
{
	static const struct {
		const char *name;
		double share;
	} shares[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 } };
	json_t *document = json_object();
	uint64_t count = 0;

	for (uint32_t i = 0; i < TRAFFIC_BUCKETS; i++)
		count += seen->latencies[i];
	if (count == 0) {
		json_decref(document);
		return json_null();
	}
	json_object_set_new(document, "count", json_integer((json_int_t)count));
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		json_object_set_new(document, shares[i].name,
				    json_integer((json_int_t)traffic_seen_latency(
					    seen, count, shares[i].share)));
	json_object_set_new(document, "max", json_integer((json_int_t)seen->most_ns));
	return document;
}

static double per_second(const struct run *run, uint64_t begin, uint64_t end)
{
	return (double)(end - begin) * 1e9 / (double)(run->end.time_ns - run->begin.time_ns);
}

static json_t *result(const struct run *run)
{
	const struct traffic_seen *seen = &run->last.seen;
	uint64_t received = traffic_seen_frames(seen);
	json_t *forms = json_object();

	for (int form = 0; form < TRAFFIC_FORM_COUNT; form++)
		json_object_set_new(forms, form_labels[form],
				    json_integer((json_int_t)seen->frames[form]));
	return json_pack("{s:I, s:I, s:I, s:o, s:I, s:f, s:f, s:f, s:o, s:o}", "sent",
			 (json_int_t)run->last.sent, "received", (json_int_t)received, "lost",
			 (json_int_t)(run->last.sent - received), "received_as", forms,
			 "received_bytes", (json_int_t)seen->bytes, "seconds",
			 (double)(run->end.time_ns - run->begin.time_ns) / 1e9, "offered_pps",
			 per_second(run, run->begin.sent, run->end.sent), "pps",
			 per_second(run, traffic_seen_frames(&run->begin.seen),
				    traffic_seen_frames(&run->end.seen)),
			 "latency_ns", latencies(seen), "late_ns", latencies(&run->sender.late));
}

static void print_latencies(const char *name, json_t *found)
{
	const char *key;
	json_t *value;

	if (json_is_null(found))
		return;
	printf("%-10s", name);
	json_object_foreach(found, key, value)
	{
		if (strcmp(key, "count") != 0)
			printf("  %s %.1f us", key, (double)json_integer_value(value) / 1e3);
	}
	putchar('\n');
}

static int print_table(json_t *document)
{
	const char *form;
	json_t *frames;

	if (document == NULL)
		return print_document(document);
	printf("sent       %12" JSON_INTEGER_FORMAT ", %.0f a second\n",
	       json_integer_value(json_object_get(document, "sent")),
	       json_real_value(json_object_get(document, "offered_pps")));
	printf("received   %12" JSON_INTEGER_FORMAT ", %.0f a second\n",
	       json_integer_value(json_object_get(document, "received")),
	       json_real_value(json_object_get(document, "pps")));
	json_object_foreach(json_object_get(document, "received_as"), form, frames)
	{
		if (json_integer_value(frames) > 0)
			printf("  %-8s %12" JSON_INTEGER_FORMAT "\n", form,
			       json_integer_value(frames));
	}
	print_latencies("latency", json_object_get(document, "latency_ns"));
	print_latencies("sent late", json_object_get(document, "late_ns"));
	json_decref(document);
	return EXIT_DONE;
}

int command_traffic(int argc, char **argv)
{
	static struct run run;
	int status = traffic_options_read(argc, argv, &run.options);
	bool ok;

	if (status != EXIT_DONE)
		return status;
	run.sender.options = &run.options;
	run.sender.receiver = &run.receiver;
	if (!traffic_frame_make(&run.options, run.sender.frame))
		return EXIT_FAILED;
	ok = traffic_receiver_open(&run.receiver, &run.options, run.sender.frame) && measure(&run);
	if (!ok)
		status = EXIT_FAILED;
	else if (run.options.is_json)
		status = print_document(result(&run));
	else
		status = print_table(result(&run));
	traffic_receiver_close(&run.receiver);
	return status;
}
