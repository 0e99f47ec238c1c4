# SPDX-License-Identifier: BSD-2-Clause
"""A router's end of a tunnel: DEVICE KIND SOURCE DESTINATION

Makes the TUN device DEVICE, and sends every IP packet that is routed to it from SOURCE to
DESTINATION in a tunnel of KIND: gre, ipip or gue. The kernel writes the outer IP header.
"""

import fcntl
import os
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
GRE, IPIP, IPV6 = 47, 4, 41
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
PROTOCOLS = {4: IPIP, 6: IPV6}
GUE_PORT, GUE_SOURCE_PORT = 6080, 50000
LONGEST = 65535


def open_device(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def raw_socket(family, protocol, source):
    sender = socket.socket(family, socket.SOCK_RAW, protocol)
    sender.bind((source, 0))
    return sender


class Tunnel:
    """Wraps one packet after the other."""

    def __init__(self, kind, source, destination):
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        self.kind = kind
        self.destination = (destination, GUE_PORT if kind == "gue" else 0)
        if kind == "gre":
            senders = dict.fromkeys((4, 6), raw_socket(family, GRE, source))
        elif kind == "ipip":
            senders = {inner: raw_socket(family, PROTOCOLS[inner], source) for inner in (4, 6)}
        else:
            datagrams = socket.socket(family, socket.SOCK_DGRAM)
            datagrams.bind((source, GUE_SOURCE_PORT))
            senders = dict.fromkeys((4, 6), datagrams)
        self.senders = senders

    def send(self, packet):
        inner = packet[0] >> 4
        shim = {"gre": struct.pack("!HH", 0, ETHERTYPES[inner]), "ipip": b"",
                "gue": bytes([0, PROTOCOLS[inner], 0, 0])}[self.kind]
        self.senders[inner].sendto(shim + packet, self.destination)


def main():
    name, kind, source, destination = sys.argv[1:]
    device = open_device(name)
    tunnel = Tunnel(kind, source, destination)
    print("ready", flush=True)
    while True:
        tunnel.send(os.read(device, LONGEST))


if __name__ == "__main__":
    main()
