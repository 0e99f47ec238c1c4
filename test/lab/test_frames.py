# SPDX-License-Identifier: BSD-2-Clause
"""One frame at a time through a running fluxpin: the table of verdicts in docs/architecture.md, and
the bytes of what it sends. Frames are made by hand and sent from the router's end of the link."""

import socket
import struct

import pytest
from link_frames import answer, assert_encapsulated, ethernet, fix_neighbours, ip, send, tampered
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP
from scapy.packet import Raw

from fluxpin import WORKER_OUTCOMES, Fluxpin, configuration, vips
from lab import Lab

WEB, HOST, WIDE, SILENT = "10.1.0.11", "10.1.0.12", "10.1.0.13", "10.0.0.99"
EMPTY_VIP, SILENT_VIP = "203.0.113.20", "203.0.113.21"


def pools_and_vips(lab):
    """One pool per way to match, so that the outer destination tells which VIP it was."""
    def one(name, address, **more):
        return {"name": name, "encapsulation": "gre",
                "backends": [{"name": name, "address": address, **more}]}

    pools = [one("web", WEB), one("host", HOST), one("wide", WIDE), one("silent", SILENT),
             one("empty", WEB, weight=0)]
    prefix = {"name": "wide", "address": "192.0.2.0/24", "protocol": "any", "port": 0,
              "pool": "wide"}
    more = [
        prefix,
        {**prefix, "name": "host", "address": "192.0.2.7", "pool": "host"},
        {**prefix, "name": "exact", "address": "192.0.2.7", "protocol": "tcp", "port": 80,
         "pool": "web"},
        {**prefix, "name": "empty", "address": EMPTY_VIP, "pool": "empty"},
        {**prefix, "name": "silent", "address": SILENT_VIP, "pool": "silent"},
    ]
    return pools, vips(lab, fragments=False) + more


@pytest.fixture(scope="module")
def lab():
    with Lab(backends=0, servers=False, endpoint=None) as built:
        fix_neighbours(built)
        # Nor does the router report, seconds later, that there is no backend.
        built.router.ip(*(f"neigh replace {each} lladdr 02:99:99:99:99:98 dev br0 nud permanent"
                          for each in (WEB, HOST, WIDE)))
        yield built


@pytest.fixture(params=["copy", "skb"])
def fluxpin(request, lab):
    text = configuration(*pools_and_vips(lab))
    with Fluxpin(lab, text, mode=request.param, interval="20ms") as running:
        yield running


def outcomes(metrics):
    """{"forwarded", "slow_path", "answered" or the reason of a drop: packets}."""
    found = metrics.by_label(WORKER_OUTCOMES[3], "reason")
    for name in WORKER_OUTCOMES[:3]:
        found[name.removeprefix("fluxpin_worker_").removesuffix("_packets_total")] = (
            metrics.sum(name))
    return found


def outcome_of(lab, fluxpin, frame):
    """What became of one frame: the outcomes that were counted since."""
    before = outcomes(fluxpin.metrics())
    received = fluxpin.metrics().sum("fluxpin_worker_received_packets_total")
    send(lab, frame)
    fluxpin.wait_for(
        lambda metrics: metrics.sum("fluxpin_worker_received_packets_total") > received
        and sum(outcomes(metrics).values()) > sum(before.values()))
    now = outcomes(fluxpin.wait_for_metrics())
    return {name: count - before[name] for name, count in now.items() if count != before[name]}


def cases(lab):
    """name: (frame, outcome)"""
    web, dns = lab.http_vip, lab.dns_vip
    tcp, udp = TCP(sport=4000, dport=80), UDP(sport=4000, dport=53) / Raw(b"hello")
    good = bytes(ethernet(lab) / ip(web) / tcp)
    other = "02:99:99:99:99:99"

    def to(address, payload=tcp, **more):
        return ethernet(lab) / ip(address, **more) / payload

    return {
        "TCP": (to(web), "forwarded"),
        "UDP": (to(dns, udp), "forwarded"),
        "every port of a prefix": (to("192.0.2.9", UDP(sport=1, dport=2)), "forwarded"),
        "largest": (to(dns, UDP(sport=1, dport=53) / Raw(bytes(1576 - 28))), "forwarded"),
        "another port": (to(web, TCP(dport=81)), "slow_path"),
        "another protocol": (to(web, UDP(dport=80)), "slow_path"),
        "another address": (to("203.0.113.11"), "slow_path"),
        "the LB's own address": (to(lab.lb.address, ICMP()), "slow_path"),
        "another station": (ethernet(lab, dst=other) / ip(web) / tcp, "slow_path"),
        "broadcast": (ethernet(lab, dst="ff:ff:ff:ff:ff:ff") / ip(web) / tcp, "slow_path"),
        "ARP": (ethernet(lab) / ARP(psrc="10.0.0.1", pdst="10.0.0.77"), "slow_path"),
        "IPv6": (ethernet(lab) / IPv6(src="fd00::1", dst="fd00::2") / tcp, "slow_path"),
        "Ethernet alone": (ethernet(lab, type=0x800), "ipv4_truncated"),
        "header cut": (good[:33], "ipv4_truncated"),
        "version 6": (tampered(good, 14, b"\x65"), "ipv4_header"),
        "header of 16 bytes": (tampered(good, 14, b"\x44"), "ipv4_header"),
        "longer than the frame": (to(web, len=41), "ipv4_length"),
        "shorter than its header": (to(web, len=19), "ipv4_length"),
        "checksum": (to(web, chksum=0x1234), "ipv4_checksum"),
        "TCP header cut": (to(web, len=39), "tcp_header"),
        "TCP offset 4": (to(web, TCP(dport=80, dataofs=4)), "tcp_header"),
        "TCP offset beyond": (to(web, TCP(dport=80, dataofs=6)), "tcp_header"),
        "UDP header cut": (to(dns, udp, len=27), "udp_header"),
        "UDP length 7": (to(dns, UDP(dport=53, len=7)), "udp_header"),
        "UDP length beyond": (to(dns, UDP(dport=53, len=9)), "udp_header"),
        "first fragment": (to(web, flags="MF"), "fragment"),
        "later fragment": (to(web, frag=3), "fragment"),
        "fragment to another address": (to("203.0.113.11", flags="MF"), "slow_path"),
        "no backend": (to(EMPTY_VIP), "no_backend"),
        "no next hop": (to(SILENT_VIP), "no_next_hop"),
    }


def test_each_frame_has_its_verdict(lab, fluxpin):
    found = {}
    for name, (frame, expected) in cases(lab).items():
        outcome = outcome_of(lab, fluxpin, frame)
        if outcome != {expected: 1}:
            found[name] = outcome
    assert not found
    fluxpin.assert_balanced()


def forwarded(lab, frame):
    """What arrives at the router for one frame that is sent."""
    return answer(lab, lab.router, "lb", frame, lambda each: each[23] == 47)


def test_bytes_of_forwarded_frames(lab, fluxpin):
    full = UDP(sport=1, dport=53) / Raw(bytes(range(256)) * 5)
    frames = {
        "small": (ip(lab.dns_vip) / UDP(sport=1, dport=53), WEB),
        "TOS, TTL, options": (
            ip(lab.dns_vip, tos=0xB9, ttl=3, id=7, options=[b"\x01" * 12]) / full, WEB),
        "padding": (ip(lab.http_vip) / TCP(dport=80), WEB),
        "any port of a prefix": (ip("192.0.2.200") / TCP(dport=80), WIDE),
        "longest prefix": (ip("192.0.2.7") / UDP(dport=80), HOST),
        "exact port": (ip("192.0.2.7") / TCP(dport=80), WEB),
        "port 0 beside it": (ip("192.0.2.7") / TCP(dport=81), HOST),
    }
    for name, (packet, backend) in frames.items():
        sent = bytes(ethernet(lab) / packet) + (b"\xa5" * 30 if name == "padding" else b"")
        got = forwarded(lab, sent)
        assert_encapsulated(lab, sent, got, lab.lb.address, backend)
    text = configuration(*pools_and_vips(lab), source_address={"ipv4": "10.0.0.77"})
    assert fluxpin.reload(text)
    sent = bytes(ethernet(lab) / ip(lab.dns_vip) / UDP(sport=1, dport=53))
    assert_encapsulated(lab, sent, forwarded(lab, sent), "10.0.0.77", WEB)


def test_a_flow_over_reloads(lab, fluxpin):
    """A drained backend keeps a flow but for a new SYN; a removed one loses it, once."""
    def reload(*backends, pool="web"):
        pools, every = pools_and_vips(lab)
        every[0]["pool"] = pool
        pools[0]["backends"] = [
            {"name": address, "address": address, "weight": weight}
            for address, weight in backends
        ]
        assert fluxpin.reload(configuration(pools, every))

    def backend_of(flags):
        frame = ethernet(lab) / ip(lab.http_vip) / TCP(sport=4711, dport=80, flags=flags)
        return socket.inet_ntoa(forwarded(lab, bytes(frame))[30:34])

    def lookups():
        found = fluxpin.wait_for_metrics().by_label("fluxpin_connection_lookups_total", "result")
        return found["hit"], found["miss"], found["stale"]

    reload((WEB, 100))
    assert (backend_of("S"), lookups()) == (WEB, (0, 0, 0))
    assert (backend_of("A"), lookups()) == (WEB, (1, 0, 0))
    reload((WEB, 0), (HOST, 100))
    assert (backend_of("A"), lookups()) == (WEB, (2, 0, 0)), "drained"
    assert (backend_of("S"), lookups()) == (HOST, (2, 0, 0)), "a new connection"
    assert (backend_of("A"), lookups()) == (HOST, (3, 0, 0))
    reload((WIDE, 100))
    assert (backend_of("A"), lookups()) == (WIDE, (3, 0, 1)), "removed"
    reload((WIDE, 0), (WEB, 100))
    assert (backend_of("A"), lookups()) == (WIDE, (4, 0, 1)), "recorded again"
    reload((WEB, 100))
    assert (backend_of("A"), lookups()) == (WEB, (4, 0, 2))
    reload((WEB, 100), pool="host")
    assert (backend_of("FA"), lookups()) == (HOST, (4, 0, 3)), "the VIP has another pool"
    fluxpin.assert_balanced()


def test_syn_flood_evicts_only_what_has_sent_no_more(lab):
    """8000 SYNs into a table of 1024: they push out each other, and no established flow."""
    pools, every = pools_and_vips(lab)
    text = configuration(pools, every, connections={"capacity": 1024})
    with Fluxpin(lab, text, queues="0-1", interval="20ms") as fluxpin:

        def burst(flags, ports):
            frame = bytes(ethernet(lab) / ip(lab.http_vip) / TCP(dport=80, flags=flags))
            send(lab, *(tampered(frame, 34, struct.pack("!H", number)) for number in ports))

        burst("S", range(1000, 1100))
        burst("A", range(1000, 1100))
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_connection_evictions_total") == 0
        burst("S", range(2000, 10000))
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_connections") <= 2048
        assert metrics.sum("fluxpin_connection_evictions_total") > 5000
        assert metrics.sum("fluxpin_connection_lookups_total", result="hit") == 100
        burst("A", range(1000, 1100))
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_connection_lookups_total", result="hit") == 200
        assert metrics.sum("fluxpin_connection_lookups_total", result="miss") == 0
