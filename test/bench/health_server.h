/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backends of the benchmark of health checks: a process that listens on every loopback address
 * at one port, and answers each connection that sends something with a short HTTP answer.
 */
#ifndef FLUXPIN_BENCH_HEALTH_SERVER_H
#define FLUXPIN_BENCH_HEALTH_SERVER_H

#include <stdint.h>
#include <sys/types.h>

/* Starts it; it ends with this process. Returns 0 or negative errno; *port is the one it has. */
int health_server_start(pid_t *process, uint16_t *port);
void health_server_stop(pid_t process);

#endif
