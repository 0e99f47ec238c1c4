# SPDX-License-Identifier: BSD-2-Clause
"""A table of flows: what explain says of each is what replay does with its packet, to the byte."""

import collections
import ipaddress
import json
import subprocess

import outer
import pytest
from frames import ICMP, IP, LB_MAC, TCP, UDP, IPv6, ethernet
from replay import FLUXPIN, replay
from scapy.layers.inet6 import ICMPv6EchoRequest

CLIENT, CLIENT6 = "198.51.100.7", "2001:db8:1::7"

# Prefixes in each other, ports, protocols, every icmp_echo, and a pool without backends.
CONFIGURATION = """
hash_seed = "fedcba9876543210";
source_address = { ipv4 = "10.0.0.5"; ipv6 = "fd00::5"; };
pools = (
  { name = "a"; encapsulation = "gre"; backends = (
    { name = "a1"; address = "10.1.0.1"; }, { name = "a2"; address = "fd01::2"; },
    { name = "a3"; address = "10.1.0.3"; weight = 7; } ); },
  { name = "b"; encapsulation = "gue"; udp_checksum = true; table_size = 251; backends = (
    { name = "b1"; address = "10.1.1.1"; }, { name = "b2"; address = "fd01::b2"; },
    { name = "drained"; address = "10.1.1.9"; weight = 0; } ); },
  { name = "empty"; backends = (); } );
vips = (
  { name = "tls"; address = "203.0.113.10"; protocol = "tcp"; port = 443; pool = "a"; },
  { name = "port-of-any"; address = "203.0.113.10"; protocol = "any"; port = 443; pool = "b"; },
  { name = "all-udp"; address = "203.0.113.10"; protocol = "udp"; port = 0; pool = "b"; },
  { name = "network"; address = "203.0.113.0/24"; protocol = "any"; port = 0; pool = "b";
    icmp_echo = "forward"; },
  { name = "deaf"; address = "203.0.113.20"; protocol = "udp"; port = 53; pool = "a"; },
  { name = "deaf-too"; address = "203.0.113.20"; protocol = "tcp"; port = 53; pool = "a";
    icmp_echo = "drop"; tracking = false; },
  { name = "nobody"; address = "203.0.113.30"; protocol = "any"; port = 0; pool = "empty";
    icmp_echo = "forward"; },
  { name = "tls6"; address = "2001:db8::10"; protocol = "tcp"; port = 443; pool = "a"; },
  { name = "network6"; address = "2001:db8::/64"; protocol = "any"; port = 0; pool = "b";
    icmp_echo = "forward"; },
  { name = "deaf6"; address = "2001:db8::20"; protocol = "udp"; port = 53; pool = "a";
    icmp_echo = "drop"; },
  { name = "everything"; address = "0.0.0.0/0"; protocol = "any"; port = 0; pool = "a"; },
  { name = "everything6"; address = "::/0"; protocol = "any"; port = 0; pool = "b"; } );
"""

NAMES = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132}
# Some are IPv6 extension headers: walked (43, 44, 60), not walked (135, 139, 253), none behind (59).
NUMBERS = [1, 2, 4, 41, 43, 44, 47, 58, 59, 60, 89, 99, 135, 136, 139, 253, 255]


def bracketed(address):
    return f"[{address}]" if ":" in address else address


def with_ports(protocol, source, destination, source_port, port):
    return f"{protocol} {bracketed(source)}:{source_port} {bracketed(destination)}:{port}"


def layer4(protocol, is_ipv6, source_port, port):
    if protocol == 6:
        return TCP(sport=source_port, dport=port, flags="S", window=65535)
    if protocol == 17:
        return UDP(sport=source_port, dport=port)
    if protocol == (58 if is_ipv6 else 1):
        return ICMPv6EchoRequest() if is_ipv6 else ICMP()
    return None


def frame_of(flow):
    """The frame that stands for a flow, made by scapy."""
    name, source, destination = flow.split()
    protocol, source_port, port = NAMES.get(name) or int(name), 0, 0
    if protocol in (6, 17):
        source, source_port = source.rsplit(":", 1)
        destination, port = destination.rsplit(":", 1)
    source, destination = source.strip("[]"), destination.strip("[]")
    is_ipv6 = ":" in destination
    inside = layer4(protocol, is_ipv6, int(source_port), int(port))
    if is_ipv6:
        packet = IPv6(src=source, dst=destination, hlim=64, nh=protocol)
    else:
        packet = IP(src=source, dst=destination, ttl=64, flags="DF", id=0, proto=protocol)
    address = ipaddress.ip_address(destination)
    mac = ("ff:ff:ff:ff:ff:ff" if destination == "255.255.255.255" else
           LB_MAC if not address.is_multicast else "33:33:00:00:00:01" if is_ipv6 else "01:00:5e:00:00:01")
    return ethernet(packet if inside is None else packet / inside, mac,
                    type=0x86DD if is_ipv6 else 0x0800)


def all_protocols(source, destination):
    """Every protocol between two addresses, by name and by number."""
    for name in NAMES:
        if name in ("tcp", "udp"):
            for source_port, port in ((40000, 80), (0, 80), (40000, 0), (65535, 443)):
                yield with_ports(name, source, destination, source_port, port)
        elif name not in (("icmp",) if ":" in source else ("icmpv6",)):
            yield f"{name} {source} {bracketed(destination)}"
    yield with_ports("6", source, destination, 5, 6)
    for number in NUMBERS:
        yield f"{number} {bracketed(source)} {destination}"


def flows_of_kinds():
    """To every encapsulation, outer and inner family."""
    for kind in outer.KINDS:
        yield from all_protocols(CLIENT, kind.vip(4))
        yield from all_protocols(CLIENT6, kind.vip(6))


def flows_of_vips():
    """To every VIP, more and less specific ones."""
    for destination in ("203.0.113.10", "203.0.113.11", "203.0.113.20", "203.0.113.30", "192.0.2.1"):
        yield from all_protocols(CLIENT, destination)
        for port in (53, 443):
            for name in ("tcp", "udp"):
                for source_port in range(1, 9):
                    yield with_ports(name, CLIENT, destination, source_port, port)
    for destination in ("2001:db8::10", "2001:db8::11", "2001:db8::20", "2001:db9::1"):
        yield from all_protocols(CLIENT6, destination)
        yield with_ports("tcp", CLIENT6, destination, 1, 443)
        yield with_ports("udp", CLIENT6, destination, 1, 53)
    yield from flows_of_addresses()


def flows_of_addresses():
    """Sources and destinations that nothing comes from or is balanced to."""
    for source in ("203.0.113.11", "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255",
                   "240.0.0.1", "255.255.255.255"):
        for flow in ("tcp {}:1 203.0.113.11:2", "icmp {} 203.0.113.11", "esp {} 203.0.113.11"):
            yield flow.format(source)
    for source in ("2001:db8::11", "::", "::1", "::2", "fe80::1", "ff02::1", "ff0e::1"):
        for flow in ("udp [{}]:1 [2001:db8::11]:2", "icmpv6 {} 2001:db8::11", "ah {} 2001:db8::11"):
            yield flow.format(source)
    for destination in ("224.0.0.1", "239.1.2.3", "255.255.255.255"):
        yield f"udp {CLIENT}:1 {destination}:2"
        yield f"icmp {CLIENT} {destination}"
    for destination in ("fe80::1", "ff02::1", "ff0e::1"):
        yield f"udp [{CLIENT6}]:1 [{destination}]:2"
        yield f"icmpv6 {CLIENT6} {destination}"


def explain(file, flow):
    done = subprocess.run([FLUXPIN, "explain", "-c", file, flow, "--json"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def forwarded(frame, said):
    """The frame that has to leave by what explain said."""
    is_ipv6 = ":" in said["address"] if said["outer_header"] else frame[12:14] == b"\x86\xdd"
    return (frame[6:12] + frame[:6] + (b"\x86\xdd" if is_ipv6 else b"\x08\x00")
            + bytes.fromhex(said["outer_header"]) + frame[14:])


def check_one(flow, frame, said, sent, kernel, reason):
    verdict = said["verdict"]
    assert (verdict == "slow_path") == (kernel == [frame]), flow
    assert reason == said.get("reason"), flow
    assert len(sent) == (verdict in ("forward", "answer")), flow
    assert (sum(each["chosen"] for each in said["vips"]) == 1) == ("vip" in said), flow
    if verdict == "forward":
        assert sent[0] == forwarded(frame, said), flow
        assert said["packet_length"] == len(frame) - 14
        assert 0 <= said["slot"] < said["table_size"]
    elif verdict == "answer":
        at = 14 + (40 if ":" in flow else 20)
        assert (frame[at], sent[0][at]) in ((8, 0), (128, 129)), flow
        assert "backend" not in said and "hash" not in said and "vip" in said


def check(tmp_path, configuration, flows):
    """Explains and replays them. Returns {flow: what explain said}."""
    flows = list(dict.fromkeys(flows))
    (tmp_path / "a.conf").write_text(configuration)
    said = {flow: explain(tmp_path / "a.conf", flow) for flow in flows}
    frames = {flow: frame_of(flow) for flow in flows}
    result = replay(configuration, list(frames.values()))
    assert result.status == 0, result.stderr

    def at(number, outcome):
        time = round((1000 + number / 1000) * 10**6)
        return [data for ticks, data in outcome if ticks == time]

    for number, flow in enumerate(flows):
        check_one(flow, frames[flow], said[flow], at(number, result.sent),
                  at(number, result.slow_path), result.drops.get(number + 1))
    verdicts = collections.Counter(each["verdict"] for each in said.values())
    assert verdicts["answer"] == result.summary["answered"]
    assert verdicts["forward"] == result.summary["forwarded"]
    backends = collections.Counter((each["pool"], each["backend"]) for each in said.values()
                                   if "backend" in each)
    assert backends == {(each["pool"], each["name"]): each["frames"]
                        for each in result.summary["backends"] if each["frames"] > 0}
    vips = collections.Counter(each["vip"] for each in said.values() if "hash" in each)
    assert vips == {each["name"]: each["frames"]
                    for each in result.summary["vips"] if each["frames"] > 0}
    return said


def test_every_encapsulation(tmp_path):
    said = check(tmp_path, outer.CONFIGURATION, flows_of_kinds())
    verdicts = collections.Counter((each["verdict"], each.get("reason")) for each in said.values())
    assert set(verdicts) == {("forward", None), ("answer", None), ("drop", "ipv6_extension")}
    for kind in outer.KINDS:
        assert (said[f"esp {CLIENT} {kind.vip(4)}"]["encapsulation"]
                == said[f"esp {CLIENT6} [{kind.vip(6)}]"]["encapsulation"] == kind.encapsulation)


def test_every_vip(tmp_path):
    said = check(tmp_path, CONFIGURATION, flows_of_vips())
    reasons = {each.get("reason") for each in said.values()}
    assert reasons >= {None, "no_backend", "icmp_echo", "martian_source", "land", "ipv6_extension"}
    chosen = {each.get("vip") for each in said.values()}
    assert chosen >= {"tls", "port-of-any", "all-udp", "network", "deaf", "deaf-too", "nobody", "tls6",
                      "network6", "deaf6", "everything", "everything6"}
    backends = {each.get("backend") for each in said.values()}
    assert backends == {None, "a1", "a2", "a3", "b1", "b2"}


def test_echo_says_whose_setting_counts(tmp_path):
    (tmp_path / "a.conf").write_text(CONFIGURATION)

    def whys(flow):
        said = explain(tmp_path / "a.conf", flow)
        return said["verdict"], {each["name"]: each["why"] for each in said["vips"]}

    verdict, why = whys(f"icmp {CLIENT} 203.0.113.20")
    assert (verdict, why["deaf-too"]) == ("drop", "matches")
    assert why["deaf"] == "no: has the address, but the icmp_echo of another one counts"
    assert why["network"] == why["everything"] == "no: matches, but less specifically"
    assert why["tls"] == why["everything6"] == "no: another address"
    verdict, why = whys(f"icmp {CLIENT} 203.0.113.10")
    assert (verdict, why["tls"]) == ("answer", "matches")


def test_a_group_is_for_no_vip(tmp_path):
    (tmp_path / "a.conf").write_text(CONFIGURATION)
    for flow in (f"udp {CLIENT}:1 224.0.0.1:1", f"udp [{CLIENT6}]:1 [ff02::1]:1"):
        said = explain(tmp_path / "a.conf", flow)
        assert said["verdict"] == "slow_path"
        assert not any("matches" in each["why"] for each in said["vips"])


@pytest.mark.parametrize("flow", ["gre 10.0.0.1 10.0.0.5", "ipip 10.0.0.1 10.0.0.5", "41 10.0.0.1 10.0.0.5",
                                  "udp 10.0.0.1:1 10.0.0.5:6080", "gre fd00::1 fd00::5"])
def test_a_tunnel_that_ends_here(tmp_path, flow):
    """What is inside decides, and of that nothing is known."""
    (tmp_path / "a.conf").write_text(CONFIGURATION + """
        decapsulation = { sources = ( "10.0.0.1", "fd00::1" ); addresses = ( "10.0.0.5", "fd00::5" ); };
    """)
    said = explain(tmp_path / "a.conf", flow)
    assert said["verdict"] == "decapsulate" and "vip" not in said and "reason" not in said
    other = flow.replace("10.0.0.1", "10.0.0.2").replace("fd00::1", "fd00::2")
    assert explain(tmp_path / "a.conf", other)["verdict"] == "forward", "by the VIP for everything"
