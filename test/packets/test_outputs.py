# SPDX-License-Identifier: BSD-2-Clause
"""Every frame that any test of this folder had sent, dissected by tshark. Runs last: conftest.py."""

import frames as ipv4
import pytest
from frames import HTTP_VIP, ICMP, IP, Raw, encapsulated, ethernet, tcp
from outputs import objections
from replay import SENT, replay


def with_bytes(frame, offset, data):
    return frame[:offset] + data + frame[offset + len(data) :]


def wrong():
    """(name, frame, what is said of it)"""
    good = encapsulated(tcp(flags="A", payload=b"hello"), ipv4.BACKENDS["web-1"])
    yield "right", good, ""
    yield "outer-ttl", with_bytes(good, 22, b"\x3f"), "IPv4 checksums ['0', '1']"
    yield "outer-length", with_bytes(good, 16, b"\0\x20"), "is not ['ip', 'gre']"
    yield "gre-type", with_bytes(good, 36, b"\x86\xdd"), "is not ['ip', 'gre']"
    yield "gre-flags", with_bytes(good, 34, b"\x80"), "is not ['ip', 'gre']"
    yield "inner-checksum", with_bytes(good, 14 + 24 + 20 + 16, b"\xde\xad"), ""
    yield "inner-offset", with_bytes(good, 14 + 24 + 20 + 12, b"\xf0"), ""
    echo = ethernet(IP(src=HTTP_VIP, dst="198.51.100.7") / ICMP(type=0, id=1, seq=2) / Raw(b"x" * 20))
    yield "answer", echo, ""
    yield "answer-checksum", with_bytes(echo, 36, b"\xde\xad"), "ICMP checksums ['0']"
    yield "answer-ttl", with_bytes(echo, 22, b"\x3f"), "IPv4 checksums ['0']"
    quote = IP(src="198.51.100.7", dst=HTTP_VIP, len=1500, proto=17) / Raw(b"\1\2\0\x50\5\xc8\0\0")
    too_big = ethernet(IP(src=HTTP_VIP, dst="198.51.100.7") / ICMP(type=3, code=4, nexthopmtu=1476) / quote)
    yield "error", too_big, ""
    yield "error-without-quote", ethernet(IP(src=HTTP_VIP, dst="198.51.100.7")
                                          / ICMP(type=3, code=4)), "quotes nothing"
    plain = tcp(flags="A")
    yield "plain", plain, ""
    yield "plain-ttl", with_bytes(plain, 22, b"\x33"), "IPv4 checksums ['0']"
    yield "no-ip", plain[:12] + b"\x12\x34" + plain[14:], "is no IP packet"


WRONG = {name: (frame, said) for name, frame, said in wrong()}


@pytest.fixture(scope="module", name="said_of")
def objections_to_wrong_frames():
    found = objections({frame: ipv4.CONFIGURATION for frame, _ in WRONG.values()})
    return {name: [why for each, why in found if each == frame] for name, (frame, _) in WRONG.items()}


@pytest.mark.parametrize("name", WRONG)
def test_the_rules_see_what_is_wrong(said_of, name):
    _, said = WRONG[name]
    assert bool(said_of[name]) == bool(said), said_of[name]
    assert any(said in why for why in said_of[name]) or not said, said_of[name]


def test_frames_that_were_sent():
    if not SENT:
        replay(ipv4.CONFIGURATION, [tcp()])
    assert SENT
    found = objections(SENT)
    assert not found, "\n".join(f"{why}: {frame.hex()}" for frame, why in found[:20])
    print(f"{len(SENT)} frames")
