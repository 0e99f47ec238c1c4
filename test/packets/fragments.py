# SPDX-License-Identifier: BSD-2-Clause
"""Fragments, what they are cut from, and the configurations of load balancers that get them."""

import struct

from frames import CLIENT
from messages import frame_of, ip
from outer import CLIENT6, address, ip_of
from parts import fix

FAMILIES = (4, 6)
CLIENTS = {4: CLIENT, 6: CLIENT6}
TCP, UDP, SCTP, ICMP = 6, 17, 132, {4: 1, 6: 58}
SERVICES = f"""
hash_seed = "0123456789abcdef";
source_address = {{ ipv4 = "10.0.0.5"; ipv6 = "fd00::5"; }};
PEERS
pools = ( {{ name = "web"; backends = ( {', '.join(
    f'{{ name = "b{number}"; address = "10.1.0.{number}"; }}' for number in range(1, 9))} ); }},
  {{ name = "empty"; backends = (); }} );
vips = (
  {{ address = "203.0.113.10"; protocol = "tcp"; port = 80; pool = "web"; }},
  {{ address = "203.0.113.10"; protocol = "udp"; port = 53; pool = "web"; fragments = false; }},
  {{ address = "203.0.113.10"; protocol = "udp"; port = 99; pool = "empty"; }},
  {{ address = "203.0.113.11"; protocol = "udp"; port = 53; pool = "web"; fragments = false; }},
  {{ address = "203.0.113.12"; protocol = "udp"; port = 53; pool = "web"; icmp_echo = "forward"; }},
  {{ address = "203.0.113.13"; protocol = "udp"; port = 53; pool = "web"; icmp_echo = "drop"; }},
  {{ address = "203.0.113.14"; protocol = "any"; pool = "web"; }},
  {{ address = "2001:db8::10"; protocol = "tcp"; port = 80; pool = "web"; }},
  {{ address = "2001:db8::10"; protocol = "udp"; port = 99; pool = "empty"; }},
  {{ address = "2001:db8::12"; protocol = "udp"; port = 53; pool = "web"; icmp_echo = "forward"; }},
  {{ address = "203.0.113.15"; protocol = "udp"; port = 53; pool = "web"; fragments = false; }},
  {{ address = "2001:db8::14"; protocol = "any"; pool = "web"; }},
  {{ address = "2001:db8::15"; protocol = "udp"; port = 53; pool = "web"; fragments = false; }} );
OTHERS
"""


def services(others="", peers=""):
    return SERVICES.replace("OTHERS", others).replace("PEERS", peers)


def vip(family, last=10):
    return f"203.0.113.{last}" if family == 4 else f"2001:db8::{last}"


def segment(port=80, length=20, source_port=40000, flags=0x10):
    return (struct.pack("!HHIIBBHHH", source_port, port, 1, 2, 5 << 4, flags, 512, 0, 0)
            + bytes(at % 251 for at in range(length)))


def datagram(port=53, length=100, source_port=40000):
    return (struct.pack("!HHHH", source_port, port, 8 + length, 0)
            + bytes(at % 251 for at in range(length)))


def piece(family, destination, protocol, data, offset, more, ident=7, headers=(), source=None,
          ttl=63, options=b"", flags=0):
    """One fragment, `offset` in bytes."""
    source = source or CLIENTS[family]
    if family == 4:
        packet = bytearray(ip(4, source, destination, protocol, data, ttl=ttl, options=options,
                              fragment=offset // 8 | (0x2000 if more else 0) | flags))
        packet[4:6] = struct.pack("!H", ident & 0xFFFF)
        packet[10:12] = b"\0\0"
        size = 20 + len(options)
        return frame_of(fix(bytes(packet[:size])) + bytes(packet[size:]))
    header = (44, struct.pack("!BHI", 0, offset | more, ident))
    return frame_of(ip(6, source, destination, protocol, data, headers=[*headers, header], ttl=ttl))


def cut(family, destination, protocol, data, step=24, **more):
    """All fragments of a payload."""
    return [piece(family, destination, protocol, data[at : at + step], at, at + step < len(data), **more)
            for at in range(0, len(data), step)]


def flows(family, count):
    """Datagrams of as many flows, each in four fragments: [[frame]]"""
    return [cut(family, vip(family, 12), UDP, datagram(53, 88, 20000 + number), ident=number + 1)
            for number in range(count)]


def ip_of_sent(frame):
    """The packet inside GRE over IPv4."""
    return frame[14 + 20 + 4 :]


LBS = ("10.0.0.5", "10.0.0.6", "10.0.0.7")


def cluster(self, family=4, listed=LBS):
    """The configuration of one of three load balancers, which are fd00::5 to fd00::7 for IPv6."""
    names = [name if family == 4 else f"fd00::{name[-1]}" for name in listed]
    text = services(peers="peers = ( %s );" % ", ".join(f'"{name}"' for name in names))
    return text.replace('ipv4 = "10.0.0.5"; ipv6 = "fd00::5"',
                        f'ipv4 = "{self}"; ipv6 = "fd00::{self[-1]}"')


def redirected(frame, outer, source, destination):
    """What a load balancer sends to another one."""
    packet = ip_of(frame)
    ethertype = {4: b"\x08\0", 6: b"\x86\xdd"}[packet[0] >> 4]
    data = b"\1\0" + ethertype + packet
    if outer == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 0, 0x4000, 64, 47, 0)
        return frame[6:12] + frame[:6] + b"\x08\0" + fix(head + address(source) + address(destination)) + data
    return (frame[6:12] + frame[:6] + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(data), 47, 64)
            + address(source) + address(destination) + data)
