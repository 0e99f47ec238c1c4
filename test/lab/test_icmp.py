# SPDX-License-Identifier: BSD-2-Clause
"""ICMP with real stacks: pings of a VIP, and path MTU discovery through one."""

import pytest
from fluxpin import Fluxpin, configuration, pool
from lab import Lab


@pytest.fixture(scope="module")
def lab():
    with Lab(ipv6=True) as built:
        yield built


def text(lab):
    services = [{"name": f"web{version}", "address": address, "protocol": "tcp", "port": 80,
                 "pool": "web"}
                for version, address in ((4, lab.http_vip), (6, lab.http_vip_ipv6))]
    source = {"ipv4": lab.lb.address, "ipv6": lab.lb.ipv6_address}
    return configuration([pool(lab)], services, source_address=source)


def test_ping(lab):
    with Fluxpin(lab, text(lab)) as fluxpin:
        for vip in (lab.http_vip, lab.http_vip_ipv6):
            for size in (56, 1400):
                lab.client.run(["ping", "-c", "4", "-i", "0.1", "-W", "2", "-s", size, vip])
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_answered_packets_total") == 16


def upload(lab, vip):
    host = f"[{vip}]" if ":" in vip else vip
    script = f"head -c 3000000 /dev/zero | curl -s -m 30 --data-binary @- http://{host}/upload"
    assert lab.client.output(["sh", "-c", script]).split()[1:] == ["3000000"]


def told_mtu(lab, vip):
    return [route["metrics"][0]["mtu"] for route in lab.client.ip_json(f"route get {vip}")
            if route.get("metrics")]


@pytest.mark.parametrize("where", ["load balancer", "router"])
def test_path_mtu_is_discovered(lab, where):
    """The way to the backends holds 1400 bytes, from the load balancer's own route on or only behind
    the router: uploads of full-size segments complete, at 1376."""
    if where == "load balancer":
        lab.lb.ip(*(f"route add {each.address}/32 via 10.0.0.1 mtu 1400"
                    for each in lab.backends))
    else:
        lab.router.ip("link set br0 mtu 1400")
    try:
        with Fluxpin(lab, text(lab)) as fluxpin:
            for vip in (lab.http_vip, lab.http_vip_ipv6):
                upload(lab, vip)
                assert told_mtu(lab, vip) == [1400 - 24]
            metrics = fluxpin.assert_balanced()
            assert metrics.sum("fluxpin_worker_answered_packets_total") >= 2
    finally:
        if where == "load balancer":
            lab.lb.ip(*(f"route del {each.address}/32" for each in lab.backends))
        lab.router.ip("link set br0 mtu 1600")
        for family in ("-4", "-6"):
            lab.client.run(["ip", family, "route", "flush", "cache"])
