# SPDX-License-Identifier: BSD-2-Clause
"""slow_path = "pass": which frames the XDP program redirects, one by one, and which the kernel gets."""

import pytest
from capture import Capture
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment)
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.packet import Raw, raw

from fluxpin import Fluxpin, configuration, pool
from lab import HTTP_VIP, HTTP_VIP_IPV6, Lab
from namespaces import wait_until

CLIENT, CLIENT6 = "198.51.100.10", "fd00:c::10"
SOURCE, SOURCE6, LB, LB6 = "10.9.0.1", "fd09::1", "10.0.0.5", "fd00::5"
END, END6 = "10.0.0.66", "fd00::66"  # of tunnels; nothing leaves from it
BACKEND, BACKEND6 = "10.1.0.11", "fd00:1::11"
OURS, KERNEL = "fluxpin", "kernel"


def syn(vip=HTTP_VIP, port=80):
    layer = IPv6(src=CLIENT6, dst=vip) if ":" in vip else IP(src=CLIENT, dst=vip)
    return layer / TCP(sport=4000, dport=port)


def outer(destination=END, source=None, **more):
    if ":" in destination:
        return IPv6(src=source or SOURCE6, dst=destination, **more)
    return IP(src=source or SOURCE, dst=destination, **more)


def gue(inner, first=0, protocol=None, port=6080, options=b""):
    number = protocol or (41 if inner.version == 6 else 4)
    return UDP(sport=50000, dport=port, chksum=0) / Raw(
        bytes([first | len(options) // 4, number, 0, 0]) + options + raw(inner))


def tunnels():
    for end in (END, END6):
        for vip in (HTTP_VIP, HTTP_VIP_IPV6):
            name, inner = f"{vip}-at-{end}", syn(vip)
            yield f"gre-{name}", outer(end) / GRE() / inner, OURS
            yield f"ipip-{name}", outer(end) / inner, OURS
            yield f"gue-{name}", outer(end) / gue(inner), OURS
            for flags in ({"chksum_present": 1}, {"key_present": 1}, {"seqnum_present": 1},
                          {"chksum_present": 1, "key_present": 1, "seqnum_present": 1}):
                yield f"gre-{'-'.join(flags)}-{name}", outer(end) / GRE(**flags) / inner, OURS
            for length in (4, 8, 124):
                yield f"gue-options-{length}-{name}", outer(end) / gue(inner, options=bytes(length)), OURS
            for tags in (1, 2):
                frame = outer(end) / GRE() / inner
                for _ in range(tags):
                    frame = Dot1Q(vlan=5) / frame
                yield f"tags-{tags}-{name}", frame, OURS
            # Another end, another source, another service's port, which is the pipeline's to know.
            yield f"elsewhere-{name}", outer(LB6 if ":" in end else LB) / GRE() / inner, KERNEL
            other = "fd09::2" if ":" in end else "10.9.0.4"
            yield f"unlisted-{name}", outer(end, other) / GRE() / inner, KERNEL
            if ":" not in end:
                yield f"listed-{name}", outer(end, "10.9.0.3") / GRE() / inner, OURS
            yield f"port-81-{name}", outer(end) / GRE() / syn(vip, 81), OURS
            # Kinds of tunnels that are none of ours.
            for what, frame in {
                "routing": GRE(routing_present=1), "version-1": GRE(version=1), "proto": GRE(proto=0x6558),
            }.items():
                yield f"gre-{what}-{name}", outer(end) / frame / inner, KERNEL
            yield f"gue-control-{name}", outer(end) / gue(inner, 0x20), KERNEL
            yield f"gue-version-{name}", outer(end) / gue(inner, 0x40), KERNEL
            yield f"gue-esp-{name}", outer(end) / gue(inner, protocol=50), KERNEL
            yield f"gue-port-{name}", outer(end) / gue(inner, port=6081), KERNEL
            yield f"sctp-{name}", outer(end, **{"nh" if ":" in end else "proto": 132}) / Raw(raw(inner)), KERNEL
        yield f"not-for-a-vip-{end}", outer(end) / GRE() / syn("203.0.113.11"), KERNEL
        yield f"not-for-a-vip6-{end}", outer(end) / GRE() / syn("2001:db8::11"), KERNEL
        yield f"tcp-{end}", outer(end) / TCP(dport=22), KERNEL
        yield f"udp-{end}", outer(end) / UDP(dport=6080), KERNEL
        # The inner header has to be there, to its end.
        for kept in range(0, 28):
            cut = Raw(raw(GRE() / syn())[:kept])
            yield (f"cut-{kept}-{end}", outer(end, **{"nh" if ":" in end else "proto": 47}) / cut,
                   OURS if kept >= 24 else KERNEL)
    yield "options", outer(options=[b"\1" * 20]) / GRE() / syn(), OURS
    yield "first-fragment", outer(flags="MF") / GRE() / syn(), KERNEL
    yield "later-fragment", outer(frag=3) / GRE() / syn(), KERNEL
    yield "ipv6-fragment", outer(END6) / IPv6ExtHdrFragment(m=1) / GRE() / syn(), KERNEL
    yield "ipv6-options", outer(END6) / IPv6ExtHdrDestOpt() / GRE() / syn(), KERNEL


def too_big(to, quoted, code=4):
    if ":" in to:
        return IPv6(src=SOURCE6, dst=to) / ICMPv6PacketTooBig(mtu=1300) / quoted
    return IP(src=SOURCE, dst=to) / ICMP(type=3, code=code, nexthopmtu=1300) / quoted


def reports():
    for own, backend in ((LB, BACKEND), (LB6, BACKEND6)):
        for vip in (HTTP_VIP, HTTP_VIP_IPV6):
            name, inner = f"{vip}-by-{own}", syn(vip)
            sent = outer(backend, own)
            yield f"report-gre-{name}", too_big(own, sent / GRE() / inner), OURS
            yield f"report-ipip-{name}", too_big(own, sent / inner), OURS
            yield f"report-gue-{name}", too_big(own, sent / gue(inner)), OURS
            yield f"report-tagged-{name}", Dot1Q(vlan=7) / too_big(own, sent / GRE() / inner), OURS
            # Of another's packet, to an address that nothing leaves from, of something else.
            other = outer(backend, END6 if ":" in own else END)
            yield f"report-other-source-{name}", too_big(own, other / GRE() / inner), KERNEL
            yield f"report-to-end-{name}", too_big(END6 if ":" in own else END, other / GRE() / inner), KERNEL
        sent = outer(backend, own)
        yield f"report-tcp-{own}", too_big(own, sent / TCP(sport=22)), KERNEL
        yield f"report-not-a-vip-{own}", too_big(own, sent / GRE() / syn("203.0.113.11")), KERNEL
        frame = raw(too_big(own, sent / GRE() / syn()))
        at = 40 if ":" in own else 20
        layer = IPv6(src=SOURCE6, dst=own, nh=58) if ":" in own else IP(src=SOURCE, dst=own, proto=1)
        for kept in (0, 1, 2, 7, 8, 8 + at - 1, 8 + at, 8 + at + 3, 8 + at + 23, 8 + at + 24, 8 + at + 40):
            yield (f"report-cut-{kept}-{own}", layer / Raw(frame[at : at + kept]),
                   OURS if kept >= 8 + at + 24 else KERNEL)
    yield "report-code-3", too_big(LB, outer(BACKEND, LB) / GRE() / syn(), 3), KERNEL
    yield "report-exceeded", (IPv6(src=SOURCE6, dst=LB6) / ICMPv6TimeExceeded()
                              / outer(BACKEND6, LB6) / GRE() / syn()), KERNEL
    yield "echo", IP(src=CLIENT, dst=LB) / ICMP(), KERNEL


def plain():
    for vip in (HTTP_VIP, HTTP_VIP_IPV6):
        yield f"vip-{vip}", syn(vip), OURS
        yield f"vip-port-{vip}", syn(vip, 81), OURS
        yield f"vip-tags-{vip}", Dot1Q(vlan=1) / Dot1Q(vlan=2) / syn(vip), OURS
        yield f"vip-three-tags-{vip}", Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / syn(vip), KERNEL
    yield "no-vip", syn("203.0.113.11"), KERNEL
    yield "arp", ARP(op=2, psrc="10.0.0.99", pdst="10.0.0.98"), KERNEL
    yield "group", IPv6(src=CLIENT6, dst="ff02::99") / UDP(), KERNEL


TABLE = [*plain(), *tunnels(), *reports()]


@pytest.fixture(scope="module")
def lab():
    with Lab(backends=1, servers=False, endpoint=None, ipv6=True) as built:
        built.lb.ip(f"addr add {END}/24 dev eth0", f"addr add {END6}/64 dev eth0")
        yield built


def text(lab):
    backends = [{"name": "four", "address": lab.backends[0].address},
                {"name": "six", "address": lab.backends[0].ipv6_address}]
    services = [{"name": name, "address": address, "protocol": "tcp", "port": 80, "pool": "web"}
                for name, address in (("web4", HTTP_VIP), ("web6", HTTP_VIP_IPV6))]
    lists = (f'decapsulation = {{ sources = ( "10.9.0.0/30", "{SOURCE6}" ); '
             f'addresses = ( "{END}", "{END6}" ); }};\n')
    return lists + configuration([pool(lab, backends=backends)], services, slow_path="pass",
                                 source_address={"ipv4": LB, "ipv6": LB6})


@pytest.mark.parametrize("mode", ["copy", "skb"])
def test_every_frame_goes_where_it_belongs(lab, mode):
    link = Ether(src=lab.router.mac("lb").hex(":"), dst=lab.lb.mac().hex(":"))
    frames = {name: raw(link / layers) for name, layers, _ in TABLE}
    assert len(set(frames.values())) == len(TABLE), "two frames are the same"
    marker = raw(link / syn("203.0.113.250"))
    with Fluxpin(lab, text(lab), mode=mode, queues="0-3", cpus="0-1") as fluxpin:
        before = fluxpin.quiescent().sum("fluxpin_worker_received_packets_total")
        with Capture(lab.lb, "eth0") as capture:
            lab.router.send_frames("lb", *frames.values(), marker)
            wait_until(lambda: any(frame == marker for _, frame in list(capture.frames)), 10,
                       "last frame")
            ours = sum(to == OURS for _, _, to in TABLE)
            fluxpin.wait_for(lambda metrics: metrics.sum("fluxpin_worker_received_packets_total")
                             >= before + ours, what=f"{ours} frames redirected")
        seen = {frame for _, frame in capture.frames}
        wrong = [name for name, _, to in TABLE if (frames[name] in seen) != (to == KERNEL)]
        assert not wrong
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_received_packets_total") == before + ours
