/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP and ICMPv6 to a VIP. A record is four bytes and the rest of the message:
 *
 *     0  bit 0: ICMPv6; bit 1: the rest is the quoted packet, else all behind the checksum;
 *        bit 2: the quote's IP header is made right; bit 3: the checksum is left wrong
 *     1  the kind of the VIP
 *     2  type    3  code
 */
#include <netinet/in.h>
#include <string.h>

#include "../unit/packets.h"
#include "harness.h"

#define HEADER 8

/* The quoted packet is one from the VIP: its addresses, version and checksum. */
static void mend_quote(uint8_t *quote, uint32_t length, bool is_ipv6, uint32_t kind)
{
	if (length < (is_ipv6 ? 40u : 20u))
		return;
	quote[0] = is_ipv6 ? 0x60 : 0x40 | (quote[0] & 0x0f);
	fuzz_vip(is_ipv6, kind, quote + (is_ipv6 ? 8 : 12));
	if (!is_ipv6 && (quote[0] & 0x0f) * 4u <= length && (quote[0] & 0x0f) >= 5)
		test_fix_checksum(quote);
}

static uint32_t build(const uint8_t *data, uint32_t size, uint8_t *frame)
{
	uint8_t source[16], vip[16], *message;
	uint32_t length, sum, room;
	bool is_ipv6, is_quote;

	if (size < 4)
		return FUZZ_NO_FRAME;
	is_ipv6 = data[0] & 1;
	is_quote = data[0] & 2;
	fuzz_client(is_ipv6, 7, source);
	fuzz_vip(is_ipv6, 1 + data[1] % FUZZ_KINDS, vip);
	message = frame + fuzz_header(is_ipv6);
	room = FUZZ_FRAME_MOST - fuzz_header(is_ipv6) - HEADER;
	memset(message, 0, HEADER);
	message[0] = data[2];
	message[1] = data[3];
	length = size - 4 < room ? size - 4 : room;
	memcpy(message + (is_quote ? HEADER : 4), data + 4, length);
	if (is_quote && data[0] & 4)
		mend_quote(message + HEADER, length, is_ipv6, 1 + data[1] % FUZZ_KINDS);
	length += is_quote ? HEADER : 4;
	fuzz_write_headers(frame, is_ipv6, is_ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, source, vip,
			   length);
	if (data[0] & 8)
		return fuzz_header(is_ipv6) + length;
	message[2] = message[3] = 0;
	message[length] = 0;
	sum = is_ipv6 ? fuzz_transport_sum(frame + FUZZ_ETHERNET, IPPROTO_ICMPV6, message, length)
		      : test_checksum(message, (length + 1) & ~1u);
	test_store16(message + 2, sum);
	return fuzz_header(is_ipv6) + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_run(data, size, build);
}
