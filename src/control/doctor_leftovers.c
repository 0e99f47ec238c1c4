/* SPDX-License-Identifier: BSD-2-Clause */
/* XDP programs on the NIC, and what a killed fluxpin leaves: its program, managed neighbours, the
 * metrics file, the control socket, and routes of VIPs where its guard was killed, too. A start
 * removes the first two by itself. */
#include "doctor_internal.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/duration.h>
#include <fluxpin/netlink.h>

#include "announce_internal.h"
#include "neighbour_entry.h"

/* A metrics file is stale when it was not written for so many intervals. */
#define STALE_INTERVALS 5

#define PATH_SIZE 256

static const char *mode_word(const struct redirect_presence *presence)
{
	return presence->is_generic ? "xdpgeneric" : "xdpdrv";
}

static void check_ours(struct doctor *doctor, const struct doctor_nic *nic)
{
	const struct redirect_presence *presence = &nic->presence;
	const char *name = nic->wanted->name;
	char command[DOCTOR_COMMAND_SIZE];
	uint64_t features = 0;

	if (!presence->is_locked) {
		doctor_add(doctor->report, DOCTOR_WARNING, "leftover_program", name,
			   /* Detached as a whole, the programs of others would go with it. */
			   presence->is_shared
				   ? NULL
				   : doctor_command(command, "ip link set dev %s %s off", name,
						    mode_word(presence)),
			   "a fluxpin that was killed left its XDP program on %s: the kernel gets "
			   "all packets, and the next start removes it",
			   name);
		return;
	}
	if (presence->is_generic && interface_xdp_features(nic->interface.index, &features) == 0 &&
	    (features & INTERFACE_XDP_REDIRECT) != 0 && nic->wanted->mode != XDP_MODE_GENERIC)
		doctor_add(doctor->report, DOCTOR_WARNING, "program", name, NULL,
			   "fluxpin serves %s by generic XDP, though the driver has native XDP: "
			   "restart it, and see its log",
			   name);
	else
		doctor_add(doctor->report, DOCTOR_OK, "program", name, NULL,
			   "fluxpin serves %s by %s XDP", name,
			   presence->is_generic ? "generic" : "native");
}

void doctor_check_program(struct doctor *doctor, struct doctor_nic *nic)
{
	struct redirect_presence *presence = &nic->presence;
	const char *name = nic->wanted->name;
	char command[DOCTOR_COMMAND_SIZE];
	int error = redirect_inspect(&nic->interface, presence);

	if (error != 0) {
		doctor_add(doctor->report, DOCTOR_WARNING, "program", name, NULL,
			   "which XDP program %s has cannot be read: %s", name, strerror(-error));
		return;
	}
	switch (presence->attached) {
	case REDIRECT_OURS:
		check_ours(doctor, nic);
		break;
	case REDIRECT_FOREIGN:
		doctor_add(
			doctor->report, DOCTOR_ERROR, "program", name,
			doctor_command(command, "ip link set dev %s %s off", name,
				       mode_word(presence)),
			"another XDP program, \"%s\", is on %s: fluxpin does not start beside it",
			presence->name, name);
		break;
	case REDIRECT_UNKNOWN:
		doctor_add(doctor->report, DOCTOR_NOTE, "program", name, NULL,
			   "an XDP program is on %s, and which one may not be read", name);
		break;
	case REDIRECT_DISPATCHER:
	case REDIRECT_NONE:
		if (presence->is_locked)
			doctor_add(doctor->report, DOCTOR_ERROR, "program", name,
				   "systemctl restart fluxpin",
				   "a fluxpin runs for %s, but its XDP program was detached: all "
				   "packets bypass it",
				   name);
		else if (presence->attached == REDIRECT_DISPATCHER)
			doctor_add(doctor->report, DOCTOR_NOTE, "program", name, NULL,
				   "other XDP programs are on %s (\"%s\"): fluxpin will share it",
				   name, presence->name);
		else
			doctor_add(doctor->report, DOCTOR_OK, "program", name, NULL,
				   "no XDP program is on %s, and no fluxpin serves it", name);
		break;
	}
}

void doctor_check_tap(struct doctor *doctor, const struct doctor_nic *nic)
{
	char name[IF_NAMESIZE], command[DOCTOR_COMMAND_SIZE];
	struct interface tap;

	snprintf(name, sizeof(name), "fluxpin-%d", nic->interface.index);
	if (interface_query(name, &tap) != 0)
		return;
	if (!nic->presence.is_locked)
		doctor_add(doctor->report, DOCTOR_ERROR, "leftover_tap", nic->wanted->name,
			   doctor_command(command, "ip link delete dev %s", name),
			   "there is a device %s, which fluxpin needs to make for %s, and no "
			   "fluxpin: it does not start",
			   name, nic->wanted->name);
	else if (!tap.is_up)
		doctor_add(doctor->report, DOCTOR_ERROR, "tap", nic->wanted->name,
			   doctor_command(command, "ip link set dev %s up", name),
			   "the TAP %s is down: packets to the host itself are dropped", name);
}

struct managed {
	const struct doctor *doctor;
	uint32_t counts[16]; /* by NIC; more than that are not told apart */
};

static int count_managed(const struct nlmsghdr *message, void *context)
{
	struct managed *managed = context;
	struct neighbour_entry entry;

	if (!neighbour_entry_parse(message, &entry) || !neighbour_entry_is_ours(&entry))
		return 0;
	for (uint32_t i = 0; i < managed->doctor->nic_count && i < 16; i++)
		if (managed->doctor->nics[i].is_there &&
		    managed->doctor->nics[i].interface.index == entry.index)
			managed->counts[i]++;
	return 0;
}

static void check_neighbours(struct doctor *doctor)
{
	struct managed managed = { .doctor = doctor };
	struct netlink_request request;
	char command[DOCTOR_COMMAND_SIZE];
	struct ndmsg *header;
	struct nlmsghdr *message =
		netlink_start(&request, RTM_GETNEIGH, NLM_F_DUMP, sizeof(*header), &header);

	if (netlink_execute_once(message, count_managed, &managed) != 0)
		return;
	for (uint32_t i = 0; i < doctor->nic_count && i < 16; i++) {
		const char *name = doctor->nics[i].wanted->name;

		if (managed.counts[i] == 0 || doctor->nics[i].presence.is_locked)
			continue;
		doctor_add(doctor->report, DOCTOR_WARNING, "leftover_neighbours", name,
			   doctor_command(command, "ip neigh flush dev %s", name),
			   "a fluxpin that was killed left neighbours that the kernel keeps asking "
			   "for (%u on %s); the next start removes them",
			   managed.counts[i], name);
	}
}

/* Whether a fluxpin serves any of the NICs. */
static bool is_running(const struct doctor *doctor)
{
	for (uint32_t i = 0; i < doctor->nic_count; i++)
		if (doctor->nics[i].presence.is_locked)
			return true;
	return false;
}

static void check_metrics(struct doctor *doctor)
{
	const char *path = doctor->configuration->metrics.textfile;
	char command[DOCTOR_COMMAND_SIZE], quoted[PATH_SIZE];
	time_t limit = (time_t)(STALE_INTERVALS * doctor->configuration->metrics.interval_ns /
				NANOSECONDS_PER_SECOND) +
		       1;
	struct stat status;
	bool is_old;

	if (path == NULL || lstat(path, &status) != 0 || !S_ISREG(status.st_mode))
		return;
	is_old = time(NULL) - status.st_mtime > limit;
	/* Without a NIC whose lock tells, its age does. */
	if (!is_running(doctor) && (is_old || doctor->nic_count > 0))
		doctor_add(doctor->report, DOCTOR_WARNING, "leftover_metrics", "",
			   doctor_quote(path, quoted, sizeof(quoted)) != NULL
				   ? doctor_command(command, "rm -f %s", quoted)
				   : NULL,
			   "a fluxpin that was killed left its metrics, %s: the collector goes on "
			   "exporting them",
			   path);
	else if (is_running(doctor) && is_old)
		doctor_add(doctor->report, DOCTOR_WARNING, "metrics", "", NULL,
			   "the metrics in %s are older than %ld s, though a fluxpin runs: see its "
			   "log",
			   path, (long)limit);
}

static void check_control(struct doctor *doctor)
{
	const char *path = doctor->configuration->control;
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	char command[DOCTOR_COMMAND_SIZE], quoted[PATH_SIZE];
	struct stat status;
	int descriptor;
	bool is_refused;

	if (path == NULL || lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode) ||
	    strlen(path) >= sizeof(name.sun_path))
		return;
	memcpy(name.sun_path, path, strlen(path) + 1);
	descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return;
	is_refused = connect(descriptor, (struct sockaddr *)&name, sizeof(name)) != 0 &&
		     errno == ECONNREFUSED;
	close(descriptor);
	if (is_refused)
		doctor_add(doctor->report, DOCTOR_WARNING, "leftover_control", "",
			   doctor_quote(path, quoted, sizeof(quoted)) != NULL
				   ? doctor_command(command, "rm -f %s", quoted)
				   : NULL,
			   "nobody listens on the control socket %s: the fluxpin that made it was "
			   "killed",
			   path);
}

/* Of the families that there are: a table that a family does not have cannot be flushed. */
static const char *flush_command(const struct prefix_list *list, uint32_t table, char *command)
{
	bool has[2] = { false, false };

	for (uint32_t i = 0; i < list->count; i++)
		has[address_is_ipv4(&list->prefixes[i].address)] = true;
	if (has[true] && has[false])
		return doctor_command(command,
				      "ip route flush table %u proto %d && ip -6 route flush table "
				      "%u proto %d",
				      table, ANNOUNCE_PROTOCOL, table, ANNOUNCE_PROTOCOL);
	return doctor_command(command, "ip%s route flush table %u proto %d",
			      has[false] ? " -6" : "", table, ANNOUNCE_PROTOCOL);
}

/* A BGP daemon goes on exporting them, and draws packets that nobody takes. */
static void check_announced(struct doctor *doctor)
{
	uint32_t table = doctor->configuration->announce.table;
	char command[DOCTOR_COMMAND_SIZE];
	struct prefix_list list = { 0 };
	struct netlink netlink;

	if (!doctor->configuration->announce.is_on || doctor->nic_count == 0 ||
	    is_running(doctor) || announce_route_open(&netlink) != 0)
		return;
	if (announce_route_list(&netlink, table, &list) == 0 && list.count > 0)
		doctor_add(doctor->report, DOCTOR_ERROR, "leftover_routes", "",
			   flush_command(&list, table, command),
			   "no fluxpin runs, and the routes by which VIPs are announced are still "
			   "in table %u (%u): packets are drawn here that nobody takes",
			   table, list.count);
	free(list.prefixes);
	netlink_close(&netlink);
}

void doctor_check_leftovers(struct doctor *doctor)
{
	check_neighbours(doctor);
	if (doctor->configuration == NULL)
		return;
	check_metrics(doctor);
	check_control(doctor);
	check_announced(doctor);
}
