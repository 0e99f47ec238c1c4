# SPDX-License-Identifier: BSD-2-Clause
"""A NIC that takes VLAN tags away before fluxpin can see them."""

import re

import pytest
from vm_lab import VmFluxpin, get, received, text, upload


@pytest.fixture
def tagged(lab):
    """The router sends the VIPs to the load balancer under a tag, which fluxpin leaves on what it
    sends back."""
    # Without a device of that VLAN, the filter of igb would drop the frames.
    lab.lb.ip("link add link eth0 name eth0.50 type vlan id 50", "link set eth0.50 up")
    lab.router.ip(
        "link add link lb name lb.50 type vlan id 50",
        "link set lb.50 addrgenmode none up",
        "addr add 10.0.50.1/24 dev lb.50",
        f"neigh add 10.0.50.5 lladdr {lab.lb.mac().hex(':')} dev lb.50 nud permanent",
    )
    lab.router.ip(*(f"route replace {vip} via 10.0.50.5" for vip in (lab.http_vip, lab.dns_vip)))
    lab.router.run(["ethtool", "-K", "lb", "txvlan", "off", "rxvlan", "off"])
    yield
    lab.route_vips([lab.lb])
    lab.router.ip("link del lb.50")
    lab.lb.ip("link del eth0.50")


def test_stripping_is_reported_with_the_command(lab, tagged):
    """A NIC that strips tags makes fluxpin send without them; the log names the command that turns
    it off, and it does."""
    if lab.driver == "igb":
        lab.lb.run(["ethtool", "-K", "eth0", "rxvlan", "on"])
        with VmFluxpin(lab, text(lab, "gre", "ipv4")) as fluxpin:
            command = re.search(r"warning: eth0: offloads .* with: (ethtool -K eth0 .*)",
                                fluxpin.log())
            before = received(lab.router, "lb.50")
            assert get(lab, lab.http_vip, 2).total() == 2
            assert fluxpin.quiescent().sum("fluxpin_vip_packets_total", vip="web4") > 0
            assert received(lab.router, "lb.50") == before, "the tags are gone"
        lab.lb.run(command[1].split())
    with VmFluxpin(lab, text(lab, "gre", "ipv4")) as fluxpin:
        assert "offloads" not in fluxpin.log()
        before = received(lab.router, "lb.50")
        assert set(get(lab, lab.http_vip, 10)) == {"web-1", "web-2"}
        assert upload(lab, lab.http_vip, 100_000)
        metrics = fluxpin.assert_balanced()
        forwarded = metrics.sum("fluxpin_vip_packets_total", vip="web4")
        assert received(lab.router, "lb.50") - before == forwarded > 100
