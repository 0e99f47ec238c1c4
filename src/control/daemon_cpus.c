/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/log.h>

#include <errno.h>
#include <string.h>

#include "daemon_internal.h"

int daemon_choose_cpu(const struct device *device, uint32_t i, uint32_t n)
{
	cpu_set_t allowed;
	uint32_t count;

	if (device->configuration->cpus != NULL)
		return device->configuration->cpus[i % device->configuration->cpu_count];
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return -1;
	count = (uint32_t)CPU_COUNT(&allowed);
	n %= count;
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && n-- == 0)
			return (int)cpu;
	return -1;
}

void daemon_move_to(int cpu, cpu_set_t *before)
{
	cpu_set_t there;

	CPU_ZERO(before);
	if (cpu < 0 || sched_getaffinity(0, sizeof(*before), before) != 0)
		return;
	CPU_ZERO(&there);
	CPU_SET((size_t)cpu, &there);
	if (sched_setaffinity(0, sizeof(there), &there) != 0)
		log_debug("cannot move to CPU %d: %s", cpu, strerror(errno));
}

void daemon_move_back(const cpu_set_t *before)
{
	if (CPU_COUNT(before) > 0)
		sched_setaffinity(0, sizeof(*before), before);
}
