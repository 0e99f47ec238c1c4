/* SPDX-License-Identifier: BSD-2-Clause */
/* Who takes the outer headers off: our program, or the kernel's tunnel devices. */
#include "doctor_endpoint.h"

#include <stdlib.h>
#include <string.h>

#include <fluxpin/endpoint.h>

struct tunnel_list {
	struct endpoint_tunnel *tunnels;
	uint32_t count;
};

/* The kind of device that takes these outer headers off; NULL: none is needed. */
static const char *needed_kind(enum encapsulation encapsulation, bool outer_is_ipv6,
			       bool inner_is_ipv6)
{
	switch (encapsulation) {
	case ENCAPSULATION_GRE:
		return outer_is_ipv6 ? "ip6gre" : "gre";
	case ENCAPSULATION_IPIP:
	case ENCAPSULATION_GUE:
		return outer_is_ipv6 ? "ip6tnl" : inner_is_ipv6 ? "sit" : "ipip";
	case ENCAPSULATION_L2:
		break;
	}
	return NULL;
}

static const struct endpoint_tunnel *find_tunnel(const struct tunnel_list *list, const char *kind)
{
	const struct endpoint_tunnel *found = NULL;

	for (uint32_t i = 0; i < list->count; i++)
		if ((kind == NULL || strcmp(list->tunnels[i].kind, kind) == 0) &&
		    (found == NULL || list->tunnels[i].is_up))
			found = &list->tunnels[i];
	return found;
}

/* What is missing for one kind of packet that the load balancer sends. Returns whether anything
 * is. */
static bool check_kernel(struct endpoint *endpoint, const struct tunnel_list *list,
			 enum encapsulation encapsulation, bool outer_is_ipv6, bool inner_is_ipv6)
{
	const char *kind = needed_kind(encapsulation, outer_is_ipv6, inner_is_ipv6);
	const struct endpoint_tunnel *tunnel;
	char command[DOCTOR_COMMAND_SIZE];

	if (kind == NULL)
		return false;
	tunnel = find_tunnel(list, kind);
	if (tunnel == NULL) {
		doctor_add(endpoint->report, DOCTOR_ERROR, "decapsulation", endpoint->name,
			   doctor_command(command, "fluxpin endpoint attach -i %s", endpoint->name),
			   "nobody takes %s over IPv%d off: the program is not on %s, and there is "
			   "no device of type %s",
			   encapsulation_name(encapsulation), outer_is_ipv6 ? 6 : 4, endpoint->name,
			   kind);
		return true;
	}
	if (!tunnel->is_up) {
		doctor_add(endpoint->report, DOCTOR_ERROR, "decapsulation", tunnel->name,
			   doctor_command(command, "ip link set dev %s up", tunnel->name),
			   "the tunnel device %s is down", tunnel->name);
		return true;
	}
	if (encapsulation == ENCAPSULATION_GUE && !endpoint_has_gue_port(outer_is_ipv6)) {
		doctor_add(endpoint->report, DOCTOR_ERROR, "decapsulation", endpoint->name,
			   doctor_command(command, "ip%s fou add port %d gue",
					  outer_is_ipv6 ? " -6" : "", ENCAPSULATION_GUE_PORT),
			   "the kernel takes no GUE from UDP port %d", ENCAPSULATION_GUE_PORT);
		return true;
	}
	return false;
}

static void check_devices(struct endpoint *endpoint)
{
	struct tunnel_list list = { 0 };
	char command[DOCTOR_COMMAND_SIZE];
	const struct endpoint_tunnel *any;
	uint32_t missing = 0;

	endpoint_list_tunnels(&list.tunnels, &list.count);
	any = find_tunnel(&list, NULL);
	for (int kind = 0; kind <= ENCAPSULATION_L2; kind++)
		for (int families = 0; families < 4 && missing == 0; families++)
			if (endpoint->uses[kind][families >> 1][families & 1])
				missing += check_kernel(endpoint, &list, (enum encapsulation)kind,
							families >> 1, families & 1);
	if (!endpoint->is_known && (any == NULL || !any->is_up))
		doctor_add(
			endpoint->report, DOCTOR_ERROR, "decapsulation", endpoint->name,
			doctor_command(command, "fluxpin endpoint attach -i %s", endpoint->name),
			"nobody takes outer headers off: the program is not on %s, and no tunnel "
			"device of the kernel is up (l2 alone needs neither)",
			endpoint->name);
	else if (missing == 0 && any != NULL)
		doctor_add(endpoint->report, DOCTOR_OK, "decapsulation", endpoint->name, NULL,
			   "the kernel's tunnel devices take outer headers off (%s)", any->name);
	else if (missing == 0)
		doctor_add(endpoint->report, DOCTOR_OK, "decapsulation", endpoint->name, NULL,
			   "there is no outer header to take off");
	free(list.tunnels);
}

static void check_mode(struct endpoint *endpoint, const struct endpoint_status *status)
{
	char command[DOCTOR_COMMAND_SIZE];
	uint64_t features = 0;
	bool has_native = interface_xdp_features(endpoint->interface.index, &features) == 0 &&
			  (features & INTERFACE_XDP_BASIC) != 0;

	if (status->mode != ENDPOINT_MODE_GENERIC)
		doctor_add(endpoint->report, DOCTOR_OK, "decapsulation", endpoint->name, NULL,
			   "the program is on %s, in the driver", endpoint->name);
	else
		doctor_add(endpoint->report, has_native ? DOCTOR_WARNING : DOCTOR_NOTE,
			   "decapsulation_generic", endpoint->name,
			   has_native ? doctor_command(command,
						       "fluxpin endpoint detach -i %s && fluxpin "
						       "endpoint attach -i %s --mode native",
						       endpoint->name, endpoint->name)
				      : NULL,
			   "the program is on %s in generic mode, which is slow%s", endpoint->name,
			   has_native ? ", and the driver has native XDP" : "");
}

/* What the program counted that should not be there. */
static void check_counters(struct endpoint *endpoint, const struct endpoint_status *status)
{
	for (uint32_t i = 0; i < status->counter_count; i++) {
		const struct endpoint_counter *counter = &status->counters[i];

		if (counter->frames > 0 && (strncmp(counter->name, "dropped", 7) == 0 ||
					    strcmp(counter->name, "passed_fragment") == 0 ||
					    strcmp(counter->name, "passed_not_local") == 0))
			doctor_add(endpoint->report, DOCTOR_NOTE, "counters", endpoint->name, NULL,
				   "the program has counted %llu of %s (%s)",
				   (unsigned long long)counter->frames, counter->name,
				   counter->description);
	}
}

void endpoint_check_decapsulation(struct endpoint *endpoint)
{
	struct endpoint_status status = { 0 };
	char command[DOCTOR_COMMAND_SIZE];
	const char *name = endpoint->name;

	doctor_command(command, "fluxpin endpoint attach -i %s", name);
	if (endpoint_status(name, &status) != 0) {
		doctor_add(endpoint->report, DOCTOR_WARNING, "decapsulation", name, command,
			   "the program on %s is of another version, or may not be read", name);
		return;
	}
	if (!status.is_attached) {
		if (status.foreign_program[0] != '\0')
			doctor_add(endpoint->report, DOCTOR_NOTE, "program", name, NULL,
				   "another XDP program, \"%s\", is on %s", status.foreign_program,
				   name);
		check_devices(endpoint);
		return;
	}
	check_mode(endpoint, &status);
	if (status.missing_address_count > 0)
		doctor_add(endpoint->report, DOCTOR_WARNING, "addresses", name, command,
			   "the program on %s does not know %u of this host's addresses, and "
			   "leaves tunnels to them alone",
			   name, status.missing_address_count);
	check_counters(endpoint, &status);
}
