/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments (Maglev, section 4.3). Where the first fragment of a datagram goes is decided when it
 * is matched, not in the select stage, so that those that waited for it can follow in the same
 * batch.
 */
#include <arpa/inet.h>

#include <fluxpin/fragment.h>
#include <fluxpin/icmp.h>
#include <fluxpin/maglev.h>

#include "pipeline_internal.h"

/* Datagrams that one batch lets expire: more than it can begin. */
#define EXPIRE_MOST (2 * PORT_BATCH)

/* A packet that waited, back in the batch behind those that were received. There is room for all
 * that may wait, see BATCH_PACKETS: none waits twice. */
static struct packet *append(struct batch *batch, const struct packet *packet)
{
	batch->packets[batch->total] = *packet;
	return &batch->packets[batch->total++];
}

/* Drops what waits of a datagram. */
static void drop_held(struct pipeline *pipeline, struct batch *batch, struct datagram *datagram,
		      enum drop_reason reason)
{
	struct packet packet;

	while (fragment_table_take(pipeline->fragments, datagram, &packet))
		packet_drop(append(batch, &packet), reason);
}

static void forget(struct pipeline *pipeline, struct batch *batch, struct datagram *datagram,
		   enum drop_reason reason)
{
	drop_held(pipeline, batch, datagram, reason);
	fragment_table_remove(pipeline->fragments, datagram);
}

void pipeline_expire_fragments(struct pipeline *pipeline, struct batch *batch)
{
	struct fragment_table *table = pipeline->fragments;

	for (int is_waiting = 0; is_waiting < 2; is_waiting++)
		for (int i = 0; i < EXPIRE_MOST; i++) {
			struct datagram *oldest = fragment_table_oldest(table, is_waiting);

			if (oldest == NULL ||
			    !fragment_table_is_expired(table, oldest, batch->now_ns))
				break;
			forget(pipeline, batch, oldest, DROP_FRAGMENT_TIMEOUT);
		}
}

void pipeline_drop_fragments(struct pipeline *pipeline, struct batch *batch)
{
	struct datagram *oldest;

	while ((oldest = fragment_table_oldest(pipeline->fragments, true)) != NULL)
		forget(pipeline, batch, oldest, DROP_FRAGMENT_TIMEOUT);
}

/* ---- the decision ---- */

static void refuse_datagram(struct pipeline *pipeline, const struct batch *batch,
			    struct datagram *datagram, enum drop_reason reason)
{
	fragment_table_decide(pipeline->fragments, datagram, DATAGRAM_REFUSED, batch->now_ns);
	datagram->reason = (uint8_t)reason;
}

/* The backend of a first fragment, as of a whole packet. */
static void choose(struct pipeline *pipeline, const struct forwarding *forwarding,
		   struct batch *batch, struct datagram *datagram, struct match *match)
{
	const struct destination *destinations =
		forwarding->interfaces[pipeline->interface].destinations;
	struct packet *packet = match->packet;
	struct flow_record record = { 0 };

	if (pipeline_was_looked_for(packet))
		record = packet->record;
	/* From here on the hash is in its place. */
	pipeline_hash(forwarding, match);
	match->event = (uint8_t)connection_event(packet->protocol, packet->tcp_flags);
	if (!pipeline_is_icmp(packet) && !pipeline_was_looked_for(packet) &&
	    fragment_table_may_be_away(pipeline->fragments) &&
	    pipeline_look_for_fragment(pipeline, forwarding, batch, match)) {
		fragment_table_set_away(pipeline->fragments, datagram, true);
		return;
	}
	packet->backend = pipeline_select_flow(pipeline, forwarding, batch, match, &record);
	if (packet->backend == MAGLEV_NO_BACKEND) {
		refuse_datagram(pipeline, batch, datagram, DROP_NO_BACKEND);
		return;
	}
	fragment_table_decide(pipeline->fragments, datagram, DATAGRAM_CHOSEN, batch->now_ns);
	datagram->hash = packet->hash;
	datagram->vip = match->vip->index;
	datagram->backend = packet->backend;
	datagram->generation = destinations[packet->backend].generation;
}

/* Of ICMP, echo requests alone: no error that may be passed on is so long. `is_bare`: no extension
 * header stands between the message and the fragment header. */
static void decide_icmp(struct pipeline *pipeline, const struct forwarding *forwarding,
			struct batch *batch, struct datagram *datagram, struct match *match,
			bool is_bare)
{
	struct packet *packet = match->packet;
	uint8_t request = packet->is_ipv6 ? ICMPV6_ECHO_REQUESTED : ICMP_ECHO_REQUEST;
	struct address destination = packet_destination(packet);
	const struct vip *echo = vip_table_find_echo(forwarding->vips, &destination);

	match->vip = echo;
	if (echo == NULL || icmp_type(packet) != request)
		refuse_datagram(pipeline, batch, datagram, DROP_FRAGMENT);
	else if (echo->icmp_echo == ICMP_ECHO_DROP)
		refuse_datagram(pipeline, batch, datagram, DROP_ICMP_ECHO);
	else if (!echo->fragments || (echo->icmp_echo == ICMP_ECHO_REPLY && !is_bare))
		refuse_datagram(pipeline, batch, datagram, DROP_FRAGMENT);
	else if (echo->icmp_echo == ICMP_ECHO_FORWARD)
		choose(pipeline, forwarding, batch, datagram, match);
	else
		fragment_table_decide(pipeline->fragments, datagram, DATAGRAM_ECHO, batch->now_ns);
}

/* Decides on a datagram by its first fragment, which is changed by that alone. */
static void decide(struct pipeline *pipeline, const struct forwarding *forwarding,
		   struct batch *batch, struct datagram *datagram, struct packet *packet)
{
	struct match match = { .packet = packet, .kind = MATCH_FLOW };
	struct address destination = packet_destination(packet);
	uint32_t behind = packet->l4_offset + (packet->is_ipv6 ? FRAGMENT_HEADER_LENGTH : 0u);

	if (!fragment_enter(packet))
		refuse_datagram(pipeline, batch, datagram, packet->reason);
	else if (pipeline_is_icmp(packet))
		decide_icmp(pipeline, forwarding, batch, datagram, &match,
			    packet->l4_offset == behind);
	else if (vip_table_find(forwarding->vips, &destination, packet->protocol,
				ntohs(packet->destination_port_be),
				&match.vip) != VIP_MATCH_SERVICE)
		fragment_table_decide(pipeline->fragments, datagram, DATAGRAM_KERNEL,
				      batch->now_ns);
	else if (!match.vip->fragments)
		refuse_datagram(pipeline, batch, datagram, DROP_FRAGMENT);
	else
		choose(pipeline, forwarding, batch, datagram, &match);
}

/* ---- following it ---- */

/* Whether the backend still is the one that the first fragment went to. */
static const struct destination *destination_of(const struct pipeline *pipeline,
						const struct forwarding *forwarding,
						const struct datagram *datagram)
{
	const struct destination *destination;

	if (datagram->backend >= forwarding->destination_count)
		return NULL;
	destination = &forwarding->interfaces[pipeline->interface].destinations[datagram->backend];
	if (destination->state == DESTINATION_ABSENT ||
	    destination->generation != datagram->generation)
		return NULL;
	return destination;
}

static void answer(struct pipeline *pipeline, const struct forwarding *forwarding,
		   const struct batch *batch, struct packet *packet, bool is_first)
{
	if (rate_limit_take(&pipeline->echo_limit, forwarding->icmp_echo_rate, batch->now_ns))
		icmp_answer_echo_fragment(packet, is_first);
	else
		packet_drop(packet, DROP_ICMP_RATE);
}

/* Does with one fragment what was decided on its datagram. */
static void follow(struct pipeline *pipeline, const struct forwarding *forwarding,
		   struct batch *batch, const struct datagram *datagram, struct packet *packet,
		   bool is_first)
{
	struct match *match;

	switch (datagram->state) {
	case DATAGRAM_ECHO:
		answer(pipeline, forwarding, batch, packet, is_first);
		return;
	case DATAGRAM_KERNEL:
		packet->verdict = VERDICT_SLOW_PATH;
		return;
	case DATAGRAM_REFUSED:
		packet_drop(packet, datagram->reason);
		return;
	default:
		break;
	}
	match = &batch->matches[batch->match_count];
	*match = (struct match){ .packet = packet, .kind = MATCH_DECIDED };
	match->destination = destination_of(pipeline, forwarding, datagram);
	if (match->destination == NULL) {
		packet_drop(packet, DROP_NO_BACKEND);
		return;
	}
	packet->verdict = VERDICT_FORWARD;
	packet->hash = datagram->hash;
	packet->backend = datagram->backend;
	packet->vip = datagram->vip;
	pipeline_carry(match);
	pipeline_count_match(pipeline, packet);
	batch->match_count++;
}

static void hold(struct pipeline *pipeline, struct batch *batch, struct datagram *datagram,
		 struct packet *packet, uint16_t offset)
{
	struct fragment_table *table = pipeline->fragments;
	struct datagram *oldest;

	packet->verdict = VERDICT_HELD;
	while (!fragment_table_hold(table, datagram, packet, offset)) {
		oldest = fragment_table_oldest_holder(table);
		if (oldest == NULL) {
			packet_drop(packet, DROP_FRAGMENT_LIMIT);
			return;
		}
		/* What is left of the oldest datagram is of no use: it is refused as a whole. */
		drop_held(pipeline, batch, oldest, DROP_FRAGMENT_LIMIT);
		refuse_datagram(pipeline, batch, oldest, DROP_FRAGMENT_LIMIT);
		if (oldest == datagram) {
			packet_drop(packet, DROP_FRAGMENT_LIMIT);
			return;
		}
	}
}

static struct datagram *find_or_add(struct pipeline *pipeline, struct batch *batch, uint64_t key)
{
	struct fragment_table *table = pipeline->fragments;
	struct datagram *datagram = fragment_table_find(table, key);

	if (datagram != NULL && !fragment_table_is_expired(table, datagram, batch->now_ns))
		return datagram;
	if (datagram != NULL) {
		/* More have run out than a batch clears away. */
		forget(pipeline, batch, datagram, DROP_FRAGMENT_TIMEOUT);
	} else if (fragment_table_is_full(table)) {
		struct datagram *decided = fragment_table_oldest(table, false);

		forget(pipeline, batch,
		       decided != NULL ? decided : fragment_table_oldest(table, true),
		       DROP_FRAGMENT_LIMIT);
	}
	return fragment_table_add(table, key, batch->now_ns);
}

/* A first fragment that was looked for is noted already, unless its datagram has ended meanwhile.
 */
static enum fragment_fit note(struct fragment_table *table, struct datagram *datagram,
			      const struct packet *packet, const struct fragment *fragment)
{
	if (!datagram->is_away || fragment->offset != 0 || !pipeline_was_looked_for(packet))
		return fragment_table_note(datagram, fragment);
	fragment_table_set_away(table, datagram, false);
	return FRAGMENT_FITS;
}

void pipeline_place_fragment(struct pipeline *pipeline, const struct forwarding *forwarding,
			     struct batch *batch, struct packet *packet,
			     const struct fragment *fragment)
{
	struct datagram *datagram = find_or_add(pipeline, batch, fragment->key);
	struct packet waited;

	switch (note(pipeline->fragments, datagram, packet, fragment)) {
	case FRAGMENT_FITS:
		break;
	case FRAGMENT_DUPLICATE:
		packet_drop(packet, datagram->state == DATAGRAM_REFUSED ? datagram->reason
									: DROP_FRAGMENT_OVERLAP);
		return;
	case FRAGMENT_OVERLAPS:
		drop_held(pipeline, batch, datagram, DROP_FRAGMENT_OVERLAP);
		if (datagram->state != DATAGRAM_REFUSED)
			refuse_datagram(pipeline, batch, datagram, DROP_FRAGMENT_OVERLAP);
		packet_drop(packet, datagram->reason);
		return;
	}
	if (datagram->state == DATAGRAM_WAITING && fragment->offset != 0) {
		hold(pipeline, batch, datagram, packet, fragment->offset);
		return;
	}
	if (datagram->state == DATAGRAM_WAITING) {
		decide(pipeline, forwarding, batch, datagram, packet);
		if (datagram->is_away)
			return;
		fragment_table_sort(pipeline->fragments, datagram);
	}
	follow(pipeline, forwarding, batch, datagram, packet, fragment->offset == 0);
	while (fragment_table_take(pipeline->fragments, datagram, &waited))
		follow(pipeline, forwarding, batch, datagram, append(batch, &waited), false);
	if (fragment_table_is_complete(datagram) && !datagram->is_away)
		fragment_table_remove(pipeline->fragments, datagram);
}
