# SPDX-License-Identifier: BSD-2-Clause
"""More queues than fluxpin was told to serve, under traffic (ethtool -L). It serves all, in
test_service_manager.py; fewer, in test_card_recovery.py; on veth, in test/lab/test_recovery.py."""

import pytest
from namespaces import wait_until
from vm_lab import VmFluxpin, assert_serves, text, traffic, wait_until_forwarded


def set_channels(lab, count, check=True):
    done = lab.lb.run(["ethtool", "-L", "eth0", "combined", count], check=check)
    lab.wait_for_carrier()
    return done


def received(lab, queues):
    """Packets that the driver has counted on these queues."""
    counters = lab.lb.queue_statistics()
    return sum(counters[f"rx_queue_{each}_packets"] for each in queues)


def test_more_channels(lab):
    """fluxpin warns, and goes on with its own: what comes on the others bypasses it until they are
    gone again."""
    if lab.driver != "igb":
        pytest.skip("virtio_net refuses: see test_more_channels_are_refused")
    with VmFluxpin(lab, text(lab, "gre", "ipv4")) as fluxpin:
        try:
            with traffic(lab):
                set_channels(lab, 4)
                fluxpin.wait_for_log("warning: eth0 has 4 queues now, not 2, and fluxpin serves 2: "
                                     "packets that arrive on the others bypass it")
                wait_until_forwarded(lab, fluxpin)
                wait_until(lambda: received(lab, (2, 3)) > 0, 30, "packets on the others")
        finally:
            set_channels(lab, 2)
        assert_serves(lab, fluxpin)


def test_more_channels_are_refused(lab):
    """virtio_net takes no other number while it has an XDP program."""
    if lab.driver != "virtio_net":
        pytest.skip("igb takes more: see test_more_channels")
    set_channels(lab, 1)
    try:
        with VmFluxpin(lab, text(lab, "gre", "ipv4"), queues="0", cpus="0") as fluxpin:
            with traffic(lab):
                assert set_channels(lab, 2, check=False).returncode != 0
            assert_serves(lab, fluxpin, workers=1)
    finally:
        set_channels(lab, 2)
