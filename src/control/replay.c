/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replay_internal.h"

struct replay {
	const struct replay_options *options;
	struct replay_result *result;
	struct capture_reader *input;
	struct replay_frames frames;
	struct replay_events events;
	uint32_t next_event;
	struct configuration *configuration;
	struct backend_overrides *overrides;
	struct registry *backend_indexes;
	struct registry *vip_indexes;
	struct forwarding_tables *tables;
	struct forwarding_state *state;
	struct replay_workers workers;
	uint64_t generation;
	uint64_t clock_ns;
	uint64_t first_ns; /* time of the first frame */
};

static int collect_traffic(struct replay *replay)
{
	return replay_collect_traffic(replay->configuration, replay->tables, replay->workers.vips,
				      replay->workers.backends, replay->result);
}

static void ignore_release(void *context, uint16_t index)
{
	(void)context;
	(void)index;
}

/* Makes a configuration active, or the same one again when the overrides changed. Owns `new`. */
static int activate(struct replay *replay, struct configuration *new)
{
	const struct interface nic = { .mtu = replay->options->mtu };
	struct forwarding_tables *tables = NULL;
	struct forwarding_state *state = NULL;
	const struct backend_sources sources = { .overrides = replay->overrides };
	struct backend_states *states = NULL;
	int error = replay->tables != NULL ? collect_traffic(replay) : 0;

	/* As if all had been there from the start: without slow start. */
	if (error == 0)
		error = backend_states_build(new, NULL, &sources, replay->clock_ns, &states);
	registry_begin(replay->backend_indexes);
	registry_begin(replay->vip_indexes);
	if (error == 0)
		error = forwarding_tables_build(new, backend_states_services(states),
						replay->tables, replay->backend_indexes,
						replay->vip_indexes, &tables);
	backend_states_release(states);
	if (error == 0)
		error = forwarding_state_build(new, tables, NULL, &nic, 1, ++replay->generation,
					       &state);
	if (error != 0) {
		forwarding_tables_release(tables);
		if (new != replay->configuration)
			configuration_release(new);
		return replay_complain(replay->options->configuration_file, strerror(-error));
	}
	forwarding_state_release(replay->state);
	forwarding_tables_release(replay->tables);
	if (replay->configuration != NULL && replay->configuration != new)
		configuration_release(replay->configuration);
	replay->configuration = new;
	replay->tables = tables;
	replay->state = state;
	registry_commit(replay->backend_indexes, ignore_release, NULL);
	registry_commit(replay->vip_indexes, ignore_release, NULL);
	return 0;
}

static int apply_event(struct replay *replay, struct replay_event *event)
{
	struct configuration *configuration = replay->configuration;
	bool on = event->action == REPLAY_DOWN || event->action == REPLAY_DRAIN;
	bool health = event->action == REPLAY_DOWN || event->action == REPLAY_UP;

	if (event->action == REPLAY_RELOAD) {
		configuration = event->configuration;
		event->configuration = NULL;
	} else if (backend_overrides_set(replay->overrides, event->pool, event->backend,
					 health ? BACKEND_DOWN : BACKEND_DRAINED, on) != 0) {
		return replay_complain(replay->options->events, strerror(ENOMEM));
	}
	return activate(replay, configuration);
}

/* A name that no configuration has is a slip of the pen. */
static int check_events(const struct replay *replay)
{
	for (uint32_t i = 0; i < replay->events.count; i++) {
		const struct replay_event *event = &replay->events.entries[i];
		bool known = event->pool == NULL ||
			     configuration_has_backend(replay->configuration, event->pool,
						       event->backend);

		for (uint32_t j = 0; j < replay->events.count && !known; j++)
			known = replay->events.entries[j].configuration != NULL &&
				configuration_has_backend(replay->events.entries[j].configuration,
							  event->pool, event->backend);
		if (known)
			continue;
		fprintf(stderr, "%s: no configuration has the backend %s/%s\n",
			replay->options->events, event->pool, event->backend);
		return -EINVAL;
	}
	return 0;
}

static int run_frame(struct replay *replay, const struct captured_frame *frame, uint64_t number)
{
	uint32_t worker = replay_workers_choose(&replay->workers, frame);
	int error;

	if (replay_frames_add(&replay->frames, frame) != 0)
		return replay_complain(replay->options->input, strerror(ENOMEM));
	if (number == 1)
		replay->first_ns = frame->time_ns;
	/* Captures of several queues may be a little out of order; the clock never goes back. */
	if (frame->time_ns > replay->clock_ns)
		replay->clock_ns = frame->time_ns;
	while (replay->next_event < replay->events.count &&
	       replay->first_ns + replay->events.entries[replay->next_event].offset_ns <=
		       replay->clock_ns) {
		error = apply_event(replay, &replay->events.entries[replay->next_event++]);
		if (error != 0)
			return error;
	}
	error = replay_port_offer(&replay->workers.list[worker].port, frame);
	if (error != 0) {
		fprintf(stderr, "%s: frame %" PRIu64 ": %s\n", replay->options->input, number,
			error == -EMSGSIZE ? "too long" : strerror(-error));
		return -EINVAL;
	}
	replay_workers_run(&replay->workers, worker, &replay->state->forwarding, replay->clock_ns);
	return 0;
}

static int run_frames(struct replay *replay)
{
	char message[CAPTURE_ERROR_SIZE];
	struct captured_frame frame;
	uint64_t number = 0;
	int result;

	while ((result = capture_reader_next(replay->input, &frame, message)) == 1) {
		int error = run_frame(replay, &frame, ++number);

		if (error != 0)
			return error;
	}
	for (uint32_t i = 0; i < replay->workers.count; i++)
		pipeline_finish(&replay->workers.list[i].pipeline);
	if (result == 0)
		return 0;
	fprintf(stderr, "%s: after frame %" PRIu64 ": %s\n", replay->options->input, number,
		message);
	return -EINVAL;
}

static int open_workers(struct replay *replay)
{
	int error = replay_workers_open(replay->configuration, replay->options->workers,
					&replay->frames, &replay->workers);

	return error == 0 ? 0
			  : replay_complain(replay->options->configuration_file, strerror(-error));
}

static int read_files(struct replay *replay)
{
	const struct replay_options *options = replay->options;
	struct configuration *configuration;
	struct findings findings = { 0 };
	int error = configuration_read(options->configuration_file, &configuration, &findings);

	findings_print(&findings, stderr);
	findings_release(&findings);
	if (error != 0)
		return error;
	replay->configuration = configuration;
	if (options->events != NULL)
		error = replay_events_read(options->events, &replay->events);
	if (error == 0)
		error = check_events(replay);
	return error;
}

static void release(struct replay *replay)
{
	replay_workers_close(&replay->workers);
	forwarding_state_release(replay->state);
	forwarding_tables_release(replay->tables);
	configuration_release(replay->configuration);
	registry_close(replay->vip_indexes);
	registry_close(replay->backend_indexes);
	backend_overrides_close(replay->overrides);
	replay_events_release(&replay->events);
	replay_frames_release(&replay->frames);
}

int replay_run(const struct replay_options *options, struct replay_result *result)
{
	struct replay replay = { .options = options, .result = result };
	int closed, error;

	memset(result, 0, sizeof(*result));
	error = read_files(&replay);
	if (error == 0 && (backend_overrides_open(&replay.overrides) != 0 ||
			   registry_open(&replay.backend_indexes) != 0 ||
			   registry_open(&replay.vip_indexes) != 0))
		error = replay_complain(options->configuration_file, strerror(ENOMEM));
	if (error == 0)
		error = activate(&replay, replay.configuration);
	if (error == 0)
		error = replay_files_open(options, &replay.input, &replay.frames);
	if (error == 0)
		error = open_workers(&replay);
	if (error == 0)
		error = run_frames(&replay);
	if (error == 0)
		error = collect_traffic(&replay);
	if (error == 0)
		replay_workers_add_counters(&replay.workers, &result->counters);
	closed = replay_files_close(options, replay.input, &replay.frames);
	release(&replay);
	return error != 0 ? error : closed;
}
