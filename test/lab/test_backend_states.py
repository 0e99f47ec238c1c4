# SPDX-License-Identifier: BSD-2-Clause
"""Health checks, last resort and slow start in the running daemon: what becomes of traffic."""

import collections
import random
import time

import pytest
import servers
from capture import Capture
from control_client import connect, receive, send
from fluxpin import Fluxpin, configuration, http_health_check, pool, vips
from namespaces import stop

SYN, ACK = 0x02, 0x10


def checked(lab, **more):
    return configuration([pool(lab, health_check=http_health_check(), **more)], vips(lab))


def opened(packets):
    """The SYNs, by backend."""
    return collections.Counter(
        each.backend for each in packets if each.flags & (SYN | ACK) == SYN)


def start_nginx(backend):
    with open(backend.directory / "servers.log", "a", encoding="utf-8") as log:
        servers.start_nginx(backend, log)


@pytest.mark.sanitizer
def test_a_dead_server_gets_no_new_connections(own_lab):
    """Within fall x interval + timeout; the others' connections and requests lose nothing; started
    again, it comes back with slow start."""
    lab = own_lab
    first = lab.backends[0]
    with Fluxpin(lab, checked(lab, slow_start="2s")) as fluxpin:
        fluxpin.wait_for_health(None, web_1=1, web_2=1, web_3=1)
        time.sleep(2)  # of the start, in which nothing grows
        with Capture(lab.router, "lb", 128) as capture:
            held = lab.load("keepalive", lab.http_vip, "--parallel", 30)
            assert held.wait_for_line() == "holding"
            load = lab.load("http", lab.http_vip, "--parallel", 8, "--hold", "--rate", 100)
            load.wait_for_line()
            stopped = time.time()
            stop(first.nginx)
            fluxpin.wait_for(
                lambda metrics: metrics.sum("fluxpin_backend_weight", backend="web-1") == 0)
            published = time.time()
            time.sleep(1)
            load.go_on()
            result = load.result()
            held = held.result()
            capture.stop()
        syns = [each.time for each in capture.forwarded()
                if each.backend == first.address and each.flags & (SYN | ACK) == SYN]
        assert not [each for each in syns if each > published]
        # 2 x 200 ms + 200 ms and 100 ms of gathering: 0.7 s are allowed.
        print(f"the last SYN came {max(syns) - stopped:.2f} s after the server had ended")
        # Whatever a failure looks like, its flow had the backend that was stopped.
        went_to = collections.defaultdict(set)
        for packet in capture.forwarded():
            went_to[packet.source_port].add(packet.backend)
        for failure in result["failed"]:
            assert first.address in went_to[failure["port"]], failure
        assert held["by_backend"].keys() >= {"web-2", "web-3"}
        assert all(each["backend"] == "web-1" for each in held["failed"]), held
        with Capture(lab.router, "lb", 128) as capture:
            result = lab.load("http", lab.http_vip, "--requests", 300, "--parallel", 10).result()
            capture.stop()
        assert result["failed_count"] == 0, result
        assert set(opened(capture.forwarded())) == {each.address for each in lab.backends[1:]}
        start_nginx(first)
        grown = [0]

        def grows(metrics):
            grown.append(metrics.sum("fluxpin_backend_weight", backend="web-1"))
            return grown[-1] == 100

        fluxpin.wait_for(grows, 20, "the whole weight")
        assert any(0 < each < 100 for each in grown), grown
        assert grown == sorted(grown)
        result = lab.load("http", lab.http_vip, "--requests", 300, "--parallel", 10).result()
        assert result["failed_count"] == 0 and "web-1" in result["by_backend"], result
        fluxpin.assert_balanced()


def test_last_resort(own_lab):
    """All down and up again, for a pool that then drops, and one that then serves all."""
    lab = own_lab
    text = configuration(
        [pool(lab, health_check=http_health_check()),
         pool(lab, name="all", on_all_down="all", health_check=http_health_check()),
         pool(lab, name="unused", health_check=http_health_check())],
        [vips(lab)[0], vips(lab, pool="all")[1]])
    with Fluxpin(lab, text) as fluxpin:
        fluxpin.wait_for_health(None, web_1=3, web_2=3, web_3=3)  # in three pools
        for backend in lab.backends:
            stop(backend.nginx)
        fluxpin.wait_for_health(None, web_1=0, web_2=0, web_3=0)
        fluxpin.wait_for_log("pool web: no backend serves")
        fluxpin.wait_for(lambda metrics: metrics.sum(
            "fluxpin_pool_last_resort", pool="all") == 1, 10)
        assert "pool all: all backends are down; as the last resort, all of them serve: 3" in (
            fluxpin.log())
        assert "pool unused" not in fluxpin.log()  # nothing is dropped: it has no VIP
        result = lab.load("udp", lab.dns_vip, "--source-ports", 50, "--rounds", 2).result()
        assert result["failed_count"] == 0, result
        before = fluxpin.metrics().sum("fluxpin_worker_dropped_packets_total", reason="no_backend")
        result = lab.load("http", lab.http_vip, "--requests", 3, "--parallel", 3,
                          "--timeout", 1).result()
        assert result["ok"] == 0
        fluxpin.wait_for(lambda metrics: metrics.sum(
            "fluxpin_worker_dropped_packets_total", reason="no_backend") >= before + 3)
        for backend in lab.backends:
            start_nginx(backend)
        fluxpin.wait_for_health(None, web_1=3, web_2=3, web_3=3)
        fluxpin.wait_for(lambda metrics: metrics.sum("fluxpin_pool_last_resort") == 0, 10)
        result = lab.load("http", lab.http_vip, "--requests", 100, "--parallel", 10).result()
        assert result["failed_count"] == 0, result
        fluxpin.assert_balanced()


@pytest.mark.sanitizer
def test_a_hundred_flaps_under_traffic(own_lab):
    """20 clients while backends die and come back: only the flapped ones' flows fail, all is
    counted, and the daemon lives."""
    lab = own_lab
    generator = random.Random(7)
    flapping = lab.backends[:2]
    with Fluxpin(lab, checked(lab)) as fluxpin, Capture(lab.router, "lb", 128) as capture:
        fluxpin.wait_for_health(None, web_1=1, web_2=1, web_3=1)
        load = lab.load("http", lab.http_vip, "--parallel", 20, "--hold", "--rate", 100,
                        "--timeout", 5)
        load.wait_for_line()
        up = {each.name_in_pool: True for each in flapping}
        for _ in range(100):
            backend = generator.choice(flapping)
            if up[backend.name_in_pool]:
                stop(backend.nginx)
            else:
                start_nginx(backend)
            up[backend.name_in_pool] = not up[backend.name_in_pool]
            time.sleep(generator.choice([0.02, 0.1, 0.3]))
        load.go_on()
        result = load.result(120)
        metrics = fluxpin.assert_balanced()
        capture.stop()
    assert result["by_backend"]["web-3"] > 100, result
    went_to = collections.defaultdict(set)
    for packet in capture.forwarded():
        went_to[packet.source_port].add(packet.backend)
    # Whatever the failure looks like, the flow had a backend that flaps.
    assert result["failed"] and len(result["failed"]) == result["failed_count"]
    for failure in result["failed"]:
        assert went_to[failure["port"]] & {each.address for each in flapping}, failure
    assert metrics.sum("fluxpin_backend_health_changes_total") > 0
    assert metrics.sum("fluxpin_vip_packets_total") == (
        metrics.sum("fluxpin_backend_packets_total")
        + metrics.sum("fluxpin_worker_dropped_packets_total"))


def test_changes_within_100_ms_are_published_as_one(lab):
    """However fast they come, and however slow this machine is."""
    with Fluxpin(lab, configuration([pool(lab)], vips(lab)),
                 arguments=["--log-level", "debug"]) as fluxpin:
        connection = connect(fluxpin.control)
        start = time.monotonic()
        for number in range(301):
            command = "undrain" if number % 2 else "drain"
            send(connection, {"command": command, "backend": "web/web-1"})
            assert receive(connection)["ok"]
        seconds = time.monotonic() - start
        connection.close()
        fluxpin.wait_for(
            lambda metrics: metrics.sum("fluxpin_backend_weight", backend="web-1") == 0)
        published = fluxpin.log().count("what backends may do changed")
        # One at each end of the time that they took, beside those within it.
        assert 1 <= published <= seconds / 0.1 + 2, (published, seconds)
