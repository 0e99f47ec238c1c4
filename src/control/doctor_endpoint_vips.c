/* SPDX-License-Identifier: BSD-2-Clause */
/* The VIPs of a backend: whether it has them, who else hears of that, and whether anybody listens.
 */
#include "doctor_endpoint.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* An address of the VIP. */
static struct address an_address(const struct endpoint_vip *vip)
{
	struct address address = vip->prefix.address;

	if (vip->prefix.length < 128)
		address.bytes[15] |= 1;
	return address;
}

static void add_missing(const struct endpoint *endpoint, const struct endpoint_vip *vip,
			const char *text)
{
	char command[DOCTOR_COMMAND_SIZE];
	bool is_ipv4 = address_is_ipv4(&vip->prefix.address);

	if (vip->prefix.length < 128)
		doctor_command(command, "ip%s route add local %s dev lo", is_ipv4 ? "" : " -6",
			       text);
	else
		doctor_command(command, "ip addr add %s/%d dev lo", text, is_ipv4 ? 32 : 128);
	doctor_add(endpoint->report, DOCTOR_ERROR, "vip", text, command,
		   "this host does not have VIP %s: it throws away what the load balancer sends",
		   text);
}

/* A device on which the host answers ARP for its addresses, arp_ignore or not. */
static bool answers_arp(const char *device)
{
	struct interface_relations relations;
	unsigned int index = if_nametoindex(device);

	return index != 0 && interface_relations((int)index, &relations) == 0 &&
	       relations.has_arp && !relations.is_loopback && strcmp(relations.kind, "dummy") != 0;
}

/* Returns whether there is nothing wrong with it. */
static bool check_vip(const struct endpoint *endpoint, const struct endpoint_vip *vip)
{
	struct address address = an_address(vip);
	char text[ADDRESS_TEXT_SIZE], device[IF_NAMESIZE], command[DOCTOR_COMMAND_SIZE];
	bool is_ipv4 = address_is_ipv4(&address);
	struct host_route route;
	uint8_t length;

	prefix_format(&vip->prefix, text);
	if (host_route_lookup(&address, &route) != 0 || route.type != RTN_LOCAL) {
		add_missing(endpoint, vip, text);
		return false;
	}
	if (vip->prefix.length < 128 || !doctor_find_local(&address, device, &length) ||
	    !answers_arp(device))
		return true;
	doctor_add(endpoint->report, DOCTOR_WARNING, "vip_device", text,
		   doctor_command(command, "ip addr del %s/%u dev %s && ip addr add %s/%d dev lo",
				  text, length, device, text, is_ipv4 ? 32 : 128),
		   "VIP %s is on %s, where this host answers for it: others on the link may send "
		   "to it past the load balancer",
		   text, device);
	return false;
}

void endpoint_check_vips(struct endpoint *endpoint)
{
	uint32_t wrong = 0;

	if (endpoint->vip_count == 0) {
		doctor_add(endpoint->report, DOCTOR_NOTE, "vip", "", NULL,
			   "no VIP is named (-c FILE or --vip ADDRESS): whether this host has them "
			   "was not looked at");
		return;
	}
	for (uint32_t i = 0; i < endpoint->vip_count && wrong < DOCTOR_ALIKE_MOST; i++)
		wrong += !check_vip(endpoint, &endpoint->vips[i]);
	if (wrong == 0)
		doctor_add(endpoint->report, DOCTOR_OK, "vip", "", NULL, "this host has every VIP");
	else if (wrong == DOCTOR_ALIKE_MOST)
		doctor_add(endpoint->report, DOCTOR_NOTE, "vip", "", NULL,
			   "the VIPs after these were not looked at");
}

/* Reads the sockets in a file such as /proc/net/tcp6; whether one takes what comes to the address
 * and port. A socket of IPv6 for every address takes IPv4, too. */
static bool is_listed(const char *path, bool is_tcp, const struct address *address, uint16_t port)
{
	FILE *file = fopen(path, "re");
	char line[512], text[40];
	bool is_found = false;

	while (file != NULL && !is_found && fgets(line, sizeof(line), file) != NULL) {
		struct address local = { 0 };
		unsigned int local_port, state, words[4] = { 0 };
		bool is_any;

		if (sscanf(line, " %*u: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x", text, &local_port,
			   &state) != 3 ||
		    local_port != port || (is_tcp && state != 0x0a))
			continue;
		if (sscanf(text, "%8x%8x%8x%8x", &words[0], &words[1], &words[2], &words[3]) == 4)
			memcpy(local.words_be, words, sizeof(words));
		else
			local = address_from_ipv4(words[0]);
		is_any = strspn(text, "0") == strlen(text);
		is_found = address_equal(&local, address) ||
			   (is_any && (strlen(text) > 8 || address_is_ipv4(address)));
	}
	if (file != NULL)
		fclose(file);
	return is_found;
}

static bool has_listener(const struct vip_configuration *vip, const struct address *address)
{
	bool takes_tcp = vip->protocol != IPPROTO_UDP, takes_udp = vip->protocol != IPPROTO_TCP;

	return (takes_tcp && (is_listed("/proc/self/net/tcp", true, address, vip->port) ||
			      is_listed("/proc/self/net/tcp6", true, address, vip->port))) ||
	       (takes_udp && (is_listed("/proc/self/net/udp", false, address, vip->port) ||
			      is_listed("/proc/self/net/udp6", false, address, vip->port)));
}

void endpoint_check_listeners(struct endpoint *endpoint)
{
	uint32_t looked_at = 0, wrong = 0;

	for (uint32_t i = 0; i < endpoint->vip_count && wrong < DOCTOR_ALIKE_MOST; i++) {
		const struct vip_configuration *vip = endpoint->vips[i].vip;
		struct address address = an_address(&endpoint->vips[i]);
		char text[ADDRESS_TEXT_SIZE];

		if (vip == NULL || vip->port == 0)
			continue;
		looked_at++;
		if (has_listener(vip, &address))
			continue;
		wrong++;
		doctor_add(endpoint->report, DOCTOR_WARNING, "listener", vip->name, NULL,
			   "nobody listens on %s port %u of VIP %s (%s)",
			   vip->protocol == IPPROTO_UDP	  ? "UDP"
			   : vip->protocol == IPPROTO_TCP ? "TCP"
							  : "TCP or UDP",
			   vip->port, vip->name, address_format(&address, text));
	}
	if (looked_at > 0 && wrong == 0)
		doctor_add(endpoint->report, DOCTOR_OK, "listener", "", NULL,
			   "somebody listens on every VIP's port (%u)", looked_at);
}

/* Whether the VIP lies in a network that the interface is connected to. */
static bool is_on_link(const struct endpoint *endpoint, const struct address *vip)
{
	struct ifaddrs *addresses;
	bool is_found = false;

	if (getifaddrs(&addresses) != 0)
		return false;
	for (const struct ifaddrs *each = addresses; each != NULL && !is_found;
	     each = each->ifa_next) {
		uint32_t own, mask;

		if (each->ifa_addr == NULL || each->ifa_netmask == NULL ||
		    each->ifa_addr->sa_family != AF_INET ||
		    strcmp(each->ifa_name, endpoint->name) != 0)
			continue;
		own = ((const struct sockaddr_in *)each->ifa_addr)->sin_addr.s_addr;
		mask = ((const struct sockaddr_in *)each->ifa_netmask)->sin_addr.s_addr;
		is_found = mask != UINT32_MAX && ((own ^ vip->words_be[3]) & mask) == 0;
	}
	freeifaddrs(addresses);
	return is_found;
}

/* IPv6 needs no such thing: Linux answers for addresses of the very interface alone. */
void endpoint_check_arp(struct endpoint *endpoint)
{
	long ignore = doctor_read_effective_conf(endpoint->name, "arp_ignore");
	long announce = doctor_read_effective_conf(endpoint->name, "arp_announce");
	bool matters =
		endpoint->uses[ENCAPSULATION_L2][0][0] || endpoint->uses[ENCAPSULATION_L2][1][0];

	if (!endpoint_has_family(endpoint, false))
		return;
	if (ignore >= 1 && announce >= 2) {
		doctor_add(endpoint->report, DOCTOR_OK, "arp", endpoint->name, NULL,
			   "this host claims no VIP by ARP on %s", endpoint->name);
		return;
	}
	for (uint32_t i = 0; i < endpoint->vip_count && !matters; i++)
		matters = address_is_ipv4(&endpoint->vips[i].prefix.address) &&
			  is_on_link(endpoint, &endpoint->vips[i].prefix.address);
	doctor_add(endpoint->report, matters ? DOCTOR_WARNING : DOCTOR_NOTE, "arp", endpoint->name,
		   "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
		   "this host answers and sends ARP for its VIPs on %s (arp_ignore %ld, "
		   "arp_announce %ld)%s",
		   endpoint->name, ignore, announce,
		   matters ? ": routers on the link may send there what is for the load balancer"
			   : ", which matters only where somebody on the link asks for them");
}
