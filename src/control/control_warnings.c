/* SPDX-License-Identifier: BSD-2-Clause */
/* What is wrong now, in sentences that say what it means. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configuration_internal.h"
#include "control_answers.h"

/* The connection table is nearly full from here on: flows find no place from 95 % on. */
#define TABLE_PERCENT 90

/* Of what is received, from here on drops are worth a word that are the packets' own fault. */
#define DROPS_PERCENT 1

void control_warn(json_t *array, const char *about, const char *format, ...)
{
	va_list arguments;
	char *message;
	int length;

	va_start(arguments, format);
	length = vasprintf(&message, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	text_make_printable(message);
	json_array_append_new(array, json_pack("{s:s, s:s}", "about", about, "message", message));
	free(message);
}

static void check_daemon(const struct daemon *daemon, json_t *array)
{
	if (!daemon->metrics.last_reload_successful)
		control_warn(array, "reload",
			     "the last reload was refused: generation %" PRIu64
			     " is still active, and %s "
			     "is not what runs (fluxpin reload tells the errors)",
			     daemon->metrics.generation, daemon->options->configuration_file);
	if (daemon->metrics_failed)
		control_warn(array, "metrics", "the metrics file %s cannot be written",
			     daemon_metrics_path(daemon));
	if (daemon->follow_failed)
		control_warn(
			array, "netlink",
			"the kernel's interfaces, routes and neighbours cannot be read: changes of "
			"them are not followed");
}

/* What the active file says and the daemon does not do. */
static void check_restart(const struct daemon *daemon, json_t *array)
{
	const char *settings[DAEMON_RESTART_MAX];
	uint32_t count = daemon_find_restart(daemon, daemon->configuration, settings);

	for (uint32_t i = 0; i < count; i++)
		control_warn(array, "restart",
			     "%s changed in %s: that is not in force until fluxpin is restarted",
			     settings[i], daemon->options->configuration_file);
}

static void check_queues(const struct daemon *daemon, uint32_t i, json_t *array)
{
	const struct device *device = &daemon->devices[i];
	const struct interface *nic = &daemon->nics[i];
	char list[128];
	uint16_t unserved[CONFIGURATION_MAX_QUEUES];
	uint32_t count = 0, next = 0;

	for (uint32_t queue = 0; queue < nic->queue_count; queue++) {
		while (next < device->queue_count && device->queues[next] < queue)
			next++;
		if ((next == device->queue_count || device->queues[next] != queue) &&
		    count < CONFIGURATION_MAX_QUEUES)
			unserved[count++] = (uint16_t)queue;
	}
	if (count > 0)
		control_warn(array, "queues",
			     "%s: no worker serves the queues %s: packets that arrive there bypass "
			     "fluxpin (ethtool -L %s combined N, or serve them)",
			     nic->name, number_list_format(unserved, count, list, sizeof(list)),
			     nic->name);
}

static void check_busy_poll(const struct daemon *daemon, uint32_t i, json_t *array)
{
	const struct busy_poll_finding *finding = &daemon->devices[i].busy_poll_finding;
	char clause[256], command[256];
	const char *name = daemon->nics[i].name, *mend;

	if (finding->fault == BUSY_POLL_WELL)
		return;
	mend = busy_poll_command(finding, name, command);
	control_warn(array, "busy_poll", "%s: busy polling: %s%s%s%s", name,
		     busy_poll_describe(finding, clause), mend != NULL ? " (" : "",
		     mend != NULL ? mend : "", mend != NULL ? ")" : "");
}

/* A device of software has no hardware behind it, and no zero-copy. */
static bool has_hardware(const struct interface *nic)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", nic->name);
	return access(path, F_OK) == 0;
}

static void check_device(const struct daemon *daemon, uint32_t i, json_t *array)
{
	const struct device *device = &daemon->devices[i];
	const struct interface *nic = &daemon->nics[i];

	if (device->is_detached)
		control_warn(
			array, "program",
			"%s: the XDP program was detached: all packets bypass fluxpin until it is "
			"restarted",
			nic->name);
	if (device->is_tap_down)
		control_warn(
			array, "tap",
			"%s: the TAP %s is down or gone: packets for the host itself are dropped",
			nic->name, tap_name(device->tap));
	if (!nic->is_up)
		control_warn(array, "link", "%s is down (ip link set dev %s up)", nic->name,
			     nic->name);
	else if (!nic->has_carrier)
		control_warn(array, "link", "%s has no carrier: nothing is received or sent",
			     nic->name);
	if (device->has_many_macs)
		control_warn(array, "vlan",
			     "%s: its VLAN devices have more MAC addresses than are taken: packets "
			     "to the "
			     "others bypass fluxpin",
			     nic->name);
	if (device->is_mtu_tight)
		control_warn(array, "vlan", "%s: the MTU has no room for two VLAN tags", nic->name);
	check_queues(daemon, i, array);
	check_busy_poll(daemon, i, array);
}

static void check_worker(const struct daemon *daemon, uint32_t number, json_t *array)
{
	const struct worker *worker = daemon->workers[number];
	uint32_t ordinal = worker_ordinal(worker);
	const struct interface *nic = &daemon->nics[ordinal];
	const struct device *device = &daemon->devices[ordinal];
	struct worker_report report;

	worker_read_report(worker, &report);
	if (control_is_stalled(daemon, number))
		control_warn(array, "worker",
			     "%s queue %u: the worker does not move: its thread is stuck, or gets "
			     "no CPU",
			     nic->name, worker_queue(worker));
	if (!xsk_port_is_zero_copy(worker_port(worker)) && device->mode == XDP_MODE_AUTO &&
	    has_hardware(nic))
		control_warn(array, "zero_copy",
			     "%s queue %u: frames are copied (%s XDP): the driver %s granted no "
			     "zero-copy",
			     nic->name, worker_queue(worker),
			     device->generic ? "generic" : "native",
			     nic->driver[0] != '\0' ? nic->driver : "unknown");
	if (report.connections * 100 >= report.connection_capacity * TABLE_PERCENT)
		control_warn(array, "connections",
			     "%s queue %u: the connection table is nearly full: %" PRIu64
			     " of %" PRIu64
			     "; flows without a place follow the hash alone (connections.capacity)",
			     nic->name, worker_queue(worker), report.connections,
			     report.connection_capacity);
}

/* Whether a drop says that something is wrong here, not with the packet. */
static bool is_own_fault(enum drop_reason reason)
{
	switch (reason) {
	case DROP_NO_BACKEND:
	case DROP_NO_NEXT_HOP:
	case DROP_NO_HEADROOM:
	case DROP_NO_FRAME:
	case DROP_TX_RING_FULL:
	case DROP_SLOW_PATH_REFUSED:
	case DROP_FRAGMENT_INBOX:
	case DROP_EXCEEDS_MTU:
		return true;
	default:
		return false;
	}
}

static void check_drops(const struct control_answers *answers, json_t *array)
{
	struct control_recent recent;

	control_drops_read(answers, &recent);
	for (int i = 0; i < DROP_REASON_COUNT; i++) {
		enum drop_reason reason = (enum drop_reason)i;

		if (recent.drops[i] > 0 &&
		    (is_own_fault(reason) ||
		     recent.drops[i] * 100 >= recent.received * DROPS_PERCENT))
			control_warn(array, "drops",
				     "%" PRIu64
				     " packets were dropped in the last %d seconds as %s: %s",
				     recent.drops[i], 2 * CONTROL_DROPS_SECONDS,
				     drop_reason_label(reason), drop_reason_explanation(reason));
	}
	if (recent.lost > 0)
		control_warn(array, "drops",
			     "the kernel dropped %" PRIu64
			     " frames at the sockets in the last %d seconds: "
			     "workers do not keep up, or frames are too long",
			     recent.lost, 2 * CONTROL_DROPS_SECONDS);
}

json_t *control_find_warnings(const struct control_answers *answers)
{
	const struct daemon *daemon = answers->daemon;
	json_t *array = json_array();

	check_daemon(daemon, array);
	check_restart(daemon, array);
	for (uint32_t i = 0; i < daemon->device_count; i++)
		check_device(daemon, i, array);
	for (uint32_t i = 0; i < daemon->worker_count; i++)
		check_worker(daemon, i, array);
	control_warn_of_service(answers, array);
	check_drops(answers, array);
	return array;
}

void control_warnings(struct control_answers *answers, struct control_call *call,
		      const json_t *request)
{
	if (control_takes_nothing(call, request))
		control_reply(call, json_pack("{s:o}", "warnings", control_find_warnings(answers)));
}
