# SPDX-License-Identifier: BSD-2-Clause
"""Every encapsulation, outer and inner family: the exact frame that leaves."""

import struct

import pytest
from outer import CONFIGURATION, KINDS, check_sent, ip_of, packet
from replay import replay

PAIRS = [(kind, inner) for kind in KINDS for inner in (4, 6)]
NAMES = [f"{kind.name}-of-{inner}" for kind, inner in PAIRS]
pairs = pytest.mark.parametrize("kind, inner", PAIRS, ids=NAMES)


def all_sent(frames, *arguments):
    """Replays them; all have to leave. Returns [(frame, sent)]."""
    result = replay(CONFIGURATION, frames, *arguments)
    assert result.status == 0, result.stderr
    assert (result.drops, result.slow_path) == ({}, [])
    assert result.summary["forwarded"] == len(frames)
    return list(zip(frames, [data for _, data in result.sent], strict=True))


def frames_of(kind, inner):
    """Every length up to 70, and around the powers of two and the MTU."""
    for protocol in ("tcp", "udp"):
        for length in [*range(71), 127, 128, 255, 256, 257, 511, 512, 1023, 1024, 1300, 1301]:
            payload = bytes((7 * i + length) & 0xFF for i in range(length))
            yield packet(kind, inner, payload, protocol)
        # Sums with many carries, and of nothing.
        for byte in (b"\0", b"\xff"):
            yield packet(kind, inner, byte * 1200, protocol)
            yield packet(kind, inner, byte * 1201, protocol)


@pairs
def test_exact_frames(kind, inner):
    for frame, sent in all_sent(list(frames_of(kind, inner))):
        check_sent(frame, sent)


@pairs
def test_traffic_class(kind, inner):
    """All of DSCP and ECN is copied."""
    frames = [packet(kind, inner, traffic_class=value) for value in range(256)]
    for frame, sent in all_sent(frames):
        check_sent(frame, sent)


@pairs
def test_other_header_fields_are_not_copied(kind, inner):
    """TTL, identification, flags and flow label of the outer header do not depend on the inner."""
    if inner == 4:
        fields = [{"ttl": 1}, {"ttl": 255}, {"id": 0xFFFF}, {"flags": "DF"}, {"flags": "evil"}]
    else:
        fields = [{"hlim": 1}, {"hlim": 255}, {"fl": 1}, {"fl": 0xFFFFF}]
    for frame, sent in all_sent([packet(kind, inner, **each) for each in fields]):
        check_sent(frame, sent)


@pairs
def test_padding_is_left_off(kind, inner):
    frames = [packet(kind, inner, b"") + b"\xee" * padding for padding in (1, 2, 6, 18, 300)]
    sent = [data for frame, data in all_sent(frames) if check_sent(frame, data) >= 0]
    assert len(set(sent)) == 1


@pairs
@pytest.mark.parametrize("mtu", [1500, 1501, 1280, 9000])
def test_mtu(kind, inner, mtu):
    header = {4: 20, 6: 40}[inner] + 20
    most = mtu - kind.overhead - header
    flags = {4: {"flags": "DF"}, 6: {}}[inner]
    frames = [packet(kind, inner, b"x" * length, **flags)
              for length in (most - 1, most, most + 1, most + 99)]
    assert len(ip_of(frames[1])) + kind.overhead == mtu
    result = replay(CONFIGURATION, frames, "--mtu", mtu)
    # No report asks for less than IPv6 may always send.
    told = [inner == 4 or len(ip_of(frame)) > 1280 for frame in frames[2:]]
    assert result.summary["answered"] == sum(told)
    assert result.drops == {number: "exceeds_mtu" for number, is_told in zip((3, 4), told)
                            if not is_told}
    for frame, (_, sent) in zip(frames[:2], result.sent):
        check_sent(frame, sent)
    assert len(result.sent[1][1]) == 14 + mtu


def test_mtu_beyond_64_kb():
    """The outer length fields hold 65535 bytes whatever the MTU says."""
    for kind in KINDS:
        most = 65535 - kind.overhead - 28
        frames = [packet(kind, 4, bytes(length), "udp") for length in (most, most + 1)
                  if length <= 65507]
        result = replay(CONFIGURATION, frames, "--mtu", 65535)
        check_sent(frames[0], result.sent[0][1])
        assert result.drops == {}
        assert result.summary["parts_sent"] == len(frames) - 1, kind.name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.encapsulation == "gue"],
                         ids=lambda kind: kind.name)
@pytest.mark.parametrize("inner", [4, 6])
def test_gue_source_port(kind, inner):
    """The same for all packets of a flow, and spread over flows."""
    flows = range(2000, 3000)
    at = {4: 34, 6: 54}[inner]
    frames = [frame[:at] + struct.pack("!H", port) + frame[at + 2 :]
              for frame in (packet(kind, inner, b"x" * length) for length in (0, 7, 500))
              for port in flows]
    ports = [check_sent(frame, sent) for frame, sent in all_sent(frames)]
    count = len(flows)
    assert ports[:count] == ports[count : 2 * count] == ports[2 * count :]
    # 1000 draws of 16384: 970 different ones are expected.
    assert len(set(ports)) > 930
    for bit in range(14):
        share = sum(port >> bit & 1 for port in ports[:count]) / count
        assert 0.4 < share < 0.6, f"bit {bit} does not vary"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.udp_checksum],
                         ids=lambda kind: kind.name)
def test_udp_checksum_is_never_0(kind):
    """0 would mean none: a sum of 0 is sent as 0xffff."""
    # No inner checksum: it would cancel what the payload adds to the sum.
    base = packet(kind, 4, b"\0\0odd", "udp")
    base = base[:40] + b"\0\0" + base[42:]

    def sums(words):
        frames = [base[:42] + struct.pack("!H", word) + base[44:] for word in words]
        for frame, sent in all_sent(frames):
            check_sent(frame, sent)
            yield struct.unpack_from("!H", sent, len(sent) - len(ip_of(frame)) - 4 - 2)[0]

    [missing] = sums([0])
    assert list(sums([missing - 1, missing, missing + 1])) == [1, 0xFFFF, 0xFFFE]
