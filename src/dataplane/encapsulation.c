/* SPDX-License-Identifier: BSD-2-Clause */
#include "encapsulation_inline.h"

uint32_t encapsulation_overhead(enum encapsulation encapsulation, bool is_ipv6)
{
	return outer_length(encapsulation, is_ipv6);
}

/* The protocol number behind the outer IP header, for an IPv4 packet inside. */
static uint8_t outer_protocol(enum encapsulation encapsulation)
{
	switch (encapsulation) {
	case ENCAPSULATION_GRE:
		return IPPROTO_GRE;
	case ENCAPSULATION_GUE:
		return IPPROTO_UDP;
	default:
		return IPPROTO_IPIP;
	}
}

static void prepare_ipv4(struct destination *destination, const struct encapsulation_path *path)
{
	uint8_t *header = destination->header;

	store16_be(header + ETHERTYPE, ETHERTYPE_IPV4);
	header[OUTER] = 4 << 4 | IPV4_HEADER_LENGTH / 4;
	store16_be(header + IPV4_FLAGS, IPV4_DONT_FRAGMENT);
	header[IPV4_TTL] = OUTER_TTL;
	header[IPV4_PROTOCOL] = outer_protocol(path->encapsulation);
	memcpy(header + IPV4_SOURCE, &path->source.words_be[3], 4);
	memcpy(header + IPV4_DESTINATION, &path->destination.words_be[3], 4);
	for (int i = 0; i < IPV4_HEADER_LENGTH; i += 2) {
		uint16_t word;

		memcpy(&word, header + OUTER + i, sizeof(word));
		destination->checksum += word;
	}
}

static void prepare_ipv6(struct destination *destination, const struct encapsulation_path *path)
{
	uint8_t *header = destination->header;

	store16_be(header + ETHERTYPE, ETHERTYPE_IPV6);
	header[OUTER] = 6 << 4;
	header[IPV6_NEXT_HEADER] = outer_protocol(path->encapsulation);
	header[IPV6_HOP_LIMIT] = OUTER_TTL;
	memcpy(header + IPV6_SOURCE, path->source.bytes, 16);
	memcpy(header + IPV6_DESTINATION, path->destination.bytes, 16);
}

/* What stands between the outer IP header and the inner packet. */
static void prepare_shim(struct destination *destination, const struct encapsulation_path *path)
{
	uint8_t *end = destination->header + destination->header_length;
	enum encapsulation encapsulation = path->encapsulation;

	if (encapsulation == ENCAPSULATION_GRE) {
		store16_be(end - 4, path->is_peer ? ENCAPSULATION_GRE_ONCE : 0);
		store16_be(end - 2, ETHERTYPE_IPV4);
	} else if (encapsulation == ENCAPSULATION_GUE) {
		store16_be(end - GUE_HEADER_LENGTH - UDP_HEADER_LENGTH + 2, ENCAPSULATION_GUE_PORT);
		end[-3] = IPPROTO_IPIP;
	}
}

static void prepare_tags(struct destination *destination, const struct encapsulation_path *path)
{
	memset(destination->tags, 0, sizeof(destination->tags));
	destination->keeps_tags = path->keeps_tags;
	destination->tag_count = path->keeps_tags ? 0 : path->tag_count;
	for (uint32_t i = 0; i < PACKET_MAX_TAGS && i < destination->tag_count; i++) {
		uint8_t *tag = destination->tags + i * VLAN_TAG_LENGTH;

		store16_be(tag, path->tags[i].protocol);
		store16_be(tag + 2, path->tags[i].id);
	}
}

static uint16_t bare_limit(const struct destination *destination)
{
	if (destination->tag_count > 0)
		return 0;
	return destination->packet_limit < ENCAPSULATION_NOT_BARE ? destination->packet_limit
								  : ENCAPSULATION_NOT_BARE - 1;
}

void encapsulation_prepare(struct destination *destination, const struct encapsulation_path *path)
{
	bool is_ipv6 = !address_is_ipv4(&path->destination);
	uint32_t overhead = outer_length(path->encapsulation, is_ipv6);
	uint32_t mtu = path->mtu < UINT16_MAX ? path->mtu : UINT16_MAX;

	memset(destination->header, 0, sizeof(destination->header));
	memcpy(destination->header, path->next_hop_mac, 6);
	memcpy(destination->header + 6, path->source_mac, 6);
	destination->checksum = 0;
	destination->kind = (uint8_t)ENCAPSULATION_KIND(path->encapsulation, is_ipv6);
	destination->is_ipv6 = is_ipv6;
	destination->udp_checksum = path->udp_checksum;
	destination->header_length = (uint8_t)(ETHERNET_HEADER_LENGTH + overhead);
	destination->packet_limit = mtu > overhead ? (uint16_t)(mtu - overhead) : 0;
	destination->state = DESTINATION_READY;
	prepare_tags(destination, path);
	destination->bare_limit = bare_limit(destination);
	if (path->encapsulation == ENCAPSULATION_L2)
		return;
	if (is_ipv6)
		prepare_ipv6(destination, path);
	else
		prepare_ipv4(destination, path);
	prepare_shim(destination, path);
}

static inline __attribute__((always_inline)) bool apply(struct packet *packet,
							const struct destination *destination,
							enum encapsulation encapsulation,
							bool is_ipv6)
{
	const uint32_t header_length =
		ETHERNET_HEADER_LENGTH + outer_length(encapsulation, is_ipv6);
	const struct inside inside = { .hash = packet->hash,
				       .length = packet->l3_length,
				       .traffic_class = packet->traffic_class,
				       .is_ipv6 = packet->is_ipv6 };
	const uint8_t tag_count =
		destination->keeps_tags ? packet->tag_count : destination->tag_count;
	const uint32_t tags_length = tag_count * VLAN_TAG_LENGTH;
	struct frame *frame = &packet->frame;
	uint8_t tags[PACKET_MAX_TAGS * VLAN_TAG_LENGTH];
	uint32_t moved;
	uint8_t *outer;

	if (frame->headroom + packet->l3_offset < header_length + tags_length) {
		packet->reason = DROP_NO_HEADROOM;
		return false;
	}
	/* Before the outer header covers the packet's own. */
	memcpy(tags, destination->keeps_tags ? frame->data + MACS_LENGTH : destination->tags,
	       tags_length);
	outer = frame->data + packet->l3_offset - header_length;
	write_outer(outer, &inside, destination, encapsulation, is_ipv6);
	if (tags_length != 0) {
		outer -= tags_length;
		memcpy(outer, destination->header, MACS_LENGTH);
		memcpy(outer + MACS_LENGTH, tags, tags_length);
	}
	/* Unsigned arithmetic: right whichever of the two starts lies further in front. */
	moved = packet->l3_offset - header_length - tags_length;
	frame->address += (uint64_t)packet->l3_offset - header_length - tags_length;
	frame->headroom += moved;
	frame->data = outer;
	frame->length = (uint32_t)packet->l3_length + header_length + tags_length;
	packet->tag_count = tag_count;
	packet->l3_offset = (uint16_t)(header_length + tags_length);
	packet->l4_offset = (uint16_t)(packet->l4_offset - moved);
	return true;
}

bool encapsulation_apply(struct packet *packet, const struct destination *destination)
{
	if (packet->l3_length > destination->packet_limit) {
		packet->reason = DROP_EXCEEDS_MTU;
		return false;
	}
#define APPLY(encapsulation, is_ipv6) apply(packet, destination, encapsulation, is_ipv6)
	ENCAPSULATION_SWITCH(destination->kind, APPLY)
#undef APPLY
}
