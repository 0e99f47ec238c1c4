# SPDX-License-Identifier: BSD-2-Clause
"""Busy polling in zero-copy: one worker with a CPU of its own, which the kernel's interrupts leave
alone when they are deferred. What is compared are counts, under the same requests."""

import os
import re

import pytest
from card import defer, interrupts
from control_client import warnings
from curl import get, upload
from namespaces import wait_until
from process import state, workers
from vm_lab import VmFluxpin, has_zero_copy, text

REQUESTS = 40
WELL = "info: eth0: busy polling is well set up now"


@pytest.fixture(scope="module")
def card(lab):
    """The lab with one queue, and CPU 0 for everybody but the worker."""
    if not has_zero_copy(lab):
        pytest.skip(f"Linux {os.uname().release}: no zero-copy in {lab.driver}")
    lab.lb.run(["ethtool", "-L", "eth0", "combined", "1"])
    yield lab
    defer(lab.lb, "eth0", 0, 0)
    lab.lb.run(["ethtool", "-L", "eth0", "combined", "2"])
    lab.wait_for_carrier()


def started(lab, *arguments, **settings):
    return VmFluxpin(lab, text(lab, "gre", "ipv4", **settings), mode="zerocopy", queues="0",
                     cpus="1", arguments=arguments)


def receive_interrupts(lab):
    """Of the vector that receives: what is polled. igb and virtio_net send by others."""
    found = {name: count for name, count in interrupts(lab.lb, "eth0").items()
             if "rx-0" in name or "input.0" in name or "TxRx-0" in name}
    assert len(found) == 1, found
    return sum(found.values())


def polled(lab):
    """Frames that system calls of workers took from the card, by the kernel's count."""
    names, values = [line.split() for line in lab.lb.output(["cat", "/proc/net/netstat"]).splitlines()
                     if line.startswith("TcpExt: ")]
    return int(values[names.index("BusyPollRxPackets")])


def cost(lab, fluxpin):
    """(interrupts, frames polled, frames received) of the same requests."""
    def look():
        return (receive_interrupts(lab), polled(lab),
                fluxpin.quiescent().sum("fluxpin_worker_received_packets_total"))

    before = look()
    answers = get(lab, lab.http_vip, REQUESTS)
    assert set(answers) == {"web-1", "web-2"} and answers.total() == REQUESTS, answers
    assert upload(lab, lab.http_vip, 100_000)
    return tuple(after - each for after, each in zip(look(), before))


def test_interrupts_stay_away(card):
    """Without the settings it works, and warns; the printed command mends it at once."""
    with started(card) as fluxpin:
        usual = cost(card, fluxpin)
        assert usual[1] == 0
        assert fluxpin.metrics().sum("fluxpin_worker_busy_poll") == 0
    with started(card, "--busy-poll") as fluxpin:
        assert "eth0 queue 0: zero-copy, " in fluxpin.log()
        assert "pages, busy polling\n" in fluxpin.log()
        fluxpin.wait_for(lambda each: each.sum("fluxpin_worker_busy_poll") == 1)
        [warning] = warnings(fluxpin, "busy_poll")
        assert "interrupts are not deferred (napi_defer_hard_irqs is 0" in warning
        assert cost(card, fluxpin)[1] > 0
        commands = re.search(r"^warning: eth0: busy polling: .*; set: (echo .*)$", fluxpin.log(),
                             re.MULTILINE)[1]
        assert commands in warning
        card.lb.run(["sh", "-c", commands])
        fluxpin.wait_for_log(WELL)
        assert warnings(fluxpin, "busy_poll") == []
        # The emulated worker is away for longer now and then than one of hardware.
        defer(card.lb, "eth0", 2, 10_000_000)
        few = cost(card, fluxpin)
        print(f"{card.driver}: {usual} and, with busy polling, {few} interrupts, polled, received")
        if card.driver == "igb":
            # QEMU's card does not mask an interrupt that it has sent (EIAM, igb_msix_notify in
            # hw/net/igb_core.c), so that each frame sends one whatever the driver wants.
            assert few[1] > 0
        else:
            assert few[0] * 4 < usual[0] and few[1] * 4 > few[2] * 3
        # Whatever the driver has, also what it sends by: each frame leaves from where it came.
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        assert (metrics.sum("fluxpin_worker_sent_in_place_packets_total") ==
                metrics.sum("fluxpin_worker_forwarded_packets_total"))
        defer(card.lb, "eth0", 0, 0)
        fluxpin.wait_for_log(r"warning: eth0: busy polling: interrupts are not deferred")


def test_a_card_that_starts_anew(card):
    """The card starts anew: its queue is polled again, or a warning says that it is not."""
    defer(card.lb, "eth0", 2, 10_000_000)
    with started(card, "--busy-poll") as fluxpin:
        assert get(card, card.http_vip, 4).total() == 4
        done = card.lb.run(["ethtool", "-r", "eth0"], check=False)
        if done.returncode != 0:
            card.lb.run(["ethtool", "-G", "eth0", "rx", "128", "tx", "128"])
        card.wait_for_carrier()
        assert get(card, card.http_vip, 8).total() == 8
        assert upload(card, card.http_vip, 100_000)
        fluxpin.wait_for_metrics()
        is_polling = fluxpin.wait_for_metrics().sum("fluxpin_worker_busy_poll") == 1
        assert is_polling != any("it has ended" in each for each in warnings(fluxpin, "busy_poll"))
        fluxpin.assert_balanced()


def test_idle_workers(card):
    """One that is not to sleep is always running, one with busy_poll_idle sleeps; both follow
    reloads, and a packet wakes the latter."""
    defer(card.lb, "eth0", 2, 200_000)
    for idle in ("0s", "50us"):
        interface = {"name": "eth0", "queues": "0", "cpus": "1", "mode": "zerocopy",
                     "busy_poll": True, "busy_poll_idle": idle}
        fluxpin = VmFluxpin(card, text(card, "gre", "ipv4", interfaces=[interface]), start=False)
        with fluxpin.without("-i").start():
            fluxpin.wait_for(lambda each: each.sum("fluxpin_worker_busy_poll") == 1)
            (worker,) = workers(fluxpin.process.pid)
            if idle == "0s":
                assert {state(worker) for _ in range(200)} == {"R"}
            else:
                wait_until(lambda: state(worker) == "S", 5, "a worker asleep")
            assert fluxpin.reload(text(card, "ipip", "ipv4", interfaces=[interface])) == 2
            assert get(card, card.http_vip, 8).total() == 8
            assert fluxpin.metrics().sum("fluxpin_worker_stalled") == 0
            fluxpin.assert_balanced()
