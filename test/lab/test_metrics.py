# SPDX-License-Identifier: BSD-2-Clause
"""The textfile: valid, whole at every moment, complete, gone at the end."""

import stat
import threading
import time

from fluxpin import Fluxpin, configuration, parse_metrics, pool, vips
from namespaces import wait_until

# What the contract names for this version: family and labels.
CONTRACT = {
    "fluxpin_build_info": {"version"},
    "fluxpin_config_generation": set(),
    "fluxpin_config_last_reload_successful": set(),
    "fluxpin_config_last_reload_success_timestamp_seconds": set(),
    "fluxpin_worker_received_packets_total": {"interface", "queue"},
    "fluxpin_worker_received_bytes_total": {"interface", "queue"},
    "fluxpin_worker_forwarded_packets_total": {"interface", "queue"},
    "fluxpin_worker_forwarded_bytes_total": {"interface", "queue"},
    "fluxpin_worker_slow_path_packets_total": {"interface", "queue"},
    "fluxpin_worker_answered_packets_total": {"interface", "queue"},
    "fluxpin_worker_dropped_packets_total": {"interface", "queue", "reason"},
    "fluxpin_worker_zero_copy": {"interface", "queue"},
    "fluxpin_worker_umem_frames": {"interface", "queue", "state"},
    "fluxpin_connections": {"interface", "queue"},
    "fluxpin_connection_lookups_total": {"interface", "queue", "result"},
    "fluxpin_connection_evictions_total": {"interface", "queue"},
    "fluxpin_connection_untracked_total": {"interface", "queue"},
    "fluxpin_vip_packets_total": {"vip"},
    "fluxpin_vip_bytes_total": {"vip"},
    "fluxpin_backend_packets_total": {"pool", "backend"},
    "fluxpin_backend_bytes_total": {"pool", "backend"},
    "fluxpin_backend_healthy": {"pool", "backend"},
    "fluxpin_backend_weight": {"pool", "backend"},
    "fluxpin_xsk_rx_dropped_total": {"interface", "queue"},
    "fluxpin_xsk_rx_ring_full_total": {"interface", "queue"},
    "fluxpin_xsk_fill_ring_empty_total": {"interface", "queue"},
}


def test_metrics_are_as_the_contract_says_and_valid(lab):
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        assert lab.load("http", lab.http_vip, "--requests", 30).result()["failed_count"] == 0
        metrics = fluxpin.assert_balanced()
        assert stat.S_IMODE(fluxpin.metrics_file.stat().st_mode) == 0o644
        for name, labels in CONTRACT.items():
            samples = metrics.select(name)
            assert samples, name
            for _, found in samples:
                assert {label for label, _ in found} == labels, name
        check = lab.lb.run(["promtool", "check", "metrics"],
                           input=fluxpin.metrics_file.read_text(), check=False)
        assert check.returncode == 0 and not check.stdout + check.stderr, check.stderr
        assert metrics.sum("fluxpin_connections") >= 1
        by_state = metrics.by_label("fluxpin_connections_by_state", "state")
        assert sum(by_state.values()) == metrics.sum("fluxpin_connections")
        assert by_state["closing"] >= 1
        assert metrics.sum("fluxpin_connection_capacity") >= 1048576
        assert set(metrics.by_label("fluxpin_connection_untracked_by_reason_total", "reason")) == {
            "full", "rate"}
        assert metrics.get_one("fluxpin_build_info", version="0.1.0") == 1
        states = metrics.by_label("fluxpin_worker_umem_frames", "state")
        assert set(states) == {"free", "fill", "rx", "hand", "tx", "completion"}


def test_a_reader_never_sees_half_a_file(lab):
    with Fluxpin(lab, configuration([pool(lab)], vips(lab)), interval="10ms") as fluxpin:
        stop, lengths = threading.Event(), set()

        def read():
            while not stop.is_set():
                text = fluxpin.metrics_file.read_text()
                assert text.endswith("\n")
                lengths.add(len(parse_metrics(text)))

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(2)
        stop.set()
        reader.join()
        assert len(lengths) == 1, lengths


def test_refused_reloads_are_counted(lab):
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        assert fluxpin.reload(text + "nonsense = 1;\n") is None
        metrics = fluxpin.wait_for_metrics()
        assert metrics.get_one("fluxpin_config_last_reload_successful") == 0
        assert metrics.get_one("fluxpin_config_generation") == 1
        assert metrics.get_one("fluxpin_config_reloads_total", outcome="refused") == 1
        # Nor is a part of the file in use.
        other = configuration([pool(lab, name="new")], [])
        assert fluxpin.reload("nonsense = 1;\n" + other) is None
        metrics = fluxpin.wait_for_metrics()
        assert set(metrics.by_label("fluxpin_vip_packets_total", "vip")) == {"web", "dns"}
        assert set(metrics.by_label("fluxpin_backend_weight", "pool")) == {"web"}
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
        assert fluxpin.reload(text) == 2
        metrics = fluxpin.wait_for_metrics()
        assert metrics.get_one("fluxpin_config_last_reload_successful") == 1
        assert metrics.get_one("fluxpin_config_reloads_total", outcome="success") == 1


def driver_counts(lab, metrics):
    """By queue, what the driver gave to XDP less what the worker counted: packets, bytes."""
    statistics = lab.lb.queue_statistics()
    found = {}
    for _, queue in metrics.workers():
        packets = statistics[f"rx_queue_{queue}_xdp_packets"]
        # veth counts without the Ethernet header.
        octets = statistics[f"rx_queue_{queue}_xdp_bytes"] + 14 * packets
        received = metrics.get_one("fluxpin_worker_received_packets_total", queue=queue)
        found[queue, "packets"] = packets - received
        received = metrics.get_one("fluxpin_worker_received_bytes_total", queue=queue)
        found[queue, "bytes"] = octets - received
    return found


def test_numbers_are_those_of_the_packets(lab):
    """300 datagrams of 64 bytes on 100 ports, three of each: every counter is known beforehand."""
    _, dns = vips(lab)
    with Fluxpin(lab, configuration([pool(lab)], [dns])) as fluxpin:
        before = driver_counts(lab, fluxpin.quiescent())
        arguments = ["--source-ports", 100, "--rounds", 3, "--size", 64]
        result = lab.load("udp", lab.dns_vip, *arguments).result()
        assert result["failed_count"] == 0 and result["moved"] == 0, result
        metrics = fluxpin.assert_balanced()
        # An ARP packet may come between the two readings, but not each time.
        wait_until(lambda: driver_counts(lab, fluxpin.wait_for_metrics()) == before, 10,
                   "agreement with the driver's counts")
        payload = sum(len(b"%d/%d" % (each, port)) for each in range(3) for port in range(100))
        inner = payload + 300 * (64 - 16 + 14 + 20 + 8)
        assert metrics.get_one("fluxpin_vip_packets_total", vip="dns") == 300
        assert metrics.get_one("fluxpin_vip_bytes_total", vip="dns") == inner
        outer = inner + 300 * 24
        for what, value in (("packets", 300), ("bytes", outer)):
            assert metrics.sum(f"fluxpin_worker_forwarded_{what}_total") == value
            assert metrics.sum(f"fluxpin_backend_{what}_total") == value
        packets = metrics.by_label("fluxpin_backend_packets_total", "backend")
        assert packets == result["by_backend"]
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        lookups = metrics.by_label("fluxpin_connection_lookups_total", "result")
        assert lookups == {"miss": 100, "hit": 200, "stale": 0}
        assert metrics.sum("fluxpin_connections") == 100
        assert metrics.sum("fluxpin_connection_untracked_total") == 0
        assert metrics.sum("fluxpin_connection_evictions_total") == 0


def test_time_of_the_last_success(lab):
    """A refused reload leaves it; a successful one is later."""
    name = "fluxpin_config_last_reload_success_timestamp_seconds"
    text = configuration([pool(lab)], vips(lab))
    started = int(time.time())
    with Fluxpin(lab, text) as fluxpin:
        first = fluxpin.metrics().get_one(name)
        assert started <= first <= time.time()
        wait_until(lambda: time.time() > first + 1.1, 10, "next second")
        assert fluxpin.reload("nonsense = 1;\n" + text) is None
        assert fluxpin.wait_for_metrics().get_one(name) == first
        assert fluxpin.reload(text) == 2
        assert first < fluxpin.metrics().get_one(name) <= time.time()


def test_path_and_interval_are_those_of_the_file_and_reload(lab):
    """Without --metrics-file. The file of an earlier path is removed."""
    text = configuration([pool(lab)], vips(lab))
    fluxpin = Fluxpin(lab, text, interval="1h", start=False).without("--metrics-file")
    old, new = fluxpin.metrics_file, fluxpin.directory / "other.prom"
    fluxpin.launch()
    with fluxpin:
        fluxpin.wait_for_log(r"\bready\b")
        wait_until(old.exists, 10, "metrics")
        fluxpin.metrics_file, fluxpin.interval = new, "50ms"
        assert fluxpin.reload(text) == 2
        assert not old.exists()
        times = set()
        wait_until(lambda: times.add(new.stat().st_mtime_ns) or len(times) > 5, 20,
                   "metrics at the new interval")


def test_a_file_that_cannot_be_written_is_said_once(lab):
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    fluxpin.set_option("--metrics-file", fluxpin.directory / "missing" / "fluxpin.prom")
    fluxpin.launch()
    with fluxpin:
        fluxpin.wait_for_log(r"writing metrics to \S+/missing/fluxpin.prom: No such file")
        time.sleep(1)
        assert fluxpin.log().count("writing metrics to") == 1
        # It goes on trying, says so when it works again, and leaves nothing beside the file.
        place = fluxpin.directory / "missing"
        place.mkdir()
        (place / "fluxpin.prom").mkdir()
        time.sleep(0.5)
        assert [each.name for each in place.iterdir()] == ["fluxpin.prom"]
        (place / "fluxpin.prom").rmdir()
        fluxpin.wait_for_log(r"writing metrics to \S+/missing/fluxpin.prom works again")
    assert list(place.iterdir()) == []
    place.rmdir()
