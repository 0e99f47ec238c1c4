/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose fragments are: each datagram belongs to one load balancer of the cluster, and there to one
 * worker, its owner, whichever of them a fragment of it reaches. What is done with it is said by
 * pipeline_datagrams.c.
 *
 * Whole packets of the flow may be another worker's, and then only that one knows where the flow
 * goes once the backends have changed. So a first fragment whose flow the owner does not have on
 * record is handed over from worker to worker until one has it, and by that one, or the last, back
 * to the owner, where the datagram waits for it:
 *
 *     receiver --> owner --> next worker --> ... --> who has it --> owner
 *     hops      1         2               3...
 */
#include <arpa/inet.h>

#include <fluxpin/fragment.h>
#include <fluxpin/maglev.h>

#include "pipeline_internal.h"

/* So that `hops` counts to the end of a search. */
#define SEARCH_MOST_WORKERS 250

/* What is answered goes back to where its frame came from, which for a peer would be this load
 * balancer. Having no ports, its fragments are not told apart on their way either. */
static bool is_answered(const struct forwarding *forwarding, const struct packet *packet)
{
	struct address destination = packet_destination(packet);
	const struct vip *echo = vip_table_find_echo(forwarding->vips, &destination);

	return pipeline_is_icmp(packet) && echo != NULL && echo->icmp_echo == ICMP_ECHO_REPLY;
}

/*
 * Sends the fragment to the load balancer of the cluster that has its datagram. False when that is
 * this one, or cannot be reached: better all fragments at the wrong one than none at the right one.
 */
static bool redirect(const struct pipeline *pipeline, const struct forwarding *forwarding,
		     struct batch *batch, struct packet *packet, const struct fragment *fragment)
{
	const struct forwarding_pool *peers = forwarding->peers;
	const struct destination *destination;
	struct match *match;
	uint16_t peer;

	if (peers == NULL || (packet->flags & PACKET_REDIRECTED) != 0 || packet->hops > 0 ||
	    is_answered(forwarding, packet))
		return false;
	peer = peers->slots[maglev_slot(fragment->owner, peers->size)];
	if (peer == MAGLEV_NO_BACKEND || peer == forwarding->peer_self)
		return false;
	destination = &forwarding->interfaces[pipeline->interface].destinations[peer];
	if (destination->state != DESTINATION_READY)
		return false;
	packet->hash = fragment->owner;
	packet->backend = peer;
	match = &batch->matches[batch->match_count++];
	*match = (struct match){
		.packet = packet,
		.destination = destination,
		.kind = MATCH_DECIDED,
	};
	pipeline_carry(match);
	return true;
}

bool pipeline_look_for_fragment(struct pipeline *pipeline, const struct forwarding *forwarding,
				struct batch *batch, const struct match *match)
{
	struct packet *packet = match->packet;
	struct handover handover;

	if (pipeline->inbox_count <= 1 || pipeline->inbox_count > SEARCH_MOST_WORKERS ||
	    !match->vip->tracking || match->event == CONNECTION_EVENT_SYN ||
	    pipeline_find_current(pipeline, forwarding, match, batch->second) != NULL ||
	    !rate_limit_take(&pipeline->fragment_limit, SEARCH_RATE, batch->now_ns))
		return false;
	/* Twice handed over, also when it was received here. */
	packet->hops = 1;
	handover = (struct handover){ .worker = pipeline_next_worker(pipeline) };
	return pipeline_hand_over(pipeline, batch, packet, &handover);
}

/* What is on record here of the flow of a first fragment of another worker's. */
static struct flow_record find(const struct pipeline *pipeline, const struct forwarding *forwarding,
			       const struct batch *batch, const struct packet *packet)
{
	struct address destination = packet_destination(packet);
	struct packet first = *packet;
	struct match match = { .packet = &first };
	const struct connection *connection;

	if (!fragment_enter(&first) ||
	    vip_table_find(forwarding->vips, &destination, first.protocol,
			   ntohs(first.destination_port_be), &match.vip) != VIP_MATCH_SERVICE)
		return (struct flow_record){ 0 };
	pipeline_hash(forwarding, &match);
	connection = pipeline_find_current(pipeline, forwarding, &match, batch->second);
	if (connection == NULL)
		return (struct flow_record){ 0 };
	return (struct flow_record){
		.is_known = true,
		.backend = connection->backend,
		.generation = connection->generation,
	};
}

/*
 * To its owner; or, when that looks for the flow, to the next worker, unless this one has it, or
 * that one is behind.
 */
static void pass_on(struct pipeline *pipeline, const struct forwarding *forwarding,
		    struct batch *batch, struct packet *packet, const struct fragment *fragment,
		    uint32_t owner)
{
	const struct handover on = { .worker = pipeline_next_worker(pipeline) };
	struct handover back = { .worker = owner, .is_must = true };

	if (packet->hops > 0 && fragment->offset == 0) {
		back.record = find(pipeline, forwarding, batch, packet);
		if (!back.record.is_known && on.worker != owner &&
		    pipeline_hand_over(pipeline, batch, packet, &on))
			return;
	}
	if (!pipeline_hand_over(pipeline, batch, packet, &back))
		packet_drop(packet, DROP_FRAGMENT_INBOX);
}

bool pipeline_match_fragment(struct pipeline *pipeline, const struct forwarding *forwarding,
			     struct batch *batch, struct packet *packet)
{
	struct address destination = packet_destination(packet);
	struct fragment fragment;
	uint32_t owner;

	if (!vip_table_takes_fragments(forwarding->vips, &destination))
		return packet_refuse(packet, DROP_FRAGMENT);
	if (!pipeline_check_addresses(packet))
		return false;
	if (!fragment_read(packet, forwarding->hash_seed, &fragment))
		return packet_refuse(packet, packet->reason);
	if (redirect(pipeline, forwarding, batch, packet, &fragment))
		return false;
	/* The lower half of the hash: the upper one chooses among load balancers. */
	owner = (uint32_t)(((fragment.owner & UINT32_MAX) * pipeline->inbox_count) >> 32);
	/* Between two hash seeds workers may not agree on whose it is: whoever was given it by the
	 * receiver has it, and no search goes on for ever. */
	if (pipeline->inbox_count <= 1 || owner == pipeline->inbox_own || packet->hops == 1 ||
	    packet->hops > pipeline->inbox_count)
		pipeline_place_fragment(pipeline, forwarding, batch, packet, &fragment);
	else
		pass_on(pipeline, forwarding, batch, packet, &fragment, owner);
	return false;
}
