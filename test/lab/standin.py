# SPDX-License-Identifier: BSD-2-Clause
"""A stand-in for fluxpin, so that the lab can be tested without it: IF SOURCE VIP... -- BACKEND...

Receives what arrives for the VIPs on a packet socket, and sends it on in GRE to a backend chosen
by a checksum of the 5-tuple. Slow, stateless, and nothing to judge fluxpin by.
"""

import socket
import struct
import sys
import zlib

ETH_P_IP = 0x0800
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
GRE_IPV4 = struct.pack("!HH", 0, ETH_P_IP)


def main():
    separator = sys.argv.index("--")
    interface, source = sys.argv[1:3]
    vips = {socket.inet_aton(vip) for vip in sys.argv[3:separator]}
    backends = sys.argv[separator + 1 :]
    receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    receiver.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    receiver.bind((interface, ETH_P_IP))
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    print("ready", flush=True)
    while True:
        packet = receiver.recv(65535)[14:]
        if len(packet) < 20 or packet[16:20] not in vips:
            continue
        length = struct.unpack_from("!H", packet, 2)[0]
        ports = (packet[0] & 15) * 4
        key = packet[9:10] + packet[12:20] + packet[ports : ports + 4]
        backend = backends[zlib.crc32(key) % len(backends)]
        # The kernel fills in identification and checksum.
        outer = struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0,
            24 + length,
            0,
            0x4000,
            64,
            socket.IPPROTO_GRE,
            0,
            socket.inet_aton(source),
            socket.inet_aton(backend),
        )
        sender.sendto(outer + GRE_IPV4 + packet[:length], (backend, 0))


if __name__ == "__main__":
    main()
