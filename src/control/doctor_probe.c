/* SPDX-License-Identifier: BSD-2-Clause */
/* doctor --probe: a client's first packet, by way of one backend, and how far it comes. */
#include "doctor_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe_exchange.h"

#define CLIENT_MTU 1500
#define ANY_PORT   80 /* probed where the VIP takes every port */

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

static bool start_flow(struct doctor_probe *probe, struct probe_flow *flow)
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

static void add_error(const struct doctor_probe *probe, const struct probe_answer *answer)
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

static enum doctor_probe_outcome add_answer(const struct doctor_probe *probe,
					    const struct probe_answer *answer)
{
	bool takes_tcp = doctor_probe_is_tcp(probe->vip);
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
static int check_size(const struct doctor_probe *probe, struct probe_exchange *exchange)
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

static enum doctor_probe_outcome run(struct doctor_probe *probe)
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
	struct doctor_probe probe = { .report = report, .subject = options->target };
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
	if (doctor_probe_find_backend(&probe, options->target) &&
	    doctor_probe_find_vip(&probe, options->vip)) {
		*outcome = PROBE_NO_NEXT_HOP;
		if (doctor_probe_find_nic(&probe, interfaces, count))
			*outcome = run(&probe);
	}
	configuration_release(configuration);
	return report->error;
}
