/* SPDX-License-Identifier: BSD-2-Clause */
/* What is wrong with the way from a NIC to a backend. */
#include "doctor_backends.h"

#include <linux/rtnetlink.h>
#include <string.h>

/* A route like those of other backends: by the gateway that one of them has on the NIC. */
static const char *route_command(const struct doctor_survey *survey, const struct doctor_way *way,
				 char *command)
{
	char text[ADDRESS_TEXT_SIZE], gateway[ADDRESS_TEXT_SIZE];
	bool is_ipv4 = address_is_ipv4(&way->backend->address);

	for (uint32_t i = 0; i < survey->count; i++) {
		const struct doctor_way *other = &survey->ways[i];

		if (other->nic != way->nic || other->next_hop.state != NEXT_HOP_RESOLVED ||
		    address_is_ipv4(&other->next_hop.gateway) != is_ipv4 ||
		    address_equal(&other->next_hop.gateway, &other->backend->address))
			continue;
		return doctor_command(
			command, "ip%s route replace %s/%d via %s dev %s", is_ipv4 ? "" : " -6",
			address_format(&way->backend->address, text), is_ipv4 ? 32 : 128,
			address_format(&other->next_hop.gateway, gateway), way->nic->wanted->name);
	}
	return NULL;
}

static const char *refusal_name(uint8_t type)
{
	switch (type) {
	case RTN_BLACKHOLE:
		return "blackhole";
	case RTN_PROHIBIT:
		return "prohibit";
	default:
		return "unreachable";
	}
}

static void add_no_route(const struct doctor_survey *survey, const struct doctor_way *way,
			 const char *subject, const char *address)
{
	struct doctor_report *report = survey->doctor->report;
	bool is_ipv4 = address_is_ipv4(&way->backend->address);
	char command[DOCTOR_COMMAND_SIZE], prefix[ADDRESS_TEXT_SIZE];
	struct host_route route;

	if (host_route_lookup(&way->backend->address, &route) == 0 ||
	    host_route_find_refusal(&way->backend->address, &route) != 0) {
		doctor_add(report, DOCTOR_ERROR, "route", subject,
			   route_command(survey, way, command),
			   "no route leads from %s to backend %s (%s)", way->nic->wanted->name,
			   subject, address);
		return;
	}
	address_format(&route.prefix, prefix);
	doctor_add(report, DOCTOR_ERROR, "route", subject,
		   doctor_command(command, "ip%s route del %s %s/%u table %u", is_ipv4 ? "" : " -6",
				  refusal_name(route.type), prefix, route.prefix_length,
				  route.table),
		   "a route of type %s for %s/%u keeps %s from backend %s (%s)",
		   refusal_name(route.type), prefix, route.prefix_length, way->nic->wanted->name,
		   subject, address);
}

static void add_local(const struct doctor_survey *survey, const struct doctor_way *way,
		      const char *subject, const char *address)
{
	char device[IF_NAMESIZE], command[DOCTOR_COMMAND_SIZE];
	uint8_t length;
	bool is_found = doctor_find_local(&way->backend->address, device, &length);

	doctor_add(survey->doctor->report, DOCTOR_ERROR, "route", subject,
		   is_found ? doctor_command(command, "ip addr del %s/%u dev %s", address, length,
					     device)
			    : NULL,
		   "backend %s (%s) is an address of this load balancer itself", subject, address);
}

static void add_other_interface(const struct doctor_survey *survey, const struct doctor_way *way,
				const char *subject, const char *address)
{
	char command[DOCTOR_COMMAND_SIZE];
	struct host_route route;
	bool is_known = host_route_lookup(&way->backend->address, &route) == 0;

	doctor_add(survey->doctor->report, DOCTOR_ERROR, "route", subject,
		   route_command(survey, way, command),
		   "the route to backend %s (%s) leaves by %s: what arrives on %s for it is "
		   "dropped",
		   subject, address, is_known ? route.device_name : "another interface",
		   way->nic->wanted->name);
}

static void add_no_neighbour(const struct doctor_survey *survey, const struct doctor_way *way,
			     const char *subject, const char *address)
{
	char gateway[ADDRESS_TEXT_SIZE], device[IF_NAMESIZE] = "";

	if_indextoname((unsigned int)way->next_hop.device, device);
	address_format(&way->next_hop.gateway, gateway);
	if (address_equal(&way->next_hop.gateway, &way->backend->address))
		doctor_add(survey->doctor->report, DOCTOR_ERROR, "neighbour", subject, NULL,
			   "backend %s (%s) does not answer %s on %s: it is down, or not on this "
			   "link",
			   subject, address, address_is_ipv4(&way->backend->address) ? "ARP" : "ND",
			   device);
	else
		doctor_add(survey->doctor->report, DOCTOR_ERROR, "neighbour", subject, NULL,
			   "the gateway to backend %s (%s), %s, does not answer %s on %s", subject,
			   address, gateway, address_is_ipv4(&way->next_hop.gateway) ? "ARP" : "ND",
			   device);
}

void doctor_add_way_problem(struct doctor_survey *survey, const struct doctor_way *way)
{
	struct doctor_report *report = survey->doctor->report;
	char address[ADDRESS_TEXT_SIZE], subject[2 * CONFIGURATION_NAME_LENGTH + 2];

	if (survey->told[way->next_hop.state]++ >= DOCTOR_ALIKE_MOST)
		return;
	address_format(&way->backend->address, address);
	snprintf(subject, sizeof(subject), "%s/%s", way->pool->name, way->backend->name);
	switch (way->next_hop.state) {
	case NEXT_HOP_RESOLVED:
		break;
	case NEXT_HOP_NO_ROUTE:
		add_no_route(survey, way, subject, address);
		break;
	case NEXT_HOP_LOCAL:
		add_local(survey, way, subject, address);
		break;
	case NEXT_HOP_OTHER_INTERFACE:
		add_other_interface(survey, way, subject, address);
		break;
	case NEXT_HOP_TOO_MANY_TAGS:
		doctor_add(report, DOCTOR_ERROR, "route", subject, NULL,
			   "backend %s (%s) is behind more than two VLAN tags", subject, address);
		break;
	case NEXT_HOP_NO_NEIGHBOUR:
		add_no_neighbour(survey, way, subject, address);
		break;
	case NEXT_HOP_NO_SOURCE:
		doctor_add(report, DOCTOR_ERROR, "source", subject, NULL,
			   "%s has no address to send to backend %s (%s) from: give it one, or set "
			   "source_address",
			   way->nic->wanted->name, subject, address);
		break;
	case NEXT_HOP_OFF_LINK:
		doctor_add(report, DOCTOR_ERROR, "route", subject, NULL,
			   "backend %s (%s) is behind a router, which encapsulation \"l2\" does "
			   "not reach: use gre, ipip or gue",
			   subject, address);
		break;
	}
}
