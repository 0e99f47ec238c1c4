/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests that need a network of their own: a fresh network namespace for this process, and a
 * child process in another one to which interfaces are moved. Nothing reaches the host's network.
 * A test that may not make namespaces is skipped, and says so.
 */
#ifndef FLUXPIN_TEST_NAMESPACE_H
#define FLUXPIN_TEST_NAMESPACE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t namespace_peer;	/* 0: none */
static bool namespace_is_ready; /* false: the test is to be skipped */

/* Runs a shell command in this namespace; it must succeed. */
__attribute__((format(printf, 1, 2))) static inline void run(const char *format, ...)
{
	char command[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* The same in the peer's namespace. */
#define run_in_peer(format, ...) \
	run("nsenter -t %d -n " format, (int)namespace_peer __VA_OPT__(, ) __VA_ARGS__)

/* The first output of a command, for comparing. */
static inline const char *output_of(const char *command)
{
	static char output[8192];
	FILE *pipe = popen(command, "re");
	size_t length;

	assert_non_null(pipe);
	length = fread(output, 1, sizeof(output) - 1, pipe);
	output[length] = '\0';
	pclose(pipe);
	return output;
}

static inline uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void pause_milliseconds(unsigned int duration)
{
	usleep(duration * 1000);
}

/* Set-up of a test: an empty namespace with lo up. */
static int namespace_enter(void **state)
{
	(void)state;
	namespace_is_ready = unshare(CLONE_NEWNET) == 0;
	if (!namespace_is_ready) {
		print_message("skipped: no network namespace: %s\n", strerror(errno));
		return 0;
	}
	return system("ip link set lo up") == 0 ? 0 : -1;
}

/* Set-up of a test with a peer in another namespace. */
__attribute__((unused)) static int namespace_enter_with_peer(void **state)
{
	int ready[2];
	char byte;

	if (namespace_enter(state) != 0)
		return -1;
	if (!namespace_is_ready)
		return 0;
	if (pipe(ready) != 0)
		return -1;
	namespace_peer = fork();
	if (namespace_peer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) != 0 || system("ip link set lo up") != 0 ||
		    write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (namespace_peer < 0 || read(ready[0], &byte, 1) != 1)
		return -1;
	close(ready[0]);
	return 0;
}

/* Tear-down: the namespaces go with the last process in them. */
static int namespace_leave(void **state)
{
	(void)state;
	if (namespace_peer > 0) {
		kill(namespace_peer, SIGKILL);
		waitpid(namespace_peer, NULL, 0);
		namespace_peer = 0;
	}
	return 0;
}

/* First statement of each test. */
#define need_namespace()                 \
	do {                             \
		if (!namespace_is_ready) \
			skip();          \
	} while (0)

#endif
