# SPDX-License-Identifier: BSD-2-Clause
"""fluxpin endpoint: every tunnel that the load balancer uses, IPv4 and IPv6 in IPv4 and IPv6."""

import itertools
import random

import pytest
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from endpoint_frames import (
    MODES,
    Counted,
    attached,
    capture,
    counted_frames,
    endpoint,
    ethernet,
    fix_neighbours,
    inner_udp,
    inner_udp_ipv6,
    outer,
    outer_ipv6,
    receive,
    send,
    status,
    udp_client,
)
from link_frames import tampered
from lab import CLIENT_ADDRESS, CLIENT_ADDRESS_IPV6, Lab
from namespaces import wait_until

IPIP, IPV6 = 4, 41  # protocol numbers
# Destination Options with the tunnel encapsulation limit 4, as Linux sends them; its first byte is
# the next header.
LIMIT = b"\0\x04\x01\x04\x01\x01\0"
COMBINATIONS = [
    pytest.param(tunnel, outside, inside, id=f"IPv{inside} in {tunnel} over IPv{outside}")
    for tunnel, outside, inside in itertools.product(["gre", "ipip", "gue"], [4, 6], [4, 6])
]
each_mode = pytest.mark.parametrize("mode", MODES)
each_combination = pytest.mark.parametrize("tunnel, outside, inside", COMBINATIONS)


@pytest.fixture(scope="module")
def lab():
    with Lab(backends=1, endpoint=None, ipv6=True) as built:
        fix_neighbours(built)
        wait_until(lambda: is_quiet(built), 20, "silence")
        yield built


def is_quiet(lab):
    """New IPv6 interfaces report their multicast groups for a while."""
    before = lab.backends[0].received()
    try:
        wait_until(lambda: lab.backends[0].received() != before, 1.5, "frame", 0.1)
    except TimeoutError:
        return True
    return False


def inner_of(lab, inside, *arguments, **more):
    return (inner_udp if inside == 4 else inner_udp_ipv6)(lab, *arguments, **more)


def gue(inner, first=b"\0", protocol=None, flags=b"\0\0", **more):
    protocol = (IPIP if IP in inner else IPV6) if protocol is None else protocol
    header = Raw(first + bytes([protocol]) + flags)
    return UDP(**{"sport": 50000, "dport": 6080, "chksum": 0, **more}) / header / inner


def outer_of(lab, outside, protocol, **more):
    if outside == 4:
        return outer(lab, **{"proto": protocol, **more})
    return outer_ipv6(lab, **{"nh": protocol, **more})


def wrapped(lab, tunnel, outside, inner, **more):
    """The packet that the load balancer makes of an inner one."""
    family = bytes(inner)[0] >> 4
    protocol = {"gre": 47, "ipip": {4: IPIP, 6: IPV6}[family], "gue": 17}[tunnel]
    header = outer_of(lab, outside, protocol, **more)
    if tunnel == "gre":
        return header / GRE(proto={4: 0x800, 6: 0x86DD}[family]) / inner
    return header / (gue(inner, protocol={4: IPIP, 6: IPV6}[family]) if tunnel == "gue" else inner)


def with_type(link, inner):
    """A link header's bytes in front of a packet of either family."""
    ether_type = {4: b"\x08\x00", 6: b"\x86\xdd"}[bytes(inner)[0] >> 4]
    return link[:-2] + ether_type + bytes(inner)


def decapsulated(tunnel, inside, **more):
    return {f"decapsulated_{tunnel}_ipv{inside}": 1, **more}


# Decapsulation


@each_mode
@each_combination
def test_the_servers_answer_the_client(lab, mode, tunnel, outside, inside):
    if inside == 4:
        packet = IP(src=CLIENT_ADDRESS, dst=lab.http_vip)
    else:
        packet = IPv6(src=CLIENT_ADDRESS_IPV6, dst=lab.http_vip_ipv6)
    port = 10000 + random.randrange(50000)
    syn = packet / TCP(sport=port, dport=80, seq=7)
    with attached(lab, mode), udp_client(lab, 4001, inside == 6) as client:
        with Counted(lab, **decapsulated(tunnel, inside)):
            frame = wrapped(lab, tunnel, outside, inner_of(lab, inside, 4001))
            send(lab, ethernet(lab) / frame)
            assert client.recv(100) == b"web-1 hello"
        with capture(lab.client) as sniffer:
            send(lab, ethernet(lab) / wrapped(lab, tunnel, outside, syn))
            answer = Ether(receive(sniffer))
            # Answers to earlier SYNs may be repeated.
            while TCP not in answer or answer[TCP].dport != port:
                answer = Ether(receive(sniffer))
            assert (answer.payload.src, answer[TCP].sport) == (packet.dst, 80)
            assert (answer[TCP].flags, answer[TCP].ack) == ("SA", 8)


def links(lab):
    """name: link header"""
    plain = ethernet(lab, type=0x800)
    return {
        "plain": plain,
        "802.1Q": ethernet(lab) / Dot1Q(vlan=5, prio=3, type=0x800),
        "802.1ad": ethernet(lab) / Dot1AD(vlan=6, type=0x800),
        "802.1ad, 802.1Q": ethernet(lab) / Dot1AD(vlan=7) / Dot1Q(vlan=8, prio=7, type=0x800),
        "802.1Q, 802.1Q": ethernet(lab) / Dot1Q(vlan=9) / Dot1Q(vlan=10, type=0x800),
    }


@each_mode
@each_combination
def test_tags_are_kept(lab, mode, tunnel, outside, inside):
    inner = inner_of(lab, inside)
    outer_packet = wrapped(lab, tunnel, outside, inner)
    with attached(lab, mode), capture(lab.backends[0]) as sniffer:
        for name, link in links(lab).items():
            with Counted(lab, **decapsulated(tunnel, inside)):
                send(lab, with_type(bytes(link), outer_packet))
                assert receive(sniffer) == with_type(bytes(link), inner), name


def inner_packets(lab, inside):
    """name: inner packet"""
    payload = bytes(range(256)) * 5
    if inside == 4:
        more = {"tos": 0xB8, "ttl": 37, "id": 4711}
        return {
            "plain": inner_udp(lab, **more),
            "TTL 0": inner_udp(lab, tos=0xFC, ttl=0),
            "options": inner_udp(lab, options=[b"\x01" * 8], **more),
            "fragment": inner_udp(lab, flags="MF", frag=3, **more),
            "wrong checksum": inner_udp(lab, chksum=0x1234, **more),
            "header alone": IP(src=CLIENT_ADDRESS, dst=lab.dns_vip, proto=253, **more),
            "full": inner_udp(lab, payload=payload + bytes(1472 - len(payload)), **more),
        }
    more = {"tc": 0xB8, "hlim": 37, "fl": 0xABCDE}
    addresses = {"src": CLIENT_ADDRESS_IPV6, "dst": lab.dns_vip_ipv6}
    return {
        "plain": inner_udp_ipv6(lab, **more),
        "hop limit 0": inner_udp_ipv6(lab, tc=0xFC, hlim=0),
        "options": IPv6(nh=60, **addresses, **more) / Raw(b"\x11" + LIMIT) / UDP(sport=1, dport=53),
        "fragment": IPv6(**addresses, **more) / IPv6ExtHdrFragment(nh=17, offset=3, m=1) / payload,
        "header alone": IPv6(nh=59, **addresses, **more),
        "full": inner_udp_ipv6(lab, payload=payload + bytes(1452 - len(payload)), **more),
    }


@each_mode
@each_combination
def test_inner_packet_arrives_untouched(lab, mode, tunnel, outside, inside):
    with attached(lab, mode), capture(lab.backends[0]) as sniffer:
        for name, inner in inner_packets(lab, inside).items():
            for padding in (b"", b"\xa5" * 40):
                frame = bytes(ethernet(lab) / wrapped(lab, tunnel, outside, inner)) + padding
                with Counted(lab, **decapsulated(tunnel, inside)):
                    send(lab, frame)
                    expected = with_type(frame[:14], inner) + padding
                    assert receive(sniffer) == expected, (name, padding)


@each_mode
def test_destination_options_in_front_of_a_tunnel(lab, mode):
    """The encapsulation limit of RFC 2473, or 64 bytes of padding."""
    with attached(lab, mode), capture(lab.backends[0]) as sniffer:
        for tunnel, inside in itertools.product(["gre", "ipip", "gue"], [4, 6]):
            inner = inner_of(lab, inside)
            plain = wrapped(lab, tunnel, 6, inner)
            for rest in (LIMIT, b"\x07\x01\x3c" + bytes(60)):
                options = bytes([plain.nh]) + rest
                packet = outer_ipv6(lab, nh=60) / Raw(options) / plain.payload
                with Counted(lab, **decapsulated(tunnel, inside)):
                    send(lab, ethernet(lab) / packet)
                    assert receive(sniffer)[14:] == bytes(inner)


@each_mode
@pytest.mark.parametrize("outside", [4, 6])
def test_udp_checksum_is_not_looked_at(lab, mode, outside):
    with attached(lab, mode):
        for checksum in (None, 0x1234):
            packet = outer_of(lab, outside, 17) / gue(inner_udp(lab), chksum=checksum)
            with Counted(lab, **decapsulated("gue", 4)):
                send(lab, ethernet(lab) / packet)


@each_mode
@each_combination
def test_frames_larger_than_a_page(lab, mode, tunnel, outside, inside):
    backend = lab.backends[0]
    inner = inner_of(lab, inside, 4003, random.Random(1).randbytes(7000))
    backend.ip("link set eth0 mtu 9000")
    lab.router.ip(f"link set {backend.router_port} mtu 9000")
    try:
        with attached(lab, mode), capture(backend) as sniffer:
            with Counted(lab, **decapsulated(tunnel, inside)):
                send(lab, ethernet(lab) / wrapped(lab, tunnel, outside, inner))
                assert receive(sniffer)[14:] == bytes(inner)
    finally:
        lab.router.ip(f"link set {backend.router_port} mtu 1600")
        backend.ip("link set eth0 mtu 1600")


# Explicit congestion notification: RFC 6040 section 4.2, figure 4

NOT_ECT, ECT_1, ECT_0, CE = range(4)
ECN_TABLE = {
    # inner: what comes out for an outer NOT_ECT, ECT_1, ECT_0 and CE
    NOT_ECT: [NOT_ECT, NOT_ECT, NOT_ECT, "drop"],
    ECT_1: [ECT_1, ECT_1, ECT_1, CE],
    ECT_0: [ECT_0, ECT_1, ECT_0, CE],
    CE: [CE, CE, CE, CE],
}


@each_mode
@pytest.mark.parametrize("inside", [4, 6])
@pytest.mark.parametrize("outside", [4, 6])
def test_ecn(lab, mode, outside, inside):
    """With it the IPv4 checksum: right when it was right, wrong when it was wrong."""
    chance = random.Random(6040)
    outer_field, inner_field = ({4: "tos", 6: "tc"}[each] for each in (outside, inside))
    with attached(lab, mode), capture(lab.backends[0]) as sniffer:
        for inner_ecn, outer_ecn in itertools.product(range(4), range(4)):
            result = ECN_TABLE[inner_ecn][outer_ecn]
            identity = {4: {"id": chance.randrange(65536)}, 6: {"fl": chance.randrange(1 << 20)}}

            def inner(ecn):
                more = {inner_field: 0xA8 | ecn, **identity[inside]}
                return inner_of(lab, inside, **more)

            more = {outer_field: 0x50 | outer_ecn}
            packet = wrapped(lab, "gre", outside, inner(inner_ecn), **more)
            if result == "drop":
                with Counted(lab, dropped_ecn=1):
                    send(lab, ethernet(lab) / packet)
                continue
            marked = {"marked_ecn": 1} if result != inner_ecn else {}
            with Counted(lab, **decapsulated("gre", inside, **marked)):
                send(lab, ethernet(lab) / packet)
                assert receive(sniffer)[14:] == bytes(inner(result)), (inner_ecn, outer_ecn)


@each_mode
def test_a_wrong_inner_checksum_stays_wrong(lab, mode):
    right = inner_udp(lab, tos=CE)
    difference = 0x0101
    before = IP(bytes(inner_udp(lab, tos=ECT_0))).chksum ^ difference
    with attached(lab, mode), capture(lab.backends[0]) as sniffer:
        with Counted(lab, decapsulated_gre_ipv4=1, marked_ecn=1):
            inner = inner_udp(lab, tos=ECT_0, chksum=before)
            send(lab, ethernet(lab) / wrapped(lab, "gre", 4, inner, tos=CE))
            assert IP(receive(sniffer)[14:]).chksum != IP(bytes(right)).chksum


# What is not for it, or broken


def odd_tunnels(lab):
    """name: (packet, the counter that goes up)"""
    v4, v6 = inner_udp(lab), inner_udp_ipv6(lab)
    limit = Raw(bytes([IPV6]) + LIMIT)

    def cut(inner, length):
        return Raw(bytes(inner)[:length])

    def fragment(nh, offset, more):
        return outer_ipv6(lab, nh=44) / IPv6ExtHdrFragment(nh=nh, offset=offset, m=more)

    gue_v4 = outer(lab, proto=17) / gue(v4)
    gue_v6 = outer_ipv6(lab, nh=17) / gue(v4)
    return {
        # GUE, and other UDP
        "UDP to another port": (outer(lab, proto=17) / gue(v4, dport=6081), "passed"),
        "UDP from its port": (outer(lab, proto=17) / gue(v4, sport=6080, dport=9), "passed"),
        "UDP of IPv6 to another port": (outer_ipv6(lab, nh=17) / gue(v4, dport=9), "passed"),
        "UDP header cut": (outer(lab, proto=17) / cut(gue(v4), 7), "passed"),
        "GUE to another host": (
            outer(lab, proto=17, dst="10.1.0.77") / gue(v4),
            "passed_not_local",
        ),
        "GUE variant 1": (outer(lab, proto=17) / gue(v4, b"\x40"), "passed_other_gue"),
        "GUE control": (outer(lab, proto=17) / gue(v4, b"\x20"), "passed_other_gue"),
        "GUE options": (outer(lab, proto=17) / gue(v4, b"\x01"), "passed_other_gue"),
        "GUE flags": (outer_ipv6(lab, nh=17) / gue(v4, flags=b"\0\x01"), "passed_other_gue"),
        "GUE with Ethernet": (outer(lab, proto=17) / gue(v4, protocol=97), "passed_other_gue"),
        "GUE variant 1, IPv4": (
            outer(lab, proto=17) / UDP(dport=6080, chksum=0) / v4,
            "passed_other_gue",
        ),
        "GUE header cut": (
            outer(lab, proto=17) / UDP(dport=6080) / Raw(b"\0\x04\0"),
            "passed_other_gue",
        ),
        "GUE of nothing": (
            outer(lab, proto=17) / UDP(dport=6080) / Raw(b"\0\x04\0\0"),
            "dropped_inner_length",
        ),
        "UDP length below its header": (
            outer(lab, proto=17) / gue(v4, len=7),
            "dropped_outer_length",
        ),
        "UDP length 0": (outer_ipv6(lab, nh=17) / gue(v4, len=0), "dropped_outer_length"),
        "UDP length beyond the packet": (
            outer(lab, proto=17) / gue(v4, len=len(gue(v4)) + 1),
            "dropped_outer_length",
        ),
        "UDP length short of the inner": (
            outer(lab, proto=17) / gue(v4, len=len(gue(v4)) - 1),
            "dropped_inner_length",
        ),
        "GUE with the other family": (
            outer(lab, proto=17) / gue(v4, protocol=IPV6),
            "dropped_inner_length" if len(v4) < 40 else "dropped_inner_header",
        ),
        "GUE, outer total": (tampered(bytes(gue_v4), 2, b"\x7f\xff"), "dropped_outer_length"),
        "GUE, outer checksum": (tampered(bytes(gue_v4), 10, b"\x12\x34"), "dropped_outer_checksum"),
        "IPv4 version 6, GUE": (tampered(bytes(gue_v4), 0, b"\x65"), "dropped_outer_header"),
        "GUE first fragment": (outer(lab, proto=17, flags="MF") / gue(v4), "passed_fragment"),
        "GUE later fragment": (outer(lab, proto=17, frag=2, flags=0) / gue(v4), "passed"),
        # IP in IP
        "IPv4 in IPv4 to another host": (
            outer(lab, proto=4, dst="10.1.0.77") / v4,
            "passed_not_local",
        ),
        "IPv4 in IPv4 is IPv6": (outer(lab, proto=4) / v6, "dropped_inner_header"),
        "IPv6 in IPv4 is IPv4": (
            outer(lab, proto=41) / inner_udp(lab, payload=bytes(40)),
            "dropped_inner_header",
        ),
        "IPv4 in IPv4, nothing": (outer(lab, proto=4), "dropped_inner_length"),
        "IPv6 in IPv4, cut header": (outer(lab, proto=41) / cut(v6, 39), "dropped_inner_length"),
        "IPv6 in IPv4, cut": (outer(lab, proto=41) / cut(v6, len(v6) - 1), "dropped_inner_length"),
        "IPv4 in IPv4, cut": (outer(lab, proto=4) / cut(v4, len(v4) - 1), "dropped_inner_length"),
        "IPv4 in IPv4, IHL": (
            outer(lab, proto=4) / Raw(tampered(bytes(v4), 0, b"\x44")),
            "dropped_inner_header",
        ),
        "IPv4 in IPv4, fragment": (outer(lab, proto=4, flags="MF") / v4, "passed_fragment"),
        "IPv6 in IPv4, later fragment": (
            outer(lab, proto=41, flags=0, frag=9) / v6,
            "passed_fragment",
        ),
        # GRE
        "GRE with IPv6, key": (outer(lab) / GRE(key_present=1, key=7) / v6, "passed_other_gre"),
        "GRE over IPv6 with flags": (
            outer_ipv6(lab) / GRE(seqnum_present=1) / v6,
            "passed_other_gre",
        ),
        "GRE over IPv6 with Ethernet": (
            outer_ipv6(lab) / GRE(proto=0x6558) / v6,
            "passed_other_gre",
        ),
        "GRE over IPv6, cut": (outer_ipv6(lab) / Raw(b"\0\0\x86"), "dropped_outer_length"),
        "GRE of IPv6, cut": (
            outer_ipv6(lab) / GRE(proto=0x86DD) / cut(v6, 39),
            "dropped_inner_length",
        ),
        # An outer IPv6 header
        "IPv6 to another host": (
            outer_ipv6(lab, dst="fd00:1::77") / GRE() / v4,
            "passed_not_local",
        ),
        "IPv6 to loopback": (outer_ipv6(lab, dst="::1") / GRE() / v4, "passed_not_local"),
        "IPv6 to link-local": (outer_ipv6(lab, dst="fe80::1") / GRE() / v4, "passed_not_local"),
        "IPv6 to its IPv4 address": (
            outer_ipv6(lab, dst=f"::ffff:{lab.backends[0].address}") / GRE() / v4,
            "passed_not_local",
        ),
        "IPv6 length beyond the frame": (
            outer_ipv6(lab, plen=len(v4) + 5) / GRE() / v4,
            "dropped_outer_length",
        ),
        "IPv6 length within GRE": (outer_ipv6(lab, plen=3) / GRE() / v4, "dropped_outer_length"),
        "IPv6 length 0": (outer_ipv6(lab, plen=0) / GRE() / v4, "dropped_outer_length"),
        "IPv6 length short of the inner": (
            outer_ipv6(lab, plen=len(v4) + 3) / GRE() / v4,
            "dropped_inner_length",
        ),
        "IPv6 version 4": (outer_ipv6(lab, version=4) / GRE() / v4, "dropped_outer_header"),
        "IPv6 version 5, GUE": (tampered(bytes(gue_v6), 0, b"\x50"), "dropped_outer_header"),
        "IPv6 header cut": (Raw(bytes(outer_ipv6(lab) / GRE() / v4)[:39]), "passed"),
        "IPv6 options cut": (outer_ipv6(lab, nh=60) / Raw(bytes([IPV6])), "passed"),
        "IPv6 options beyond the packet": (
            outer_ipv6(lab, nh=60) / Raw(tampered(bytes(limit), 1, b"\x20")) / v6,
            "dropped_outer_length",
        ),
        "IPv6 options beyond the packet, UDP": (
            outer_ipv6(lab, nh=60) / Raw(b"\x11\x20" + bytes(6)) / gue(v6),
            "passed",
        ),
        "IPv6 options twice": (
            outer_ipv6(lab, nh=60) / Raw(b"\x3c" + LIMIT) / limit / v6,
            "passed",
        ),
        "IPv6 hop-by-hop": (outer_ipv6(lab, nh=0) / limit / v6, "passed"),
        "IPv6 options and TCP": (
            outer_ipv6(lab, nh=60) / Raw(b"\x06" + LIMIT) / TCP(flags="R"),
            "passed",
        ),
        "IPv6 first fragment": (fragment(47, 0, 1) / GRE() / v4, "passed_fragment"),
        "IPv6 atomic fragment": (fragment(41, 0, 0) / v6, "passed_fragment"),
        "IPv6 later fragment": (fragment(4, 4, 0) / v4, "passed_fragment"),
        "IPv6 GUE first fragment": (fragment(17, 0, 1) / gue(v4), "passed_fragment"),
        "IPv6 GUE later fragment": (fragment(17, 4, 1) / gue(v4), "passed"),
        "IPv6 fragment header cut": (outer_ipv6(lab, nh=44) / Raw(b"\x2f\0\0"), "passed"),
        "IPv6 options, then fragment": (
            outer_ipv6(lab, nh=60)
            / Raw(b"\x2c" + LIMIT)
            / IPv6ExtHdrFragment(nh=47, m=1)
            / GRE()
            / v4,
            "passed_fragment",
        ),
        "IPv6 with nothing": (outer_ipv6(lab, nh=59), "passed"),
        "IPv4 with ICMP": (outer(lab, proto=1) / ICMP(type=0), "passed"),
    }


@each_mode
def test_each_odd_tunnel_has_its_counter(lab, mode):
    with attached(lab, mode):
        for name, (packet, counter) in odd_tunnels(lab).items():
            # Where the version is wrong, the name begins with what Ethernet says.
            version = int(name[3]) if " version " in name else bytes(packet)[0] >> 4
            ether_type = {4: 0x800, 6: 0x86DD}[version]
            frame = bytes(ethernet(lab, type=ether_type)) + bytes(packet)
            try:
                with capture(lab.backends[0]) as sniffer:
                    with Counted(lab, **{counter: 1}):
                        send(lab, frame)
                    if counter.startswith("passed"):
                        assert receive(sniffer) == frame
                    else:
                        sniffer.settimeout(0)
                        with pytest.raises(BlockingIOError):
                            receive(sniffer)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from None


@each_mode
def test_odd_links(lab, mode):
    """Three tags, a tag cut short, another type in front of it, a group address."""
    packet = bytes(wrapped(lab, "gre", 6, inner_udp(lab)))
    tags = bytes(ethernet(lab) / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3, type=0x86DD))
    cut_tag = bytes(ethernet(lab) / Dot1AD(vlan=1) / Dot1Q(vlan=2))[:-2]
    plain = bytes(ethernet(lab, type=0x86DD))
    with attached(lab, mode):
        for counter, frame in [
            ("passed", tags + packet),
            ("passed", cut_tag),
            ("passed", tampered(plain, 12, b"\x08\x06") + packet),
            ("passed", b"\x33" + plain[1:] + packet),
        ]:
            with Counted(lab, **{counter: 1}):
                send(lab, frame)


@each_mode
@each_combination
def test_every_frame_counts_once(lab, mode, tunnel, outside, inside):
    """Any bytes changed, any length cut: one counter goes up, and nothing breaks."""
    chance = random.Random(f"{tunnel} {outside} {inside}")
    good = bytes(ethernet(lab) / wrapped(lab, tunnel, outside, inner_of(lab, inside)))
    frames = []
    for _ in range(500):
        frame = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            frame[chance.randrange(12, len(frame))] = chance.choice(
                [chance.randrange(256), 0, 4, 6, 17, 41, 47, 60, 255]
            )
        frames.append(bytes(frame[: chance.choice([len(frame), chance.randrange(14, len(frame))])]))

    backend = lab.backends[0]
    with attached(lab, mode):
        # The host may answer some of them, and be answered: what arrives is what the NIC counts.
        counted_before, arrived_before = counted_frames(lab), backend.received()
        send(lab, *frames)
        assert backend.received() - arrived_before >= len(frames)
        wait_until(
            lambda: counted_frames(lab) - counted_before == backend.received() - arrived_before,
            2,
            "agreement of counters and NIC",
        )
        with udp_client(lab, 4004, inside == 6) as client:
            send(lab, ethernet(lab) / wrapped(lab, tunnel, outside, inner_of(lab, inside, 4004)))
            assert client.recv(100) == b"web-1 hello"


# Addresses and other traffic


@each_mode
def test_other_traffic_is_unharmed(lab, mode):
    backend = lab.backends[0]
    with attached(lab, mode):
        with Counted(lab, passed=3):
            lab.router.run(["ping", "-c3", "-i0.05", "-W1", backend.ipv6_address])
        page = lab.router.output(["curl", "-s", "-m5", f"http://[{backend.ipv6_address}]:8080/id"])
        assert page == "web-1\n"
        lab.client.run(["ping", "-c1", "-W1", "-s1400", backend.ipv6_address])


def test_attach_again_learns_ipv6_addresses(lab):
    backend = lab.backends[0]
    packet = wrapped(lab, "ipip", 6, inner_udp_ipv6(lab), dst="fd00:1::200")
    with attached(lab):
        # eth0 and four VIPs, and eth0's IPv6 address; neither loopback nor link-local addresses.
        assert (status(lab)["addresses"], status(lab)["missing_addresses"]) == (6, 0)
        with Counted(lab, passed_not_local=1):
            send(lab, ethernet(lab) / packet)
        backend.ip("addr add fd00:1::200/128 dev eth0")
        try:
            assert status(lab)["missing_addresses"] == 1
            assert "refreshed" in endpoint(lab, "attach", "-i", "eth0").stderr
            with Counted(lab, decapsulated_ipip_ipv6=1):
                send(lab, ethernet(lab) / packet)
        finally:
            backend.ip("addr del fd00:1::200/128 dev eth0")
        endpoint(lab, "attach", "-i", "eth0")
        with Counted(lab, passed_not_local=1):
            send(lab, ethernet(lab) / packet)
