# SPDX-License-Identifier: BSD-2-Clause
"""Frames under VLAN tags where the load balancer has no VLAN devices: one-armed. What is for a VIP
leaves under the tags that it came with, and so does what is for the kernel. Frames are made by
hand and sent from the router's end of the link."""

import pytest
from capture import Capture
from link_frames import (
    PAYLOAD,
    answer,
    assert_encapsulated,
    ethernet,
    fix_neighbours,
    ip,
    send,
    tagged,
    untagged,
)
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from fluxpin import WORKER_OUTCOMES, Fluxpin, configuration, vips
from lab import Lab
from namespaces import wait_until

WEB = "10.1.0.11"
# Priority, "may be dropped" and VLAN of a tag are all kept.
TAGS = {
    "802.1Q": "8100 b064",
    "802.1ad": "88a8 6001",
    "QinQ": "88a8 60c8 8100 b007",
    "802.1Q twice": "8100 0fff 8100 0001",
}


@pytest.fixture(scope="module")
def lab():
    with Lab(backends=0, servers=False, endpoint=None) as built:
        fix_neighbours(built)
        yield built


@pytest.fixture(params=["copy", "skb"])
def fluxpin(request, lab):
    pool = {"name": "web", "encapsulation": "gre", "backends": [{"name": "web", "address": WEB}]}
    with Fluxpin(lab, configuration([pool], vips(lab)), mode=request.param) as running:
        yield running


@pytest.fixture(params=TAGS)
def tags(request):
    return bytes.fromhex(TAGS[request.param])


def test_tags_of_what_is_forwarded(lab, fluxpin, tags):
    sent = bytes(ethernet(lab) / ip(lab.dns_vip, tos=0xB9) / UDP(sport=1, dport=53) / Raw(PAYLOAD))
    got = answer(lab, lab.router, "lb", tagged(sent, tags))
    assert_encapsulated(lab, sent, untagged(got, tags), lab.lb.address, WEB)
    metrics = fluxpin.assert_balanced()
    assert metrics.sum(WORKER_OUTCOMES[0]) == metrics.sum(
        "fluxpin_worker_received_packets_total") == 1


def test_tags_of_answers(lab, fluxpin, tags):
    """An echo reply, and what a sender is told whose packet is too long with the outer headers."""
    macs = lab.router.mac("lb") + lab.lb.mac()
    echo = ICMP(type=8, id=7, seq=9) / Raw(PAYLOAD)
    got = answer(lab, lab.router, "lb", tagged(ethernet(lab) / ip(lab.dns_vip) / echo, tags),
                 lambda frame: frame[6:12] == lab.lb.mac())
    got = untagged(got, tags)
    assert got[:14] == macs + b"\x08\x00" and got.endswith(PAYLOAD)
    assert IP(got[14:])[ICMP].type == 0 and IP(got[14:]).src == lab.dns_vip

    long = UDP(sport=1, dport=53) / Raw(bytes(1577 - 28))
    got = answer(lab, lab.router, "lb",
                 tagged(ethernet(lab) / ip(lab.dns_vip, flags="DF") / long, tags),
                 lambda frame: frame[6:12] == lab.lb.mac())
    got = untagged(got, tags)
    assert got[:14] == macs + b"\x08\x00"
    message = IP(got[14:])[ICMP]
    assert (message.type, message.code, message.nexthopmtu) == (3, 4, 1576)
    assert fluxpin.assert_balanced().sum(WORKER_OUTCOMES[2]) == 2


def test_parts_have_the_tags(lab, fluxpin, tags):
    """A packet that is split leaves in parts under its tags, the first one and the later ones."""
    source = lab.lb.mac()
    sent = ethernet(lab) / ip(lab.dns_vip, id=77) / UDP(sport=1, dport=53) / Raw(bytes(1577 - 28))
    with Capture(lab.router, "lb") as capture:
        def seen():
            return [each for _, each in list(capture.frames) if each[6:12] == source]

        send(lab, tagged(sent, tags))
        wait_until(lambda: len(seen()) == 2, 10, "two parts")
    offsets = [IP(untagged(each, tags)[38:]).frag * 8 for each in seen()]
    assert sorted(offsets) == [0, 1552], offsets
    assert fluxpin.assert_balanced().sum(WORKER_OUTCOMES[0]) == 1


@pytest.mark.parametrize("packet", [
    IP(src="198.51.100.10", dst="192.0.2.99") / UDP(sport=1, dport=53) / Raw(PAYLOAD),
    IPv6(src="fd00:c::10", dst="fd00::99") / UDP(sport=1, dport=53) / Raw(PAYLOAD),
], ids=["ipv4", "ipv6"])
def test_tags_of_what_is_for_the_kernel(lab, fluxpin, tags, packet):
    """Bit for bit, as if it had arrived on the NIC; the kernel has no device for these VLANs."""
    sent = tagged(ethernet(lab) / packet, tags)
    assert answer(lab, lab.lb, "eth0", sent) == sent
    metrics = fluxpin.assert_balanced()
    assert metrics.sum(WORKER_OUTCOMES[1]) >= 1
    assert metrics.sum(WORKER_OUTCOMES[0]) == 0


def test_three_tags_are_the_kernels(lab, fluxpin):
    tags = bytes.fromhex("88a8 0001 8100 0002 8100 0003")
    sent = tagged(ethernet(lab) / ip(lab.dns_vip) / UDP(sport=1, dport=53) / Raw(PAYLOAD), tags)
    assert answer(lab, lab.lb, "eth0", sent) == sent
    assert fluxpin.assert_balanced().sum(WORKER_OUTCOMES[0]) == 0
