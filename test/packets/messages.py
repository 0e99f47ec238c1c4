# SPDX-License-Identifier: BSD-2-Clause
"""IP packets and ICMP messages put together byte by byte."""

import struct

from frames import CLIENT, CLIENT_MAC, LB_MAC
from ipv6 import chain
from outer import CLIENT6, address, sum_of
from parts import fix

CLIENTS = {4: CLIENT, 6: CLIENT6}


def ip(family, source, destination, protocol, data, options=b"", headers=(), traffic_class=0,
       fragment=0, ttl=63):
    """An IP packet with the right header checksum."""
    if family == 6:
        number, data = chain(list(headers), protocol, data)
        return struct.pack("!IHBB", 6 << 28 | traffic_class << 20 | 0x54321, len(data), number,
                           ttl) + address(source) + address(destination) + data
    return fix(struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, traffic_class,
                           20 + len(options) + len(data), 0x1234, fragment, ttl, protocol, 0)
               + address(source) + address(destination) + options) + data


def frame_of(packet):
    return (bytes.fromhex((LB_MAC + CLIENT_MAC).replace(":", ""))
            + {4: b"\x08\0", 6: b"\x86\xdd"}[packet[0] >> 4] + packet)


def summed(family, source, destination, message):
    """An ICMP message with the right checksum."""
    pseudo = b"" if family == 4 else (address(source) + address(destination)
                                      + struct.pack("!IHBB", len(message), 0, 0, 58))
    message = message[:2] + b"\0\0" + message[4:]
    return message[:2] + struct.pack("!H", sum_of(pseudo + message)) + message[4:]


def icmp(family, destination, message, source=None, broken=False, **more):
    """A frame with an ICMP message."""
    source = source or CLIENTS[family]
    message = summed(family, source, destination, message)
    if broken:
        message = message[:2] + bytes([message[2] ^ 1]) + message[3:]
    return frame_of(ip(family, source, destination, {4: 1, 6: 58}[family], message, **more))
