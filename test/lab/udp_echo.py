# SPDX-License-Identifier: BSD-2-Clause
"""UDP echo server: NAME PORT ADDRESS... Answers each datagram with "NAME " and what it carried."""

import selectors
import socket
import sys

SO_RCVBUFFORCE = 33  # asm-generic/socket.h; beyond net.core.rmem_max
# Of a burst that a slow machine answers later, none is lost here.
RECEIVE_BUFFER = 16 << 20


def main():
    name = sys.argv[1].encode()
    port = int(sys.argv[2])
    selector = selectors.DefaultSelector()
    for address in sys.argv[3:]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        # Answers must leave with the VIP as their source, hence one socket per address.
        server.bind((address, port))
        server.setblocking(False)
        selector.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            try:
                payload, client = key.fileobj.recvfrom(65535)
                key.fileobj.sendto(name + b" " + payload, client)
            except OSError:
                continue  # an ICMP error to an earlier answer, or a client that cannot be reached


if __name__ == "__main__":
    main()
