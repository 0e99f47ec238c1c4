/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files doctor*.c share. */
#ifndef FLUXPIN_DOCTOR_INTERNAL_H
#define FLUXPIN_DOCTOR_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <fluxpin/doctor.h>
#include <fluxpin/interface.h>
#include <fluxpin/redirect.h>

#include "host_route.h"

/* Room for a command. */
#define DOCTOR_COMMAND_SIZE 512

/* Of many findings alike (backends, VIPs) this many are told one by one. */
#define DOCTOR_ALIKE_MOST 10

/* A NIC that is looked at. */
struct doctor_nic {
	const struct interface_configuration *wanted;
	struct interface interface;
	struct redirect_presence presence; /* what XDP is on it, and whether fluxpin serves it */
	bool is_there;
};

/* All that the checks of a load balancer read. */
struct doctor {
	struct doctor_report *report;
	const struct configuration *configuration; /* NULL: none */
	struct doctor_nic *nics;
	uint32_t nic_count;
};

/*
 * Adds a finding; `command` is for a shell, NULL: none. Without memory report->error is set, so
 * that callers need not ask.
 */
void doctor_add(struct doctor_report *report, enum doctor_severity severity, const char *check,
		const char *subject, const char *command, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/* Formats a command; returns buffer, or NULL when it has no room. */
const char *doctor_command(char buffer[static DOCTOR_COMMAND_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A path or name as one word of a shell, quoted where it has to be; NULL without room. */
const char *doctor_quote(const char *text, char *buffer, uint32_t size);

/* The number in a file of /proc or /sys; fallback when there is none. */
long doctor_read_number(const char *path, long fallback);

/* net.ipv4.conf.IF.NAME, and the larger of it and that of "all", which counts for most of them. */
long doctor_read_conf(const char *interface, const char *name);
long doctor_read_effective_conf(const char *interface, const char *name);

/* Reads the file and reports what is wrong with it. NULL: it is not valid. */
struct configuration *doctor_read_configuration(const char *file, struct doctor_report *report);

/* Whether an address is one of this host, and of which device (room for IF_NAMESIZE). */
bool doctor_find_local(const struct address *address, char *device, uint8_t *prefix_length);

/* The checks, a file each or two. */
void doctor_check_kernel(struct doctor *doctor);
void doctor_check_process(struct doctor *doctor);
void doctor_check_memory(struct doctor *doctor);
void doctor_check_forwarding(struct doctor *doctor);
bool doctor_check_link(struct doctor *doctor, struct doctor_nic *nic);
void doctor_check_queues(struct doctor *doctor, const struct doctor_nic *nic);
void doctor_check_mtu(struct doctor *doctor, const struct doctor_nic *nic);
void doctor_check_driver(struct doctor *doctor, const struct doctor_nic *nic);
void doctor_check_busy_poll(struct doctor *doctor, const struct doctor_nic *nic);
void doctor_check_offloads(struct doctor *doctor, const struct doctor_nic *nic);
void doctor_check_program(struct doctor *doctor, struct doctor_nic *nic);
void doctor_check_steering(struct doctor *doctor, const struct doctor_nic *nic);
void doctor_check_tap(struct doctor *doctor, const struct doctor_nic *nic);
void doctor_check_leftovers(struct doctor *doctor);
void doctor_check_backends(struct doctor *doctor);
void doctor_check_vips(struct doctor *doctor);
void doctor_check_reverse_path(struct doctor *doctor, const struct doctor_nic *nic);

/* The kernel's version as MAJOR << 16 | MINOR; 0 when it cannot be told. */
uint32_t doctor_kernel_version(void);
#define DOCTOR_KERNEL(major, minor) ((uint32_t)(major) << 16 | (minor))

/* The queues of the NIC that the configuration has served; those of `wanted`, or all. */
bool doctor_is_served(const struct interface_configuration *wanted, uint32_t queue);

#endif
