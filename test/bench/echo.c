/* SPDX-License-Identifier: BSD-2-Clause */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <jansson.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <echo.skel.h>

#include <fluxpin/port.h>

#include "arguments.h"
#include "cpu.h"
#include "echo_socket.h"
#include "statistics.h"

static const char usage_text[] =
	"usage: fluxpin-bench echo -i INTERFACE [OPTION]...\n"
	"\n"
	"Sends each frame of queue 0 back, its MAC addresses swapped: what a packet costs without\n"
	"a load balancer. Runs until SIGINT or SIGTERM, then prints what it did. Needs root.\n"
	"\n"
	"  -i, --interface NAME\n"
	"      --mode zerocopy|copy|kernel\n"
	"                           AF_XDP in a mode of fluxpin's, or XDP_TX in the kernel (copy)\n"
	"      --frames N           of the UMEM, a power of two (8192)\n"
	"      --frame-size 2048|4096  (2048)\n"
	"      --budget N           frames that a system call sends in copy mode, from 32 on; 32 "
	"before\n"
	"                           Linux 6.17 (768, as fluxpin; at most the TX ring)\n"
	"      --cpu N              to run on\n"
	"      --json               print one JSON document\n"
	"  -h, --help               print this\n";

static const struct usage usage = { "echo", usage_text };

static const char *const modes[] = { "zerocopy", "copy", "kernel", NULL };

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static int take_option(int option, void *context)
{
	struct echo_options *options = context;

	switch (option) {
	case 'i':
		options->interface = optarg;
		return EXIT_DONE;
	case 'm':
		return argument_choice(&usage, "--mode", optarg, modes, &options->mode);
	case 'f':
		return argument_number32(&usage, "--frames", optarg, 64, 65536, &options->frames);
	case 'z':
		return argument_number32(&usage, "--frame-size", optarg, 2048, 4096,
					 &options->frame_size);
	case 't':
		return argument_number32(&usage, "--budget", optarg, 0, 65536, &options->budget);
	case 'c':
		options->has_cpu = true;
		return argument_number32(&usage, "--cpu", optarg, 0, 1023, &options->cpu);
	case 'j':
		options->is_json = true;
		return EXIT_DONE;
	default:
		return EXIT_USAGE;
	}
}

static int check(const struct echo_options *options)
{
	if (options->interface == NULL)
		return usage_error(&usage, "--interface is missing");
	if ((options->frames & (options->frames - 1)) != 0)
		return usage_error(&usage, "--frames is a power of two");
	if ((options->frame_size & (options->frame_size - 1)) != 0)
		return usage_error(&usage, "--frame-size is 2048 or 4096");
	return EXIT_DONE;
}

static int read_options(int argc, char **argv, struct echo_options *options)
{
	static const struct option long_options[] = {
		{ "interface", required_argument, NULL, 'i' },
		{ "mode", required_argument, NULL, 'm' },
		{ "frames", required_argument, NULL, 'f' },
		{ "frame-size", required_argument, NULL, 'z' },
		{ "budget", required_argument, NULL, 't' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int status = arguments_read(&usage, argc, argv, "i:h", long_options, take_option, options);

	return status == EXIT_DONE ? check(options) : status;
}

static int prepare(const struct echo_options *options)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return options->has_cpu ? cpu_pin(options->cpu) : 0;
}

/* A link goes with the process, however that ends. */
static int attach(const struct echo_options *options, const struct echo_bpf *skeleton)
{
	LIBBPF_OPTS(bpf_link_create_opts, create, .flags = XDP_FLAGS_DRV_MODE);
	const struct bpf_program *program = options->mode == ECHO_KERNEL
						    ? skeleton->progs.echo_in_kernel
						    : skeleton->progs.echo_redirect;
	unsigned int index = if_nametoindex(options->interface);

	if (index == 0)
		return -errno;
	return bpf_link_create(bpf_program__fd(program), (int)index, BPF_XDP, &create);
}

static int run(const struct echo_options *options, struct echo_bpf *skeleton,
	       struct echo_socket *echo)
{
	uint32_t queue = 0;
	int descriptor, error;

	fprintf(stderr, "fluxpin-bench: %s: ready\n", options->interface);
	if (options->mode == ECHO_KERNEL) {
		while (!stop)
			poll(NULL, 0, 1000);
		return 0;
	}
	descriptor = echo->descriptor;
	error = bpf_map_update_elem(bpf_map__fd(skeleton->maps.sockets), &queue, &descriptor,
				    BPF_ANY);
	if (error == 0)
		echo_socket_run(echo, &stop);
	return error;
}

static int print(const struct echo_options *options, const struct echo_socket *echo)
{
	json_t *document;

	if (options->is_json) {
		document = json_pack(
			"{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "mode",
			modes[options->mode], "zero_copy", echo->is_zero_copy, "budget",
			(json_int_t)echo->budget, "received", (json_int_t)echo->received, "sent",
			(json_int_t)echo->sent, "batches", (json_int_t)echo->batches, "rounds",
			(json_int_t)echo->rounds, "sends", (json_int_t)echo->sends, "wakeups",
			(json_int_t)echo->wakeups, "sleeps", (json_int_t)echo->sleeps);
		return print_document(document);
	}
	if (options->mode != ECHO_KERNEL)
		printf("received %ju, sent %ju, batches %ju, rounds %ju, sends %ju, wake-ups %ju, "
		       "sleeps %ju\n",
		       (uintmax_t)echo->received, (uintmax_t)echo->sent, (uintmax_t)echo->batches,
		       (uintmax_t)echo->rounds, (uintmax_t)echo->sends, (uintmax_t)echo->wakeups,
		       (uintmax_t)echo->sleeps);
	return EXIT_DONE;
}

int command_echo(int argc, char **argv)
{
	struct echo_options options = {
		.frames = 8192, .frame_size = 2048, .budget = PORT_MOST_FRAMES, .mode = ECHO_COPY
	};
	struct echo_socket echo = { 0 };
	struct echo_bpf *skeleton;
	int status = read_options(argc, argv, &options), error, link = -1;

	if (status != EXIT_DONE)
		return status;
	skeleton = echo_bpf__open_and_load();
	error = skeleton == NULL ? -errno : prepare(&options);
	if (error == 0) {
		link = attach(&options, skeleton);
		error = link < 0 ? link : 0;
	}
	if (error == 0 && options.mode != ECHO_KERNEL)
		error = echo_socket_open(&echo, &options);
	if (error == 0)
		error = run(&options, skeleton, &echo);
	if (error != 0) {
		fprintf(stderr, "fluxpin-bench: %s: %s\n", options.interface, strerror(-error));
		status = EXIT_FAILED;
	} else {
		status = print(&options, &echo);
	}
	if (link >= 0)
		close(link);
	echo_socket_close(&echo);
	echo_bpf__destroy(skeleton);
	return status;
}
