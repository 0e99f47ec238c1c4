# SPDX-License-Identifier: BSD-2-Clause
"""Echo requests in fragments: each is answered by the same fragment of the reply."""

import itertools
import random
import struct

import pytest

from fragments import (CLIENTS, FAMILIES, ICMP, LBS, UDP, cluster, cut, datagram, ip_of_sent, piece,
                       services, vip)
from messages import frame_of, ip, summed
from outer import address, ip_of
from parts import fix
from replay import replay

TYPES = {4: (8, 0), 6: (128, 129)}
LINK = 14


def request(family, destination, data, code=0, ident=0x1234, sequence=7, source=None, kind=None):
    """A whole echo request with its checksum."""
    kind = TYPES[family][0] if kind is None else kind
    return summed(family, source or CLIENTS[family], destination,
                  struct.pack("!BBHHH", kind, code, 0, ident, sequence) + data)


def payload(size):
    return bytes(at * 7 % 253 for at in range(size))


def message_of(frame):
    """(offset, more, what is behind the headers) of a sent IPv4 or IPv6 fragment."""
    packet = frame[LINK:]
    if packet[0] >> 4 == 4:
        fields = struct.unpack_from("!H", packet, 6)[0]
        return (fields & 0x1FFF) * 8, bool(fields & 0x2000), packet[20 : struct.unpack_from("!H", packet, 2)[0]]
    assert packet[6] == 44
    fields = struct.unpack_from("!H", packet, 42)[0]
    return fields & 0xFFF8, bool(fields & 1), packet[48 : 40 + struct.unpack_from("!H", packet, 4)[0]]


def reassemble(frames):
    """The message that the fragments carry, of which none is missing, doubled or overlaps."""
    pieces = sorted(map(message_of, frames))
    data = b""
    for number, (offset, more, part) in enumerate(pieces):
        assert offset == len(data)
        assert more == (number + 1 < len(pieces))
        data += part
    return data


def is_right(family, source, destination, message):
    """Whether the receiver's sum over the whole message is right."""
    pseudo = b"" if family == 4 else (address(source) + address(destination)
                                      + struct.pack("!IHBB", len(message), 0, 0, 58))
    data = pseudo + message
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def check_reply(family, destination, frames, asked, source=None):
    source = source or CLIENTS[family]
    got = reassemble(frames)
    assert got[:2] == bytes([TYPES[family][1], 0])
    assert got[4:] == asked[4:]
    assert is_right(family, destination, source, got)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_order(family, order):
    there = vip(family)
    asked = request(family, there, payload(88))
    frames = cut(family, there, ICMP[family], asked, 24)
    assert len(frames) == 4
    result = replay(services(), [frames[number] for number in order])
    assert result.summary["answered"] == 4
    assert result.drops == {}
    check_reply(family, there, [data for _, data in result.sent], asked)
    # The first one leaves first.
    assert message_of(result.sent[0][1])[0] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_byte(family):
    """Headers as of an answer to a whole request; what makes it a fragment as in the request's."""
    there, asked = vip(family), request(family, vip(family), payload(49))
    frames = cut(family, there, ICMP[family], asked, 24, ident=0xFEDC)
    result = replay(services(), frames)
    assert len(result.sent) == len(frames) == 3
    for number, (frame, (_, sent)) in enumerate(zip(frames, result.sent, strict=True)):
        packet = ip_of(frame)
        assert sent[:14] == frame[6:12] + frame[:6] + frame[12:14]
        if family == 4:
            head = struct.pack("!BB", 0x45, packet[1]) + packet[2:8] + bytes([64, 1, 0, 0])
            assert sent[14:34] == fix(head + packet[16:20] + packet[12:16])
        else:
            assert sent[14:62] == (b"\x60\0\0\0" + packet[4:6] + bytes([44, 64]) + packet[24:40]
                                   + packet[8:24] + packet[40:48])
        if number > 0:
            assert sent[14:][20 if family == 4 else 48 :] == packet[20 if family == 4 else 48 :]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [9, 16, 17, 1473, 8000, 65000])
@pytest.mark.parametrize("workers", [1, 4])
def test_sizes(family, size, workers):
    there, step = vip(family), 8 if size < 100 else 1448
    asked = request(family, there, payload(size))
    frames = cut(family, there, ICMP[family], asked, step)
    result = replay(services(), frames[::-1], "--workers", workers)
    assert result.summary["answered"] == len(frames)
    check_reply(family, there, [data for _, data in result.sent], asked)


@pytest.mark.parametrize("family", FAMILIES)
def test_checksums(family):
    """Whatever the sum is before, it is right afterwards: every kind of carry, and of zero."""
    chance = random.Random(4)
    cases = [(0, 0, 0, bytes(24)), (0, 0, 0, bytes(25)), (0, 0xFFFF, 0, bytes(24)), (0, 0, 0, b"\xff" * 24),
             (0, 0xFFFF, 0xFFFF, b"\xff" * 25), (255, 0, 0, bytes(24)), (1, 0xF7FF, 0, bytes(24))]
    cases += [(chance.randrange(256) if chance.randrange(2) else 0, chance.randrange(0x10000), number,
               chance.randbytes(24)) for number in range(40)]
    # With every checksum that is near a border of 16 bits: the sequence number makes it so.
    for checksum in (0, 1, 0xFE, 0xFF, 0x100, 0x7FF, 0x800, 0x801, 0x80FF, 0xF7FE, 0xF7FF, 0xF800, 0xFFFE, 0xFFFF):
        base = struct.unpack_from("!H", request(family, vip(family), bytes(24), 0, 0, 0), 2)[0]
        cases.append((0, (base - checksum) % 0xFFFF, 0, bytes(24)))
    frames, requests = [], []
    for number, (code, ident, sequence, data) in enumerate(cases):
        asked = request(family, vip(family), data, code, ident, sequence)
        assert is_right(family, CLIENTS[family], vip(family), asked)
        requests.append(asked)
        frames += cut(family, vip(family), ICMP[family], asked, 16, ident=100 + number)
    result = replay(services(), frames)
    assert result.summary["answered"] == len(frames) == sum(len(asked) + 15 >> 4 for asked in requests)
    sent = [data for _, data in result.sent]
    for asked in requests:
        count = len(asked) + 15 >> 4
        check_reply(family, vip(family), sent[:count], asked)
        del sent[:count]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_checksum_stays_wrong(family):
    """Nobody here sees the whole message: the receiver has to find it out."""
    there = vip(family)
    asked = bytearray(request(family, there, payload(88)))
    asked[60] ^= 1
    result = replay(services(), cut(family, there, ICMP[family], bytes(asked)))
    got = reassemble([data for _, data in result.sent])
    assert got[4:] == asked[4:] and not is_right(family, there, CLIENTS[family], got)


def test_traffic_class_and_tags_stay():
    for family, at in ((4, 15), (6, 14)):
        frames = cut(family, vip(family), ICMP[family], request(family, vip(family), payload(40)))
        tagged = []
        for frame in frames:
            frame = bytearray(frame)
            if family == 4:
                frame[at] = 0xB9
                frame[14:34] = fix(bytes(frame[14:24]) + b"\0\0" + bytes(frame[26:34]))
            else:
                frame[at] |= 0xB
                frame[at + 1] |= 0x90
            tagged.append(bytes(frame[:12]) + b"\x88\xa8\0\x0a\x81\0\0\x64" + bytes(frame[12:]))
        result = replay(services(), tagged[::-1], "--workers", 2)
        assert result.summary["answered"] == 2
        for _, sent in result.sent:
            assert sent[12:20] == b"\x88\xa8\0\x0a\x81\0\0\x64"
            packet = sent[22:]
            assert (packet[1] if family == 4 else (packet[0] << 8 | packet[1]) >> 4 & 0xFF) == 0xB9


def test_flags_stay():
    """Of IPv4: DF and the reserved bit, too."""
    for flags in (0x4000, 0x8000):
        frames = cut(4, vip(4), 1, request(4, vip(4), payload(40)), flags=flags)
        result = replay(services(), frames)
        assert [data[20:22] for _, data in result.sent] == [frame[20:22] for frame in frames]
        assert len(result.sent) == 2


def test_options_do_not_stay():
    """Neither those of IPv4 nor what stands in front of the fragment header of IPv6."""
    asked = request(4, vip(4), payload(40))
    result = replay(services(), cut(4, vip(4), 1, asked, options=b"\x94\4\0\0\1\1\1\1"))
    assert {data[14] for _, data in result.sent} == {0x45}
    check_reply(4, vip(4), [data for _, data in result.sent], asked)
    asked = request(6, vip(6), payload(40))
    hop_by_hop, routing = (0, bytes([0, 1, 4, 0, 0, 0, 0])), (43, bytes([0, 4, 0, 0, 0, 0, 0]))
    for headers in ([hop_by_hop], [hop_by_hop, routing, routing]):
        result = replay(services(), cut(6, vip(6), 58, asked, headers=headers)[::-1])
        assert result.summary["answered"] == 2
        check_reply(6, vip(6), [data for _, data in result.sent], asked)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_does_not_stay(family):
    frames = cut(family, vip(family), ICMP[family], request(family, vip(family), payload(20)))
    result = replay(services(), [frame + b"padding" for frame in frames])
    assert [len(data) for _, data in result.sent] == [len(frame) for frame in frames]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_fragment_takes_a_token(family):
    there = vip(family)
    frames = [frame for ident in range(2) for frame in cut(
        family, there, ICMP[family], request(family, there, payload(88)), ident=ident)]
    limit = "icmp = { echo_rate = %d; };"
    timed = [(10.0, frame) for frame in frames]
    result = replay(services(limit % 5), timed)
    assert result.summary["answered"] == 5
    assert result.drops == {6: "icmp_rate", 7: "icmp_rate", 8: "icmp_rate"}
    result = replay(services(limit % 0), timed)
    assert result.drops == dict.fromkeys(range(1, 9), "icmp_rate")
    # Those that waited, too; it is the same limit as that of whole requests.
    whole = frame_of(ip(family, CLIENTS[family], there, ICMP[family], request(family, there, payload(20))))
    result = replay(services(limit % 4), [(10.0, frame) for frame in [whole, *frames[3::-1], whole]])
    assert result.summary["answered"] == 4
    assert sorted(result.drops.values()) == ["icmp_rate"] * 2


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_answered(family):
    """Anything but a request, whatever stands behind the fragment header, and where the VIP does not want
    it."""
    there = vip(family)

    def reasons(destination, message, **more):
        frames = cut(family, destination, ICMP[family], message, **more)
        result = replay(services(), frames[::-1])
        assert result.summary["answered"] == 0
        assert len(result.drops) == len(frames)
        return set(result.drops.values())

    for kind in range(256):
        if kind == TYPES[family][0]:
            continue
        assert kind % 16 or reasons(there, request(family, there, payload(40), kind=kind)) == {"fragment"}
    for kind in (TYPES[family][1], 3, 5, 13, 17, 42, 127, 133):
        assert reasons(there, request(family, there, payload(40), kind=kind)) == {"fragment"}
    assert reasons(vip(family, 15), request(family, vip(family, 15), payload(40))) == {"fragment"}


def test_vips_that_differ():
    """The VIP that takes the pings of an address, its first one, says whether it takes fragments of them."""
    frames = cut(4, vip(4), 1, request(4, vip(4), payload(40)))
    first = 'address = "203.0.113.10"; protocol = "tcp"; port = 80; pool = "web";'
    assert replay(services(), frames).summary["answered"] == 2
    result = replay(services().replace(first, first + " fragments = false;"), frames)
    assert result.drops == {1: "fragment", 2: "fragment"}


def test_other_family():
    """ICMP over IPv6 and ICMPv6 over IPv4 are no echo requests; the address has no VIP for them."""
    for family, protocol, kind in ((4, 58, 128), (6, 1, 8)):
        frames = cut(family, vip(family), protocol, request(family, vip(family), payload(40), kind=kind))
        result = replay(services(), frames)
        assert [data for _, data in result.slow_path] == frames


def test_headers_behind_the_fragment_header():
    """An answer would have to be without them, and its offsets others."""
    asked = request(6, vip(6), payload(40))
    behind = bytes([58, 0, 1, 4, 0, 0, 0, 0]) + asked
    result = replay(services(), cut(6, vip(6), 60, behind)[::-1])
    assert result.drops == dict.fromkeys(range(1, 4), "fragment")
    asked = request(6, vip(6, 12), payload(40))
    behind = bytes([58, 0, 1, 4, 0, 0, 0, 0]) + asked
    assert replay(services(), cut(6, vip(6, 12), 60, behind)[::-1]).summary["forwarded"] == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_repeated_and_overlapping(family):
    there = vip(family)
    frames = cut(family, there, ICMP[family], request(family, there, payload(88)))
    result = replay(services(), [frames[0], frames[0], frames[2], frames[1], frames[1], frames[3]])
    assert result.drops == {2: "fragment_overlap", 5: "fragment_overlap"}
    assert result.summary["answered"] == 4
    bad = piece(family, there, ICMP[family], bytes(24), 16, True)
    result = replay(services(), [frames[0], frames[2], bad, frames[1]])
    assert result.drops == {3: "fragment_overlap", 4: "fragment_overlap"}
    assert result.summary["answered"] == 2


def test_between_other_datagrams():
    """Answers leave behind what is forwarded, each to its own."""
    there = vip(4, 14)
    echo = cut(4, there, 1, request(4, there, payload(88)), ident=3)
    data = cut(4, there, UDP, datagram(53, 88), ident=3)
    result = replay(services(), [echo[1], data[1], data[0], echo[0], *echo[2:], *data[2:]])
    assert result.summary["answered"] == result.summary["forwarded"] == 4
    backends = sum(each["frames"] for each in result.summary["backends"])
    assert backends == 4


@pytest.mark.parametrize("inner", FAMILIES)
def test_from_a_tunnel(inner):
    """As whole requests: without a tunnel, to where the frame came from."""
    there = vip(inner)
    asked = request(inner, there, payload(88))
    frames = cut(inner, there, ICMP[inner], asked)
    tunnel = [frame_of(ip(4, "10.9.0.1", "10.0.0.5", 47,
                          b"\0\0" + {4: b"\x08\0", 6: b"\x86\xdd"}[inner] + ip_of(frame))) for frame in frames]
    result = replay(services('decapsulation = { sources = ( "10.9.0.1" ); };'), tunnel[::-1], "--workers", 3)
    assert result.summary["answered"] == 4
    check_reply(inner, there, [data for _, data in result.sent], asked)
    assert {data[:12] for _, data in result.sent} == {tunnel[0][6:12] + tunnel[0][:6]}


@pytest.mark.parametrize("family", FAMILIES)
def test_cluster(family):
    """Whoever gets them answers them: a peer's answer would come back to the load balancer that sent it
    on. Where pings are forwarded, they go to one load balancer as all fragments do."""
    for name in LBS:
        for client in range(6):
            source = f"198.51.100.{client + 1}" if family == 4 else f"2001:db8:1::{client + 1:x}"
            asked = request(family, vip(family), payload(88), source=source)
            result = replay(cluster(name), cut(family, vip(family), ICMP[family], asked, source=source))
            assert result.summary["answered"] == 4
            check_reply(family, vip(family), [data for _, data in result.sent], asked, source)
    owners = set()
    for name in LBS:
        asked = request(family, vip(family, 12), payload(88))
        frames = cut(family, vip(family, 12), ICMP[family], asked)
        result = replay(cluster(name), frames)
        assert [ip_of_sent(data) for _, data in result.sent] == [ip_of(frame) for frame in frames]
        owners |= {name if data[30:33] == bytes([10, 1, 0]) else data[30:34] for _, data in result.sent}
    assert len(owners) == 2


def test_reload_between():
    """The rest follows the first fragment, whatever the VIP is to do with pings by then."""
    there = vip(4)
    asked = request(4, there, payload(88))
    frames = cut(4, there, 1, asked)
    other = services().replace('address = "203.0.113.10";', 'address = "203.0.113.10"; icmp_echo = "drop";')
    result = replay(services(), frames, events="0.0015 reload other.conf\n", files={"other.conf": other})
    assert result.summary["answered"] == 4
    check_reply(4, there, [data for _, data in result.sent], asked)
    result = replay(services(), frames, events="0 reload other.conf\n", files={"other.conf": other})
    assert set(result.drops.values()) == {"icmp_echo"}
