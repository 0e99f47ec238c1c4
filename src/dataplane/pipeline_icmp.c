/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/flow.h>
#include <fluxpin/icmp.h>

#include "pipeline_internal.h"

/*
 * Messages between hosts beside echo requests: those of ICMPv6 that tell something, from 128, but
 * those of the link itself: group membership, router and neighbour discovery, redirects (130 to
 * 137, 143, RFC 4286: 151 to 153), inverse and secure discovery (RFC 3122, RFC 3971). Of ICMP,
 * where the number says nothing: echo replies, timestamp, information, extended echo (RFC 8335).
 * Errors of retired and unknown types are no backend's.
 */
static bool is_between_hosts(const struct packet *packet, uint8_t type)
{
	if (packet->l4_offset >= (uint32_t)packet->l3_offset + packet->l3_length)
		return false;
	if (!packet->is_ipv6)
		return type == ICMP_ECHO_ANSWER || (type >= 13 && type <= 16) || type == 42 ||
		       type == 43;
	return type >= 128 && !(type >= 130 && type <= 137) && !(type >= 141 && type <= 143) &&
	       type != 148 && type != 149 && !(type >= 151 && type <= 153);
}

static bool match_echo(struct pipeline *pipeline, const struct forwarding *forwarding,
		       const struct batch *batch, const struct vip *echo, struct match *match)
{
	struct packet *packet = match->packet;

	if (!icmp_is_valid(packet))
		return packet_refuse(packet, DROP_ICMP_HEADER);
	if (!pipeline_check_addresses(packet))
		return false;
	switch (echo->icmp_echo) {
	case ICMP_ECHO_DROP:
		return packet_refuse(packet, DROP_ICMP_ECHO);
	case ICMP_ECHO_FORWARD:
		match->vip = echo;
		match->kind = MATCH_FLOW;
		pipeline_hash(forwarding, match);
		return true;
	default:
		break;
	}
	if (!rate_limit_take(&pipeline->echo_limit, forwarding->icmp_echo_rate, batch->now_ns))
		return packet_refuse(packet, DROP_ICMP_RATE);
	icmp_answer_echo(packet);
	return false;
}

/* The hash of the flow that a quoted packet answers: its other direction. */
static uint64_t flipped_hash(const struct icmp_quote *quote, uint64_t seed)
{
	uint8_t addresses[32];

	if (!quote->is_ipv6)
		return flow_hash_ipv4(quote->destination.words_be[3], quote->source.words_be[3],
				      quote->destination_port_be, quote->source_port_be,
				      quote->protocol, seed);
	memcpy(addresses, quote->destination.bytes, 16);
	memcpy(addresses + 16, quote->source.bytes, 16);
	return flow_hash_ipv6(addresses, quote->destination_port_be, quote->source_port_be,
			      quote->protocol, seed);
}

/* What pipeline_hash does, for the flow that a quoted packet answers. */
static void hash_quote(const struct forwarding *forwarding, const struct icmp_quote *quote,
		       struct match *match)
{
	struct icmp_quote addresses = *quote;

	match->hash = match->packet->hash = flipped_hash(quote, forwarding->hash_seed);
	if (!match->vip->by_source)
		return;
	addresses.source_port_be = addresses.destination_port_be = 0;
	addresses.protocol = 0;
	match->source_hash = flipped_hash(&addresses, forwarding->hash_seed);
}

/* The VIP that sent the quoted packet; NULL when none did. */
static const struct vip *find_quoted_vip(const struct forwarding *forwarding,
					 const struct vip *echo, const struct icmp_quote *quote)
{
	bool has_ports = quote->protocol == IPPROTO_TCP || quote->protocol == IPPROTO_UDP;
	uint8_t reply = quote->is_ipv6 ? ICMPV6_ECHO_ANSWERED : ICMP_ECHO_ANSWER;
	const struct vip *vip = NULL;

	if (quote->protocol == (quote->is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) &&
	    quote->icmp_type == reply)
		return echo->icmp_echo == ICMP_ECHO_FORWARD ? echo : NULL;
	if (vip_table_find(forwarding->vips, &quote->source, quote->protocol,
			   has_ports ? ntohs(quote->source_port_be) : 0, &vip) != VIP_MATCH_SERVICE)
		return NULL;
	return vip;
}

/*
 * RSS gives an error to a worker by the addresses of whoever sends it, and not by the flow that it
 * is about. A worker that does not have the flow on record hands it over to the next one, once
 * round all of them; the last decides by the hash. Returns whether it was handed over.
 */
static bool look_elsewhere(struct pipeline *pipeline, const struct forwarding *forwarding,
			   struct batch *batch, const struct match *match)
{
	const struct handover handover = { .worker = pipeline_next_worker(pipeline) };
	struct packet *packet = match->packet;

	if (packet->hops + 1U >= pipeline->inbox_count || packet->hops == UINT8_MAX ||
	    !match->vip->tracking ||
	    pipeline_find_current(pipeline, forwarding, match, batch->second) != NULL)
		return false;
	if (packet->hops == 0 &&
	    !rate_limit_take(&pipeline->search_limit, SEARCH_RATE, batch->now_ns))
		return false;
	return pipeline_hand_over(pipeline, batch, packet, &handover);
}

static bool match_error(struct pipeline *pipeline, const struct forwarding *forwarding,
			struct batch *batch, const struct vip *echo, struct match *match)
{
	struct packet *packet = match->packet;
	struct address destination = packet_destination(packet);
	struct icmp_quote quote;
	bool is_readable;

	if (!icmp_is_valid(packet))
		return packet_refuse(packet, DROP_ICMP_HEADER);
	is_readable = icmp_read_quote(packet, &quote);
	/* Whoever sent the quoted packet is told of it: an error to somebody else is forged. What
	 * is too short for addresses has none. */
	if (!address_is_zero(&quote.source) && !address_equal(&quote.source, &destination))
		return packet_leave_to_kernel(packet);
	if (!is_readable)
		return packet_refuse(packet, DROP_ICMP_QUOTE);
	match->vip = find_quoted_vip(forwarding, echo, &quote);
	if (match->vip == NULL)
		return packet_leave_to_kernel(packet);
	if (!pipeline_check_addresses(packet))
		return false;
	match->kind = MATCH_ICMP_ERROR;
	hash_quote(forwarding, &quote, match);
	return !look_elsewhere(pipeline, forwarding, batch, match);
}

static bool is_handled_error(const struct packet *packet, uint8_t type)
{
	if (packet->is_ipv6)
		return type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER;
	return type == ICMP_UNREACHABLE || type == ICMP_EXCEEDED || type == ICMP_PARAMETER;
}

bool pipeline_match_icmp(struct pipeline *pipeline, const struct forwarding *forwarding,
			 struct batch *batch, const struct vip *echo, struct match *match)
{
	struct packet *packet = match->packet;
	uint8_t type = icmp_type(packet);
	struct address destination;

	if (type == (packet->is_ipv6 ? ICMPV6_ECHO_REQUESTED : ICMP_ECHO_REQUEST))
		return match_echo(pipeline, forwarding, batch, echo, match);
	if (is_handled_error(packet, type))
		return match_error(pipeline, forwarding, batch, echo, match);
	/* Other messages are another protocol's, for a VIP that takes all of them. */
	if (!is_between_hosts(packet, type))
		return packet_leave_to_kernel(packet);
	destination = packet_destination(packet);
	if (vip_table_find(forwarding->vips, &destination, packet->protocol, 0, &match->vip) !=
	    VIP_MATCH_SERVICE)
		return packet_leave_to_kernel(packet);
	if (!pipeline_check_addresses(packet))
		return false;
	match->kind = MATCH_FLOW;
	pipeline_hash(forwarding, match);
	return true;
}

static bool is_too_big(const struct packet *packet)
{
	if (packet->is_ipv6)
		return icmp_type(packet) == ICMPV6_TOO_BIG;
	return icmp_type(packet) == ICMP_UNREACHABLE &&
	       packet->frame.data[packet->l4_offset + 1] == ICMP_CODE_TOO_BIG;
}

/* Whether the sender of the packet inside can be told anything: what comes to us by a router's
 * report was not looked at before. */
static bool has_sender(const struct packet *packet, const struct icmp_inner *inner)
{
	struct packet told = *packet;
	const uint8_t *ip = packet->frame.data + inner->offset;

	told.l3_offset = (uint16_t)inner->offset;
	told.is_ipv6 = inner->is_ipv6;
	if (!inner->is_ipv6) {
		memcpy(&told.source_be, ip + 12, 4);
		memcpy(&told.destination_be, ip + 16, 4);
	}
	return pipeline_check_addresses(&told);
}

bool pipeline_relay_too_big(struct pipeline *pipeline, const struct forwarding *forwarding,
			    struct batch *batch, struct packet *packet)
{
	const struct forwarding_interface *interface = &forwarding->interfaces[pipeline->interface];
	struct address destination = packet_destination(packet);
	struct icmp_inner inner;

	if (packet->is_fragment ||
	    !address_is_in(interface->sources, interface->source_count, &destination))
		return false;
	if (!icmp_is_valid(packet) || !is_too_big(packet) || !icmp_find_inner(packet, &inner) ||
	    vip_table_find_echo(forwarding->vips, &inner.destination) == NULL ||
	    !has_sender(packet, &inner))
		return false;
	if (rate_limit_take(&pipeline->error_limit, forwarding->icmp_error_rate, batch->now_ns))
		icmp_relay_too_big(packet, &inner);
	else
		packet_drop(packet, DROP_ICMP_RATE);
	return true;
}
