/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tunnels to the load balancer. A record is two bytes and what follows the outer header:
 *
 *     0  bit 0: IPv6 outside; bits 1 to 3: GRE, IPv4, IPv6, UDP to GUE's port, UDP with a right
 *        checksum, GRE with its header made for the rest; bit 4: from an address that is not listed
 *     1  of GUE: the low bits of the source port
 */
#include <netinet/in.h>
#include <string.h>

#include "../unit/packets.h"
#include "harness.h"

enum {
	GRE,
	IPV4,
	IPV6,
	GUE,
	GUE_SUM,
	GRE_MADE,
	TUNNELS
};

#define UDP_HEADER 8
#define GRE_HEADER 4

static uint32_t write_tunnel(uint8_t *tunnel, uint32_t which, uint8_t first, uint8_t port)
{
	switch (which) {
	case GRE_MADE:
		test_store16(tunnel, 0);
		test_store16(tunnel + 2, first >> 4 == 6 ? 0x86dd : 0x0800);
		return GRE_HEADER;
	case GUE:
	case GUE_SUM:
		test_store16(tunnel, 0xc000u + port);
		test_store16(tunnel + 2, 6080);
		return UDP_HEADER;
	default:
		return 0;
	}
}

static uint32_t build(const uint8_t *data, uint32_t size, uint8_t *frame)
{
	static const uint8_t protocols[TUNNELS] = { IPPROTO_GRE, IPPROTO_IPIP, IPPROTO_IPV6,
						    IPPROTO_UDP, IPPROTO_UDP,  IPPROTO_GRE };
	uint8_t source[16] = { 10, 9, 0, 1 }, lb[16] = { 10, 0, 0, 5 }, *tunnel;
	uint32_t which, length, room, written, sum;
	bool is_ipv6;

	if (size < 2)
		return FUZZ_NO_FRAME;
	is_ipv6 = data[0] & 1;
	which = (data[0] >> 1 & 7) % TUNNELS;
	if (is_ipv6) {
		memcpy(source, fuzz_tunnel_ipv6, 16);
		memcpy(lb, fuzz_lb_ipv6, 16);
	}
	if (data[0] & 0x10)
		fuzz_client(is_ipv6, 7, source);
	tunnel = frame + fuzz_header(is_ipv6);
	length = write_tunnel(tunnel, which, size > 2 ? data[2] : 0, data[1]);
	room = FUZZ_FRAME_MOST - fuzz_header(is_ipv6) - length;
	if (size - 2 < room)
		room = size - 2;
	memcpy(tunnel + length, data + 2, room);
	length += room;
	if (which == GUE || which == GUE_SUM) {
		test_store16(tunnel + 4, length);
		test_store16(tunnel + 6, 0);
	}
	written = fuzz_write_headers(frame, is_ipv6, protocols[which], source, lb, length);
	if (which == GUE_SUM) {
		sum = fuzz_transport_sum(frame + FUZZ_ETHERNET, IPPROTO_UDP, tunnel, length);
		test_store16(tunnel + 6, sum == 0 ? 0xffff : sum);
	}
	return written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_run(data, size, build);
}
