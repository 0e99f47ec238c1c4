/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may touch the routes of a table, and who removes them when their owner cannot: kernel routes
 * stay when the process that made them is killed, and the BGP daemon, which lives on, would go on
 * announcing what nobody serves.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/log.h>
#include <fluxpin/process_lock.h>

#include "announce_internal.h"

/* How long a process that ends is waited for: its descriptors do not go all at once, so the guard
 * may see the end of the pipe before the lock is free. */
#define LOCK_TRIES    100
#define LOCK_PAUSE_MS 10

int announce_lock(uint32_t table, int *lock)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };
	char name[32];
	int error;

	snprintf(name, sizeof(name), "fluxpin/announce/%u", table);
	error = process_lock_take(name, lock);
	for (int i = 1; i < LOCK_TRIES && error == -EBUSY; i++) {
		nanosleep(&pause, NULL);
		error = process_lock_take(name, lock);
	}
	return error;
}

int announce_clear(struct netlink *netlink, uint32_t table, uint32_t *removed)
{
	struct prefix_list list = { 0 };
	int error = announce_route_list(netlink, table, &list);

	*removed = 0;
	for (uint32_t i = 0; i < list.count && error == 0; i++) {
		error = announce_route_remove(netlink, table, &list.prefixes[i]);
		if (error == 0)
			(*removed)++;
		else if (error == -ESRCH)
			error = 0;
	}
	free(list.prefixes);
	return error;
}

int announce_remove_leftovers(uint32_t table, uint32_t *removed)
{
	struct netlink netlink;
	int lock, error = announce_lock(table, &lock);

	if (error != 0)
		return error;
	error = announce_route_open(&netlink);
	if (error == 0) {
		error = announce_clear(&netlink, table, removed);
		netlink_close(&netlink);
	}
	close(lock);
	return error;
}

/* What may be meant for the daemon, of whose process group the guard is. */
static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2 };

int announce_guard(uint32_t table)
{
	uint32_t removed = 0;
	ssize_t got;
	char byte;
	int error;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	/* As ps and top show it. */
	prctl(PR_SET_NAME, "fluxpin-guard");
	do {
		got = read(STDIN_FILENO, &byte, 1);
	} while (got > 0 || (got < 0 && errno == EINTR));
	error = announce_remove_leftovers(table, &removed);
	/* Whoever has the table now has removed what was left in it. */
	if (error == -EBUSY)
		return 0;
	if (error != 0)
		log_error("removing the routes of table %u, which fluxpin left: %s", table,
			  strerror(-error));
	else if (removed > 0)
		log_warning("fluxpin has ended without withdrawing its VIPs: withdrawn now: %u",
			    removed);
	return error;
}

/* Not a fork, which would share this process's memory, locked pages and all. */
static int spawn(struct guard *guard, uint32_t table, int input)
{
	extern char **environ;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t blocked;
	char number[16];
	char *arguments[] = { (char *)"fluxpin",
			      (char *)"announce",
			      (char *)"--guard",
			      (char *)"--table",
			      number,
			      NULL };
	int error;

	snprintf(number, sizeof(number), "%u", table);
	/* Until it ignores them itself. */
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaddset(&blocked, ignored[i]);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	if (error == 0)
		error = posix_spawnattr_setsigmask(&attributes, &blocked);
	if (error == 0)
		error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (error == 0)
		error = posix_spawn(&guard->process, "/proc/self/exe", &actions, &attributes,
				    arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

int guard_start(struct guard *guard, uint32_t table)
{
	int ends[2], error;

	/* Other children must not hold the writing end, or its closing would not show. */
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	error = spawn(guard, table, ends[0]);
	close(ends[0]);
	if (error != 0) {
		close(ends[1]);
		*guard = (struct guard){ .pipe = -1 };
		return error;
	}
	guard->pipe = ends[1];
	return 0;
}

bool guard_is_gone(struct guard *guard)
{
	if (guard->process != 0) {
		int status;
		pid_t got = waitpid(guard->process, &status, WNOHANG);

		if (got == 0 || (got < 0 && errno == EINTR))
			return false;
		close(guard->pipe);
		*guard = (struct guard){ .pipe = -1 };
	}
	return true;
}

void guard_stop(struct guard *guard)
{
	if (guard->process == 0)
		return;
	close(guard->pipe);
	while (waitpid(guard->process, NULL, 0) < 0 && errno == EINTR)
		;
	*guard = (struct guard){ .pipe = -1 };
}
