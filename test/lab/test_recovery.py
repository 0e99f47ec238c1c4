# SPDX-License-Identifier: BSD-2-Clause
"""What happens to the NIC under traffic: fluxpin goes on by itself, or ends with a sentence and
status 1, for the service manager to start it again. The rest, which veth does not have, is in
test/vm/test_card_recovery.py."""

import signal
import subprocess

import pytest
from fluxpin import Fluxpin, configuration, pool, vips
from namespaces import PATIENCE, wait_until
from steady import flap_often
from traffic import Traffic

BOTH_QUEUES = {("eth0", "0"), ("eth0", "1")}


def text(lab):
    return configuration([pool(lab)], vips(lab))


def all_queues(lab, **more):
    """fluxpin that is not told which queues to serve."""
    return Fluxpin(lab, text(lab), start=False, **more).set_option("-i", "eth0")


def assert_serves(lab, fluxpin, requests=20):
    """New connections all succeed, once the backends' neighbours have answered again; packets and
    frames add up."""
    wait_until(lambda: lab.load("http", lab.http_vip, "--requests", requests).result()
               ["failed_count"] == 0, 30, "requests without a failure")
    result = lab.load("http", lab.http_vip, "--requests", requests, "--parallel", 5).result()
    assert result["failed_count"] == 0, result
    return fluxpin.assert_balanced()


def flap(lab, namespace=None, interface="eth0"):
    namespace = namespace or lab.lb
    namespace.ip(f"link set {interface} down", f"link set {interface} up")
    # The kernel drops routes by a gateway with the link.
    if namespace is lab.lb:
        namespace.ip("route replace default via 10.0.0.1")


def assert_ended(fluxpin, sentence):
    """By itself, with status 1 and that sentence; nothing is left behind."""
    assert fluxpin.process.wait(10 * PATIENCE) == 1, fluxpin.log()
    fluxpin.process = None
    assert sentence in fluxpin.log()
    fluxpin.assert_totals_balance()


@pytest.mark.parametrize("mode", ["copy", "skb"])
def test_link_flaps(lab, mode):
    """Fifty, half of them at the other end of the link, with traffic: memory and descriptors stay."""

    def at_either_end(number):
        if number % 2:
            flap(lab)
        else:
            flap(lab, lab.router, "lb")
            lab.route_vips([lab.lb])

    with Fluxpin(lab, text(lab), mode=mode) as fluxpin:
        assert_serves(lab, fluxpin)
        with Traffic(lab):
            before = flap_often(fluxpin.process.pid, at_either_end)
        assert set(assert_serves(lab, fluxpin).workers()) == BOTH_QUEUES
        before.assert_kept()


def test_mtu_changes(lab):
    """The NIC's own: the smaller one is kept to at once, with traffic."""
    with Fluxpin(lab, text(lab)) as fluxpin, Traffic(lab):
        for mtu in (1400, 1500, 1600) * 3:
            lab.lb.ip(f"link set eth0 mtu {mtu}")
    with Fluxpin(lab, text(lab)) as fluxpin:
        lab.lb.ip("link set eth0 mtu 1400", "link set eth0 mtu 1600")
        assert_serves(lab, fluxpin)


@pytest.fixture
def two_queues(lab):
    """A NIC with two queues of the four that it can have."""
    lab.lb.run(["ethtool", "-L", "eth0", "rx", "2", "tx", "2"])
    yield
    lab.lb.run(["ethtool", "-L", "eth0", "rx", "4", "tx", "4"])


def test_queues_in_use_cannot_be_taken_away(lab):
    with Fluxpin(lab, text(lab)) as fluxpin:
        done = lab.lb.run(["ethtool", "-L", "eth0", "rx", "1", "tx", "1"], check=False)
        assert done.returncode != 0
        assert_serves(lab, fluxpin)


def test_queues_beside_the_listed_ones_are_warned_about(lab, two_queues):
    with Fluxpin(lab, text(lab)) as fluxpin, Traffic(lab):
        lab.lb.run(["ethtool", "-L", "eth0", "rx", "3", "tx", "3"])
        fluxpin.wait_for_log("warning: eth0 has 3 queues now, not 2, and fluxpin serves 2: ")
        lab.lb.run(["ethtool", "-L", "eth0", "rx", "2", "tx", "2"])
    with Fluxpin(lab, text(lab)) as fluxpin:
        assert_serves(lab, fluxpin)


def test_new_queues_end_a_fluxpin_that_serves_all(lab, two_queues):
    with all_queues(lab) as fluxpin:
        fluxpin.start()
        with Traffic(lab):
            assert set(fluxpin.metrics().workers()) == BOTH_QUEUES
            lab.lb.run(["ethtool", "-L", "eth0", "rx", "4", "tx", "4"])
            assert_ended(fluxpin, "error: eth0 has 4 queues now, not 2, and the new ones bypass")
            fluxpin.start()
        assert len(assert_serves(lab, fluxpin).workers()) == 4


@pytest.fixture
def away(lab):
    """A namespace in which the NIC's number is free."""
    name = f"{lab.id}-away"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)


def move(source, target):
    subprocess.run(["ip", "-n", source, "link", "set", "eth0", "netns", target], check=True)


@pytest.mark.parametrize("notices", [True, False])
def test_an_interface_that_is_removed_and_added(lab, away, notices):
    """It ends whether it notices that in between or not: the NIC has its name and number again, but
    the kernel took the sockets off."""
    fluxpin = Fluxpin(lab, text(lab))
    with Traffic(lab):
        if notices:
            move(lab.lb.name, away)
            assert_ended(fluxpin, "error: eth0 is gone")
            move(away, lab.lb.name)
        else:
            fluxpin.signal(signal.SIGSTOP)
            move(lab.lb.name, away)
            move(away, lab.lb.name)
            fluxpin.signal(signal.SIGCONT)
            assert_ended(fluxpin, "the kernel has taken the AF_XDP socket off the queue: ending")
        lab.lb.ip("link set eth0 up", f"addr add {lab.lb.address}/24 dev eth0",
                  "route replace default via 10.0.0.1")
    with fluxpin.start():
        assert_serves(lab, fluxpin)
