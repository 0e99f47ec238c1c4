# SPDX-License-Identifier: BSD-2-Clause
"""Next hops that change under traffic: followed so soon that TCP's first retransmission, a second
later, gets through, and nobody else loses a packet.

web-1 is reached by gateways of its own on the load balancer's link, "g1" (10.0.0.21) and "g2"
(10.0.0.22) with MAC addresses of their own; the others by the router's address as ever. The HTTP VIP
is served by all, the DNS VIP by the others alone.
"""

import contextlib
import time

import pytest

from fluxpin import Fluxpin, configuration, pool, vips
from lab import Lab
from namespaces import PATIENCE, wait_until

# A request may take a first retransmission (RFC 6298: 1 s), and no second one (3 s). In a virtual
# machine what comes in time takes longer, too.
TIMEOUT = 2.5 * PATIENCE
MOVED = "02:11:22:33:44:99"


@pytest.fixture(name="gateways", scope="module")
def make_gateways():
    with Lab() as lab:
        # Each address is that of its own device, which says so when it comes up or changes.
        lab.router.sysctl(net__ipv4__conf__all__arp_ignore=1, net__ipv4__conf__default__arp_notify=1)
        lab.router.ip(
            "link add g1 link lb type macvlan mode bridge", "addr add 10.0.0.21/32 dev g1",
            "link set g1 up",
            "link add g2 link lb type macvlan mode bridge", "addr add 10.0.0.22/32 dev g2",
            "link set g2 up",
        )
        lab.lb.ip(f"route add {lab.backends[0].address}/32 via 10.0.0.21")
        yield lab


@contextlib.contextmanager
def traffic(lab):
    """Requests to all and datagrams to the others, before, during and after; none may be lost."""
    backends = lab.backends
    first, second = vips(lab, pool="all")
    text = configuration(
        [pool(lab, "all"), pool(lab, "others", backends=backends[1:])],
        [first, second | {"pool": "others"}])
    with Fluxpin(lab, text) as fluxpin:
        requests = lab.load("http", lab.http_vip, "--hold", "--parallel", 8, "--timeout", TIMEOUT)
        requests.wait_for_line()
        datagrams = lab.load("udp", lab.dns_vip, "--source-ports", 32, "--rounds", 400, "--timeout", 1)
        served = backends[0].name_in_pool
        wait_until(lambda: fluxpin.wait_for_metrics().sum(
            "fluxpin_backend_packets_total", pool="all", backend=served) > 50, 10, "traffic")
        yield fluxpin
        # And it goes on by the new way.
        before = fluxpin.wait_for_metrics().sum("fluxpin_backend_packets_total", backend=served)
        wait_until(lambda: fluxpin.wait_for_metrics().sum(
            "fluxpin_backend_packets_total", backend=served) > before + 50, 10, "traffic")
        result = datagrams.result()
        assert result["failed_count"] == 0, result
        result = requests.result()
        assert result["failed_count"] == 0, result
        assert len(result["by_backend"]) == 3, result
        fluxpin.assert_balanced()


def test_a_gateway_that_moves_to_another_mac(gateways):
    lab = gateways
    old = lab.router.ip_json("link show g1")[0]["address"]
    with traffic(lab):
        lab.router.ip(f"link set g1 address {MOVED}")
        before = lab.router.received("g1")
        wait_until(lambda: lab.router.received("g1") > before + 50, 10, "frames to the new address")
        lab.router.ip(f"link set g1 address {old}")


def test_another_gateway(gateways):
    lab = gateways
    address = lab.backends[0].address
    with traffic(lab):
        lab.lb.ip(f"route replace {address}/32 via 10.0.0.22")
        before = lab.router.received("g2")
        wait_until(lambda: lab.router.received("g2") > before + 50, 10, "frames by the new gateway")
        lab.lb.ip(f"route replace {address}/32 via 10.0.0.21")


def test_no_way_to_one_backend_for_a_moment(gateways):
    lab = gateways
    address = lab.backends[0].address
    with traffic(lab) as fluxpin:
        lab.lb.ip(f"route replace unreachable {address}/32")
        wait_until(lambda: fluxpin.metrics().sum("fluxpin_worker_dropped_packets_total",
                                                 reason="no_next_hop") > 0, 10, "drops")
        lab.lb.ip(f"route replace {address}/32 via 10.0.0.21")


def test_a_flap_of_the_interface(gateways):
    """Down and up again: the router's side, and with it the load balancer's carrier, then its own."""
    lab = gateways
    address = lab.backends[0].address

    def flap(namespace, interface, *then):
        namespace.ip(f"link set {interface} down")
        time.sleep(0.1)
        namespace.ip(f"link set {interface} up", *then)

    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        # Else the router tells clients that there is no way, while there is none.
        lab.router.ip(f"route add blackhole {lab.http_vip}/32 metric 999")
        requests = lab.load("http", lab.http_vip, "--hold", "--parallel", 8, "--timeout", TIMEOUT)
        requests.wait_for_line()
        for _ in range(3):
            flap(lab.router, "lb")
            lab.route_vips([lab.lb])
            lab.router.ip("link set g1 up", "link set g2 up")
            time.sleep(1)
            flap(lab.lb, "eth0", "route replace default via 10.0.0.1",
                 f"route replace {address}/32 via 10.0.0.21")
            time.sleep(1)
        result = requests.result()
        assert result["failed_count"] == 0, result
        assert len(result["by_backend"]) == 3, result
        fluxpin.assert_balanced()
