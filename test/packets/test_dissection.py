# SPDX-License-Identifier: BSD-2-Clause
"""Every frame that leaves, dissected by tshark: its outer header is right, and behind it is found
what was found in the frame that came in."""

import struct

import frames as ipv4
import pytest
import test_ipv6
import test_verdicts
from dissect import ABSENT, GOOD, dissect
from ipv6 import ipv6
from outer import CONFIGURATION, KINDS, outer_ip, packet
from replay import replay

BY_NAME = {kind.name: kind for kind in KINDS}


def check(frames, kinds, configuration):
    """Replays frames of which each one has to leave by its kind; dissects both sides."""
    result = replay(configuration, frames, "--mtu", 1500)
    assert result.status == 0, result.stderr
    assert len(result.sent) == len(frames)
    before, after = dissect(frames), dissect([data for _, data in result.sent])
    for kind, came, left in zip(kinds, before, after, strict=True):
        inside = {"gre": ["gre"], "ipip": [], "gue": ["udp", "gue"], "l2": []}[kind.encapsulation]
        outer = [{4: "ip", 6: "ipv6"}[kind.outer], *inside]
        ip_checksums = [GOOD] if kind.outer == 4 else []
        udp_checksums = []
        if kind.encapsulation == "l2":
            outer, ip_checksums = [], []
        if kind.encapsulation == "gue":
            udp_checksums = [GOOD if kind.udp_checksum else ABSENT]
            assert left.gue == [0, 0, 0, {"ip": 4, "ipv6": 41}[came.protocols[0]], 0]
        assert left.protocols == outer + came.protocols
        assert left.ip_checksums == ip_checksums + came.ip_checksums
        assert left.udp_checksums == udp_checksums + came.udp_checksums
        assert left.is_malformed == came.is_malformed
    return before


def test_verdict_table():
    frames = [frame for _, frame, verdict in test_verdicts.TABLE if verdict == test_verdicts.FORWARD]
    configuration = ipv4.CONFIGURATION
    came = check(frames, [BY_NAME["gre-in-4"]] * len(frames), configuration)
    assert not any(each.is_malformed for each in came)
    assert all(GOOD in each.ip_checksums for each in came)


def test_ipv6_table():
    # Those of every protocol have zeros for its header.
    frames = [frame for name, frame, verdict in test_ipv6.TABLE
              if verdict == test_ipv6.FORWARD and not name.startswith("next-")]
    came = check(frames, [test_ipv6.GRE6] * len(frames), test_ipv6.CONFIGURATION)
    # Only tables of malformed packets have some: these leave because UDP lengths may be short.
    assert sum(each.is_malformed for each in came) == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_encapsulations(kind):
    frames = [packet(kind, inner, b"x" * length, protocol, traffic_class)
              for inner in (4, 6) for protocol in ("tcp", "udp")
              for length, traffic_class in [(n, 5 * n) for n in range(50)] + [(1300, 255), (1301, 1)]]
    came = check(frames, [kind] * len(frames), CONFIGURATION)
    assert not any(each.is_malformed for each in came)
    assert {value for each in came for value in each.udp_checksums} == {GOOD}


def test_gue_dissector_itself():
    """What fluxpin does not send: options, control messages, variant 1, cut headers, noise."""
    kind = BY_NAME["gue-in-4"]
    inner = packet(kind, 4, protocol="udp")[14:]
    inner6 = packet(kind, 6, protocol="udp")[14:]

    def gue(payload):
        datagram = struct.pack("!HHHH", 50000, 6080, 8 + len(payload), 0) + payload
        return b"\2" + bytes(11) + b"\x08\0" + outer_ip(kind, 17, 0, datagram)

    seen = dissect([gue(data) for data in (
        b"\0\4\0\0" + inner, b"\0\x29\0\0" + inner6, b"\2\4\x12\x34" + bytes(8) + inner,
        b"\x20\1\0\0" + inner, inner, inner6, b"\0\xfd\0\0rest", b"\0\4\0\0", b"\0\4", b"\x1f\4\0\0abc",
        b"\xff\xff", b"")])
    assert [each.protocols[2:] for each in seen] == [
        ["gue", "ip", "udp", "data"], ["gue", "ipv6", "udp", "data"], ["gue", "ip", "udp", "data"],
        ["gue", "data"], ["gue", "ip", "udp", "data"], ["gue", "ipv6", "udp", "data"],
        ["gue", "data"], ["gue"], ["gue"], ["gue"], ["gue", "data"], []]
    assert seen[2].gue == [0, 0, 2, 4, 0x1234]
    assert seen[3].gue == [0, 1, 0, 0]


def test_the_check_sees_what_is_wrong():
    """tshark's marks do arrive: broken frames are told."""
    good = packet(BY_NAME["gue-in-4"], 4, protocol="udp")
    bad_ip, bad_udp = (good[:at] + b"\xde\xad" + good[at + 2 :] for at in (24, 40))
    cut = ipv6("2001:db8::1", (), 6, bytes(10))
    seen = dissect([good, bad_ip, bad_udp, cut])
    assert (seen[0].ip_checksums, seen[0].udp_checksums, seen[0].is_malformed) == (["1"], ["1"], False)
    assert seen[1].ip_checksums == ["0"] and seen[2].udp_checksums == ["0"]
    assert seen[3].is_malformed
