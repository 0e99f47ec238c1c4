# SPDX-License-Identifier: BSD-2-Clause
"""IPv6: one frame in, and what becomes of it; then flows over time and over workers."""

import itertools

import pytest
from frames import HTTP_VIP, ICMP, IP, TCP, UDP, Raw, ethernet
from ipv6 import (AH, DESTINATION, ESP, FRAGMENT, HOP_BY_HOP, ICMPV6, MOBILITY, NONE, ROUTING, SCTP,
                  header, ipv6, other_layer, tcp6, tcp_bytes, udp6, udp_bytes, with_bytes)
from outer import CLIENT6, KINDS, SOURCE, SOURCE6, address, encapsulated
from replay import replay
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS

FORWARD, KERNEL = "forward", "kernel"
HTTP, DNS, NET, NOBODY = "2001:db8:a::10", "2001:db8:a::53", "2001:db8:b", "2001:db8:a::99"
ELSEWHERE, LINK_LOCAL, GROUP = "2001:db8:a::11", "fe80::5", "ff02::1"
GRE6 = next(kind for kind in KINDS if kind.name == "gre-in-6")

CONFIGURATION = f"""
hash_seed = "0123456789abcdef";
source_address = {{ ipv4 = "{SOURCE}"; ipv6 = "{SOURCE6}"; }};
pools = ( {{ name = "web"; backends = ( {{ address = "{GRE6.backend}"; }} ); }},
  {{ name = "empty"; backends = (); }} );
vips = (
  {{ name = "http"; address = "{HTTP}"; protocol = "tcp"; port = 80; pool = "web";
    fragments = false; }},
  {{ name = "dns"; address = "{DNS}"; protocol = "udp"; port = 53; pool = "web"; }},
  {{ name = "net"; address = "{NET}::/64"; protocol = "any"; port = 0; pool = "web"; }},
  {{ name = "nobody"; address = "{NOBODY}"; protocol = "tcp"; port = 80; pool = "empty"; }},
  {{ name = "four"; address = "{HTTP_VIP}"; protocol = "tcp"; port = 80; pool = "web"; }} );
"""
WALKED = {"hop": HOP_BY_HOP, "routing": ROUTING, "atomic": FRAGMENT, "destination": DESTINATION}


def plain():
    """Packets without extension headers."""
    yield "tcp", tcp6(HTTP), FORWARD
    yield "udp", udp6(DNS), FORWARD
    yield "udp-checksum-0", udp6(DNS, chksum=0), FORWARD
    yield "padding", tcp6(HTTP) + bytes(20), FORWARD
    yield "ipv4-beside", ethernet(IP(src="198.51.100.7", dst=HTTP_VIP) / TCP(dport=80)), FORWARD
    for last in ("", "1", "ffff", "ffff:ffff:ffff:ffff"):
        yield f"prefix-{last}", tcp6(f"{NET}::{last}" if len(last) < 5 else f"{NET}:0:{last}", 9), FORWARD
    yield "in-prefix-end", udp6(f"{NET}:0:ffff:ffff:ffff:ffff", 65535), FORWARD
    yield "below-prefix", udp6("2001:db8:a:ffff:ffff:ffff:ffff:ffff", 9), KERNEL
    yield "beyond-prefix", udp6(f"{NET}:1::", 9), KERNEL
    yield "other-port", tcp6(HTTP, 81), KERNEL
    yield "port-0", tcp6(HTTP, 0), KERNEL
    yield "other-protocol", udp6(HTTP, 80), KERNEL
    yield "other-address", tcp6(ELSEWHERE), KERNEL
    yield "link-local", tcp6(LINK_LOCAL), KERNEL
    yield "group", udp6(GROUP), KERNEL
    yield "unspecified", tcp6("::"), KERNEL
    yield "loopback", tcp6("::1"), KERNEL
    yield "neighbour-solicitation", other_layer(LINK_LOCAL, ICMPv6ND_NS(tgt=HTTP)), KERNEL
    for kind in (NONE, ESP, AH, ICMPV6, MOBILITY, SCTP, 4, 41, 47, 139, 140, 253, 255):
        for vip, taken in ((HTTP, KERNEL), (f"{NET}::1", FORWARD)):
            # Extension headers that are not walked are told from protocols by their number.
            verdict = "ipv6_extension" if kind in (MOBILITY, 139, 140, 253) else taken
            # Of type 0, or none: nothing that hosts tell each other.
            verdict = KERNEL if kind == ICMPV6 else verdict
            yield f"next-{kind}-to-{vip}", ipv6(vip, (), kind, bytes(24)), verdict
            yield f"next-{kind}-empty-to-{vip}", ipv6(vip, (), kind), verdict
            yield (f"next-{kind}-behind-options-to-{vip}",
                   ipv6(vip, [header(DESTINATION)], kind, bytes(24)), verdict)
    yield "no-backend", tcp6(NOBODY), "no_backend"
    yield "mapped-destination", tcp6(f"::ffff:{HTTP_VIP}"), KERNEL
    yield "mapped-destination-with-options", tcp6(f"::ffff:{HTTP_VIP}", headers=[header(ROUTING)]), KERNEL
    yield "mapped-source", tcp6(HTTP, source="::ffff:198.51.100.7"), KERNEL
    yield "mapped-both", tcp6(f"::ffff:{HTTP_VIP}", source="::ffff:198.51.100.7"), KERNEL
    yield "compatible-source", tcp6(HTTP, source="::198.51.100.7"), FORWARD
    yield "nat64-source", tcp6(HTTP, source="64:ff9b::198.51.100.7"), FORWARD
    yield "no-backend-mapped", tcp6(NOBODY, source="::ffff:1.2.3.4"), KERNEL


def broken():
    """What the header itself has wrong, to VIPs and to others."""
    for vip in (HTTP, ELSEWHERE):
        whole = tcp6(vip)
        for length in range(14, len(whole)):
            reason = "ipv6_truncated" if length < 54 else "ipv6_length"
            yield f"cut-at-{length}-to-{vip}", whole[:length], reason
        for version in (0, 4, 5, 7, 15):
            yield f"version-{version}-to-{vip}", tcp6(vip, version=version), "ipv6_header"
        for beyond in (1, 2, 1000):
            yield (f"length-{beyond}-beyond-to-{vip}",
                   tcp6(vip, length=len(whole) - 54 + beyond), "ipv6_length")
        for length in (65495, 65496, 65535):
            yield f"length-{length}-to-{vip}", tcp6(vip, length=length), "ipv6_length"
        yield (f"jumbogram-to-{vip}",
               tcp6(vip, headers=[header(HOP_BY_HOP, body=b"\xc2\4" + bytes(4))], length=0),
               "ipv6_length")
    yield "length-0", tcp6(HTTP, length=0), "tcp_header"
    yield "length-0-elsewhere", tcp6(ELSEWHERE, length=0), KERNEL
    yield "version-4-of-short", tcp6(HTTP, version=4)[:53], "ipv6_truncated"
    yield "ipv4-header-behind-ipv6-type", (lambda f: f[:12] + b"\x86\xdd" + f[14:])(
        ethernet(IP(dst=HTTP_VIP) / TCP() / Raw(bytes(40)))), "ipv6_header"
    for length in range(20):
        yield f"tcp-of-{length}", ipv6(HTTP, (), 6, tcp_bytes(HTTP, payload=b"")[:length]), "tcp_header"
        yield f"tcp-of-{length}-elsewhere", ipv6(ELSEWHERE, (), 6, bytes(length)), KERNEL
    for offset in (*range(5), *range(7, 16)):
        yield (f"tcp-offset-{offset}",
               with_bytes(tcp6(HTTP, payload=b"xxxxyyy"), 54 + 12, bytes([offset << 4])),
               "tcp_header")
    yield "tcp-offset-6", with_bytes(tcp6(HTTP, payload=b"xxxxyyy"), 54 + 12, b"\x60"), FORWARD
    for length in range(8):
        yield f"udp-of-{length}", ipv6(DNS, (), 17, udp_bytes(DNS)[:length]), "udp_header"
    for length in (0, 1, 7, 17, 65535):
        yield (f"udp-length-{length}", with_bytes(udp6(DNS), 54 + 4, length.to_bytes(2, "big")),
               "udp_header")
    for length in (8, 9, 15, 16):
        yield (f"udp-length-{length}", with_bytes(udp6(DNS), 54 + 4, length.to_bytes(2, "big")),
               FORWARD)
    yield "bad-tcp-checksum", with_bytes(tcp6(HTTP), 54 + 16, b"\xde\xad"), FORWARD


def extended():
    """Extension headers."""
    for count in range(1, 4):
        for names in itertools.product(WALKED, repeat=count):
            headers = [header(WALKED[name], length=0) for name in names]
            name = "-".join(names)
            yield f"tcp-{name}", tcp6(HTTP, headers=headers), FORWARD
            yield f"udp-{name}", udp6(DNS, headers=headers), FORWARD
            yield f"other-port-{name}", tcp6(HTTP, 81, headers=headers), KERNEL
    for length in (1, 2, 7, 63, 100):
        for kind in (HOP_BY_HOP, ROUTING, DESTINATION):
            yield f"tcp-{kind}-of-{length}", tcp6(HTTP, headers=[header(kind, length)]), FORWARD
    for count in range(4, 12):
        for kind in WALKED.values():
            verdict = FORWARD if count <= 8 else "ipv6_extension"
            yield f"{count}-of-{kind}", tcp6(HTTP, headers=[header(kind)] * count), verdict
            if count > 8:
                yield (f"{count}-of-{kind}-elsewhere",
                       tcp6(ELSEWHERE, headers=[header(kind)] * count), KERNEL)
    seven = [header(DESTINATION)] * 7
    yield "fragment-as-eighth", tcp6(HTTP, headers=[*seven, header(FRAGMENT, fragment=1)]), "fragment"
    yield ("fragment-as-ninth",
           tcp6(HTTP, headers=[*seven, header(ROUTING), header(FRAGMENT, fragment=1)]),
           "ipv6_extension")
    yield "icmp-behind-eight", ipv6(HTTP, [*seven, header(ROUTING)], ICMPV6, bytes(8)), KERNEL

    for field, verdict in ((0, FORWARD), (2, FORWARD), (4, FORWARD), (6, FORWARD), (1, "fragment"),
                           (8, "fragment"), (9, "fragment"), (0xFFF8, "fragment"),
                           (0xFFFF, "fragment"), (0x8000, "fragment")):
        for before in ([], [header(HOP_BY_HOP)], [header(ROUTING), header(DESTINATION)]):
            headers = [*before, header(FRAGMENT, fragment=field)]
            name = f"fragment-{field:x}-behind-{len(before)}"
            yield name, tcp6(HTTP, headers=headers), verdict
            yield f"{name}-elsewhere", tcp6(ELSEWHERE, headers=headers), KERNEL
            yield (f"{name}-other-port", tcp6(HTTP, 81, headers=headers),
                   KERNEL if verdict == FORWARD else verdict)
    yield "two-atomic", tcp6(HTTP, headers=[header(FRAGMENT)] * 2), FORWARD
    yield "real-behind-atomic", tcp6(
        HTTP, headers=[header(FRAGMENT), header(FRAGMENT, fragment=8)]), "fragment"
    # What follows a later fragment's header is payload, whatever it looks like.
    yield "fragment-of-options", ipv6(HTTP, [header(FRAGMENT, fragment=0x100)], DESTINATION,
                                      b"\x3b\xff"), "fragment"
    yield "fragment-without-data", ipv6(HTTP, [header(FRAGMENT, fragment=8)], 6), "fragment"

    for vip, verdict in ((HTTP, "ipv6_extension"), (ELSEWHERE, KERNEL)):
        for kind in WALKED.values():
            whole = ipv6(vip, [header(kind)], 6)
            for length in range(8):
                yield (f"{kind}-cut-at-{length}-to-{vip}",
                       with_bytes(whole, 18, length.to_bytes(2, "big"))[: 54 + length],
                       verdict if length > 0 or kind != HOP_BY_HOP else "ipv6_length")
            whole = ipv6(vip, [header(DESTINATION, 1), header(kind)], 6)
            for length in range(1, 24):
                yield (f"{kind}-behind-options-cut-at-{length}-to-{vip}",
                       with_bytes(whole, 18, length.to_bytes(2, "big"))[: 54 + length], verdict)
        for kind in (HOP_BY_HOP, ROUTING, DESTINATION):
            for length in (4, 5, 255):
                # 8 bytes of the header, 20 of TCP and 5 of payload: room for a length of 3.
                yield (f"{kind}-length-{length}-to-{vip}",
                       tcp6(vip, headers=[(kind, bytes([length]) + bytes(6))]), verdict)
            yield (f"{kind}-over-all-of-it-to-{vip}", ipv6(vip, [header(kind, 3)], 6),
                   "tcp_header" if vip == HTTP else KERNEL)
            yield (f"{kind}-padding-is-not-it-to-{vip}",
                   ipv6(vip, [(kind, bytes([1]) + bytes(6))], 6) + bytes(64), verdict)


TABLE = [*plain(), *broken(), *extended()]


@pytest.fixture(scope="module")
def replayed():
    return replay(CONFIGURATION, [frame for _, frame, _ in TABLE])


@pytest.fixture(scope="module")
def outcomes(replayed):
    """By frame number: (sent frames, frames to the kernel, reason)."""
    assert replayed.status == 0, replayed.stderr
    result = [([], [], replayed.drops.get(number + 1)) for number in range(len(TABLE))]
    for place, frames in ((0, replayed.sent), (1, replayed.slow_path)):
        for time, data in frames:
            result[round(time / 1000 - 1000000)][place].append(data)
    return result


def test_names_are_different():
    names = [name for name, _, _ in TABLE]
    assert len(set(names)) == len(names) > 500


def test_totals(replayed):
    assert replayed.status == 0, replayed.stderr
    summary = replayed.summary
    expected = [verdict for _, _, verdict in TABLE]
    assert summary["frames"] == len(TABLE)
    assert summary["forwarded"] == expected.count(FORWARD)
    assert summary["slow_path"] == expected.count(KERNEL)
    assert summary["dropped"]["total"] == len(TABLE) - expected.count(FORWARD) - expected.count(KERNEL)
    for reason, count in summary["dropped"]["by_reason"].items():
        assert expected.count(reason) == count


@pytest.mark.parametrize("number", range(len(TABLE)), ids=[name for name, _, _ in TABLE])
def test_frame(outcomes, number):
    _, frame, verdict = TABLE[number]
    if verdict == FORWARD:
        assert outcomes[number] == ([encapsulated(frame, GRE6, 0)], [], None)
    elif verdict == KERNEL:
        assert outcomes[number] == ([], [frame], None)
    else:
        assert outcomes[number] == ([], [], verdict)


def test_workers_do_not_change_what_becomes_of_frames(replayed):
    frames = [frame for _, frame, _ in TABLE]
    for workers in (2, 5):
        assert replay(CONFIGURATION, frames, "--workers", workers).raw == replayed.raw


def test_everything_of_ipv6_beside_ipv4_vips():
    """A VIP for ::/0 takes neither IPv4 nor what belongs to the link."""
    configuration = CONFIGURATION.replace("vips = (", '''vips = (
      { name = "all"; address = "::/0"; protocol = "any"; pool = "web"; },''')
    here = [tcp6(HTTP), tcp6(HTTP, 81), udp6(ELSEWHERE, 9), tcp6("::2"), tcp6("fec0::1"),
            udp6("fd00::1"), ethernet(IP(dst=HTTP_VIP) / TCP(dport=80))]
    kernel = [tcp6(LINK_LOCAL), udp6("fe80::1", 546), tcp6("febf:ffff::1", 179), udp6(GROUP, 5353),
              udp6("ff0e::1"), other_layer(LINK_LOCAL, ICMPv6EchoRequest()),
              tcp6(f"::ffff:{HTTP_VIP}"), tcp6("::ffff:192.0.2.77", 22),
              ethernet(IP(dst="203.0.113.11") / TCP(dport=22)),
              ethernet(IP(dst="0.0.0.0") / UDP(dport=68))]
    result = replay(configuration, here + kernel)
    assert result.status == 0 and result.drops == {}
    assert [data for _, data in result.slow_path] == kernel
    assert [data for _, data in result.sent] == [encapsulated(frame, GRE6, 0) for frame in here]
    counts = {entry["name"]: entry["frames"] for entry in result.summary["vips"]}
    assert counts == {"all": 5, "http": 1, "dns": 0, "net": 0, "nobody": 0, "four": 1}


def test_the_longest_prefix_wins():
    """Ten nested prefixes, each with a backend of its own."""
    lengths = [0, 1, 16, 32, 47, 48, 63, 64, 127, 128]
    base = int.from_bytes(address("2001:db8:aaaa:bbbb::1"), "big")

    def prefix(length):
        return (base >> (128 - length) << (128 - length)).to_bytes(16, "big").hex(":", 2)

    pools = [f'{{ name = "p{length}"; backends = ( {{ address = "fd01::{number + 1:x}"; }} ); }}'
             for number, length in enumerate(lengths)]
    vips = [f'{{ address = "{prefix(length)}/{length}"; protocol = "any"; pool = "p{length}"; }}'
            for length in lengths]
    frames = [tcp6((base ^ (1 << (127 - bit))).to_bytes(16, "big").hex(":", 2), 9)
              for bit in range(128)] + [tcp6("2001:db8:aaaa:bbbb::1", 9)]
    result = replay(f'hash_seed = "1"; source_address = {{ ipv6 = "{SOURCE6}"; }}; '
                    f"pools = ( {', '.join(pools)} ); vips = ( {', '.join(vips)} );", frames)
    assert result.status == 0, result.stderr
    sent = iter(result.sent)
    for same, frame in enumerate(frames):  # `same` leading bits are those of the prefixes
        if frame[38] == 0xFF or frame[38] == 0xFE:
            continue
        longest = max(number for number, length in enumerate(lengths) if length <= same)
        assert next(sent)[1][38:54] == address(f"fd01::{longest + 1:x}"), same


def backends(count):
    entries = ", ".join(f'{{ name = "web-{n}"; address = "fd01::{n}"; }}' for n in range(1, count + 1))
    return CONFIGURATION.replace(f'{{ address = "{GRE6.backend}"; }}', entries)


def flows(count, flags="S"):
    return [tcp6(HTTP, source_port=1024 + number, flags=flags) for number in range(count)]


def backend_of(sent):
    return f"web-{sent[53]}"


def test_a_flow_stays_when_a_backend_comes():
    frames = [(1.0, frame) for frame in flows(200)] + [(3.0, frame) for frame in flows(200, "A")]
    for workers in (1, 4):
        result = replay(backends(2), frames, "--workers", workers, events="1 reload more.conf",
                        files={"more.conf": backends(3)})
        assert result.status == 0, result.stderr
        used = [backend_of(data) for _, data in result.sent]
        assert used[:200] == used[200:] and set(used) == {"web-1", "web-2"}
    assert "web-3" in {backend_of(data) for _, data in replay(backends(3), flows(200)).sent}


def test_down_up_drain_and_undrain():
    frames = []
    for time in range(1, 6):
        frames += [(time, frame) for frame in flows(100, "S" if time == 1 else "A")]
        frames += [(time + 0.5, tcp6(HTTP, source_port=20000 + 1000 * time + n, flags="S",
                                     headers=[header(DESTINATION)] * (n % 2)))
                   for n in range(100)]
    result = replay(backends(3), frames, events="1 down web/web-1\n2 up web/web-1\n"
                    "3 drain web/web-2\n4 undrain web/web-2\n")
    assert result.status == 0, result.stderr
    used = {time / 2: [backend_of(data) for ticks, data in result.sent if ticks == time * 500000]
            for time in range(2, 12)}
    assert set(used[1]) == set(used[1.5]) == {"web-1", "web-2", "web-3"}
    assert "web-1" not in used[2] + used[2.5]
    kept = [(old, new) for old, new in zip(used[1], used[2]) if old != "web-1"]
    assert kept and all(old == new for old, new in kept)
    assert used[2] == used[3] == used[4] == used[5]
    assert "web-1" in used[3.5] and "web-2" not in used[4.5] and "web-2" in used[5.5]


def test_extension_headers_do_not_change_the_flow():
    """All packets of a flow go to one backend, with or without extension headers."""
    orders = [[], [header(HOP_BY_HOP)], [header(ROUTING), header(FRAGMENT)],
              [header(DESTINATION, 5)] * 8]
    sent = [[backend_of(data) for _, data in replay(
        backends(3), [tcp6(HTTP, source_port=port, headers=order) for port in range(1, 200)]).sent]
        for order in orders]
    assert all(each == sent[0] for each in sent) and len(set(sent[0])) == 3


def test_every_field_of_a_flow_counts():
    base = dict(source=CLIENT6, source_port=40000)
    for vary in ("source", "source_port"):
        used = set()
        for n in range(1, 65):
            value = {"source": f"2001:db8:1::{n:x}", "source_port": n}[vary]
            [(_, sent)] = replay(backends(3), [tcp6(HTTP, **{**base, vary: value})]).sent
            used.add(backend_of(sent))
        assert used == {"web-1", "web-2", "web-3"}
