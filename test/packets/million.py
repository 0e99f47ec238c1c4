# SPDX-License-Identifier: BSD-2-Clause
"""A capture of a million frames of every kind, the same for the same seed: million.py FILE [COUNT].

A pool of small scripts (the packets of a flow, the fragments of a packet in some order, a tunnel,
something broken) is made first; the capture is drawn from it, many scripts at a time, so that flows
are long and fragments of different packets are mixed. One frame in twelve is damaged once more.
"""

import random
import struct
import sys

from replay import ROOT

sys.path.append(str(ROOT / "test/lib"))

from wire import (CLIENT, GRE, GUE, IPIP, LB, LINK, ethernet, fragments, icmp, ip,  # noqa: E402
                  tcp, tunnelled, udp, vip)

SEED = 4231
POOL = 40000  # scripts
OPEN = 200  # scripts that are drawn from at a time
KINDS = range(1, 11)
SYN, ACK, PUSH, FIN, RST = 2, 16, 24, 17, 4

CONFIGURATION = """
hash_seed = "0123456789abcdef";
source_address = { ipv4 = "10.0.0.5"; ipv6 = "fd00::5"; };
connections = { capacity = 4096; tcp_idle = "5s"; udp_idle = "2s"; };
decapsulation = { sources = ( "10.9.0.1", "fd09::1" ); addresses = ( "10.0.0.5", "fd00::5" ); };
pools = ( %s );
vips = ( %s );
"""
EVENTS = """
0.5 down p1/b0     1.0 up p1/b0       1.5 drain p2/b1   2.0 undrain p2/b1
2.5 reload OTHER   3.0 down p5/b0     3.2 down p5/b1    3.4 up p5/b0
4.0 reload AGAIN   4.5 drain p9/b0
"""


def configuration(less=0):
    """VIP and pool k are of kind k of the fuzz targets; `less` leaves out that pool's second backend."""
    names = ("gre", "ipip", "gue", "gue", "l2")
    pools, vips = [], []
    for kind in KINDS:
        addresses = [f"10.1.{i}.{kind}" if kind % 2 else f"fd01::{i}:{kind:x}" for i in range(2)]
        backends = [f'{{ name = "b{i}"; address = "{each}"; }}'
                    for i, each in enumerate(addresses) if not (i and kind == less)]
        pools.append(f'{{ name = "p{kind}"; encapsulation = "{names[(kind - 1) // 2]}"; udp_checksum = '
                     f'{"true" if kind in (7, 8) else "false"}; backends = ( {", ".join(backends)} ); }}')
        for family in (4, 6):
            services = [("any", 0)] if kind <= 4 else [("tcp", 80), ("udp", 53)]
            vips += [f'{{ address = "{vip(family, kind)}"; protocol = "{protocol}"; port = {port}; '
                     f'pool = "p{kind}"; fragments = {"false" if kind % 5 == 3 else "true"}; icmp_echo = '
                     f'"{("reply", "forward", "drop")[kind % 3]}"; '
                     f'tracking = {"false" if kind % 4 == 2 else "true"}; }}'
                     for protocol, port in services]
    return CONFIGURATION % (", ".join(pools), ", ".join(vips))


class Maker:
    """Makes scripts: lists of IP packets or, when it says so, of whole frames."""

    def __init__(self, generator):
        self.random = generator

    def client(self, family):
        number = self.random.randrange(1, 250)
        return f"198.51.100.{number}" if family == 4 else f"2001:db8:1::{number:x}"

    def payload(self, most=200):
        most = self.random.choice((0, 1, most, most, most, 1460))
        return self.random.randbytes(self.random.randrange(most + 1))

    def target(self):
        family, kind = self.random.choice((4, 6)), self.random.choice(KINDS)
        return family, kind, self.client(family), vip(family, kind)

    def flow(self):
        family, _, client, destination = self.target()
        port = self.random.randrange(1024, 65536)
        if self.random.random() < 0.4:
            return [ip(family, client, destination, 17, udp(53, self.payload(), port))
                    for _ in range(self.random.randrange(1, 8))]
        flags = [SYN, ACK, *[PUSH] * self.random.randrange(6), self.random.choice((FIN, RST))]
        return [ip(family, client, destination, 6,
                   tcp(80, each, self.payload() if each == PUSH else b"", port)) for each in flags]

    def extended(self):
        _, kind, client, _ = self.target()
        pad = b"\0\1\4" + bytes(4)
        headers = [(number, pad) for number in self.random.choices((0, 43, 60), k=self.random.randrange(11))]
        options = b"\1" * 4 * self.random.randrange(11)
        return [ip(6, self.client(6), vip(6, kind), 6, tcp(80), extensions=headers),
                ip(4, self.client(4), vip(4, kind), 6, tcp(80), options=options)]

    def fragments(self):
        family, kind, _, _ = self.target()
        size, step = self.random.randrange(100, 4000), self.random.choice((64, 480, 1400))
        pieces = list(fragments(family, kind, size, step, self.random.choice((6, 17)),
                                self.random.randrange(65536)))
        fate = self.random.random()
        if fate < 0.3:
            pieces.reverse()
        elif fate < 0.6:
            self.random.shuffle(pieces)
        elif fate < 0.7:
            pieces = pieces[1:]
        elif fate < 0.8:
            pieces.insert(self.random.randrange(len(pieces)), self.random.choice(pieces))
        elif fate < 0.85:
            pieces += fragments(family, kind, size, step + 8, 17, 7)
        return pieces

    def icmp(self):
        family, kind, client, destination = self.target()
        number = 1 if family == 4 else 58
        echo = icmp(family, 8 if family == 4 else 128, 0, b"\0\1\0\2" + self.payload(), client, destination)
        quoted = ip(family, destination, client, *self.random.choice((
            (6, tcp(40000, 0, b"", 80)), (17, udp(40000, b"", 53)), (number, bytes(8)))))
        code = self.random.choice(((3, 4), (3, 1), (11, 0)) if family == 4 else ((2, 0), (1, 0), (3, 0)))
        error = icmp(family, *code, struct.pack("!I", 1400) + quoted[: self.random.choice((20, 28, 48, 60))],
                     client, destination)
        return [ip(family, client, destination, number, echo), ip(family, client, destination, number, error)]

    def other(self):
        family, _, client, destination = self.target()
        return [ip(family, client, destination, self.random.choice((47, 50, 51, 132, 4, 41, 59, 253)),
                   self.random.randbytes(24))]

    def tunnel(self):
        inner = self.random.choice(self.random.choice((self.flow, self.icmp, self.fragments))() or [b"\x45"])
        return [tunnelled(self.random.choice((4, 6)), self.random.choice((GRE, IPIP, GUE)), inner)]

    def elsewhere(self):
        family = self.random.choice((4, 6))
        return [ip(family, CLIENT[family], LB[family], 6, tcp(22)),
                ip(family, CLIENT[family], "203.0.113.77" if family == 4 else "2001:db8::77", 17, udp(9))]

    def martian(self):
        family, _, _, destination = self.target()
        sources = (("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", destination) if family == 4
                   else ("::", "::1", "ff02::1", "::ffff:1.2.3.4", destination))
        return [ip(family, self.random.choice(sources), destination, 6, tcp(80))]

    def script(self):
        """Frames."""
        kind = self.random.choices(
            (self.flow, self.extended, self.fragments, self.icmp, self.other, self.tunnel, self.elsewhere,
             self.martian), (40, 5, 8, 10, 4, 12, 6, 3))[0]
        tags = self.random.choices(((), ((0x8100, 5),), ((0x88A8, 5), (0x8100, 6)), ((0x8100, 1),) * 3),
                                   (90, 5, 3, 2))[0]
        padding = self.random.choice((b"", b"", b"", bytes(6), bytes(40)))
        link = LINK if self.random.random() < 0.98 else b"\xff" * 6 + LINK[6:]
        return [ethernet(each, tags, link) + padding for each in kind()]


def damaged(frame, generator):
    """The frame with something wrong: cut off, longer, or with some bytes changed."""
    way = generator.randrange(4)
    if way == 0:
        return frame[: generator.randrange(len(frame) + 1)]
    if way == 1:
        return frame + generator.randbytes(generator.randrange(64))
    changed = bytearray(frame)
    for _ in range(generator.randrange(1, 4)):
        # Mostly in the headers.
        at = min(int(generator.expovariate(1 / 40)), len(frame) - 1)
        changed[at] = generator.randrange(256) if way == 2 else changed[at] ^ 1 << generator.randrange(8)
    return bytes(changed)


def frames(count, seed=SEED):
    """Generates them."""
    generator = random.Random(seed)
    maker = Maker(generator)
    pool = [maker.script() for _ in range(POOL)]
    pool += [[LINK + b"\x08\x06" + bytes(28)], [LINK[:6]], [LINK + b"\x88\xcc" + bytes(40)]]
    running = []
    for _ in range(count):
        while len(running) < OPEN:
            running.append(iter(generator.choice(pool)))
        at = int(generator.random() * OPEN)
        frame = next(running[at], None)
        while frame is None:
            running[at] = iter(generator.choice(pool))
            frame = next(running[at], None)
        yield damaged(frame, generator) if generator.random() < 1 / 12 else frame


def write(path, count, seed=SEED):
    """About six seconds of traffic, however many frames: some wait too long for their fragments."""
    generator = random.Random(seed + 1)
    step, now = 6e6 / count, 1e9
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for frame in frames(count, seed):
            now += step * generator.random() * 2
            file.write(struct.pack("<IIII", int(now // 1e6), int(now % 1e6), len(frame), len(frame)))
            file.write(frame)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000000)
