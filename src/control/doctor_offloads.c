/* SPDX-License-Identifier: BSD-2-Clause */
/* Offloads that hide packets from XDP or change them, of the NIC and of the other end of a veth. */
#include "doctor_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/neighbours.h>
#include <fluxpin/netlink.h>

#define LIST_SIZE	 256
#define NAMESPACE_FOLDER "/run/netns"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* They merge packets in the card. */
static const char *const merging[] = { "rx-lro", "rx-gro-hw" };
static const char *const tag_stripping[] = { "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse" };
/* They merge packets in the kernel, in front of generic XDP. */
static const char *const kernel_merging[] = { "rx-gro", "rx-gro-list", "rx-udp-gro-forwarding" };
/* Of the other end of a veth: packets arrive as they were before the card would finish them. */
static const char *const unfinished[] = { "tx-checksum-ip-generic", "tx-checksum-ipv4",
					  "tx-checksum-ipv6", "tx-tcp-segmentation",
					  "tx-tcp6-segmentation" };

static bool has_vlan_devices(int index)
{
	struct neighbours *neighbours;
	bool result;

	if (neighbours_open_passive(&neighbours) != 0)
		return false;
	result = neighbours_has_vlans(neighbours, index);
	neighbours_close(neighbours);
	return result;
}

static bool list_active(const struct doctor_nic *nic, const char *const *features, uint32_t count,
			char *command)
{
	char list[LIST_SIZE];

	return interface_active_offloads(nic->wanted->name, features, count, list, sizeof(list)) ==
		       0 &&
	       list[0] != '\0' &&
	       doctor_command(command, "ethtool -K %s %s", nic->wanted->name, list) != NULL;
}

static bool is_generic(const struct doctor_nic *nic)
{
	return nic->wanted->mode == XDP_MODE_GENERIC ||
	       (nic->presence.attached == REDIRECT_OURS && nic->presence.is_generic);
}

static int take_number(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute;

	netlink_for_each_attribute(attribute, message, sizeof(struct rtgenmsg))
	{
		if (mnl_attr_get_type(attribute) == NETNSA_NSID)
			netlink_get_u32(attribute, context);
	}
	return 0;
}

static bool has_number(const char *name, int number)
{
	char path[sizeof(NAMESPACE_FOLDER) + NAME_MAX + 2];
	struct netlink_request request;
	struct rtgenmsg *header;
	struct nlmsghdr *message;
	uint32_t found = UINT32_MAX;
	int descriptor;

	snprintf(path, sizeof(path), NAMESPACE_FOLDER "/%s", name);
	descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return false;
	message = netlink_start(&request, RTM_GETNSID, 0, sizeof(*header), &header);
	header->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(message, NETNSA_FD, (uint32_t)descriptor);
	if (netlink_execute_once(message, take_number, &found) != 0)
		found = UINT32_MAX;
	close(descriptor);
	return found == (uint32_t)number;
}

/* The namespace that this one knows by the number, as a file that ip-netns(8) made. */
static bool find_namespace(int number, char *name, uint32_t size)
{
	const struct dirent *entry;
	bool is_found = false;
	DIR *folder = opendir(NAMESPACE_FOLDER);

	if (folder == NULL)
		return false;
	while (!is_found && (entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= size)
			continue;
		is_found = has_number(entry->d_name, number);
		if (is_found)
			memcpy(name, entry->d_name, strlen(entry->d_name) + 1);
	}
	closedir(folder);
	return is_found;
}

/* What is on of the other end, and its name; it may be in another namespace, which is entered and
 * left again. */
static bool read_peer(const struct interface_relations *relations, const char *namespace,
		      char name[static IF_NAMESIZE], char *list)
{
	char path[sizeof(NAMESPACE_FOLDER) + NAME_MAX + 2];
	int own = -1, other = -1;
	bool is_read = false;

	if (namespace != NULL) {
		snprintf(path, sizeof(path), NAMESPACE_FOLDER "/%s", namespace);
		own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		other = open(path, O_RDONLY | O_CLOEXEC);
		if (own < 0 || other < 0 || setns(other, CLONE_NEWNET) != 0)
			goto close_namespaces;
	}
	is_read = if_indextoname((unsigned int)relations->peer, name) != NULL &&
		  interface_active_offloads(name, unfinished, COUNT(unfinished), list, LIST_SIZE) ==
			  0;
	if (namespace != NULL && setns(own, CLONE_NEWNET) != 0)
		is_read = false;
close_namespaces:
	if (own >= 0)
		close(own);
	if (other >= 0)
		close(other);
	return is_read;
}

static void check_peer(struct doctor *doctor, const struct doctor_nic *nic)
{
	const char *name = nic->wanted->name;
	struct interface_relations relations;
	char peer[IF_NAMESIZE] = "", namespace[NAME_MAX + 1], list[LIST_SIZE] = "";
	char command[DOCTOR_COMMAND_SIZE];
	bool is_here, is_named;

	if (interface_relations(nic->interface.index, &relations) != 0 || relations.peer == 0)
		return;
	is_here = relations.peer_namespace < 0;
	is_named =
		!is_here && find_namespace(relations.peer_namespace, namespace, sizeof(namespace));
	if ((!is_here && !is_named) ||
	    !read_peer(&relations, is_named ? namespace : NULL, peer, list)) {
		doctor_add(doctor->report, DOCTOR_NOTE, "peer_offloads", name, NULL,
			   "%s is a veth, and its other end is not seen from here: transmit "
			   "checksum and segmentation offloads must be off there (ethtool -K PEER "
			   "tx off tso off)",
			   name);
		return;
	}
	if (list[0] == '\0') {
		doctor_add(doctor->report, DOCTOR_OK, "peer_offloads", name, NULL,
			   "the other end of %s, %s, sends whole packets", name, peer);
		return;
	}
	if (is_named)
		doctor_command(command, "ip netns exec %s ethtool -K %s %s", namespace, peer, list);
	else
		doctor_command(command, "ethtool -K %s %s", peer, list);
	doctor_add(doctor->report, DOCTOR_WARNING, "peer_offloads", name, command,
		   "the other end of %s, %s, leaves checksums or segmentation to the card, which a "
		   "veth has not: packets of that host reach XDP unfinished",
		   name, peer);
}

void doctor_check_offloads(struct doctor *doctor, const struct doctor_nic *nic)
{
	const char *name = nic->wanted->name;
	char command[DOCTOR_COMMAND_SIZE];
	bool is_harmless = true;

	if (list_active(nic, merging, COUNT(merging), command)) {
		is_harmless = false;
		doctor_add(doctor->report, DOCTOR_WARNING, "offloads", name, command,
			   "%s merges packets into longer ones, which fit no frame and are dropped",
			   name);
	}
	if (list_active(nic, tag_stripping, COUNT(tag_stripping), command)) {
		bool has_vlans = has_vlan_devices(nic->interface.index);

		is_harmless = false;
		doctor_add(doctor->report, has_vlans ? DOCTOR_WARNING : DOCTOR_NOTE, "vlan_offload",
			   name, command, "%s takes VLAN tags off before XDP: %s", name,
			   has_vlans ? "what comes for its VLAN devices looks untagged"
				     : "harmless where nothing is tagged");
	}
	if (is_generic(nic) && list_active(nic, kernel_merging, COUNT(kernel_merging), command)) {
		is_harmless = false;
		doctor_add(
			doctor->report, DOCTOR_WARNING, "gro", name, command,
			"the kernel merges packets of %s in front of generic XDP (GRO): those that "
			"fit no frame are dropped",
			name);
	}
	if (is_harmless)
		doctor_add(doctor->report, DOCTOR_OK, "offloads", name, NULL,
			   "no offload of %s hides or merges packets", name);
	check_peer(doctor, nic);
}
