/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/flow.h>

#include "pipeline_internal.h"

static bool has_ports(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
}

/* Mapped IPv4 addresses do not belong on a wire (RFC 4942 section 2.2). As a destination they would
 * be taken for the IPv4 VIP; as a source no backend would answer to them. */
static bool has_mapped_address(const struct packet *packet, const struct address *destination)
{
	struct address source;

	if (!packet->is_ipv6)
		return false;
	source = packet_source(packet);
	return address_is_ipv4(destination) || address_is_ipv4(&source);
}

void pipeline_hash(const struct forwarding *forwarding, struct match *match)
{
	struct packet *packet = match->packet;
	uint64_t seed = forwarding->hash_seed;

	if (packet->is_ipv6) {
		const uint8_t *addresses = packet_ipv6_addresses(packet);

		packet->hash = flow_hash_ipv6(addresses, packet->source_port_be,
					      packet->destination_port_be, packet->protocol, seed);
		if (match->vip->by_source)
			match->source_hash = flow_hash_ipv6(addresses, 0, 0, 0, seed);
	} else {
		packet->hash = flow_hash_ipv4(packet->source_be, packet->destination_be,
					      packet->source_port_be, packet->destination_port_be,
					      packet->protocol, seed);
		if (match->vip->by_source)
			match->source_hash = flow_hash_ipv4(packet->source_be,
							    packet->destination_be, 0, 0, 0, seed);
	}
	match->hash = packet->hash;
}

/* A whole packet of another protocol: by addresses and protocol alone. */
static bool match_protocol(const struct forwarding *forwarding, const struct address *destination,
			   struct match *match)
{
	struct packet *packet = match->packet;

	if (packet_has_unknown_extension(packet))
		return packet_refuse(packet, DROP_IPV6_EXTENSION);
	if (vip_table_find(forwarding->vips, destination, packet->protocol, 0, &match->vip) !=
	    VIP_MATCH_SERVICE)
		return packet_leave_to_kernel(packet);
	if (!pipeline_check_addresses(packet))
		return false;
	match->kind = MATCH_FLOW;
	pipeline_hash(forwarding, match);
	return true;
}

/* A whole TCP or UDP packet. */
static bool match_flow(const struct forwarding *forwarding, const struct address *destination,
		       struct match *match)
{
	struct packet *packet = match->packet;
	bool ports_known = packet_parse_ports(packet);
	enum vip_match found =
		vip_table_find(forwarding->vips, destination, ports_known ? packet->protocol : 0,
			       ntohs(packet->destination_port_be), &match->vip);

	if (found == VIP_MATCH_NONE || (ports_known && found != VIP_MATCH_SERVICE))
		return packet_leave_to_kernel(packet);
	if (!pipeline_check_addresses(packet))
		return false;
	if (!packet_check_transport(packet)) {
		packet->verdict = VERDICT_DROP;
		return false;
	}
	match->kind = MATCH_FLOW;
	pipeline_hash(forwarding, match);
	return true;
}

/* A fragment, or what is not TCP or UDP as far as its first header tells. */
static bool match_special(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct batch *batch, const struct address *destination,
			  struct match *match)
{
	const struct vip *echo = vip_table_find_echo(forwarding->vips, destination);
	struct packet *packet = match->packet;

	/* Extension headers of what is for no VIP are the kernel's. */
	if (echo == NULL) {
		if (pipeline_is_icmp(packet) &&
		    pipeline_relay_too_big(pipeline, forwarding, batch, packet))
			return false;
		return packet_leave_to_kernel(packet);
	}
	if (packet->is_ipv6 && !packet_walk_extensions(packet)) {
		packet->verdict = VERDICT_DROP;
		return false;
	}
	if (packet->is_fragment)
		return pipeline_match_fragment(pipeline, forwarding, batch, packet);
	if (has_ports(packet))
		return match_flow(forwarding, destination, match);
	if (pipeline_is_icmp(packet))
		return pipeline_match_icmp(pipeline, forwarding, batch, echo, match);
	return match_protocol(forwarding, destination, match);
}

/* Decides whether an IP packet is for a VIP. Returns false with another verdict set. */
static bool match_packet(struct pipeline *pipeline, const struct forwarding *forwarding,
			 struct batch *batch, struct match *match)
{
	struct packet *packet = match->packet;
	struct address destination;

	if (__builtin_expect(forwarding->decapsulation != NULL, false) &&
	    (packet->flags & PACKET_DECAPSULATED) == 0 && !pipeline_decapsulate(forwarding, packet))
		return false;
	destination = packet_destination(packet);
	if (has_mapped_address(packet, &destination))
		return packet_leave_to_kernel(packet);
	if (packet->is_fragment || !has_ports(packet))
		return match_special(pipeline, forwarding, batch, &destination, match);
	return match_flow(forwarding, &destination, match);
}

void pipeline_count_match(struct pipeline *pipeline, const struct packet *packet)
{
	if ((packet->flags & PACKET_DECAPSULATED) != 0)
		counter_add(&pipeline->counters->decapsulated, 1);
	counter_add(&pipeline->vips[packet->vip].packets, 1);
	counter_add(&pipeline->vips[packet->vip].bytes, packet->frame.length);
}

void pipeline_read_packet(struct match *match)
{
	struct packet *packet = match->packet;

	if (match->frame == &packet->frame)
		return;
	packet->frame = *match->frame;
	match->frame = &packet->frame;
	packet_parse(packet, NULL);
	packet_parse_ports(packet);
	packet->hash = match->hash;
	packet->vip = match->vip->index;
}

/* A frame that is not to the NIC's own address: VLAN devices may have addresses of their own. */
static enum verdict parse_for_vlans(struct packet *packet,
				    const struct forwarding_interface *interface)
{
	for (uint32_t i = 0; i < interface->vlan_mac_count; i++) {
		switch (packet_parse(packet, interface->vlan_macs[i])) {
		case PACKET_MALFORMED:
			return VERDICT_DROP;
		case PACKET_OTHER:
			break;
		case PACKET_IPV4:
		case PACKET_IPV6:
			return VERDICT_FORWARD;
		}
	}
	return VERDICT_SLOW_PATH;
}

/* Sets the verdict that parsing alone gives: FORWARD when the packet is to be matched. */
static void parse(const struct forwarding_interface *interface, struct packet *packet)
{
	switch (packet_parse(packet, interface->any_mac ? NULL : interface->mac)) {
	case PACKET_MALFORMED:
		packet->verdict = VERDICT_DROP;
		break;
	case PACKET_OTHER:
		packet->verdict = (uint8_t)parse_for_vlans(packet, interface);
		break;
	case PACKET_IPV4:
	case PACKET_IPV6:
		packet->verdict = VERDICT_FORWARD;
		break;
	}
}

void pipeline_match(struct pipeline *pipeline, const struct forwarding *forwarding,
		    struct batch *batch, struct packet *packet, uint8_t hops)
{
	struct match *match = &batch->matches[batch->match_count];

	parse(&forwarding->interfaces[pipeline->interface], packet);
	if (packet->verdict != VERDICT_FORWARD)
		return;
	packet->hops = hops;
	*match = (struct match){ .packet = packet };
	if (!match_packet(pipeline, forwarding, batch, match))
		return;
	pipeline_carry(match);
	if (match->vip->tracking && match->kind == MATCH_FLOW)
		pipeline_track(pipeline->connections, match,
			       connection_event(packet->protocol, packet->tcp_flags));
	packet->vip = match->vip->index;
	pipeline_count_match(pipeline, packet);
	batch->match_count++;
}
