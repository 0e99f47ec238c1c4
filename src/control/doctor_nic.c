/* SPDX-License-Identifier: BSD-2-Clause */
/* A NIC: its link and its queues. */
#include "doctor_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

#define LIST_TEXT_SIZE 256

/* Whether there is more to look at. */
bool doctor_check_link(struct doctor *doctor, struct doctor_nic *nic)
{
	const char *name = nic->wanted->name;
	struct interface_relations relations = { .has_arp = true };
	char command[DOCTOR_COMMAND_SIZE];
	int error = interface_query(name, &nic->interface);

	if (error != 0) {
		doctor_add(doctor->report, DOCTOR_ERROR, "interface", name, NULL, "%s: %s", name,
			   error == -ENODEV ? "there is no such interface" : strerror(-error));
		return false;
	}
	nic->is_there = true;
	interface_relations(nic->interface.index, &relations);
	if (relations.is_loopback) {
		doctor_add(doctor->report, DOCTOR_ERROR, "interface", name, NULL,
			   "%s is the loopback interface: no packet of a client arrives there",
			   name);
		return false;
	}
	if (!nic->interface.is_up)
		doctor_add(doctor->report, DOCTOR_ERROR, "link", name,
			   doctor_command(command, "ip link set dev %s up", name), "%s is down",
			   name);
	else if (!nic->interface.has_carrier)
		doctor_add(doctor->report, DOCTOR_ERROR, "link", name, NULL,
			   "%s has no carrier: the cable, the switch port or the other end is down",
			   name);
	else
		doctor_add(doctor->report, DOCTOR_OK, "link", name, NULL, "%s is up (driver %s)",
			   name, nic->interface.driver[0] ? nic->interface.driver : "unknown");
	if (!relations.has_arp)
		doctor_add(doctor->report, DOCTOR_ERROR, "arp", name,
			   doctor_command(command, "ip link set dev %s arp on", name),
			   "ARP is off on %s: no neighbour is found", name);
	if (relations.master != 0)
		doctor_add(doctor->report, DOCTOR_WARNING, "interface", name,
			   doctor_command(command, "ip link set dev %s nomaster", name),
			   "%s is a port of a bridge or bond, so that this host's routes leave by "
			   "that and not by %s",
			   name, name);
	return true;
}

bool doctor_is_served(const struct interface_configuration *wanted, uint32_t queue)
{
	if (wanted->queue_count == 0)
		return true;
	for (uint32_t i = 0; i < wanted->queue_count; i++)
		if (wanted->queues[i] == queue)
			return true;
	return false;
}

/* Queues that are served, when they are the first ones; else 0. */
static uint32_t count_served_from_zero(const struct interface_configuration *wanted)
{
	for (uint32_t i = 0; i < wanted->queue_count; i++)
		if (wanted->queues[i] != i)
			return 0;
	return wanted->queue_count;
}

/* What makes the NIC use no other queues. */
static const char *shrink_command(const struct doctor_nic *nic, char *command)
{
	uint32_t served = count_served_from_zero(nic->wanted);
	struct interface_channels channels;

	if (served == 0 || interface_channels(nic->wanted->name, &channels) != 0)
		return NULL;
	if (channels.receive == 0)
		return doctor_command(command, "ethtool -L %s combined %u", nic->wanted->name,
				      served);
	if (channels.combined == 0)
		return doctor_command(command, "ethtool -L %s rx %u", nic->wanted->name, served);
	return NULL;
}

static void add_unserved(struct doctor *doctor, const struct doctor_nic *nic,
			 const uint16_t *queues, uint32_t count, bool are_spread)
{
	char list[LIST_TEXT_SIZE], command[DOCTOR_COMMAND_SIZE];

	doctor_add(doctor->report, are_spread ? DOCTOR_WARNING : DOCTOR_NOTE, "queues",
		   nic->wanted->name, shrink_command(nic, command),
		   "%s has %u receive queues, and no worker serves %s: %s", nic->wanted->name,
		   nic->interface.queue_count,
		   number_list_format(queues, count, list, sizeof(list)),
		   are_spread ? "what arrives there bypasses fluxpin"
			      : "the NIC spreads no packets to them");
}

void doctor_check_queues(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct interface_configuration *wanted = nic->wanted;
	uint32_t total = nic->interface.queue_count, unserved_count = 0, highest = total - 1;
	uint16_t *unserved = calloc(total + 1, sizeof(*unserved));
	bool *is_used = calloc(total + 1, sizeof(*is_used));
	char command[DOCTOR_COMMAND_SIZE];
	bool are_spread = false, is_known;

	if (unserved == NULL || is_used == NULL) {
		doctor->report->error = -ENOMEM;
		goto release;
	}
	is_known = interface_spread(wanted->name, is_used, total) == 0;
	for (uint32_t queue = 0; queue < total; queue++) {
		if (doctor_is_served(wanted, queue))
			continue;
		unserved[unserved_count++] = (uint16_t)queue;
		are_spread = are_spread || !is_known || is_used[queue];
	}
	if (wanted->queue_count > 0)
		highest = wanted->queues[wanted->queue_count - 1];
	if (highest >= total)
		doctor_add(doctor->report, DOCTOR_ERROR, "queues", wanted->name, NULL,
			   "queue %u is to be served, and %s has only %u", highest, wanted->name,
			   total);
	else if (nic->interface.transmit_count != 0 && highest >= nic->interface.transmit_count)
		doctor_add(
			doctor->report, DOCTOR_ERROR, "queues", wanted->name,
			doctor_command(command, "ethtool -L %s tx %u", wanted->name, highest + 1),
			"queue %u of %s cannot transmit: there are %u transmit queues", highest,
			wanted->name, nic->interface.transmit_count);
	else if (unserved_count > 0)
		add_unserved(doctor, nic, unserved, unserved_count, are_spread);
	else
		doctor_add(doctor->report, DOCTOR_OK, "queues", wanted->name, NULL,
			   "every receive queue of %s (%u) has a worker", wanted->name, total);
release:
	free(unserved);
	free(is_used);
}
