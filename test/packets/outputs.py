# SPDX-License-Identifier: BSD-2-Clause
"""What every frame that any replay sent has to be to tshark.

Inner packets are passed on as they came, broken ones too (a wrong TCP checksum is the backend's to
judge). So each frame is dissected twice: as it was sent, and what is in it alone. The outer headers
have to be perfect, and behind them tshark has to see what it sees in the packet alone. What fluxpin
answers itself has to be perfect from end to end, but for the packet that an error message quotes.
"""

import ipaddress
import re
import struct

from dissect import ABSENT, GOOD, dissect

ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
GRE, GUE_PORT = 47, 6080
ANSWERS = {"icmp": (0, 3), "icmpv6": (2, 129)}  # types
ERRORS = {"icmp": "3", "icmpv6": "2"}


def link_length(frame):
    """Up to the IP header: behind VLAN tags."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return at + 2


def addresses_of(packet):
    """Source and destination of an IP packet."""
    if packet[0] >> 4 == 4:
        return ipaddress.ip_address(packet[12:16]), ipaddress.ip_address(packet[16:20])
    return ipaddress.ip_address(packet[8:24]), ipaddress.ip_address(packet[24:40])


class Addresses:
    """Those of a configuration's text: VIPs, and the source of what is sent to backends."""

    def __init__(self, configuration):
        group = re.search(r"source_address\s*=\s*\{([^}]*)\}", configuration)
        self.sources = {ipaddress.ip_address(text)
                        for text in re.findall(r'"([^"]+)"', group[1] if group else "")}
        vips = configuration[configuration.rindex("vips") :] if "vips" in configuration else ""
        self.vips = [ipaddress.ip_network(text)
                     for text in re.findall(r'address\s*=\s*"([^"]+)"', vips)]

    def is_ours(self, address):
        return address in self.sources or any(address in vip for vip in self.vips
                                              if vip.version == address.version)


def unwrap(frame, addresses):
    """(the names of the outer headers, the frame without them), or None when there are none."""
    at = link_length(frame)
    packet = frame[at:]
    if len(packet) < 40 or addresses_of(packet)[0] not in addresses.sources:
        return None
    is_ipv6 = packet[0] >> 4 == 6
    number, size = (packet[6], 40) if is_ipv6 else (packet[9], 20)
    names, rest = ["ipv6" if is_ipv6 else "ip"], packet[size:]
    if number == GRE:
        inner, names = rest[4:], [*names, "gre"]
    elif number == 17 and struct.unpack_from("!H", rest, 2)[0] == GUE_PORT:
        inner, names = rest[12:], [*names, "udp", "gue"]
    elif number in (4, 41):
        inner = rest
    else:
        return None
    # Its own version, not what the outer header says of it: they have to agree.
    return names, frame[: at - 2] + ETHERTYPES.get(inner[0] >> 4, b"\0\0") + inner


def is_answer(frame, addresses):
    """From one of our addresses, as no client's packet is, and a kind of message that we send. A
    fragment alone is none: what it is of is looked at by the tests that put it together."""
    packet = frame[link_length(frame) :]
    if not addresses.is_ours(addresses_of(packet)[0]):
        return False
    if packet[0] >> 4 == 4 and struct.unpack_from("!H", packet, 6)[0] & 0x3FFF:
        return False
    if packet[0] >> 4 == 4:
        return packet[9] == 1 and packet[4 * (packet[0] & 15)] in ANSWERS["icmp"]
    return packet[6] == 58 and packet[40] in ANSWERS["icmpv6"]


def without_tags(protocols):
    """ethertype and vlan name the tags, which are in front of everything."""
    return [name for name in protocols if name not in ("vlan", "ethertype", "ieee8021ad")]


def objections_to_encapsulated(names, seen, inside):
    """`seen` is the frame's dissection, `inside` that of what is in it."""
    if without_tags(seen.protocols) != names + without_tags(inside.protocols):
        yield f"{seen.protocols} is not {names} and {inside.protocols}"
    if seen.ip_checksums != [GOOD] * names.count("ip") + inside.ip_checksums:
        yield f"IPv4 checksums {seen.ip_checksums}, inside {inside.ip_checksums}"
    outer_udp = seen.udp_checksums[: names.count("udp")]
    if not set(outer_udp) <= {GOOD, ABSENT} or (
            seen.udp_checksums != outer_udp + inside.udp_checksums):
        yield f"UDP checksums {seen.udp_checksums}, inside {inside.udp_checksums}"
    if "gue" in names and seen.gue[:3] != [0, 0, 0]:
        yield f"GUE header {seen.gue}"
    if seen.is_malformed and not inside.is_malformed:
        yield "malformed"


def objections_to_answer(seen):
    layers = without_tags(seen.protocols)
    if layers[:2] not in (["ip", "icmp"], ["ipv6", "icmpv6"]):
        yield f"{seen.protocols} is no answer"
        return
    if layers[0] == "ip" and seen.ip_checksums[:1] != [GOOD]:
        yield f"IPv4 checksums {seen.ip_checksums}"
    if seen.icmp_checksums[:1] != [GOOD]:
        yield f"ICMP checksums {seen.icmp_checksums}"
    if seen.icmp_types[:1] == [ERRORS[layers[1]]] and layers[2:3] != layers[:1]:
        yield f"{seen.protocols} quotes nothing"
    if seen.is_malformed:
        yield "malformed"


def objections_to_plain(seen):
    """Sent without an outer header (l2), whole or as a part: the IP header is right, or it would
    not have been accepted."""
    layers = without_tags(seen.protocols)
    if layers[0] == "ip" and seen.ip_checksums[:1] != [GOOD]:
        yield f"IPv4 checksums {seen.ip_checksums}"
    if layers[0] not in ("ip", "ipv6"):
        yield f"{seen.protocols} is no IP packet"


def objections(sent):
    """[(frame, what is wrong)] of {frame: configuration}."""
    known = {text: Addresses(text) for text in set(sent.values())}
    # Two runs of tshark, whose start takes longer than thousands of frames, over the same
    # conversations in the same order: what it says of a packet depends on those before.
    alone = [unwrap(frame, known[text]) for frame, text in sent.items()]
    insides = dissect([frame if one is None else one[1] for frame, one in zip(sent, alone)])
    found = []
    for (frame, text), unwrapped, one, inside in zip(sent.items(), alone, dissect(list(sent)), insides,
                                                     strict=True):
        if unwrapped is not None:
            wrong = objections_to_encapsulated(unwrapped[0], one, inside)
        elif is_answer(frame, known[text]):
            wrong = objections_to_answer(one)
        else:
            wrong = objections_to_plain(one)
        found += [(frame, why) for why in wrong]
    return found
