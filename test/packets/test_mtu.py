# SPDX-License-Identifier: BSD-2-Clause
"""Packets that do not fit the way to the backend: answers, parts, and what routers say of tunnels."""

import struct

import pytest
from dissect import GOOD, dissect
from frames import CLIENT
from ipv6 import FRAGMENT, header
from messages import CLIENTS, frame_of, icmp, ip
from outer import (CLIENT6, CONFIGURATION, KINDS, SOURCE, SOURCE6, encapsulated, ip_of, packet)
from parts import (answer_to, check_split, fields_of, header_of, icmp_packet, mtu_told, too_big)
from replay import replay

PAIRS = [(kind, inner) for kind in KINDS for inner in (4, 6)]
pairs = pytest.mark.parametrize("kind, inner", PAIRS,
                                ids=[f"{kind.name}-of-{inner}" for kind, inner in PAIRS])
HEADER = {4: 20, 6: 40}


def pattern(length):
    return bytes((5 * i + length) & 255 for i in range(length))


def udp(kind, inner, length, options=b"", fragment=0, **more):
    """A frame with a UDP datagram to the kind's VIP; the IP packet has `length` bytes."""
    size = length - HEADER[inner] - len(options)
    data = struct.pack("!HHHH", 40000, 53, size, 0) + pattern(size - 8)
    if inner == 6:
        return frame_of(ip(6, CLIENT6, kind.vip(6), 17, data, **more))
    return frame_of(ip(4, CLIENT, kind.vip(4), 17, data, options, fragment=fragment, **more))


def limits(kind):
    """Egress MTUs, and how long an inner packet may be then."""
    return [(mtu, mtu - kind.overhead) for mtu in (600, 1280, 1332, 1400, 1500, 1501, 9000)]


@pairs
def test_answers(kind, inner):
    """Every byte of them, for lengths around what fits and what is quoted."""
    for mtu, limit in limits(kind):
        frames = [udp(kind, inner, length, fragment=0x4000, traffic_class=0xB9) + padding
                  for length in (limit + 1, limit + 2, limit + 100, 548, 549, 1232, 1233, 1281, 1282,
                                 9216)
                  if length > max(limit, 0 if inner == 4 else 1280) for padding in (b"", b"\xee")]
        result = replay(CONFIGURATION, frames, "--mtu", mtu)
        assert result.status == 0, result.stderr
        assert (result.drops, result.slow_path) == ({}, [])
        assert result.summary["answered"] == len(frames)
        for frame, (_, sent) in zip(frames, result.sent, strict=True):
            assert sent == answer_to(frame, too_big(ip_of(frame), mtu_told(frame, limit)))
        # Matched by the VIP, sent to no backend.
        assert sum(each["frames"] for each in result.summary["vips"]) == len(frames)
        assert sum(each["frames"] for each in result.summary["backends"]) == 0


def test_tshark_reads_the_answers():
    kind = KINDS[0]
    frames = [udp(kind, inner, 1500, fragment=0x4000, **more) for inner, more in (
        (4, {}), (6, {}), (4, {"options": b"\1" * 40}), (6, {"headers": []}))]
    sent = [data for _, data in replay(CONFIGURATION, frames).sent]
    for frame, data, seen in zip(frames, sent, dissect(sent), strict=True):
        name, v6 = ("ip", "icmp"), frame[12:14] == b"\x86\xdd"
        name = ("ipv6", "icmpv6") if v6 else name
        assert seen.protocols[:4] == [*name, name[0], "udp"]
        assert seen.icmp_checksums[0] == GOOD
        assert seen.ip_checksums[:1] == ([] if v6 else [GOOD])
        assert len(data) == 14 + (1280 if v6 else 576)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_ipv6_of_up_to_1280_bytes_is_dropped(kind):
    """Nobody makes smaller ones, and the outer packet is not fragmented."""
    mtu = 1279 + kind.overhead
    frames = [udp(kind, 6, length) for length in (1279, 1280, 1281, 1500)]
    result = replay(CONFIGURATION, frames, "--mtu", mtu)
    assert result.drops == {2: "exceeds_mtu"}
    assert result.summary["answered"] == 2
    assert [data[14 + 44 : 14 + 48] for _, data in result.sent[1:]] == [struct.pack("!I", 1280)] * 2


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_ipv4_below_the_least_mtu_is_dropped(kind):
    for limit, verdict in ((68, {}), (67, {1: "exceeds_mtu"})):
        if limit + kind.overhead < 68:
            continue
        result = replay(CONFIGURATION, [udp(kind, 4, 100, fragment=0x4000)], "--mtu",
                        limit + kind.overhead)
        assert result.drops == verdict


@pytest.mark.parametrize("inner", [4, 6])
def test_never_about_icmp_errors(inner):
    kind = KINDS[0]
    number, code = {4: (3, 1), 6: (1, 0)}[inner]
    quoted = ip_of(udp(kind, inner, 1300))
    # What the VIP sent: the other way round.
    source, destination = (kind.vip(inner), CLIENTS[inner])
    quoted = ip(inner, source, destination, 17, quoted[HEADER[inner]:])
    more = {"fragment": 0x4000} if inner == 4 else {}
    error = icmp(inner, kind.vip(inner), bytes([number, code]) + bytes(6) + quoted, **more)
    echo = icmp(inner, kind.vip(inner), bytes([{4: 14, 6: 140}[inner]]) + bytes(1400), **more)
    result = replay(CONFIGURATION, [error, echo], "--mtu", 1300 + kind.overhead)
    assert result.drops == {1: "exceeds_mtu"} and result.summary["answered"] == 1


def test_error_rate():
    kind = KINDS[0]
    text = CONFIGURATION + "icmp = { error_rate = 4; };\n"
    frames = [(1 + number / 100, udp(kind, 4 + 2 * (number % 2), 1500, fragment=0x4000))
              for number in range(20)]
    frames += [(2.05 + number / 100, udp(kind, 4, 1500, fragment=0x4000)) for number in range(20)]
    # What is split or dropped all the same is no answer.
    frames += [(2.3, udp(kind, 4, 1500))]
    result = replay(text, frames)
    assert result.summary["answered"] == 8 and result.summary["parts_sent"] == 1
    assert result.summary["dropped"]["by_reason"] == {"icmp_rate": 32}
    assert [number for number in range(1, 41) if number not in result.drops] == [
        1, 2, 3, 4, 21, 22, 23, 24]


OPTIONS = {
    "none": (b"", b""),
    "no-operation": (b"\1" * 4, b""),
    "record-route": (b"\7\x0b\4" + b"\0" * 8 + b"\0", b""),
    "source-route": (b"\x83\7\4\1\2\3\4\0", b"\x83\7\4\1\2\3\4\0"),
    "both": (b"\1\7\7\4\0\0\0\0\x88\4\1\2", b"\x88\4\1\2"),
    "several-copied": (b"\x88\4\1\2\x82\3\xaa\1\x94\4\0\0", b"\x88\4\1\2\x82\3\xaa\x94\4\0\0\0"),
    "behind-the-end": (b"\0\x83\7\4\1\2\3\4", b""),
    "length-0": (b"\x88\0\1\2", b""),
    "length-1": (b"\x88\1\1\2", b""),
    "length-beyond": (b"\x88\4\1\2\x88\5\1\2", b"\x88\4\1\2"),
    "no-length": (b"\1\1\1\x88", b""),
    "all": (b"\x88\x28" + bytes(range(38)), b"\x88\x28" + bytes(range(38))),
}


def split(frames, mtu):
    """Replays frames that all have to be split; [(frame, [frames sent])]."""
    result = replay(CONFIGURATION, frames, "--mtu", mtu)
    assert result.status == 0, result.stderr
    assert (result.drops, result.slow_path) == ({}, [])
    groups = {}
    for time, data in result.sent:
        groups.setdefault(time, []).append(data)
    assert list(groups) == sorted(groups) and len(groups) == len(frames)
    assert result.summary["forwarded"] == len(frames)
    assert result.summary["parts_sent"] == len(result.sent) - len(frames)
    for key, sizes in (("frames", [1] * len(frames)), ("bytes", [len(data) for _, data in result.sent])):
        assert sum(each[key] for each in result.summary["backends"]) == sum(sizes)
    return list(zip(frames, groups.values()))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_splits(kind):
    for mtu, limit in limits(kind):
        frames = [udp(kind, 4, length, traffic_class=length & 255, ttl=1 + length % 255) + padding
                  for length in (*range(limit + 1, limit + 20), 2 * limit - 20, 2 * limit - 19,
                                 2 * limit, 3 * limit + 5, 9216, 20000)
                  if limit < length for padding in (b"", b"\xee" * 3)]
        for frame, sent in split(frames, mtu):
            parts = check_split(frame, sent)
            assert all(len(each) == 14 + kind.overhead + len(part) for each, part in zip(sent, parts))
            assert all(len(part) <= limit for part in parts)
            # Not more than are needed, and all but the last as full as the grid allows.
            assert all(len(part) > limit - 8 for part in parts[:-1])


def test_options_of_parts():
    """Those with the copied flag are in all parts, the others in the first only."""
    kind = KINDS[0]
    frames = [udp(kind, 4, 1400 + len(options), options) for options, _ in OPTIONS.values()]
    for (name, (options, copied)), (frame, sent) in zip(OPTIONS.items(),
                                                        split(frames, 500 + kind.overhead)):
        parts = check_split(frame, sent)
        assert header_of(parts[0])[20:] == options, name
        for part in parts[1:]:
            assert header_of(part)[20:] == copied, name
        assert 3 <= len(parts) <= 4 and all(len(part) <= 500 for part in parts)


def test_parts_of_the_least_size():
    """One unit of 8 bytes behind the longest header; a limit below that holds nothing."""
    kind, options = KINDS[0], b"\x88\x28" + bytes(38)
    frame = udp(kind, 4, 60 + 8 + 40, options)
    [(_, sent)] = split([frame], 68 + kind.overhead)
    assert [len(part) for part in check_split(frame, sent)] == [60 + 8] * 6
    assert replay(CONFIGURATION, [frame], "--mtu", 67 + kind.overhead).drops == {1: "exceeds_mtu"}


def test_more_parts_than_there_is_room_for():
    kind, most = KINDS[0], 384
    frames = [udp(kind, 4, 20 + 48 * (most + 1)), udp(kind, 4, 20 + 48 * (most + 1) + 1), udp(kind, 4, 100)]
    result = replay(CONFIGURATION, frames, "--mtu", 68 + kind.overhead)
    assert result.drops == {2: "no_frame"}
    assert result.summary["forwarded"] == 2 and result.summary["parts_sent"] == most + 1


def test_flags_that_are_no_df_stay():
    kind = KINDS[0]
    [(frame, sent)] = split([udp(kind, 4, 1500, fragment=0x8000)], 1000)
    assert [fields_of(part)[2] for part in check_split(frame, sent)] == [0x8000] * 2


def test_tshark_reassembles():
    """Behind GRE, by a dissector that nobody here wrote."""
    kind = KINDS[0]
    pieces = split([udp(kind, 4, 3000)], 1000)[0][1]
    seen = dissect(pieces)
    assert [each.ip_checksums for each in seen] == [[GOOD, GOOD]] * len(pieces)
    assert not any(each.is_malformed for each in seen)


# What routers say of the tunnels

ROUTER = {4: "10.0.0.1", 6: "fd00::1"}
SOURCES = {4: SOURCE, 6: SOURCE6}
TUNNELS = [(kind, inner) for kind in KINDS if kind.encapsulation != "l2" for inner in (4, 6)]
tunnels = pytest.mark.parametrize("kind, inner", TUNNELS,
                                  ids=[f"{kind.name}-of-{inner}" for kind, inner in TUNNELS])


def told(kind, outer, mtu, quoted=548, extra=b"", broken=False, code=None, source=None, fields=0):
    """The frame in which a router says that the encapsulated packet `outer` was too big."""
    if kind.outer == 4:
        message = struct.pack("!BBHBBH", 3, 4 if code is None else code, 0, 0, fields, mtu)
    else:
        message = struct.pack("!BBHI", 2, code or 0, 0, mtu)
    return icmp(kind.outer, source or SOURCES[kind.outer], message + outer[:quoted] + extra,
                source=ROUTER[kind.outer], broken=broken)


def outer_of(frame, kind):
    """The encapsulated packet that fluxpin sent for the frame, as a router sees it."""
    sent = encapsulated(frame, kind, 50000)[14:]
    return (sent[:8] + b"\x3e" + sent[9:10] + b"\xbe\xef" + sent[12:] if kind.outer == 4
            else sent[:7] + b"\x3e" + sent[8:])


def longest_quote(kind):
    return {4: 576 - 28, 6: 1280 - 48}[kind.outer]


def relayed(frame, kind, mtu, quoted):
    """What the client has to be told."""
    inner = ip_of(frame)[: quoted - kind.overhead]
    return too_big(inner, mtu_told(frame, mtu - kind.overhead))


@tunnels
def test_relay(kind, inner):
    frame = udp(kind, inner, 1448, fragment=0x4000)
    outer, least = outer_of(frame, kind), kind.overhead + HEADER[inner] + 8
    cases = [(mtu, quoted) for mtu in (1280, 1300 + kind.overhead, 1400, 1447 + kind.overhead)
             for quoted in (least, least + 1, least + 100, longest_quote(kind))]
    frames = [told(kind, outer, mtu, quoted) for mtu, quoted in cases]
    result = replay(CONFIGURATION, frames)
    assert result.status == 0, result.stderr
    assert (result.drops, result.slow_path) == ({}, [])
    assert result.summary["answered"] == len(frames)
    for (mtu, quoted), came, (_, sent) in zip(cases, frames, result.sent, strict=True):
        assert sent == answer_to(came, relayed(frame, kind, mtu, quoted)), (mtu, quoted)
    for seen in dissect([data for _, data in result.sent]):
        assert seen.icmp_checksums[0] == GOOD


@tunnels
def test_what_is_not_relayed(kind, inner):
    """It goes to the kernel, whose address it came to, unchanged."""
    frame = udp(kind, inner, 1448, fragment=0x4000)
    outer, least = outer_of(frame, kind), kind.overhead + HEADER[inner] + 8
    ip_length = HEADER[kind.outer]
    frames = [told(kind, outer, 1400, quoted) for quoted in (0, 8, ip_length - 1, ip_length,
                                                             ip_length + 3, least - 9, least - 1)]
    frames += [told(kind, outer, mtu) for mtu in (0, kind.overhead, kind.overhead + 1448, 1500,
                                                  65535) if mtu > 1447 or inner == 4]
    if kind.outer == 6:
        frames += [told(kind, outer, 0x10000 + 1400)]
    frames += [told(kind, outer, 1400, broken=True)]
    if kind.outer == 4:
        frames += [told(kind, outer, 1400, code=code) for code in (0, 1, 3, 13)]
    # Another's: from another address than the report goes to, or both; of another kind.
    at = {4: 19, 6: 39}[kind.outer]
    last_of_source = {4: 15, 6: 23}[kind.outer]
    frames += [told(kind, outer[:last_of_source] + b"\x77" + outer[last_of_source + 1 :], 1400),
               told(kind, outer, 1400, source={4: "10.0.0.6", 6: "fd00::6"}[kind.outer])]
    protocol = {4: 9, 6: 6}[kind.outer]
    frames += [told(kind, outer[:protocol] + bytes([other]) + outer[protocol + 1 :], 1400)
               for other in (6, 50, 58)]
    if kind.encapsulation == "gre":
        frames += [told(kind, outer[:at + 1] + shim + outer[at + 5 :], 1400)
                   for shim in (b"\x20\0\x08\0", b"\0\1\x86\xdd", b"\0\0\x08\6", b"\0\0\x88\xbe")]
    if kind.encapsulation == "gue":
        frames += [told(kind, outer[:at + 3] + port + outer[at + 5 :], 1400)
                   for port in (b"\x17\xc1", b"\0\x35")]
        frames += [told(kind, outer[:at + 9] + shim + outer[at + 13 :], 1400)
                   for shim in (b"\1\4\0\0", b"\x20\4\0\0", b"\x40\4\0\0", b"\0\6\0\0")]
    # Inside: no VIP's, another version's, a later fragment, without DF, or about an ICMP error.
    inside = [ip(inner, CLIENTS[inner], {4: "203.0.113.250", 6: "2001:db8::fa"}[inner], 17,
                 ip_of(frame)[HEADER[inner]:])]
    inside += [bytes([10 - inner << 4 | 5]) + ip_of(frame)[1:]]
    if inner == 4:
        inside += [ip_of(udp(kind, 4, 1448)), ip_of(udp(kind, 4, 1448, fragment=0x4001)),
                   ip_of(udp(kind, 4, 1448, fragment=0x6010))]
        inside += [ip(4, source, kind.vip(4), 17, bytes(1400), fragment=0x4000) for source in (
            "255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.0", kind.vip(4))]
    else:
        inside += [ip(6, source, kind.vip(6), 17, bytes(1400)) for source in (
            "ff02::1", "fe80::1", "::", "::1", kind.vip(6))]
        inside += [ip(6, CLIENT6, kind.vip(6), 17, bytes(1400), headers=[header(FRAGMENT, fragment=8)])]
        inside += [ip_of(udp(kind, 6, 1280))]
    number, error = {4: (1, 3), 6: (58, 1)}[inner]
    inside += [ip(inner, CLIENTS[inner], kind.vip(inner), number, bytes([error]) + bytes(1400),
                  **({"fragment": 0x4000} if inner == 4 else {}))]
    frames += [told(kind, outer_of(frame_of(packet_inside), kind) if number_of_version(packet_inside)
                    == inner else outer[: kind.overhead] + packet_inside, 1300)
               for packet_inside in inside]
    result = replay(CONFIGURATION, frames)
    assert result.status == 0, result.stderr
    assert [data for _, data in result.slow_path] == frames
    assert (result.drops, result.sent) == ({}, [])


def number_of_version(inner):
    return inner[0] >> 4


def test_relay_least_mtus():
    """IPv6 is never told less than 1280; IPv4 never less than 68."""
    kind = KINDS[0]
    six, four = (udp(kind, inner, 1448, fragment=0x4000) for inner in (6, 4))
    frames = [told(kind, outer_of(six, kind), 600), told(kind, outer_of(four, kind), 68 + 24),
              told(kind, outer_of(four, kind), 67 + 24)]
    result = replay(CONFIGURATION, frames)
    assert [sent for _, sent in result.sent] == [
        answer_to(frames[0], too_big(ip_of(six)[: 548 - 24], 1280)),
        answer_to(frames[1], too_big(ip_of(four)[: 548 - 24], 68))]
    assert [data for _, data in result.slow_path] == frames[2:]


def test_relay_leaves_extensions_off():
    """RFC 4884: what is behind the quoted packet is none of it; nor is what it does not state."""
    kind = KINDS[0]
    frame = udp(kind, 4, 1448, fragment=0x4000)
    outer = outer_of(frame, kind)
    extension = b"\x20\0\xaa\xaa\0\x08\1\1\0\0\1\xff"
    frames = [told(kind, outer, 1400, 128, extension, fields=32),
              told(kind, outer, 1400, 100, b"", fields=10),  # no such length: taken for unused
              told(kind, outer, 1400, 128, b"", fields=32)]
    result = replay(CONFIGURATION, frames)
    assert [sent for _, sent in result.sent] == [
        answer_to(came, relayed(frame, kind, 1400, quoted))
        for came, quoted in zip(frames, (128, 100, 128))]


def test_relay_is_limited():
    kind = KINDS[0]
    outer = outer_of(udp(kind, 4, 1448, fragment=0x4000), kind)
    text = CONFIGURATION + "icmp = { error_rate = 3; };\n"
    frames = [(1 + number / 100, told(kind, outer, 1400)) for number in range(10)]
    # What is not relayed costs nothing.
    frames = [(0.5, told(kind, outer, 0)), *frames]
    result = replay(text, frames)
    assert result.summary["answered"] == 3 and len(result.slow_path) == 1
    assert result.summary["dropped"]["by_reason"] == {"icmp_rate": 7}


@pytest.mark.parametrize("kind, inner", [(kind, inner) for kind, inner in PAIRS
                                         if kind.encapsulation == "l2"])
def test_an_error_to_a_vip_is_no_relay(kind, inner):
    """A client's path may be narrow, too: that goes to the backend."""
    sent = ip(inner, kind.vip(inner), CLIENTS[inner], 17,
              ip_of(udp(kind, inner, 1448))[HEADER[inner]:])
    number = {4: (3, 4), 6: (2, 0)}[inner]
    frame = icmp(inner, kind.vip(inner), bytes(number) + bytes(4) + b"\5\0" + sent[:500])
    result = replay(CONFIGURATION, [frame])
    assert result.summary["forwarded"] == 1
    assert result.sent[0][1][14:] == frame[14:]


def test_answers_know_no_other_way():
    """packet() of outer.py and ours agree on what a packet is: a plain TCP segment is answered."""
    kind = KINDS[0]
    frame = packet(kind, 4, b"x" * 1460, flags="DF")
    [(_, sent)] = replay(CONFIGURATION, [frame]).sent
    inner = ip_of(frame)
    assert sent[14:] == icmp_packet(kind.vip(4), CLIENT,
                                    struct.pack("!BBHHH", 3, 4, 0, 0, 1476) + inner[:548])
