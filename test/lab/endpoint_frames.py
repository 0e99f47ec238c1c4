# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of fluxpin endpoint share: frames made by hand, sent from the router's end of the
first backend's link, and what became of them.
"""

import contextlib
import json
import socket

from capture import ETH_P_ALL, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING, SOL_PACKET, put_tag_back
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lab import CLIENT_ADDRESS, CLIENT_ADDRESS_IPV6
from namespaces import wait_until

MODES = ["native", "skb"]
MULTICAST_REPORTS = bytes.fromhex("333300000016")  # their destination (RFC 3810 section 5.2.14)


def fix_neighbours(lab):
    """No neighbour is probed while frames are counted."""
    backend = lab.backends[0]
    macs = {"br0": lab.router.mac("br0").hex(":"), "backend": backend.mac().hex(":")}
    pairs = [(backend.address, "10.1.0.1"), (backend.ipv6_address, "fd00:1::1")]
    for host, router in pairs[: 1 + lab.ipv6]:
        lab.router.ip(f"neigh replace {host} lladdr {macs['backend']} dev br0 nud permanent")
        backend.ip(f"neigh replace {router} lladdr {macs['br0']} dev eth0 nud permanent")


def endpoint(lab, *arguments, check=True, **more):
    return lab.backends[0].run([lab.fluxpin, "endpoint", *arguments], check=check, **more)


def status(lab, **more):
    return json.loads(endpoint(lab, "status", "-i", "eth0", "--json", **more).stdout)


@contextlib.contextmanager
def attached(lab, mode="auto"):
    endpoint(lab, "attach", "-i", "eth0", "--mode", mode)
    try:
        yield
    finally:
        endpoint(lab, "detach", "-i", "eth0")


def ethernet(lab, **more):
    source, destination = lab.router.mac("br0"), lab.backends[0].mac()
    return Ether(src=source.hex(":"), dst=more.pop("dst", destination.hex(":")), **more)


def inner_udp(lab, port=4000, payload=b"hello", **more):
    udp = UDP(sport=port, dport=53) / Raw(payload)
    return IP(src=CLIENT_ADDRESS, dst=lab.dns_vip, **more) / udp


def inner_udp_ipv6(lab, port=4000, payload=b"hello", **more):
    udp = UDP(sport=port, dport=53) / Raw(payload)
    return IPv6(src=CLIENT_ADDRESS_IPV6, dst=lab.dns_vip_ipv6, **more) / udp


def outer(lab, **more):
    destination = lab.backends[0].address
    return IP(
        **{"src": lab.lb.address, "dst": destination, "proto": 47, "flags": "DF", "id": 0, **more}
    )


def outer_ipv6(lab, **more):
    addresses = {"src": lab.lb.ipv6_address, "dst": lab.backends[0].ipv6_address}
    return IPv6(**{**addresses, "nh": 47, "hlim": 64, **more})


def send(lab, *frames):
    lab.router.send_frames(lab.backends[0].router_port, *frames)


class Counted:
    """Counters that went up in the block: exactly these, all others stay."""

    def __init__(self, lab, **expected):
        self.lab, self.expected = lab, expected

    def __enter__(self):
        self.before = status(self.lab)["counters"]

    def difference(self):
        now = status(self.lab)["counters"]
        changed = {name: value - self.before[name] for name, value in now.items()}
        return {name: value for name, value in changed.items() if value}

    def __exit__(self, kind, *_):
        if kind is None:
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: self.difference() == self.expected, 2, "counters")
            assert self.difference() == self.expected


def counted_frames(lab):
    """All frames that the program counted; marked_ecn counts some of them a second time."""
    counters = status(lab)["counters"]
    return sum(value for name, value in counters.items() if name != "marked_ecn")


@contextlib.contextmanager
def capture(namespace):
    """A packet socket on eth0, behind XDP; what leaves is not seen."""
    with namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sniffer:
        sniffer.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sniffer.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sniffer.bind(("eth0", ETH_P_ALL))
        sniffer.settimeout(2)
        yield sniffer


def receive(sniffer):
    """The next frame, with the VLAN tag that the kernel gives apart from it put back. A neighbour's
    report of its multicast groups may come at any time, and is none; nor is what the bridge brings for
    another station that it does not know."""
    while True:
        frame, ancillary, _, address = sniffer.recvmsg(20000, 100)
        if not frame.startswith(MULTICAST_REPORTS) and address[2] != socket.PACKET_OTHERHOST:
            return put_tag_back(frame, ancillary)


@contextlib.contextmanager
def udp_client(lab, port, ipv6=False):
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    with lab.client.socket(family, socket.SOCK_DGRAM) as client:
        client.bind((CLIENT_ADDRESS_IPV6 if ipv6 else CLIENT_ADDRESS, port))
        client.connect((lab.dns_vip_ipv6 if ipv6 else lab.dns_vip, 53))
        client.settimeout(2)
        yield client
