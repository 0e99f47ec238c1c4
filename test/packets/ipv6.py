# SPDX-License-Identifier: BSD-2-Clause
"""IPv6 packets put together byte by byte, extension headers in any order included."""

import struct

from frames import CLIENT_MAC, LB_MAC, ethernet, raw
from outer import CLIENT6, address
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6

HOP_BY_HOP, ROUTING, FRAGMENT, NONE, DESTINATION = 0, 43, 44, 59, 60
ESP, AH, ICMPV6, MOBILITY, SCTP = 50, 51, 58, 135, 132


def header(kind, length=0, fragment=0, body=None):
    """(its number, its bytes behind the next header field); `length` in units of 8 bytes."""
    if kind == FRAGMENT:
        return kind, struct.pack("!BHI", 0, fragment, 0x12345678)
    if body is None:
        # PadN options over all of it, in what takes options; an experimental route (RFC 4727) without
        # segments left.
        size = 6 + 8 * length
        body = b"\xfd\0" + bytes(size - 2) if kind == ROUTING else pad(size)
    return kind, bytes([length]) + body


def pad(size):
    """PadN options (RFC 8200 section 4.2) of that many bytes, more than one."""
    options = b""
    while size > 257:
        options, size = options + b"\1\x60" + bytes(0x60), size - 2 - 0x60
    return options + bytes([1, size - 2]) + bytes(size - 2)


def chain(headers, last, payload):
    """(next header of the IPv6 header, bytes): each header names the one behind it."""
    numbers = [number for number, _ in headers] + [last]
    data = b"".join(bytes([following]) + rest
                    for following, (_, rest) in zip(numbers[1:], headers, strict=True))
    return numbers[0], data + payload


def ipv6(destination, headers=(), last=6, payload=b"", source=CLIENT6, length=None, version=6):
    """An Ethernet frame. `last` is the next header of the last extension header."""
    number, data = chain(list(headers), last, payload)
    return (bytes.fromhex((LB_MAC + CLIENT_MAC).replace(":", "")) + b"\x86\xdd"
            + struct.pack("!IHBB", version << 28, len(data) if length is None else length,
                          number, 63)
            + address(source) + address(destination) + data)


def tcp_bytes(destination, port=80, source_port=40000, flags="A", payload=b"hello",
              source=CLIENT6, **more):
    """A TCP segment with the right checksum."""
    return raw(IPv6(src=source, dst=destination)
               / TCP(sport=source_port, dport=port, flags=flags, **more) / payload)[40:]


def udp_bytes(destination, port=53, source_port=40000, payload=b"question", source=CLIENT6, **more):
    return raw(IPv6(src=source, dst=destination)
               / UDP(sport=source_port, dport=port, **more) / payload)[40:]


def tcp6(destination, port=80, headers=(), source=CLIENT6, length=None, version=6, **more):
    return ipv6(destination, headers, 6, tcp_bytes(destination, port, source=source, **more),
                source, length, version)


def udp6(destination, port=53, headers=(), source=CLIENT6, **more):
    return ipv6(destination, headers, 17, udp_bytes(destination, port, source=source, **more), source)


def with_bytes(frame, offset, data):
    """The frame with some bytes replaced."""
    return frame[:offset] + data + frame[offset + len(data) :]


def other_layer(destination, layer):
    """A frame with what scapy makes of IPv6 and that layer."""
    return ethernet(IPv6(src=CLIENT6, dst=destination) / layer)
