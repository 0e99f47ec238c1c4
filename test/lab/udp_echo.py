# SPDX-License-Identifier: BSD-2-Clause
"""UDP echo server: NAME PORT ADDRESS... Answers each datagram with "NAME " and what it carried."""

import selectors
import socket
import sys


def main():
    name = sys.argv[1].encode()
    port = int(sys.argv[2])
    selector = selectors.DefaultSelector()
    for address in sys.argv[3:]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
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
