# SPDX-License-Identifier: BSD-2-Clause
"""Answers and parts of packets, taken apart and put together again, from the RFCs alone."""

import struct

from frames import checksum
from outer import address, check_sent, family_of, ip_of, kind_of, sum_of

ECHO_REPLY = {4: 0, 6: 129}
PSEUDO = {4: lambda source, destination, length: b"",  # ICMP has no pseudo-header (RFC 792)
          6: lambda source, destination, length:
          source + destination + struct.pack("!IHBB", length, 0, 0, 58)}


def link_of(frame):
    """The link header, VLAN tags included."""
    length = 14
    while frame[length - 2 : length] in (b"\x81\0", b"\x88\xa8"):
        length += 4
    return frame[:length]


def addresses_of(ip):
    """(source, destination) of an IP packet."""
    return (ip[12:16], ip[16:20]) if ip[0] >> 4 == 4 else (ip[8:24], ip[24:40])


def icmp_packet(source, destination, message, traffic_class=0):
    """An IP packet of fluxpin's with this message (its checksum is put in)."""
    source, destination = (each if isinstance(each, bytes) else address(each)
                           for each in (source, destination))
    family = {4: 4, 16: 6}[len(source)]
    message = message[:2] + b"\0\0" + message[4:]
    total = sum_of(PSEUDO[family](source, destination, len(message)) + message)
    message = message[:2] + struct.pack("!H", total) + message[4:]
    if family == 6:
        return struct.pack("!IHBB", 6 << 28 | traffic_class << 20, len(message), 58,
                           64) + source + destination + message
    header = struct.pack("!BBHHHBBH", 0x45, traffic_class, 20 + len(message), 0, 0x4000, 64, 1,
                         0) + source + destination
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + message


def answer_to(frame, ip):
    """The frame that carries an IP packet back to where the frame came from."""
    link = link_of(frame)
    ethertype = {4: b"\x08\0", 6: b"\x86\xdd"}[ip[0] >> 4]
    return link[6:12] + link[:6] + link[12:-2] + ethertype + ip


def too_big(inner, mtu):
    """What the sender of an IP packet is told."""
    source, destination = addresses_of(inner)
    if inner[0] >> 4 == 4:
        return icmp_packet(destination, source,
                           struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + inner[: 576 - 28])
    return icmp_packet(destination, source,
                       struct.pack("!BBHI", 2, 0, 0, mtu) + inner[: 1280 - 48])


def decapsulated(sent, kind):
    """What is behind the outer header."""
    return sent[14 + kind.overhead :]


def fix(header):
    """An IPv4 header with the right checksum."""
    header = header[:10] + b"\0\0" + header[12:]
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:]


def header_of(ip):
    return ip[: 4 * (ip[0] & 15)]


def fields_of(ip):
    """(offset in bytes, more fragments, the other flags)"""
    [fields] = struct.unpack_from("!H", ip, 6)
    return 8 * (fields & 0x1FFF), bool(fields & 0x2000), fields & 0xC000


def reassembled(parts):
    """The IPv4 packet that its parts were (RFC 791 section 3.2); fails on parts that are not right.
    The parts may be those of a fragment."""
    first, payload = parts[0], b""
    offset, _, flags = fields_of(first)
    for number, part in enumerate(parts):
        header = header_of(part)
        assert part[0] >> 4 == 4 and checksum(header) == 0
        assert struct.unpack_from("!H", part, 2)[0] == len(part)
        # TOS, identification, TTL, protocol and addresses are those of the first.
        assert (part[1], part[4:6], part[8:10], part[12:20]) == (
            first[1], first[4:6], first[8:10], first[12:20])
        assert fields_of(part)[0] == offset + len(payload) and fields_of(part)[2] == flags
        if number < len(parts) - 1:
            assert fields_of(part)[1] and len(part[len(header):]) % 8 == 0
        payload += part[len(header):]
    more = fields_of(parts[-1])[1]
    header = header_of(first)
    header = (header[:2] + struct.pack("!H", len(header) + len(payload)) + header[4:6]
              + struct.pack("!H", flags | 0x2000 * more | offset // 8) + header[8:])
    return fix(header) + payload


def check_split(frame, sent):
    """Fails unless the frames sent carry `frame` in parts, all of them to one backend in the same
    way; returns the parts."""
    kind = kind_of(frame)
    parts = [decapsulated(each, kind) for each in sent]
    ports = {check_sent(frame[:14] + part, each) for part, each in zip(parts, sent, strict=True)}
    assert len(ports) == 1, "parts of a packet take several paths"
    assert reassembled(parts) == fix(header_of(ip_of(frame))) + ip_of(frame)[
        len(header_of(ip_of(frame))) :]
    return parts


def fate(frame, limit):
    """"forward", "split", "answer" or "exceeds_mtu" of a packet to a VIP, by its length alone."""
    ip = ip_of(frame)
    if len(ip) <= limit:
        return "forward"
    if family_of(frame) == 6:
        return "answer" if len(ip) > 1280 else "exceeds_mtu"
    if not fields_of(ip)[2] & 0x4000:
        return "split"
    return "answer" if limit >= 68 else "exceeds_mtu"


def mtu_told(frame, limit):
    return limit if family_of(frame) == 4 else max(limit, 1280)
