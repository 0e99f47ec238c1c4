# SPDX-License-Identifier: BSD-2-Clause
"""Two load balancers behind a router that spreads flows over both, as BGP tells it to."""

import json
import signal

import pytest

import bgp
from fluxpin import Fluxpin, configuration, pool, vips
from lab import Lab
from namespaces import wait_until
from stall import stalled

FLOWS = [f"tcp 198.51.100.10:{port} 203.0.113.10:80" for port in range(40000, 40032)]


def next_hops(lab, vip):
    """The load balancers to which the router sends the VIP, by role."""
    shown = lab.router.ip_json(f"{'-6 ' if ':' in vip else ''}route show {vip}")
    gateways = {hop.get("gateway") for route in shown for hop in route.get("nexthops", [route])}
    return {balancer.role for balancer in lab.balancers
            if gateways & {balancer.address, balancer.ipv6_address}}


class Cluster:
    """A lab with two load balancers that announce by BIRD, and BIRD on the router."""

    def __init__(self, lab):
        self.lab = lab
        self.router = bgp.start_router(lab)
        self.birds = {each.role: bgp.start_bird(each) for each in lab.balancers}
        self.fluxpins = {each.role: Fluxpin(lab, self.text(), namespace=each)
                         for each in lab.balancers}

    def text(self, backends=None, linger="2s"):
        entries = vips(self.lab) + [
            {"name": "web6", "address": self.lab.http_vip_ipv6, "protocol": "tcp", "port": 80,
             "pool": "web"}]
        return configuration([pool(self.lab, backends=backends)], entries,
                             announce={"linger": linger, "stall": "1s"})

    def wait_for(self, *roles, timeout=30):
        """Until the router sends the VIPs to exactly these."""
        for vip in (self.lab.http_vip, self.lab.dns_vip, self.lab.http_vip_ipv6):
            wait_until(lambda: next_hops(self.lab, vip) == set(roles), timeout,
                       f"routes of {vip} to {roles}, there are {next_hops(self.lab, vip)}")

    def wait_for_service(self):
        """Until 40 requests in a row are answered."""
        wait_until(
            lambda: self.load("--requests", 40, "--timeout", 1).result()["failed_count"] == 0,
            30, "service")

    def load(self, *arguments):
        return self.lab.load("http", self.lab.http_vip, "--parallel", 8, *arguments)

    def received(self, role):
        return self.fluxpins[role].wait_for_metrics().get_one("fluxpin_vip_packets_total", vip="web")


@pytest.fixture(name="cluster", scope="module")
def make_cluster():
    with Lab(balancers=2, ipv6=True) as lab:
        cluster = Cluster(lab)
        cluster.wait_for("lb", "lb2")
        cluster.wait_for_service()
        yield cluster
        for fluxpin in cluster.fluxpins.values():
            # None: a test that failed had killed it.
            if fluxpin.process:
                fluxpin.stop()


def explain(cluster, role):
    fluxpin = cluster.fluxpins[role]
    return [json.loads(fluxpin.namespace.output(
        [cluster.lab.fluxpin, "explain", "-c", fluxpin.file, flow, "--json"])) for flow in FLOWS]


def test_both_get_traffic_and_choose_alike(cluster):
    before = {role: cluster.received(role) for role in cluster.fluxpins}
    assert cluster.load("--requests", 400).result()["failed_count"] == 0
    for role, count in before.items():
        assert cluster.received(role) - count > 200, role
    assert explain(cluster, "lb") == explain(cluster, "lb2")
    assert len({each["backend"] for each in explain(cluster, "lb")}) == 3


def strays(balancer):
    """Packets to addresses that the kernel of a load balancer does not have: those to a VIP that came
    when nothing took them any more."""
    names, values = [line.split() for line in balancer.output(["cat", "/proc/net/snmp"]).splitlines()
                     if line.startswith("Ip:")]
    return int(values[names.index("InAddrErrors")])


def test_sigterm_loses_nothing(cluster):
    fluxpin = cluster.fluxpins["lb"]
    strayed = strays(cluster.lab.lb)
    load = cluster.load("--requests", 5000, "--rate", 1000)
    before = cluster.received("lb")
    wait_until(lambda: cluster.received("lb") > before + 500, 10, "traffic")
    fluxpin.signal(signal.SIGTERM)
    assert fluxpin.process.wait(15) == 0
    assert load.process.poll() is None, "the load ended before the load balancer"
    result = load.result()
    assert (result["requests"], result["failed_count"]) == (5000, 0), result
    # Nor did a retransmission have to mend anything.
    assert strays(cluster.lab.lb) == strayed
    fluxpin.assert_totals_balance()
    cluster.wait_for("lb2")
    # Nor does its return.
    load = cluster.load("--requests", 2000, "--rate", 1000)
    fluxpin.start()
    cluster.wait_for("lb", "lb2")
    result = load.result()
    assert result["failed_count"] == 0, result


def test_pool_down_and_stalled_worker_are_withdrawn(cluster):
    fluxpin = cluster.fluxpins["lb"]
    drained = [{"name": each.name_in_pool, "address": each.address, "weight": 0}
               for each in cluster.lab.backends]
    assert fluxpin.reload(cluster.text(backends=drained))
    cluster.wait_for("lb2")
    assert cluster.load("--requests", 100).result()["failed_count"] == 0
    assert fluxpin.reload(cluster.text())
    cluster.wait_for("lb", "lb2")
    with stalled(fluxpin.process.pid, "w/eth0:0"):
        cluster.wait_for("lb2")
        cluster.wait_for_service()
        assert cluster.load("--requests", 100).result()["failed_count"] == 0
    cluster.wait_for("lb", "lb2")
    cluster.wait_for_service()


def test_kill_9(cluster):
    """The daemon alone: its guard withdraws. With BIRD: its connection ends."""
    fluxpin, bird = cluster.fluxpins["lb"], cluster.birds["lb"]
    fluxpin.kill9()
    cluster.wait_for("lb2")
    cluster.wait_for_service()
    fluxpin.start()
    cluster.wait_for("lb", "lb2")
    fluxpin.kill9()
    bird.kill9()
    cluster.wait_for("lb2")
    cluster.wait_for_service()
    bird.start()
    fluxpin.start()
    cluster.wait_for("lb", "lb2")


def test_a_load_balancer_that_falls_silent(cluster):
    """Nothing ends, and nothing is said any more: BFD notices."""
    fluxpin, bird = cluster.fluxpins["lb"], cluster.birds["lb"]
    fluxpin.signal(signal.SIGSTOP)
    bird.signal(signal.SIGSTOP)
    try:
        # Well before the hold time of 9 s, and of no connection that ended.
        cluster.wait_for("lb2", timeout=5)
        assert "BFD" in cluster.router.ask("show", "protocols", "all", "lb_ipv4").stdout
        cluster.wait_for_service()
    finally:
        fluxpin.signal(signal.SIGCONT)
        bird.signal(signal.SIGCONT)
    cluster.wait_for("lb", "lb2")
    cluster.wait_for_service()


def test_frr_as_shipped():
    """One load balancer with FRR: VIPs of both families come, go, and come back."""
    with Lab(balancers=1, ipv6=True) as lab:
        router = bgp.start_router(lab)
        frr = bgp.start_frr(lab.lb)
        entries = vips(lab) + [{"name": "web6", "address": lab.http_vip_ipv6, "protocol": "tcp",
                                "port": 80, "pool": "web"}]
        # Blackholes in the main table: a check by way of the VIP passes all the same.
        check = {"type": "tcp", "port": 80, "via": "tunnel", "vip": "web", "interval": "200ms",
                 "timeout": "200ms", "initial": "down"}
        text = configuration([pool(lab, health_check=check)], entries,
                             announce={"table": 254, "linger": "1s"})
        everything = lab.http_vip, lab.dns_vip, lab.http_vip_ipv6
        # Somebody else's route is not passed on, be it one to a VIP's network.
        lab.lb.ip("route add blackhole 203.0.113.99 proto static",
                  "route add blackhole 192.0.2.0/24 metric 213")

        def wait_for(*roles):
            for vip in everything:
                wait_until(lambda: next_hops(lab, vip) == set(roles), 30,
                           f"routes of {vip} to {roles}:\n{frr.log()}")

        with Fluxpin(lab, text) as fluxpin:
            wait_for("lb")
            assert lab.load("http", lab.http_vip, "--requests", 100).result()["failed_count"] == 0
            assert " Up" in router.ask("show", "bfd", "sessions").stdout
            assert not lab.router.ip_json("route show 203.0.113.99")
            assert not lab.router.ip_json("route show 192.0.2.0/24")
            with stalled(fluxpin.process.pid, "w/eth0:0"):
                wait_for()
            wait_for("lb")
            fluxpin.signal(signal.SIGTERM)
            wait_for()
            assert fluxpin.process.wait(10) == 0
        frr.stop()
