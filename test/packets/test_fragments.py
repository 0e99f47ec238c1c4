# SPDX-License-Identifier: BSD-2-Clause
"""Fragments: which are sent where, in which order, and which are dropped for what."""

import itertools
import random
import struct

import pytest

from fragments import (CLIENTS, FAMILIES, ICMP, LBS, SCTP, TCP, UDP, cluster, cut, datagram, flows,
                       ip_of_sent, piece, redirected, segment, services, vip)
from frames import CLIENT, inner_of
from messages import frame_of, ip
from outer import CLIENT6, CONFIGURATION, KINDS, address, encapsulated, ip_of, kind_of, source_port_of
from replay import replay

GRE4 = next(kind for kind in KINDS if kind.name == "gre-in-4")


def check_order(result, frames):
    """They were sent, whole and to one backend, in that order. Returns the backend."""
    assert result.status == 0, result.stderr
    assert [ip_of_sent(data) for _, data in result.sent] == [ip_of(frame) for frame in frames]
    backends = {data[14:34][16:20] for _, data in result.sent}
    assert len(backends) <= 1
    return backends.pop() if backends else None


# ---- one datagram: whatever the order, the first one leads ----


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_order(family, protocol, order):
    """Four fragments in each of their 24 orders: the first one leaves first, those that had waited
    follow by offset, later ones as they come."""
    port, last = (80, 10) if protocol == TCP else (53, 12)
    data = (segment if protocol == TCP else datagram)(port, 96 - (20 if protocol == TCP else 8))
    frames = cut(family, vip(family, last), protocol, data)
    assert len(frames) == 4
    result = replay(services(), [frames[number] for number in order])
    at = order.index(0)
    expected = [0, *sorted(order[:at]), *order[at + 1 :]]
    check_order(result, [frames[number] for number in expected])
    # All that waited have the time of the frame that let them go.
    times = [time for time, _ in result.sent]
    assert len(set(times[: at + 1])) == 1
    assert result.summary["dropped"]["total"] == 0
    assert result.summary["frames"] == result.summary["forwarded"] == 4


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_every_encapsulation(kind, family, is_reversed):
    """Outer headers are those of any packet; GUE has one source port for all of a datagram."""
    frames = cut(family, kind.vip(family), UDP, datagram(5000, 4000), 1200)
    result = replay(CONFIGURATION, frames[::-1] if is_reversed else frames)
    assert result.status == 0, result.stderr
    expected = [frames[0], *frames[1:]]
    assert len(result.sent) == len(expected)
    ports = set()
    for frame, (_, sent) in zip(expected, result.sent, strict=True):
        port = source_port_of(sent, kind_of(frame))
        assert sent == encapsulated(frame, kind, port)
        ports.add(port)
    assert len(ports) == 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_large_datagram(family, workers, is_reversed):
    """65,507 bytes of UDP payload in 45 or 46 fragments."""
    frames = cut(family, vip(family, 12), UDP, datagram(53, 65507 if family == 4 else 65000),
                 1480 if family == 4 else 1448)
    result = replay(services(), frames[::-1] if is_reversed else frames, "--workers", workers,
                    "--mtu", 1600)
    check_order(result, frames)
    assert result.summary["dropped"]["total"] == 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("workers", [1, 4])
def test_many_datagrams(family, workers):
    """The fragments of 60 datagrams, shuffled: each goes to one backend, and several get some."""
    datagrams = flows(family, 60)
    frames = [frame for each in datagrams for frame in each]
    random.Random(5).shuffle(frames)
    result = replay(services(), frames, "--workers", workers)
    assert result.summary["forwarded"] == len(frames), result.drops
    to = {ip_of_sent(data): data[30:34] for _, data in result.sent}
    chosen = [{to[ip_of(frame)] for frame in each} for each in datagrams]
    assert all(len(each) == 1 for each in chosen)
    assert len(set.union(*chosen)) > 3
    # The first of each leaves before its others.
    position = {ip_of_sent(data): number for number, (_, data) in enumerate(result.sent)}
    for each in datagrams:
        assert min(position[ip_of(frame)] for frame in each) == position[ip_of(each[0])]


@pytest.mark.parametrize("family", FAMILIES)
def test_same_backend_as_whole_packets(family):
    """The first fragment's flow is that of a packet that is not fragmented."""
    for number in range(8):
        data = datagram(53, 88, 30000 + number)
        whole = frame_of(ip(family, CLIENTS[family], vip(family, 12), UDP, data))
        result = replay(services(), [whole, *cut(family, vip(family, 12), UDP, data)])
        assert len({data[30:34] for _, data in result.sent}) == 1
        assert len(result.sent) == 5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_flow_on_record_at_another_worker(family, is_reversed):
    """The backends change between whole packets of a flow and a datagram in fragments."""
    first = '{ name = "b1"; address = "10.1.0.1"; }'
    more = ", ".join(first.replace("b1", f"b{number}").replace(".0.1", f".0.{number}")
                     for number in (1, *range(20, 28)))
    sources = [f"198.51.100.{number}" if family == 4 else f"2001:db8:1::{number:x}"
               for number in range(1, 61)]
    data = datagram(53, 88)
    whole = [frame_of(ip(family, source, vip(family, 12), UDP, data)) for source in sources]
    parts = [frame for source in sources
             for frame in cut(family, vip(family, 12), UDP, data, source=source)[:: -1 if is_reversed else 1]]
    changed = services().replace(first, more)
    assert changed.count("name") == services().count("name") + 8
    result = replay(services(), [(1.0, frame) for frame in whole] + [(3.0, frame) for frame in parts],
                    "--workers", 5, events="2 reload more.conf", files={"more.conf": changed})
    assert result.summary["forwarded"] == 5 * len(sources), result.drops
    chosen = [data[30:34] for _, data in result.sent]
    assert chosen[60:] == [backend for backend in chosen[:60] for _ in range(4)]
    fresh = [data[30:34] for _, data in replay(changed, whole).sent]
    assert sum(old != new for old, new in zip(chosen, fresh)) > 20


def test_workers_do_not_change_the_choice():
    frames = [frame for each in flows(4, 40) for frame in each]
    one = replay(services(), frames)
    for workers in (2, 5):
        several = replay(services(), frames, "--workers", workers)
        assert several.raw["out.pcap"] == one.raw["out.pcap"]


@pytest.mark.parametrize("family, idents", [(4, (1, 2)), (4, (1, 0x101)), (6, (1, 2)), (6, (1, 0x10001)),
                                            (6, (0x1000001, 1))])
@pytest.mark.parametrize("workers", [1, 4])
def test_identification_tells_apart(family, idents, workers):
    """Two datagrams of two flows with the same addresses: only the identification differs."""
    first, second = (cut(family, vip(family, 12), UDP, datagram(53, 88, port), ident=ident)
                     for port, ident in zip((20001, 20002), idents, strict=True))
    frames = [first[1], second[1], second[0], first[0], second[2], first[2], first[3], second[3]]
    result = replay(services(), frames, "--workers", workers)
    assert [ip_of_sent(data) for _, data in result.sent] == [ip_of(frame) for frame in (
        second[0], second[1], first[0], first[1], second[2], first[2], first[3], second[3])]


def test_protocol_tells_apart():
    """Of IPv4 the protocol counts, too (RFC 791); IPv6 has no such thing in later fragments."""
    first = cut(4, vip(4, 14), TCP, segment(80, 76), ident=5)
    second = cut(4, vip(4, 14), UDP, datagram(53, 88), ident=5)
    result = replay(services(), [second[1], *first, *second[:1], *second[2:]])
    assert [ip_of_sent(data) for _, data in result.sent] == [ip_of(frame) for frame in (*first, *second)]


def test_identification_is_used_again():
    """A complete datagram is forgotten at once: the next one of the same identification is its own."""
    frames = []
    for port in range(20000, 20020):
        frames += cut(4, vip(4, 12), UDP, datagram(53, 88, port), ident=9)[:: 1 if port % 2 else -1]
    result = replay(services(), frames)
    assert result.summary["forwarded"] == len(frames)


def test_follows_the_first_one():
    """Later fragments go where the first one went, though the table now says otherwise; when that
    backend is down, they go nowhere."""
    frames = cut(4, vip(4, 12), UDP, datagram(53, 88))
    first = replay(services(), frames[:1]).sent[0][1][33]
    events = f"0.0005 drain web/b{first}\n"
    result = replay(services(), frames, events=events)
    check_order(result, frames)
    assert result.sent[3][1][33] == first
    result = replay(services(), frames, events=events.replace("drain", "down"))
    assert len(result.sent) == 1
    assert result.drops == {2: "no_backend", 3: "no_backend", 4: "no_backend"}


# ---- what does not go to a backend ----


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("workers", [1, 3])
def test_other_ports_are_the_kernels(family, workers):
    """A service that is no VIP's: all fragments, bit for bit, in the order of the others."""
    frames = [frame + b"pad" for frame in cut(family, vip(family), TCP, segment(81, 80))]
    result = replay(services(), [frames[2], frames[1], frames[0], frames[3], frames[4]], "--workers",
                    workers)
    assert [data for _, data in result.slow_path] == [frames[number] for number in (0, 1, 2, 3, 4)]
    assert result.summary["slow_path"] == 5


def test_vip_without_fragments():
    """fragments = false: at once where no VIP of the address takes any, by the port elsewhere."""
    alone = cut(4, vip(4, 11), UDP, datagram())
    beside = cut(4, vip(4, 10), UDP, datagram())
    result = replay(services(), [*alone[::-1], *beside[::-1]])
    assert result.drops == dict.fromkeys(range(1, len(alone) + len(beside) + 1), "fragment")


@pytest.mark.parametrize("family", FAMILIES)
def test_no_backend(family):
    frames = cut(family, vip(family), UDP, datagram(99))
    result = replay(services(), frames[::-1])
    assert set(result.drops.values()) == {"no_backend"}
    assert len(result.drops) == len(frames)


@pytest.mark.parametrize("family", FAMILIES)
def test_elsewhere(family):
    frames = cut(family, vip(family, 99), UDP, datagram())
    result = replay(services(), frames)
    assert [data for _, data in result.slow_path] == frames


@pytest.mark.parametrize("family, last, verdict", [
    (4, 11, "fragment"), (4, 12, "forward"), (4, 13, "icmp_echo"), (6, 15, "fragment"), (6, 12, "forward")])
def test_echo_requests(family, last, verdict):
    data = struct.pack("!BBHHH", 8 if family == 4 else 128, 0, 0, 1, 1) + bytes(88)
    frames = cut(family, vip(family, last), ICMP[family], data)
    result = replay(services(), frames[::-1])
    if verdict == "forward":
        check_order(result, frames)
    else:
        assert result.drops == dict.fromkeys(range(1, 5), verdict)


@pytest.mark.parametrize("family", FAMILIES)
def test_other_protocols(family):
    """To a VIP of every protocol: by addresses, as whole packets go."""
    data = struct.pack("!HHII", 5000, 5001, 1, 0) + bytes(84)
    destination = GRE4.vip(family)
    frames = cut(family, destination, SCTP, data)
    result = replay(CONFIGURATION, [frames[1], frames[0], *frames[2:]])
    assert result.summary["forwarded"] == 4
    check_order(result, frames)


# ---- fragments that nobody should send ----

HEADER = {4: 20, 6: 0}


def bad_table():
    """(name, frames of both families, reasons of all)"""
    for family in FAMILIES:
        there = vip(family)

        def tcp(data, offset, more, ident=1, family=family, there=there, **rest):
            return piece(family, there, TCP, data, offset, more, ident, **rest)

        yield f"empty-first-{family}", [tcp(b"", 0, True)], ["fragment_invalid"]
        yield f"empty-last-{family}", [tcp(b"", 80, False)], ["fragment_invalid"]
        for size in (1, 7, 9, 23, 25):
            yield (f"{size}-and-more-{family}", [tcp(segment(80, 80)[:size], 0, True)],
                   ["fragment_invalid"])
        yield (f"beyond-the-end-{family}", [tcp(bytes(64), 65512 - HEADER[family] // 8 * 8, False)],
               ["fragment_invalid"])
        yield f"far-{family}", [tcp(bytes(16), 65528, False)], ["fragment_invalid"]
        for size in (8, 16):
            yield f"tiny-first-of-{size}-{family}", [tcp(segment()[:size], 0, True)], ["fragment_tiny"]
            yield f"inside-tcp-at-{size}-{family}", [tcp(bytes(16), size, True)], ["fragment_tiny"]
        yield (f"tiny-and-later-{family}", [tcp(bytes(24), 24, False), tcp(segment()[:16], 0, True),
                                            tcp(bytes(8), 48, False)],
               ["fragment_tiny", "fragment_tiny", "fragment_tiny"])
        yield f"tcp-offset-4-{family}", [tcp(segment(80)[:12] + b"\x40" + bytes(11), 0, True)], ["tcp_header"]
        # A header with options that ends in the next fragment; one that ends with the first.
        yield (f"tcp-options-cut-off-{family}", [tcp(segment(80)[:12] + b"\x80" + bytes(11), 0, True),
                                                 tcp(bytes(24), 24, False)], ["fragment_tiny"] * 2)
        yield (f"tcp-options-{family}", [tcp(segment(80)[:12] + b"\x80" + bytes(19), 0, True),
                                         tcp(bytes(24), 32, False)], [None] * 2)
        yield f"udp-length-8-{family}", [piece(family, there, UDP, datagram(99)[:4] + b"\0\x08" + bytes(18), 0,
                                              True)], ["no_backend"]
        yield f"udp-header-alone-{family}", [piece(family, there, UDP, datagram(99)[:8], 0, True)], ["no_backend"]
        yield (f"udp-length-7-{family}", [piece(family, there, UDP, datagram()[:4] + b"\0\7" + bytes(18), 0,
                                                True)], ["udp_header"])
        yield f"ttl-0-{family}", [tcp(segment(), 0, True, ttl=0), tcp(bytes(16), 40, True, ttl=0)], [
            "ttl", "ttl"]
        yield f"land-{family}", [tcp(segment(80, 28), 0, True, source=there)], ["land"]
        yield f"martian-{family}", [tcp(segment(80, 28), 0, True, source={4: "127.0.0.1", 6: "::1"}[family])], [
            "martian_source"]
        # A whole fragment twice is no attack: the second one is dropped, the datagram goes on.
        whole = cut(family, there, TCP, segment(80, 76), ident=1)
        yield f"repeated-first-{family}", [whole[0], whole[0], *whole[1:]], [
            None, "fragment_overlap", None, None, None]
        yield f"repeated-later-{family}", [whole[0], whole[1], whole[1], *whole[2:]], [
            None, None, "fragment_overlap", None, None]
        yield f"repeated-before-first-{family}", [whole[2], whole[2], whole[0], whole[1], whole[3]], [
            None, "fragment_overlap", None, None, None]
        yield f"repeated-refused-{family}", [piece(family, there, UDP, datagram(99)[:24], 0, True)] * 2, [
            "no_backend"] * 2
        # One that overlaps takes its datagram along (RFC 5722).
        yield f"overlap-{family}", [whole[0], tcp(bytes(24), 16 + 8, True), tcp(bytes(24), 32, True), whole[3]], [
            None, None, "fragment_overlap", "fragment_overlap"]
        yield (f"overlap-before-first-{family}", [tcp(bytes(24), 48, True), tcp(bytes(24), 64, True), whole[0]],
               ["fragment_overlap"] * 3)
        yield (f"first-overlaps-{family}", [tcp(bytes(24), 24, True), tcp(segment(80, 28), 0, True)],
               ["fragment_overlap"] * 2)
        yield (f"around-{family}", [tcp(bytes(8), 48, True), tcp(bytes(24), 40, True)], ["fragment_overlap"] * 2)
        yield f"two-ends-{family}", [tcp(bytes(8), 48, False), tcp(bytes(8), 80, False)], [
            "fragment_overlap"] * 2
        yield f"behind-the-end-{family}", [tcp(bytes(8), 48, False), tcp(bytes(8), 56, True)], [
            "fragment_overlap"] * 2
        yield f"end-before-{family}", [tcp(bytes(8), 80, True), tcp(bytes(8), 48, False)], [
            "fragment_overlap"] * 2
        # 22 pieces apart are more than are kept of one datagram.
        yield f"scattered-{family}", [tcp(bytes(8), 160 + 16 * at, True) for at in range(22)], [
            "fragment_overlap"] * 22
        yield f"21-pieces-{family}", [tcp(bytes(8), 160 + 16 * at, True) for at in range(21)], [
            "fragment_timeout"] * 21
    # Nested, cut off and unknown headers behind the fragment header (RFC 7112).
    nested = (44, struct.pack("!BHI", 0, 1, 9))
    options = bytes([6, 0]) + bytes([1, 4]) + bytes(4)
    tail = segment(80, 28)
    yield "nested", [frame_of(ip(6, CLIENT6, vip(6), TCP, tail, headers=[
        (44, struct.pack("!BHI", 0, 1, 1)), nested]))], ["ipv6_extension"]
    yield "options-behind", [piece(6, vip(6), 60, options + tail, 0, True, 1)], [None]
    yield "options-cut-off", [piece(6, vip(6), 60, bytes([6, 9]) + options[2:], 0, True, 1)], ["ipv6_extension"]
    yield "tcp-behind-options-cut-off", [piece(6, vip(6), 60, options + tail[:16], 0, True, 1)], [
        "fragment_tiny"]
    # A header that is not walked, for which a VIP of every protocol would be right.
    for kind in (135, 139, 140, 253, 254):
        for name, frame in (("behind", piece(6, vip(6, 14), kind, options + tail, 0, True, 1)),
                            ("behind-options", piece(6, vip(6, 14), 60, bytes([kind, 0, 1, 4]) + bytes(4) + tail,
                                                     0, True, 1))):
            yield f"{kind}-{name}", [piece(6, vip(6, 14), kind, bytes(24), 96, False, 1), frame], [
                "ipv6_extension"] * 2
    yield "59-behind", [piece(6, vip(6, 14), 59, options + tail, 0, True, 1)], [None]
    # Its own protocol counts in the first fragment alone.
    later = piece(6, vip(6), 99, bytes(24), 56, False, 1)
    yield "other-protocol-later", [later, piece(6, vip(6), 60, options + tail, 0, True, 1)], [None, None]
    yield "ipv4-options", cut(4, vip(4), TCP, segment(80, 76), ident=1, options=b"\x94\4\0\0"), [None] * 4
    yield "ipv4-reserved-bit", cut(4, vip(4), TCP, segment(80, 76), ident=1, flags=0x8000), [None] * 4
    yield "ipv4-dont-fragment", cut(4, vip(4), TCP, segment(80, 76), ident=1, flags=0x4000), [None] * 4


BAD = list(bad_table())


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name, frames, reasons", BAD, ids=[name for name, _, _ in BAD])
def test_bad(name, frames, reasons, workers):
    result = replay(services(), frames, "--workers", workers)
    assert result.status == 0, result.stderr
    assert [result.drops.get(number + 1) for number in range(len(frames))] == reasons
    assert len(result.sent) == reasons.count(None)
    assert result.summary["frames"] == len(frames)


# ---- bounds ----


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seconds, reason", [(1.9, None), (2.1, "fragment_timeout")])
def test_timeout(family, seconds, reason):
    frames = cut(family, vip(family), TCP, segment(80, 76))
    timed = [(10.0, frames[3]), (10.1, frames[2]), (10.0 + seconds, frames[0]),
             (10.0 + seconds, frames[1])]
    result = replay(services(), timed)
    assert result.drops == ({1: reason, 2: reason} if reason else {})
    assert len(result.sent) == (2 if reason else 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_timeout_of_many(family):
    """However many have run out at once: none of them decides on a datagram that uses its
    identification again, or is sent along with it."""
    there = vip(family, 12)
    old = [(10.0, piece(family, there, UDP, datagram()[:24], 0, True, ident)) for ident in range(600)]
    old += [(10.0, piece(family, there, UDP, bytes(24), 24, True, ident)) for ident in range(600, 850)]
    new = [(13.0, frame) for ident in (599, 849) for frame in cut(family, there, UDP, datagram(), ident=ident)]
    result = replay(services(), [*old, *new])
    assert result.drops == dict.fromkeys(range(601, 851), "fragment_timeout")
    assert [ip_of_sent(data) for _, data in result.sent] == [ip_of(frame) for _, frame in [*old[:600], *new]]


def test_timeout_is_configured():
    frames = cut(4, vip(4), TCP, segment(80, 76))
    timed = [(10.0, frames[3]), (10.06, frames[0])]
    assert replay(services('fragments = { timeout = "50ms"; };'), timed).drops == {1: "fragment_timeout"}
    assert replay(services('fragments = { timeout = "60s"; };'), timed).drops == {}


def test_nothing_is_forgotten():
    """What still waits when the capture ends is dropped, and counted, too."""
    for workers in (1, 4):
        frames = [frame for each in flows(4, 10) for frame in each[1:]]
        result = replay(services(), frames, "--workers", workers)
        assert result.drops == dict.fromkeys(range(1, 31), "fragment_timeout")
        assert result.summary["dropped"]["total"] == 30


def test_room_for_those_that_wait():
    """256 wait; for more, the oldest datagram makes room, and is lost as a whole."""
    frames = [piece(4, vip(4, 12), UDP, bytes(8), 80, True, ident) for ident in range(300)]
    result = replay(services(), frames)
    assert [result.drops[number + 1] for number in range(300)] == (
        ["fragment_limit"] * 44 + ["fragment_timeout"] * 256)
    first = piece(4, vip(4, 12), UDP, datagram()[:24], 0, True, 3)
    last = piece(4, vip(4, 12), UDP, datagram()[:24], 0, True, 299)
    result = replay(services(), [*frames, first, last])
    assert result.drops[301] == "fragment_limit"
    assert [ip_of_sent(data) for _, data in result.sent] == [ip_of(last), ip_of(frames[299])]


def test_one_datagram_of_too_many():
    """A datagram alone that needs more room than there is does not take the others' with it twice."""
    pieces = [piece(6, vip(6, 12), UDP, bytes(8), 80 + 8 * at, True, 1) for at in range(257)]
    other = [piece(6, vip(6, 12), UDP, bytes(8), 80, True, 2), piece(6, vip(6, 12), UDP, datagram()[:24], 0, True, 2)]
    result = replay(services(), [*pieces, *other])
    assert [result.drops.get(number + 1) for number in range(259)] == ["fragment_limit"] * 257 + [None] * 2


def test_room_for_datagrams():
    """256 datagrams are known at the least; the oldest decided one is forgotten first."""
    configuration = services("fragments = { capacity = 256; };")
    first = [piece(4, vip(4, 12), UDP, datagram()[:24], 0, True, ident) for ident in range(257)]
    later = [piece(4, vip(4, 12), UDP, bytes(24), 24, False, ident) for ident in (256, 1, 0)]
    result = replay(configuration, [*first, *later])
    assert result.drops == {260: "fragment_timeout"}


# ---- with what else there is ----


def test_fragments_too_long_for_the_way():
    """IPv4 ones are cut again, IPv6 ones answered."""
    frames = cut(4, vip(4, 12), UDP, datagram(53, 2800), 1400)
    result = replay(services(), frames[::-1], "--mtu", 1000)
    packets = [ip_of_sent(data) for _, data in result.sent]
    assert [struct.unpack_from("!H", packet, 6)[0] for packet in packets] == [
        0x2000, 0x2000 | 952 // 8, 0x2000 | 1400 // 8, 0x2000 | (1400 + 952) // 8, 2800 // 8]
    assert b"".join(packet[20:] for packet in packets) == datagram(53, 2800)
    frames = cut(6, vip(6, 12), UDP, datagram(53, 2800), 1400)
    result = replay(services(), frames, "--mtu", 1400)
    assert result.summary["answered"] == 2
    assert all(data[54] == 2 for _, data in result.sent if data[12:14] == b"\x86\xdd")


def test_last_offset_cut_again():
    """The offset of the last part has all its 13 bits."""
    frames = [piece(4, vip(4, 12), UDP, datagram()[:24], 0, True),
              piece(4, vip(4, 12), UDP, bytes(range(250)) + bytes(1014), 64240, False)]
    result = replay(services(), frames, "--mtu", 700)
    assert [struct.unpack_from("!H", ip_of_sent(data), 6)[0] & 0x1FFF for _, data in result.sent] == [
        0, 8030, 8030 + 656 // 8]


@pytest.mark.parametrize("inner", FAMILIES)
def test_from_a_tunnel(inner):
    """Fragments that come in GRE, on several workers."""
    configuration = services('decapsulation = { sources = ( "10.9.0.1" ); };')
    frames = cut(inner, vip(inner, 12), UDP, datagram(53, 88))
    packets = [ip_of(frame) for frame in frames]
    tunnel = [frame_of(ip(4, "10.9.0.1", "10.0.0.5", 47,
                          b"\0\0" + {4: b"\x08\0", 6: b"\x86\xdd"}[inner] + packet))
              for packet in packets]
    for workers in (1, 4):
        result = replay(configuration, tunnel[::-1], "--workers", workers)
        assert [ip_of_sent(data) for _, data in result.sent] == packets


@pytest.mark.parametrize("tags", [b"\x81\0\0\x64", b"\x88\xa8\0\x0a\x81\0\0\x64"])
def test_tags_stay(tags):
    """Under VLAN tags, also when the fragment had to wait."""
    frames = [frame[:12] + tags + frame[12:] for frame in cut(4, vip(4, 12), UDP, datagram(53, 88))]
    result = replay(services(), frames[::-1], "--workers", 2)
    assert len(result.sent) == 4
    for frame, (_, sent) in zip(frames, result.sent, strict=True):
        assert sent[12 : 12 + len(tags)] == tags
        assert sent.endswith(inner_of(frame[:12] + frame[12 + len(tags) :]))
    assert {sent[12 + len(tags) :][:2] for _, sent in result.sent} == {b"\x08\0"}


def test_address_bytes():
    """The outer destination of every fragment is a backend's."""
    frames = cut(4, vip(4, 12), UDP, datagram(53, 88))
    for _, sent in replay(services(), frames).sent:
        assert sent[30:34] in [address(f"10.1.0.{number}") for number in range(1, 9)]


# ---- clusters ----

@pytest.mark.parametrize("outer", FAMILIES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("workers", [1, 4])
def test_cluster(outer, family, workers):
    """Each fragment of a datagram reaches one and the same load balancer, whichever it came to, and
    is sent on once at most."""
    names = {name: name if outer == 4 else f"fd00::{name[-1]}" for name in LBS}
    owners = set()
    for client in range(12):
        source = f"198.51.100.{client + 1}" if family == 4 else f"2001:db8:1::{client + 1:x}"
        frames = cut(family, vip(family, 12), UDP, datagram(53, 88), source=source)
        at = {}
        for name in LBS:
            result = replay(cluster(name, outer), frames, "--workers", workers)
            assert result.summary["forwarded"] == 4
            here = {owner for owner in LBS if owner != name and [data for _, data in result.sent] == [
                redirected(frame, outer, names[name], names[owner]) for frame in frames]}
            at[name] = here.pop() if here else name
        [owner] = set(at.values())
        assert at[owner] == owner
        owners.add(owner)
        # What was sent on goes to a backend there, also when the others see it.
        for name in LBS:
            for other in set(LBS) - {name}:
                arriving = [redirected(frame, outer, names[other], names[name]) for frame in frames[::-1]]
                result = replay(cluster(name, outer), arriving, "--workers", workers)
                assert [ip_of_sent(data) for _, data in result.sent] == [ip_of(frame) for frame in frames]
                assert {data[30:33] for _, data in result.sent} == {bytes([10, 1, 0])}
    assert owners == set(LBS)


def test_cluster_lists_itself_or_not():
    frames = [frame for each in flows(4, 20) for frame in each]
    whole = replay(cluster(LBS[0]), frames)
    assert replay(cluster(LBS[0], 4, LBS[:0:-1]), frames).raw == whole.raw


def test_only_peers_redirect():
    """GRE with the recursion bit from anybody else, or to another address, is the kernel's; from a peer
    it is so without the bit."""
    frames = cut(4, vip(4, 12), UDP, datagram(53, 88))
    for source, destination in (("10.0.0.8", LBS[0]), (LBS[1], "10.0.0.8"), (LBS[0], LBS[0])):
        arriving = [redirected(frame, 4, source, destination) for frame in frames]
        result = replay(cluster(LBS[0]), arriving)
        assert [data for _, data in result.slow_path] == arriving
    plain = [frame[:34] + b"\0" + frame[35:] for frame in
             (redirected(frame, 4, LBS[1], LBS[0]) for frame in frames)]
    assert [data for _, data in replay(cluster(LBS[0]), plain).slow_path] == plain


@pytest.mark.parametrize("outer", FAMILIES)
def test_peers_redirect_fragments_alone(outer):
    """Whole packets are never sent on, so what claims to be one is the kernel's; but where tunnels from
    there end here anyway, it is as any of them."""
    names = LBS if outer == 4 else ("fd00::5", "fd00::6")
    listed = cluster(LBS[0], outer).replace("pools =", f'decapsulation = {{ sources = ( "{names[1]}" ); }};\npools =')
    atomic = (44, struct.pack("!BHI", 0, 0, 9))
    for family, headers in ((4, []), (6, []), (6, [atomic]), (6, [(0, bytes([0, 1, 4, 0, 0, 0, 0]))])):
        frame = frame_of(ip(family, CLIENTS[family], vip(family, 12), UDP, datagram(), headers=headers))
        arriving = redirected(frame, outer, names[1], names[0])
        result = replay(cluster(LBS[0], outer), [arriving])
        assert [data for _, data in result.slow_path] == [arriving]
        assert [ip_of_sent(data) for _, data in replay(listed, [arriving]).sent] == [ip_of(frame)]
    # A fragment is not sent on again, though tunnels from there end here.
    for client in range(8):
        frames = cut(4, vip(4, 12), UDP, datagram(53, 88), source=f"198.51.100.{client + 1}")
        result = replay(listed, [redirected(frame, outer, names[1], names[0]) for frame in frames])
        assert [data[30:33] for _, data in result.sent] == [bytes([10, 1, 0])] * 4


def test_whole_packets_stay():
    """Only fragments are sent on: a flow's other packets have one backend at every load balancer."""
    frame = frame_of(ip(4, CLIENT, vip(4, 12), UDP, datagram(53, 88)))
    for name in LBS:
        [(_, data)] = replay(cluster(name), [frame]).sent
        assert data[30:33] == bytes([10, 1, 0])


def test_cluster_fragments_false():
    result = replay(cluster(LBS[0]), cut(4, vip(4, 11), UDP, datagram()))
    assert set(result.drops.values()) == {"fragment"}
