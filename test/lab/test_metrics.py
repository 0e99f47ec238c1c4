# SPDX-License-Identifier: BSD-2-Clause
"""The textfile: valid, whole at every moment, complete, gone at the end."""

import stat
import threading
import time

from fluxpin import Fluxpin, configuration, parse_metrics, pool, vips

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
        assert fluxpin.reload(text) == 2
        metrics = fluxpin.wait_for_metrics()
        assert metrics.get_one("fluxpin_config_last_reload_successful") == 1
        assert metrics.get_one("fluxpin_config_reloads_total", outcome="success") == 1


def test_a_file_that_cannot_be_written_is_said_once(lab):
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    fluxpin.command = [str(each) for each in fluxpin.command]
    place = fluxpin.command.index("--metrics-file") + 1
    fluxpin.command[place] = str(fluxpin.directory / "missing" / "fluxpin.prom")
    with open(fluxpin.log_file, "w", encoding="utf-8") as log:
        fluxpin.process = lab.lb.popen(fluxpin.command, stdout=log, stderr=log)
    with fluxpin:
        fluxpin.wait_for_log(r"writing metrics to \S+/missing/fluxpin.prom: No such file")
        time.sleep(1)
        assert fluxpin.log().count("writing metrics to") == 1
