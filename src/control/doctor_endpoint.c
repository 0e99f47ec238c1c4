/* SPDX-License-Identifier: BSD-2-Clause */
/* A backend: its link, and what is expected of it. The checks are in the files beside. */
#include "doctor_endpoint.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/netlink.h>

bool endpoint_has_family(const struct endpoint *endpoint, bool is_ipv6)
{
	for (uint32_t i = 0; i < endpoint->vip_count; i++)
		if (address_is_ipv4(&endpoint->vips[i].prefix.address) != is_ipv6)
			return true;
	return endpoint->vip_count == 0 && !is_ipv6;
}

struct address endpoint_client(bool is_ipv6)
{
	struct address client;

	address_parse(is_ipv6 ? "2001:2::1" : "198.18.0.1", &client);
	return client;
}

/* Whether one of the pool's backends is this host; what it is sent is noted down. */
static bool is_in_pool(struct endpoint *endpoint, const struct configuration *configuration,
		       uint32_t pool_index)
{
	const struct pool_configuration *pool = &configuration->pools[pool_index];
	char device[IF_NAMESIZE];
	uint8_t length;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		const struct address *address = &pool->backends[i].address;
		bool is_ipv6 = !address_is_ipv4(address);
		uint32_t outer = encapsulation_overhead(pool->encapsulation, is_ipv6);

		if (!doctor_find_local(address, device, &length))
			continue;
		endpoint->is_known = true;
		if (outer > endpoint->outer)
			endpoint->outer = outer;
		for (uint32_t j = 0; j < configuration->vip_count; j++) {
			const struct vip_configuration *vip = &configuration->vips[j];

			if (vip->pool == pool_index)
				endpoint->uses[pool->encapsulation][is_ipv6]
					      [!address_is_ipv4(&vip->prefix.address)] = true;
		}
		return true;
	}
	return false;
}

/* The VIPs of the pools that this host is in; of all pools, when it is in none. */
static int list_vips(struct endpoint *endpoint, const struct configuration *configuration,
		     const struct doctor_endpoint_options *options)
{
	uint32_t configured = configuration != NULL ? configuration->vip_count : 0;
	uint32_t pools = configuration != NULL ? configuration->pool_count : 0;
	bool *are_ours = calloc(pools + 1, sizeof(*are_ours));

	endpoint->vips = calloc(configured + options->vip_count + 1, sizeof(*endpoint->vips));
	if (endpoint->vips == NULL || are_ours == NULL) {
		free(are_ours);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < pools; i++)
		are_ours[i] =
			!configuration->pools[i].is_peers && is_in_pool(endpoint, configuration, i);
	for (uint32_t i = 0; i < configured; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];

		if (!endpoint->is_known || are_ours[vip->pool])
			endpoint->vips[endpoint->vip_count++] =
				(struct endpoint_vip){ vip->prefix, vip };
	}
	for (uint32_t i = 0; i < options->vip_count; i++)
		endpoint->vips[endpoint->vip_count++] =
			(struct endpoint_vip){ options->vips[i], NULL };
	free(are_ours);
	if (configuration != NULL && !endpoint->is_known)
		doctor_add(endpoint->report, DOCTOR_WARNING, "backend", "", NULL,
			   "no backend of the configuration is an address of this host: no pool "
			   "sends to it");
	else if (configuration != NULL)
		doctor_add(endpoint->report, DOCTOR_OK, "backend", "", NULL,
			   "this host is a backend of the configuration, for %u VIPs",
			   endpoint->vip_count);
	return 0;
}

static bool check_link(struct endpoint *endpoint)
{
	char command[DOCTOR_COMMAND_SIZE];
	int error = interface_query(endpoint->name, &endpoint->interface);

	if (error != 0) {
		doctor_add(endpoint->report, DOCTOR_ERROR, "interface", endpoint->name, NULL,
			   "%s: %s", endpoint->name,
			   error == -ENODEV ? "there is no such interface" : strerror(-error));
		return false;
	}
	if (!endpoint->interface.is_up)
		doctor_add(endpoint->report, DOCTOR_ERROR, "link", endpoint->name,
			   doctor_command(command, "ip link set dev %s up", endpoint->name),
			   "%s is down", endpoint->name);
	else if (!endpoint->interface.has_carrier)
		doctor_add(endpoint->report, DOCTOR_ERROR, "link", endpoint->name, NULL,
			   "%s has no carrier: the cable, the switch port or the other end is down",
			   endpoint->name);
	else
		doctor_add(endpoint->report, DOCTOR_OK, "link", endpoint->name, NULL, "%s is up",
			   endpoint->name);
	return true;
}

int doctor_examine_endpoint(const struct doctor_endpoint_options *options,
			    struct doctor_report *report)
{
	struct endpoint endpoint = { .report = report, .name = options->interface };
	struct configuration *configuration = NULL;

	*report = (struct doctor_report){ 0 };
	if (options->file != NULL)
		configuration = doctor_read_configuration(options->file, report);
	if (list_vips(&endpoint, configuration, options) != 0)
		report->error = -ENOMEM;
	if (report->error == 0 && check_link(&endpoint)) {
		endpoint_check_decapsulation(&endpoint);
		endpoint_check_vips(&endpoint);
		endpoint_check_listeners(&endpoint);
		endpoint_check_arp(&endpoint);
		endpoint_check_reverse_path(&endpoint);
		endpoint_check_segments(&endpoint);
	}
	free(endpoint.vips);
	configuration_release(configuration);
	return report->error;
}
