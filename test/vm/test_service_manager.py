# SPDX-License-Identifier: BSD-2-Clause
"""systemd starts fluxpin again when it has ended by itself, with the unit file that is shipped."""

import shutil

import pytest
from card import Driver
from namespaces import wait_until
from service_manager import SYSTEMD, UNIT, FluxpinService
from vm_lab import assert_serves, text, traffic, wait_until_forwarded

pytestmark = pytest.mark.skipif(not SYSTEMD.exists() or shutil.which("systemctl") is None,
                                reason="systemd is not installed")


def service(lab):
    """It serves all queues of the NIC, and has its socket in the folder that systemd makes."""
    more = {
        "interfaces": [{"name": "eth0"}],
        "metrics": {"textfile": lab.lb.directory / "fluxpin.prom", "interval": "100ms"},
        "control": "/run/fluxpin/control.sock",
    }
    return FluxpinService(lab, text(lab, "gre", "ipv4", **more))


def wait_until_started_again(lab, fluxpin):
    """And serves: the traffic goes on."""
    fluxpin.wait_for_log(r"\bready\b", 30)
    wait_until_forwarded(lab, fluxpin)


def assert_runs(fluxpin, other_than):
    """Another process."""
    unit = fluxpin.systemd.show()
    assert (unit["ActiveState"], unit["SubState"]) == ("active", "running"), unit
    assert unit["MainPID"] != other_than["MainPID"]


def test_card_taken_away_and_put_back(lab):
    """However often it is started in vain while the card is away."""
    with service(lab) as fluxpin:
        assert_serves(lab, fluxpin)
        before = fluxpin.systemd.show()
        driver = Driver(lab.lb, "eth0")
        with traffic(lab):
            driver.unbind()
            try:
                fluxpin.wait_for_log("^error: eth0 is gone$", 30)
                fluxpin.wait_for_log("^ended: exited 1$", 30)
                wait_until(lambda: int(fluxpin.systemd.show()["NRestarts"]) >= 3, 30, "starts", 0.5)
                assert "interface eth0 does not exist" in fluxpin.log()
            finally:
                driver.bind()
                lab.take_card_again()
            wait_until_started_again(lab, fluxpin)
        assert_serves(lab, fluxpin)
        assert_runs(fluxpin, before)


def test_new_channels(lab):
    """It ends because of them, and serves them when it is started again."""
    if lab.driver != "igb":
        pytest.skip("virtio_net refuses: see test_more_channels_are_refused")
    try:
        with service(lab) as fluxpin:
            before = fluxpin.systemd.show()
            with traffic(lab):
                lab.lb.run(["ethtool", "-L", "eth0", "combined", 4])
                fluxpin.wait_for_log("^error: eth0 has 4 queues now, not 2, and the new ones bypass "
                                     "fluxpin: ending", 30)
                fluxpin.wait_for_log("^ended: exited 1$", 30)
                wait_until_started_again(lab, fluxpin)
            assert_serves(lab, fluxpin, workers=4)
            assert_runs(fluxpin, before)
    finally:
        lab.lb.run(["ethtool", "-L", "eth0", "combined", 2])


def test_killed(lab):
    with service(lab) as fluxpin:
        before = fluxpin.systemd.show()
        with traffic(lab):
            fluxpin.systemd.control("kill", "--kill-who=main", "--signal=KILL", UNIT.name)
            fluxpin.wait_for_log("^ended: killed KILL$", 30)
            wait_until_started_again(lab, fluxpin)
        assert_serves(lab, fluxpin)
        assert_runs(fluxpin, before)
