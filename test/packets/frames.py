# SPDX-License-Identifier: BSD-2-Clause
"""Frames for the tables, built with scapy, and the outer headers that are expected."""

import struct

from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: F401
from scapy.layers.inet6 import IPv6  # noqa: F401
from scapy.layers.l2 import ARP, Dot1Q, Ether  # noqa: F401
from scapy.packet import Raw, raw  # noqa: F401

CLIENT_MAC, LB_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
CLIENT, LB = "198.51.100.7", "10.0.0.5"
HTTP_VIP, DNS_VIP, NET_VIP = "203.0.113.10", "203.0.113.53", "192.0.2.0/24"
BACKENDS = {"web-1": "10.1.0.11", "web-2": "10.1.0.12", "web-3": "10.1.0.13"}

CONFIGURATION = f"""
hash_seed = "0123456789abcdef";
source_address = {{ ipv4 = "{LB}"; }};
pools = ( {{ name = "web"; backends = (
    {{ name = "web-1"; address = "10.1.0.11"; }},
    {{ name = "web-2"; address = "10.1.0.12"; }},
    {{ name = "web-3"; address = "10.1.0.13"; }} ); }},
  {{ name = "empty"; backends = (); }} );
vips = (
  {{ name = "http"; address = "{HTTP_VIP}"; protocol = "tcp"; port = 80; pool = "web";
    fragments = false; }},
  {{ name = "dns"; address = "{DNS_VIP}"; protocol = "udp"; port = 53; pool = "web"; }},
  {{ name = "net"; address = "{NET_VIP}"; protocol = "any"; port = 0; pool = "web"; }},
  {{ name = "nobody"; address = "203.0.113.99"; protocol = "tcp"; port = 80; pool = "empty"; }} );
"""


def ethernet(payload, destination=LB_MAC, source=CLIENT_MAC, **more):
    return raw(Ether(dst=destination, src=source, **more) / payload)


def tcp(destination=HTTP_VIP, port=80, source_port=40000, flags="S", payload=b"", **ip):
    return ethernet(IP(src=CLIENT, dst=destination, **ip)
                    / TCP(sport=source_port, dport=port, flags=flags) / Raw(payload))


def udp(destination=DNS_VIP, port=53, source_port=40000, payload=b"question", **ip):
    return ethernet(IP(src=CLIENT, dst=destination, **ip)
                    / UDP(sport=source_port, dport=port) / Raw(payload))


def checksum(data):
    """RFC 1071, written apart from fluxpin's."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def inner_of(frame):
    """The IP packet of a frame, without link padding."""
    return frame[14 : 14 + struct.unpack_from("!H", frame, 16)[0]]


def encapsulated(frame, backend):
    """The frame that has to leave for `backend` (an address), GRE over IPv4."""
    inner = inner_of(frame)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, inner[1], len(inner) + 24, 0, 0x4000, 64, 47, 0,
                         bytes(map(int, LB.split("."))), bytes(map(int, backend.split("."))))
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return frame[6:12] + frame[0:6] + b"\x08\x00" + header + b"\0\0\x08\0" + inner
