# SPDX-License-Identifier: BSD-2-Clause
"""ICMP with real stacks: pings of a VIP, and path MTU discovery through one."""

import pytest
from curl import upload
from fluxpin import Fluxpin, configuration, pool
from lab import Lab


@pytest.fixture(scope="module")
def lab():
    with Lab(ipv6=True) as built:
        yield built


def text(lab, **more):
    services = [{"name": f"web{version}", "address": address, "protocol": "tcp", "port": 80,
                 "pool": "web"}
                for version, address in ((4, lab.http_vip), (6, lab.http_vip_ipv6))]
    source = {"ipv4": lab.lb.address, "ipv6": lab.lb.ipv6_address}
    return configuration([pool(lab)], services, source_address=source, **more)


def test_ping(lab):
    with Fluxpin(lab, text(lab)) as fluxpin:
        for vip in (lab.http_vip, lab.http_vip_ipv6):
            for size in (56, 1400):
                lab.client.run(["ping", "-c", "4", "-i", "0.1", "-W", "2", "-s", size, vip])
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_answered_packets_total") == 16


def told_mtu(lab, vip):
    return [route["metrics"][0]["mtu"] for route in lab.client.ip_json(f"route get {vip}")
            if route.get("metrics")]


def own_path_mtus(lab):
    """What the load balancer's kernel learns when it sends more than fits."""
    found = set()
    for address in (lab.backends[0].address, lab.backends[0].ipv6_address):
        lab.lb.run(["ping", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1450", address],
                   check=False)
        found |= {route["metrics"][0]["mtu"] for route in lab.lb.ip_json(f"route get {address}")}
    return found


@pytest.mark.parametrize("slow_path", ["tap", "pass"])
@pytest.mark.parametrize("where", ["load balancer", "router"])
def test_path_mtu_is_discovered(lab, where, slow_path):
    """The way to the backends holds 1400 bytes, from the load balancer's own route on or only behind
    the router: uploads of full-size segments complete, at 1376. The load balancer's own kernel goes
    on to learn of what it sends itself."""
    if where == "load balancer":
        lab.lb.ip(*(f"route add {each.address}/32 via 10.0.0.1 mtu 1400"
                    for each in lab.backends))
    else:
        lab.router.ip("link set br0 mtu 1400")
    try:
        with Fluxpin(lab, text(lab, slow_path=slow_path)) as fluxpin:
            for vip in (lab.http_vip, lab.http_vip_ipv6):
                assert upload(lab, vip, 3000000)
                assert told_mtu(lab, vip) == [1400 - 24]
            metrics = fluxpin.assert_balanced()
            assert metrics.sum("fluxpin_worker_answered_packets_total") >= 2
            assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
            if where == "router":
                assert own_path_mtus(lab) == {1400}
    finally:
        if where == "load balancer":
            lab.lb.ip(*(f"route del {each.address}/32" for each in lab.backends))
        lab.router.ip("link set br0 mtu 1600")
        for family in ("-4", "-6"):
            for namespace in (lab.client, lab.lb):
                namespace.run(["ip", family, "route", "flush", "cache"])
