# SPDX-License-Identifier: BSD-2-Clause
"""Busy polling where the driver has nothing to poll, a veth: asked for it is set, and fluxpin says
that it does nothing and does without. What it does is shown on cards: test/vm/test_card_busy_poll.py."""

import ctypes
import os
import pathlib
import socket
import sys

import pytest

from control_client import warnings
from doctor_report import doctor, findings
from fluxpin import Fluxpin, configuration, pool, vips
from namespaces import wait_until
from process import state, workers

DENIED = pathlib.Path(__file__).resolve().parents[1] / "lib/denied.py"
# Of asm-generic/socket.h
SO_INCOMING_NAPI_ID, SO_DOMAIN = 56, 39
SO_BUSY_POLL, SO_PREFER_BUSY_POLL, SO_BUSY_POLL_BUDGET = 46, 69, 70
AF_XDP = 44
PIDFD_GETFD = 438  # the same number on every architecture
SETTINGS = ("napi_defer_hard_irqs", "gro_flush_timeout")
_libc = ctypes.CDLL(None, use_errno=True)


def options(pid, *numbers):
    """Of each AF_XDP socket of a process, the values of these socket options."""
    process = os.pidfd_open(pid)
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
            continue
        descriptor = _libc.syscall(PIDFD_GETFD, process, int(name), 0)
        # Whatever it is: an AF_XDP socket does not say by its address.
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, 0, fileno=descriptor) as copy:
            if copy.getsockopt(socket.SOL_SOCKET, SO_DOMAIN) == AF_XDP:
                found.append([copy.getsockopt(socket.SOL_SOCKET, each) for each in numbers])
    os.close(process)
    return found


def text(lab, **more):
    return configuration([pool(lab)], vips(lab), **more)


@pytest.mark.parametrize("mode", ["copy", "skb"])
def test_without_anything_to_poll(lab, mode):
    with Fluxpin(lab, text(lab), mode=mode, arguments=["--busy-poll"]) as fluxpin:
        for queue in (0, 1):
            assert f"eth0 queue {queue}: copy" in fluxpin.log()
        assert fluxpin.log().count("pages, busy polling\n") == 2
        found = options(fluxpin.process.pid, SO_PREFER_BUSY_POLL, SO_BUSY_POLL)
        assert found == [[1, 20], [1, 20]]
        assert lab.load("http", lab.http_vip, "--requests", 30).result()["failed_count"] == 0
        if any(napi for [napi] in options(fluxpin.process.pid, SO_INCOMING_NAPI_ID)):
            # Before Linux 6.13 each frame tells it, those of a veth too.
            fluxpin.wait_for(lambda each: each.sum("fluxpin_worker_busy_poll") > 0)
            fluxpin.assert_balanced()
            return
        fluxpin.wait_for_log(r"warning: eth0: busy polling: it has no effect: the kernel tells no "
                             r"NAPI instance to poll")
        assert warnings(fluxpin, "busy_poll")
        metrics = fluxpin.assert_balanced()
        assert set(metrics.select("fluxpin_worker_busy_poll").values()) == {0}
        # Nobody spins for nothing.
        both = workers(fluxpin.process.pid)
        wait_until(lambda: [state(each) for each in both] == ["S", "S"], 10, "workers asleep")


def test_off_by_default(lab):
    with Fluxpin(lab, text(lab)) as fluxpin:
        assert options(fluxpin.process.pid, SO_PREFER_BUSY_POLL) == [[0], [0]]
        assert "busy polling" not in fluxpin.log()
        assert set(fluxpin.metrics().select("fluxpin_worker_busy_poll").values()) == {0}


def test_of_one_interface_in_the_file(lab):
    """And a reload does not change it, which `diff` says."""
    interface = {"name": "eth0", "queues": "0-1", "cpus": "0-1", "busy_poll": True}
    fluxpin = Fluxpin(lab, text(lab, interfaces=[interface]), start=False).without("-i")
    with fluxpin.start():
        assert fluxpin.log().count("pages, busy polling\n") == 2
        changed = {**interface, "busy_poll": False}
        fluxpin.write(text(lab, interfaces=[changed]))
        done = lab.lb.run([lab.fluxpin, "diff", "-c", fluxpin.file, "--control", fluxpin.control],
                          check=False)
        assert done.returncode == 1
        assert done.stdout == "~ interface eth0: busy_poll true -> false (takes a restart)\n"
        assert fluxpin.reload() == 2
        assert options(fluxpin.process.pid, SO_PREFER_BUSY_POLL) == [[1], [1]]
        assert "interfaces changed; that takes a restart" in fluxpin.log()
        for number, more in enumerate(({"busy_poll_budget": 8}, {"busy_poll_idle": "50us"}), 3):
            seen = len(fluxpin.log())
            assert fluxpin.reload(text(lab, interfaces=[{**interface, **more}])) == number
            assert "interfaces changed; that takes a restart" in fluxpin.log()[seen:], more


def test_on_by_the_command_line(lab):
    """What the file says of it would not count after a restart either; its budget would."""
    interface = {"name": "eth0", "queues": "0-1", "cpus": "0-1", "busy_poll": False}
    fluxpin = Fluxpin(lab, text(lab, interfaces=[interface]), start=False,
                      arguments=["--busy-poll"]).without("-i")
    with fluxpin.start():
        assert options(fluxpin.process.pid, SO_PREFER_BUSY_POLL) == [[1], [1]]
        assert fluxpin.reload(text(lab, interfaces=[{**interface, "busy_poll": True}])) == 2
        assert "takes a restart" not in fluxpin.log()
        changed = {**interface, "busy_poll_budget": 8}
        assert fluxpin.reload(text(lab, interfaces=[changed])) == 3
        assert "interfaces changed; that takes a restart" in fluxpin.log()


@pytest.mark.parametrize("more, is_warned", [
    ({"cpus": "0"}, True), ({"cpus": "0-1"}, False), ({"cpus": "0", "busy_poll_idle": "50us"}, False),
])
def test_shared_cpu(lab, more, is_warned):
    interface = {"name": "eth0", "queues": "0-1", "busy_poll": True, **more}
    fluxpin = Fluxpin(lab, text(lab, interfaces=[interface]), start=False).without("-i")
    with fluxpin.start():
        warning = ("warning: busy polling: the worker of eth0 queue 0 never sleeps, and that of "
                   "eth0 queue 1 has the same CPU, 0: give each one of its own (cpus)")
        assert (warning in fluxpin.log()) == is_warned, fluxpin.log()
    report = doctor(lab.lb, lab.fluxpin, "doctor", "-c", fluxpin.file, "--json")
    found = [each["message"] for each in findings(report, "cpus")]
    assert found == (["2 workers of eth0 share 1 CPU: list one for each (cpus)"]
                     if more["cpus"] == "0" else [])


@pytest.mark.parametrize("number, name", [
    (SO_PREFER_BUSY_POLL, "SO_PREFER_BUSY_POLL"), (SO_BUSY_POLL, "SO_BUSY_POLL"),
    (SO_BUSY_POLL_BUDGET, "SO_BUSY_POLL_BUDGET"),
])
def test_refused(lab, number, name):
    """Whoever asks for it gets it, or a reason; a copying socket is not tried in its place."""
    fluxpin = Fluxpin(lab, text(lab), arguments=["--busy-poll"], start=False)
    done = lab.lb.run([sys.executable, DENIED, "option", str(number), *fluxpin.command],
                      check=False)
    assert done.returncode == 1
    assert (f"error: eth0 queue 0: busy polling: {name} refused: Operation not permitted (needs "
            "CAP_NET_ADMIN)") in done.stderr
    assert done.stderr.count("busy polling: ") == 1, done.stderr
    assert lab.lb.xdp() is None
    # Without busy polling nobody asks for the option.
    fluxpin.command = [sys.executable, DENIED, "option", str(number),
                       *filter(lambda each: each != "--busy-poll", fluxpin.command)]
    with fluxpin.start():
        assert lab.load("http", lab.http_vip, "--requests", 3).result()["failed_count"] == 0


def test_doctor(lab):
    """It looks at an interface that the file has busy polling for, and its command mends it."""
    def examine(**more):
        interface = {"name": "eth0", **more}
        file.write_text(text(lab, interfaces=[interface]))
        return findings(doctor(lab.lb, lab.fluxpin, "doctor", "-c", file, "--json"), "busy_poll")

    file = lab.lb.directory / "busy.conf"
    settings = [f"/sys/class/net/eth0/{name}" for name in SETTINGS]
    before = [lab.lb.output(["cat", each]).strip() for each in settings]
    assert before == ["0", "0"]
    assert examine() == []
    [finding] = examine(busy_poll=True)
    assert finding["severity"] == "warning"
    assert "napi_defer_hard_irqs is 0, gro_flush_timeout 0" in finding["message"]
    try:
        lab.lb.run(["sh", "-c", finding["command"]])
        [finding] = examine(busy_poll=True)
        assert finding["severity"] == "ok" and not finding["command"], finding
        lab.lb.run(["sh", "-c", f"echo 20000000 > {settings[1]}"])
        [finding] = examine(busy_poll=True)
        assert finding["severity"] == "warning" and "20000000 ns" in finding["message"]
        lab.lb.run(["sh", "-c", finding["command"]])
        assert examine(busy_poll=True)[0]["severity"] == "ok"
    finally:
        for path in settings:
            lab.lb.run(["sh", "-c", f"echo 0 > {path}"])
