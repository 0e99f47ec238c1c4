# SPDX-License-Identifier: BSD-2-Clause
"""ICMP to VIPs, path MTU, VLAN tags and encapsulated ingress, over both families.

What has to leave is put together here from the RFCs, with checksums of our own.
"""

import struct

import pytest
from frames import (CLIENT, CLIENT_MAC, ICMP, IP, LB_MAC, TCP, UDP, Dot1Q, Ether, IPv6, Raw,
                    checksum, ethernet, raw)
from messages import CLIENTS, frame_of, icmp, ip
from outer import BY_VIP, CLIENT6, CONFIGURATION, KINDS, SOURCE, SOURCE6, check_sent, ip_of, packet
from replay import replay
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6ND_NS,
                                ICMPv6PacketTooBig, ICMPv6TimeExceeded)

GRE = next(kind for kind in KINDS if kind.name == "gre-in-4")
GRE6 = next(kind for kind in KINDS if kind.name == "gre-in-6")
assert BY_VIP


def sum_of(data):
    return checksum(data + b"\0" * (len(data) % 2))


def echo(inner, payload=b"x" * 56, **ip):
    if inner == 4:
        return ethernet(IP(src=CLIENT, dst=GRE.vip(4), **ip) / ICMP(id=77, seq=3) / Raw(payload))
    return ethernet(IPv6(src=CLIENT6, dst=GRE.vip(6), **ip)
                    / ICMPv6EchoRequest(id=77, seq=3, data=payload))


def answer_to(frame):
    """The parts of an answer whose headers are right: (source, destination, message)."""
    assert frame[:12] == bytes.fromhex((CLIENT_MAC + LB_MAC).replace(":", ""))
    at = 12
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    ip = frame[at + 2:]
    if frame[at:at + 2] == b"\x08\x00":
        assert ip[0] == 0x45 and ip[8] == 64 and ip[9] == 1 and checksum(ip[:20]) == 0
        assert struct.unpack_from("!H", ip, 2)[0] == len(ip)
        assert sum_of(ip[20:]) == 0
        return ip[12:16], ip[16:20], ip[20:]
    assert ip[0] >> 4 == 6 and ip[6] == 58 and ip[7] == 64
    assert struct.unpack_from("!H", ip, 4)[0] == len(ip) - 40
    assert sum_of(ip[8:40] + struct.pack("!II", len(ip) - 40, 58) + ip[40:]) == 0
    return ip[8:24], ip[24:40], ip[40:]


def address(frame, inner, which):
    at = {4: 26, 6: 22}[inner] + which * {4: 4, 6: 16}[inner]
    return frame[at:at + {4: 4, 6: 16}[inner]]


def run(frames, *arguments, configuration=CONFIGURATION):
    result = replay(configuration, frames, *arguments)
    assert result.status == 0, result.stderr
    summary = result.summary
    assert summary["frames"] == (summary["forwarded"] + summary["slow_path"]
                                 + summary["answered"] + summary["dropped"]["total"])
    return result


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 2, 55, 56, 1400])
def test_echo_is_answered(inner, size):
    payload = bytes(i % 251 for i in range(size))
    request = echo(inner, payload)
    [(_, sent)] = run([request + b"\xee" * 5]).sent
    source, destination, message = answer_to(sent)
    assert (source, destination) == (address(request, inner, 1), address(request, inner, 0))
    assert message[:2] == {4: b"\0\0", 6: b"\x81\0"}[inner]
    assert message[4:] == struct.pack("!HH", 77, 3) + payload


@pytest.mark.parametrize("inner", [4, 6])
def test_the_code_of_an_answer_is_0(inner):
    """Found by fuzzing: a request with another code was answered with that code."""
    layer = (IP(src=CLIENT, dst=GRE.vip(4)) / ICMP(code=32, id=77, seq=3) if inner == 4 else
             IPv6(src=CLIENT6, dst=GRE.vip(6)) / ICMPv6EchoRequest(code=32, id=77, seq=3))
    [(_, sent)] = run([ethernet(layer)]).sent
    assert answer_to(sent)[2][1] == 0


def test_echo_with_options_and_tags():
    plain = run([echo(4)]).sent[0][1]
    with_options = raw(Ether(dst=LB_MAC, src=CLIENT_MAC) / IP(
        src=CLIENT, dst=GRE.vip(4), options=b"\x01" * 8) / ICMP(id=77, seq=3) / Raw(b"x" * 56))
    assert run([with_options]).sent[0][1] == plain
    tagged = raw(Ether(dst=LB_MAC, src=CLIENT_MAC) / Dot1Q(vlan=5, prio=3)) + echo(4)[12:]
    tagged = tagged[:12] + b"\x81\x00\x60\x05" + echo(4)[12:]
    assert run([tagged]).sent[0][1] == plain[:12] + b"\x81\x00\x60\x05" + plain[12:]


@pytest.mark.parametrize("inner", [4, 6])
def test_echo_is_as_configured(inner):
    for policy, outcome in (("forward", "forwarded"), ("drop", "icmp_echo")):
        text = CONFIGURATION.replace('protocol = "any";',
                                     f'icmp_echo = "{policy}"; protocol = "any";')
        result = run([echo(inner)], configuration=text)
        if outcome == "forwarded":
            check_sent(echo(inner), result.sent[0][1])
        else:
            assert result.drops == {1: outcome}


@pytest.mark.parametrize("inner", [4, 6])
def test_echo_rate(inner):
    """A second's worth at once, then as many as time gives."""
    text = CONFIGURATION + "icmp = { echo_rate = 10; };"
    frames = [(100.0, echo(inner))] * 30 + [(100.5, echo(inner))] * 10
    result = run(frames, configuration=text)
    assert result.summary["answered"] == 15
    assert set(result.drops.values()) == {"icmp_rate"}
    assert list(result.drops) == [*range(11, 31), *range(36, 41)]
    none = CONFIGURATION + "icmp = { echo_rate = 0; };"
    assert run([echo(inner)], configuration=none).drops == {1: "icmp_rate"}
    # Whenever a capture begins, nothing was answered before.
    assert run([(0.0, echo(inner))] * 12, configuration=text).summary["answered"] == 10


def test_bad_echo_requests():
    good = {4: echo(4), 6: echo(6)}
    bad = [good[4][:40] + b"\xde" + good[4][41:], good[6][:60] + b"\xde" + good[6][61:]]
    short = ethernet(IP(src=CLIENT, dst=GRE.vip(4), proto=1) / Raw(b"\x08\0\xf7\xff"))
    assert run([*bad, short]).drops == {n: "icmp_header" for n in (1, 2, 3)}
    sources = ["127.0.0.1", "0.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"]
    martians = [ethernet(IP(src=each, dst=GRE.vip(4)) / ICMP()) for each in sources]
    martians += [ethernet(IPv6(src=each, dst=GRE.vip(6)) / ICMPv6EchoRequest())
                 for each in ("::", "::1", "ff02::1", "fe80::1")]
    assert set(run(martians).drops.values()) == {"martian_source"}
    odd = [ethernet(IP(src=GRE.vip(4), dst=GRE.vip(4)) / UDP()),
           ethernet(IPv6(src=GRE.vip(6), dst=GRE.vip(6)) / UDP()),
           ethernet(IP(src=CLIENT, dst=GRE.vip(4), ttl=0) / UDP()),
           ethernet(IPv6(src=CLIENT6, dst=GRE.vip(6), hlim=0) / UDP())]
    assert list(run(odd).drops.values()) == ["land", "land", "ttl", "ttl"]


def test_neighbour_discovery_is_the_kernels():
    frame = ethernet(IPv6(src="fe80::1", dst=GRE.vip(6)) / ICMPv6ND_NS(tgt=GRE.vip(6)))
    assert [data for _, data in run([frame]).slow_path] == [frame]


# ---- errors about packets of a VIP ----

BACKENDS = ", ".join(f'{{ name = "b{n}"; address = "10.1.0.{n}"; }}' for n in range(1, 6))


def several(backends=BACKENDS):
    return (f'hash_seed = "1"; source_address = {{ ipv4 = "{SOURCE}"; }};'
            f'pools = ( {{ name = "web"; backends = ( {backends} ); }} );'
            'vips = ( { address = "203.0.113.10"; protocol = "tcp"; port = 80; pool = "web"; },'
            '{ address = "2001:db8::10"; protocol = "tcp"; port = 80; pool = "web"; } );')


def flow(inner, port, flags="A"):
    layer = (IP(src=CLIENT, dst="203.0.113.10") if inner == 4
             else IPv6(src=CLIENT6, dst="2001:db8::10"))
    return ethernet(layer / TCP(sport=port, dport=80, flags=flags))


def error(inner, port, cut=8, kind=0, source=None, quoted_source=None):
    """About a packet that the VIP sent to that port; `cut`: bytes of TCP that are quoted."""
    if inner == 4:
        quoted = raw(IP(src=quoted_source or "203.0.113.10", dst=CLIENT)
                     / TCP(sport=80, dport=port))[:20 + cut]
        layer = [ICMP(type=3, code=4, nexthopmtu=1400), ICMP(type=11), ICMP(type=12)][kind]
        return ethernet(IP(src=source or "192.0.2.200", dst="203.0.113.10") / layer / Raw(quoted))
    quoted = raw(IPv6(src=quoted_source or "2001:db8::10", dst=CLIENT6)
                 / TCP(sport=80, dport=port))[:40 + cut]
    layer = [ICMPv6PacketTooBig(mtu=1400), ICMPv6TimeExceeded(), ICMPv6DestUnreach()][kind]
    return ethernet(IPv6(src=source or "2001:db8:9::1", dst="2001:db8::10") / layer / Raw(quoted))


def backend_of(sent):
    return sent[33]


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("cut", [4, 8, 20])
def test_errors_follow_their_flow(inner, kind, cut):
    frames = []
    for port in range(1024, 1064):
        frames += [flow(inner, port), error(inner, port, cut, kind)]
    result = run(frames, configuration=several())
    assert result.summary["forwarded"] == len(frames)
    used = [backend_of(data) for _, data in result.sent]
    assert used[0::2] == used[1::2] and len(set(used)) == 5
    assert all(data.endswith(ip_of(frame)) for frame, (_, data) in zip(frames, result.sent))
    # Without a connection on record the consistent hash says the same.
    alone = run(frames[1::2], configuration=several())
    assert [backend_of(data) for _, data in alone.sent] == used[1::2]


@pytest.mark.parametrize("inner", [4, 6])
def test_the_connection_on_record_comes_first(inner):
    ports = range(1024, 1124)
    frames = [(1.0, flow(inner, port)) for port in ports]
    frames += [(2.0, error(inner, port)) for port in ports]
    few = several(", ".join(BACKENDS.split(", ")[:2]))
    result = replay(few, frames, events="0.5 reload more.conf", files={"more.conf": several()})
    used = [backend_of(data) for _, data in result.sent]
    assert used[:100] == used[100:] and set(used) <= {1, 2}
    fresh = {backend_of(data) for _, data in run([error(inner, port) for port in ports],
                                                 configuration=several()).sent}
    assert fresh - {1, 2}


@pytest.mark.parametrize("inner", [4, 6])
def test_errors_about_others(inner):
    elsewhere = {4: "203.0.113.99", 6: "2001:db8::99"}[inner]
    frames = [error(inner, 1024, quoted_source=elsewhere)]
    result = run(frames, configuration=several())
    assert [data for _, data in result.slow_path] == frames
    short = [error(inner, 1024, cut=cut) for cut in range(4)]
    assert set(run(short, configuration=several()).drops.values()) == {"icmp_quote"}
    bad = error(inner, 1024)
    at = {4: 36, 6: 56}[inner]
    bad = bad[:at] + bytes([bad[at] ^ 1]) + bad[at + 1:]
    assert run([bad], configuration=several()).drops == {1: "icmp_header"}


# ---- path MTU ----


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("inner", [4, 6])
def test_too_big_is_answered(kind, inner):
    mtu = 1400
    flags = {4: {"flags": "DF"}, 6: {}}[inner]
    frame = packet(kind, inner, b"x" * 1380, **flags)
    [(_, sent)] = run([frame], "--mtu", mtu).sent
    source, destination, message = answer_to(sent)
    assert (source, destination) == (address(frame, inner, 1), address(frame, inner, 0))
    if inner == 4:
        assert message[:8] == b"\3\4" + message[2:4] + struct.pack("!HH", 0, mtu - kind.overhead)
        assert message[8:] == ip_of(frame)[:576 - 28]
    else:
        assert message[:2] == b"\2\0"
        assert struct.unpack_from("!I", message, 4)[0] == max(1280, mtu - kind.overhead)
        assert message[8:] == ip_of(frame)[:1280 - 48]


def test_errors_are_limited():
    text = CONFIGURATION + "icmp = { error_rate = 5; };"
    frames = [(9.0, packet(GRE, 4, b"x" * 1460, flags="DF"))] * 20
    result = run(frames, configuration=text)
    assert result.summary["answered"] == 5
    assert result.summary["dropped"]["by_reason"] == {"icmp_rate": 15}


def payload_of_parts(parts):
    """The IP payload that the parts make, and their headers, checked."""
    found, end, last = {}, None, False
    for part in parts:
        length = (part[0] & 15) * 4
        assert checksum(part[:length]) == 0
        assert struct.unpack_from("!H", part, 2)[0] == len(part)
        field = struct.unpack_from("!H", part, 6)[0]
        offset = (field & 0x1FFF) * 8
        found[offset] = part[length:]
        last = not field & 0x2000
        end = offset + len(part) - length
        assert last or (len(part) - length) % 8 == 0
    data = b"".join(found[offset] for offset in sorted(found))
    assert last and min(found) + len(data) == end
    return data


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("mtu", [1499, 1400, 800, 600])
def test_without_df_is_split(kind, mtu):
    for options in (b"", b"\x07\x07\x04\0\0\0\0\0", b"\x88\x04\1\2\x01\x01\x01\0"):
        frame = packet(kind, 4, bytes(i % 251 for i in range(1460)), id=4711, options=options,
                       traffic_class=0x2a)
        result = run([frame], "--mtu", mtu)
        parts = [data[14 + kind.overhead:] for _, data in result.sent]
        assert result.summary["forwarded"] == 1
        assert result.summary["parts_sent"] == len(parts) - 1 > 0
        assert max(len(data) - 14 for _, data in result.sent) <= mtu
        assert payload_of_parts(parts) == ip_of(frame)[(frame[14] & 15) * 4:]
        assert len({data[:14 + kind.overhead][26:34] for _, data in result.sent}) == 1
        copied = options[:1] == b"\x88"
        for part in parts[1:]:
            assert part[4:6] == struct.pack("!H", 4711) and part[1] == 0x2a
            assert part[20:(part[0] & 15) * 4] == (options[:4] if copied else b"")
        assert result.summary["backends"][KINDS.index(kind)]["frames"] == 1


# ---- messages that are neither pings nor errors ----


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_not_between_hosts_is_no_backends(family):
    """A VIP that takes all gets what hosts tell each other; the rest is the kernel's, as it comes."""
    kind = KINDS[0]
    between_hosts = {4: [0, 13, 14, 15, 16, 42, 43],
                     6: [129, 138, 139, 140, *range(144, 148), 150, *range(154, 256)]}[family]
    handled = {4: [3, 8, 11, 12], 6: [1, 2, 3, 4, 128]}[family]
    types = [number for number in range(256) if number not in handled]
    frames = [icmp(family, kind.vip(family), bytes([number]) + bytes(27), broken=broken)
              for number in types for broken in (False, True)]
    frames.append(frame_of(ip(family, CLIENTS[family], kind.vip(family), {4: 1, 6: 58}[family], b"")))
    result = run(frames)
    assert result.drops == {} and result.summary["forwarded"] == 2 * len(between_hosts)
    assert [data for _, data in result.slow_path] == [
        frame for frame, number in zip(frames, [each for each in types for _ in range(2)] + [-1])
        if number not in between_hosts]


# ---- reports about our own tunnel packets ----


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.encapsulation != "l2"],
                         ids=lambda kind: kind.name)
@pytest.mark.parametrize("inner", [4, 6])
def test_reports_about_tunnels_are_relayed(kind, inner):
    flags = {4: {"flags": "DF"}, 6: {}}[inner]
    frame = packet(kind, inner, b"x" * 1300, **flags)
    tunnel = run([frame]).sent[0][1][14:]

    def report(quoted):
        if kind.outer == 4:
            layers = (IP(src="10.9.9.9", dst=SOURCE) / ICMP(type=3, code=4, nexthopmtu=1350))
        else:
            layers = IPv6(src="fd09::9", dst=SOURCE6) / ICMPv6PacketTooBig(mtu=1350)
        return ethernet(layers / Raw(tunnel[:quoted]))

    least = kind.overhead + {4: 20, 6: 40}[inner] + 8
    for quoted in (len(tunnel), 200, least):
        result = run([report(quoted)])
        assert result.summary["answered"] == 1
        source, destination, message = answer_to(result.sent[0][1])
        assert (source, destination) == (address(frame, inner, 1), address(frame, inner, 0))
        told = 1350 - kind.overhead
        most = {4: 576 - 28, 6: 1280 - 48}[inner]
        assert message[8:] == tunnel[kind.overhead:quoted][:most]
        if inner == 4:
            assert message[:2] == b"\3\4"
            assert struct.unpack_from("!H", message, 6)[0] == told
        else:
            assert struct.unpack_from("!I", message, 4)[0] == max(1280, told)
    short = report(least - 1)
    assert [data for _, data in run([short]).slow_path] == [short]


# ---- VLAN tags ----


@pytest.mark.parametrize("tags", [b"\x81\x00\x60\x05", b"\x88\xa8\x00\x64\x81\x00\xa0\x07",
                                  b"\x91\x00\x00\x64\x81\x00\x00\x07"],
                         ids=["one", "two", "old"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_tags_are_kept(kind, tags):
    for inner in (4, 6):
        frame = packet(kind, inner)
        tagged = frame[:12] + tags + frame[12:]
        [(_, sent)] = run([tagged + b"\xee" * 3]).sent
        assert sent[12:12 + len(tags)] == tags
        check_sent(frame, sent[:12] + sent[12 + len(tags):])
        elsewhere = raw(Ether(dst=LB_MAC, src=CLIENT_MAC) / IP(dst="192.0.2.99") / UDP())
        elsewhere = elsewhere[:12] + tags + elsewhere[12:]
        assert [data for _, data in run([elsewhere]).slow_path] == [elsewhere]
        for length in range(14, 14 + len(tags)):
            assert run([tagged[:length]]).drops == {1: "ethernet_truncated"}
    three = frame[:12] + b"\x81\x00\x00\x01" * 3 + frame[12:]
    assert [data for _, data in run([three]).slow_path] == [three]


# ---- tunnels that end here ----

ROUTER, ROUTER6 = "192.0.2.1", "fd00::99"
INGRESS = CONFIGURATION + ('decapsulation = { sources = ( "192.0.2.0/24", "fd00::/64" ); };')


def tunnel(how, family, frame, source=None, ecn=0, flags=0, extra=b""):
    """The frame's packet in a tunnel to the load balancer."""
    inside = ip_of(frame)
    number = {4: 4, 6: 41}[inside[0] >> 4]
    if how == "gre":
        number, inside = 47, struct.pack("!H", flags) + frame[12:14] + extra + inside
    elif how == "gue":
        datagram = bytes([len(extra) // 4, number, 0, 0]) + extra + inside
        number, inside = 17, struct.pack("!HHHH", 55555, 6080, 8 + len(datagram), 0) + datagram
    if family == 4:
        return ethernet(IP(src=source or ROUTER, dst=SOURCE, proto=number, tos=ecn) / Raw(inside))
    return ethernet(IPv6(src=source or ROUTER6, dst=SOURCE6, nh=number, tc=ecn) / Raw(inside))


@pytest.mark.parametrize("how", ["gre", "ipip", "gue"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
def test_packets_in_tunnels(how, family, inner):
    frames = [packet(kind, inner, bytes(range(n))) for n, kind in enumerate(KINDS)]
    result = run([tunnel(how, family, frame) + b"\xee" * 9 for frame in frames],
                 configuration=INGRESS)
    assert result.summary["decapsulated"] == result.summary["forwarded"] == len(frames)
    for frame, (_, sent) in zip(frames, result.sent, strict=True):
        check_sent(frame, sent)
    for text, wrapped in (
            (CONFIGURATION, tunnel(how, family, frames[0])),
            (INGRESS, tunnel(how, family, frames[0],
                             source={4: "192.0.3.1", 6: "fd00:0:0:1::1"}[family])),
            (INGRESS, tunnel(how, family, ethernet(IP(src=CLIENT, dst="192.0.2.99") / UDP())))):
        assert [data for _, data in run([wrapped], configuration=text).slow_path] == [wrapped]
    # Echo requests inside are answered, from deeper in the frame.
    request = echo(inner)
    [(_, sent)] = run([tunnel(how, family, request)], configuration=INGRESS).sent
    assert sent == run([request]).sent[0][1]


def test_headers_of_tunnels():
    frame = packet(GRE, 4)
    inside = ip_of(frame)
    good = struct.pack("!HHHH", 0x8000, 0x0800, 0, 0) + inside
    good = good[:4] + struct.pack("!H", sum_of(good)) + good[6:]

    def gre(data):
        return ethernet(IP(src=ROUTER, dst=SOURCE, proto=47) / Raw(data))

    taken = [gre(good), tunnel("gre", 4, frame, flags=0x2000, extra=b"key!"),
             tunnel("gre", 4, frame, flags=0x3000, extra=b"key!sequ"),
             tunnel("gue", 4, frame, extra=b"options!")]
    assert run(taken, configuration=INGRESS).summary["decapsulated"] == len(taken)
    kernel = [tunnel("gre", 4, frame, flags=1), tunnel("gre", 4, frame, flags=0x4000),
              gre(b"\0\0\x88\xbe" + inside)]
    result = run(kernel, configuration=INGRESS)
    assert [data for _, data in result.slow_path] == kernel
    bad = [gre(good[:30] + b"\xde" + good[31:]), gre(b"\0\0\x08"),
           ethernet(IP(src=ROUTER, dst=SOURCE) / UDP(sport=5, dport=6080)),
           tunnel("gre", 4, packet(GRE, 4), ecn=3)]
    assert list(run(bad, configuration=INGRESS).drops.values()) == ["decapsulation"] * 4
    cut = tunnel("gre", 4, frame)
    cut = cut[:16] + struct.pack("!H", 40) + cut[18:]
    cut = cut[:24] + b"\0\0" + cut[26:]
    cut = cut[:24] + struct.pack("!H", checksum(cut[14:34])) + cut[26:]
    assert run([cut], configuration=INGRESS).drops == {1: "ipv4_truncated"}


def test_congestion_marks_go_on():
    for ecn, outer, seen in ((1, 3, 3), (2, 3, 3), (3, 3, 3), (1, 0, 1), (2, 1, 1), (0, 1, 0), (0, 0, 0)):
        frame = packet(GRE, 4, traffic_class=0x28 | ecn)
        [(_, sent)] = run([tunnel("gre", 4, frame, ecn=outer)], configuration=INGRESS).sent
        assert sent[15] == 0x28 | seen and sent.endswith(ip_of(frame))
