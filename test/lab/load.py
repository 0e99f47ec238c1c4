# SPDX-License-Identifier: BSD-2-Clause
"""Load for the lab's servers, on the standard library alone; runs in the client's namespace.

    http       N requests over new connections, P at a time
    keepalive  P connections, used once, held open, and used again at the end
    download   one long answer at a limited rate, checked to its last byte
    upload     one long request body
    udp        datagrams from many source ports, some rounds each; IPv6, too

Prints one JSON document on standard output; exit status 1 when anything failed. What can be held in
the middle says "holding" on standard error and goes on when standard input ends.
"""

import argparse
import asyncio
import collections
import json
import re
import selectors
import socket
import sys
import time

from namespaces import PATIENCE

FAILURES_LISTED = 2000  # tests look at each that may fail


class Failed(Exception):
    """An answer that is not the one that was to come."""


# A time that is over is an OSError, an answer that ends early an EOFError.
ERRORS = (OSError, EOFError, ValueError, LookupError, Failed)


class Outcome:
    """What is counted over all connections."""

    def __init__(self):
        self.start = time.monotonic()
        self.ok = 0
        self.failures = []
        self.failed = 0
        self.by_backend = collections.Counter()

    def success(self, backend):
        self.ok += 1
        self.by_backend[backend] += 1

    def failure(self, error, backend=None, port=None):
        self.failed += 1
        if len(self.failures) < FAILURES_LISTED:
            entry = {
                "error": f"{type(error).__name__}: {error}".rstrip(": "),
                "time": round(time.monotonic() - self.start, 3),
            }
            if backend:
                entry["backend"] = backend
            if port:
                entry["port"] = port
            self.failures.append(entry)

    def report(self, **more):
        return {
            "requests": self.ok + self.failed,
            "ok": self.ok,
            "failed_count": self.failed,
            "failed": self.failures,
            "by_backend": dict(sorted(self.by_backend.items())),
            "seconds": round(time.monotonic() - self.start, 3),
            **more,
        }


async def standard_input_ends():
    print("holding", file=sys.stderr, flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


class Connection:
    """One HTTP/1.1 connection. Backends name themselves in the header X-Backend."""

    def __init__(self, options):
        self.options = options
        self.reader = self.writer = self.backend = self.local_port = None

    async def open(self, receive_buffer=None):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setblocking(False)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(
                client, (self.options.address, self.options.port)
            )
        except BaseException:
            # The port is chosen before the first packet: a failure can be told by its flow.
            self.local_port = client.getsockname()[1]
            client.close()
            raise
        self.local_port = client.getsockname()[1]
        limit = {"limit": receive_buffer} if receive_buffer else {}
        self.reader, self.writer = await asyncio.open_connection(sock=client, **limit)

    def send(self, path, method="GET", length=None, keep=False):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.options.address}"]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        if not keep:
            lines.append("Connection: close")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def head(self):
        """Reads status line and headers; returns the body's length."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        if not re.fullmatch(r"HTTP/1\.1 200 .*", lines[0]):
            raise Failed(f"status {lines[0]!r}")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        self.backend = headers.get("x-backend")
        return int(headers["content-length"])

    async def get(self, path, keep=False):
        self.send(path, keep=keep)
        body = await self.reader.readexactly(await self.head())
        if body.decode().split() != [self.backend]:
            raise Failed(f"body {body[:60]!r} from {self.backend}")

    def close(self):
        if self.writer:
            self.writer.close()


async def run_http(options):
    """--requests of them, or for --duration, or until standard input ends if it is to be held."""
    outcome = Outcome()
    left = options.requests
    end = outcome.start + options.duration if options.duration else None
    stop = asyncio.Event()
    ports = {}

    def more():
        nonlocal left
        if stop.is_set() or (end and time.monotonic() >= end):
            return False
        if not (end or options.hold):
            left -= 1
            return left >= 0
        return True

    async def one():
        connection = Connection(options)
        try:
            async with asyncio.timeout(options.timeout):
                await connection.open()
                await connection.get(options.path)
            outcome.success(connection.backend)
            ports[connection.local_port] = connection.backend
        except ERRORS as error:
            outcome.failure(error, connection.backend, connection.local_port)
        finally:
            connection.close()

    async def stream(number):
        next_start = time.monotonic() + (number / options.rate if options.rate else 0)
        while more():
            if options.rate:
                await asyncio.sleep(max(0, next_start - time.monotonic()))
                next_start += options.parallel / options.rate
            await one()

    async def held():
        await standard_input_ends()
        stop.set()

    holder = asyncio.create_task(held()) if options.hold else None
    await asyncio.gather(*(stream(number) for number in range(options.parallel)))
    if holder:
        await holder
    return outcome.report(**({"ports": ports} if options.ports else {}))


async def run_keepalive(options):
    outcome = Outcome()
    connections = [Connection(options) for _ in range(options.parallel)]
    first = {}
    moved = 0

    async def use(connection):
        try:
            async with asyncio.timeout(options.timeout):
                if not connection.writer:
                    await connection.open()
                await connection.get(options.path, keep=True)
            outcome.success(connection.backend)
            return connection.backend
        except ERRORS as error:
            outcome.failure(error, connection.backend)
            return None

    for connection in connections:
        first[connection] = await use(connection)
    await standard_input_ends()
    for connection in connections:
        if first[connection] is not None:
            again = await use(connection)
            moved += again is not None and again != first[connection]
        connection.close()
    return outcome.report(connections=len(connections), moved=moved)


async def run_download(options):
    """Reads at --rate bytes a second with a small window, so that the flow lives that long."""
    outcome = Outcome()
    received = [0] * options.parallel

    async def download(number):
        connection = Connection(options)
        try:
            async with asyncio.timeout(options.timeout):
                await connection.open(receive_buffer=65536)
                connection.send(options.path)
                length = await connection.head()
            start = time.monotonic()
            while received[number] < length:
                async with asyncio.timeout(options.timeout):
                    piece = await connection.reader.read(65536)
                if not piece:
                    raise Failed(f"ended after {received[number]} of {length} bytes")
                if piece.count(0) != len(piece):
                    raise Failed(f"wrong bytes after {received[number]}")
                received[number] += len(piece)
                if options.rate:
                    ahead = received[number] / options.rate - (time.monotonic() - start)
                    await asyncio.sleep(max(0, ahead))
            if await connection.reader.read(1):
                raise Failed(f"more than {length} bytes")
            outcome.success(connection.backend)
        except ERRORS as error:
            outcome.failure(error, connection.backend, connection.local_port)
        finally:
            connection.close()

    await asyncio.gather(*(download(number) for number in range(options.parallel)))
    return outcome.report(bytes=sum(received))


async def run_upload(options):
    outcome = Outcome()

    async def upload():
        connection = Connection(options)
        try:
            async with asyncio.timeout(options.timeout):
                await connection.open()
                connection.send("/upload", "POST", options.size)
                left = options.size
                while left:
                    piece = min(left, 65536)
                    connection.writer.write(bytes(piece))
                    await connection.writer.drain()
                    left -= piece
                body = await connection.reader.readexactly(await connection.head())
            if body.decode().split() != [connection.backend, str(options.size)]:
                raise Failed(f"body {body[:60]!r} from {connection.backend}")
            outcome.success(connection.backend)
        except ERRORS as error:
            outcome.failure(error, connection.backend, connection.local_port)
        finally:
            connection.close()

    await asyncio.gather(*(upload() for _ in range(options.parallel)))
    return outcome.report(bytes=options.size * outcome.ok)


def run_udp(options):
    """Every port sends once a round; a port whose answers come from two backends is `moved`."""
    outcome = Outcome()
    selector = selectors.DefaultSelector()
    clients = []
    backends = collections.defaultdict(set)
    padding = b"." * max(0, options.size - 16)
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    for _ in range(options.source_ports):
        client = socket.socket(family, socket.SOCK_DGRAM)
        client.connect((options.address, options.port))
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ)
        clients.append(client)

    def drain(waiting, seconds):
        deadline = time.monotonic() + seconds
        while waiting:
            events = selector.select(max(0, deadline - time.monotonic()))
            if not events and time.monotonic() >= deadline:
                return
            for key, _ in events:
                client = key.fileobj
                try:
                    name, _, payload = client.recv(65535).partition(b" ")
                except OSError as error:
                    outcome.failure(error)
                    waiting.pop(client, None)
                    continue
                if waiting.pop(client, None) != payload:
                    outcome.failure(Failed(f"answer {payload[:60]!r} was not asked for"))
                    continue
                outcome.success(name.decode())
                backends[client.getsockname()[1]].add(name.decode())

    for number in range(options.rounds):
        waiting = {}
        for index, client in enumerate(clients):
            waiting[client] = b"%d/%d" % (number, index) + padding
            try:
                client.send(waiting[client])
            except OSError as error:
                outcome.failure(error)
                del waiting[client]
            if index % 64 == 63:
                drain(waiting, 0)
        drain(waiting, options.timeout)
        for _ in waiting:
            outcome.failure(Failed("no answer"))
        if options.hold and number == 0:
            print("holding", file=sys.stderr, flush=True)
            sys.stdin.read()
    flows = {str(port): sorted(names) for port, names in sorted(backends.items())}
    return outcome.report(
        flows=flows if options.ports else len(flows),
        moved=sum(len(names) > 1 for names in flows.values()),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=["http", "keepalive", "download", "upload", "udp"])
    parser.add_argument("address")
    parser.add_argument("--port", type=int, help="default 80, for udp 53")
    parser.add_argument("--path", help="default /id, for download /large")
    parser.add_argument("--requests", type=int, default=100, help="http: how many")
    parser.add_argument("--duration", type=float, help="http: for so many seconds instead")
    parser.add_argument("--parallel", type=int, default=1, help="connections at a time")
    parser.add_argument("--rate", type=float, help="http: requests, download: bytes a second")
    parser.add_argument("--size", type=int, help="bytes of upload (1 MB) or datagram (64)")
    parser.add_argument("--source-ports", type=int, default=100, help="udp: how many")
    parser.add_argument("--rounds", type=int, default=1, help="udp: datagrams for each port")
    parser.add_argument("--timeout", type=float, help="seconds without progress (5)")
    parser.add_argument(
        "--hold", action="store_true", help="http: until standard input ends; udp: after a round"
    )
    parser.add_argument("--ports", action="store_true", help="list the backend of each port")
    options = parser.parse_args()
    udp = options.mode == "udp"
    options.port = options.port or (53 if udp else 80)
    options.path = options.path or ("/large" if options.mode == "download" else "/id")
    if options.timeout is None:
        options.timeout = 5 if udp else 5 * PATIENCE
    options.size = options.size or (64 if udp else 1000000)
    if udp:
        report = run_udp(options)
    else:
        run = {
            "http": run_http,
            "keepalive": run_keepalive,
            "download": run_download,
            "upload": run_upload,
        }[options.mode]
        report = asyncio.run(run(options))
    json.dump(report, sys.stdout, indent=2)
    print()
    sys.exit(1 if report["failed_count"] else 0)


if __name__ == "__main__":
    main()
