/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/icmp.h>
#include <fluxpin/interface.h>

#include "configuration_internal.h"

enum {
	INNER_PACKET_MIN = 576, /* RFC 791 section 3.1 */
	XDP_HEADROOM = 256,	/* XDP_PACKET_HEADROOM of the kernel */
	ETHERNET_HEADER = 14,
	VLAN_TAGS = 8, /* two of them */
	LIST_TEXT_SIZE = 256,
};

/* The CPUs of this process, by number. */
struct cpus {
	bool is_allowed[CPU_NUMBER_MAX + 1];
	bool is_online[CPU_NUMBER_MAX + 1];
	char allowed[LIST_TEXT_SIZE];
	char online[LIST_TEXT_SIZE];
};

static int read_allowed_cpus(struct cpus *cpus)
{
	size_t size = CPU_ALLOC_SIZE(CPU_NUMBER_MAX + 1);
	cpu_set_t *set = CPU_ALLOC(CPU_NUMBER_MAX + 1);
	uint16_t *list = calloc(CPU_NUMBER_MAX + 1, sizeof(*list));
	uint32_t count = 0;
	int status = -ENOMEM;

	if (!set || !list)
		goto out;
	status = sched_getaffinity(0, size, set) == 0 ? 0 : -errno;
	for (uint32_t cpu = 0; status == 0 && cpu <= CPU_NUMBER_MAX; cpu++) {
		cpus->is_allowed[cpu] = CPU_ISSET_S(cpu, size, set);
		if (cpus->is_allowed[cpu])
			list[count++] = (uint16_t)cpu;
	}
	number_list_format(list, count, cpus->allowed, sizeof(cpus->allowed));
out:
	free(list);
	CPU_FREE(set);
	return status;
}

/* Without sysfs the CPUs of the process are the only ones known to be there. */
static void read_online_cpus(struct cpus *cpus)
{
	char text[4096] = "", error[NUMBER_LIST_ERROR_SIZE];
	FILE *file = fopen("/sys/devices/system/cpu/online", "re");
	uint16_t *list = NULL;
	uint32_t count = 0;

	memcpy(cpus->is_online, cpus->is_allowed, sizeof(cpus->is_online));
	memcpy(cpus->online, cpus->allowed, sizeof(cpus->online));
	if (!file)
		return;
	if (fgets(text, sizeof(text), file)) {
		text[strcspn(text, "\n")] = '\0';
		if (number_list_parse(text, CPU_NUMBER_MAX, true, &list, &count, error) == 0)
			number_list_format(list, count, cpus->online, sizeof(cpus->online));
	}
	for (uint32_t i = 0; i < count; i++)
		cpus->is_online[list[i]] = true;
	free(list);
	fclose(file);
}

/* "CPU 7 does" or "CPUs 4-7 do", to begin a message with. */
static const char *begin_message(const char *noun, const char *verb, const char *verb_plural,
				 const uint16_t *numbers, uint32_t count,
				 char buffer[static 2 * LIST_TEXT_SIZE])
{
	char list[LIST_TEXT_SIZE];

	snprintf(buffer, 2 * LIST_TEXT_SIZE, "%s%s %s %s", noun, count == 1 ? "" : "s",
		 number_list_format(numbers, count, list, sizeof(list)),
		 count == 1 ? verb : verb_plural);
	return buffer;
}

/*
 * Whether workers could be pinned there. The CPUs that the process was started with are no limit,
 * and those of isolcpus= are never among them; a cpuset is one.
 */
static bool may_move_to(uint16_t cpu)
{
	size_t size = CPU_ALLOC_SIZE(CPU_NUMBER_MAX + 1);
	cpu_set_t *before = CPU_ALLOC(CPU_NUMBER_MAX + 1);
	cpu_set_t *there = CPU_ALLOC(CPU_NUMBER_MAX + 1);
	bool may = false;

	if (before && there && sched_getaffinity(0, size, before) == 0) {
		CPU_ZERO_S(size, there);
		CPU_SET_S(cpu, size, there);
		may = sched_setaffinity(0, size, there) == 0;
		if (may)
			sched_setaffinity(0, size, before);
	}
	CPU_FREE(before);
	CPU_FREE(there);
	return may;
}

static int check_cpus(const struct interface_configuration *wanted, const struct cpus *cpus,
		      struct findings *findings)
{
	uint16_t *offline = calloc(wanted->cpu_count + 1, sizeof(*offline));
	uint16_t *forbidden = calloc(wanted->cpu_count + 1, sizeof(*forbidden));
	uint32_t offline_count = 0, forbidden_count = 0;
	char begin[2 * LIST_TEXT_SIZE];
	int status = -ENOMEM;

	if (!offline || !forbidden)
		goto out;
	status = 0;
	for (uint32_t i = 0; i < wanted->cpu_count; i++) {
		uint16_t cpu = wanted->cpus[i];

		if (!cpus->is_online[cpu])
			offline[offline_count++] = cpu;
		else if (!cpus->is_allowed[cpu] && !may_move_to(cpu))
			forbidden[forbidden_count++] = cpu;
	}
	if (offline_count > 0)
		status = findings_add(
			findings, false, wanted->cpus_position,
			"%s not online: this host has CPUs %s",
			begin_message("CPU", "is", "are", offline, offline_count, begin),
			cpus->online);
	if (forbidden_count > 0 && status == 0)
		status = findings_add(
			findings, false, wanted->cpus_position,
			"%s not be used by this process, only %s",
			begin_message("CPU", "may", "may", forbidden, forbidden_count, begin),
			cpus->allowed);
out:
	free(offline);
	free(forbidden);
	return status;
}

static int check_queues(const struct interface_configuration *wanted,
			const struct interface *interface, struct findings *findings)
{
	uint32_t total = interface->queue_count, served = 0;
	char range[32] = "0", list[LIST_TEXT_SIZE], begin[2 * LIST_TEXT_SIZE];
	int status = 0;

	if (wanted->queue_count == 0)
		return 0;
	if (total > 1)
		snprintf(range, sizeof(range), "0-%u", total - 1);
	/* The list is sorted: those that do not exist are at its end. */
	while (served < wanted->queue_count && wanted->queues[served] < total)
		served++;
	if (served < wanted->queue_count)
		status = findings_add(findings, false, wanted->queues_position,
				      "%s not exist: %s has %u queue%s (%s)",
				      begin_message("queue", "does", "do", wanted->queues + served,
						    wanted->queue_count - served, begin),
				      wanted->name, total, total == 1 ? "" : "s", range);
	else if (served < total)
		status = findings_add(findings, true, wanted->queues_position,
				      "%s has %u queues (%s) and only %s will be served: packets "
				      "that arrive on the others bypass fluxpin",
				      wanted->name, total, range,
				      number_list_format(wanted->queues, wanted->queue_count, list,
							 sizeof(list)));
	return status;
}

/* A socket sends on the queue that it receives from. On one that only receives, bind succeeds and
 * the kernel never takes a frame to send (xsk_generic_xmit, net/xdp/xsk.c). */
static int check_transmit_queues(const struct interface_configuration *wanted,
				 const struct interface *interface, struct findings *findings)
{
	uint32_t last = wanted->queue_count > 0 ? wanted->queues[wanted->queue_count - 1]
						: interface->queue_count - 1;

	if (interface->transmit_count == 0 || last < interface->transmit_count ||
	    last >= interface->queue_count)
		return 0;
	return findings_add(findings, false, wanted->queues_position,
			    "queue %u cannot transmit: %s has %u transmit queue%s (ethtool -L %s "
			    "changes that)",
			    last, wanted->name, interface->transmit_count,
			    interface->transmit_count == 1 ? "" : "s", wanted->name);
}

uint32_t configuration_outer_header(const struct pool_configuration *pool)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		bool is_ipv6 = !address_is_ipv4(&pool->backends[i].address);
		uint32_t size = encapsulation_overhead(pool->encapsulation, is_ipv6);

		if (size > most)
			most = size;
	}
	return most;
}

/* Everybody may send IPv6 packets of 1280 bytes, and nobody can be told to send less (RFC 8200
 * section 5). */
static int check_ipv6_mtu(const struct configuration *configuration,
			  const struct interface_configuration *wanted, uint32_t mtu,
			  struct findings *findings)
{
	uint32_t outer = 0;
	bool has_ipv6 = false;

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];
		uint32_t size = configuration_outer_header(&configuration->pools[vip->pool]);

		if (address_is_ipv4(&vip->prefix.address))
			continue;
		has_ipv6 = true;
		if (size > outer)
			outer = size;
	}
	if (!has_ipv6 || mtu >= IPV6_LEAST_MTU + outer)
		return 0;
	return findings_add(findings, true, wanted->position,
			    "the MTU of %s, %u, is too small for IPv6: packets of %d bytes, which "
			    "need %u with outer headers, are dropped, and no sender makes them "
			    "smaller",
			    wanted->name, mtu, IPV6_LEAST_MTU, IPV6_LEAST_MTU + outer);
}

static int check_mtu(const struct configuration *configuration,
		     const struct interface_configuration *wanted, uint32_t mtu,
		     struct findings *findings)
{
	uint32_t frame_size = configuration->umem.frame_size, outer = 0, room;
	int status;

	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		uint32_t size = configuration_outer_header(&configuration->pools[i]);

		if (size > outer)
			outer = size;
	}
	if (mtu < INNER_PACKET_MIN + outer)
		return findings_add(findings, false, wanted->position,
				    "the MTU of %s, %u, is too small: %d bytes of inner packet and "
				    "%u of outer headers need %u",
				    wanted->name, mtu, INNER_PACKET_MIN, outer,
				    INNER_PACKET_MIN + outer);
	status = check_ipv6_mtu(configuration, wanted, mtu, findings);
	if (status != 0)
		return status;
	/* XDP keeps its headroom in front of every packet; VLAN tags may be in it, too. */
	room = frame_size - XDP_HEADROOM - ETHERNET_HEADER - VLAN_TAGS;
	if (mtu > room)
		return findings_add(
			findings, true, wanted->position,
			"the MTU of %s, %u, does not fit a frame of %u bytes: packets of more than "
			"%u bytes are dropped%s",
			wanted->name, mtu, frame_size, room < mtu - outer ? room : mtu - outer,
			frame_size == 2048 ? " (umem.frame_size = 4096 makes room for more)" : "");
	return 0;
}

static int check_interface(const struct configuration *configuration,
			   const struct interface_configuration *wanted, struct findings *findings)
{
	struct interface interface;
	int status = interface_query(wanted->name, &interface);
	if (status == -ENODEV)
		return findings_add(findings, false, wanted->position,
				    "interface %s does not exist%s", wanted->name,
				    strchr(wanted->name, '@') == NULL
					    ? ""
					    : " (ip link shows a name before \"@\"; CPUs stand "
					      "behind queues: -i eth0:0-3@2-5)");
	if (status != 0)
		return findings_add(findings, false, wanted->position,
				    "interface %s cannot be looked up: %s", wanted->name,
				    strerror(-status));
	status = check_queues(wanted, &interface, findings);
	if (status == 0)
		status = check_transmit_queues(wanted, &interface, findings);
	if (status != 0)
		return status;
	status = check_mtu(configuration, wanted, interface.mtu, findings);
	if (status == 0)
		status = configuration_check_nic_address(configuration, &interface, findings);
	return status;
}

int configuration_check_cpus(const struct configuration *configuration, struct findings *findings)
{
	struct cpus *cpus = calloc(1, sizeof(*cpus));
	int status = -ENOMEM;

	if (!cpus)
		return status;
	status = read_allowed_cpus(cpus);
	if (status == 0)
		read_online_cpus(cpus);
	else if (status != -ENOMEM)
		status = findings_add(findings, false, (struct position){ 0, 0 },
				      "the CPUs of this process cannot be read: %s",
				      strerror(-status));
	for (uint32_t i = 0; i < configuration->interface_count && status == 0; i++)
		status = check_cpus(&configuration->interfaces[i], cpus, findings);
	free(cpus);
	return status;
}

int configuration_check_host(const struct configuration *configuration, struct findings *findings)
{
	uint32_t errors = findings->error_count;
	int status = configuration_check_cpus(configuration, findings);

	for (uint32_t i = 0; i < configuration->interface_count && status == 0; i++)
		status = check_interface(configuration, &configuration->interfaces[i], findings);
	findings_sort(findings);
	if (status == 0 && findings->error_count > errors)
		status = -EINVAL;
	return status;
}
