/* SPDX-License-Identifier: BSD-2-Clause */
/* Which CPUs a NIC's packets go to: workers, interrupts, RPS. Hints, all of them. */
#include "doctor_internal.h"

#include <string.h>
#include <unistd.h>

#include "doctor_interrupts.h"

#define PATH_SIZE 128

/* Whether the mask of a file such as rps_cpus has a bit set. */
static bool is_mask_set(const char *path)
{
	char line[1024] = "";
	FILE *file = fopen(path, "re");
	bool is_set = false;

	if (file == NULL)
		return false;
	if (fgets(line, sizeof(line), file) != NULL)
		is_set = strpbrk(line, "123456789abcdef") != NULL;
	fclose(file);
	return is_set;
}

static void check_rps(struct doctor *doctor, const struct doctor_nic *nic)
{
	const char *name = nic->wanted->name;
	char path[PATH_SIZE], command[DOCTOR_COMMAND_SIZE];

	for (uint32_t queue = 0; queue < nic->interface.queue_count; queue++) {
		snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-%u/rps_cpus", name,
			 queue);
		if (!is_mask_set(path))
			continue;
		doctor_add(doctor->report, DOCTOR_NOTE, "rps", name,
			   doctor_command(command,
					  "for f in /sys/class/net/%s/queues/rx-*/rps_cpus; do "
					  "echo 0 > \"$f\"; done",
					  name),
			   "RPS is set on %s: in generic XDP it moves packets between CPUs before "
			   "their worker gets them",
			   name);
		return;
	}
}

static void check_workers(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct interface_configuration *wanted = nic->wanted;
	uint32_t workers =
		wanted->queue_count > 0 ? wanted->queue_count : nic->interface.queue_count;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted->cpu_count > 0 && wanted->cpu_count < workers)
		doctor_add(doctor->report, DOCTOR_NOTE, "cpus", wanted->name, NULL,
			   "%u workers of %s share %u CPUs", workers, wanted->name,
			   wanted->cpu_count);
	else if (cpus > 0 && workers > (uint32_t)cpus)
		doctor_add(doctor->report, DOCTOR_NOTE, "cpus", wanted->name, NULL,
			   "%s gets %u workers, and there are %ld CPUs", wanted->name, workers,
			   cpus);
}

/* An interrupt on the CPU of another queue's worker takes time from that one. */
static void check_interrupts(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct interface_configuration *wanted = nic->wanted;
	char path[PATH_SIZE], command[DOCTOR_COMMAND_SIZE];

	if (wanted->cpu_count == 0)
		return;
	for (uint32_t i = 0; i < wanted->queue_count; i++) {
		uint32_t worker_cpu = wanted->cpus[i % wanted->cpu_count];
		int number = interrupts_find("/proc/interrupts", wanted->name, wanted->queues[i]);
		long cpu;

		if (number < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/irq/%d/effective_affinity_list", number);
		cpu = doctor_read_number(path, -1);
		if (cpu < 0 || cpu == (long)worker_cpu)
			continue;
		doctor_add(doctor->report, DOCTOR_NOTE, "interrupts", wanted->name,
			   doctor_command(command, "echo %u > /proc/irq/%d/smp_affinity_list",
					  worker_cpu, number),
			   "interrupt %d of %s queue %u is on CPU %ld, its worker on CPU %u: one "
			   "CPU for both keeps packets in its cache",
			   number, wanted->name, wanted->queues[i], cpu, worker_cpu);
	}
}

void doctor_check_steering(struct doctor *doctor, const struct doctor_nic *nic)
{
	check_workers(doctor, nic);
	check_rps(doctor, nic);
	check_interrupts(doctor, nic);
}
