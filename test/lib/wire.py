# SPDX-License-Identifier: BSD-2-Clause
"""Packets put together from bytes: fast enough to make a million of them, and with nothing of scapy
that could mend what is to be broken."""

import ipaddress
import struct

LINK = bytes.fromhex("02112233445502aabbccddee")
CLIENT = {4: "198.51.100.7", 6: "2001:db8:1::7"}
LB = {4: "10.0.0.5", 6: "fd00::5"}
TUNNEL = {4: "10.9.0.1", 6: "fd09::1"}
GRE, IPIP, GUE = range(3)


def packed(text):
    return ipaddress.ip_address(text).packed


def vip(family, kind):
    return f"203.0.113.{kind}" if family == 4 else f"2001:db8::{kind:x}"


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(family, source, destination, protocol, data, ident=0, fragment=0, options=b"", extensions=()):
    """An IP packet; `extensions` are (number, bytes behind the next header field)."""
    source, destination = packed(source), packed(destination)
    if family == 6:
        for number, rest in reversed(extensions):
            data, protocol = bytes([protocol]) + rest + data, number
        return struct.pack("!IHBB", 6 << 28, len(data), protocol, 63) + source + destination + data
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(data), ident,
                       fragment, 63, protocol, 0) + source + destination + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def transport_sum(family, source, destination, protocol, data, at):
    total = checksum(packed(source) + packed(destination)
                     + struct.pack("!IHBB", len(data), 0, 0, protocol) + data)
    return data[:at] + struct.pack("!H", total or 0xFFFF) + data[at + 2 :]


def tcp(port=80, flags=2, payload=b"", source_port=40000):
    return struct.pack("!HHIIBBHHH", source_port, port, 1, 2, 5 << 4, flags, 512, 0, 0) + payload


def udp(port=53, payload=b"question", source_port=40000):
    return struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload


def ethernet(packet, tags=(), link=LINK):
    ethertype = b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return link + b"".join(struct.pack("!HH", kind, value) for kind, value in tags) + ethertype + packet


def packet(family, kind, protocol=6, data=None, **more):
    if data is None:
        data = tcp() if protocol == 6 else udp()
    return ip(family, CLIENT[family], vip(family, kind), protocol, data, **more)


def icmp(family, kind, code, rest, source=None, destination=None):
    """A message with the right checksum; `rest` is everything behind it."""
    message = bytes([kind, code, 0, 0]) + rest
    if family == 4:
        return message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    return transport_sum(6, source or CLIENT[6], destination, 58, message, 2)


def fragments(family, kind, size=1400, step=480, protocol=17, ident=7):
    """The fragments of one packet, in order."""
    data = udp(payload=bytes(size - 8)) if protocol == 17 else tcp(payload=bytes(size - 20))
    for at in range(0, size, step):
        more = at + step < size
        piece = data[at : at + step]
        if family == 4:
            yield packet(4, kind, protocol, piece, ident=ident,
                         fragment=at // 8 | (0x2000 if more else 0))
        else:
            head = struct.pack("!BHI", 0, at | more, ident)
            yield packet(6, kind, protocol, piece, extensions=[(44, head)])


def tunnelled(family, which, inner):
    """A tunnel to the load balancer; which: GRE, IPIP or GUE."""
    number = 4 if inner[0] >> 4 == 4 else 41
    protocol, data = {
        GRE: (47, struct.pack("!HH", 0, 0x0800 if number == 4 else 0x86DD) + inner),
        IPIP: (number, inner),
        GUE: (17, struct.pack("!HHHHBBH", 50000, 6080, 12 + len(inner), 0, 0, number, 0) + inner),
    }[which]
    return ip(family, TUNNEL[family], LB[family], protocol, data)
