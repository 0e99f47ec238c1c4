/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/encapsulation.h>

#define OUTER_TTL	   64
#define IPV4_DONT_FRAGMENT 0x4000
#define GRE_HEADER_LENGTH  4
#define GRE_IPV4_HEADER	   (ETHERNET_HEADER_LENGTH + IPV4_HEADER_LENGTH + GRE_HEADER_LENGTH)

/* Offsets in the prepared header. */
#define OUTER_IPV4	   ETHERNET_HEADER_LENGTH
#define OUTER_TOS	   (OUTER_IPV4 + 1)
#define OUTER_TOTAL_LENGTH (OUTER_IPV4 + 2)
#define OUTER_FLAGS	   (OUTER_IPV4 + 6)
#define OUTER_TTL_OFFSET   (OUTER_IPV4 + 8)
#define OUTER_PROTOCOL	   (OUTER_IPV4 + 9)
#define OUTER_CHECKSUM	   (OUTER_IPV4 + 10)
#define OUTER_SOURCE	   (OUTER_IPV4 + 12)
#define OUTER_DESTINATION  (OUTER_IPV4 + 16)
#define GRE		   (OUTER_IPV4 + IPV4_HEADER_LENGTH)

static void store16_be(uint8_t *bytes, uint16_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

void encapsulation_prepare_gre_ipv4(struct destination *destination, const uint8_t source_mac[6],
				    const uint8_t next_hop_mac[6], uint32_t source_be,
				    uint32_t destination_be, uint32_t mtu)
{
	uint8_t *header = destination->header;
	uint32_t sum = 0;

	memset(header, 0, sizeof(destination->header));
	memcpy(header, next_hop_mac, 6);
	memcpy(header + 6, source_mac, 6);
	store16_be(header + 12, 0x0800);

	header[OUTER_IPV4] = 4 << 4 | IPV4_HEADER_LENGTH / 4;
	store16_be(header + OUTER_FLAGS, IPV4_DONT_FRAGMENT);
	header[OUTER_TTL_OFFSET] = OUTER_TTL;
	header[OUTER_PROTOCOL] = IPPROTO_GRE;
	memcpy(header + OUTER_SOURCE, &source_be, sizeof(source_be));
	memcpy(header + OUTER_DESTINATION, &destination_be, sizeof(destination_be));
	store16_be(header + GRE + 2, 0x0800);

	for (int i = 0; i < IPV4_HEADER_LENGTH; i += 2) {
		uint16_t word;

		memcpy(&word, header + OUTER_IPV4 + i, sizeof(word));
		sum += word;
	}
	destination->checksum = sum;
	destination->header_length = GRE_IPV4_HEADER;
	if (mtu > UINT16_MAX)
		mtu = UINT16_MAX;
	destination->packet_limit = mtu > ENCAPSULATION_GRE_IPV4_OVERHEAD
					    ? (uint16_t)(mtu - ENCAPSULATION_GRE_IPV4_OVERHEAD)
					    : 0;
	destination->state = DESTINATION_READY;
}

bool encapsulation_apply(struct packet *packet, const struct destination *destination)
{
	struct frame *frame = &packet->frame;
	uint16_t outer_length, length_be, traffic_class_be, checksum;
	uint32_t sum, moved;
	uint8_t *outer;

	if (packet->l3_length > destination->packet_limit) {
		packet->reason = DROP_EXCEEDS_MTU;
		return false;
	}
	if (frame->headroom + packet->l3_offset < GRE_IPV4_HEADER) {
		packet->reason = DROP_NO_HEADROOM;
		return false;
	}
	outer = frame->data + packet->l3_offset - GRE_IPV4_HEADER;
	memcpy(outer, destination->header, GRE_IPV4_HEADER);

	outer_length = (uint16_t)(packet->l3_length + ENCAPSULATION_GRE_IPV4_OVERHEAD);
	length_be = htons(outer_length);
	traffic_class_be = htons(packet->traffic_class);
	/* At most 11 words of 16 bits: two folds are enough (RFC 1071). */
	sum = destination->checksum + length_be + traffic_class_be;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	checksum = (uint16_t)~sum;
	outer[OUTER_TOS] = packet->traffic_class;
	memcpy(outer + OUTER_TOTAL_LENGTH, &length_be, sizeof(length_be));
	memcpy(outer + OUTER_CHECKSUM, &checksum, sizeof(checksum));

	/* Unsigned arithmetic: right whichever of the two starts lies further in front. */
	moved = (uint32_t)packet->l3_offset - GRE_IPV4_HEADER;
	frame->address += (uint64_t)packet->l3_offset - GRE_IPV4_HEADER;
	frame->headroom += moved;
	frame->data = outer;
	frame->length = (uint32_t)packet->l3_length + GRE_IPV4_HEADER;
	packet->l3_offset = GRE_IPV4_HEADER;
	packet->l4_offset = (uint16_t)(packet->l4_offset - moved);
	return true;
}
