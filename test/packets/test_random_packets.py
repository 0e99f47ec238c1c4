# SPDX-License-Identifier: BSD-2-Clause
"""A property over random valid packets: whatever leaves carries the packet that came, bit for bit."""

import random
import struct

import pytest
from dissect import ABSENT, GOOD, dissect
from frames import CLIENT_MAC, LB_MAC, checksum
from ipv6 import DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING, chain, header
from outer import CONFIGURATION, KINDS, address, check_sent, ip_of, kind_of, sum_of
from replay import replay

COUNT = 25000
LINK = bytes.fromhex((LB_MAC + CLIENT_MAC).replace(":", ""))
MTU = 1500


def transport(generator, protocol, pseudo):
    """A TCP segment or UDP datagram with random header fields and payload and the right checksum."""
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


def expected(frame):
    """"forward", "kernel" or "exceeds_mtu"."""
    try:
        kind = kind_of(frame)
    except KeyError:
        return "kernel"
    return "forward" if len(ip_of(frame)) + kind.overhead <= MTU else "exceeds_mtu"


def test_inner_packets_are_untouched_and_verdicts_add_up(frames):
    verdicts = [expected(frame) for frame in frames]
    result = replay(CONFIGURATION, frames)
    assert result.status == 0, result.stderr
    summary = result.summary
    assert summary["frames"] == COUNT == (summary["forwarded"] + summary["slow_path"]
                                          + summary["answered"] + summary["dropped"]["total"])
    assert verdicts.count("forward") > 20000
    assert summary["dropped"] == {"total": verdicts.count("exceeds_mtu"),
                                  "by_reason": {"exceeds_mtu": verdicts.count("exceeds_mtu")}}
    assert result.drops == {number: verdict for number, verdict in enumerate(verdicts, 1)
                            if verdict == "exceeds_mtu"}
    assert [data for _, data in result.slow_path] == [
        frame for frame, verdict in zip(frames, verdicts) if verdict == "kernel"]
    forwarded = [frame for frame, verdict in zip(frames, verdicts) if verdict == "forward"]
    sent = [data for _, data in result.sent]
    for frame, data in zip(forwarded, sent, strict=True):
        check_sent(frame, data)
    for key, sizes in (("vips", [len(frame) for frame, verdict in zip(frames, verdicts)
                                 if verdict != "kernel"]), ("backends", [len(data) for data in sent])):
        assert sum(entry["frames"] for entry in summary[key]) == len(sizes)
        assert sum(entry["bytes"] for entry in summary[key]) == sum(sizes)
    for frame, seen in zip(forwarded, dissect(sent)):
        assert not seen.is_malformed, frame.hex()
        assert set(seen.ip_checksums) <= {GOOD} and set(seen.udp_checksums) <= {GOOD, ABSENT}


def test_workers_change_nothing(frames):
    assert replay(CONFIGURATION, frames, "--workers", 6).raw == replay(CONFIGURATION, frames).raw
