# SPDX-License-Identifier: BSD-2-Clause
"""The lab itself: what the tests of the daemon rely on. A stand-in takes fluxpin's place."""

import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

import fluxpin
import namespaces
from lab import HERE, Lab
from namespaces import wait_until


@pytest.fixture
def standin(lab):
    addresses = [backend.address for backend in lab.backends]
    process = lab.lb.popen(
        ["/usr/bin/python3", HERE / "standin.py", "eth0", lab.lb.address, *lab.vips, "--"]
        + addresses,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    namespaces.stop(process)


def left_of(identity):
    places = [namespaces.NETNS_DIRECTORY, namespaces.run_directory(identity).parent]
    found = [path for place in places for path in place.glob(f"{identity}*")]
    return found + namespaces.processes_of(identity)


# Traffic


def test_requests_reach_every_backend(lab, standin):
    report = lab.load("http", lab.http_vip, "--requests", 200, "--parallel", 4).result()
    assert (report["requests"], report["ok"], report["failed"]) == (200, 200, [])
    assert set(report["by_backend"]) == {"web-1", "web-2", "web-3"}
    decapsulated = [lab.endpoint_counters(each)["decapsulated_gre_ipv4"] for each in lab.backends]
    assert all(decapsulated)


def test_datagrams_reach_every_backend(lab, standin):
    report = lab.load("udp", lab.dns_vip, "--source-ports", 200, "--rounds", 3).result()
    assert (report["ok"], report["failed"], report["moved"]) == (600, [], 0)
    assert (report["flows"], len(report["by_backend"])) == (200, 3)


def test_ipv6_when_asked(lab):
    """Neighbours, routes and servers; and none of it where nobody asked."""
    assert not any("inet6" in str(each.ip_json("addr")) for each in lab.namespaces)
    with Lab(backends=1, endpoint=None, ipv6=True) as built:
        backend = built.backends[0]
        for namespace in (built.lb, backend):
            built.client.run(["ping", "-c1", "-W2", namespace.ipv6_address])
        for vip in (built.http_vip_ipv6, built.dns_vip_ipv6):
            route = built.router.ip_json(f"-6 route get {vip}")[0]
            assert route["gateway"] == built.lb.ipv6_address
        built.router.ip(f"route replace {built.http_vip_ipv6}/128 via {backend.ipv6_address}")
        page = built.client.output(["curl", "-s", "-m5", f"http://[{built.http_vip_ipv6}]/id"])
        assert page == "web-1\n"


def test_full_size_segments_in_both_directions(lab, standin):
    report = lab.load("upload", lab.http_vip, "--size", 2000000, "--parallel", 3).result()
    assert (report["ok"], report["failed"], report["bytes"]) == (3, [], 6000000)
    report = lab.load("download", lab.http_vip, "--rate", 80000000).result()
    assert (report["ok"], report["failed"], report["bytes"]) == (1, [], 100000000)


def test_a_download_is_as_slow_as_told(lab, standin):
    load = lab.load("download", lab.http_vip, "--rate", 40000000)
    assert load.result()["seconds"] > 2.4


def test_connections_are_held_open(lab, standin):
    load = lab.load("keepalive", lab.http_vip, "--parallel", 10)
    assert load.wait_for_line() == "holding"
    report = load.result()
    assert (report["connections"], report["ok"], report["moved"]) == (10, 20, 0)


def test_load_goes_on_until_told_to_stop(lab, standin):
    def arrived():
        return sum(lab.endpoint_counters(each)["decapsulated_gre_ipv4"] for each in lab.backends)

    before, start = arrived(), time.monotonic()
    load = lab.load("http", lab.http_vip, "--parallel", 2, "--rate", 100, "--hold")
    assert load.wait_for_line() == "holding"
    # Of no request come more than ten packets.
    wait_until(lambda: arrived() - before > 10 * 30, 30, "30 requests")
    report = load.result()
    assert report["failed"] == []
    # However slow the machine is, the rate is not exceeded, but for the first of each of the two.
    assert 30 <= report["ok"] <= 100 * (time.monotonic() - start) + 2


def test_a_report_may_be_longer_than_a_pipe_holds(lab):
    report = lab.load("http", lab.http_vip, "--requests", 1500, "--parallel", 500,
                      "--timeout", 0.3).result()
    assert len(json.dumps(report)) > 65536
    assert report["failed_count"] == len(report["failed"]) == 1500


def test_failures_are_reported(lab):
    report = lab.load("http", lab.http_vip, "--requests", 2, "--timeout", 0.3).result()
    assert (report["ok"], report["failed_count"]) == (0, 2)
    assert [failure["error"] for failure in report["failed"]] == ["TimeoutError"] * 2
    assert len({failure["port"] for failure in report["failed"]}) == 2
    report = lab.load("udp", lab.dns_vip, "--source-ports", 3, "--timeout", 0.3).result()
    assert (report["ok"], report["failed_count"]) == (0, 3)


def test_health_checks_come_from_the_balancer(lab):
    for backend in lab.backends:
        url = f"http://{backend.address}:8080/healthz"
        assert lab.lb.output(["curl", "-s", "-m2", "-w%{http_code}", url]) == "ok\n200"


# Queues


@pytest.mark.parametrize("queues", [1, 2, 4])
def test_traffic_is_spread_over_queues_or_steered(queues):
    with Lab(backends=1, queues=queues, servers=False) as lab:
        # Any XDP program makes veth count by queue.
        lab.lb.run([lab.fluxpin, "endpoint", "attach", "-i", "eth0", "--mode", "native"])
        lab.lb.ip(f"neigh replace 10.0.0.1 lladdr {lab.router.mac('lb').hex(':')} dev eth0")
        lab.router.ip(f"neigh replace 10.0.0.5 lladdr {lab.lb.mac().hex(':')} dev lb")
        clients = [lab.client.socket(kind=socket.SOCK_DGRAM) for _ in range(200)]

        def counts():
            found = lab.lb.queue_statistics()
            return [found.get(f"rx_queue_{queue}_xdp_packets", 0) for queue in range(4)]

        def burst():
            before = counts()
            for client in clients:
                client.sendto(b"x", (lab.dns_vip, 53))
            wait_until(lambda: sum(counts()) >= sum(before) + 200, 2, "packets")
            return [now - then for now, then in zip(counts(), before)]

        spread = burst()
        assert sum(spread) == 200
        assert all(count > 200 / queues / 3 for count in spread[:queues])
        assert not any(spread[queues:])
        for queue in range(queues):
            lab.steer(queue)
            assert [index for index, count in enumerate(burst()) if count] == [queue]
        lab.steer()
        assert burst() == spread
        for client in clients:
            client.close()


def test_several_balancers_share_the_flows():
    with Lab(backends=1, balancers=2, servers=False) as lab:
        lab.route_vips(lab.balancers)
        for number in range(200):
            with lab.client.socket(kind=socket.SOCK_DGRAM) as client:
                client.sendto(b"x", (lab.dns_vip, 53))
        received = [each.received() for each in lab.balancers]
        assert all(packets > 50 for packets in received)


# Life


def test_bpffs_is_there_when_asked_for(lab):
    listing = ["sh", "-c", "stat -f -c %T /sys/fs/bpf; ls -d /sys/fs/bpf/kept || true"]
    assert "bpf_fs" not in lab.lb.output(listing)
    lab.lb.run(["mkdir", "/sys/fs/bpf/kept"], bpffs=True)
    assert lab.lb.output(listing, bpffs=True) == "bpf_fs\n/sys/fs/bpf/kept\n"
    assert "kept" not in lab.lb.output(listing)


@pytest.mark.parametrize("ending", ["end", "exception", "SIGINT", "SIGTERM"])
def test_nothing_is_left(ending, tmp_path):
    script = tmp_path / "hold.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from lab import Lab\n"
        "with Lab(backends=1) as lab:\n"
        "    lab.client.popen(['sh', '-c', 'sleep 1000 & sleep 1000'])\n"
        "    lab.client.popen(['setsid', '-f', 'sleep', '1000'])\n"
        "    print(lab.id, flush=True)\n"
        "    sys.stdin.read()\n"
        + ("    raise ValueError('on purpose')\n" if ending == "exception" else "")
    )
    process = subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    identity = process.stdout.readline().strip()
    assert left_of(identity)
    if ending.startswith("SIG"):
        process.send_signal(getattr(signal, ending))
    _, errors = process.communicate(timeout=20)
    assert left_of(identity) == []
    expected = {"end": 0, "exception": 1, "SIGINT": -signal.SIGINT, "SIGTERM": 143}[ending]
    assert process.returncode == expected, errors


def test_a_killed_run_is_removed_by_the_next(tmp_path):
    process = subprocess.Popen(
        [HERE / "lab", "--backends", "1", "up"], stdout=subprocess.PIPE, text=True
    )
    identity = process.stdout.readline().split()[0]
    assert namespaces.remove_dead_runs().count(identity) == 0
    process.kill()
    process.wait()
    process.stdout.close()
    assert left_of(identity)
    assert namespaces.remove_dead_runs().count(identity) == 1
    assert left_of(identity) == []


def test_a_process_that_ended_before_it_was_noted_stops_no_janitor():
    process = subprocess.Popen(["true"])
    process.wait()
    identity = f"fp{process.pid}-1-0"
    namespaces.run_directory(identity).mkdir()
    (namespaces.run_directory(identity) / "sessions").write_text(f"{process.pid} None\n")
    assert namespaces.remove_dead_runs().count(identity) == 1
    assert left_of(identity) == []


def test_processes_that_end_at_once_are_recorded(lab):
    """Their session may have children that live on. A record that cannot be read spoils nothing."""
    processes = [lab.client.popen(["true"]) for _ in range(20)]
    sessions = lab.directory / "sessions"
    recorded = [line.split() for line in sessions.read_text().splitlines()]
    for process in processes:
        process.wait()
        assert [start for pid, start in recorded if pid == str(process.pid)][-1].isdigit()
    with open(sessions, "a") as file:
        file.write("4711 None\n12")
    assert namespaces.processes_of(lab.id)
    with open(sessions, "a") as file:
        file.write("\n")


def test_a_zombie_has_a_start_time():
    process = subprocess.Popen(["true"])
    wait_until(lambda: namespaces.process_start_time(process.pid) is None, 10, "end")
    assert namespaces.process_start_time(process.pid, ended="") > 0
    process.wait()


def test_the_script_runs_a_command():
    command = ["sh", "-c", 'ip netns exec "$FLUXPIN_LAB_B2" ip -4 -o addr show eth0; exit 7']
    done = subprocess.run(
        [HERE / "lab", "--backends", "2", "run", "--", *command], capture_output=True, text=True
    )
    assert done.returncode == 7 and "10.1.0.12/24" in done.stdout


def test_the_machine_is_not_touched(lab):
    def links():
        names = pathlib.Path("/sys/class/net").iterdir()
        return sorted(path.name for path in names)

    before = links()
    with Lab(backends=1, servers=False):
        assert links() == before


# The daemon's helper


def test_configuration_text(lab):
    backends = [{"address": "10.1.0.11", "weight": 0}]
    check = fluxpin.http_health_check(port=1)
    text = fluxpin.configuration(
        [fluxpin.pool(lab, backends=backends, health_check=check, name='a"b\\c')],
        fluxpin.vips(lab, tracking=False),
        connections={"capacity": 4096},
    )
    assert text == (
        'hash_seed = "0123456789abcdef";\n'
        "connections = {\n  capacity = 4096;\n};\n"
        "pools = (\n"
        '  {\n    name = "a\\"b\\\\c";\n    encapsulation = "gre";\n'
        '    health_check = {\n      type = "http";\n      port = 1;\n      path = "/healthz";\n'
        '      interval = "200ms";\n      timeout = "200ms";\n      rise = 2;\n      fall = 2;\n'
        "    };\n"
        '    backends = (\n      {\n        address = "10.1.0.11";\n        weight = 0;\n      }\n'
        "    );\n  }\n);\n"
        "vips = (\n"
        '  {\n    name = "web";\n    address = "203.0.113.10";\n    protocol = "tcp";\n'
        '    port = 80;\n    pool = "web";\n    tracking = false;\n  },\n'
        '  {\n    name = "dns";\n    address = "203.0.113.53";\n    protocol = "udp";\n'
        '    port = 53;\n    pool = "web";\n    tracking = false;\n  }\n);\n'
    )


METRICS = """# HELP fluxpin_worker_received_packets_total x
# TYPE fluxpin_worker_received_packets_total counter
fluxpin_worker_received_packets_total{interface="eth0",queue="0"} 10
fluxpin_worker_forwarded_packets_total{interface="eth0",queue="0"} 6
fluxpin_worker_slow_path_packets_total{interface="eth0",queue="0"} 1
fluxpin_worker_answered_packets_total{interface="eth0",queue="0"} 0
fluxpin_worker_dropped_packets_total{interface="eth0",queue="0",reason="a"} 2
fluxpin_worker_dropped_packets_total{interface="eth0",queue="0",reason="b"} 1
fluxpin_worker_umem_frames{interface="eth0",queue="0",state="fill"} 60
fluxpin_worker_umem_frames{interface="eth0",queue="0",state="free"} 4
fluxpin_vip_packets_total{vip="a\\"b\\\\c"} 12345678901234567890
fluxpin_config_last_reload_success_timestamp_seconds 1.5e9
"""


def test_metrics_are_read():
    metrics = fluxpin.parse_metrics(METRICS)
    assert metrics.get_one("fluxpin_vip_packets_total", vip='a"b\\c') == 12345678901234567890
    assert metrics.sum("fluxpin_worker_dropped_packets_total") == 3
    assert metrics.by_label("fluxpin_worker_dropped_packets_total", "reason") == {"a": 2, "b": 1}
    assert metrics.workers() == [("eth0", "0")]
    assert fluxpin.imbalances(metrics, 64) == []
    assert len(fluxpin.imbalances(metrics, 65)) == 1
    torn = fluxpin.parse_metrics(METRICS.replace(" 10\n", " 11\n"))
    assert len(fluxpin.imbalances(torn, 64)) == 1
    for broken in ("no sample here\n", METRICS + METRICS, "a{b=c} x\n"):
        with pytest.raises(ValueError):
            fluxpin.parse_metrics(broken)


FAKE_DAEMON = r"""
import os, pathlib, signal, sys
arguments = sys.argv[1:]
file = pathlib.Path(arguments[arguments.index("-c") + 1])
metrics = pathlib.Path(arguments[arguments.index("--metrics-file") + 1])
generation = 0
def load(*_):
    global generation
    if "broken" in file.read_text():
        print("error: reload refused", file=sys.stderr, flush=True)
        return
    generation += 1
    print(f"info: configuration generation {generation} active", file=sys.stderr, flush=True)
signal.signal(signal.SIGHUP, load)
def end(*_):
    metrics.unlink()
    totals = "received 10, forwarded 6, slow path 1, answered 0, dropped 3"
    print(f"info: eth0 queue 0: {totals}", file=sys.stderr, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
load()
print("info: ready", file=sys.stderr, flush=True)
while True:
    part = metrics.with_suffix(".part")
    part.write_text(f"fluxpin_config_generation {generation}\n" + METRICS)
    part.rename(metrics)
    signal.sigtimedwait([], 0.05)
"""


def test_the_daemons_helper_with_a_fake(lab, tmp_path, monkeypatch):
    """Start, reload, refusal, balance, stop and kill, as far as they need no packets."""
    fake = tmp_path / "fake"
    fake.write_text(f"#!/usr/bin/python3\nMETRICS = {METRICS!r}\n{FAKE_DAEMON}")
    fake.chmod(0o755)
    monkeypatch.setattr(lab, "fluxpin", fake)
    text = fluxpin.configuration([fluxpin.pool(lab)], fluxpin.vips(lab))
    for bpffs in (False, True):
        with fluxpin.Fluxpin(lab, text, frames=64, bpffs=bpffs) as daemon:
            assert daemon.reload() == 2
            assert daemon.reload("broken") is None
            assert daemon.reload(text) == 3
            daemon.assert_balanced()
            assert daemon.quiescent().sum("fluxpin_config_generation") == 3
        assert daemon.totals()["eth0", "0"]["slow path"] == 1
    with pytest.raises(AssertionError, match="has 65 frames, but"):
        with fluxpin.Fluxpin(lab, text, frames=65):
            pass
    fake.write_text(fake.read_text().replace(", forwarded 6,", ", forwarded 5,"))
    with pytest.raises(AssertionError, match="'forwarded': 5"):
        with fluxpin.Fluxpin(lab, text, frames=64):
            pass
    with pytest.raises(AssertionError, match="metrics file"):
        with fluxpin.Fluxpin(lab, text) as daemon:
            daemon.kill9()
            daemon.assert_nothing_left()
    monkeypatch.setattr(lab, "fluxpin", pathlib.Path("/bin/false"))
    with pytest.raises(RuntimeError, match="exit 1"):
        fluxpin.Fluxpin(lab, text)
    daemon.metrics_file.unlink()
