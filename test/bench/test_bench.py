# SPDX-License-Identifier: BSD-2-Clause
"""fluxpin-bench: what it prints, that it refuses what it cannot do, and that a figure of something
else than was asked for never gets out. Nothing here depends on how fast anything is."""

import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLUXPIN = pathlib.Path(os.environ.get("FLUXPIN", ROOT / "build/dev/src/cli/fluxpin"))
BENCH = FLUXPIN.parents[2] / "test/bench/fluxpin-bench"
TINY = ("--packets", "640", "--repetitions", "3", "--flows", "1000")
MIXES = {"hit", "new", "syn", "udp", "ipv6", "untracked", "miss"}


def bench(*arguments):
    return subprocess.run([BENCH, *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=600)


def document(*arguments):
    done = bench(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def check_statistics(statistics):
    assert set(statistics) == {"median", "min", "max"}
    assert statistics["min"] <= statistics["median"] <= statistics["max"]


def check_pipeline(result):
    for field in ("floor_ns", "ns_per_packet", "net_ns_per_packet"):
        check_statistics(result[field])
    assert result["floor_ns"]["min"] > 0
    assert result["ns_per_packet"]["min"] > 0
    # With the floor, not net of it.
    assert result["mpps"] == pytest.approx(1000 / result["ns_per_packet"]["median"], rel=1e-4)


def test_list():
    for arguments in (("--list",), ("pipeline", "--list")):
        done = bench(*arguments)
        assert done.returncode == 0 and done.stderr == ""
        lines = done.stdout.splitlines()
        assert {line.split()[0] for line in lines} == MIXES
        assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize("command", ["pipeline", "maglev", "survive", "health", "requests", "traffic",
                                     "echo"])
def test_help(command):
    done = bench(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"usage: fluxpin-bench {command}")
    assert bench("--help").returncode == 0


@pytest.mark.parametrize("mix", sorted(MIXES))
def test_mixes(mix):
    # A table that the warm-up of "new" fills soon.
    result = document("pipeline", "--mix", mix, "--capacity", 16384, *TINY)
    check_pipeline(result)
    assert result["mix"] == mix
    assert result["inner"] == result["outer"] == ("ipv6" if mix == "ipv6" else "ipv4")
    assert result["flows"] == (None if mix == "new" else 1000)
    assert result["capacity"] == 16384
    assert result["bytes_per_tracked_flow"] == 16
    assert result["repetitions"] == 3 and result["packets_per_repetition"] == 640
    if mix in ("hit", "udp", "ipv6"):
        assert result["hit_share"] > 0.99 and result["tracked_flows"] >= 990
    else:
        assert result["hit_share"] == 0
    if mix in ("untracked", "miss"):
        assert result["tracked_flows"] == 0


@pytest.mark.parametrize("inner", ["ipv4", "ipv6"])
@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
@pytest.mark.parametrize("encapsulation", ["gre", "ipip", "gue"])
def test_encapsulations(encapsulation, inner, outer):
    result = document("pipeline", "--encapsulation", encapsulation, "--inner", inner, "--outer",
                      outer, *TINY)
    check_pipeline(result)
    assert (result["encapsulation"], result["inner"], result["outer"]) == (encapsulation, inner,
                                                                          outer)


def test_by_time():
    result = document("pipeline", "--seconds", "0.01", "--repetitions", 1, "--flows", 1)
    check_pipeline(result)
    assert result["packets_per_repetition"] >= 65536
    assert result["tracked_flows"] == 1 and result["hit_share"] == 1


def test_batches_and_pools():
    for batch in (1, 7, 64):
        result = document("pipeline", "--batch", batch, "--depth", 64, "--backends", 7,
                          "--size", 251, *TINY)
        check_pipeline(result)
        assert (result["backends"], result["size"]) == (7, 251)


def test_tables():
    done = bench("pipeline", *TINY)
    assert done.returncode == 0 and done.stderr == ""
    assert all(word in done.stdout for word in ("floor", "net", "median", "Mpps"))
    assert bench("maglev", "--runs", 1).returncode == 0
    assert bench("survive", "--runs", 1, "--flows", 100).returncode == 0


# What may not be taken for what: different verdicts, lengths or ways through the table.
@pytest.mark.parametrize("mix, other", [
    ("hit", "new"), ("hit", "syn"), ("hit", "untracked"), ("hit", "miss"),
    ("new", "hit"), ("new", "syn"), ("new", "untracked"), ("new", "miss"),
    ("syn", "hit"), ("syn", "new"), ("syn", "miss"),
    ("untracked", "hit"), ("untracked", "new"), ("untracked", "miss"),
    ("miss", "hit"), ("miss", "new"), ("miss", "syn"), ("miss", "untracked"),
    ("udp", "new"), ("ipv6", "new"),
])
def test_counters_are_checked(mix, other):
    done = bench("pipeline", "--mix", mix, "--expect", other, "--capacity", 16384, *TINY, "--json")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"not what was to be measured (mix {other}" in done.stderr


def test_hits_that_are_none():
    done = bench("pipeline", "--flows", 100000, "--capacity", 1024, "--packets", 64)
    assert done.returncode == 1 and done.stdout == ""
    assert "hits" in done.stderr and "raise --capacity or lower --flows" in done.stderr


def test_maglev():
    result = document("maglev", "--backends", 1000, "--size", 65537, "--remove", 10, "--runs", 3)
    check_statistics(result["build_ms"])
    assert (result["backends"], result["size"], result["remove"], result["runs"]) == (
        1000, 65537, 10, 3)
    # Section 5.3 of the paper: every backend has the average rounded down or up, here 65 or 66.
    assert result["max_over_average"] == pytest.approx(66 / 65.537, abs=1e-5)
    assert result["min_over_average"] == pytest.approx(65 / 65.537, abs=1e-5)
    assert result["unavoidable_share"] == pytest.approx(0.01, abs=0.0005)
    assert 0.025 < result["changed_share"] < 0.042


def test_maglev_repeats_itself():
    arguments = ("maglev", "--backends", 100, "--size", 10007, "--remove", 5, "--runs", 7)
    first, second = document(*arguments), document(*arguments)
    assert first.pop("build_ms") and second.pop("build_ms")
    assert first == second


def test_maglev_without_removal():
    result = document("maglev", "--remove", 0, "--runs", 1)
    assert result["changed_share"] == result["unavoidable_share"] == 0


def test_maglev_removes_as_many_as_it_says():
    """With all backends but one removed, all slots but that one's are theirs."""
    result = document("maglev", "--backends", 10, "--remove", 9, "--size", 10007, "--runs", 20)
    assert result["unavoidable_share"] == pytest.approx(0.9, abs=1e-4)
    assert result["changed_share"] == pytest.approx(0.9, abs=1e-4)


def test_one_backend():
    result = document("maglev", "--backends", 1, "--remove", 0, "--size", 251, "--runs", 1)
    assert result["max_over_average"] == result["min_over_average"] == 1


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_health(kind):
    result = document("health", "--type", kind, "--backends", 50, "--interval", "100ms",
                      "--silent", 5, "--seconds", "0.5")
    assert set(result) == {"type", "backends", "silent", "interval_ms", "probes",
                           "probes_per_second", "cpu_share", "cpu_us_per_probe", "late_ms"}
    assert (result["type"], result["backends"], result["silent"]) == (kind, 50, 5)
    assert result["interval_ms"] == 100
    assert result["probes"] > 55
    assert 0 < result["cpu_share"]
    late = result["late_ms"]
    assert 0 <= late["median"] <= late["p99"] <= late["max"]


def test_survive():
    result = document("survive", "--backends", 100, "--size", 10007, "--remove", 5, "--runs", 3,
                      "--flows", 20000)
    assert result["broken_share_tracked"] == 0
    assert result["removed_share"] == pytest.approx(0.05, abs=0.01)
    assert 0 < result["broken_share"] < 0.1


def test_survive_agrees_with_the_slots():
    """Flows fall on slots at random, so both commands see the same removals' effect."""
    arguments = ("--backends", 1000, "--remove", 50, "--runs", 5)
    flows = document("survive", *arguments, "--flows", 100000)
    slots = document("maglev", *arguments)
    assert flows["changed_share"] == pytest.approx(slots["changed_share"], rel=0.05)


def test_survive_without_removal():
    result = document("survive", "--remove", 0, "--runs", 1, "--flows", 5000)
    assert result["changed_share"] == result["broken_share_tracked"] == 0


@pytest.mark.parametrize("arguments", [
    (), ("nothing",), ("--nothing",),
    *[(command, *rest) for command in ("pipeline", "maglev", "survive") for rest in (
        ("--nothing",), ("argument",), ("--backends",), ("--backends", "0"), ("--backends", "x"),
        ("--backends", "-1"), ("--backends", "70000"), ("--size", "65536"), ("--size", "1"),
        ("--size", "16777217"), ("--backends", "251", "--size", "251"))],
    *[("pipeline", *rest) for rest in (
        ("--mix", "x"), ("--mix", ""), ("--expect", "x"), ("--flows", "0"), ("--flows", "1e6"),
        ("--flows", "1000000000000"), ("--encapsulation", "l2"), ("--inner", "ipv5"),
        ("--outer", "4"), ("--seconds", "0"), ("--seconds", "-1"), ("--seconds", "nan"),
        ("--seconds", "inf"), ("--seconds", "1x"), ("--seconds", ""), ("--repetitions", "0"),
        ("--packets", "0"), ("--capacity", "1000"), ("--capacity", "8388609"), ("--batch", "0"),
        ("--batch", "65"), ("--depth", "63"), ("--depth", "4097"), ("--cpu", "-1"))],
    *[(command, *rest) for command in ("maglev", "survive") for rest in (
        ("--remove", "1000"), ("--remove", "-1"), ("--runs", "0"))],
    ("survive", "--flows", "0"), ("survive", "--flows", "10000000"),
    *[("health", *rest) for rest in (
        ("argument",), ("--type", "https"), ("--backends", "0"), ("--backends", "40000"),
        ("--interval", "2"), ("--interval", "9ms"), ("--interval", "2h"), ("--silent", "-1"))],
    ("requests",),
    *[("requests", "--address", "127.0.0.1", *rest) for rest in (
        ("argument",), ("--address", "localhost"), ("--address", "::1"), ("--port", "0"),
        ("--rate", "0"), ("--parallel", "0"), ("--parallel", "60001"), ("--seconds", "0"))],
    ("traffic",), ("traffic", "-i", "lo"), ("traffic", "-i", "lo", "--mac", "02:00:00:00:00:01"),
    *[("traffic", "-i", "lo", "--mac", "02:00:00:00:00:01", "--vip", "203.0.113.10", *rest)
      for rest in (
          ("argument",), ("--mac", "x"), ("--vip", "x"), ("--vip", "2001:db8::1"),
          ("--window", "0"), ("--window", "8", "--rate", "8"), ("--port", "0"), ("--flows", "0"),
          ("--rate", "-1"), ("--seconds", "0"), ("--cpu", "x"))],
    ("echo",), *[("echo", "-i", "lo", *rest) for rest in (
        ("argument",), ("--mode", "auto"), ("--frames", "8191"), ("--frames", "32"),
        ("--frame-size", "3000"), ("--budget", "x"), ("--cpu", "x"))],
])
def test_wrong_usage(arguments):
    done = bench(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage: fluxpin-bench" in done.stderr


@pytest.fixture(name="server")
def running_server():
    """An HTTP server; in `seen` are the paths that were asked for, in `times` when."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.server.times.append(time.monotonic())
            self.server.seen.append(self.path)
            if self.path == "/cut":
                return
            self.send_response(200 if self.path == "/id" else 404)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"id\n")

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 1000

    with Server(("127.0.0.1", 0), Handler) as server:
        server.seen, server.times = [], []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_requests_at_a_rate(server):
    """Every one that was due, however long it took."""
    result = document("requests", "--address", "127.0.0.1", "--port", server.server_port,
                      "--rate", 50, "--seconds", 0.5)
    assert result["answered"] == len(server.seen) == 25 and set(server.seen) == {"/id"}
    assert result["refused"] == result["wrong"] == result["late"] == 0
    latency = result["latency_us"]
    assert list(latency) == ["p50", "p90", "p99", "p99.9", "max"]
    assert sorted(latency.values()) == list(latency.values()) and latency["p50"] > 0


def test_requests_wait_for_connections_on_the_clock(server):
    """With one connection at a time, the requests due meanwhile are late from their time on."""
    result = document("requests", "--address", "127.0.0.1", "--port", server.server_port,
                      "--rate", 1000000, "--parallel", 1, "--seconds", 0.0001)
    assert result["answered"] == len(server.seen) == 100
    # The last one has waited for all of the others.
    assert result["latency_us"]["max"] > 0.9 * result["seconds"] * 1e6


def test_requests_as_many_as_can_be(server):
    before = time.monotonic()
    result = document("requests", "--address", "127.0.0.1", "--port", server.server_port,
                      "--parallel", 4, "--seconds", 0.3)
    after = time.monotonic()
    count = len(server.seen)
    assert result["answered"] == count > 4
    # The time of its rate is from before the first request came until after the last one did.
    most = count / (max(server.times) - min(server.times))
    assert count / (after - before) < result["requests_per_second"] < most


@pytest.mark.parametrize("path", ["/other", "/cut"])
def test_requests_without_an_answer_are_no_figure(server, path):
    done = bench("requests", "--address", "127.0.0.1", "--port", server.server_port,
                 "--path", path, "--rate", 20, "--seconds", 0.2)
    assert done.returncode == 1 and done.stdout == ""
    assert "0 refused, 4 wrong, 0 late" in done.stderr
    assert server.seen == [path] * 4


def test_requests_without_a_server():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        done = bench("requests", "--address", "127.0.0.1", "--port", nobody.getsockname()[1],
                     "--rate", 20, "--seconds", 0.2)
    assert done.returncode == 1 and "4 refused, 0 wrong, 0 late" in done.stderr


def test_a_cpu_that_does_not_exist():
    done = bench("pipeline", "--cpu", 60000, *TINY)
    assert done.returncode == 1 and "CPU" in done.stderr


def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        done = subprocess.run([BENCH, "maglev", "--runs", "1", "--json"], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "standard output" in done.stderr
