/* SPDX-License-Identifier: BSD-2-Clause */
/* The way from each NIC to each backend. */
#include "doctor_internal.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <fluxpin/backend_path.h>

/* Three questions, a second apart, are what the kernel asks before it gives a neighbour up
 * (mcast_solicit, retrans_time). */
#define NEIGHBOUR_WAIT_MS 3200

#define STATE_COUNT (NEXT_HOP_OFF_LINK + 1)

/* A backend as seen from a NIC. */
struct way {
	const struct pool_configuration *pool;
	const struct backend_configuration *backend;
	const struct doctor_nic *nic;
	struct next_hop next_hop;
};

struct survey {
	struct doctor *doctor;
	struct neighbours *neighbours;
	struct way *ways;
	uint32_t count;
	uint32_t told[STATE_COUNT];
	uint32_t small_routes;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int find_way(const struct survey *survey, struct way *way)
{
	struct encapsulation_path path;

	return backend_path_find(survey->doctor->configuration, way->pool, &way->backend->address,
				 survey->neighbours, &way->nic->interface, false, &way->next_hop,
				 &path);
}

static int list_ways(struct survey *survey)
{
	const struct configuration *configuration = survey->doctor->configuration;
	uint32_t backends = 0;

	for (uint32_t i = 0; i < configuration->pool_count; i++)
		backends += configuration->pools[i].backend_count;
	survey->ways =
		calloc((size_t)backends * survey->doctor->nic_count + 1, sizeof(*survey->ways));
	if (survey->ways == NULL)
		return -ENOMEM;
	for (uint32_t n = 0; n < survey->doctor->nic_count; n++) {
		if (!survey->doctor->nics[n].is_there)
			continue;
		for (uint32_t i = 0; i < configuration->pool_count; i++) {
			const struct pool_configuration *pool = &configuration->pools[i];

			for (uint32_t j = 0; j < pool->backend_count; j++) {
				const struct backend_configuration *backend = &pool->backends[j];

				if (pool->is_peers &&
				    address_equal(&backend->address, &configuration->peer_self))
					continue;
				survey->ways[survey->count++] =
					(struct way){ .pool = pool,
						      .backend = backend,
						      .nic = &survey->doctor->nics[n] };
			}
		}
	}
	return 0;
}

/* Finds those that are still open; *missing tells whether a neighbour is. */
static int find_ways(struct survey *survey, bool is_first, bool *missing)
{
	*missing = false;
	for (uint32_t i = 0; i < survey->count; i++) {
		struct way *way = &survey->ways[i];
		int error = 0;

		if (is_first || way->next_hop.state == NEXT_HOP_NO_NEIGHBOUR)
			error = find_way(survey, way);
		if (error != 0)
			return error;
		*missing = *missing || way->next_hop.state == NEXT_HOP_NO_NEIGHBOUR;
	}
	return 0;
}

static int survey_ways(struct survey *survey)
{
	struct pollfd events = { .fd = neighbours_descriptor(survey->neighbours),
				 .events = POLLIN };
	uint64_t end = now_ms() + NEIGHBOUR_WAIT_MS, now;
	bool is_missing, changed;
	int error = find_ways(survey, true, &is_missing);

	while (error == 0 && is_missing && (now = now_ms()) < end) {
		poll(&events, 1, (int)(end - now));
		changed = false;
		error = neighbours_drain(survey->neighbours, &changed);
		if (error == 0)
			error = find_ways(survey, false, &is_missing);
	}
	return error;
}

/* A route like those of other backends: by the gateway that one of them has on the NIC. */
static const char *route_command(const struct survey *survey, const struct way *way, char *command)
{
	char text[ADDRESS_TEXT_SIZE], gateway[ADDRESS_TEXT_SIZE];
	bool is_ipv4 = address_is_ipv4(&way->backend->address);

	for (uint32_t i = 0; i < survey->count; i++) {
		const struct way *other = &survey->ways[i];

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

static void add_no_route(const struct survey *survey, const struct way *way, const char *subject,
			 const char *address)
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

static void add_local(const struct survey *survey, const struct way *way, const char *subject,
		      const char *address)
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

static void add_other_interface(const struct survey *survey, const struct way *way,
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

static void add_no_neighbour(const struct survey *survey, const struct way *way,
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

static void add_problem(struct survey *survey, const struct way *way)
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

/* A route's own MTU, and the largest packet of a client that it leaves room for. */
static void check_route_mtu(struct survey *survey, const struct way *way)
{
	bool is_ipv6 = !address_is_ipv4(&way->backend->address);
	uint32_t outer = encapsulation_overhead(way->pool->encapsulation, is_ipv6);
	char subject[2 * CONFIGURATION_NAME_LENGTH + 2];
	uint32_t mtu = way->next_hop.mtu;

	if (mtu == 0 || mtu >= way->nic->interface.mtu || mtu >= 1500 + outer ||
	    survey->small_routes++ >= DOCTOR_ALIKE_MOST)
		return;
	snprintf(subject, sizeof(subject), "%s/%s", way->pool->name, way->backend->name);
	doctor_add(survey->doctor->report, DOCTOR_WARNING, "route_mtu", subject, NULL,
		   "the MTU of the route or VLAN device to backend %s, %u, leaves %u bytes for a "
		   "client's packet: longer ones are answered with \"packet too big\"",
		   subject, mtu, mtu > outer ? mtu - outer : 0);
}

/* More neighbours on the links than the kernel's table takes. */
static void check_table(const struct survey *survey)
{
	long limit = doctor_read_number("/proc/sys/net/ipv4/neigh/default/gc_thresh3", 0);
	char command[DOCTOR_COMMAND_SIZE];
	uint32_t count = 0;

	for (uint32_t i = 0; i < survey->count; i++)
		count += address_equal(&survey->ways[i].next_hop.gateway,
				       &survey->ways[i].backend->address);
	if (limit > 0 && count > (uint32_t)limit)
		doctor_add(survey->doctor->report, DOCTOR_WARNING, "neighbour_table", "",
			   doctor_command(command,
					  "sysctl -w net.ipv4.neigh.default.gc_thresh3=%u "
					  "net.ipv6.neigh.default.gc_thresh3=%u",
					  2 * count, 2 * count),
			   "%u backends are neighbours, and the kernel's table holds %ld", count,
			   limit);
}

static void report_ways(struct survey *survey)
{
	uint32_t problems = 0;

	for (uint32_t i = 0; i < survey->count; i++) {
		const struct way *way = &survey->ways[i];

		if (way->next_hop.state != NEXT_HOP_RESOLVED) {
			problems++;
			add_problem(survey, way);
		} else {
			check_route_mtu(survey, way);
		}
	}
	for (int state = 0; state < STATE_COUNT; state++)
		if (survey->told[state] > DOCTOR_ALIKE_MOST)
			doctor_add(survey->doctor->report, DOCTOR_ERROR, "route", "", NULL,
				   "%u more backends: %s", survey->told[state] - DOCTOR_ALIKE_MOST,
				   next_hop_state_name((enum next_hop_state)state));
	if (problems == 0 && survey->count > 0)
		doctor_add(survey->doctor->report, DOCTOR_OK, "neighbour", "", NULL,
			   "every backend has a route and a neighbour that answers (%u)",
			   survey->count);
	check_table(survey);
}

void doctor_check_backends(struct doctor *doctor)
{
	struct survey survey = { .doctor = doctor };
	int error = neighbours_open_passive(&survey.neighbours);

	if (error == 0)
		error = list_ways(&survey);
	if (error == 0)
		error = survey_ways(&survey);
	if (error == 0)
		report_ways(&survey);
	else if (error == -ENOMEM)
		doctor->report->error = error;
	else
		doctor_add(doctor->report, DOCTOR_WARNING, "route", "", NULL,
			   "routes and neighbours cannot be read: %s", strerror(-error));
	neighbours_close(survey.neighbours);
	free(survey.ways);
}
