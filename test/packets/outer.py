# SPDX-License-Identifier: BSD-2-Clause
"""A VIP for each encapsulation, outer and inner family, and the frames that have to leave for them.

Outer headers are put together byte by byte, with checksums of our own, from the RFCs alone.
"""

import dataclasses
import ipaddress
import struct

from frames import CLIENT, IP, TCP, UDP, IPv6, Raw, checksum, ethernet

CLIENT6, SOURCE, SOURCE6 = "2001:db8:1::7", "10.0.0.5", "fd00::5"
GUE_PORT = 6080
DYNAMIC_PORTS = range(49152, 65536)


@dataclasses.dataclass(frozen=True)
class Kind:
    """How packets of one VIP travel: the only backend of its pool is `backend`."""

    number: int
    encapsulation: str
    outer: int  # 4 or 6: the backend's family
    udp_checksum: bool = False

    @property
    def name(self):
        return f"{self.encapsulation}{'-checksum' if self.udp_checksum else ''}-in-{self.outer}"

    @property
    def backend(self):
        return f"10.1.0.{self.number}" if self.outer == 4 else f"fd01::{self.number:x}"

    def vip(self, inner):
        return f"203.0.113.{self.number}" if inner == 4 else f"2001:db8::{self.number:x}"

    @property
    def overhead(self):
        """Bytes that it adds to an IP packet."""
        ip = {4: 20, 6: 40}[self.outer]
        return {"gre": ip + 4, "ipip": ip, "gue": ip + 8 + 4, "l2": 0}[self.encapsulation]


KINDS = [Kind(16 * row + outer, encapsulation, outer, udp_checksum)
         for row, (encapsulation, udp_checksum) in enumerate(
             [("gre", False), ("ipip", False), ("gue", False), ("gue", True), ("l2", False)], 1)
         for outer in (4, 6)]
BY_VIP = {ipaddress.ip_address(kind.vip(inner)).packed: kind for kind in KINDS for inner in (4, 6)}


def configuration():
    pools = [f'{{ name = "{kind.name}"; encapsulation = "{kind.encapsulation}"; '
             f'udp_checksum = {str(kind.udp_checksum).lower()}; '
             f'backends = ( {{ address = "{kind.backend}"; }} ); }}' for kind in KINDS]
    vips = [f'{{ name = "{kind.name}-{inner}"; address = "{kind.vip(inner)}"; protocol = "any"; '
            f'port = 0; pool = "{kind.name}"; }}' for kind in KINDS for inner in (4, 6)]
    return (f'hash_seed = "0123456789abcdef";\n'
            f'source_address = {{ ipv4 = "{SOURCE}"; ipv6 = "{SOURCE6}"; }};\n'
            f"pools = ( {', '.join(pools)} );\nvips = ( {', '.join(vips)} );\n")


CONFIGURATION = configuration()


def packet(kind, inner, payload=b"x" * 11, protocol="tcp", traffic_class=0, source_port=40000,
           port=80, **ip):
    """An Ethernet frame to the kind's VIP."""
    if inner == 4:
        layer = IP(src=CLIENT, dst=kind.vip(4), tos=traffic_class, **ip)
    else:
        layer = IPv6(src=CLIENT6, dst=kind.vip(6), tc=traffic_class, **ip)
    if protocol == "tcp":
        return ethernet(layer / TCP(sport=source_port, dport=port, flags="A") / Raw(payload))
    return ethernet(layer / UDP(sport=source_port, dport=port) / Raw(payload))


def family_of(frame):
    return {b"\x08\x00": 4, b"\x86\xdd": 6}[frame[12:14]]


def ip_of(frame):
    """The IP packet of a frame, without link padding."""
    length = (struct.unpack_from("!H", frame, 16)[0] if family_of(frame) == 4
              else 40 + struct.unpack_from("!H", frame, 18)[0])
    return frame[14 : 14 + length]


def kind_of(frame):
    """The kind of the VIP that a frame is sent to."""
    return BY_VIP[frame[30:34] if family_of(frame) == 4 else frame[38:54]]


def address(text):
    return ipaddress.ip_address(text).packed


def sum_of(data):
    """RFC 1071, of odd lengths too."""
    return checksum(data + b"\0" * (len(data) % 2))


def outer_ip(kind, protocol, traffic_class, payload):
    if kind.outer == 4:
        header = struct.pack("!BBHHHBBH", 0x45, traffic_class, 20 + len(payload), 0, 0x4000, 64,
                             protocol, 0) + address(SOURCE) + address(kind.backend)
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    else:
        header = struct.pack("!IHBB", 6 << 28 | traffic_class << 20, len(payload), protocol,
                             64) + address(SOURCE6) + address(kind.backend)
    return header + payload


def udp_sum(kind, datagram):
    """Over the pseudo-header (RFC 768, RFC 8200 section 8.1) and a datagram whose own is 0."""
    source = address(SOURCE if kind.outer == 4 else SOURCE6)
    pseudo = source + address(kind.backend) + struct.pack("!IHBB", len(datagram), 0, 0, 17)
    return sum_of(pseudo + datagram) or 0xFFFF


def encapsulated(frame, kind, source_port):
    """The frame that has to leave, MAC addresses as replay sets them."""
    inner, family = ip_of(frame), family_of(frame)
    traffic_class = inner[1] if family == 4 else struct.unpack_from("!H", inner)[0] >> 4 & 0xFF
    number = {4: 4, 6: 41}[family]
    ethertype = {4: b"\x08\x00", 6: b"\x86\xdd"}
    link = frame[6:12] + frame[0:6]
    if kind.encapsulation == "l2":
        return link + ethertype[family] + inner
    if kind.encapsulation == "gre":
        number, inner = 47, b"\0\0" + ethertype[family] + inner
    elif kind.encapsulation == "gue":
        # Version 0, no control message, no options: 0; the protocol; no flags.
        inner = bytes([0, number, 0, 0]) + inner
        header = struct.pack("!HHHH", source_port, GUE_PORT, 8 + len(inner), 0)
        total = udp_sum(kind, header + inner) if kind.udp_checksum else 0
        number, inner = 17, header[:6] + struct.pack("!H", total) + inner
    return link + ethertype[kind.outer] + outer_ip(kind, number, traffic_class, inner)


def source_port_of(sent, kind):
    """The outer UDP source port of a GUE frame, 0 of others."""
    if kind.encapsulation != "gue":
        return 0
    return struct.unpack_from("!H", sent, 14 + {4: 20, 6: 40}[kind.outer])[0]


def check_sent(frame, sent):
    """Fails unless `sent` is what `frame` has to become; returns its outer UDP source port."""
    kind = kind_of(frame)
    port = source_port_of(sent, kind)
    assert kind.encapsulation != "gue" or port in DYNAMIC_PORTS
    assert sent == encapsulated(frame, kind, port), kind.name
    assert sent.endswith(ip_of(frame)), "the inner packet was touched"
    return port
