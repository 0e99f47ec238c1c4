/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a sent frame has to be. Everything is read from the bytes anew, with nothing of the data
 * plane's own code.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../unit/packets.h"
#include "harness.h"

/* An IP packet: its bytes up to where its header says that it ends. */
struct view {
	const uint8_t *ip;
	uint32_t length;
	bool is_ipv6;
};

static uint32_t header_of(const struct view *view)
{
	return view->is_ipv6 ? 40 : (view->ip[0] & 0x0fu) * 4;
}

static uint8_t protocol_of(const struct view *view)
{
	return view->ip[view->is_ipv6 ? 6 : 9];
}

static uint32_t address_length(const struct view *view)
{
	return view->is_ipv6 ? 16 : 4;
}

static const uint8_t *source_of(const struct view *view)
{
	return view->ip + (view->is_ipv6 ? 8 : 12);
}

static const uint8_t *destination_of(const struct view *view)
{
	return source_of(view) + address_length(view);
}

/* The packet at `ip`; false when its header is not all right. */
static bool read_packet(const uint8_t *ip, uint32_t room, bool is_ipv6, struct view *view)
{
	*view = (struct view){ .ip = ip, .is_ipv6 = is_ipv6 };
	if (room < (is_ipv6 ? 40u : 20u) || ip[0] >> 4 != (is_ipv6 ? 6 : 4))
		return false;
	view->length = is_ipv6 ? 40u + test_load16(ip + 4) : test_load16(ip + 2);
	return view->length <= room && header_of(view) >= (is_ipv6 ? 40u : 20u) &&
	       header_of(view) <= view->length &&
	       (is_ipv6 || test_checksum(ip, header_of(view)) == 0);
}

/* Of a frame: the packet behind its VLAN tags, the offset of which is *offset. */
static bool read_frame(const uint8_t *frame, uint32_t length, struct view *view, uint32_t *offset)
{
	uint32_t type_at = 12;

	while (length >= type_at + 6 &&
	       (test_load16(frame + type_at) == 0x8100 || test_load16(frame + type_at) == 0x88a8 ||
		test_load16(frame + type_at) == 0x9100))
		type_at += 4;
	*offset = type_at + 2;
	if (length < *offset)
		return false;
	if (test_load16(frame + type_at) != 0x0800 && test_load16(frame + type_at) != 0x86dd)
		return false;
	return read_packet(frame + *offset, length - *offset,
			   test_load16(frame + type_at) == 0x86dd, view);
}

/* The packet in a tunnel's, if it is one to the load balancer. */
static bool read_tunnel(const struct view *outer, struct view *inner)
{
	static const uint8_t lb_ipv4[4] = { 10, 0, 0, 5 };
	uint32_t at = header_of(outer), type = 0;
	const uint8_t *tunnel = outer->ip + at;
	uint8_t protocol = protocol_of(outer);

	if (memcmp(destination_of(outer), outer->is_ipv6 ? fuzz_lb_ipv6 : lb_ipv4,
		   address_length(outer)) != 0 ||
	    outer->length < at + 4)
		return false;
	if (protocol == IPPROTO_GRE) {
		at += 4;
		for (int bit = 7; bit >= 4; bit--)
			if (bit != 6)
				at += (tunnel[0] >> bit & 1) * 4u;
		type = test_load16(tunnel + 2);
	} else if (protocol == IPPROTO_UDP && outer->length >= at + 12) {
		at += 8;
		/* Variant 1 has no header of its own. */
		if (tunnel[8] >> 6 == 0)
			at += 4 + (tunnel[8] & 0x1fu) * 4;
		type = at < outer->length && outer->ip[at] >> 4 == 6 ? 0x86dd : 0x0800;
	} else if (protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6) {
		type = protocol == IPPROTO_IPV6 ? 0x86dd : 0x0800;
	}
	return type != 0 && at < outer->length &&
	       read_packet(outer->ip + at, outer->length - at, type == 0x86dd, inner);
}

static bool is_same(const struct view *a, const struct view *b)
{
	return a->is_ipv6 == b->is_ipv6 && a->length == b->length &&
	       memcmp(a->ip, b->ip, a->length) == 0;
}

/* An IPv4 fragment of the packet, cut out by RFC 791. */
static bool is_part(const struct view *part, const struct view *whole)
{
	uint32_t part_at, whole_at, flags, offset, length;

	if (part->is_ipv6 || whole->is_ipv6)
		return false;
	part_at = test_load16(part->ip + 6);
	whole_at = test_load16(whole->ip + 6);
	if (whole_at & 0x4000 || (part_at & 0x1fff) < (whole_at & 0x1fff))
		return false;
	offset = ((part_at & 0x1fff) - (whole_at & 0x1fff)) * 8;
	length = part->length - header_of(part);
	flags = offset + length == whole->length - header_of(whole) ? whole_at & 0x2000 : 0x2000;
	if ((part_at & 0xe000) != (flags | (whole_at & 0x8000)) ||
	    (flags != 0 && length % 8 != 0 &&
	     offset + length != whole->length - header_of(whole)) ||
	    offset + length > whole->length - header_of(whole))
		return false;
	return memcmp(part->ip + 4, whole->ip + 4, 2) == 0 && part->ip[1] == whole->ip[1] &&
	       memcmp(part->ip + 8, whole->ip + 8, 2) == 0 &&
	       memcmp(part->ip + 12, whole->ip + 12, 8) == 0 &&
	       memcmp(part->ip + header_of(part), whole->ip + header_of(whole) + offset, length) ==
		       0;
}

/* The bytes between outer IP header and packet; 0 when they are wrong for the kind. */
static bool read_encapsulated(const struct view *outer, uint32_t kind, struct view *inner)
{
	const uint8_t *tunnel = outer->ip + header_of(outer);
	uint32_t room = outer->length - header_of(outer), length = 0, sum;
	uint8_t protocol = protocol_of(outer);
	bool is_ipv6;

	if (room < 20)
		return false;
	if (kind <= 2) {
		is_ipv6 = test_load16(tunnel + 2) == 0x86dd;
		length = 4;
		if (protocol != IPPROTO_GRE || test_load16(tunnel) != 0 ||
		    (!is_ipv6 && test_load16(tunnel + 2) != 0x0800))
			return false;
	} else if (kind <= 4) {
		is_ipv6 = protocol == IPPROTO_IPV6;
		if (!is_ipv6 && protocol != IPPROTO_IPIP)
			return false;
	} else {
		is_ipv6 = tunnel[9] == IPPROTO_IPV6;
		length = 12;
		if (protocol != IPPROTO_UDP || test_load16(tunnel) < 49152 ||
		    test_load16(tunnel + 2) != 6080 || test_load16(tunnel + 4) != room ||
		    tunnel[8] != 0 || test_load16(tunnel + 10) != 0 ||
		    (!is_ipv6 && tunnel[9] != IPPROTO_IPIP))
			return false;
		sum = test_load16(tunnel + 6);
		if (kind <= 6 ? sum != 0
			      : sum == 0 || fuzz_transport_sum(outer->ip, protocol, tunnel, room))
			return false;
	}
	return read_packet(tunnel + length, room - length, is_ipv6, inner) &&
	       inner->length == room - length;
}

static uint32_t traffic_class(const struct view *view)
{
	return view->is_ipv6 ? test_load16(view->ip) >> 4 & 0xffu : view->ip[1];
}

/* TTL 64, DF without identification, the inner packet's DSCP and ECN, our source address. */
static bool is_outer_right(const struct view *outer, const struct view *inner)
{
	static const uint8_t lb_ipv4[4] = { 10, 0, 0, 5 };

	if (traffic_class(outer) != traffic_class(inner))
		return false;
	if (outer->is_ipv6)
		return outer->ip[7] == 64 && (test_load16(outer->ip) & 0xf) == 0 &&
		       test_load16(outer->ip + 2) == 0 &&
		       memcmp(source_of(outer), fuzz_lb_ipv6, 16) == 0;
	return outer->ip[0] == 0x45 && outer->ip[8] == 64 && test_load16(outer->ip + 4) == 0 &&
	       test_load16(outer->ip + 6) == 0x4000 && memcmp(source_of(outer), lb_ipv4, 4) == 0;
}

/* A source that an answer may go to: RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e). */
static bool may_be_answered(const struct view *view)
{
	const uint8_t *source = source_of(view);
	static const uint8_t zero[16];

	if (view->is_ipv6)
		return source[0] != 0xff && (memcmp(source, zero, 15) != 0 || source[15] > 1);
	return source[0] != 0 && source[0] != 127 && source[0] < 224;
}

static bool is_echo_of(const struct view *answer, const struct view *request, const uint8_t *icmp,
		       uint32_t length)
{
	uint32_t behind = request->length - header_of(request);

	/* Behind the extension headers of IPv6, too, where there are some. */
	return behind >= length && icmp[1] == 0 && icmp[0] == (answer->is_ipv6 ? 129 : 0) &&
	       request->ip[request->length - length] == (answer->is_ipv6 ? 128 : 8) &&
	       memcmp(icmp + 4, request->ip + request->length - length + 4, length - 4) == 0;
}

/* A "too big" whose quote is the start of the packet. */
static bool is_error_of(const struct view *answer, const struct view *packet, const uint8_t *icmp,
			uint32_t length)
{
	uint8_t protocol = protocol_of(packet);
	uint32_t behind = header_of(packet);

	if (length < 8 || length - 8 > packet->length ||
	    memcmp(icmp + 8, packet->ip, length - 8) != 0)
		return false;
	if (answer->is_ipv6)
		return icmp[0] == 2 && icmp[1] == 0 && answer->length <= 1280 &&
		       !(protocol == IPPROTO_ICMPV6 && packet->length > behind &&
			 packet->ip[behind] < 128);
	return icmp[0] == 3 && icmp[1] == 4 && test_load16(icmp + 4) == 0 &&
	       test_load16(icmp + 6) >= 68 && answer->length <= 576 &&
	       (test_load16(packet->ip + 6) & 0x1fff) == 0 && length - 8 >= behind &&
	       !(protocol == IPPROTO_ICMP && packet->length > behind && packet->ip[behind] != 0 &&
		 packet->ip[behind] != 8);
}

static uint16_t sum_of(const uint8_t *bytes, uint32_t length)
{
	uint8_t even[FUZZ_FRAME_MOST + 1] = { 0 };

	memcpy(even, bytes, length);
	return test_checksum(even, (length + 1) & ~1u);
}

static bool is_answer(const struct view *answer, const struct view *packet)
{
	uint32_t length = answer->length - header_of(answer), size = address_length(answer);
	const uint8_t *icmp = answer->ip + header_of(answer);
	bool is_ipv6 = answer->is_ipv6;

	if (is_ipv6 != packet->is_ipv6 || length < 8 ||
	    protocol_of(answer) != (is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return false;
	if (is_ipv6 ? fuzz_transport_sum(answer->ip, IPPROTO_ICMPV6, icmp, length) != 0
		    : sum_of(icmp, length) != 0)
		return false;
	if (memcmp(destination_of(answer), source_of(packet), size) != 0 ||
	    memcmp(source_of(answer), destination_of(packet), size) != 0 ||
	    !may_be_answered(packet))
		return false;
	return is_echo_of(answer, packet, icmp, length) ||
	       is_error_of(answer, packet, icmp, length);
}

/* Ones' complement sums are the same when they are a multiple of 0xffff apart. */
static bool has_same_sum(const uint8_t *a, const uint8_t *b, uint32_t length)
{
	return sum_of(a, length) % 0xffff == sum_of(b, length) % 0xffff;
}

/* One fragment of an echo request, turned into that of the reply. */
static bool is_answered_fragment(const struct view *answer, const struct view *packet)
{
	uint32_t head = header_of(answer) + (answer->is_ipv6 ? 8 : 0),
		 size = address_length(answer);
	uint32_t length = answer->length - head, fields_at = answer->is_ipv6 ? 42 : 6;
	const uint8_t *sent = answer->ip + head, *received;

	if (answer->is_ipv6 != packet->is_ipv6 || answer->length < head + 1 ||
	    packet->length < answer->length ||
	    protocol_of(answer) != (answer->is_ipv6 ? IPPROTO_FRAGMENT : IPPROTO_ICMP) ||
	    answer->ip[answer->is_ipv6 ? 7 : 8] != 64 || !may_be_answered(packet) ||
	    memcmp(destination_of(answer), source_of(packet), size) != 0 ||
	    memcmp(source_of(answer), destination_of(packet), size) != 0)
		return false;
	received = packet->ip + packet->length - length;
	if (answer->is_ipv6
		    ? memcmp(answer->ip + 40, received - 8, 8) != 0
		    : header_of(answer) != 20 || memcmp(answer->ip + 4, packet->ip + 4, 4) != 0)
		return false;
	if ((test_load16(answer->ip + fields_at) & (answer->is_ipv6 ? 0xfff8 : 0x1fff)) != 0)
		return memcmp(sent, received, length) == 0;
	return length >= 8 && received[0] == (answer->is_ipv6 ? 128 : 8) &&
	       sent[0] == (answer->is_ipv6 ? 129 : 0) && sent[1] == 0 &&
	       has_same_sum(sent, received, 4) && memcmp(sent + 4, received + 4, length - 4) == 0;
}

/* The report for the sender of the packet inside a tunnel packet of ours that was too big. */
static bool is_relay(const struct view *answer, const struct view *packet)
{
	static const uint8_t lb_ipv4[4] = { 10, 0, 0, 5 };
	uint32_t length = answer->length - header_of(answer);
	const uint8_t *icmp = answer->ip + header_of(answer);
	struct view quoted = { .ip = icmp + 8, .is_ipv6 = answer->is_ipv6 };
	uint32_t size = address_length(answer);

	if (memcmp(destination_of(packet), packet->is_ipv6 ? fuzz_lb_ipv6 : lb_ipv4,
		   address_length(packet)) != 0 ||
	    length < 8 + header_of(&quoted) ||
	    protocol_of(answer) != (answer->is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return false;
	return icmp[0] == (answer->is_ipv6 ? 2 : 3) &&
	       answer->length <= (answer->is_ipv6 ? 1280 : 576) &&
	       memmem(packet->ip, packet->length, quoted.ip, length - 8) != NULL &&
	       memcmp(source_of(answer), destination_of(&quoted), size) == 0 &&
	       memcmp(destination_of(answer), source_of(&quoted), size) == 0;
}

static _Noreturn void refuse(const char *what, const uint8_t *received, uint32_t received_length,
			     const uint8_t *sent, uint32_t sent_length)
{
	fputs("received", stderr);
	for (uint32_t i = 0; i < received_length; i++)
		fprintf(stderr, "%s%02x", i % 32 == 0 ? "\n  " : "", received[i]);
	fputs("\nsent", stderr);
	for (uint32_t i = 0; i < sent_length; i++)
		fprintf(stderr, "%s%02x", i % 32 == 0 ? "\n  " : "", sent[i]);
	fputc('\n', stderr);
	fuzz_violation("%s", what);
}

/* Whether the frame takes the packet, whole or in part, to where its VIP's kind says. */
static bool is_forwarded(const struct view *sent, const struct view *packet)
{
	uint32_t size = address_length(sent);
	uint32_t kind = fuzz_kind_of_vip(destination_of(packet), address_length(packet));
	struct view inner = *sent;

	if (kind == 0)
		return false;
	if (kind <= 8 && (fuzz_kind_of_backend(destination_of(sent), size) != kind ||
			  !read_encapsulated(sent, kind, &inner) || !is_outer_right(sent, &inner)))
		return false;
	return is_same(&inner, packet) || is_part(&inner, packet);
}

bool fuzz_check_sent(const uint8_t *received, uint32_t received_length, const uint8_t *sent,
		     uint32_t sent_length, uint32_t mtu, bool keeps_tags)
{
	struct view packet, inner, leaving;
	uint32_t packet_at, leaving_at;
	bool is_tunnel, has_own_tags, has_right_tags;

	if (!read_frame(received, received_length, &packet, &packet_at))
		refuse("a broken packet is sent", received, received_length, sent, sent_length);
	if (!read_frame(sent, sent_length, &leaving, &leaving_at) ||
	    leaving_at + leaving.length != sent_length)
		refuse("its IP header is wrong", received, received_length, sent, sent_length);
	has_own_tags =
		leaving_at == packet_at && memcmp(sent + 12, received + 12, leaving_at - 14) == 0;
	has_right_tags = keeps_tags ? has_own_tags
				    : leaving_at == 14 + sizeof(fuzz_egress_tags) &&
					      memcmp(sent + 12, fuzz_egress_tags,
						     sizeof(fuzz_egress_tags)) == 0;
	if (!has_own_tags && !has_right_tags)
		refuse("its VLAN tags are others", received, received_length, sent, sent_length);
	is_tunnel = read_tunnel(&packet, &inner);
	/* Answers go back to where a packet came from: their length is is_answer's to check. */
	if (has_own_tags && is_relay(&leaving, &packet))
		return false;
	if (leaving.length > mtu &&
	    (is_forwarded(&leaving, &packet) || (is_tunnel && is_forwarded(&leaving, &inner))))
		refuse("it exceeds the MTU", received, received_length, sent, sent_length);
	if (has_right_tags &&
	    (is_forwarded(&leaving, &packet) || (is_tunnel && is_forwarded(&leaving, &inner))))
		return true;
	if (!has_own_tags ||
	    (!is_answer(&leaving, &packet) && !(is_tunnel && is_answer(&leaving, &inner)) &&
	     !is_answered_fragment(&leaving, &packet) &&
	     !(is_tunnel && is_answered_fragment(&leaving, &inner))))
		refuse("it is neither the packet nor an answer to it", received, received_length,
		       sent, sent_length);
	return false;
}
