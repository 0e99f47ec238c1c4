/* SPDX-License-Identifier: BSD-2-Clause */
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/icmp.h>

#include "bytes.h"
#include "pipeline_internal.h"

#define IPV4_DF	      0x4000
#define IPV4_MF	      0x2000
#define IPV4_OFFSET   0x1fff
#define OPTION_END    0
#define OPTION_NOP    1
#define OPTION_COPIED 0x80
#define MOST_HEADER   60
#define FRAGMENT_UNIT 8
#define MOST_PAYLOAD  (UINT16_MAX - IPV4_HEADER_LENGTH) /* of a packet with all its fragments */
#define ROUND_TO_UNIT (~(uint32_t)(FRAGMENT_UNIT - 1))

static void answer_too_big(struct pipeline *pipeline, const struct forwarding *forwarding,
			   const struct batch *batch, struct packet *packet, uint32_t mtu)
{
	if (!rate_limit_take(&pipeline->error_limit, forwarding->icmp_error_rate, batch->now_ns))
		packet_drop(packet, DROP_ICMP_RATE);
	else if (!icmp_answer_too_big(packet, mtu))
		packet_drop(packet, DROP_NO_HEADROOM);
}

/*
 * The header of all parts but the first: options without the flag "copied" are left out (RFC 791
 * section 3.1). Returns its length.
 */
static uint32_t make_later_header(const uint8_t *ip, uint8_t header[static MOST_HEADER])
{
	uint32_t length = (ip[0] & 0x0fu) * 4, at = IPV4_HEADER_LENGTH, made = IPV4_HEADER_LENGTH;

	memset(header, 0, MOST_HEADER);
	memcpy(header, ip, IPV4_HEADER_LENGTH);
	while (at < length && ip[at] != OPTION_END) {
		uint32_t size = 1;

		if (ip[at] != OPTION_NOP) {
			/* What follows an option that cannot be read cannot be read either. */
			if (at + 1 >= length || ip[at + 1] < 2 || at + ip[at + 1] > length)
				break;
			size = ip[at + 1];
		}
		if ((ip[at] & OPTION_COPIED) != 0) {
			memcpy(header + made, ip + at, size);
			made += size;
		}
		at += size;
	}
	made = (made + 3) & ~3u;
	header[0] = (uint8_t)(4 << 4 | made / 4);
	return made;
}

static void finish_header(uint8_t *ip, uint32_t header_length, uint32_t payload, uint32_t offset,
			  bool more, uint16_t flags)
{
	uint32_t fields = (flags & ~(uint32_t)(IPV4_MF | IPV4_OFFSET)) | offset / FRAGMENT_UNIT;
	uint16_t checksum;

	store16_be(ip + 2, (uint16_t)(header_length + payload));
	store16_be(ip + 6, (uint16_t)(more ? fields | IPV4_MF : fields));
	memset(ip + 10, 0, 2);
	checksum = packet_checksum(ip, header_length);
	memcpy(ip + 10, &checksum, sizeof(checksum));
}

/* How a packet is cut. Offsets and lengths in bytes of IP payload. */
struct cut {
	uint8_t later[MOST_HEADER];
	uint32_t header_length; /* of the first part */
	uint32_t later_length;	/* of the others' headers */
	uint32_t offset;	/* of the packet, when it is a fragment itself */
	uint32_t payload;
	uint32_t first; /* payload of the first part */
	uint32_t most;	/* payload of a later part that is not the last */
	uint16_t flags;
};

/* False where no part fits, or the packet that this fragment is of ends behind what a length can
 * say: the offsets of its parts would run into the flags. */
static bool plan(const struct packet *packet, uint32_t limit, struct cut *cut)
{
	const uint8_t *ip = packet->frame.data + packet->l3_offset;

	cut->flags = load16_be(ip + 6);
	cut->header_length = (ip[0] & 0x0fu) * 4;
	cut->later_length = make_later_header(ip, cut->later);
	cut->offset = (uint32_t)(cut->flags & IPV4_OFFSET) * FRAGMENT_UNIT;
	cut->payload = packet->l3_length - cut->header_length;
	if (limit < cut->header_length + FRAGMENT_UNIT || cut->offset + cut->payload > MOST_PAYLOAD)
		return false;
	cut->first = (limit - cut->header_length) & ROUND_TO_UNIT;
	cut->most = (limit - cut->later_length) & ROUND_TO_UNIT;
	return true;
}

/* One later part, with the link header of the packet, in a frame of its own. */
static bool make_part(struct pipeline *pipeline, struct batch *batch, const struct match *match,
		      const struct cut *cut, uint32_t start, uint32_t length)
{
	const struct packet *packet = match->packet;
	const uint8_t *data = packet->frame.data;
	uint32_t link_length = ETHERNET_HEADER_LENGTH + packet->tag_count * VLAN_TAG_LENGTH;
	bool more = start + length < cut->payload || (cut->flags & IPV4_MF) != 0;
	struct port *port = pipeline->port;
	struct packet part = *packet;
	struct part *entry = &batch->parts[batch->part_count];
	uint8_t *ip;

	if (batch->part_count == BATCH_PARTS ||
	    !port->operations->allocate(port, packet->frame.address, &part.frame))
		return false;
	batch->part_count++;
	entry->packet = packet;
	entry->frame = part.frame;
	if (link_length + cut->later_length + length > part.frame.length)
		return false;
	ip = part.frame.data + link_length;
	memcpy(part.frame.data, data, link_length);
	memcpy(ip, cut->later, cut->later_length);
	memcpy(ip + cut->later_length, data + packet->l3_offset + cut->header_length + start,
	       length);
	finish_header(ip, cut->later_length, length, cut->offset + start, more, cut->flags);
	part.l3_offset = (uint16_t)link_length;
	part.l4_offset = (uint16_t)(link_length + cut->later_length);
	part.l3_length = (uint16_t)(cut->later_length + length);
	part.frame.length = link_length + part.l3_length;
	if (!encapsulation_apply(&part, match->destination))
		return false;
	entry->frame = part.frame;
	return true;
}

/* Splits an IPv4 packet in place (RFC 791 section 3.2); all parts go to the same destination. */
static void split(struct pipeline *pipeline, struct batch *batch, const struct match *match)
{
	struct port *port = pipeline->port;
	struct packet *packet = match->packet;
	uint32_t first_part = batch->part_count;
	struct cut cut;

	if (!plan(packet, match->destination->packet_limit, &cut)) {
		packet_drop(packet, DROP_EXCEEDS_MTU);
		return;
	}
	for (uint32_t start = cut.first; start < cut.payload; start += cut.most) {
		uint32_t left = cut.payload - start;

		if (make_part(pipeline, batch, match, &cut, start,
			      left < cut.most ? left : cut.most))
			continue;
		for (uint32_t i = first_part; i < batch->part_count; i++)
			port->operations->recycle(port, &batch->parts[i].frame, 1);
		batch->part_count = first_part;
		packet_drop(packet, DROP_NO_FRAME);
		return;
	}
	packet->l3_length = (uint16_t)(cut.header_length + cut.first);
	finish_header(packet->frame.data + packet->l3_offset, cut.header_length, cut.first,
		      cut.offset, true, cut.flags);
	if (encapsulation_apply(packet, match->destination))
		return;
	packet->verdict = VERDICT_DROP;
	for (uint32_t i = first_part; i < batch->part_count; i++)
		port->operations->recycle(port, &batch->parts[i].frame, 1);
	batch->part_count = first_part;
}

void pipeline_exceeds_mtu(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct batch *batch, struct match *match)
{
	struct packet *packet = match->packet;
	uint32_t limit = match->destination->packet_limit;
	uint16_t flags;

	if (packet->is_ipv6) {
		if (packet->l3_length <= IPV6_LEAST_MTU || icmp_is_error(packet))
			packet_drop(packet, DROP_EXCEEDS_MTU);
		else
			answer_too_big(pipeline, forwarding, batch, packet,
				       limit > IPV6_LEAST_MTU ? limit : IPV6_LEAST_MTU);
		return;
	}
	flags = load16_be(packet->frame.data + packet->l3_offset + 6);
	if ((flags & IPV4_DF) == 0)
		split(pipeline, batch, match);
	else if ((flags & IPV4_OFFSET) != 0 || icmp_is_error(packet) || limit < IPV4_LEAST_MTU)
		packet_drop(packet, DROP_EXCEEDS_MTU);
	else
		answer_too_big(pipeline, forwarding, batch, packet, limit);
}
