/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu.h"

#include <errno.h>

int cpu_alone(uint32_t cpu, cpu_set_t *cpus)
{
	if (cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(cpus);
	CPU_SET(cpu, cpus);
	return 0;
}

int cpu_pin(uint32_t cpu)
{
	cpu_set_t cpus;
	int error = cpu_alone(cpu, &cpus);

	if (error == 0 && sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
		error = -errno;
	return error;
}
