/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of all kinds. A record is a byte of what is made right, and a frame:
 *
 *     bits 0 to 3: 0 nothing, else the destination becomes the VIP of that kind
 *     bit 4   the IP length is what follows         bit 5   the IPv4 header's checksum is right
 *     bit 6   so are the UDP length and the TCP data offset
 */
#include <netinet/in.h>
#include <string.h>

#include "../unit/packets.h"
#include "harness.h"

static void mend_transport(uint8_t *l4, uint32_t length, uint8_t protocol)
{
	if (protocol == IPPROTO_UDP && length >= 8)
		test_store16(l4 + 4, length);
	else if (protocol == IPPROTO_TCP && length >= 20)
		l4[12] = (uint8_t)(5 << 4 | (l4[12] & 0x0f));
}

static void mend(uint8_t *ip, uint32_t length, bool is_ipv6, uint8_t what)
{
	uint32_t header = is_ipv6 ? 40 : (ip[0] & 0x0fu) * 4;

	if (length < 40 || header < 20 || header > length)
		return;
	if (what & 0x0f)
		fuzz_vip(is_ipv6, (what & 0x0f) % (FUZZ_KINDS + 1), ip + (is_ipv6 ? 24 : 16));
	if (what & 0x10)
		test_store16(ip + (is_ipv6 ? 4 : 2), length - (is_ipv6 ? 40 : 0));
	if (what & 0x40)
		mend_transport(ip + header, length - header, ip[is_ipv6 ? 6 : 9]);
	if (what & 0x20 && !is_ipv6)
		test_fix_checksum(ip);
}

static uint32_t build(const uint8_t *data, uint32_t size, uint8_t *frame)
{
	uint32_t at = FUZZ_ETHERNET;

	if (size < 1)
		return FUZZ_NO_FRAME;
	memcpy(frame, data + 1, --size);
	while (at + 4 <= size && at < 2 * FUZZ_ETHERNET &&
	       (test_load16(frame + at - 2) == 0x8100 || test_load16(frame + at - 2) == 0x88a8))
		at += 4;
	if (size > at && test_load16(frame + at - 2) == 0x0800)
		mend(frame + at, size - at, false, data[0]);
	else if (size > at && test_load16(frame + at - 2) == 0x86dd)
		mend(frame + at, size - at, true, data[0]);
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_run(data, size, build);
}
