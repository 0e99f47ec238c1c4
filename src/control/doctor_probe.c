/* SPDX-License-Identifier: BSD-2-Clause */
/* doctor --probe: a client's first packet, by way of one backend, and how far it comes. */
#include "doctor_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <fluxpin/backend_path.h>

#include "probe_exchange.h"

#define CLIENT_MTU	  1500
#define ANY_PORT	  80   /* probed where the VIP takes every port */
#define NEIGHBOUR_WAIT_MS 3200 /* three questions of the kernel, a second apart */

struct probe {
	struct doctor_report *report;
	const struct configuration *configuration;
	const struct pool_configuration *pool;
	const struct backend_configuration *backend;
	const struct vip_configuration *vip;
	struct interface nic;
	struct next_hop next_hop;
	struct encapsulation_path path;
	const char *subject;		      /* "POOL/BACKEND" */
	char vip_text[ADDRESS_TEXT_SIZE + 8]; /* "203.0.113.10:80" */
};

/* Both parts of "POOL/BACKEND"; names have no slash. */
static bool find_backend(struct probe *probe, const char *target)
{
	const struct configuration *configuration = probe->configuration;
	const char *slash = strchr(target, '/');
	size_t length = slash != NULL ? (size_t)(slash - target) : strlen(target);

	for (uint32_t i = 0; slash != NULL && i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		if (pool->is_peers || strlen(pool->name) != length ||
		    strncmp(pool->name, target, length) != 0)
			continue;
		for (uint32_t j = 0; j < pool->backend_count; j++) {
			if (strcmp(pool->backends[j].name, slash + 1) != 0)
				continue;
			probe->pool = pool;
			probe->backend = &pool->backends[j];
			return true;
		}
	}
	doctor_add(probe->report, DOCTOR_ERROR, "probe", target, NULL,
		   "there is no backend %s (POOL/BACKEND) in the configuration", target);
	return false;
}

/* The VIP of that name, or of the pool: one that takes TCP, by preference to a port of its own. */
static int rank(const struct vip_configuration *vip)
{
	bool takes_tcp = vip->protocol == 0 || vip->protocol == IPPROTO_TCP;

	return (takes_tcp ? 2 : 0) + (vip->port != 0 ? 1 : 0);
}

static bool find_vip(struct probe *probe, const char *name)
{
	const struct configuration *configuration = probe->configuration;
	const struct pool_configuration *pools = configuration->pools;

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];

		if (&pools[vip->pool] != probe->pool ||
		    (name != NULL && strcmp(vip->name, name) != 0))
			continue;
		if (probe->vip == NULL || rank(vip) > rank(probe->vip))
			probe->vip = vip;
	}
	if (probe->vip != NULL)
		return true;
	if (name != NULL)
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "pool %s has no VIP named %s", probe->pool->name, name);
	else
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "no VIP uses pool %s", probe->pool->name);
	return false;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The way from a NIC, waiting for its neighbour. */
static int resolve(struct probe *probe, struct neighbours *neighbours)
{
	struct pollfd events = { .fd = neighbours_descriptor(neighbours), .events = POLLIN };
	int64_t end = now_ms() + NEIGHBOUR_WAIT_MS;

	for (;;) {
		int error = backend_path_find(probe->configuration, probe->pool,
					      &probe->backend->address, neighbours, &probe->nic,
					      false, &probe->next_hop, &probe->path);
		bool changed = false;
		int64_t left = end - now_ms();

		if (error != 0 || probe->next_hop.state != NEXT_HOP_NO_NEIGHBOUR || left <= 0)
			return error;
		poll(&events, 1, (int)left);
		error = neighbours_drain(neighbours, &changed);
		if (error != 0)
			return error;
	}
}

/* The first NIC from which there is a way. */
static bool find_nic(struct probe *probe, const struct interface_configuration *interfaces,
		     uint32_t count)
{
	char address[ADDRESS_TEXT_SIZE];
	struct neighbours *neighbours;
	bool is_found = false;
	int error = neighbours_open_passive(&neighbours);

	if (error != 0) {
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "routes and neighbours cannot be read: %s", strerror(-error));
		return false;
	}
	for (uint32_t i = 0; i < count && !is_found; i++) {
		error = interface_query(interfaces[i].name, &probe->nic);
		if (error == 0)
			error = resolve(probe, neighbours);
		is_found = error == 0 && probe->next_hop.state == NEXT_HOP_RESOLVED;
		if (!is_found)
			doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
				   "nothing was sent: from %s to backend %s (%s): %s",
				   interfaces[i].name, probe->subject,
				   address_format(&probe->backend->address, address),
				   error != 0 ? strerror(-error)
					      : next_hop_state_name(probe->next_hop.state));
	}
	if (count == 0)
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "no interface is named, in the configuration or by -i");
	neighbours_close(neighbours);
	return is_found;
}

/* The address that this host would send from, to one of the family of the VIP. */
static int choose_source(const struct address *towards, struct address *source)
{
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(9) };
	bool is_ipv4 = address_is_ipv4(towards);
	struct sockaddr *name = is_ipv4 ? (struct sockaddr *)&ipv4 : (struct sockaddr *)&ipv6;
	socklen_t length = is_ipv4 ? sizeof(ipv4) : sizeof(ipv6);
	int descriptor = socket(name->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = 0;

	if (descriptor < 0)
		return -errno;
	ipv4.sin_addr.s_addr = towards->words_be[3];
	memcpy(&ipv6.sin6_addr, towards->bytes, sizeof(towards->bytes));
	if (connect(descriptor, name, length) != 0 || getsockname(descriptor, name, &length) != 0)
		error = -errno;
	close(descriptor);
	if (error != 0)
		return error;
	*source = address_from_ipv4(ipv4.sin_addr.s_addr);
	if (!is_ipv4)
		memcpy(source->bytes, &ipv6.sin6_addr, sizeof(source->bytes));
	return 0;
}

static bool start_flow(struct probe *probe, struct probe_flow *flow)
{
	const struct address *vip = &probe->vip->prefix.address;
	bool is_same = address_is_ipv4(vip) == address_is_ipv4(&probe->backend->address);
	char text[ADDRESS_TEXT_SIZE];
	int error;

	*flow = (struct probe_flow){
		.vip = *vip,
		.vip_port = probe->vip->port != 0 ? probe->vip->port : ANY_PORT,
	};
	/* An address of a network, not the network's own. */
	if (probe->vip->prefix.length < 128)
		flow->vip.bytes[15] |= 1;
	if (probe->pool->encapsulation != ENCAPSULATION_L2) {
		flow->outer_source = probe->path.source;
		flow->outer_destination = probe->path.destination;
	}
	snprintf(probe->vip_text, sizeof(probe->vip_text),
		 address_is_ipv4(vip) ? "%s:%u" : "[%s]:%u", address_format(&flow->vip, text),
		 flow->vip_port);
	error = choose_source(is_same ? &probe->backend->address : &flow->vip, &flow->source);
	if (error != 0)
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "nothing was sent: this host has no address to send to VIP %s from: %s",
			   probe->vip_text, strerror(-error));
	return error == 0;
}

static void add_error(const struct probe *probe, const struct probe_answer *answer)
{
	char text[ADDRESS_TEXT_SIZE];

	address_format(&answer->from, text);
	if (probe_is_no_tunnel(answer))
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "%s answers \"%s\" by ICMP to the outer header: nobody takes %s off "
			   "there (fluxpin endpoint doctor on the backend)",
			   text, probe_report_text(answer),
			   encapsulation_name(probe->pool->encapsulation));
	else
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "%s answers \"%s\" by ICMP to the %s: the packet came as far as that",
			   text, probe_report_text(answer),
			   answer->is_about_outer ? "outer header" : "packet inside");
}

static enum doctor_probe_outcome add_answer(const struct probe *probe,
					    const struct probe_answer *answer)
{
	bool takes_tcp = rank(probe->vip) >= 2;
	char gateway[ADDRESS_TEXT_SIZE];

	switch (answer->kind) {
	case PROBE_SYN_ACK:
		doctor_add(probe->report, DOCTOR_OK, "probe", probe->subject, NULL,
			   "backend %s accepts a connection to VIP %s, sent by %s in %s",
			   probe->subject, probe->vip_text, probe->nic.name,
			   encapsulation_name(probe->pool->encapsulation));
		return PROBE_ANSWERED;
	case PROBE_RESET:
		doctor_add(probe->report, takes_tcp ? DOCTOR_WARNING : DOCTOR_OK, "probe",
			   probe->subject, NULL, "backend %s has VIP %s, and refuses TCP (RST): %s",
			   probe->subject, probe->vip_text,
			   takes_tcp ? "nobody listens there" : "as it should, the VIP is of UDP");
		return PROBE_REFUSED;
	case PROBE_ERROR:
		add_error(probe, answer);
		return PROBE_ICMP_ERROR;
	case PROBE_OTHER:
		break;
	}
	doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
		   "no answer from VIP %s within a second of what left by %s to %s: at the "
		   "backend decapsulation or VIP is missing, a reverse path filter or firewall "
		   "drops, or the answer finds no way here (fluxpin endpoint doctor there)",
		   probe->vip_text, probe->nic.name,
		   address_format(&probe->next_hop.gateway, gateway));
	return PROBE_NO_ANSWER;
}

/* The same once more as long as a client's packets get: who answers the short one only has a hop of
 * too small an MTU in front. */
static int check_size(const struct probe *probe, struct probe_exchange *exchange)
{
	bool is_ipv6 = !address_is_ipv4(&probe->backend->address);
	uint32_t outer = encapsulation_overhead(probe->pool->encapsulation, is_ipv6);
	uint32_t room = probe->path.mtu - outer;
	struct probe_answer answer;
	int error;

	exchange->packet_length = room < CLIENT_MTU ? room : CLIENT_MTU;
	error = probe_exchange_run(exchange, &answer);
	if (error != 0)
		return error;
	if (answer.kind == PROBE_SYN_ACK || answer.kind == PROBE_RESET)
		doctor_add(probe->report, DOCTOR_OK, "probe_size", probe->subject, NULL,
			   "a packet of %u bytes comes through as well", exchange->packet_length);
	else
		doctor_add(probe->report, DOCTOR_WARNING, "probe_size", probe->subject, NULL,
			   "a packet of %u bytes, %u with the outer header, gets %s where a short "
			   "one is answered: some MTU on the way to %s is too small",
			   exchange->packet_length, exchange->packet_length + outer,
			   answer.kind == PROBE_ERROR ? probe_report_text(&answer) : "no answer",
			   probe->subject);
	return 0;
}

static enum doctor_probe_outcome run(struct probe *probe)
{
	struct probe_exchange exchange = { .path = &probe->path,
					   .interface = probe->nic.index,
					   .hash_seed = probe->configuration->hash_seed };
	enum doctor_probe_outcome outcome;
	struct probe_answer answer;
	int error;

	if (!start_flow(probe, &exchange.flow))
		return PROBE_IMPOSSIBLE;
	error = probe_exchange_run(&exchange, &answer);
	if (error != 0) {
		doctor_add(probe->report, DOCTOR_ERROR, "probe", probe->subject, NULL,
			   "nothing could be sent by %s: %s", probe->nic.name, strerror(-error));
		return PROBE_IMPOSSIBLE;
	}
	outcome = add_answer(probe, &answer);
	if (outcome == PROBE_ANSWERED || outcome == PROBE_REFUSED)
		check_size(probe, &exchange);
	return outcome;
}

int doctor_probe(const struct doctor_probe_options *options, enum doctor_probe_outcome *outcome,
		 struct doctor_report *report)
{
	struct probe probe = { .report = report, .subject = options->target };
	const struct interface_configuration *interfaces = options->host.interfaces;
	uint32_t count = options->host.interface_count;
	struct configuration *configuration;

	*report = (struct doctor_report){ 0 };
	*outcome = PROBE_IMPOSSIBLE;
	configuration = doctor_read_configuration(options->host.file, report);
	if (configuration == NULL)
		return report->error;
	probe.configuration = configuration;
	if (count == 0) {
		interfaces = configuration->interfaces;
		count = configuration->interface_count;
	}
	if (find_backend(&probe, options->target) && find_vip(&probe, options->vip)) {
		*outcome = PROBE_NO_NEXT_HOP;
		if (find_nic(&probe, interfaces, count))
			*outcome = run(&probe);
	}
	configuration_release(configuration);
	return report->error;
}
