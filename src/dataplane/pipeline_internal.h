/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files pipeline*.c share: the batch and its stages, in the order in which pipeline_run
 * calls them. Everything here lives for one batch, on the worker's stack.
 */
#ifndef FLUXPIN_PIPELINE_INTERNAL_H
#define FLUXPIN_PIPELINE_INTERNAL_H

#include <fluxpin/pipeline.h>

/* As many frames as the parts of a batch may take. */
#define BATCH_PARTS PORT_BATCH

/* How the destination of a packet to a VIP is found. */
enum match_kind {
	MATCH_FLOW,	  /* by its flow: the backend on record, or a new one */
	MATCH_ICMP_ERROR, /* by the flow that it is about; nothing is recorded */
};

struct match {
	struct packet *packet;
	const struct vip *vip;
	const struct destination *destination; /* set by the select stage, unless it drops */
	uint64_t source_hash; /* of the client and the VIP's address; for vip->by_source only */
	uint8_t kind;	      /* enum match_kind */
};

/* A frame that is sent behind another packet's own, because the packet was split. */
struct part {
	struct frame frame;
	const struct packet *packet;
};

struct batch {
	struct packet packets[PORT_BATCH];
	struct match matches[PORT_BATCH]; /* in the order of the packets */
	struct part parts[BATCH_PARTS];	  /* in the order of their packets */
	uint32_t count;			  /* packets */
	uint32_t match_count;
	uint32_t part_count;
	uint64_t now_ns;
	uint64_t second; /* coarse clock */
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

/*
 * pipeline_match.c: decides for each packet of verdict FORWARD whether it is for a VIP: adds a
 * match, or sets another verdict.
 */
void pipeline_match(struct pipeline *pipeline, const struct forwarding *forwarding,
		    struct batch *batch);

/*
 * Sets the hashes by which a match with a VIP is told apart from others: packet->hash, of its flow,
 * by the ports that were read (0 where there are none), and match->source_hash.
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

/* pipeline_select.c: the destination of each match, or another verdict. */
void pipeline_select(struct pipeline *pipeline, const struct forwarding *forwarding,
		     struct batch *batch);

/* pipeline_encapsulate.c: encapsulates each match in place, with its parts, or drops or answers. */
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
