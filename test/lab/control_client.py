# SPDX-License-Identifier: BSD-2-Clause
"""The control socket of a daemon in the lab: by fluxpin's commands, and byte by byte."""

import json
import socket
import subprocess


class Done:
    """A command that has ended."""

    def __init__(self, process):
        self.status = process.returncode
        self.output = process.stdout
        self.errors = process.stderr

    def __repr__(self):
        return f"exit {self.status}\n{self.output}\n{self.errors}"

    def json(self):
        return json.loads(self.output)


def run(fluxpin, *arguments, control=None):
    """Runs `fluxpin ARGUMENTS --control PATH` as the test's own user, outside the namespaces."""
    command = [fluxpin.lab.fluxpin, *arguments, "--control", control or fluxpin.control]
    return Done(subprocess.run([str(each) for each in command], capture_output=True, text=True,
                               timeout=60, check=False))


def ask(fluxpin, *arguments):
    """The JSON that a command prints; it has to succeed."""
    done = run(fluxpin, *arguments, "--json")
    assert done.status == 0, done
    return done.json()


def warnings(fluxpin, about=None):
    """The sentences about what is wrong now, all or those of one kind."""
    found = run(fluxpin, "warnings", "--json").json()["warnings"]
    return [each["message"] for each in found if about in (None, each["about"])]


def connect(path, timeout=10):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    connection.settimeout(timeout)
    return connection


def send(connection, request):
    line = request if isinstance(request, bytes) else json.dumps(request).encode()
    connection.sendall(line + b"\n")


def receive(connection):
    """The next reply; None when the daemon has closed the connection."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            part = connection.recv(1)
        except ConnectionResetError:
            return None
        if not part:
            return None
        line += part
    return json.loads(line)


def rows(text):
    """A table's rows, as lists of cells by its heading's columns."""
    lines = text.rstrip("\n").split("\n")
    return [line.split() for line in lines]
