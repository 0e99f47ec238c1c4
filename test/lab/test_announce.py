# SPDX-License-Identifier: BSD-2-Clause
"""The routes by which VIPs are announced, as the kernel has them."""

import os
import signal
import subprocess
import time

import pytest

import servers
from control_client import rows, run
from fluxpin import Fluxpin, configuration, http_health_check, pool, vips
from lab import Lab
from namespaces import PATIENCE, stop, wait_until
from stall import stalled

TABLE = 179
LISTED = f"route show table {TABLE} proto 213"


def routes(lab, table=TABLE):
    """The announced prefixes; there are only blackholes of our protocol and metric."""
    found = lab.lb.run(["ip", "-j", "route", "show", "table", str(table)], check=False)
    if not found.stdout.strip():
        return set()
    listed = lab.lb.ip_json(f"route show table {table}")
    assert all((each["type"], each["protocol"], each["metric"]) == ("blackhole", "213", 213)
               for each in listed), listed
    return {each["dst"] for each in listed}


def wait_for_routes(lab, *expected, timeout=10, table=TABLE):
    wait_until(lambda: routes(lab, table) == set(expected), timeout,
               f"routes {expected} (there are {routes(lab, table)})")


def settings(lab, announce=None, backends=None, pools=None, entries=None, **more):
    announce = {"linger": "0s"} if announce is None else announce
    return configuration(
        pools or [pool(lab, backends=backends)], entries or vips(lab), announce=announce, **more)


def drained(lab):
    """The lab's backends with weight 0."""
    return [{"name": each.name_in_pool, "address": each.address, "weight": 0}
            for each in lab.backends]


def announced(fluxpin):
    return fluxpin.wait_for_metrics().by_label("fluxpin_vip_announced", "vip")


def test_what_can_be_served_is_announced(lab):
    with Fluxpin(lab, settings(lab)) as fluxpin:
        wait_for_routes(lab, lab.http_vip, lab.dns_vip)
        assert announced(fluxpin) == {"web": 1, "dns": 1}
        # The host's own routes are as they were.
        assert "dev eth0" in lab.lb.output(["ip", "route", "get", lab.http_vip])
        assert lab.load("http", lab.http_vip, "--requests", 100).result()["failed_count"] == 0
        assert fluxpin.reload(settings(lab, backends=drained(lab))) == 2
        wait_for_routes(lab)
        assert announced(fluxpin) == {"web": 0, "dns": 0}
        fluxpin.wait_for_log(r"VIP web: .* is withdrawn: backends of pool web that serve: 0")
        assert fluxpin.reload(settings(lab)) == 3
        wait_for_routes(lab, lab.http_vip, lab.dns_vip)
        fluxpin.wait_for_log(r"VIP web: .* is announced")
        # Without the setting, none.
        assert fluxpin.reload(configuration([pool(lab)], vips(lab))) == 4
        wait_for_routes(lab)
        assert announced(fluxpin) == {}
        assert fluxpin.reload(settings(lab, {"table": 4178, "linger": "0s"})) == 5
        wait_for_routes(lab, lab.http_vip, lab.dns_vip, table=4178)
        assert fluxpin.reload(settings(lab)) == 6
        wait_for_routes(lab, table=4178)
        wait_for_routes(lab, lab.http_vip, lab.dns_vip)
    assert routes(lab) == set()


def test_backends_that_all_fail_their_checks(lab):
    checked = [pool(lab, health_check=http_health_check())]
    with Fluxpin(lab, settings(lab, pools=checked)) as fluxpin:
        both = lab.http_vip, lab.dns_vip
        wait_for_routes(lab, *both)
        for backend in lab.backends[1:]:
            stop(backend.nginx)
        fluxpin.wait_for_log("web/web-3 .* is down")
        assert routes(lab) == set(both)
        stop(lab.backends[0].nginx)
        wait_for_routes(lab)
        # A last resort is announced, but not where several have to be healthy.
        checked = [pool(lab, health_check=http_health_check(), on_all_down="all")]
        web, dns = vips(lab)
        assert fluxpin.reload(settings(lab, pools=checked, entries=[web, dns | {"min_healthy": 2}]))
        wait_for_routes(lab, lab.http_vip)
        for backend in lab.backends:
            servers.start_nginx(backend)
        wait_for_routes(lab, *both)


def test_each_vip_has_its_own_conditions(lab):
    """min_healthy, VIPs that are not announced, prefixes, and one prefix of several VIPs."""
    def entry(name, address, port, **more):
        return {"name": name, "address": address, "protocol": "tcp", "port": port, "pool": "web", **more}

    def text(first, second):
        weights = [first, second, second]
        backends = [{"name": each.name_in_pool, "address": each.address, "weight": weight}
                    for each, weight in zip(lab.backends, weights)]
        return settings(lab, backends=backends, entries=[
            entry("two", "203.0.113.1", 80, min_healthy=2),
            entry("one", "203.0.113.1", 443),
            entry("three", "203.0.113.3", 80, min_healthy=3),
            entry("silent", "203.0.113.4", 80, announce=False),
            entry("net", "192.0.2.0/24", 80, min_healthy=2),
            entry("always", "203.0.113.5", 80, min_healthy=0),
        ])

    with Fluxpin(lab, text(100, 100)) as fluxpin:
        wait_for_routes(lab, "203.0.113.1", "203.0.113.3", "192.0.2.0/24", "203.0.113.5")
        assert announced(fluxpin) == {"two": 1, "one": 1, "three": 1, "net": 1, "always": 1}
        assert fluxpin.reload(text(0, 100))
        wait_for_routes(lab, "203.0.113.1", "192.0.2.0/24", "203.0.113.5")
        # The prefix is the VIPs' in common: one of them can still be served.
        assert fluxpin.reload(text(100, 0))
        wait_for_routes(lab, "203.0.113.1", "203.0.113.5")
        assert announced(fluxpin) == {"two": 1, "one": 1, "three": 0, "net": 0, "always": 1}
        # As people see it.
        found = run(fluxpin, "warnings").output.splitlines()
        assert [each for each in found if each.startswith("VIP ")] == [
            "VIP three is withdrawn: backends of pool web that serve: 1, min_healthy is 3",
            "VIP net is withdrawn: backends of pool web that serve: 1, min_healthy is 2"]
        listed = rows(run(fluxpin, "vips").output)
        assert listed[0][-3] == "ANNOUNCED"
        assert {each[0]: each[-3] for each in listed[1:]} == {
            "two": "yes", "one": "yes", "three": "withdrawn", "silent": "-", "net": "withdrawn",
            "always": "yes"}
        assert fluxpin.reload(text(0, 0))
        wait_for_routes(lab, "203.0.113.5")


def test_what_the_load_balancer_itself_lacks_withdraws_everything(lab):
    with Fluxpin(lab, settings(lab)) as fluxpin:
        both = lab.http_vip, lab.dns_vip
        wait_for_routes(lab, *both)
        lab.router.ip("link set lb down")
        wait_for_routes(lab)
        fluxpin.wait_for_log("is withdrawn: no interface has carrier")
        lab.router.ip("link set lb up")
        wait_for_routes(lab, *both)
        # No way to any backend.
        lab.lb.ip("route add unreachable 10.1.0.0/24")
        wait_for_routes(lab)
        lab.lb.ip("route del unreachable 10.1.0.0/24")
        wait_for_routes(lab, *both)
        lab.route_vips([lab.lb])
        assert lab.load("http", lab.http_vip, "--requests", 100).result()["failed_count"] == 0


def test_a_detached_program_withdraws_everything(lab):
    fluxpin = Fluxpin(lab, settings(lab))
    wait_for_routes(lab, lab.http_vip, lab.dns_vip)
    lab.lb.ip("link set eth0 xdpdrv off")
    wait_for_routes(lab)
    fluxpin.wait_for_log("is withdrawn: the XDP program was detached")
    fluxpin.signal(signal.SIGTERM)
    assert fluxpin.process.wait(10) == 0


def test_routes_that_somebody_removes_come_back(lab):
    with Fluxpin(lab, settings(lab)) as fluxpin:
        both = lab.http_vip, lab.dns_vip
        wait_for_routes(lab, *both)
        lab.lb.ip(f"route del blackhole {lab.http_vip} table {TABLE}")
        fluxpin.wait_for_log(f"somebody removed the route by which {lab.http_vip}")
        wait_for_routes(lab, *both)
        lab.lb.ip(f"route flush table {TABLE}")
        wait_for_routes(lab, *both)


def test_a_stalled_worker_withdraws_everything_until_it_moves(lab):
    with Fluxpin(lab, settings(lab, {"linger": "0s", "stall": "1s"})) as fluxpin:
        both = lab.http_vip, lab.dns_vip
        wait_for_routes(lab, *both)
        # Workers that sleep are none that stall.
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            assert routes(lab) == set(both)
            time.sleep(0.1)
        for number in (0, 1):
            with stalled(fluxpin.process.pid, f"w/eth0:{number}"):
                wait_for_routes(lab)
                fluxpin.wait_for_log(f"eth0 queue {number}: the worker has stalled")
                metrics = fluxpin.wait_for_metrics()
                assert metrics.by_label("fluxpin_worker_stalled", "queue") == {
                    str(number): 1, str(1 - number): 0}
            fluxpin.wait_for_log(f"eth0 queue {number}: the worker moves again")
            wait_for_routes(lab, *both)
        assert fluxpin.wait_for_metrics().sum("fluxpin_worker_stalled") == 0
        assert lab.load("http", lab.http_vip, "--requests", 100).result()["failed_count"] == 0


def test_a_worker_that_stalls_while_it_is_waited_for(lab):
    """A publication waits for every worker that does not sleep; the watchdog looks all the same."""
    with Fluxpin(lab, settings(lab, {"linger": "0s", "stall": "1s"})) as fluxpin:
        both = lab.http_vip, lab.dns_vip
        wait_for_routes(lab, *both)
        lab.steer(queue=0)
        load = lab.load("http", lab.http_vip, "--hold", "--parallel", 8, "--timeout", 1)
        wait_until(lambda: fluxpin.metrics().sum("fluxpin_vip_packets_total") > 100, 10, "traffic")
        waited = False
        # It is often stopped on its way from or to sleep, when nobody waits for it.
        for generation in range(2, 42):
            wait_for_routes(lab, *both)
            active = f"configuration generation {generation} active"
            with stalled(fluxpin.process.pid, "w/eth0:0", awake=True):
                fluxpin.signal(signal.SIGHUP)
                wait_until(lambda: active in fluxpin.log() or routes(lab) == set(), 10,
                           "reload or withdrawal")
                waited = active not in fluxpin.log()
            wait_until(lambda: active in fluxpin.log(), 10, active)
            if waited:
                break
        assert waited, "no reload had to wait"
        load.result()
        lab.steer()
        fluxpin.wait_for_log("eth0 queue 0: the worker has stalled")
        fluxpin.wait_for_log("eth0 queue 0: the worker moves again")
        wait_for_routes(lab, *both)


def test_sigterm_withdraws_serves_on_and_stops(lab):
    fluxpin = Fluxpin(lab, settings(lab, {"linger": f"{5 * PATIENCE}s"}))
    wait_for_routes(lab, lab.http_vip, lab.dns_vip)
    load = lab.load("http", lab.http_vip, "--hold", "--parallel", 4)
    load.wait_for_line()
    fluxpin.signal(signal.SIGTERM)
    wait_for_routes(lab)
    # Neither a reload nor anything else announces again.
    fluxpin.reload()
    assert lab.load("http", lab.http_vip, "--requests", 100).result()["failed_count"] == 0
    assert announced(fluxpin) == {"web": 0, "dns": 0}
    assert routes(lab) == set()
    assert fluxpin.process.poll() is None
    result = load.result()
    assert result["failed_count"] == 0 and result["ok"] > 100, result
    assert fluxpin.process.wait(10 * PATIENCE) == 0
    fluxpin.assert_nothing_left()


def test_a_second_signal_stops_at_once(lab):
    fluxpin = Fluxpin(lab, settings(lab, {"linger": "5m"}))
    wait_for_routes(lab, lab.http_vip, lab.dns_vip)
    fluxpin.signal(signal.SIGINT)
    wait_for_routes(lab)
    fluxpin.signal(signal.SIGTERM)
    assert fluxpin.process.wait(10) == 0
    fluxpin.assert_nothing_left()


def guards(pid):
    children = subprocess.run(["pgrep", "-P", str(pid), "-f", "--", "--guard"],
                              capture_output=True, text=True, check=False).stdout.split()
    return [int(each) for each in children]


def test_a_daemon_that_is_killed_leaves_no_routes(lab):
    fluxpin = Fluxpin(lab, settings(lab))
    wait_for_routes(lab, lab.http_vip, lab.dns_vip)
    fluxpin.kill9()
    wait_for_routes(lab)
    with fluxpin.start():
        wait_for_routes(lab, lab.http_vip, lab.dns_vip)


@pytest.mark.parametrize("mends", ["command", "next start"])
def test_what_a_killed_daemon_and_guard_leave(lab, mends):
    fluxpin = Fluxpin(lab, settings(lab))
    withdraw = [lab.fluxpin, "announce", "--withdraw", "-c", fluxpin.file]
    both = lab.http_vip, lab.dns_vip
    wait_for_routes(lab, *both)
    refused = lab.lb.run(withdraw, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "a fluxpin that runs has table 179" in refused.stderr
    guard, = guards(fluxpin.process.pid)
    os.kill(guard, signal.SIGKILL)
    fluxpin.kill9()
    assert routes(lab) == set(both)
    if mends == "command":
        assert lab.lb.output(withdraw) == "routes removed from table 179: 2\n"
        assert routes(lab) == set()
        assert lab.lb.output(withdraw) == "routes removed from table 179: 0\n"
    fluxpin.write(settings(lab, backends=drained(lab)))
    with fluxpin.start():
        wait_for_routes(lab)
        assert ("removed routes that an earlier fluxpin left in table 179: 2" in fluxpin.log()) == (
            mends == "next start")


def test_a_table_has_one_owner():
    with Lab(backends=1) as lab:
        lab.lb.ip("link add eth1 numrxqueues 1 type veth peer name peer1", "link set eth1 up",
                  "link set peer1 up")
        with Fluxpin(lab, settings(lab), queues="0"):
            wait_for_routes(lab, lab.http_vip, lab.dns_vip)
            second = lab.lb.directory / "second.conf"
            second.write_text(settings(lab, interfaces=[{"name": "eth1"}]))
            refused = lab.lb.run([lab.fluxpin, "run", "-c", second], check=False)
            assert refused.returncode == 1
            assert "another fluxpin has table 179" in refused.stderr
            assert routes(lab) == {lab.http_vip, lab.dns_vip}
