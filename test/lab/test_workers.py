# SPDX-License-Identifier: BSD-2-Clause
"""Workers, modes, starts and ends."""

import os
import signal
import socket
import time

import pytest
from fluxpin import Fluxpin, configuration, pool, vips
from namespaces import PATIENCE, stop, wait_until
from process import TICKS_PER_SECOND, cpu_ticks, threads
from stall import stalled


def run_to_end(lab, file, *arguments):
    """fluxpin run that is not to come up."""
    return lab.lb.run([lab.fluxpin, "run", "-c", file, *arguments], check=False, timeout=20)


def xdp_sockets(lab):
    """AF_XDP sockets in the load balancer's namespace, by the kernel's count."""
    for line in lab.lb.output(["cat", "/proc/net/protocols"]).splitlines():
        if line.startswith("XDP "):
            return int(line.split()[2])
    raise LookupError("the kernel does not list AF_XDP")


@pytest.mark.parametrize("mode", ["auto", "copy", "skb"])
def test_two_workers_share_the_traffic(lab, mode):
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text, mode=mode) as fluxpin:
        result = lab.load("http", lab.http_vip, "--requests", 300, "--parallel", 10).result()
        assert result["failed_count"] == 0, result
        assert set(result["by_backend"]) == {"web-1", "web-2", "web-3"}
        result = lab.load("udp", lab.dns_vip, "--source-ports", 300, "--rounds", 3).result()
        assert result["failed_count"] == 0 and result["moved"] == 0, result
        metrics = fluxpin.assert_balanced()
        by_queue = metrics.by_label("fluxpin_worker_forwarded_packets_total", "queue")
        assert set(by_queue) == {"0", "1"}
        # veth tells generic XDP no queue but the first.
        assert min(by_queue.values()) > 100 or mode == "skb", by_queue
        assert sum(by_queue.values()) > 300, by_queue
        assert metrics.sum("fluxpin_worker_zero_copy") == 0
        sent = metrics.sum("fluxpin_backend_packets_total")
        assert sent == metrics.sum("fluxpin_worker_forwarded_packets_total")
        matched = metrics.sum("fluxpin_vip_packets_total")
        assert matched == sent + metrics.sum("fluxpin_worker_dropped_packets_total")
        got = "generic" if mode == "skb" else "native"
        refused = "info: eth0 queue 1 (driver veth): zero-copy refused: Operation not supported; using copy"
        assert (refused in fluxpin.log()) == (mode == "auto")
        assert f"eth0 queue 0: copy ({got} XDP), driver veth, CPU 0" in fluxpin.log()
        assert f"eth0 queue 1: copy ({got} XDP), driver veth, CPU 1" in fluxpin.log()
        assert lab.lb.xdp()[0] == ("xdpgeneric" if mode == "skb" else "xdpdrv")


def test_workers_of_cpus_that_the_process_was_not_started_with(lab):
    """As under isolcpus=: workers are there, and everything else of the process is not."""
    text = configuration([pool(lab)], vips(lab))
    fluxpin = Fluxpin(lab, text, queues="0-1", cpus="0-1", start=False)
    fluxpin.command = ["taskset", "-c", "0", *fluxpin.command]
    with fluxpin.start():
        assert "eth0 queue 1: copy (native XDP), driver veth, CPU 1" in fluxpin.log()
        assert os.sched_getaffinity(fluxpin.process.pid) == {0}
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
        fluxpin.assert_balanced()


def test_workers_are_pinned_and_idle_ones_sleep(lab):
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text, queues="0-3", cpus="0-1") as fluxpin:
        pid = fluxpin.process.pid
        cpus = {name: os.sched_getaffinity(int(thread.name)) for name, thread in threads(pid)}
        assert {cpus[f"w/eth0:{queue}"].pop() for queue in (0, 2)} == {0}
        assert {cpus[f"w/eth0:{queue}"].pop() for queue in (1, 3)} == {1}

        def busy():
            return cpu_ticks(f"/proc/{pid}") / TICKS_PER_SECOND

        # CPU time, not time: the metrics are written ten times as often here as is the default
        # and are left out by their share, so four workers and the loop stay below 1 % of a core.
        # An emulated CPU takes about ten times as long for the same.
        before, start = busy(), time.monotonic()
        time.sleep(5)
        share = (busy() - before) / (time.monotonic() - start)
        assert share < 0.02 * PATIENCE, f"{share:.1%} of a core while idle"


def test_sizes_of_the_file_are_in_use(lab):
    """umem.frames, connections.capacity and the idle times."""
    _, dns = vips(lab)
    text = configuration([pool(lab)], vips(lab), umem={"frames": 2048},
                         connections={"capacity": 1024, "udp_idle": "1s", "tcp_idle": "15m"})
    with Fluxpin(lab, text, frames=2048) as fluxpin:
        arguments = ["--source-ports", 10, "--rounds", 2, "--hold"]
        loads = [lab.load("udp", lab.dns_vip, *arguments),
                 lab.load("keepalive", lab.http_vip, "--parallel", 5)]
        for load in loads:
            assert load.wait_for_line() == "holding"
        hits = fluxpin.quiescent().sum("fluxpin_connection_lookups_total", result="hit")
        time.sleep(3)
        for load in loads:
            assert load.result()["failed_count"] == 0
        metrics = fluxpin.assert_balanced()
        lookups = metrics.by_label("fluxpin_connection_lookups_total", "result")
        assert lookups["miss"] == 20, "UDP flows idle for longer than udp_idle, and no TCP flow"
        assert lookups["hit"] > hits and lookups["stale"] == 0
    for capacity, fits in ((1024, False), (65536, True)):
        text = configuration([pool(lab)], [dns], connections={"capacity": capacity})
        with Fluxpin(lab, text) as fluxpin:
            lab.load("udp", lab.dns_vip, "--source-ports", 5000).result()
            metrics = fluxpin.assert_balanced()
            connections = metrics.sum("fluxpin_connections")
            untracked = metrics.sum("fluxpin_connection_untracked_total")
            evictions = metrics.sum("fluxpin_connection_evictions_total")
            if fits:
                assert (connections, untracked, evictions) == (5000, 0, 0)
            else:
                # Flows of one packet make room for each other.
                assert 1024 < connections <= 2 * 1024
                assert connections + untracked + evictions == 5000
    with Fluxpin(lab, configuration([pool(lab)], [{**dns, "tracking": False}])) as fluxpin:
        result = lab.load("udp", lab.dns_vip, "--source-ports", 20, "--rounds", 2).result()
        assert result["failed_count"] == 0 and result["moved"] == 0
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_connections") == 0
        assert metrics.sum("fluxpin_connection_lookups_total") == 0


def test_overload_is_counted_and_passes(lab):
    """While the process stands still its rings fill up; then it goes on, and nothing is lost."""
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        assert lab.load("udp", lab.dns_vip, "--source-ports", 20).result()["failed_count"] == 0
        metrics = fluxpin.quiescent()
        assert metrics.sum("fluxpin_xsk_rx_ring_full_total") == 0
        idle = metrics.select("fluxpin_worker_umem_frames")
        fluxpin.signal(signal.SIGSTOP)
        try:
            clients = [lab.client.socket(kind=socket.SOCK_DGRAM) for _ in range(64)]
            for number in range(12000):
                clients[number % 64].sendto(b"x", (lab.dns_vip, 53))
            for client in clients:
                client.close()
        finally:
            fluxpin.signal(signal.SIGCONT)
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_xsk_rx_ring_full_total") > 0
        forwarded = metrics.sum("fluxpin_worker_forwarded_packets_total")
        dropped = metrics.sum("fluxpin_worker_dropped_packets_total")
        assert 4000 < forwarded + dropped < 12000, metrics
        assert lab.load("http", lab.http_vip, "--requests", 50).result()["failed_count"] == 0
        load = lab.load("http", lab.http_vip, "--parallel", 10, "--hold")
        fluxpin.wait_for(lambda metrics: metrics.select("fluxpin_worker_umem_frames") != idle,
                         what="a ledger that follows the frames")
        load.go_on()
        assert load.result()["failed_count"] == 0


def test_mode_refuses_less(lab):
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    done = run_to_end(lab, fluxpin.file, "-i", "eth0:1", "--mode", "zerocopy")
    assert done.returncode == 1
    assert "eth0 queue 1 (driver veth): mode zerocopy: zero-copy refused" in done.stderr
    fluxpin.assert_nothing_left()


def test_mode_refuses_generic_xdp(lab):
    """The loopback interface has no native XDP."""
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    for mode in ("copy", "zerocopy"):
        done = run_to_end(lab, fluxpin.file, "-i", "lo:0", "--mode", mode)
        assert done.returncode == 1
        assert f"lo queue 0 (driver unknown): mode {mode}: native XDP refused" in done.stderr
    assert lab.lb.xdp("lo") is None


def test_too_few_descriptors_are_a_message(lab):
    """A start that fails, at whichever step, ends in order."""
    file = lab.lb.directory / "few.conf"
    file.write_text(configuration([pool(lab)], vips(lab)))
    for limit in range(7, 30):
        done = lab.lb.run(
            ["prlimit", f"--nofile={limit}:{limit}", lab.fluxpin, "run", "-c", file, "-i", "eth0"],
            check=False, timeout=20)
        assert done.returncode == 1, (limit, done)
        assert any(each in done.stderr for each in ("error: ", "cannot be read")), (limit, done)
    # What could not be detached for want of descriptors, the next start takes over.
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))):
        pass


def test_auto_takes_generic_xdp_where_there_is_no_native(lab):
    """A bridge has no native XDP: auto goes down the ladder, copy does not."""
    lab.lb.ip("link add bridge0 type bridge", "link set bridge0 up")
    try:
        fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
        fluxpin.set_option("-i", "bridge0:0")
        with fluxpin.start():
            assert "bridge0 (driver bridge): native XDP refused" in fluxpin.log()
            assert "bridge0 queue 0: copy (generic XDP), driver bridge" in fluxpin.log()
            assert lab.lb.xdp("bridge0")[0] == "xdpgeneric"
        assert lab.lb.xdp("bridge0") is None
        done = run_to_end(lab, fluxpin.file, "-i", "bridge0:0", "--mode", "copy")
        assert done.returncode == 1
        assert "bridge0 queue 0 (driver bridge): mode copy: native XDP refused" in done.stderr
    finally:
        lab.lb.ip("link del bridge0")


def test_unserved_queues_are_reported(lab):
    with Fluxpin(lab, configuration([pool(lab)], vips(lab)), queues="0-1") as fluxpin:
        assert "eth0 has 4 queues (0-3) and only 0-1 will be served" in fluxpin.log()


def test_a_queue_that_cannot_transmit_is_refused(lab):
    """The kernel would take its frames and never send one."""
    file = lab.lb.directory / "transmit.conf"
    file.write_text(configuration([pool(lab)], vips(lab)))
    lab.lb.run(["ethtool", "-L", "eth0", "tx", "1"])
    try:
        for queues in ("eth0:0-1", "eth0"):
            done = run_to_end(lab, file, "-i", queues)
            assert done.returncode == 1
            assert "cannot transmit: eth0 has 1 transmit queue" in done.stderr, done.stderr
        with Fluxpin(lab, configuration([pool(lab)], vips(lab)), queues="0", cpus="0"):
            pass
    finally:
        lab.lb.run(["ethtool", "-L", "eth0", "tx", "4"])


def test_a_second_fluxpin_is_refused_and_the_first_goes_on(lab):
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        done = run_to_end(lab, fluxpin.file, "-i", "eth0:2-3")
        assert done.returncode == 1
        assert "eth0: another fluxpin serves this interface" in done.stderr
        result = lab.load("http", lab.http_vip, "--requests", 50).result()
        assert result["failed_count"] == 0
        fluxpin.assert_balanced()


def test_a_foreign_xdp_program_is_left_alone(lab):
    """The endpoint's program stands for any other one."""
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    lab.lb.run([lab.fluxpin, "endpoint", "attach", "-i", "eth0"])
    before = lab.lb.xdp()
    try:
        done = run_to_end(lab, fluxpin.file, "-i", "eth0:0")
        assert done.returncode == 1
        assert 'the XDP program "fluxpin_endp' in done.stderr
        assert lab.lb.xdp() == before
    finally:
        lab.lb.run([lab.fluxpin, "endpoint", "detach", "-i", "eth0"])


@pytest.mark.parametrize("mode, slow_path", [("copy", "tap"), ("skb", "tap"), ("copy", "pass")])
def test_kill_9_in_traffic_and_restart(lab, mode, slow_path):
    """The kernel's own traffic flows without fluxpin; a start cleans up and serves again."""
    text = configuration([pool(lab)], vips(lab), slow_path=slow_path)
    fluxpin = Fluxpin(lab, text, mode=mode)
    load = lab.load("http", lab.http_vip, "--parallel", 10, "--hold", "--rate", 100, "--timeout", 2)
    load.wait_for_line()
    fluxpin.wait_for(lambda metrics: metrics.sum("fluxpin_worker_forwarded_packets_total") > 100)
    fluxpin.kill9()
    assert lab.lb.xdp() is not None, "nothing was left, so this test shows nothing"
    lab.client.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", lab.lb.address])
    lab.lb.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", lab.client.address])
    load.go_on()
    load.result()
    with Fluxpin(lab, text, mode=mode) as again:
        assert "removing the XDP program that an earlier fluxpin left" in again.log()
        result = lab.load("http", lab.http_vip, "--requests", 100, "--parallel", 10).result()
        assert result["failed_count"] == 0, result
        lab.client.run(["ping", "-c", "1", "-W", "2", lab.lb.address])
        again.assert_balanced()


@pytest.mark.parametrize("mode", ["copy", "skb"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_traffic_leaves_nothing(lab, mode, number):
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text, mode=mode) as fluxpin:
        load = lab.load("http", lab.http_vip, "--parallel", 10, "--hold", "--rate", 200,
                        "--timeout", 1)
        load.wait_for_line()
        fluxpin.wait_for(lambda metrics: metrics.sum("fluxpin_worker_forwarded_packets_total") > 50)
        assert xdp_sockets(lab) == 2
        fluxpin.stop(number=number)
        load.go_on()
        load.result()
    assert set(fluxpin.totals()) == {("eth0", "0"), ("eth0", "1")}
    assert sum(each["forwarded"] for each in fluxpin.totals().values()) > 50
    assert "@fluxpin/interface" not in lab.lb.output(["ss", "-x", "-a"])
    assert xdp_sockets(lab) == 0
    managed = [entry for entry in lab.lb.ip_json("neigh show") if "managed" in entry]
    assert not managed, managed


def test_interface_that_goes_away_ends_with_a_message(lab):
    """On a second NIC, so that the lab's own stays."""
    lab.lb.ip("link add gone0 type veth peer name gone1", "link set gone0 up", "link set gone1 up")
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    fluxpin.command = [lab.fluxpin, "run", "-c", fluxpin.file, "-i", "gone0:0"]
    fluxpin.launch()
    try:
        fluxpin.wait_for_log(r"\bready\b")
        lab.lb.ip("link del gone0")
        assert fluxpin.process.wait(10) == 1
    finally:
        stop(fluxpin.process)
    assert "gone0 is gone" in fluxpin.log()


def end_of(fluxpin, number):
    """SIGTERM to a fluxpin whose worker is stuck: it must end, with 1, and leave nothing behind."""
    fluxpin.signal(signal.SIGTERM)
    fluxpin.wait_for_log(f"eth0 queue {number}: the worker has not stopped for 3000 ms", 30)
    fluxpin.wait_for_log("ended without a worker that is stuck")


def test_a_worker_that_does_not_stop_is_not_waited_for(lab):
    text = configuration([pool(lab)], vips(lab), announce={"linger": "0s", "stall": "1s"})
    for number in (0, 1):
        fluxpin = Fluxpin(lab, text)
        with stalled(fluxpin.process.pid, f"w/eth0:{number}"):
            end_of(fluxpin, number)
        assert fluxpin.process.wait(30) == 1
        fluxpin.assert_nothing_left()
        assert lab.lb.output(["ip", "route", "show", "table", "all", "proto", "213"]) == ""
        assert lab.lb.output(["ip", "neigh", "show", "nud", "all", "proto", "213"]) == ""
    # What is left of it is in nobody's way.
    with Fluxpin(lab, text):
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0


def test_a_stop_while_a_change_waits_for_a_stuck_worker(lab):
    """The event loop, which takes the signals, waits then, too."""
    text = configuration([pool(lab)], vips(lab), announce={"linger": "0s", "stall": "1s"})
    lab.steer(queue=0)
    # It is often stopped on its way from or to sleep, when nobody waits for it.
    for _ in range(20):
        fluxpin = Fluxpin(lab, text)
        load = lab.load("http", lab.http_vip, "--hold", "--parallel", 8, "--timeout", 1)
        wait_until(lambda: fluxpin.metrics().sum("fluxpin_vip_packets_total") > 100, 10, "traffic")
        with stalled(fluxpin.process.pid, "w/eth0:0", awake=True):
            fluxpin.signal(signal.SIGHUP)
            fluxpin.wait_for_log("configuration generation 2 active|the worker has stalled")
            end_of(fluxpin, 0)
        assert fluxpin.process.wait(30) == 1
        load.result()
        fluxpin.assert_nothing_left()
        if "told to stop while a change waits" in fluxpin.log():
            break
    else:
        raise AssertionError("no reload had to wait")
    lab.steer()
