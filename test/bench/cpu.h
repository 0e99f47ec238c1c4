/* SPDX-License-Identifier: BSD-2-Clause */
/* On which CPU a thread runs. */
#ifndef FLUXPIN_BENCH_CPU_H
#define FLUXPIN_BENCH_CPU_H

#include <sched.h>
#include <stdint.h>

/* The set of that CPU alone. Returns 0, or -EINVAL where a set has no room for it. */
int cpu_alone(uint32_t cpu, cpu_set_t *cpus);

/* Keeps the calling thread on a CPU. Returns 0 or negative errno. */
int cpu_pin(uint32_t cpu);

#endif
