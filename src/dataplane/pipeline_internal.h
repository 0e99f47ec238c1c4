/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files pipeline*.c share: the batch and its stages, in the order in which pipeline_run
 * calls them. Everything here lives for one batch, on the worker's stack.
 */
#ifndef FLUXPIN_PIPELINE_INTERNAL_H
#define FLUXPIN_PIPELINE_INTERNAL_H

#include "level.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include <fluxpin/pipeline.h>

/* Those received, and fragments that waited: at most those of earlier batches and of this one. */
#define BATCH_PACKETS (2 * PORT_BATCH + FRAGMENT_MOST_HELD)

/* Frames for the parts of a batch: an outer header has each of its packets cut in two. */
#define BATCH_PARTS BATCH_PACKETS

_Static_assert(PORT_MOST_FRAMES >= BATCH_PACKETS + BATCH_PARTS, "one call takes all of a batch");

/* How the destination of a packet to a VIP is found. */
enum match_kind {
	MATCH_TRACKED,	  /* by its flow: the backend on record, or a new one that is recorded */
	MATCH_FLOW,	  /* by its flow's hash alone */
	MATCH_ICMP_ERROR, /* by the flow that it is about; nothing is recorded */
	MATCH_DECIDED,	  /* already: a fragment's, by the first one */
};

/*
 * What the stages carry of a packet for a VIP: one cache line. Of plain packets this is all that is
 * read; struct packet, but for its verdict, is filled in when they turn out to need more
 * (pipeline_read_packet).
 */
struct match {
	struct packet *packet;
	const struct frame *frame; /* in batch->frames: a plain one; else that of `packet` */
	const struct vip *vip;	   /* not of kind DECIDED */
	const struct destination *destination;	  /* set by the select stage, unless it drops */
	union {					  /* of kind TRACKED: */
		struct connection_bucket *bucket; /* the first one of the flow, then: */
		struct connection *connection;	  /* what was found there at first sight, or NULL */
	};
	uint64_t hash;	       /* of the flow */
	uint64_t source_hash;  /* of the client and the VIP's address; for vip->by_source only */
	uint16_t length;       /* of the IP packet, without link padding */
	uint16_t bare_length;  /* the same, if the IP header follows the Ethernet header; else
				* ENCAPSULATION_NOT_BARE */
	uint8_t traffic_class; /* DSCP and ECN */
	bool is_ipv6;
	uint8_t kind;  /* enum match_kind */
	uint8_t event; /* enum connection_event, of kind TRACKED */
};

_Static_assert(sizeof(struct match) == 64, "a match is a cache line");

/* A frame that is sent behind another packet's own, because the packet was split. */
struct part {
	struct frame frame;
	const struct packet *packet;
};

/* What goes to the port in one call of send: packets in their order, each with its parts. */
struct outgoing {
	struct frame frames[BATCH_PACKETS + BATCH_PARTS];
	struct packet *packets[BATCH_PACKETS];
	/* Those with parts, in their order; of the others, each is one frame. */
	struct packet_parts {
		uint32_t packet; /* of `packets` */
		uint32_t parts;
	} splits[BATCH_PACKETS];
	uint32_t split_count;
	uint32_t frame_count;
	uint32_t packet_count;
	uint32_t answer_count; /* of the packets */
};

struct batch {
	struct frame frames[PORT_BATCH];      /* those that arrived, as the port gave them */
	struct packet packets[BATCH_PACKETS]; /* `count` received ones, then those that waited */
	/* In the order in which they leave. */
	struct match matches[BATCH_PACKETS] __attribute__((aligned(64)));
	struct part parts[BATCH_PARTS]; /* in the order of their matches */
	struct outgoing outgoing;
	uint32_t count;
	uint32_t total;
	uint32_t match_count;
	uint32_t part_count;
	uint64_t now_ns;
	uint64_t second; /* coarse clock */
	struct traffic_counter received;
	struct traffic_counter handed_over; /* of these: counted where they arrive */
};

static inline void packet_drop(struct packet *packet, enum drop_reason reason)
{
	packet->verdict = VERDICT_DROP;
	packet->reason = (uint8_t)reason;
}

/* For functions that tell by false that the packet goes no further. */
static inline bool packet_refuse(struct packet *packet, enum drop_reason reason)
{
	packet_drop(packet, reason);
	return false;
}

static inline bool packet_leave_to_kernel(struct packet *packet)
{
	packet->verdict = VERDICT_SLOW_PATH;
	return false;
}

/* pipeline.c: what a new configuration says of the connection table and of hashing. Before anything
 * else of it is used. */
void pipeline_adopt_settings(struct pipeline *pipeline, const struct forwarding *forwarding);

/* pipeline_classify.c: gives each packet its match or its verdict: the `arrived` of
 * batch->frames, and those behind them, which were handed over. */
void pipeline_classify(struct pipeline *pipeline, const struct forwarding *forwarding,
		       struct batch *batch, uint32_t arrived);

/*
 * pipeline_match.c: parses a packet of whatever kind and decides whether it is for a VIP: adds a
 * match, or sets another verdict. hops: as in struct packet.
 */
void pipeline_match(struct pipeline *pipeline, const struct forwarding *forwarding,
		    struct batch *batch, struct packet *packet, uint8_t hops);

/* pipeline_match.c: fills in the packet of a plain match, whose frame is as it was received. */
void pipeline_read_packet(struct match *match);

/* Sets what the match carries of its packet, which is filled in. */
static inline void pipeline_carry(struct match *match)
{
	const struct packet *packet = match->packet;

	match->frame = &packet->frame;
	match->hash = packet->hash;
	match->length = packet->l3_length;
	match->traffic_class = packet->traffic_class;
	match->is_ipv6 = packet->is_ipv6;
	match->bare_length = packet->l3_offset == ETHERNET_HEADER_LENGTH ? packet->l3_length
									 : ENCAPSULATION_NOT_BARE;
}

/* Makes a match of kind FLOW one of kind TRACKED, and has its entry fetched. Whoever opens a
 * connection is in neither bucket, and both are looked at. */
CONNECTION_INLINE void pipeline_track(const struct connection_table *table, struct match *match,
				      enum connection_event event)
{
	match->kind = MATCH_TRACKED;
	match->event = (uint8_t)event;
	match->bucket = connection_first_bucket(table, match->hash);
	__builtin_prefetch(match->bucket);
	if (__builtin_expect(event == CONNECTION_EVENT_SYN, false))
		__builtin_prefetch(connection_second_bucket(table, match->hash));
}

/* Counts a packet that is for a VIP: packet->vip is set. */
void pipeline_count_match(struct pipeline *pipeline, const struct packet *packet);

/*
 * Sets the hashes by which a match with a VIP is told apart from others: that of its flow, by the
 * ports that were read (0 where there are none), and match->source_hash. `packet` is filled in.
 */
void pipeline_hash(const struct forwarding *forwarding, struct match *match);

/*
 * pipeline_ingress.c: where the packet is a tunnel's that ends here, sets its fields to those of
 * the packet inside. Returns false when it is dropped, verdict and reason set.
 */
bool pipeline_decapsulate(const struct forwarding *forwarding, struct packet *packet);

/* pipeline_ingress.c: what no packet to a VIP may have; returns false when it is dropped, verdict
 * and reason set. */
bool pipeline_check_addresses(struct packet *packet);

/*
 * pipeline_icmp.c: an unfragmented ICMP or ICMPv6 packet to the address of a VIP. Returns true with
 * match->vip, match->kind and the hashes set, or false with another verdict set.
 */
bool pipeline_match_icmp(struct pipeline *pipeline, const struct forwarding *forwarding,
			 struct batch *batch, const struct vip *echo, struct match *match);

/*
 * pipeline_icmp.c: an ICMP packet to the load balancer itself. Where it reports that a tunnel
 * packet of ours is too big, it becomes the report for the sender of the packet inside, or is
 * dropped, and true is returned; otherwise false, the packet unchanged.
 */
bool pipeline_relay_too_big(struct pipeline *pipeline, const struct forwarding *forwarding,
			    struct batch *batch, struct packet *packet);

/*
 * pipeline_fragments.c: a fragment to the address of a VIP, walked up to its fragment header. Sets
 * its verdict and those of the fragments that waited for it, and adds their matches. Returns false:
 * there is no more to match.
 */
bool pipeline_match_fragment(struct pipeline *pipeline, const struct forwarding *forwarding,
			     struct batch *batch, struct packet *packet);

/* To whom a packet is handed over, and what that worker is told. */
struct handover {
	uint32_t worker;
	bool is_must; /* what need not be leaves half of the inbox free */
	struct flow_record record;
};

/*
 * pipeline_handover.c: copies the packet's frame to another worker of the NIC, which receives and
 * counts it. Returns false, and has done nothing, when it does not fit.
 */
bool pipeline_hand_over(struct pipeline *pipeline, struct batch *batch, struct packet *packet,
			const struct handover *handover);

/* The worker that is asked next for a flow that this one does not have on record. */
uint32_t pipeline_next_worker(const struct pipeline *pipeline);

/* Of searches for a flow that a worker starts in a second, by ICMP errors, and by first fragments
 * as many again: each may cost all of them a copy. */
#define SEARCH_RATE 1000

/* How many frames to receive, so that the batch has room for what other workers handed over. */
uint32_t pipeline_receive_limit(const struct pipeline *pipeline);

/* Adds what other workers handed over to the packets of the batch: at most PORT_BATCH, dropped ones
 * included. Returns how much it took. */
uint32_t pipeline_take_handed_over(struct pipeline *pipeline, struct batch *batch);

/* pipeline_datagrams.c: a fragment of a datagram that is this worker's. Sets its verdict and those
 * of the fragments that waited for it, and adds their matches. */
void pipeline_place_fragment(struct pipeline *pipeline, const struct forwarding *forwarding,
			     struct batch *batch, struct packet *packet,
			     const struct fragment *fragment);

/*
 * pipeline_fragments.c: has other workers look for the flow of a first fragment, which was hashed
 * and is TCP's or UDP's or of another protocol of a VIP's. Returns whether it was handed over; it
 * comes back, as pipeline_was_looked_for tells, with what was found.
 */
bool pipeline_look_for_fragment(struct pipeline *pipeline, const struct forwarding *forwarding,
				struct batch *batch, const struct match *match);

/* Whether a first fragment was looked for: its owner has had it before, if only from whoever
 * received it. */
static inline bool pipeline_was_looked_for(const struct packet *packet)
{
	return packet->hops > 1;
}

/* Whether it is one of its family's ICMP. */
static inline bool pipeline_is_icmp(const struct packet *packet)
{
	return packet->protocol == (packet->is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/* Drop the fragments that have waited too long, or all that wait. */
void pipeline_expire_fragments(struct pipeline *pipeline, struct batch *batch);
void pipeline_drop_fragments(struct pipeline *pipeline, struct batch *batch);

/* pipeline_select.c: the backend of a packet of a flow, which is recorded if the VIP tracks its
 * flows; MAGLEV_NO_BACKEND when there is none. A record that still is right comes before the hash.
 */
uint16_t pipeline_select_flow(struct pipeline *pipeline, const struct forwarding *forwarding,
			      const struct batch *batch, const struct match *match,
			      const struct flow_record *record);

/* pipeline_select.c: the entry of a flow that is the match's, or that an ICMP error is about, if it
 * leads to a backend of the VIP's today; else NULL. */
const struct connection *pipeline_find_current(const struct pipeline *pipeline,
					       const struct forwarding *forwarding,
					       const struct match *match, uint64_t second);

/* pipeline_select.c: looks for the entries of all matches, and has their destinations fetched. */
void pipeline_look_ahead(const struct pipeline *pipeline, const struct forwarding *forwarding,
			 struct batch *batch);

/* pipeline_select.c: the destination of a match, or another verdict. */
void pipeline_select(struct pipeline *pipeline, const struct forwarding *forwarding,
		     const struct batch *batch, struct match *match);

/* pipeline_encapsulate.c: encapsulates each match in place, with its parts, or drops or answers.
 * All that leaves is gathered in batch->outgoing. */
void pipeline_encapsulate(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct batch *batch);

/*
 * pipeline_mtu.c: what becomes of a packet that the destination's MTU does not hold: an answer to
 * its sender, or parts of it, each encapsulated, or a drop.
 */
void pipeline_exceeds_mtu(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct batch *batch, struct match *match);

/* pipeline_send.c: gives every frame back to the port, by its packet's verdict, and counts. */
void pipeline_send(struct pipeline *pipeline, struct batch *batch);

#endif
