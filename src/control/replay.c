/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/flow.h>

#include "replay_internal.h"

#define INDEX_COUNT	       65536
#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

/* A pipeline with what the daemon's worker would have. */
struct replay_worker {
	struct replay_port port;
	struct connection_table connections;
	struct fragment_table fragments;
	struct inbox inbox;
	struct memory memory; /* of the connection table */
	struct memory fragment_memory;
	struct memory inbox_memory;
	struct counters counters;
	struct pipeline pipeline;
};

/* One frame at a time is handed over, and taken before the next one is read. */
#define INBOX_SLOTS 2

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
	struct replay_worker *workers;
	struct inbox **inboxes;	      /* of the workers; NULL when there is one alone */
	struct traffic_counter *vips; /* by index, of all workers */
	struct traffic_counter *backends;
	uint64_t generation;
	uint64_t clock_ns;
	uint64_t first_ns; /* time of the first frame */
};

static int complain(const char *file, const char *message)
{
	fprintf(stderr, "%s: %s\n", file, message);
	return -EINVAL;
}

static int collect_traffic(struct replay *replay)
{
	return replay_collect_traffic(replay->configuration, replay->tables, replay->vips,
				      replay->backends, replay->result);
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
		return complain(replay->options->configuration_file, strerror(-error));
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
		return complain(replay->options->events, strerror(ENOMEM));
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

/* The pipeline that a frame goes to, as RSS would choose: by the 5-tuple, fragments by addresses.
 */
static struct replay_worker *choose_worker(struct replay *replay,
					   const struct captured_frame *frame)
{
	struct packet packet = { .frame = { .data = (uint8_t *)frame->data,
					    .length = frame->length } };
	uint8_t protocol;
	uint64_t hash;

	if (replay->options->workers == 1)
		return &replay->workers[0];
	switch (packet_parse(&packet, NULL)) {
	case PACKET_IPV6:
		/* A chain that is cut off: as much of the 5-tuple as there is. */
		packet_walk_extensions(&packet);
		break;
	case PACKET_IPV4:
		break;
	default:
		return &replay->workers[0];
	}
	if (!packet.is_fragment &&
	    (packet.protocol == IPPROTO_TCP || packet.protocol == IPPROTO_UDP))
		packet_parse_ports(&packet);
	protocol = packet.is_fragment ? 0 : packet.protocol;
	hash = packet.is_ipv6
		       ? flow_hash_ipv6(packet_ipv6_addresses(&packet), packet.source_port_be,
					packet.destination_port_be, protocol, 0)
		       : flow_hash_ipv4(packet.source_be, packet.destination_be,
					packet.source_port_be, packet.destination_port_be, protocol,
					0);
	return &replay->workers[hash % replay->options->workers];
}

/* Until nothing is left to do: what one worker hands over, another one takes. */
static void run_pipelines(struct replay *replay, struct replay_worker *first)
{
	const struct forwarding *forwarding = &replay->state->forwarding;
	uint32_t count;

	pipeline_run(&first->pipeline, forwarding, replay->clock_ns);
	do {
		count = 0;
		for (uint32_t i = 0; i < replay->options->workers; i++)
			count += pipeline_run(&replay->workers[i].pipeline, forwarding,
					      replay->clock_ns);
	} while (count > 0);
}

static int run_frame(struct replay *replay, const struct captured_frame *frame, uint64_t number)
{
	struct replay_worker *worker = choose_worker(replay, frame);
	int error;

	if (replay_frames_add(&replay->frames, frame) != 0)
		return complain(replay->options->input, strerror(ENOMEM));
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
	error = replay_port_offer(&worker->port, frame);
	if (error != 0) {
		fprintf(stderr, "%s: frame %" PRIu64 ": %s\n", replay->options->input, number,
			error == -EMSGSIZE ? "too long" : strerror(-error));
		return -EINVAL;
	}
	run_pipelines(replay, worker);
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
	for (uint32_t i = 0; i < replay->options->workers; i++)
		pipeline_finish(&replay->workers[i].pipeline);
	if (result == 0)
		return 0;
	fprintf(stderr, "%s: after frame %" PRIu64 ": %s\n", replay->options->input, number,
		message);
	return -EINVAL;
}

static int map_worker(const struct configuration *configuration, bool is_alone,
		      struct replay_worker *worker)
{
	int error = memory_map_lazy(connection_table_size(configuration->connections.capacity),
				    &worker->memory);

	if (error == 0)
		error = memory_map_lazy(fragment_table_size(configuration->fragments.capacity),
					&worker->fragment_memory);
	if (error == 0 && !is_alone)
		error = memory_map_lazy(inbox_size(INBOX_SLOTS, REPLAY_LONGEST),
					&worker->inbox_memory);
	return error;
}

static int open_worker(struct replay *replay, uint32_t number)
{
	const struct configuration *configuration = replay->configuration;
	struct replay_worker *worker = &replay->workers[number];
	uint32_t capacity = configuration->connections.capacity;
	int error = replay_port_open(&worker->port, &replay->frames);

	if (error == 0)
		error = map_worker(configuration, replay->inboxes == NULL, worker);
	if (error != 0)
		return error;
	fragment_table_initialise(&worker->fragments, worker->fragment_memory.base,
				  configuration->fragments.capacity, FRAGMENT_MOST_HELD,
				  configuration->fragments.timeout_ns);
	connection_table_initialise(&worker->connections, worker->memory.base, capacity);
	worker->pipeline = (struct pipeline){ .port = &worker->port.port,
					      .connections = &worker->connections,
					      .fragments = &worker->fragments,
					      .counters = &worker->counters,
					      .vips = replay->vips,
					      .backends = replay->backends };
	if (replay->inboxes == NULL)
		return 0;
	inbox_initialise(&worker->inbox, worker->inbox_memory.base, INBOX_SLOTS, REPLAY_LONGEST);
	replay->inboxes[number] = &worker->inbox;
	worker->pipeline.inboxes = replay->inboxes;
	worker->pipeline.inbox_count = replay->options->workers;
	worker->pipeline.inbox_own = number;
	return 0;
}

static int open_workers(struct replay *replay)
{
	size_t size = replay->options->workers * sizeof(*replay->workers);
	int error = 0;

	replay->vips = calloc(INDEX_COUNT, sizeof(*replay->vips));
	replay->backends = calloc(INDEX_COUNT, sizeof(*replay->backends));
	replay->workers = aligned_alloc(64, size);
	if (replay->options->workers > 1)
		replay->inboxes = calloc(replay->options->workers, sizeof(*replay->inboxes));
	if (replay->vips == NULL || replay->backends == NULL || replay->workers == NULL ||
	    (replay->options->workers > 1 && replay->inboxes == NULL))
		return complain(replay->options->configuration_file, strerror(ENOMEM));
	memset(replay->workers, 0, size);
	for (uint32_t i = 0; i < replay->options->workers && error == 0; i++)
		error = open_worker(replay, i);
	return error == 0 ? 0 : complain(replay->options->configuration_file, strerror(-error));
}

static int open_writer(const char *path, bool nanosecond, struct capture_writer **writer)
{
	char message[CAPTURE_ERROR_SIZE];

	if (path == NULL || capture_writer_open(path, nanosecond, writer, message) == 0)
		return 0;
	return complain(path, message);
}

static int open_files(struct replay *replay)
{
	const struct replay_options *options = replay->options;
	char message[CAPTURE_ERROR_SIZE];
	bool nanosecond;
	int error;

	if (capture_reader_open(options->input, &replay->input, message) != 0)
		return complain(options->input, message);
	nanosecond = capture_reader_is_nanosecond(replay->input);
	error = open_writer(options->output, nanosecond, &replay->frames.output);
	if (error == 0)
		error = open_writer(options->slow_path, nanosecond, &replay->frames.slow_path);
	if (error != 0 || options->drops == NULL)
		return error;
	replay->frames.drops = fopen(options->drops, "we");
	if (replay->frames.drops == NULL)
		return complain(options->drops, strerror(errno));
	fputs("frame,reason\n", replay->frames.drops);
	return 0;
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

static int close_files(struct replay *replay)
{
	const struct replay_options *options = replay->options;
	int error = 0;

	capture_reader_close(replay->input);
	if (capture_writer_close(replay->frames.output) != 0)
		error = complain(options->output, "could not be written");
	if (capture_writer_close(replay->frames.slow_path) != 0)
		error = complain(options->slow_path, "could not be written");
	if (replay->frames.drops != NULL) {
		bool failed = ferror(replay->frames.drops) != 0;

		if (fclose(replay->frames.drops) != 0 || failed)
			error = complain(options->drops, "could not be written");
	}
	return error;
}

static void add_counters(struct replay *replay)
{
	struct counters *sum = &replay->result->counters;

	for (uint32_t i = 0; i < replay->options->workers; i++) {
		const struct counters *counters = &replay->workers[i].counters;

		sum->received.packets += counters->received.packets;
		sum->received.bytes += counters->received.bytes;
		sum->forwarded.packets += counters->forwarded.packets;
		sum->forwarded.bytes += counters->forwarded.bytes;
		sum->slow_path += counters->slow_path;
		sum->answered += counters->answered;
		sum->parts_sent += counters->parts_sent;
		sum->decapsulated += counters->decapsulated;
		sum->handed_over += counters->handed_over;
		for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
			sum->dropped[reason] += counters->dropped[reason];
		sum->lookups_hit += counters->lookups_hit;
		sum->lookups_miss += counters->lookups_miss;
		sum->lookups_stale += counters->lookups_stale;
	}
}

static void release(struct replay *replay)
{
	for (uint32_t i = 0; replay->workers != NULL && i < replay->options->workers; i++) {
		replay_port_close(&replay->workers[i].port);
		memory_unmap(&replay->workers[i].memory);
		memory_unmap(&replay->workers[i].fragment_memory);
		memory_unmap(&replay->workers[i].inbox_memory);
	}
	free(replay->inboxes);
	free(replay->workers);
	free(replay->backends);
	free(replay->vips);
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
		error = complain(options->configuration_file, strerror(ENOMEM));
	if (error == 0)
		error = activate(&replay, replay.configuration);
	if (error == 0)
		error = open_files(&replay);
	if (error == 0)
		error = open_workers(&replay);
	if (error == 0)
		error = run_frames(&replay);
	if (error == 0)
		error = collect_traffic(&replay);
	if (error == 0)
		add_counters(&replay);
	closed = close_files(&replay);
	release(&replay);
	return error != 0 ? error : closed;
}
