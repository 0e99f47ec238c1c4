# SPDX-License-Identifier: BSD-2-Clause
"""Every encapsulation with real servers: both families of clients over both families of backends."""

import pytest
from curl import get, upload, url
from fluxpin import Fluxpin, configuration, pool
from lab import Lab

REQUESTS = 40


@pytest.fixture(scope="module")
def lab():
    with Lab(ipv6=True) as built:
        yield built


def vips(lab):
    return [
        {"name": "web4", "address": lab.http_vip, "protocol": "tcp", "port": 80, "pool": "web"},
        {"name": "web6", "address": lab.http_vip_ipv6, "protocol": "tcp", "port": 80,
         "pool": "web"},
        {"name": "dns4", "address": lab.dns_vip, "protocol": "udp", "port": 53, "pool": "web"},
        {"name": "dns6", "address": lab.dns_vip_ipv6, "protocol": "udp", "port": 53,
         "pool": "web"},
    ]


def backends(lab, is_ipv6):
    return [{"name": each.name_in_pool, "address": each.ipv6_address if is_ipv6 else each.address}
            for each in lab.backends]


def text(lab, encapsulation, is_ipv6, **more):
    source = {"ipv4": lab.lb.address, "ipv6": lab.lb.ipv6_address}
    web = pool(lab, backends=backends(lab, is_ipv6), encapsulation=encapsulation, **more)
    return configuration([web], vips(lab), source_address=source)


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
@pytest.mark.parametrize("encapsulation, more", [
    ("gre", {}), ("ipip", {}), ("gue", {}), ("gue", {"udp_checksum": True}),
], ids=["gre", "ipip", "gue", "gue-checksum"])
def test_http_over_both_families(lab, encapsulation, more, outer):
    with Fluxpin(lab, text(lab, encapsulation, outer == "ipv6", **more)) as fluxpin:
        for vip in (lab.http_vip, lab.http_vip_ipv6):
            answers = get(lab, vip, REQUESTS)
            assert answers.total() == REQUESTS, answers
            assert set(answers) <= {"web-1", "web-2", "web-3"} and len(answers) > 1, answers
            assert upload(lab, vip, 2000000)
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        for vip in ("web4", "web6"):
            assert metrics.get_one("fluxpin_vip_packets_total", vip=vip) > REQUESTS


@pytest.mark.sanitizer
def test_reloads_between_encapsulations(lab):
    """The same backends by another family are others; what is reloaded takes effect at once."""
    with Fluxpin(lab, text(lab, "gre", False)) as fluxpin:
        for encapsulation in ("ipip", "gue", "gre"):
            for is_ipv6 in (True, False):
                assert fluxpin.reload(text(lab, encapsulation, is_ipv6))
                for vip in (lab.http_vip, lab.http_vip_ipv6):
                    assert get(lab, vip, 10).total() == 10
        fluxpin.assert_balanced()


def test_ipv6_slow_path(lab):
    """Neighbour discovery, ping and TCP to the load balancer's own IPv6 address, and from it."""
    with Fluxpin(lab, text(lab, "gre", True), queues="0-3", cpus="0-1") as fluxpin:
        lab.router.ip("neigh flush dev lb")
        lab.client.run(["ping", "-6", "-c", "3", "-i", "0.2", "-W", "2", lab.lb.ipv6_address])
        lab.lb.run(["ping", "-6", "-c", "3", "-i", "0.2", "-W", "2", lab.client.ipv6_address])
        assert get(lab, lab.http_vip_ipv6, 10).total() == 10
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_slow_path_packets_total") >= 6


def test_l2_needs_the_same_link(lab):
    """Backends behind a router cannot be reached without an outer header: told, and dropped."""
    with Fluxpin(lab, text(lab, "l2", False)) as fluxpin:
        fluxpin.wait_for_log(r"web/web-1 .*not on the same link")
        lab.client.run(["curl", "-s", "-m", "1", url(lab.http_vip)], check=False)
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_dropped_packets_total", reason="no_next_hop") > 0
