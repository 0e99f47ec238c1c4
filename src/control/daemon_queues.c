/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What may happen to the queues of a NIC while they are served. The kernel refuses to take a queue
 * with an AF_XDP socket away (ethtool -L), but lets others be added, and takes the socket off when
 * the NIC leaves the network namespace, even if it comes back at once. Not all of that is told by
 * netlink.
 */
#include <errno.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"

static uint32_t last_queue(const struct device *device)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < device->queue_count; i++)
		if (device->queues[i] > last)
			last = device->queues[i];
	return last;
}

static int check_channels(const struct device *device, const struct interface *nic,
			  const struct interface *now)
{
	uint32_t last = last_queue(device);

	if (now->queue_count == nic->queue_count && now->transmit_count == nic->transmit_count)
		return 0;
	if (now->queue_count <= last || (now->transmit_count != 0 && now->transmit_count <= last)) {
		log_error("%s has %u receive and %u transmit queues now, and queue %u was served: "
			  "ending, to be started again with those that there are",
			  nic->name, now->queue_count, now->transmit_count, last);
		return -ENODEV;
	}
	if (now->queue_count <= nic->queue_count)
		return 0;
	if (device->configuration->queues == NULL) {
		log_error("%s has %u queues now, not %u, and the new ones bypass fluxpin: ending, "
			  "to be started again with all of them",
			  nic->name, now->queue_count, nic->queue_count);
		return -ENODEV;
	}
	log_warning("%s has %u queues now, not %u, and fluxpin serves %u: packets that arrive on "
		    "the others bypass it",
		    nic->name, now->queue_count, nic->queue_count, device->queue_count);
	return 0;
}

static int check_sockets(const struct daemon *daemon, uint32_t ordinal)
{
	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		const struct worker *worker = daemon->workers[i];

		if (worker_ordinal(worker) != ordinal || xsk_port_is_bound(worker_port(worker)))
			continue;
		log_error("%s queue %u: the kernel has taken the AF_XDP socket off the queue: "
			  "ending, to be started again",
			  worker_interface(worker), worker_queue(worker));
		return -ENODEV;
	}
	return 0;
}

int daemon_check_queues(struct daemon *daemon, uint32_t ordinal, const struct interface *now)
{
	int error = check_channels(&daemon->devices[ordinal], &daemon->nics[ordinal], now);

	return error != 0 ? error : check_sockets(daemon, ordinal);
}

int daemon_watch_queues(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		struct interface *nic = &daemon->nics[i];
		struct interface now;
		int error = interface_query(nic->name, &now);

		/* Of anything else than queues netlink tells. */
		if (error != 0 || now.index != nic->index)
			continue;
		error = daemon_check_queues(daemon, i, &now);
		if (error != 0)
			return error;
		nic->queue_count = now.queue_count;
		nic->transmit_count = now.transmit_count;
	}
	return 0;
}
