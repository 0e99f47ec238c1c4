/* SPDX-License-Identifier: BSD-2-Clause */
/* A backend's way back to clients: reverse path filters, and segments with room for the outer
 * header. */
#include "doctor_endpoint.h"

#include <stdlib.h>
#include <string.h>

#define STRICT	    1
#define CLIENT_MTU  1500
#define LEAST_OUTER 20 /* IP in IP over IPv4: the shortest */
#define USUAL_OUTER 32 /* GUE over IPv4: enough for all over IPv4 */
#define ROUTE_SIZE  256

static void check_filter(struct endpoint *endpoint, const char *device, const char *why)
{
	char command[DOCTOR_COMMAND_SIZE];

	doctor_add(endpoint->report, DOCTOR_WARNING, "rp_filter", device,
		   doctor_command(command, "sysctl -w net.ipv4.conf.%s.rp_filter=2", device),
		   "the strict reverse path filter of %s drops clients' packets: %s", device, why);
}

/*
 * The packet inside has a client for its source. The kernel sees it arrive by the tunnel device,
 * or by the NIC where our program took the headers off; strict filtering (RFC 3704) drops it where
 * the route to the client leaves by another device. Loose filtering wants any route.
 */
void endpoint_check_reverse_path(struct endpoint *endpoint)
{
	struct address client = endpoint_client(false);
	struct endpoint_tunnel *tunnels = NULL;
	struct host_route route;
	uint32_t count = 0, wrong = 0;
	bool has_route = host_route_lookup(&client, &route) == 0;

	if (!endpoint_has_family(endpoint, false))
		return;
	if (doctor_read_effective_conf(endpoint->name, "rp_filter") == STRICT &&
	    (!has_route || route.device != endpoint->interface.index)) {
		wrong++;
		check_filter(endpoint, endpoint->name,
			     "the route to clients leaves by another device");
	}
	endpoint_list_tunnels(&tunnels, &count);
	for (uint32_t i = 0; i < count; i++) {
		if (!tunnels[i].is_up ||
		    doctor_read_effective_conf(tunnels[i].name, "rp_filter") != STRICT)
			continue;
		wrong++;
		check_filter(endpoint, tunnels[i].name,
			     "they arrive by the tunnel, and answers leave by another device");
	}
	if (wrong == 0)
		doctor_add(endpoint->report, DOCTOR_OK, "rp_filter", "", NULL,
			   "no reverse path filter drops what is taken out of a tunnel");
	if (!has_route)
		doctor_add(endpoint->report, DOCTOR_WARNING, "return_route", "", NULL,
			   "this host has no default route: answers to clients elsewhere do not "
			   "leave it");
	free(tunnels);
}

/* The route again, with segments that leave room. */
static const char *segment_command(const struct endpoint *endpoint, const struct host_route *route,
				   bool is_ipv6, uint32_t segment, char *command)
{
	char words[ROUTE_SIZE], mtu[24] = "";

	if (host_route_format(route, words, sizeof(words)) == NULL)
		return doctor_command(command, "ip link set dev %s mtu %u", endpoint->name,
				      CLIENT_MTU + endpoint->outer);
	if (route->mtu != 0)
		snprintf(mtu, sizeof(mtu), " mtu %u", route->mtu);
	return doctor_command(command, "ip%s route change %s%s advmss %u", is_ipv6 ? " -6" : "",
			      words, mtu, segment);
}

static void check_family(struct endpoint *endpoint, bool is_ipv6)
{
	uint32_t headers = is_ipv6 ? 60 : 40, mtu = endpoint->interface.mtu;
	uint32_t outer = endpoint->is_known ? endpoint->outer : LEAST_OUTER;
	struct address client = endpoint_client(is_ipv6);
	char command[DOCTOR_COMMAND_SIZE];
	struct interface device;
	struct host_route route;
	uint32_t longest;

	if (outer == 0 || host_route_lookup(&client, &route) != 0)
		return;
	longest = route.mtu;
	if (longest == 0 && interface_query(route.device_name, &device) == 0)
		longest = device.mtu;
	if (route.advmss != 0)
		longest = route.advmss + headers;
	/* Clients have an MTU of their own. */
	if (longest > CLIENT_MTU)
		longest = CLIENT_MTU;
	if (longest + outer <= mtu) {
		doctor_add(endpoint->report, DOCTOR_OK, "mss", endpoint->name, NULL,
			   "what IPv%d clients are told to send, %u bytes, and %u of outer header "
			   "fit the MTU of %s, %u",
			   is_ipv6 ? 6 : 4, longest, outer, endpoint->name, mtu);
		return;
	}
	if (!endpoint->is_known)
		outer = USUAL_OUTER;
	doctor_add(endpoint->report, DOCTOR_WARNING, "mss", endpoint->name,
		   segment_command(endpoint, &route, is_ipv6, mtu - outer - headers, command),
		   "this host tells IPv%d clients to send packets of up to %u bytes, which do not "
		   "fit the MTU of %s, %u, behind %u bytes of outer header: uploads hang (or raise "
		   "the MTU from the load balancer to here to %u)",
		   is_ipv6 ? 6 : 4, longest, endpoint->name, mtu, outer, CLIENT_MTU + outer);
}

void endpoint_check_segments(struct endpoint *endpoint)
{
	for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++)
		if (endpoint_has_family(endpoint, is_ipv6 != 0))
			check_family(endpoint, is_ipv6 != 0);
}
