/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first stage: what each frame is, and whether it is for a VIP. Nearly all packets are plain
 * TCP and UDP without tags, options, extension headers and faults; those are judged here by one
 * body, specialised by family. Everything else, and whatever looks odd in any way, is left to
 * packet_parse and pipeline_match_packet, which would say the same of the plain ones.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "bytes.h"
#include "flow_inline.h"
#include "pipeline_internal.h"
#include "vip_table_exact.h"

/* How many frames ahead the next one is fetched. */
#define PREFETCH_DISTANCE 4

#define TCP_HEADER_LENGTH 20
#define UDP_HEADER_LENGTH 8
#define GUE_PORT_BE	  htons(ENCAPSULATION_GUE_PORT)
#define IPV4_FRAGMENT	  0x3fff /* more fragments, and the offset */

enum plain {
	PLAIN_MATCHED,	 /* for a VIP: a match was added */
	PLAIN_ELSEWHERE, /* for no VIP: the kernel's */
	PLAIN_NOT,	 /* to be looked at more closely */
};

/* What a batch looks frames up in. */
struct tables {
	const struct vip_exact *exact;
	const struct connection_table *connections;
	uint64_t mac_mask; /* of the first 8 bytes of a frame */
	uint64_t mac;
	uint64_t seed;
	bool decapsulates;
	uint64_t last_key; /* of exact_key_ipv4, and what it found */
	const struct vip *last_vip;
};

static inline uint16_t load16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static inline uint32_t load32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static inline uint64_t load64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* Frames to this station; of every unicast address, those without the group bit. */
static void set_mac(const struct forwarding_interface *interface, struct tables *tables)
{
	uint8_t mask[8] = { 1 }, mac[8] = { 0 };

	if (!interface->any_mac) {
		memset(mask, 0xff, 6);
		memcpy(mac, interface->mac, 6);
	}
	tables->mac_mask = load64(mask);
	tables->mac = load64(mac);
}

static inline uint64_t add_with_carry(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum + (sum < b);
}

/*
 * RFC 1071 over a header without options: its ones' complement sum is that of all ones. Such a sum
 * is one modulo 2^16 - 1, whatever the size of the words (section 2(B)), and is not 0, since the
 * version is not; a carry out of 64 bits counts 1. The remainder of a constant is a multiplication.
 */
static inline bool is_ipv4_checksum_right(const uint8_t *ip)
{
	uint64_t sum = add_with_carry(load64(ip), load64(ip + 8));

	return add_with_carry(sum, load32(ip + 16)) % 0xffff == 0;
}

/* No fragment, a TTL, and a source that may send; `*length` is that of the packet. */
static inline bool is_plain_ipv4(const uint8_t *ip, uint32_t available, uint32_t *length)
{
	uint8_t network = ip[12];

	*length = load16_be(ip + 2);
	return *length >= IPV4_HEADER_LENGTH + UDP_HEADER_LENGTH && *length <= available &&
	       (load16(ip + 6) & htons(IPV4_FRAGMENT)) == 0 && ip[8] != 0 &&
	       (uint8_t)(network - 1) < 223 && network != 127 &&
	       load32(ip + 12) != load32(ip + 16) && is_ipv4_checksum_right(ip);
}

/* A hop limit, and a source that is global: not ::/8, where mapped and loopback addresses are, nor
 * from fe80 on, where link-local and group ones are. */
static inline bool is_plain_ipv6(const uint8_t *ip, uint32_t available, uint32_t *length)
{
	*length = IPV6_HEADER_LENGTH + (uint32_t)load16_be(ip + 4);
	return *length >= IPV6_HEADER_LENGTH + UDP_HEADER_LENGTH && *length <= available &&
	       *length <= UINT16_MAX && ip[7] != 0 && ip[8] != 0 && ip[8] < 0xfe &&
	       (load64(ip + 8) != load64(ip + 24) || load64(ip + 16) != load64(ip + 32));
}

/* A transport header that packet_check_transport would pass. */
static inline bool is_plain_transport(const uint8_t *l4, uint32_t length, uint8_t protocol)
{
	uint32_t stated;

	if (protocol == IPPROTO_TCP) {
		if (length < TCP_HEADER_LENGTH)
			return false;
		stated = (uint32_t)(l4[12] >> 4) * 4;
		return stated >= TCP_HEADER_LENGTH && stated <= length;
	}
	stated = load16_be(l4 + 4);
	return protocol == IPPROTO_UDP && stated >= UDP_HEADER_LENGTH && stated <= length;
}

/* A tunnel that may end here comes before any VIP. */
static inline bool is_gue(const uint8_t *l4, uint8_t protocol)
{
	return protocol == IPPROTO_UDP && load16(l4 + 2) == GUE_PORT_BE;
}

/* Packets to one service often follow each other. */
static inline const struct vip *find_ipv4(struct tables *tables, uint64_t key)
{
	if (tables->last_key != key) {
		tables->last_key = key;
		tables->last_vip = vip_exact_find_ipv4(tables->exact, key);
	}
	return tables->last_vip;
}

static inline uint64_t hash_flow(const uint8_t *ip, uint32_t ports_be, uint8_t protocol,
				 uint64_t seed, bool is_ipv6)
{
	return is_ipv6 ? flow_hash_ipv6_inline(ip + 8, ports_be, protocol, seed)
		       : flow_hash_ipv4_inline(load32(ip + 12), load32(ip + 16), ports_be, protocol,
					       seed);
}

static inline __attribute__((always_inline)) enum plain
classify(struct tables *tables, const struct frame *frame, struct match *match, bool is_ipv6)
{
	const uint32_t header = is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	const uint8_t *ip = frame->data + ETHERNET_HEADER_LENGTH, *l4 = ip + header;
	uint32_t available = frame->length - ETHERNET_HEADER_LENGTH, length;
	uint8_t protocol = ip[is_ipv6 ? 6 : 9];
	uint64_t address[2];
	const struct vip *vip;

	if (is_ipv6 ? !is_plain_ipv6(ip, available, &length)
		    : !is_plain_ipv4(ip, available, &length))
		return PLAIN_NOT;
	if (!is_plain_transport(l4, length - header, protocol))
		return PLAIN_NOT;
	if (__builtin_expect(tables->decapsulates, false) && is_gue(l4, protocol))
		return PLAIN_NOT;
	if (is_ipv6) {
		memcpy(address, ip + 24, sizeof(address));
		vip = vip_exact_find_ipv6(tables->exact, address,
					  exact_service(load16(l4 + 2), protocol));
	} else {
		vip = find_ipv4(tables, exact_key_ipv4(load32(ip + 16), load16(l4 + 2), protocol));
	}
	if (vip == NULL)
		return (is_ipv6 ? vip_exact_may_have_ipv6(tables->exact, address)
				: vip_exact_may_have_ipv4(tables->exact, load32(ip + 16)))
			       ? PLAIN_NOT
			       : PLAIN_ELSEWHERE;
	match->vip = vip;
	match->hash = hash_flow(ip, load32(l4), protocol, tables->seed, is_ipv6);
	if (__builtin_expect(vip->by_source, false))
		match->source_hash = hash_flow(ip, 0, 0, tables->seed, is_ipv6);
	match->length = (uint16_t)length;
	match->traffic_class = is_ipv6 ? (uint8_t)(load16_be(ip) >> 4) : ip[1];
	match->is_ipv6 = is_ipv6;
	match->is_bare = true;
	match->kind = MATCH_FLOW;
	if (vip->tracking)
		pipeline_track(tables->connections, match,
			       connection_event(protocol, protocol == IPPROTO_TCP ? l4[13] : 0));
	return PLAIN_MATCHED;
}

/* Shorter frames are left alone: every access above lies within these bytes. */
#define SHORTEST_IPV4 (ETHERNET_HEADER_LENGTH + IPV4_HEADER_LENGTH + UDP_HEADER_LENGTH)
#define SHORTEST_IPV6 (ETHERNET_HEADER_LENGTH + IPV6_HEADER_LENGTH + UDP_HEADER_LENGTH)

static inline enum plain classify_frame(struct tables *tables, const struct frame *frame,
					struct match *match)
{
	const uint8_t *data = frame->data;

	if (frame->length < SHORTEST_IPV4 || (load64(data) & tables->mac_mask) != tables->mac)
		return PLAIN_NOT;
	/* EtherType, version and header length. */
	if ((load32(data + 12) & htonl(0xffffff00)) == htonl(0x08004500))
		return classify(tables, frame, match, false);
	if (frame->length >= SHORTEST_IPV6 &&
	    (load32(data + 12) & htonl(0xfffff000)) == htonl(0x86dd6000))
		return classify(tables, frame, match, true);
	return PLAIN_NOT;
}

/* Traffic of the VIP whose packets follow each other, counted once for all of them. */
struct tally {
	struct traffic_counter *counter;
	struct traffic_counter traffic;
};

static inline void tally_end(struct tally *tally)
{
	if (tally->counter == NULL)
		return;
	counter_add(&tally->counter->packets, tally->traffic.packets);
	counter_add(&tally->counter->bytes, tally->traffic.bytes);
}

static inline void tally_add(struct tally *tally, struct traffic_counter *counter, uint32_t bytes)
{
	if (tally->counter != counter) {
		tally_end(tally);
		*tally = (struct tally){ .counter = counter };
	}
	tally->traffic.packets++;
	tally->traffic.bytes += bytes;
}

/* The frames that arrived. Returns their bytes. */
static uint64_t classify_received(struct pipeline *pipeline, const struct forwarding *forwarding,
				  struct batch *batch, uint32_t arrived)
{
	struct tables tables = {
		.exact = vip_table_exact(forwarding->vips),
		.connections = pipeline->connections,
		.seed = forwarding->hash_seed,
		.decapsulates = forwarding->decapsulation != NULL,
	};
	struct match *match = batch->matches;
	struct tally tally = { 0 };
	uint64_t bytes = 0;

	set_mac(&forwarding->interfaces[pipeline->interface], &tables);
	for (uint32_t i = 0; i < arrived; i++) {
		const struct frame *frame = &batch->frames[i];
		struct packet *packet = &batch->packets[i];
		enum plain plain;

		if (i + PREFETCH_DISTANCE < arrived)
			__builtin_prefetch(frame[PREFETCH_DISTANCE].data);
		bytes += frame->length;
		plain = classify_frame(&tables, frame, match);
		if (__builtin_expect(plain == PLAIN_MATCHED, true)) {
			match->packet = packet;
			match->frame = frame;
			packet->verdict = VERDICT_FORWARD;
			tally_add(&tally, &pipeline->vips[match->vip->index], frame->length);
			match++;
			continue;
		}
		packet->frame = *frame;
		packet->verdict = VERDICT_SLOW_PATH;
		if (plain == PLAIN_ELSEWHERE)
			continue;
		batch->match_count = (uint32_t)(match - batch->matches);
		pipeline_match(pipeline, forwarding, batch, packet, false);
		match = &batch->matches[batch->match_count];
	}
	tally_end(&tally);
	batch->match_count = (uint32_t)(match - batch->matches);
	return bytes;
}

void pipeline_classify(struct pipeline *pipeline, const struct forwarding *forwarding,
		       struct batch *batch, uint32_t arrived)
{
	uint64_t bytes = classify_received(pipeline, forwarding, batch, arrived);

	for (uint32_t i = arrived; i < batch->count; i++) {
		bytes += batch->packets[i].frame.length;
		pipeline_match(pipeline, forwarding, batch, &batch->packets[i], true);
	}
	batch->received.packets += batch->count;
	batch->received.bytes += bytes;
}
