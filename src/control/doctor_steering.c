/* SPDX-License-Identifier: BSD-2-Clause */
/* Which CPUs a NIC's packets go to: workers, interrupts, RPS. Hints, all of them. */
#include "doctor_internal.h"

#include <string.h>
#include <unistd.h>

#include "doctor_interrupts.h"

#define PATH_SIZE  128
#define MOST_NODES 64

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

/* Those that the NIC gets: one for each queue that is listed, else for each that there is. */
static uint32_t count_workers(const struct doctor_nic *nic)
{
	return nic->wanted->queues != NULL ? nic->wanted->queue_count : nic->interface.queue_count;
}

static void check_workers(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct interface_configuration *wanted = nic->wanted;
	uint32_t workers = count_workers(nic);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted->cpu_count > 0 && wanted->cpu_count < workers)
		doctor_add(doctor->report, DOCTOR_NOTE, "cpus", wanted->name, NULL,
			   "%u workers of %s share %u CPU%s: list one for each (cpus)", workers,
			   wanted->name, wanted->cpu_count, wanted->cpu_count == 1 ? "" : "s");
	else if (cpus > 0 && workers > (uint32_t)cpus)
		doctor_add(doctor->report, DOCTOR_NOTE, "cpus", wanted->name, NULL,
			   "%s gets %u workers, and there are %ld CPUs", wanted->name, workers,
			   cpus);
}

/* The NUMA node of a CPU, or -1. A folder nodeN is among the CPU's own ones. */
static long node_of_cpu(uint32_t cpu)
{
	char path[PATH_SIZE];

	for (long node = 0; node < MOST_NODES; node++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/node%ld", cpu, node);
		if (access(path, F_OK) == 0)
			return node;
	}
	return -1;
}

/* The NUMA node of a NIC, or -1. virtio's device is one below the bus's, which has the node. */
static long node_of_nic(const char *name)
{
	char path[PATH_SIZE];
	long node;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/numa_node", name);
	node = doctor_read_number(path, -1);
	if (node >= 0)
		return node;
	snprintf(path, sizeof(path), "/sys/class/net/%s/device/../numa_node", name);
	return doctor_read_number(path, -1);
}

/* A worker far from its NIC reads each frame over the link between the nodes. */
static void check_nodes(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct interface_configuration *wanted = nic->wanted;
	char path[PATH_SIZE], command[DOCTOR_COMMAND_SIZE];
	uint32_t workers = count_workers(nic);
	long node = node_of_nic(wanted->name);

	/* CPUs that are listed beyond these have no worker. */
	for (uint32_t i = 0; node >= 0 && i < wanted->cpu_count && i < workers; i++) {
		long other = node_of_cpu(wanted->cpus[i]);

		if (other < 0 || other == node)
			continue;
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%ld/cpulist", node);
		doctor_add(doctor->report, DOCTOR_NOTE, "numa", wanted->name,
			   doctor_command(command, "cat %s", path),
			   "%s is on NUMA node %ld, CPU %u of its workers on node %ld: packets "
			   "cross between them; choose CPUs of that node, as listed by",
			   wanted->name, node, wanted->cpus[i], other);
		return;
	}
}

/* The name on its bus of what the NIC is, such as "virtio0" or "0000:81:00.0"; "" for a veth. */
static void read_device(const char *name, char *device, size_t size)
{
	char path[PATH_SIZE], target[PATH_SIZE * 2];
	ssize_t length;
	const char *slash;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = '\0';
	slash = strrchr(target, '/');
	snprintf(device, size, "%s", slash != NULL ? slash + 1 : "");
}

/* The CPU that an interrupt goes to, or -1. Where it may go to one alone it goes there from the
 * next time on, whatever effective_affinity_list says until then. */
static long cpu_of_interrupt(int number)
{
	char path[PATH_SIZE], behind = '\0';
	long cpu = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity_list", number);
	file = fopen(path, "re");
	if (file == NULL)
		return -1;
	if (fscanf(file, "%ld%c", &cpu, &behind) < 1)
		cpu = -1;
	fclose(file);
	if (behind == '\n' || behind == '\0')
		return cpu;
	snprintf(path, sizeof(path), "/proc/irq/%d/effective_affinity_list", number);
	return doctor_read_number(path, -1);
}

/* An interrupt on the CPU of another queue's worker takes time from that one. */
static void check_interrupts(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct interface_configuration *wanted = nic->wanted;
	char device[PATH_SIZE], command[DOCTOR_COMMAND_SIZE];
	uint32_t workers = count_workers(nic);

	if (wanted->cpu_count == 0)
		return;
	read_device(wanted->name, device, sizeof(device));
	for (uint32_t i = 0; i < workers; i++) {
		uint32_t queue = wanted->queues != NULL ? wanted->queues[i] : i;
		uint32_t worker_cpu = wanted->cpus[i % wanted->cpu_count];
		int number = interrupts_find("/proc/interrupts", wanted->name, device, queue);
		long cpu;

		if (number < 0)
			continue;
		cpu = cpu_of_interrupt(number);
		if (cpu < 0 || cpu == (long)worker_cpu)
			continue;
		doctor_add(doctor->report, DOCTOR_NOTE, "interrupts", wanted->name,
			   doctor_command(command, "echo %u > /proc/irq/%d/smp_affinity_list",
					  worker_cpu, number),
			   "interrupt %d of %s queue %u is on CPU %ld, its worker on CPU %u: one "
			   "CPU for both keeps packets in its cache",
			   number, wanted->name, queue, cpu, worker_cpu);
	}
}

void doctor_check_steering(struct doctor *doctor, const struct doctor_nic *nic)
{
	check_workers(doctor, nic);
	check_nodes(doctor, nic);
	check_rps(doctor, nic);
	check_interrupts(doctor, nic);
}
