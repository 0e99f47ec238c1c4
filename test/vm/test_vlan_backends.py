# SPDX-License-Identifier: BSD-2-Clause
"""VLAN devices on a backend: the second one's addresses are on one."""

import pytest
from curl import get
from vm_lab import REQUESTS, TUNNELS, VLAN, VmFluxpin, text


def sent_to(fluxpin, backend):
    metrics = fluxpin.assert_balanced()
    return metrics.sum("fluxpin_backend_packets_total", backend=backend.name_in_pool)


@pytest.fixture(scope="module")
def fluxpin(lab):
    """One process for the tests of backends."""
    with VmFluxpin(lab, text(lab, "gre", "ipv4")) as started:
        yield started


def test_backend_on_a_vlan_device(lab, fluxpin):
    """Tunnels end at an address of a VLAN device."""
    backend = lab.backends[1]
    before = backend.received(f"eth0.{VLAN}"), sent_to(fluxpin, backend)
    for vip in (lab.http_vip, lab.http_vip_ipv6):
        assert set(get(lab, vip, REQUESTS)) == {"web-1", "web-2"}
    sent = sent_to(fluxpin, backend) - before[1]
    assert backend.received(f"eth0.{VLAN}") - before[0] >= sent > 0


def test_endpoint_under_a_vlan_device(lab, fluxpin):
    """fluxpin's endpoint program on the NIC below takes tunnels apart and leaves the tags."""
    backend = lab.backends[1]
    devices = [line.split()[2] for line in TUNNELS if line.startswith("link add")]
    backend.run([lab.fluxpin, "endpoint", "attach", "-i", "eth0"])
    backend.ip(*(f"link set {device} down" for device in devices))
    try:
        before = sent_to(fluxpin, backend)
        for vip in (lab.http_vip, lab.http_vip_ipv6):
            assert set(get(lab, vip, REQUESTS)) == {"web-1", "web-2"}
        counters = lab.endpoint_counters(backend)
        assert sum(counters.values()) >= sent_to(fluxpin, backend) - before > 0, counters
    finally:
        backend.ip(*(f"link set {device} up" for device in devices))
        backend.run([lab.fluxpin, "endpoint", "detach", "-i", "eth0"])
