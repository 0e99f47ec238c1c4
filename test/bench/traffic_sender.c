/* SPDX-License-Identifier: BSD-2-Clause */
#include "traffic_sender.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/clock.h>

#include <traffic.skel.h>

#include "cpu.h"
#include "traffic_frame.h"

/*
 * Starting a run of live frames waits for RCU, tens of milliseconds, so there is one that lasts
 * until a signal ends it.
 */
#define MOST_FRAMES  (1 << 30)
#define STOP_LOOK_NS 1000000

/* What has not come back for so long that nothing came back at all is lost. */
#define LOST_NS	       100000000
#define WINDOW_LOOK_NS 20000

#define BURST	    32
#define SEND_BUFFER (16 << 20)

struct burst {
	uint8_t frames[BURST][TRAFFIC_LENGTH];
	uint64_t due_ns[BURST];
	struct iovec vectors[BURST];
	struct mmsghdr messages[BURST];
	uint32_t count;
};

static bool uses_socket(const struct traffic_sender *sender)
{
	return sender->options->rate > 0 || sender->options->window > 0;
}

static bool is_stopped(const struct traffic_sender *sender)
{
	return __atomic_load_n(&sender->stop, __ATOMIC_RELAXED);
}

static void fail(struct traffic_sender *sender, int error)
{
	fprintf(stderr, "fluxpin-bench: %s: sending: %s\n", sender->options->interface,
		strerror(error));
	sender->has_failed = true;
}

static void ignore(int number)
{
	(void)number;
}

static void send_live_frames(struct traffic_sender *sender)
{
	int program = bpf_program__fd(sender->receiver->skeleton->progs.traffic_send);
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = sender->frame,
		    .data_size_in = TRAFFIC_LENGTH, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .repeat = MOST_FRAMES);

	while (!is_stopped(sender)) {
		int error = bpf_prog_test_run_opts(program, &run);

		if (error != 0 && error != -EINTR) {
			fail(sender, -error);
			return;
		}
	}
}

static void prepare_burst(struct burst *burst, const struct traffic_sender *sender)
{
	for (int i = 0; i < BURST; i++) {
		memcpy(burst->frames[i], sender->frame, TRAFFIC_LENGTH);
		burst->vectors[i] = (struct iovec){ burst->frames[i], TRAFFIC_LENGTH };
		burst->messages[i].msg_hdr = (struct msghdr){
			.msg_iov = &burst->vectors[i],
			.msg_iovlen = 1,
		};
	}
}

/* Takes the burst's frames that are sent out of it. Returns false when the device fails. */
static bool send_burst(struct traffic_sender *sender, struct burst *burst)
{
	bool is_measuring = __atomic_load_n(&sender->is_measuring, __ATOMIC_RELAXED);
	uint32_t done = 0;

	while (done < burst->count && !is_stopped(sender)) {
		int count = sendmmsg(sender->descriptor, &burst->messages[done],
				     burst->count - done, MSG_DONTWAIT);
		uint64_t now = clock_ns();

		if (count < 0) {
			if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
				continue;
			fail(sender, errno);
			return false;
		}
		for (int i = 0; i < count && is_measuring && sender->options->rate > 0; i++) {
			uint64_t late = now - burst->due_ns[done + (uint32_t)i];

			sender->late.latencies[traffic_bucket(late)]++;
			if (late > sender->late.most_ns)
				sender->late.most_ns = late;
		}
		done += (uint32_t)count;
		__atomic_store_n(&sender->sent, sender->sent + (uint32_t)count, __ATOMIC_RELAXED);
	}
	burst->count = 0;
	return true;
}

static void add_frame(struct traffic_sender *sender, struct burst *burst, uint64_t number,
		      uint32_t sum, uint64_t due_ns)
{
	uint8_t *frame = burst->frames[burst->count];
	uint64_t sent_ns = 0;

	if (__atomic_load_n(&sender->is_measuring, __ATOMIC_RELAXED))
		sent_ns = due_ns;
	traffic_set_flow(frame, (uint32_t)(number % sender->options->flows), sum);
	memcpy(frame + TRAFFIC_LENGTH - sizeof(sent_ns), &sent_ns, sizeof(sent_ns));
	burst->due_ns[burst->count++] = due_ns;
}

static void send_at_rate(struct traffic_sender *sender)
{
	static struct burst burst;
	uint32_t sum = traffic_frame_sum(sender->frame);
	double interval_ns = 1e9 / sender->options->rate;
	uint64_t start = clock_ns(), number = 0;

	prepare_burst(&burst, sender);
	while (!is_stopped(sender)) {
		uint64_t now = clock_ns();
		uint64_t due = start + (uint64_t)((double)number * interval_ns);

		while (due <= now && burst.count < BURST) {
			add_frame(sender, &burst, number++, sum, due);
			due = start + (uint64_t)((double)number * interval_ns);
		}
		if (burst.count > 0 && !send_burst(sender, &burst))
			return;
	}
}

static void send_in_window(struct traffic_sender *sender)
{
	static struct burst burst;
	const __u64 *returned = &sender->receiver->skeleton->bss->returned;
	struct timespec pause = { .tv_nsec = WINDOW_LOOK_NS };
	uint32_t sum = traffic_frame_sum(sender->frame);
	uint64_t number = 0, gone = 0, last = 0, last_ns = clock_ns();

	prepare_burst(&burst, sender);
	while (!is_stopped(sender)) {
		uint64_t back = __atomic_load_n(returned, __ATOMIC_RELAXED);

		if (back != last) {
			last = back;
			last_ns = clock_ns();
		} else if (clock_ns() - last_ns > LOST_NS) {
			gone = number - back;
			last_ns = clock_ns();
		}
		/* Signed: what was given up may come back all the same. */
		while ((int64_t)(number - gone - back) < (int64_t)sender->options->window &&
		       burst.count < BURST)
			add_frame(sender, &burst, number++, sum, 0);
		if (burst.count == 0)
			nanosleep(&pause, NULL);
		else if (!send_burst(sender, &burst))
			return;
	}
}

static void *run(void *argument)
{
	struct traffic_sender *sender = argument;

	if (sender->options->rate > 0)
		send_at_rate(sender);
	else if (sender->options->window > 0)
		send_in_window(sender);
	else
		send_live_frames(sender);
	return NULL;
}

static int open_socket(struct traffic_sender *sender)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(sender->options->interface),
	};
	int one = 1, size = SEND_BUFFER;

	/* Protocol 0: it receives nothing. */
	sender->descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (sender->descriptor < 0 ||
	    setsockopt(sender->descriptor, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) !=
		    0 ||
	    setsockopt(sender->descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0 ||
	    bind(sender->descriptor, (struct sockaddr *)&address, sizeof(address)) != 0)
		return -errno;
	return 0;
}

bool traffic_sender_start(struct traffic_sender *sender)
{
	struct sigaction action = { .sa_handler = ignore };
	pthread_attr_t attributes;
	int error = 0;

	sigaction(SIGUSR1, &action, NULL);
	sender->descriptor = -1;
	if (uses_socket(sender))
		error = open_socket(sender);
	pthread_attr_init(&attributes);
	if (error == 0 && sender->options->has_cpu) {
		cpu_set_t cpus;

		error = cpu_alone(sender->options->cpu, &cpus);
		if (error == 0)
			error = -pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	}
	if (error == 0)
		error = -pthread_create(&sender->thread, &attributes, run, sender);
	pthread_attr_destroy(&attributes);
	if (error == 0)
		return true;
	fprintf(stderr, "fluxpin-bench: %s: %s\n", sender->options->interface, strerror(-error));
	if (sender->descriptor >= 0)
		close(sender->descriptor);
	return false;
}

uint64_t traffic_sender_sent(const struct traffic_sender *sender)
{
	if (uses_socket(sender))
		return __atomic_load_n(&sender->sent, __ATOMIC_RELAXED);
	return __atomic_load_n(&sender->receiver->skeleton->bss->sent, __ATOMIC_RELAXED);
}

void traffic_sender_measure(struct traffic_sender *sender)
{
	__atomic_store_n(&sender->is_measuring, true, __ATOMIC_RELAXED);
}

bool traffic_sender_stop(struct traffic_sender *sender)
{
	struct timespec pause = { .tv_nsec = STOP_LOOK_NS };

	__atomic_store_n(&sender->stop, true, __ATOMIC_RELAXED);
	/* It may be about to start a run, which one signal would not end. */
	while (pthread_tryjoin_np(sender->thread, NULL) == EBUSY) {
		pthread_kill(sender->thread, SIGUSR1);
		nanosleep(&pause, NULL);
	}
	if (sender->descriptor >= 0)
		close(sender->descriptor);
	return !sender->has_failed;
}
