/* SPDX-License-Identifier: BSD-2-Clause */
/* The host itself: the kernel, what this process may do, memory, forwarding. */
#include "doctor_internal.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fluxpin/driver.h>
#include <fluxpin/worker.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif

#define BPFFS_MAGIC 0xcafe4a11 /* linux/magic.h */

/* What needs which kernel, the oldest first. `is_vital`: fluxpin does not run without. */
static const struct {
	uint32_t version;
	bool is_vital;
	const char *what;
} features[] = {
	{ DOCTOR_KERNEL(5, 4), true, "AF_XDP with wake-ups on need, which fluxpin runs on" },
	{ DOCTOR_KERNEL(5, 8), false,
	  "CAP_BPF and CAP_PERFMON, so that fluxpin runs without CAP_SYS_ADMIN" },
	{ DOCTOR_KERNEL(5, 16), false, "neighbours that the kernel keeps fresh by itself" },
	{ DOCTOR_KERNEL(5, 18), false, "the endpoint program on backends, also with jumbo frames" },
	{ DOCTOR_KERNEL(6, 3), false, "drivers that say what XDP they can do" },
};

uint32_t doctor_kernel_version(void)
{
	unsigned int major, minor;
	struct utsname name;

	if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return 0;
	return DOCTOR_KERNEL(major, minor);
}

static void check_version(struct doctor *doctor)
{
	uint32_t version = doctor_kernel_version();
	bool is_complete = true;

	if (version == 0)
		return;
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (version >= features[i].version)
			continue;
		is_complete = false;
		doctor_add(doctor->report, features[i].is_vital ? DOCTOR_ERROR : DOCTOR_NOTE,
			   "kernel", "", NULL, "Linux %u.%u is too old for %s: that needs %u.%u",
			   version >> 16, version & 0xffff, features[i].what,
			   features[i].version >> 16, features[i].version & 0xffff);
	}
	if (is_complete)
		doctor_add(doctor->report, DOCTOR_OK, "kernel", "", NULL,
			   "Linux %u.%u has all that fluxpin uses", version >> 16,
			   version & 0xffff);
}

static void check_af_xdp(struct doctor *doctor)
{
	int descriptor = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (descriptor >= 0) {
		close(descriptor);
		doctor_add(doctor->report, DOCTOR_OK, "af_xdp", "", NULL,
			   "the kernel has AF_XDP sockets");
	} else if (errno == EAFNOSUPPORT) {
		doctor_add(doctor->report, DOCTOR_ERROR, "af_xdp", "", NULL,
			   "this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS): fluxpin cannot "
			   "run on it");
	}
	/* Without the right to open one (EPERM) nothing is known: see check_capabilities. */
}

static void check_bpf(struct doctor *doctor)
{
	union bpf_attr attributes = { 0 };
	long jit = doctor_read_number("/proc/sys/net/core/bpf_jit_enable", 1);

	/* An empty program: any answer but that the call does not exist means that it does. */
	if (syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes)) < 0 && errno == ENOSYS)
		doctor_add(doctor->report, DOCTOR_ERROR, "bpf", "", NULL,
			   "this kernel has no bpf() (CONFIG_BPF_SYSCALL): fluxpin cannot run on "
			   "it");
	if (jit == 0)
		doctor_add(doctor->report, DOCTOR_WARNING, "bpf", "",
			   "sysctl -w net.core.bpf_jit_enable=1",
			   "XDP programs are interpreted, several times slower than compiled: "
			   "net.core.bpf_jit_enable is 0");
}

void doctor_check_kernel(struct doctor *doctor)
{
	struct statfs status;

	check_version(doctor);
	check_af_xdp(doctor);
	check_bpf(doctor);
	if (statfs("/sys/fs/bpf", &status) == 0 && (uint64_t)status.f_type == BPFFS_MAGIC)
		doctor_add(doctor->report, DOCTOR_OK, "bpffs", "", NULL,
			   "bpffs is mounted on /sys/fs/bpf");
	else
		doctor_add(doctor->report, DOCTOR_NOTE, "bpffs", "", "mount -t bpf bpf /sys/fs/bpf",
			   "bpffs is not mounted: fluxpin runs, but cannot share a NIC with other "
			   "XDP programs");
	if (access("/dev/net/tun", F_OK) != 0)
		doctor_add(doctor->report, DOCTOR_ERROR, "tap", "", "modprobe tun",
			   "there is no /dev/net/tun, so no TAP for packets to the host itself");
}

static bool has_capability(const uint64_t capabilities, int number)
{
	return (capabilities >> number & 1) != 0;
}

static uint64_t read_capabilities(void)
{
	unsigned long long mask = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "CapEff: %llx", &mask) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return mask;
}

void doctor_check_process(struct doctor *doctor)
{
	uint64_t capabilities = read_capabilities();
	bool is_admin = has_capability(capabilities, CAP_SYS_ADMIN);
	bool may_bpf = is_admin || has_capability(capabilities, CAP_BPF);
	bool may_pass = is_admin || has_capability(capabilities, CAP_PERFMON) ||
			doctor->configuration == NULL ||
			doctor->configuration->slow_path != SLOW_PATH_PASS;
	bool may_lock = has_capability(capabilities, CAP_IPC_LOCK) ||
			has_capability(capabilities, CAP_SYS_RESOURCE);
	bool may_net = has_capability(capabilities, CAP_NET_ADMIN) &&
		       has_capability(capabilities, CAP_NET_RAW);
	struct rlimit limit;

	if (may_bpf && may_net && may_pass)
		doctor_add(doctor->report, DOCTOR_OK, "capabilities", "", NULL,
			   "this process may do what fluxpin does");
	else if (may_bpf && may_net)
		doctor_add(doctor->report, DOCTOR_WARNING, "capabilities", "",
			   "sudo fluxpin doctor",
			   "this process lacks CAP_PERFMON, without which most kernels refuse the "
			   "program of slow_path = \"pass\"");
	else
		doctor_add(doctor->report, DOCTOR_ERROR, "capabilities", "", "sudo fluxpin doctor",
			   "this process lacks CAP_%s: fluxpin cannot start so, and the doctor "
			   "sees little",
			   !may_net ? "NET_ADMIN or CAP_NET_RAW" : "BPF");
	if (may_lock || getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return;
	/* A UMEM of the default size, 16 MB, for each of two workers. */
	if (limit.rlim_cur < (UINT64_C(32) << 20))
		doctor_add(doctor->report, DOCTOR_WARNING, "memlock", "", "ulimit -l unlimited",
			   "only %llu KB of memory may be locked, too little for the frames of a "
			   "worker (or grant CAP_IPC_LOCK)",
			   (unsigned long long)limit.rlim_cur >> 10);
}

/* Whether the kernel gives huge pages when it is asked (madvise) or by itself. */
static bool has_transparent_huge_pages(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char line[64] = "";

	if (file == NULL)
		return false;
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	fclose(file);
	return strstr(line, "[never]") == NULL;
}

/* 2 MB pages for all that the workers map. */
static uint64_t count_huge_pages(const struct doctor *doctor)
{
	const struct configuration *configuration = doctor->configuration;
	uint64_t pages = 0;

	for (uint32_t i = 0; i < doctor->nic_count; i++) {
		const struct doctor_nic *nic = &doctor->nics[i];
		uint32_t workers = nic->wanted->queue_count > 0 ? nic->wanted->queue_count
								: nic->interface.queue_count;
		uint32_t frame_size = configuration->umem.frame_size;
		struct worker_options options = {
			.port = { .frames = configuration->umem.frames },
			.connection_capacity = configuration->connections.capacity,
			.fragment_capacity = configuration->fragments.capacity,
			.has_siblings = workers > 1,
		};

		options.port.frame_size =
			nic->wanted->mode == XDP_MODE_AUTO || nic->wanted->mode == XDP_MODE_ZEROCOPY
				? driver_frame_size(nic->interface.driver, frame_size)
				: frame_size;
		pages += workers * worker_huge_pages(&options);
	}
	return pages;
}

void doctor_check_memory(struct doctor *doctor)
{
	long reserved = doctor_read_number("/proc/sys/vm/nr_hugepages", 0);
	char command[DOCTOR_COMMAND_SIZE];
	uint64_t wanted;

	if (doctor->configuration == NULL)
		return;
	wanted = count_huge_pages(doctor);
	if (wanted == 0)
		return;
	if (has_transparent_huge_pages() || (uint64_t)reserved >= wanted) {
		doctor_add(doctor->report, DOCTOR_OK, "huge_pages", "", NULL,
			   "there are 2 MB pages for frames and connections");
		return;
	}
	doctor_add(doctor->report, DOCTOR_NOTE, "huge_pages", "",
		   doctor_command(command, "sysctl -w vm.nr_hugepages=%ju", (uintmax_t)wanted),
		   "%ld 2 MB pages are reserved, %ju are of use, and transparent ones are off: "
		   "connection lookups are slower",
		   reserved, (uintmax_t)wanted);
}

void doctor_check_forwarding(struct doctor *doctor)
{
	if (doctor_read_number("/proc/sys/net/ipv4/ip_forward", 0) == 0) {
		doctor_add(doctor->report, DOCTOR_OK, "ip_forward", "", NULL,
			   "the kernel does not forward, and need not: fluxpin sends by itself");
		return;
	}
	doctor_add(doctor->report, DOCTOR_NOTE, "ip_forward", "", "sysctl -w net.ipv4.ip_forward=0",
		   "the kernel forwards, which fluxpin does not need: packets to VIPs that bypass "
		   "fluxpin go back to the router, and round and round");
}
