# SPDX-License-Identifier: BSD-2-Clause
"""What happens to a card under traffic: the drivers take their rings down and up again, with frames
of ours in them. None is lost, and after each time packets are forwarded. See test/lab/test_recovery.py
for what veth can."""

import pytest
from card import Driver
from namespaces import PATIENCE, wait_until
from process import descriptors
from steady import flap_often
from vm_lab import MTU, VmFluxpin, assert_serves, text, traffic, wait_until_forwarded

FLAPS = 3


@pytest.fixture(scope="module")
def fluxpin(lab):
    with VmFluxpin(lab, text(lab, "gre", "ipv4")) as started:
        yield started
    lab.lb.ip(f"link set eth0 mtu {MTU}")
    lab.wait_for_carrier()


def flap(lab):
    lab.lb.ip("link set eth0 down", "link set eth0 up")
    lab.wait_for_carrier()


def test_link_flaps(lab, fluxpin):
    """No descriptor more is open then: the program is behind libxdp's dispatcher here, which it is
    not on every kernel."""
    pid = fluxpin.process.pid
    before = descriptors(pid)
    with traffic(lab):
        for _ in range(FLAPS):
            flap(lab)
            wait_until_forwarded(lab, fluxpin)
    assert_serves(lab, fluxpin)
    wait_until(lambda: descriptors(pid) <= before, 10, "closed descriptors")


def test_fifty_link_flaps(lab, fluxpin):
    """Packets are forwarded after each of them; neither memory nor descriptors become more."""

    def flap_and_forward(_):
        flap(lab)
        wait_until_forwarded(lab, fluxpin)

    with traffic(lab):
        before = flap_often(fluxpin.process.pid, flap_and_forward)
    assert_serves(lab, fluxpin)
    before.assert_kept()


def test_ring_sizes(lab, fluxpin):
    with traffic(lab):
        for size in (128, 256):
            done = lab.lb.run(["ethtool", "-G", "eth0", "rx", size, "tx", size], check=False)
            if lab.driver == "virtio_net" and done.returncode != 0:
                pytest.skip(f"ethtool -G: {done.stderr.strip()}")
            assert done.returncode == 0, done.stderr
            wait_until_forwarded(lab, fluxpin)
    assert_serves(lab, fluxpin)


def test_channels_in_use(lab, fluxpin):
    """The kernel does not take queues with a socket away."""
    with traffic(lab):
        done = lab.lb.run(["ethtool", "-L", "eth0", "combined", 1], check=False)
        assert done.returncode != 0
    assert_serves(lab, fluxpin)


def test_mtu(lab, fluxpin):
    """igb refuses more than fits half a page while it has an XDP program."""
    with traffic(lab):
        for mtu in (1500, 1400, 1500):
            lab.lb.ip(f"link set eth0 mtu {mtu}")
            wait_until_forwarded(lab, fluxpin)
    assert_serves(lab, fluxpin)


def test_reset_by_the_driver(lab, fluxpin):
    """Negotiating the link anew makes igb start its card again."""
    if lab.driver == "virtio_net":
        pytest.skip("virtio_net has no ethtool -r or --reset, nor its emulated card a PCI reset: only by "
                    "taking the driver off (test_driver_removed_and_added)")
    with traffic(lab):
        lab.lb.run(["ethtool", "-r", "eth0"])
        wait_until_forwarded(lab, fluxpin)
    assert_serves(lab, fluxpin)


def test_driver_removed_and_added(lab, fluxpin):
    """It ends with a sentence and status 1; started again, it serves."""
    driver = Driver(lab.lb, "eth0")
    assert_serves(lab, fluxpin)
    with traffic(lab):
        driver.unbind()
        assert fluxpin.process.wait(30 * PATIENCE) == 1
        assert "error: eth0 is gone" in fluxpin.log()
        driver.bind()
    fluxpin.process = None
    fluxpin.assert_totals_balance()
    lab.take_card_again()
    fluxpin.start()
    assert_serves(lab, fluxpin)
