/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose fragments are: each datagram belongs to one load balancer of the cluster, and there to one
 * worker, whichever of them a fragment of it reaches. What is done with it is said by
 * pipeline_datagrams.c.
 */
#include <fluxpin/fragment.h>
#include <fluxpin/maglev.h>

#include "pipeline_internal.h"

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
	if (pipeline->inbox_count <= 1 || owner == pipeline->inbox_own || packet->hops > 0)
		pipeline_place_fragment(pipeline, forwarding, batch, packet, &fragment);
	else if (!pipeline_hand_over(pipeline, batch, packet, owner, true))
		packet_drop(packet, DROP_FRAGMENT_INBOX);
	return false;
}
