# SPDX-License-Identifier: BSD-2-Clause
"""A generator of packets, what forwards them, and the wire between them: two namespaces.

    generator ─────────── lb        10.0.0.1, 10.0.0.5

The backends' addresses are neighbours with the generator's own MAC address, so encapsulated packets
come back to it on the same wire. The generator has CPU 0 and what forwards CPU 1. On veth the kernel
runs the receiving side of a frame on the CPU that sent it: so CPU 0 pays for the way to the other
side's socket, and CPU 1 for the way back as far as the generator's counting. On cards, each side's
interrupts are on its CPU.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "test/lab"), str(ROOT / "test/vm")]

import card  # noqa: E402 (needs the path)
from fluxpin import DEFAULT_METRICS_INTERVAL, Fluxpin, configuration  # noqa: E402 (needs the path)
from lab import OFFLOADS  # noqa: E402
from namespaces import PATIENCE, stop  # noqa: E402
from vm_lab import MTU, VmLab, wait_for_carrier  # noqa: E402

BENCH = pathlib.Path(
    os.environ.get("FLUXPIN_BENCH", ROOT / "build/release/test/bench/fluxpin-bench")
).resolve()
GENERATOR_CPU, FORWARDER_CPU = 0, 1
VIP, PORT = "203.0.113.53", 53
SOURCE = "10.0.0.5"
BACKENDS = [f"10.0.0.{11 + i}" for i in range(10)]


class Wire(VmLab):
    """The namespaces `generator` and `lb`, and their eth0, with one queue each.

    driver: veth, or that of the virtual machine's cards (igb, virtio_net).
    pair: which of its pairs of cards, from 0.
    """

    def __init__(self, driver, pair=0):
        super().__init__(driver, ipv6=False, servers=False, pair=pair)

    def _build(self):
        self.directory.mkdir()
        self.generator, self.lb = self._namespace("generator"), self._namespace("lb")
        if self.driver == "veth":
            self._build_veth()
        else:
            self._take_cards()
        self.generator.ip("addr add 10.0.0.1/24 dev eth0")
        mac = self.generator.mac().hex(":")
        self.lb.ip(
            f"addr add {SOURCE}/24 dev eth0",
            *(f"neigh add {each} lladdr {mac} dev eth0 nud permanent" for each in BACKENDS),
        )

    def _build_veth(self):
        queues = "numrxqueues 1 numtxqueues 1"
        self.generator.ip(f"link add eth0 {queues} mtu {MTU} type veth"
                          f" peer name eth0 netns {self.lb.name} {queues} mtu {MTU}")
        for namespace in self.namespaces:
            namespace.ip("link set eth0 up")
            namespace.run(["ethtool", "-K", "eth0", *OFFLOADS])

    def _take_cards(self):
        for side, namespace in (("router", self.generator), ("lb", self.lb)):
            self._take_card(side, namespace, "eth0")
            namespace.run(["ethtool", "-L", "eth0", "combined", "1"], check=False)

    def settle(self):
        """To be called when something has started on it, for which cards are set up anew."""
        for namespace, cpu in ((self.generator, GENERATOR_CPU), (self.lb, FORWARDER_CPU)):
            wait_for_carrier(namespace, "eth0")
            if self.driver != "veth":
                card.pin(namespace, "eth0", [cpu])

    def traffic(self, flows, seconds, rate=0, window=0, warm_up=0.2):
        """Sends packets of so many flows, at a rate, in a window, or as many as can be sent; returns
        what fluxpin-bench traffic found."""
        how = ["--rate", rate] if rate else ["--window", window] if window else []
        return json.loads(self.generator.output(
            [BENCH, "traffic", "-i", "eth0", "--mac", self.lb.mac().hex(":"), "--vip", VIP,
             "--port", PORT, "--flows", flows, "--seconds", seconds, "--warm-up", warm_up,
             "--cpu", GENERATOR_CPU, "--json", *how], timeout=seconds + 60))


# What forwards. Each is a context, in which `process` runs, and `pid` is what does the work of its
# packets; then `totals` says what it counted: received, forwarded.


class FluxpinForwarder:
    """fluxpin with one pool of ten backends."""

    def __init__(self, wire, mode, encapsulation):
        self.wire = wire
        pool = {"name": "pool", "encapsulation": encapsulation,
                "backends": [{"address": each} for each in BACKENDS]}
        vip = {"name": "vip", "address": VIP, "protocol": "udp", "port": PORT, "pool": "pool"}
        # Between two turns no flow is forgotten.
        text = configuration([pool], [vip], source_address={"ipv4": SOURCE},
                             connections={"udp_idle": "1h"})
        self.fluxpin = Fluxpin(wire, text, mode=mode, queues="0", cpus=FORWARDER_CPU, bpffs=False,
                               interval=DEFAULT_METRICS_INTERVAL, start=False)
        self.totals = {}

    def __enter__(self):
        self.fluxpin.start(60)
        self.process = self.fluxpin.process
        self.pid = self.process.pid
        self.wire.settle()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.fluxpin.log(), file=sys.stderr)
            stop(self.fluxpin.process)
            return
        self.fluxpin.stop()
        (self.totals,) = self.fluxpin.totals().values()


class Echo:
    """fluxpin-bench echo, by AF_XDP or, with the mode "kernel", XDP_TX."""

    def __init__(self, wire, mode):
        self.wire, self.mode, self.more = wire, mode, []
        self.totals = {}

    def __enter__(self):
        self.process = self.wire.lb.popen(
            [BENCH, "echo", "-i", "eth0", "--mode", self.mode, "--cpu", FORWARDER_CPU,
             "--frame-size", 4096 if self.wire.driver == "igb" else 2048, "--json", *self.more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.process.pid
        line = self.process.stderr.readline()
        if not line.endswith(": ready\n"):
            raise RuntimeError(line + self.process.stderr.read())
        self.wire.settle()
        if self.mode == "kernel" and self.wire.driver == "veth":
            threads = napi_threads()
            self._use_threads(1)
            (self.pid,) = napi_threads() - threads
            subprocess.run(["taskset", "-pc", str(FORWARDER_CPU), str(self.pid)], check=True,
                           stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, kind, *_):
        if self.pid != self.process.pid:
            self._use_threads(0)
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=30 * PATIENCE)
        if kind is None and self.process.returncode != 0:
            raise RuntimeError(errors)
        if kind is None and self.mode != "kernel":
            self.totals = json.loads(output)
            self.totals["forwarded"] = self.totals["sent"]

    def _use_threads(self, value):
        """XDP_TX has no thread of its own, so on veth the kernel's receiving gets one on the CPU
        that is for forwarding. There is something to receive only with a program attached."""
        self.wire.lb.run(["sh", "-c", f"echo {value} >/sys/class/net/eth0/threaded"])


def napi_threads():
    """The kernel's threads that receive for a device named eth0."""
    found = set()
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if re.match(r"napi/eth0", path.read_text()):
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found
