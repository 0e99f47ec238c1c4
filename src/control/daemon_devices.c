/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/driver.h>
#include <fluxpin/duration.h>
#include <fluxpin/log.h>

#include "daemon_internal.h"

/* The queues with a worker: those of the configuration, or all. */
static int choose_queues(struct device *device, const struct interface *nic)
{
	const struct interface_configuration *configuration = device->configuration;

	device->queue_count =
		configuration->queues != NULL ? configuration->queue_count : nic->queue_count;
	device->queues = calloc(device->queue_count, sizeof(*device->queues));
	if (device->queues == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < device->queue_count; i++)
		device->queues[i] =
			configuration->queues != NULL ? configuration->queues[i] : (uint16_t)i;
	return 0;
}

static void warn_offloads(const struct interface *nic)
{
	char off[256];

	if (interface_harmful_offloads(nic->name, off, sizeof(off)) == 0 && off[0] != '\0')
		log_warning(
			"%s: offloads are on that merge packets or hide VLAN tags from XDP; turn "
			"them off with: ethtool -K %s %s",
			nic->name, nic->name, off);
}

static const char *driver_of(const struct interface *nic)
{
	return nic->driver[0] != '\0' ? nic->driver : "unknown";
}

/* What to do about errors of the kernel that do not tell. */
static const char *refusal_hint(int error, bool only_vips)
{
	/* The verifier's answer, see redirect.bpf.c. */
	if (error == -EACCES && only_vips)
		return " (slow_path = \"pass\" needs CAP_PERFMON, too)";
	if (error == -EPERM)
		return " (needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF)";
	if (error == -ENOBUFS)
		return " (too little locked memory: raise \"ulimit -l\", or grant CAP_IPC_LOCK)";
	return "";
}

static void log_refusal(const struct daemon *daemon, const struct device *device,
			const struct interface *nic, uint32_t queue, const char *what, int error)
{
	if (error == -EBUSY)
		log_error("%s queue %u (driver %s): another process has this queue", nic->name,
			  queue, driver_of(nic));
	else
		log_error("%s queue %u (driver %s): mode %s: %s refused: %s%s", nic->name, queue,
			  driver_of(nic), xdp_mode_name(device->mode), what, strerror(-error),
			  refusal_hint(error, daemon->configuration->slow_path == SLOW_PATH_PASS));
}

/* Native XDP if it may be, else generic. */
static int attach_program(struct daemon *daemon, struct device *device, const struct interface *nic)
{
	bool only_vips = daemon->configuration->slow_path == SLOW_PATH_PASS;
	int error;

	if (device->mode != XDP_MODE_GENERIC) {
		error = redirect_attach(nic, nic->queue_count, false, only_vips, &device->redirect);
		if (error == 0 || error == -EBUSY)
			return error;
		if (device->mode != XDP_MODE_AUTO || error == -EPERM || error == -EACCES) {
			log_refusal(daemon, device, nic, device->queues[0], "native XDP", error);
			return error;
		}
		log_info("%s (driver %s): native XDP refused: %s; using generic XDP", nic->name,
			 driver_of(nic), strerror(-error));
	}
	device->generic = true;
	error = redirect_attach(nic, nic->queue_count, true, only_vips, &device->redirect);
	if (error != 0 && error != -EBUSY)
		log_refusal(daemon, device, nic, device->queues[0], "generic XDP", error);
	return error;
}

static int open_device(struct daemon *daemon, struct device *device, const struct interface *nic)
{
	int error = choose_queues(device, nic);

	if (error != 0)
		return error;
	if (!nic->is_up)
		log_warning("%s is down (ip link set dev %s up)", nic->name, nic->name);
	warn_offloads(nic);
	error = attach_program(daemon, device, nic);
	if (error != 0 || daemon->configuration->slow_path != SLOW_PATH_TAP)
		return error;
	return tap_open(nic, device->queue_count, &device->tap);
}

static void log_worker(const struct device *device, const struct interface *nic,
		       struct worker *worker, const struct worker_options *options)
{
	struct xsk_port *port = worker_port(worker);
	const char *got = xsk_port_is_zero_copy(port)		 ? "zero-copy"
			  : redirect_is_native(device->redirect) ? "copy (native XDP)"
								 : "copy (generic XDP)";

	log_info("%s queue %u: %s, driver %s, CPU %d, %u frames of %u bytes on %s pages%s",
		 nic->name, options->port.queue, got, driver_of(nic), options->cpu,
		 options->port.frames, options->port.frame_size,
		 memory_pages_name(xsk_port_pages(port)),
		 device->busy_poll.is_on ? ", busy polling" : "");
	if (worker_connection_pages(worker) == MEMORY_PAGES_SMALL)
		log_info("%s queue %u: connection table on 4 KB pages, slower than on 2 MB ones: "
			 "see vm.nr_hugepages and transparent_hugepage",
			 nic->name, options->port.queue);
}

static int open_worker(struct daemon *daemon, uint32_t ordinal, uint32_t i)
{
	const struct configuration *configuration = daemon->configuration;
	struct device *device = &daemon->devices[ordinal];
	const struct interface *nic = &daemon->nics[ordinal];
	struct worker_options options = {
		.port = {
			.queue = device->queues[i],
			.frames = configuration->umem.frames,
			.frame_size = configuration->umem.frame_size,
			.zero_copy = !device->generic && device->mode != XDP_MODE_COPY,
			.tap = device->tap != NULL ? tap_queue(device->tap, i) : -1,
		},
		.interface = ordinal,
		.cpu = daemon_choose_cpu(device, i, daemon->worker_count),
		.connection_capacity = configuration->connections.capacity,
		.fragment_capacity = configuration->fragments.capacity,
		.fragment_timeout_ns = configuration->fragments.timeout_ns,
		.has_siblings = device->queue_count > 1,
		.forwarding = &daemon->published,
	};
	struct worker *worker;
	cpu_set_t before;
	int error;

	snprintf(options.port.interface, sizeof(options.port.interface), "%s", nic->name);
	if (options.port.zero_copy)
		options.port.frame_size = driver_frame_size(nic->driver, options.port.frame_size);
	daemon_move_to(options.cpu, &before);
	error = worker_open(&options, &worker);
	if (error != 0 && error != -EBUSY && options.port.zero_copy &&
	    device->mode == XDP_MODE_AUTO) {
		log_info("%s queue %u (driver %s): zero-copy refused: %s; using copy", nic->name,
			 options.port.queue, driver_of(nic), strerror(-error));
		options.port.zero_copy = false;
		options.port.frame_size = configuration->umem.frame_size;
		error = worker_open(&options, &worker);
	}
	daemon_move_back(&before);
	if (error != 0) {
		log_refusal(daemon, device, nic, options.port.queue,
			    options.port.zero_copy ? "zero-copy" : "the AF_XDP socket", error);
		return error;
	}
	daemon->workers[daemon->worker_count++] = worker;
	error = daemon_start_busy_poll(device, worker);
	if (error != 0)
		return error;
	log_worker(device, nic, worker, &options);
	if (i == 0 && xsk_port_is_zero_copy(worker_port(worker)) &&
	    driver_warning(nic->driver) != NULL)
		log_warning("%s: %s", nic->name, driver_warning(nic->driver));
	return 0;
}

/* Those of one NIC, which hand fragments and ICMP errors over to each other. */
static int open_workers(struct daemon *daemon, uint32_t ordinal)
{
	struct worker *const *first = &daemon->workers[daemon->worker_count];
	uint32_t count = daemon->devices[ordinal].queue_count;

	for (uint32_t i = 0; i < count; i++) {
		int error = open_worker(daemon, ordinal, i);

		if (error != 0)
			return error;
	}
	return count > 1 ? worker_join(first, count) : 0;
}

int daemon_open_devices(struct daemon *daemon)
{
	const struct configuration *configuration = daemon->configuration;
	uint32_t worker_count = 0;
	int error;

	daemon->devices = calloc(configuration->interface_count, sizeof(*daemon->devices));
	daemon->nics = calloc(configuration->interface_count, sizeof(*daemon->nics));
	if (daemon->devices == NULL || daemon->nics == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < configuration->interface_count; i++) {
		struct device *device = &daemon->devices[i];

		device->configuration = &configuration->interfaces[i];
		device->mode = daemon->options->mode != NULL ? *daemon->options->mode
							     : device->configuration->mode;
		device->busy_poll = device->configuration->busy_poll;
		device->busy_poll.is_on |= daemon->options->busy_poll;
		error = interface_query(device->configuration->name, &daemon->nics[i]);
		if (error != 0) {
			log_error("%s: %s", device->configuration->name, strerror(-error));
			return error;
		}
		daemon->device_count++;
		error = open_device(daemon, device, &daemon->nics[i]);
		if (error != 0)
			return error;
		worker_count += device->queue_count;
	}
	daemon->workers = calloc(worker_count, sizeof(struct worker *));
	if (daemon->workers == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		error = open_workers(daemon, i);
		if (error != 0)
			return error;
	}
	daemon_warn_busy_cpus(daemon);
	return 0;
}

int daemon_start_workers(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		struct worker *worker = daemon->workers[i];
		struct device *device = &daemon->devices[worker_ordinal(worker)];
		int error = worker_start(worker);

		if (error != 0)
			return error;
		error = redirect_set_socket(device->redirect, worker_queue(worker),
					    xsk_port_descriptor(worker_port(worker)));
		if (error != 0) {
			log_refusal(daemon, device, &daemon->nics[device - daemon->devices],
				    worker_queue(worker), "the socket map", error);
			return error;
		}
	}
	return 0;
}

/* What a worker that does not stop may still use stays until the process ends. */
static void detach_programs(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		redirect_detach(daemon->devices[i].redirect);
		daemon->devices[i].redirect = NULL;
	}
}

void daemon_close_devices(struct daemon *daemon)
{
	detach_programs(daemon);
	if (daemon->has_stuck_worker)
		return;
	for (uint32_t i = 0; i < daemon->worker_count; i++)
		worker_close(daemon->workers[i]);
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		tap_close(daemon->devices[i].tap);
		free(daemon->devices[i].queues);
	}
	free(daemon->workers);
	free(daemon->nics);
	free(daemon->devices);
}

/* Somebody may take away what the device works with. Nothing is put back: it may be on purpose. */
static void check_program(struct device *device, const struct interface *nic)
{
	bool is_detached = !redirect_is_attached(device->redirect);

	if (is_detached && !device->is_detached)
		log_error("%s: the XDP program was detached: all packets bypass fluxpin "
			  "until it is restarted",
			  nic->name);
	device->is_detached = is_detached;
}

static void check_tap(struct device *device, const struct interface *nic)
{
	struct interface tap;
	int error;
	bool is_down;

	if (device->tap == NULL)
		return;
	error = interface_query(tap_name(device->tap), &tap);
	is_down = error == -ENODEV || (error == 0 && !tap.is_up);
	if (is_down && !device->is_tap_down && error == -ENODEV)
		log_error("%s: the TAP %s was deleted: packets for the host itself are dropped "
			  "until fluxpin is restarted",
			  nic->name, tap_name(device->tap));
	else if (is_down && !device->is_tap_down)
		log_error("%s: the TAP %s is down: packets for the host itself are dropped (ip "
			  "link set dev %s up)",
			  nic->name, tap_name(device->tap), tap_name(device->tap));
	else if (!is_down && device->is_tap_down)
		log_info("%s: the TAP %s is up again", nic->name, tap_name(device->tap));
	device->is_tap_down = is_down;
}

int daemon_refresh_devices(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		struct device *device = &daemon->devices[i];
		struct interface *nic = &daemon->nics[i];
		struct interface now;
		int error = interface_query(nic->name, &now);

		if (error == -ENODEV || (error == 0 && now.index != nic->index)) {
			log_error("%s is gone", nic->name);
			return -ENODEV;
		}
		if (error == 0)
			error = daemon_check_queues(daemon, i, &now);
		if (error != 0)
			return error;
		if (device->tap != NULL &&
		    (now.mtu != nic->mtu || memcmp(now.mac, nic->mac, sizeof(now.mac)) != 0))
			tap_follow(device->tap, &now);
		*nic = now;
		check_program(device, nic);
		check_tap(device, nic);
	}
	return 0;
}
