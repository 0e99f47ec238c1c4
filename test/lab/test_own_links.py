# SPDX-License-Identifier: BSD-2-Clause
"""Health checks when the load balancer's own links and routes go: backends are not blamed for it."""

import re

import pytest

import servers
from control_client import ask, run
from fluxpin import Fluxpin, configuration, http_health_check, pool, tunnel_health_check, vips
from lab import Lab
from namespaces import stop, wait_until

SUSPENDED = "fluxpin_health_check_suspended"
CHANGES = "fluxpin_backend_health_changes_total"


@pytest.fixture(name="lab", scope="module")
def lab_with_two_links():
    """The load balancer's eth1, which fluxpin does not serve, leads to the router, too."""
    with Lab() as built:
        built.lb.ip(f"link add eth1 type veth peer name side netns {built.router.name}",
                    "addr add 10.9.0.5/24 dev eth1", "link set eth1 up")
        built.router.ip("addr add 10.9.0.1/24 dev side", "link set side up")
        yield built


COUNTS = {"rise": 5, "fall": 3}


def check(**more):
    return http_health_check(**{**COUNTS, **more})


def tunnel_check():
    return tunnel_health_check(**COUNTS)


def suspended(fluxpin, pool_name="web", **wanted):
    wanted = {name.replace("_", "-"): value for name, value in wanted.items()}
    return fluxpin.wait_for(
        lambda metrics: all(metrics.sum(SUSPENDED, pool=pool_name, backend=name) == value
                            for name, value in wanted.items()), 15, f"suspended: {wanted}")


def probe_for_long(fluxpin, backends):
    """Until more probes of each came to nothing than would take it down."""
    def undecided():
        reports = {each["name"]: each["health"] for each in ask(fluxpin, "backends")["backends"]}
        return all(reports[name]["suspended"] for name in backends)

    for _ in range(15):
        wait_until(undecided, 10, f"suspended checks of {backends}")
        fluxpin.wait_for_metrics()


@pytest.mark.parametrize("kind", [check, tunnel_check])
def test_a_link_without_carrier(lab, kind):
    text = configuration([pool(lab, health_check=kind())], vips(lab), announce={"linger": "0s"})
    with Fluxpin(lab, text) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        announced = lambda metrics: metrics.sum("fluxpin_vip_announced")
        fluxpin.wait_for(lambda metrics: announced(metrics) == 2)
        lab.router.ip("link set lb down")
        suspended(fluxpin, web_1=1, web_2=1, web_3=1)
        fluxpin.wait_for_log(r"eth0 has no carrier: health checks are suspended")
        probe_for_long(fluxpin, ["web-1", "web-2", "web-3"])
        # VIPs are withdrawn all the same, and it is said why nothing is known.
        fluxpin.wait_for(lambda metrics: announced(metrics) == 0)
        assert ("eth0 has no carrier: health checks are suspended (3 of 3): backends keep their "
                "states") in run(fluxpin, "warnings").output
        assert "health checks  suspended, 3 of 3: eth0 has no carrier\n" in run(
            fluxpin, "status").output
        # One that dies meanwhile is found out, the others are where they were.
        victim = lab.backends[0]
        stop(victim.nginx)
        lab.router.ip("link set lb up")
        lab.route_vips([lab.lb])
        fluxpin.wait_for_log(r"health checks: all can be sent again")
        fluxpin.wait_for(lambda metrics: announced(metrics) == 2)
        metrics = fluxpin.wait_for_health(web_1=0, web_2=1, web_3=1)
        suspended(fluxpin, web_1=0, web_2=0, web_3=0)
        for name in ("web-2", "web-3"):
            assert metrics.sum(CHANGES, backend=name) == 0
        assert metrics.sum(CHANGES, backend="web-1") == 1
        servers.start_nginx(victim)
        fluxpin.wait_for_health(web_1=1)
        assert "pool web: no backend serves" not in fluxpin.log()


def test_short_flaps(lab):
    """A probe that began before the link went down, or while it was, does not count either."""
    text = configuration([pool(lab, health_check=check(fall=2))], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        for _ in range(30):
            lab.router.ip("link set lb down", "link set lb up")
            fluxpin.wait_for_metrics()
        lab.route_vips([lab.lb])
        suspended(fluxpin, web_1=0, web_2=0, web_3=0)
        assert fluxpin.wait_for_metrics().sum(CHANGES) == 0
        assert " is down: " not in fluxpin.log()


def test_each_backend_by_its_own_link(lab):
    """web-3 is reached by eth1, the others by eth0: each link suspends the checks that go by it."""
    lab.lb.ip(f"route add {lab.backends[2].address} via 10.9.0.1 dev eth1 src 10.9.0.5")
    text = configuration([pool(lab, health_check=check())], vips(lab))
    try:
        with Fluxpin(lab, text) as fluxpin:
            fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
            lab.router.ip("link set lb down")
            suspended(fluxpin, web_1=1, web_2=1, web_3=0)
            probe_for_long(fluxpin, ["web-1", "web-2"])
            stop(lab.backends[2].nginx)
            fluxpin.wait_for_health(web_1=1, web_2=1, web_3=0)
            servers.start_nginx(lab.backends[2])
            fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
            lab.router.ip("link set lb up")
            suspended(fluxpin, web_1=0, web_2=0, web_3=0)
            lab.router.ip("link set side down")
            suspended(fluxpin, web_1=0, web_2=0, web_3=1)
            probe_for_long(fluxpin, ["web-3"])
            assert "eth1 has no carrier: health checks are suspended (1 of 3)" in run(
                fluxpin, "warnings").output
            stop(lab.backends[0].nginx)
            metrics = fluxpin.wait_for_health(web_1=0, web_2=1, web_3=1)
            assert metrics.sum(CHANGES, backend="web-2") == 0
            servers.start_nginx(lab.backends[0])
            lab.router.ip("link set side up")
            fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
    finally:
        lab.router.ip("link set lb up", "link set side up")
        lab.lb.ip(f"route del {lab.backends[2].address}")
        lab.route_vips([lab.lb])


def test_routes(lab):
    """Without any route nothing is known of the backends; one that alone has none is down."""
    text = configuration([pool(lab, health_check=check())], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        lab.lb.ip("route del default")
        suspended(fluxpin, web_1=1, web_2=1, web_3=1)
        probe_for_long(fluxpin, ["web-1", "web-2", "web-3"])
        assert "this host has no route to any backend: health checks are suspended" in run(
            fluxpin, "warnings").output
        lab.lb.ip(*(f"route add {each.address} via 10.0.0.1" for each in lab.backends[:2]))
        metrics = fluxpin.wait_for_health(web_1=1, web_2=1, web_3=0)
        assert metrics.sum(CHANGES) == 1
        assert re.search("web/web-3 .* is down: network is unreachable", fluxpin.log().lower())
        lab.lb.ip("route add default via 10.0.0.1",
                  *(f"route del {each.address}" for each in lab.backends[:2]))
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        # Its own link set down by hand: the routes go with it.
        lab.lb.ip("link set eth0 down")
        suspended(fluxpin, web_1=1, web_2=1, web_3=1)
        probe_for_long(fluxpin, ["web-1", "web-2", "web-3"])
        assert "eth0 is down: health checks are suspended" in run(fluxpin, "warnings").output
        lab.lb.ip("link set eth0 up", "route add default via 10.0.0.1")
        suspended(fluxpin, web_1=0, web_2=0, web_3=0)
        assert fluxpin.wait_for_metrics().sum(CHANGES) == 1


def test_a_nic_that_is_out_of_use(lab):
    """A route that goes with a NIC is not held against the backend; one that goes while a NIC has
    been without carrier for long is, if the backend answered meanwhile."""
    first, second, third = (each.address for each in lab.backends)
    text = configuration([pool(lab, health_check=check())], vips(lab))
    by_eth1 = f"route add {third} via 10.9.0.1 dev eth1 src 10.9.0.5"
    lab.lb.ip(by_eth1)
    try:
        with Fluxpin(lab, text, arguments=("-i", "eth1:0@0")) as fluxpin:
            fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
            good = lambda metrics: metrics.get_one("fluxpin_health_probes_total", pool="web",
                                                   backend="web-3", result="success")
            fluxpin.wait_for(lambda metrics: good(metrics) > 0)
            lab.lb.ip("route del default", *(f"route add {each} via 10.0.0.1" for each in (first, second)),
                      "link set eth1 down")
            suspended(fluxpin, web_1=0, web_2=0, web_3=1)
            probe_for_long(fluxpin, ["web-3"])
            # By the other NIC it is fine; when that route goes, it is down.
            before = good(fluxpin.wait_for_metrics())
            lab.lb.ip(f"route add {third} via 10.0.0.1")
            fluxpin.wait_for(lambda metrics: good(metrics) > before + 1)
            fluxpin.wait_for_health(web_3=1)
            lab.lb.ip(f"route del {third}")
            fluxpin.wait_for_health(web_1=1, web_2=1, web_3=0)
            suspended(fluxpin, web_3=0)
            lab.lb.ip("link set eth1 up", by_eth1)
            fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
    finally:
        lab.lb.run(["ip", "link", "set", "eth1", "up"])
        for each in (first, second, third):
            lab.lb.run(["ip", "route", "del", each], check=False)
        lab.lb.run(["ip", "route", "replace", "default", "via", "10.0.0.1"])


def test_peers_are_no_backends(lab):
    """Another load balancer on the link can be reached without the route to all backends."""
    text = 'peers = ( "10.0.0.77" );\n' + configuration(
        [pool(lab, health_check=check())], vips(lab), source_address={"ipv4": lab.lb.address})
    with Fluxpin(lab, text) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        lab.lb.ip("route del default")
        try:
            suspended(fluxpin, web_1=1, web_2=1, web_3=1)
            probe_for_long(fluxpin, ["web-1", "web-2", "web-3"])
        finally:
            lab.lb.ip("route add default via 10.0.0.1")
        suspended(fluxpin, web_1=0, web_2=0, web_3=0)
