# SPDX-License-Identifier: BSD-2-Clause
"""One frame in, and what becomes of it: a table."""

import pytest
from frames import (ARP, BACKENDS, CLIENT, CLIENT_MAC, CONFIGURATION, DNS_VIP, HTTP_VIP, ICMP, IP, IPv6,
                    LB, LB_MAC, TCP, UDP, Dot1Q, Ether, Raw, encapsulated, ethernet, raw, tcp, udp)
from replay import replay

FORWARD, KERNEL = "forward", "kernel"


def with_bytes(frame, offset, data):
    """The frame with some bytes replaced."""
    return frame[:offset] + data + frame[offset + len(data) :]


def with_ip(frame, offset, data):
    """The same in the IPv4 header, with its checksum made right again."""
    packet = IP(with_bytes(frame, 14 + offset, data)[14:])
    del packet.chksum
    return frame[:14] + raw(packet)


def table():
    """(name, frame, FORWARD, KERNEL or a reason)"""
    for flags in ("S", "A", "PA", "FA", "R", "RA", "SA", ""):
        yield f"tcp-{flags or 'no'}-flags", tcp(flags=flags), FORWARD
    for length in (0, 1, 2, 3, 10, 100, 535, 536, 1000, 1435, 1436):
        yield f"tcp-payload-{length}", tcp(flags="A", payload=b"x" * length), FORWARD
        yield f"udp-payload-{length}", udp(payload=b"x" * length), FORWARD
    for tos in (0, 1, 2, 3, 0x2E << 2, 0xFF):
        yield f"tos-{tos}", tcp(tos=tos), FORWARD
    for ttl in (1, 2, 64, 255):
        yield f"ttl-{ttl}", tcp(ttl=ttl), FORWARD
    yield "dont-fragment", tcp(flags="A", id=7), FORWARD
    yield "reserved-flag", with_ip(tcp(), 6, b"\x80\0"), FORWARD
    for padding in (1, 6, 20, 300):
        yield f"padding-{padding}", tcp() + b"\xee" * padding, FORWARD
    for count in (1, 5, 10):
        frame = ethernet(IP(src=CLIENT, dst=HTTP_VIP, options=[b"\x01"] * (4 * count))
                         / TCP(sport=1, dport=80))
        yield f"ip-options-{4 * count}", frame, FORWARD
    for words in (6, 15):
        frame = ethernet(IP(src=CLIENT, dst=HTTP_VIP)
                         / TCP(sport=1, dport=80, options=[("NOP", None)] * (4 * words - 20)))
        yield f"tcp-header-{words}", frame, FORWARD
    yield "prefix-first", tcp("192.0.2.0", 1234), FORWARD
    yield "prefix-last", udp("192.0.2.255", 9), FORWARD
    yield "udp-checksum-0", ethernet(IP(src=CLIENT, dst=DNS_VIP) / UDP(sport=1, dport=53, chksum=0)
                                     / Raw(b"x")), FORWARD
    yield "bad-tcp-checksum", with_bytes(tcp(), 14 + 20 + 16, b"\xde\xad"), FORWARD

    yield "other-port", tcp(port=81), KERNEL
    yield "other-protocol", udp(HTTP_VIP, 80), KERNEL
    yield "other-address", tcp("203.0.113.11"), KERNEL
    yield "own-address", tcp(LB, 22), KERNEL
    yield "beside-prefix", tcp("192.0.3.0", 1234), KERNEL
    yield "echo-to-lb", ethernet(IP(src=CLIENT, dst=LB) / ICMP()), KERNEL
    yield "arp", ethernet(ARP(), destination="ff:ff:ff:ff:ff:ff"), KERNEL
    yield "arp-unicast", ethernet(ARP()), KERNEL
    yield "ipv6-elsewhere", ethernet(IPv6(src="2001:db8:1::7", dst="2001:db8::99") / TCP()), KERNEL
    yield "ipv6-no-next-header", ethernet(IPv6(dst="2001:db8::99", nh=59)), KERNEL
    yield "ipv6-mapped-vip", ethernet(IPv6(dst=f"::ffff:{HTTP_VIP}") / TCP(dport=80)), KERNEL
    yield "lldp", ethernet(Raw(b"x" * 50), destination="01:80:c2:00:00:0e", type=0x88CC), KERNEL
    yield "no-payload", ethernet(Raw(b""), type=0x88B5), KERNEL
    yield "broadcast", ethernet(IP(src=CLIENT, dst=HTTP_VIP) / TCP(dport=80),
                                destination="ff:ff:ff:ff:ff:ff"), KERNEL
    yield "multicast", ethernet(IP(src=CLIENT, dst=HTTP_VIP) / TCP(dport=80),
                                destination="01:00:5e:00:00:01"), KERNEL
    yield "broken-tcp-elsewhere", tcp(LB)[: 14 + 20 + 20][:-10], "ipv4_length"
    yield "short-tcp-elsewhere", with_ip(tcp(LB), 2, b"\0\x19"), KERNEL
    yield "protocol-99", ethernet(IP(src=CLIENT, dst="192.0.2.1", proto=99) / Raw(bytes(20))), FORWARD
    yield "protocol-99-of-a-port", ethernet(IP(src=CLIENT, dst=HTTP_VIP, proto=99) / Raw(bytes(20))), KERNEL

    for length in (0, 1, 6, 13):
        yield f"frame-of-{length}", tcp()[:length], "ethernet_truncated"
    for length in (14, 15, 20, 33):
        yield f"cut-at-{length}", tcp()[:length], "ipv4_truncated"
    yield "cut-in-options", ethernet(IP(dst=HTTP_VIP, options=[b"\x01"] * 40))[:40], "ipv4_truncated"
    yield "version-5", with_bytes(tcp(), 14, b"\x55"), "ipv4_header"
    yield "version-6", with_bytes(tcp(), 14, b"\x65"), "ipv4_header"
    for words in (0, 1, 4):
        yield f"header-length-{words}", with_bytes(tcp(), 14, bytes([0x40 | words])), "ipv4_header"
    yield "length-0", with_bytes(tcp(), 16, b"\0\0"), "ipv4_length"
    yield "length-19", with_bytes(tcp(), 16, b"\0\x13"), "ipv4_length"
    yield "length-beyond", with_bytes(tcp(), 16, b"\0\x29"), "ipv4_length"
    yield "length-65535", with_bytes(tcp(), 16, b"\xff\xff"), "ipv4_length"
    yield "bad-checksum", with_bytes(tcp(), 24, b"\0\0"), "ipv4_checksum"
    yield "bad-checksum-elsewhere", with_bytes(tcp(LB), 24, b"\0\0"), "ipv4_checksum"
    for length in (20, 21, 27, 28, 33, 39):
        yield f"tcp-cut-at-{length - 20}", with_ip(tcp(), 2, bytes([0, length])), "tcp_header"
    yield "tcp-offset-4", with_bytes(tcp(), 14 + 20 + 12, b"\x40"), "tcp_header"
    yield "tcp-offset-beyond", with_bytes(tcp(), 14 + 20 + 12, b"\x60"), "tcp_header"
    for length in (20, 27):
        yield f"udp-cut-at-{length - 20}", with_ip(udp(), 2, bytes([0, length])), "udp_header"
    yield "udp-length-7", with_bytes(udp(), 14 + 20 + 4, b"\0\x07"), "udp_header"
    yield "udp-length-0", with_bytes(udp(), 14 + 20 + 4, b"\0\0"), "udp_header"
    yield "udp-length-beyond", with_bytes(udp(), 14 + 20 + 4, b"\0\x11"), "udp_header"
    yield "first-fragment", tcp(flags="A", frag=0) and with_ip(tcp(), 6, b"\x20\0"), "fragment"
    yield "middle-fragment", with_ip(tcp(), 6, b"\x20\x10"), "fragment"
    yield "last-fragment", with_ip(tcp(), 6, b"\0\x10"), "fragment"
    yield "fragment-of-other-port", with_ip(tcp(port=81), 6, b"\x20\0"), "fragment"
    yield "fragment-elsewhere", with_ip(tcp(LB), 6, b"\x20\0"), KERNEL
    yield "no-backend", tcp("203.0.113.99"), "no_backend"


TABLE = list(table())


@pytest.fixture(scope="module")
def replayed():
    """All frames of the table in one run; they are too different to disturb each other."""
    return replay(CONFIGURATION, [frame for _, frame, _ in TABLE])


def test_totals(replayed):
    assert replayed.status == 0, replayed.stderr
    summary = replayed.summary
    expected = [verdict for _, _, verdict in TABLE]
    assert summary["frames"] == len(TABLE)
    assert summary["forwarded"] == len(replayed.sent) == expected.count(FORWARD)
    assert summary["slow_path"] == len(replayed.slow_path) == expected.count(KERNEL)
    assert summary["dropped"]["total"] == len(replayed.drops)
    assert sum(summary["dropped"]["by_reason"].values()) == len(replayed.drops)
    assert sum(entry["frames"] for entry in summary["backends"]) == summary["forwarded"]


def ticks(number):
    """The time that replay.write_capture gives to frame `number`, in microseconds."""
    return round((1000 + number / 1000) * 10**6)


@pytest.mark.parametrize("number", range(len(TABLE)), ids=[name for name, _, _ in TABLE])
def test_frame(replayed, number):
    _, frame, verdict = TABLE[number]
    sent = [data for time, data in replayed.sent if time == ticks(number)]
    kernel = [data for time, data in replayed.slow_path if time == ticks(number)]
    reason = replayed.drops.get(number + 1)
    if verdict == FORWARD:
        assert (kernel, reason) == ([], None)
        assert len(sent) == 1
        assert sent[0] in [encapsulated(frame, address) for address in BACKENDS.values()]
    elif verdict == KERNEL:
        assert (sent, kernel, reason) == ([], [frame], None)
    else:
        assert (sent, kernel, reason) == ([], [], verdict)
