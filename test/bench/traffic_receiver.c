/* SPDX-License-Identifier: BSD-2-Clause */
#include "traffic_receiver.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/interface.h>

#include <traffic.skel.h>

#include "traffic_frame.h"

/* igb takes its link down for 3 seconds, which may be long in an emulated machine. */
#define CARRIER_LOOKS	1200
#define CARRIER_LOOK_MS 50

static int print_warning(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static bool load(struct traffic_receiver *receiver, const struct traffic_options *options,
		 const uint8_t *frame)
{
	struct traffic_bpf *skeleton = traffic_bpf__open();

	receiver->skeleton = skeleton;
	if (skeleton == NULL)
		return false;
	memcpy((void *)skeleton->rodata->head, frame, sizeof(skeleton->rodata->head));
	skeleton->rodata->head_sum = traffic_frame_sum(frame);
	skeleton->rodata->run = traffic_frame_run(frame);
	skeleton->rodata->flow_count = options->flows;
	skeleton->rodata->has_window = options->window > 0;
	skeleton->rodata->interface = if_nametoindex(options->interface);
	return traffic_bpf__load(skeleton) == 0;
}

static int attach(const struct traffic_receiver *receiver, const char *interface)
{
	LIBBPF_OPTS(bpf_link_create_opts, create, .flags = XDP_FLAGS_DRV_MODE);
	unsigned int index = if_nametoindex(interface);

	if (index == 0)
		return -errno;
	return bpf_link_create(bpf_program__fd(receiver->skeleton->progs.traffic_receive),
			       (int)index, BPF_XDP, &create);
}

static bool wait_for_carrier(const char *interface)
{
	struct timespec pause = { .tv_nsec = CARRIER_LOOK_MS * 1000000 };
	struct interface found;

	for (int i = 0; i < CARRIER_LOOKS; i++) {
		if (interface_query(interface, &found) == 0 && found.has_carrier)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

bool traffic_receiver_open(struct traffic_receiver *receiver, const struct traffic_options *options,
			   const uint8_t *frame)
{
	int cpus = libbpf_num_possible_cpus();

	*receiver = (struct traffic_receiver){ .link = -1 };
	libbpf_set_print(print_warning);
	receiver->cpu_count = cpus > 0 ? (uint32_t)cpus : 1;
	receiver->by_cpu = calloc(receiver->cpu_count, sizeof(*receiver->by_cpu));
	if (receiver->by_cpu == NULL || !load(receiver, options, frame)) {
		fprintf(stderr, "fluxpin-bench: the BPF programs: %s\n", strerror(errno));
		return false;
	}
	receiver->link = attach(receiver, options->interface);
	if (receiver->link < 0) {
		fprintf(stderr, "fluxpin-bench: %s: attaching an XDP program: %s\n",
			options->interface, strerror(-receiver->link));
		return false;
	}
	if (!wait_for_carrier(options->interface)) {
		fprintf(stderr, "fluxpin-bench: %s: no carrier\n", options->interface);
		return false;
	}
	return true;
}

bool traffic_receiver_read(struct traffic_receiver *receiver, struct traffic_seen *seen)
{
	uint64_t *sums = (uint64_t *)seen;
	uint32_t key = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(receiver->skeleton->maps.seen), &key,
				receiver->by_cpu) != 0) {
		fprintf(stderr, "fluxpin-bench: reading the counters: %s\n", strerror(errno));
		return false;
	}
	memset(seen, 0, sizeof(*seen));
	for (uint32_t cpu = 0; cpu < receiver->cpu_count; cpu++) {
		const uint64_t *own = (const uint64_t *)&receiver->by_cpu[cpu];
		uint64_t most = seen->most_ns;

		for (size_t i = 0; i < sizeof(*seen) / sizeof(*sums); i++)
			sums[i] += own[i];
		seen->most_ns =
			most > receiver->by_cpu[cpu].most_ns ? most : receiver->by_cpu[cpu].most_ns;
	}
	return true;
}

uint64_t traffic_seen_frames(const struct traffic_seen *seen)
{
	uint64_t frames = 0;

	for (int form = 0; form < TRAFFIC_FORM_COUNT; form++)
		frames += seen->frames[form];
	return frames;
}

uint64_t traffic_seen_latency(const struct traffic_seen *seen, uint64_t count, double share)
{
	uint64_t wanted = (uint64_t)((double)count * share), reached = 0, most;
	uint32_t bucket = 0;

	if (wanted == 0)
		wanted = 1;
	while (bucket < TRAFFIC_BUCKETS - 1 && (reached += seen->latencies[bucket]) < wanted)
		bucket++;
	most = traffic_bucket_most(bucket);
	return most < seen->most_ns ? most : seen->most_ns;
}

void traffic_receiver_close(struct traffic_receiver *receiver)
{
	if (receiver->link >= 0)
		close(receiver->link);
	traffic_bpf__destroy(receiver->skeleton);
	free(receiver->by_cpu);
}
