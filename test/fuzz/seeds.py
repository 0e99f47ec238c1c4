# SPDX-License-Identifier: BSD-2-Clause
"""Writes the first inputs of every fuzz target: seeds.py FOLDER makes FOLDER/TARGET/NAME.

The records are those of harness.h and of each target's head comment. Addresses are those of
forwarding.c. Nothing here has to be right for the fuzzers to be sound: seeds only save them the way
to packets that are mostly right.
"""

import itertools
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "test/lib"))

import wire  # noqa: E402
from wire import (CLIENT, LINK, checksum, ethernet, fragments, icmp, ip, packet, tcp,  # noqa: E402
                  tunnelled, udp, vip)

KINDS = range(1, 11)
NOTHING, END, IDLE = 0, 1, 2  # of the batch
TIMES = (0, 4, 8, 12)
REFUSE, OTHER_PIPELINE = 0x40, 0x80
# Of fuzz_decapsulation.c.
GRE, IPV4, IPV6, GUE, GUE_SUM, GRE_MADE = range(6)


def state(number):
    return number << 4


def record(data, control=END, headroom=0):
    """`headroom`: an index into the table of harness.c."""
    return struct.pack("<BH", control, len(data) | headroom << 12) + data


def frame_record(frame, control=END, mended=0, headroom=0):
    """One of fuzz_packet."""
    return record(bytes([mended]) + frame, control, headroom)


def packets():
    """(name, records) of raw frames."""
    for family, kind in itertools.product((4, 6), KINDS):
        flow = [packet(family, kind, 6, tcp(flags=flag)) for flag in (2, 16, 24, 17, 4)]
        flow += [packet(family, kind, 17), packet(family, kind, 17, udp(payload=bytes(1200)))]
        yield f"flow-{family}-{kind}", b"".join(frame_record(ethernet(each)) for each in flow)
    for family in (4, 6):
        plain = ethernet(packet(family, 1))
        yield f"batch-{family}", frame_record(plain, NOTHING) * 70 + frame_record(plain)
        yield f"states-{family}", b"".join(frame_record(plain, END | state(each) | time)
                                           for each in range(4) for time in TIMES)
        yield f"refused-{family}", frame_record(plain, NOTHING) * 3 + frame_record(plain, END | REFUSE)
        yield f"other-pipeline-{family}", frame_record(plain) + frame_record(plain, END | OTHER_PIPELINE)
        yield f"big-{family}", frame_record(ethernet(packet(family, 1, 17, udp(payload=bytes(1472)))),
                                      END | state(1))
        yield f"tagged-{family}", b"".join(frame_record(ethernet(packet(family, 2), tags)) for tags in (
            [(0x8100, 5)], [(0x88A8, 5), (0x8100, 6)], [(0x8100, 1)] * 3))
        yield f"echo-{family}", frame_record(ethernet(packet(
            family, 3, 1 if family == 4 else 58,
            icmp(family, 8 if family == 4 else 128, 0, b"\0\1\0\2payload", None, vip(family, 3)))))
        yield f"fragments-{family}", b"".join(frame_record(ethernet(each)) for each in fragments(family, 1))
        yield f"reversed-{family}", b"".join(
            frame_record(ethernet(each)) for each in reversed(list(fragments(family, 1))))
        for which in (wire.GRE, wire.IPIP, wire.GUE):
            yield f"tunnel-{family}-{which}", frame_record(ethernet(tunnelled(family, which, packet(4, 1)))) + \
                frame_record(ethernet(tunnelled(family, which, packet(6, 2))))
        for what in (1, 3, 6, 10):
            yield f"headroom-{family}-{what}", b"".join(frame_record(
                ethernet(packet(family, what)), headroom=each) for each in range(16))
            yield f"lengths-{family}-{what}", b"".join(frame_record(
                ethernet(packet(family, 1, protocol, bytes(40 + 3 * each))), NOTHING, 0x70 | what)
                for each in range(32) for protocol in (6, 17))
        yield f"cut-{family}", b"".join(frame_record(
            ethernet(packet(family, 1))[:length], NOTHING, 0x30) for length in range(14, 94))
    yield "cut-extensions", b"".join(frame_record(ethernet(packet(6, 1, extensions=[
        (0, b"\0\1\4" + bytes(4)), (60, b"\1\1\x0c" + bytes(12)), (44, bytes(7))]))[:length], NOTHING, 0x10)
        for length in range(54, 120))
    yield "options", frame_record(ethernet(packet(4, 1, options=b"\1" * 40)))
    yield "extensions", frame_record(ethernet(packet(6, 1, extensions=[
        (0, b"\0\1\4" + bytes(4)), (60, b"\0\1\4" + bytes(4)), (43, b"\0\xfd" + bytes(5))])))
    yield "arp", frame_record(LINK + b"\x08\6" + bytes(28))
    yield "padded", frame_record(ethernet(packet(4, 1)) + bytes(20))


def icmp_messages():
    """Records of fuzz_icmp: flags, VIP, type, code, rest."""
    for family, kind in itertools.product((4, 6), (1, 2, 5, 9)):
        flag = 0 if family == 4 else 1
        quoted = ip(family, vip(family, kind), CLIENT[family], 6, tcp()[:20])
        quoted_udp = ip(family, vip(family, kind), CLIENT[family], 17, udp()[:8])
        quoted_echo = ip(family, vip(family, kind), CLIENT[family], 1 if family == 4 else 58,
                         bytes([0 if family == 4 else 129]) + bytes(7))
        echo = bytes([flag, kind - 1, 8 if family == 4 else 128, 0]) + b"\0\1\0\2payload"
        errors = ((3, 4), (3, 3), (11, 0), (12, 0)) if family == 4 else ((2, 0), (1, 4), (3, 0), (4, 0))
        for number, (code, quote) in enumerate(itertools.product(
                errors, (quoted, quoted_udp, quoted_echo, quoted[:24]))):
            yield (f"error-{family}-{kind}-{number}",
                   record(bytes([flag | 2 | 4, kind - 1, *code]) + quote) + record(echo))


def fragment_lists():
    """Records of fuzz_fragments: flags, VIP, identification, offset, length, more length."""
    for ipv6, kind, flag in itertools.product((0, 1), (1, 3, 5, 6, 9), (0, 4, 0x20)):
        pieces = [(ipv6 | flag | 16 | 2, kind - 1, 1, 0, 60, 0), (ipv6 | flag | 2, kind - 1, 1, 60, 60, 0),
                  (ipv6 | flag, kind - 1, 1, 120, 30, 3)]
        for number, order in enumerate(itertools.permutations(pieces)):
            control = (END, END | 4, NOTHING, END | OTHER_PIPELINE, END | 8, END | state(1))[number]
            yield (f"{ipv6}-{kind}-{flag}-{number}",
                   b"".join(record(bytes(each), control) for each in order)
                   + record(bytes(pieces[0]), IDLE))
    many = b"".join(record(bytes([2, 0, ident, 10, 20, 0]), NOTHING) for ident in range(200))
    yield "many-packets", many
    yield "overlaps", b"".join(record(bytes([2, 0, 1, at, 20, 0])) for at in (20, 10, 30, 25, 20))


def tunnels():
    """Records of fuzz_decapsulation: flags, port, what follows the outer header."""
    inner = {"4": packet(4, 1), "6": packet(6, 2), "4-udp": packet(4, 5, 17), "6-l2": packet(6, 10),
             "fragment": next(fragments(4, 1)), "big": packet(4, 1, 17, udp(payload=bytes(1400)))}
    for name, data in inner.items():
        number = 4 if data[0] >> 4 == 4 else 41
        for family in (0, 1):
            gue = struct.pack("!BBH", 0, number, 0) + data
            summed = struct.pack("!HHHH", 0x8000, 0x800 if number == 4 else 0x86DD, 0, 0) + data
            total = checksum(summed)
            for which, rest in ((GRE, struct.pack("!HH", 0, 0x800 if number == 4 else 0x86DD) + data),
                                (GRE, summed[:4] + struct.pack("!H", total) + summed[6:]),
                                (GRE_MADE, data), (IPV4 if number == 4 else IPV6, data), (GUE, gue),
                                (GUE_SUM, gue), (GUE, data)):
                yield (f"{name}-{family}-{which}-{len(rest)}",
                       record(bytes([family | which << 1, 9]) + rest)
                       + record(bytes([family | which << 1 | 16, 9]) + rest, END | state(1)))


def configurations():
    """Good and bad files as they are."""
    yield "example", (ROOT / "conf/fluxpin.conf").read_bytes()
    for folder in ("good", "bad"):
        for path in sorted((ROOT / "test/configuration" / folder).glob("*.conf")):
            yield f"{folder}-{path.stem}", path.read_bytes()


TARGETS = {"fuzz_packet": packets, "fuzz_icmp": icmp_messages, "fuzz_fragments": fragment_lists,
           "fuzz_decapsulation": tunnels, "fuzz_configuration": configurations}


def write(folder):
    for target, seeds in TARGETS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, data in seeds():
            (folder / target / name).write_bytes(data)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
