# SPDX-License-Identifier: BSD-2-Clause
"""fluxpin top in a real terminal (tmux), of 80 columns and 24 lines and of others."""

import re
import uuid

import pytest
from fluxpin import Fluxpin, configuration, http_health_check, pool, vips
from namespaces import wait_until

HEADINGS = {
    "INTERFACE": ["QUEUE", "MODE", "RX/s", "FWD/s", "SLOW/s", "DROP/s", "TABLE%", "FILL%", "LOST/s"],
    "VIP": ["POOL", "SERVING", "PKT/s", "bit/s"],
    "BACKEND": ["STATE", "WEIGHT", "PKT/s", "bit/s", "LATENCY"],
    "DROPPED, BY REASON": ["PKT/s", "PACKETS"],
}


class Terminal:
    """A tmux server of its own, in a namespace, with one command in its one window."""

    def __init__(self, namespace, command, columns=80, lines=24):
        self.namespace = namespace
        self.socket = f"fluxpin-test-{uuid.uuid4().hex[:8]}"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", lines,
                  " ".join(map(str, command)) + "; echo ended $?; exec sleep 600")
        self.tmux("set-option", "-g", "window-size", "manual")

    def tmux(self, *arguments):
        return self.namespace.run(["tmux", "-L", self.socket, *map(str, arguments)]).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p").split("\n")[:-1]

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def resize(self, columns, lines):
        self.tmux("resize-window", "-x", columns, "-y", lines)

    def wait_for(self, pattern, timeout=10):
        """The screen, once the pattern is on it."""

        def look():
            screen = self.screen()
            return screen if re.search(pattern, "\n".join(screen), re.MULTILINE) else None

        try:
            return wait_until(look, timeout, pattern)
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} on\n" + "\n".join(self.screen())) from None

    def close(self):
        self.tmux("kill-server")


@pytest.fixture(scope="module")
def running(lab):
    text = configuration([pool(lab, health_check=http_health_check()),
                          pool(lab, name="quiet", backends=[])],
                         vips(lab) + [{"name": "nobody", "address": "203.0.113.99",
                                       "protocol": "tcp", "port": 80, "pool": "quiet"}])
    with Fluxpin(lab, text) as fluxpin:
        yield fluxpin


@pytest.fixture
def terminal(lab, running):
    opened = Terminal(lab.lb, [lab.fluxpin, "top", "--control", running.control,
                               "--interval", "0.2"])
    yield opened
    opened.close()


def heading_of(screen, first):
    return next(line for line in screen if re.match(rf"[ >]{re.escape(first)} \d+", line))


def test_columns_are_there_and_numbers_move(lab, running, terminal):
    load = lab.load("http", lab.http_vip, "--parallel", 10, "--hold", "--rate", 200)
    load.wait_for_line()
    screen = terminal.wait_for(r"^ ?web +web +3/3 +[1-9]")
    assert len(screen) == 24 and all(len(line) <= 80 for line in screen)
    assert screen[0].startswith("fluxpin 0.") and "generation 1" in screen[0]
    assert re.search(r"in [1-9]\S*/s \S+bit/s  out [1-9]", screen[1])
    assert re.match(r"connections \d+ of ", screen[2])
    for first, rest in HEADINGS.items():
        assert heading_of(screen, first).split()[-len(rest):] == rest
    terminal.wait_for(r"^eth0 +0 +copy +[1-9]")
    for name in ("web-1", "web-2", "web-3"):
        terminal.wait_for(rf"^web/{name} +up +100 +[1-9]\S* +[1-9]\S* +[\d.]+ms")
    assert re.search(r"^nobody +quiet +0/0 +0 +0", "\n".join(screen), re.MULTILINE)
    # Two looks differ: these are rates of now, not of the first look.
    seen = set()
    wait_until(lambda: seen.add(terminal.screen()[1]) or len(seen) > 2, 10, "moving numbers")
    load.go_on()
    assert load.result()["failed_count"] == 0
    terminal.wait_for(r"  out 0/s 0bit/s")


def test_drops_appear_with_their_reason(lab, running, terminal):
    terminal.wait_for("^ DROPPED, BY REASON 0")
    lab.router.ip(f"route add 203.0.113.99/32 via {lab.lb.address}")
    with lab.client.socket() as client:
        client.setblocking(False)
        client.connect_ex(("203.0.113.99", 80))
        terminal.wait_for("^no_backend +[0-9]+ +[1-9]")


def test_keys_and_sizes(running, terminal):
    terminal.wait_for("^>BACKEND 3")
    terminal.press("1")
    terminal.wait_for("^>INTERFACE 2")
    terminal.press("Enter")
    screen = terminal.wait_for(r"(?s)^>INTERFACE 2(?!.*BACKEND)")
    assert sum(line.startswith("eth0") for line in screen) == 2
    terminal.press("Tab")
    terminal.wait_for(r"(?s)^>VIP 3(?!.*INTERFACE)")
    terminal.press("Enter", "h")
    terminal.wait_for("choose a pane")
    terminal.press("h", "p")
    terminal.wait_for("PAUSED")
    terminal.press("p", "3", "s", "s", "s", "s", "s")
    # From packets on: bit/s, latency, name (address is for wide terminals), state, weight, packets.
    terminal.press("S")
    terminal.resize(132, 40)
    screen = terminal.wait_for("ADDRESS")
    assert heading_of(screen, "BACKEND").rstrip().endswith("ADDRESS")
    terminal.resize(40, 8)
    terminal.wait_for(r"\A.{0,40}\n.{0,40}\n")
    terminal.resize(20, 3)
    terminal.resize(80, 24)
    terminal.wait_for("^>BACKEND 3")
    terminal.press("q")
    terminal.wait_for("ended 0")


def test_sorting(running, terminal):
    def names():
        return [line.split()[0] for line in terminal.screen() if line.startswith("web/")]

    terminal.wait_for("^web/web-1")
    terminal.press("s", "s", "s")  # bit/s, latency, name
    wait_until(lambda: names() == ["web/web-1", "web/web-2", "web/web-3"], 10, "sorted by name")
    terminal.press("r")
    wait_until(lambda: names() == ["web/web-3", "web/web-2", "web/web-1"], 10, "reversed")


def test_it_ends_with_the_daemon_and_without_one(own_lab):
    lab = own_lab
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)))
    terminal = Terminal(lab.lb, [lab.fluxpin, "top", "--control", fluxpin.control,
                                 "--interval", "0.2"])
    terminal.wait_for("^>BACKEND 3")
    fluxpin.stop()
    screen = "\n".join(terminal.wait_for("ended 3"))
    assert "control.sock" in screen
    terminal.close()
    terminal = Terminal(lab.lb, [lab.fluxpin, "top", "--control", "/nowhere/control.sock"])
    terminal.wait_for("ended 3")
    terminal.close()


def test_without_a_terminal(lab, running):
    done = lab.lb.run([lab.fluxpin, "top", "--control", running.control], check=False)
    assert done.returncode == 1 and "needs a terminal" in done.stderr
    done = lab.lb.run([lab.fluxpin, "top", "--interval", "0"], check=False)
    assert done.returncode == 2 and "0.1 to 60" in done.stderr
