# SPDX-License-Identifier: BSD-2-Clause
"""A property over random valid packets: whatever leaves carries the packet that came, bit for bit."""

import random
import struct

import pytest
from frames import CLIENT_MAC, LB_MAC, checksum
from ipv6 import DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING, chain, header
from outer import CONFIGURATION, KINDS, address, check_sent, ip_of, kind_of, sum_of
from outputs import objections
from replay import replay

COUNT = 100000
DISSECTED = 20000
LINK = bytes.fromhex((LB_MAC + CLIENT_MAC).replace(":", ""))
MTU = 4000  # every packet fits: what becomes of others is told by tables


def transport(generator, protocol, pseudo):
    """A TCP segment or UDP datagram with random header fields and payload. The checksum is right
    but for one in ten, which is the backend's to judge."""
    # Of those that dissect.py does not look behind.
    ports = struct.pack("!HH", generator.randrange(6081, 49152), generator.randrange(6080))
    payload = generator.randbytes(generator.choice((0, 1, 2, 3, generator.randrange(1500))))
    if protocol == 6:
        options = generator.randbytes(4 * generator.randrange(11)) if generator.random() < 0.2 else b""
        options = b"\1" * len(options)
        data = (ports + generator.randbytes(8) + bytes([(5 + len(options) // 4) << 4,
                generator.randrange(256)]) + generator.randbytes(2) + bytes(4) + options + payload)
        at = 16
    else:
        data = ports + struct.pack("!HH", 8 + len(payload), 0) + payload
        at = 6
    if generator.random() < 0.1:
        return data[:at] + generator.randbytes(2) + data[at + 2 :]
    total = sum_of(pseudo + struct.pack("!IHBB", len(data), 0, 0, protocol) + data)
    if protocol == 17:
        total = total or 0xFFFF
    return data[:at] + struct.pack("!H", total) + data[at + 2 :]


def ipv4(generator, destination):
    protocol, source = generator.choice((6, 17)), b"\xc6\x33" + generator.randbytes(2)
    data = transport(generator, protocol, source + destination)
    options = b"\1" * 4 * (generator.randrange(11) if generator.random() < 0.2 else 0)
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, generator.randrange(256),
                       20 + len(options) + len(data), generator.randrange(65536),
                       generator.choice((0, 0x4000)), generator.randrange(1, 256), protocol, 0)
    head += source + destination + options
    return b"\x08\0" + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def ipv6(generator, destination):
    protocol, source = generator.choice((6, 17)), b"\x20\1\x0d\xb8" + generator.randbytes(12)
    data = transport(generator, protocol, source + destination)
    headers = []
    if generator.random() < 0.3:
        # In the order of RFC 8200 section 4.1, so that tshark has nothing to say either.
        kinds = (HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT, DESTINATION)
        headers = [header(kind, generator.randrange(3)) for kind in kinds if generator.random() < 0.4]
    number, data = chain(headers, protocol, data)
    first = 6 << 28 | generator.randrange(1 << 28)
    return b"\x86\xdd" + struct.pack("!IHBB", first, len(data), number,
                                     generator.randrange(1, 256)) + source + destination + data


@pytest.fixture(scope="module", name="frames")
def make_frames():
    generator = random.Random(6080)
    frames = []
    for _ in range(COUNT):
        kind, inner = generator.choice(KINDS), generator.choice((4, 6))
        destination = address(kind.vip(inner))
        if generator.random() < 0.1:  # nobody's
            destination = destination[:-1] + b"\xf0"
        packet = (ipv4 if inner == 4 else ipv6)(generator, destination)
        frames.append(LINK + packet + generator.randbytes(generator.choice((0, 0, 0, 1, 4, 46))))
    return frames


def is_for_vip(frame):
    try:
        return kind_of(frame) is not None
    except KeyError:
        return False


def test_inner_packets_are_untouched_and_verdicts_add_up(frames):
    result = replay(CONFIGURATION, frames, "--mtu", MTU)
    assert result.status == 0, result.stderr
    summary = result.summary
    assert summary["frames"] == COUNT == summary["forwarded"] + summary["slow_path"]
    assert summary["answered"] == summary["dropped"]["total"] == 0 and result.drops == {}
    forwarded = [frame for frame in frames if is_for_vip(frame)]
    assert len(forwarded) > 85000
    assert [data for _, data in result.slow_path] == [
        frame for frame in frames if not is_for_vip(frame)]
    sent = [data for _, data in result.sent]
    for frame, data in zip(forwarded, sent, strict=True):
        check_sent(frame, data)
    for key, sizes in (("vips", map(len, forwarded)), ("backends", map(len, sent))):
        sizes = list(sizes)
        assert sum(entry["frames"] for entry in summary[key]) == len(sizes)
        assert sum(entry["bytes"] for entry in summary[key]) == sum(sizes)
    assert not objections(dict.fromkeys(sent[:DISSECTED], CONFIGURATION))


def test_workers_change_nothing(frames):
    some, arguments = frames[:25000], ("--mtu", MTU)
    assert (replay(CONFIGURATION, some, *arguments, "--workers", 6).raw
            == replay(CONFIGURATION, some, *arguments).raw)
