/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose fragments are: each datagram belongs to one load balancer of the cluster, and there to one
 * worker, whichever of them a fragment of it reaches. What is done with it is said by
 * pipeline_datagrams.c.
 */
#include <string.h>

#include <fluxpin/fragment.h>
#include <fluxpin/maglev.h>

#include "pipeline_internal.h"

/* Of a batch, for what was handed over, also when the NIC alone could fill it. */
#define INBOX_SHARE (PORT_BATCH / 4)

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

	if (peers == NULL || (packet->flags & (PACKET_REDIRECTED | PACKET_HANDED_OVER)) != 0 ||
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

/* Copies the fragment to the worker that has its datagram. */
static void hand_over(struct pipeline *pipeline, struct batch *batch, struct packet *packet,
		      uint32_t owner)
{
	struct inbox *inbox = pipeline->inboxes[owner];

	if (!inbox_put(inbox, &packet->frame)) {
		packet_drop(packet, DROP_FRAGMENT_INBOX);
		return;
	}
	packet->verdict = VERDICT_HANDED_OVER;
	batch->handed_over.packets++;
	batch->handed_over.bytes += packet->frame.length;
	if (inbox_must_wake(inbox))
		pipeline->wakes[pipeline->wake_count++] = (uint16_t)owner;
}

/* Into a frame of this port's own. False when there is none, or none that holds it. */
static bool copy_in(struct port *port, const struct frame *copy, struct frame *frame)
{
	if (!port->operations->allocate(port, copy->address, frame))
		return false;
	if (copy->length > frame->length) {
		port->operations->recycle(port, frame, 1);
		return false;
	}
	memcpy(frame->data, copy->data, copy->length);
	frame->length = copy->length;
	return true;
}

uint32_t pipeline_receive_limit(const struct pipeline *pipeline)
{
	struct frame copy;

	if (pipeline->inbox_count == 0 ||
	    !inbox_take(pipeline->inboxes[pipeline->inbox_own], &copy))
		return PORT_BATCH;
	return PORT_BATCH - INBOX_SHARE;
}

uint32_t pipeline_take_handed_over(struct pipeline *pipeline, struct batch *batch)
{
	struct port *port = pipeline->port;
	struct inbox *inbox;
	struct frame copy;
	uint32_t taken = 0;

	if (pipeline->inbox_count == 0)
		return 0;
	inbox = pipeline->inboxes[pipeline->inbox_own];
	for (; batch->count < PORT_BATCH && taken < PORT_BATCH && inbox_take(inbox, &copy);
	     taken++) {
		if (copy_in(port, &copy, &batch->packets[batch->count].frame)) {
			batch->count++;
		} else {
			batch->received.packets++;
			batch->received.bytes += copy.length;
			counter_add(&pipeline->counters->dropped[DROP_NO_FRAME], 1);
			port->operations->discard(port, copy.address, DROP_NO_FRAME);
		}
		inbox_take_done(inbox);
	}
	return taken;
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
	if (pipeline->inbox_count > 1 && owner != pipeline->inbox_own &&
	    (packet->flags & PACKET_HANDED_OVER) == 0)
		hand_over(pipeline, batch, packet, owner);
	else
		pipeline_place_fragment(pipeline, forwarding, batch, packet, &fragment);
	return false;
}
