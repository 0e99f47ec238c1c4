# SPDX-License-Identifier: BSD-2-Clause
"""The load balancer on a VLAN device of its NIC, and a NIC that takes tags away on receipt."""

import re

import pytest
from curl import get, upload
from vm_lab import REQUESTS, VmFluxpin, text


@pytest.fixture
def vlan(lab):
    """Router and load balancer talk under tag 50 alone, both ways."""
    lab.lb.ip(
        "link add link eth0 name eth0.50 type vlan id 50",
        "link set eth0.50 up",
        "addr add 10.0.50.5/24 dev eth0.50",
        "route add 10.1.0.0/24 via 10.0.50.1",
    )
    # What was heard before XDP took the queues is believed for one second, not up to 45.
    lab.lb.run(["sysctl", "-qw", "net.ipv4.neigh.eth0/50.base_reachable_time_ms=1000"])
    lab.router.ip(
        "link add link lb name lb.50 type vlan id 50",
        "link set lb.50 addrgenmode none up",
        "addr add 10.0.50.1/24 dev lb.50",
        *(f"route replace {vip} via 10.0.50.5" for vip in (lab.http_vip, lab.dns_vip)),
    )
    yield
    lab.route_vips([lab.lb])
    lab.router.ip("link del lb.50")
    lab.lb.ip("link del eth0.50")


def test_stripping_is_reported_with_the_command(lab, vlan):
    """Without tags, the host does not hear answers on its VLAN device, so no neighbour is known;
    the log names the command that turns stripping off, and it does."""
    if lab.driver == "igb":
        lab.lb.run(["ethtool", "-K", "eth0", "rxvlan", "on"])
        fluxpin = VmFluxpin(lab, text(lab, "gre", "ipv4"), start=False)
        fluxpin.launch()
        with fluxpin:
            command = fluxpin.wait_for_log(
                r"warning: eth0: offloads .* with: (ethtool -K eth0 .*)", 60)[1]
            fluxpin.wait_for_log(r"web/web-1 .*no neighbour", 60)
        lab.lb.run(command.split())
    with VmFluxpin(lab, text(lab, "gre", "ipv4")) as fluxpin:
        assert not re.search("offloads", fluxpin.log())
        before = {name: lab.router.received(name) for name in ("lb", "lb.50")}
        assert set(get(lab, lab.http_vip, REQUESTS)) == {"web-1", "web-2"}
        assert upload(lab, lab.http_vip, 100_000)
        metrics = fluxpin.assert_balanced()
        forwarded = metrics.sum("fluxpin_worker_forwarded_packets_total")
        grown = {name: lab.router.received(name) - before[name] for name in before}
        assert grown["lb.50"] >= forwarded > 100
        assert grown["lb"] - grown["lb.50"] < forwarded / 2, "untagged"
