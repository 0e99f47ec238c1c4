# SPDX-License-Identifier: BSD-2-Clause
"""Clients of the control socket that are broken, slow, many or hostile, beside real traffic: the
daemon goes on, its memory stays bounded, and everybody else is served."""

import json
import random
import threading

import pytest
from control_client import ask, connect, receive, run, send
from fluxpin import Fluxpin, configuration, pool, vips
from namespaces import wait_until
from process import descriptors, memory_kib

STATUS = {"command": "status"}
CLIENT_LIMIT = 32  # CONTROL_CLIENT_LIMIT
REQUEST_LIMIT = 65536  # CONTROL_REQUEST_LIMIT
MEMORY_KIB = 16 << 10  # what abuse may take at a time: 32 clients with all that they may have, and more


def is_instrumented(lab):
    """Sanitizers keep freed memory for a while."""
    return lab.fluxpin.parents[2].name in ("asan", "tsan")


@pytest.fixture(name="served", scope="module")
def served_while_clients_misbehave(lab):
    """A daemon under load: every request must be answered, and at the end nothing may be left."""
    small = {"capacity": 65536}  # goes over it are fast under sanitizers, too
    text = configuration([pool(lab)], vips(lab), connections=small)
    with Fluxpin(lab, text, queues="0-3") as fluxpin:
        load = lab.load("http", lab.http_vip, "--parallel", 4, "--hold", "--rate", 100)
        assert load.wait_for_line() == "holding"
        pid = fluxpin.process.pid
        before, open_before = memory_kib(pid), descriptors(pid)
        yield fluxpin
        load.go_on()
        result = load.result()
        assert result["failed_count"] == 0 and result["requests"] > 0, result
        assert ask(fluxpin, "status")["ok"]
        wait_until(lambda: descriptors(pid) <= open_before, 10, "as few descriptors as before")
        if not is_instrumented(lab):
            assert memory_kib(pid) - before < MEMORY_KIB
        fluxpin.assert_balanced()


@pytest.mark.sanitizer
def test_garbage_gets_an_error_and_harms_nobody(served):
    generator = random.Random(5)
    lines = [b"", b"garbage", b"{", b"[]", b"null", b'{"command": 1}', b'{"command": "x"}', b"\0" * 100,
             b'{"command": "status", "more": 1}', b"[" * 60000, b'{"command": "' + b"\xff" * 50 + b'"}',
             b'{"command": "drain"}', b'{"command": "drain", "backend": 7}',
             b'{"command": "drain", "backend": "web"}', b'{"command": "drain", "backend": "//"}',
             b'{"command": "drain", "backend": "' + b"a" * 5000 + b"/" + b"b" * 5000 + b'"}',
             b'{"command": "undrain", "backend": "' + b"a" * 500 + b'"}',
             b'{"command": "connections", "sample": -1}', b'{"command": "connections", "sample": 1e3}',
             b'{"command": "connections", "flow": "' + b"tcp " * 200 + b'"}',
             b'{"command": "connections", "backend": "web/web-1/x"}']
    lines += [bytes(generator.choice(range(11, 256)) for _ in range(generator.randrange(2000)))
              for _ in range(100)]
    with connect(served.control) as connection:
        for line in lines:
            send(connection, line)
            reply = receive(connection)
            assert reply["ok"] is False and reply["errors"], line
        send(connection, STATUS)
        assert receive(connection)["ok"] is True
    assert ask(served, "status")["drains"] == []


@pytest.mark.sanitizer
def test_a_request_in_pieces_and_many_in_one_piece(served):
    with connect(served.control) as connection:
        for byte in json.dumps(STATUS).encode() + b"\n":
            connection.sendall(bytes([byte]))
        assert receive(connection)["ok"]
        connection.sendall((json.dumps({"command": "connections"}) + "\n"
                            + json.dumps(STATUS) + "\n").encode() * 20)
        for _ in range(20):
            assert "flows" in receive(connection) and "workers" in receive(connection)
        # What stands before the end of the stream is answered.
        send(connection, STATUS)
        connection.shutdown(1)
        assert receive(connection)["ok"]
        assert receive(connection) is None


def test_a_request_of_the_largest_size_and_a_megabyte_without_newline(served):
    with connect(served.control) as connection:
        line = json.dumps(STATUS).encode()
        send(connection, line + b" " * (REQUEST_LIMIT - 1 - len(line)))
        assert receive(connection)["ok"]
        sent = 0
        try:
            while sent < 1 << 20:
                sent += connection.send(b" " * 4096)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert receive(connection) == {"ok": False, "errors": [f"a request is longer than {REQUEST_LIMIT} bytes"]}
        assert receive(connection) is None


@pytest.mark.sanitizer
def test_a_thousand_connections_keep_nobody_out(served):
    """Those that only hold a connection give way to one that asks."""
    pid = served.process.pid
    before = descriptors(pid)
    connections = []
    try:
        for number in range(1000):
            connections.append(connect(served.control))
            if number % 100 == 50:
                connections[-1].sendall(b'{"command"')
                assert run(served, "status").status == 0
                assert descriptors(pid) <= before + CLIENT_LIMIT + 16
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: descriptors(pid) <= before, 10, "all connections closed")


def test_clients_that_never_read_are_closed(served):
    """They ask again and again; the daemon stops reading from each when its reply does not go out,
    and gives up on it when that has lasted CONTROL_REPLY_MS."""
    connections = [connect(served.control, timeout=0.2) for _ in range(3)]

    def is_closed(connection):
        try:
            while True:
                send(connection, STATUS)
        except TimeoutError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True

    assert not any([is_closed(each) for each in connections])
    assert run(served, "status").status == 0
    wait_until(lambda: all([is_closed(each) for each in connections]), 60, "end of those connections")
    for connection in connections:
        connection.close()


@pytest.mark.sanitizer
def test_clients_that_die_midway(served):
    """In the middle of a request, of a survey, and of reading its reply."""
    for number in range(200):
        connection = connect(served.control)
        request = json.dumps({"command": ("connections", "backends", "status", "reload")[number % 4]})
        if number % 3 == 0:
            connection.sendall(request.encode()[: 1 + number % len(request)])
        else:
            connection.sendall(request.encode() + b"\n")
            if number % 5 == 0:
                connection.recv(3)
        connection.close()
    assert ask(served, "connections")["ok"]


@pytest.mark.sanitizer
def test_many_commands_at_the_same_time(served):
    """Also under ThreadSanitizer: surveys, drains and reloads beside traffic."""
    commands = [["status"], ["connections"], ["backends"], ["drain", "web/web-1"], ["undrain", "web/web-1"],
                ["reload"], ["vips"], ["warnings"]]
    wrong = []

    def work(command):
        for _ in range(10):
            done = run(served, *command)
            if done.status != 0 and command[0] != "warnings":
                wrong.append(done)

    threads = [threading.Thread(target=work, args=(each,)) for each in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    assert run(served, "undrain", "web/web-1").status == 0
