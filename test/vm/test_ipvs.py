# SPDX-License-Identifier: BSD-2-Clause
"""The two load balancers that test/bench/ipvs compares do the same: they balance, serve real clients,
and at low load no packet is lost."""

import pytest
from curl import get
from ipvs import TUNNELS, Ipvs
from vm_lab import REQUESTS, TUNNEL_DEVICES, VmFluxpin, has_zero_copy, text

PORTS, ROUNDS = 50, 4


def devices(lab, tunnel):
    """Packets that the backends took out of tunnels of one kind, IPv4 in IPv4."""
    device = (TUNNEL_DEVICES[tunnel, "ipv4"] & {"gre4", "ipip4"}).pop()
    return lab.tunnel_packets()[device]


def check_service(lab, tunnel, packets):
    """`packets` tells how many the load balancer has taken so far."""
    before, taken = devices(lab, tunnel), packets()
    answers = get(lab, lab.http_vip, REQUESTS)
    assert set(answers) == {"web-1", "web-2"} and answers.total() == REQUESTS, answers
    # SYN, ACK, request, FIN, at least.
    assert devices(lab, tunnel) - before == packets() - taken >= 4 * REQUESTS
    before, taken = devices(lab, tunnel), packets()
    result = lab.load("udp", lab.dns_vip, "--source-ports", PORTS, "--rounds", ROUNDS,
                      "--timeout", 30).result()
    assert result["ok"] == PORTS * ROUNDS and result["moved"] == 0, result
    assert set(result["by_backend"]) == {"web-1", "web-2"}
    assert devices(lab, tunnel) - before == packets() - taken == PORTS * ROUNDS


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_ipvs(lab, tunnel):
    with Ipvs(lab, tunnel) as ipvs:
        check_service(lab, tunnel, ipvs.packets)


def test_fluxpin(lab):
    mode = "zerocopy" if has_zero_copy(lab) else "copy"
    with VmFluxpin(lab, text(lab, "ipip", "ipv4"), mode=mode) as fluxpin:
        for tunnel in TUNNELS:
            assert fluxpin.reload(text(lab, tunnel, "ipv4"))
            check_service(lab, tunnel, lambda: fluxpin.quiescent().sum("fluxpin_vip_packets_total"))
