/* SPDX-License-Identifier: BSD-2-Clause */
/* The way from each NIC to each backend: finding it. */
#include "doctor_backends.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/backend_path.h>
#include <fluxpin/clock.h>

/* Three questions, a second apart, are what the kernel asks before it gives a neighbour up
 * (mcast_solicit, retrans_time). */
#define NEIGHBOUR_WAIT_MS 3200

static int find_way(const struct doctor_survey *survey, struct doctor_way *way)
{
	struct encapsulation_path path;

	return backend_path_find(survey->doctor->configuration, way->pool, &way->backend->address,
				 survey->neighbours, &way->nic->interface, false, &way->next_hop,
				 &path);
}

static int list_ways(struct doctor_survey *survey)
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
					(struct doctor_way){ .pool = pool,
							     .backend = backend,
							     .nic = &survey->doctor->nics[n] };
			}
		}
	}
	return 0;
}

/* Finds those that are still open; *missing tells whether a neighbour is. */
static int find_ways(struct doctor_survey *survey, bool is_first, bool *missing)
{
	*missing = false;
	for (uint32_t i = 0; i < survey->count; i++) {
		struct doctor_way *way = &survey->ways[i];
		int error = 0;

		if (is_first || way->next_hop.state == NEXT_HOP_NO_NEIGHBOUR)
			error = find_way(survey, way);
		if (error != 0)
			return error;
		*missing = *missing || way->next_hop.state == NEXT_HOP_NO_NEIGHBOUR;
	}
	return 0;
}

static int survey_ways(struct doctor_survey *survey)
{
	struct pollfd events = { .fd = neighbours_descriptor(survey->neighbours),
				 .events = POLLIN };
	uint64_t end = clock_ms() + NEIGHBOUR_WAIT_MS, now;
	bool is_missing, changed;
	int error = find_ways(survey, true, &is_missing);

	while (error == 0 && is_missing && (now = clock_ms()) < end) {
		poll(&events, 1, (int)(end - now));
		changed = false;
		error = neighbours_drain(survey->neighbours, &changed);
		if (error == 0)
			error = find_ways(survey, false, &is_missing);
	}
	return error;
}

/* A route's own MTU, and the largest packet of a client that it leaves room for. */
static void check_route_mtu(struct doctor_survey *survey, const struct doctor_way *way)
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
static void check_table(const struct doctor_survey *survey)
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

static void report_ways(struct doctor_survey *survey)
{
	uint32_t problems = 0;

	for (uint32_t i = 0; i < survey->count; i++) {
		const struct doctor_way *way = &survey->ways[i];

		if (way->next_hop.state != NEXT_HOP_RESOLVED) {
			problems++;
			doctor_add_way_problem(survey, way);
		} else {
			check_route_mtu(survey, way);
		}
	}
	for (int state = 0; state < DOCTOR_WAY_STATES; state++)
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
	struct doctor_survey survey = { .doctor = doctor };
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
