/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first stage: what each frame is, and whether it is for a VIP. Nearly all packets are plain
 * TCP and UDP without tags, options, extension headers and faults; those are judged here by one
 * body, specialised by family. Everything else, and whatever looks odd in any way, is left to
 * pipeline_match, which would say the same of the plain ones.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "bytes.h"
#include "flow_inline.h"
#include "pipeline_internal.h"
#include "pipeline_plain.h"
#include "vip_table_exact.h"

/* How many frames ahead the next one is fetched. 4 are too few where frames come from the
 * third-level cache, as behind a flood that fills the second. */
#define PREFETCH_DISTANCE 8

/* In front of a frame: in the cache line that the outer header is written into, which nobody has
 * touched since the frame was last sent. */
#define OUTER_HEADER_PLACE 8

#define TCP_FLAGS 13

/* Shorter frames are left alone: every access to a header lies within these bytes. */
#define SHORTEST(header) (ETHERNET_HEADER_LENGTH + (header) + TCP_FLAGS + 1)

/* What a batch looks frames up in, and where it is. */
struct classifier {
	const struct vip_exact *exact;
	const struct connection_table *connections;
	struct batch *batch;
	struct traffic_counter *vips;
	uint64_t mac_mask; /* of the first 8 bytes of a frame */
	uint64_t mac;
	uint32_t arrived;
	bool decapsulates;
	uint64_t bytes; /* of the frames that were classified */
	const struct flow_seed *seed;
};

/* Frames to this station; of every unicast address, those without the group bit. */
static void set_mac(const struct forwarding_interface *interface, struct classifier *classifier)
{
	uint8_t mask[8] = { 1 }, mac[8] = { 0 };

	if (!interface->any_mac) {
		memset(mask, 0xff, 6);
		memcpy(mac, interface->mac, 6);
	}
	classifier->mac_mask = load64(mask);
	classifier->mac = load64(mac);
}

/* The IP packet's length, if everything in front of the service is plain; else 0. */
static inline __attribute__((always_inline)) uint32_t
plain_length(const struct classifier *classifier, const struct frame *frame, bool is_ipv6)
{
	const uint32_t header = is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
	const uint8_t *data = frame->data, *ip = data + ETHERNET_HEADER_LENGTH, *l4 = ip + header;
	/* EtherType, version and, of IPv4, header length. */
	const uint32_t mask = htonl(is_ipv6 ? 0xfffff000 : 0xffffff00);
	const uint32_t kind = htonl(is_ipv6 ? 0x86dd6000 : 0x08004500);
	uint32_t length;
	uint8_t protocol;

	if (frame->length < SHORTEST(header) ||
	    (load64(data) & classifier->mac_mask) != classifier->mac ||
	    (load32(data + 12) & mask) != kind)
		return 0;
	length = is_ipv6 ? IPV6_HEADER_LENGTH + (uint32_t)load16_be(ip + 4) : load16_be(ip + 2);
	protocol = ip[is_ipv6 ? 6 : 9];
	if (length < header || length > frame->length - ETHERNET_HEADER_LENGTH ||
	    (is_ipv6 && length > UINT16_MAX) ||
	    !(is_ipv6 ? is_plain_ipv6(ip) : is_plain_ipv4(ip)) ||
	    !is_plain_transport(l4, length - header, protocol) ||
	    (__builtin_expect(classifier->decapsulates, false) && is_gue(l4, protocol)))
		return 0;
	return length;
}

/* A service as it lies in a packet: packets to one often follow each other. */
struct service {
	uint64_t words[3]; /* of IPv4 one, exact_key_ipv4; of IPv6 the address, and exact_service */
};

static inline struct service service_of(const uint8_t *ip, bool is_ipv6)
{
	const uint8_t *l4 = ip + (is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH);
	uint16_t port_be = load16(l4 + 2);

	if (is_ipv6)
		return (struct service){ { load64(ip + 24), load64(ip + 32),
					   exact_service(port_be, ip[6]) } };
	return (struct service){ { exact_key_ipv4(load32(ip + 16), port_be, ip[9]) } };
}

static inline bool is_same_service(const struct service *a, const struct service *b, bool is_ipv6)
{
	return a->words[0] == b->words[0] &&
	       (!is_ipv6 || (a->words[1] == b->words[1] && a->words[2] == b->words[2]));
}

static inline const struct vip *find_service(const struct classifier *classifier,
					     const struct service *service, bool is_ipv6)
{
	return is_ipv6 ? vip_exact_find_ipv6(classifier->exact, service->words, service->words[2])
		       : vip_exact_find_ipv4(classifier->exact, service->words[0]);
}

static inline bool may_be_vip(const struct classifier *classifier, const struct service *service,
			      bool is_ipv6)
{
	return is_ipv6 ? vip_exact_may_have_ipv6(classifier->exact, service->words)
		       : vip_exact_may_have_ipv4(classifier->exact, (uint32_t)service->words[0]);
}

static inline uint64_t hash_flow(const struct classifier *classifier, const uint8_t *ip,
				 uint32_t ports_be, uint8_t protocol, bool is_ipv6)
{
	return is_ipv6 ? flow_hash_ipv6_inline(classifier->seed, ip + 8, ports_be, protocol)
		       : flow_hash_ipv4_inline(classifier->seed, ip + 12, ports_be, protocol);
}

/* What the match of a plain packet carries. */
static inline __attribute__((always_inline)) void
fill_match(const struct classifier *classifier, const struct vip *vip, const struct frame *frame,
	   struct packet *packet, uint32_t length, struct match *match, bool is_ipv6)
{
	const uint8_t *ip = frame->data + ETHERNET_HEADER_LENGTH;
	const uint8_t *l4 = ip + (is_ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH);
	uint8_t protocol = ip[is_ipv6 ? 6 : 9];

	packet->verdict = VERDICT_FORWARD;
	match->packet = packet;
	match->frame = frame;
	match->vip = vip;
	match->hash = hash_flow(classifier, ip, load32(l4), protocol, is_ipv6);
	if (__builtin_expect(vip->by_source, false))
		match->source_hash = hash_flow(classifier, ip, 0, 0, is_ipv6);
	match->length = (uint16_t)length;
	match->traffic_class = is_ipv6 ? (uint8_t)(load16_be(ip) >> 4) : ip[1];
	match->is_ipv6 = is_ipv6;
	match->bare_length = (uint16_t)length;
	match->kind = MATCH_FLOW;
	if (__builtin_expect(vip->tracking, true))
		pipeline_track(
			classifier->connections, match,
			connection_event(protocol, protocol == IPPROTO_TCP ? l4[TCP_FLAGS] : 0));
}

/* Counts packets of one VIP that followed each other. */
static inline void count_run(const struct classifier *classifier, const struct vip *vip,
			     uint64_t packets, uint64_t bytes)
{
	if (packets == 0)
		return;
	counter_add(&classifier->vips[vip->index].packets, packets);
	counter_add(&classifier->vips[vip->index].bytes, bytes);
}

/*
 * Packets of one family for as long as they are plain, from frame i on. Returns the frame behind
 * the last one. One body, specialised by family.
 */
static inline __attribute__((always_inline)) uint32_t classify(struct classifier *classifier,
							       uint32_t i, bool is_ipv6)
{
	struct batch *batch = classifier->batch;
	struct match *match = &batch->matches[batch->match_count], *run = match;
	const uint32_t arrived = classifier->arrived;
	const struct vip *vip = NULL;
	struct service last = { 0 };
	uint64_t bytes = 0;

	for (; i < arrived; i++) {
		const struct frame *frame = &batch->frames[i];
		const uint8_t *ip = frame->data + ETHERNET_HEADER_LENGTH;
		uint32_t length;
		struct service service;

		if (i + PREFETCH_DISTANCE < arrived) {
			__builtin_prefetch(frame[PREFETCH_DISTANCE].data);
			__builtin_prefetch(frame[PREFETCH_DISTANCE].data - OUTER_HEADER_PLACE, 1);
		}
		length = plain_length(classifier, frame, is_ipv6);
		if (__builtin_expect(length == 0, false))
			break;
		service = service_of(ip, is_ipv6);
		if (__builtin_expect(!is_same_service(&service, &last, is_ipv6), false)) {
			count_run(classifier, vip, (uint64_t)(match - run), bytes);
			classifier->bytes += bytes;
			bytes = 0;
			run = match;
			last = service;
			vip = find_service(classifier, &service, is_ipv6);
		}
		if (__builtin_expect(vip == NULL, false)) {
			if (may_be_vip(classifier, &service, is_ipv6))
				break;
			batch->packets[i].frame = *frame;
			batch->packets[i].verdict = VERDICT_SLOW_PATH;
			classifier->bytes += frame->length;
			continue;
		}
		fill_match(classifier, vip, frame, &batch->packets[i], length, match++, is_ipv6);
		bytes += frame->length;
	}
	count_run(classifier, vip, (uint64_t)(match - run), bytes);
	classifier->bytes += bytes;
	batch->match_count = (uint32_t)(match - batch->matches);
	return i;
}

static __attribute__((noinline)) uint32_t classify_ipv4(struct classifier *classifier, uint32_t i)
{
	return classify(classifier, i, false);
}

static __attribute__((noinline)) uint32_t classify_ipv6(struct classifier *classifier, uint32_t i)
{
	return classify(classifier, i, true);
}

static bool looks_like_ipv6(const struct frame *frame)
{
	return frame->length >= ETHERNET_HEADER_LENGTH &&
	       load16_be(frame->data + 12) == ETHERTYPE_IPV6;
}

void pipeline_classify(struct pipeline *pipeline, const struct forwarding *forwarding,
		       struct batch *batch, uint32_t arrived)
{
	struct classifier classifier = {
		.exact = vip_table_exact(forwarding->vips),
		.connections = pipeline->connections,
		.batch = batch,
		.vips = pipeline->vips,
		.arrived = arrived,
		.decapsulates = forwarding->decapsulation != NULL,
		.seed = &pipeline->seed,
	};
	uint32_t i = 0, next;

	set_mac(&forwarding->interfaces[pipeline->interface], &classifier);
	for (; i < arrived; i = next) {
		next = looks_like_ipv6(&batch->frames[i]) ? classify_ipv6(&classifier, i)
							  : classify_ipv4(&classifier, i);
		if (next > i)
			continue;
		batch->packets[i].frame = batch->frames[i];
		classifier.bytes += batch->frames[i].length;
		pipeline_match(pipeline, forwarding, batch, &batch->packets[i], 0);
		next = i + 1;
	}
	for (; i < batch->count; i++) {
		classifier.bytes += batch->packets[i].frame.length;
		pipeline_match(pipeline, forwarding, batch, &batch->packets[i],
			       batch->packets[i].hops);
	}
	batch->received.packets += batch->count;
	batch->received.bytes += classifier.bytes;
}
