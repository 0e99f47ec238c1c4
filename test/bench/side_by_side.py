# SPDX-License-Identifier: BSD-2-Clause
"""Two load balancers in turn at the same place in the virtual machine, and what is sent by them.

    client, router ─────────── lb        the topology of test/lab/lab.py, on two cards
       │
    b1, b2                               backends with the kernel's own tunnel devices and nginx

The generator of packets and the counting of what comes back are on the router's card (fluxpin-bench
traffic), where everything to the backends arrives: so what the router, the backends and their
sockets cost is in no packet rate. HTTP goes all the way, from the client to the backends' nginx.

The router's interrupts and the generator are on CPU 0. With one queue, the load balancer's interrupts
and fluxpin's worker have CPU 1 for themselves; with two queues they have both CPUs.
"""

import contextlib
import json
import os
import pathlib

import card
from fluxpin import DEFAULT_METRICS_INTERVAL
from ipvs import Ipvs
from vm_lab import VmFluxpin, VmLab, text

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = pathlib.Path(
    os.environ.get("FLUXPIN_BENCH", ROOT / "build/release/test/bench/fluxpin-bench")
).resolve()
GENERATOR_CPU = 0
CPUS = {1: [1], 2: [0, 1]}  # of the load balancer, by its queues
BACKENDS = 2
WARM_UP = 0.3
HTTP_SECONDS = 2
HTTP_PARALLEL = 16


class SideBySide(VmLab):
    """The lab for it. queues: of the load balancer's card; usecs: how far apart its interrupts are,
    or None for what the driver does by itself."""

    def __init__(self, driver, queues, usecs=None):
        super().__init__(driver, backends=BACKENDS, ipv6=False, vlan=False)
        self.card_queues, self.usecs = queues, usecs

    def _build(self):
        super()._build()
        self.lb.run(["ethtool", "-L", "eth0", "combined", self.card_queues], check=False)
        self.router.run(["ethtool", "-L", "lb", "combined", 1], check=False)
        if self.driver == "igb":
            # Without ports in the hash, all flows of a client have the same queue.
            self.lb.run(["ethtool", "-N", "eth0", "rx-flow-hash", "udp4", "sdfn"])
        if self.usecs is not None:
            self.lb.run(["ethtool", "-C", "eth0", "rx-usecs", self.usecs])
        self.wait_for_carrier()

    def settle(self):
        """To be called when cards may have been set up anew."""
        self.wait_for_carrier()
        card.pin(self.lb, "eth0", CPUS[self.card_queues])
        card.pin(self.router, "lb", [GENERATOR_CPU])

    def traffic(self, flows, seconds, rate=0):
        """64-byte frames of so many flows, of UDP to the DNS VIP."""
        self.settle()
        return json.loads(self.router.output(
            [BENCH, "traffic", "-i", "lb", "--mac", self.lb.mac().hex(":"), "--vip", self.dns_vip,
             "--flows", flows, "--seconds", seconds, "--rate", rate, "--cpu", GENERATOR_CPU,
             # The first packets of a process are no measure.
             "--warm-up", WARM_UP, "--json"], timeout=seconds + 60))

    def requests(self, *arguments):
        """HTTP requests of the client, over new connections."""
        return json.loads(self.client.output(
            [BENCH, "requests", "--address", self.http_vip, "--json", *arguments]))

    def wait_for_service(self):
        """The way to the backends is open again after a card was down, and known to everybody."""
        self.settle()
        for backend in self.backends:
            self.lb.run(["ping", "-c", "1", "-W", "5", backend.address])
        self.requests("--rate", 50, "--seconds", 0.5)


class FluxpinBalancer(VmFluxpin):
    """fluxpin, zero-copy, as it is without options."""

    def __init__(self, lab, tunnel):
        cpus = CPUS[lab.card_queues]
        super().__init__(lab, text(lab, tunnel, "ipv4"), mode="zerocopy",
                         queues=f"0-{lab.card_queues - 1}", cpus=f"{cpus[0]}-{cpus[-1]}",
                         interval=DEFAULT_METRICS_INTERVAL, start=False)

    def __enter__(self):
        return self.start()

    def taken(self):
        """Packets to VIPs so far."""
        return self.quiescent().sum("fluxpin_vip_packets_total")


class IpvsBalancer(Ipvs):
    """IPVS, on a card that is left as fast for it as it can be."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            # Merging is tried for every packet, in vain: requests are short, datagrams are not
            # merged.
            self._run("ethtool -K eth0 gro off")
            stack.callback(self._run, "ethtool -K eth0 gro on")
            # A queue without a lock, and by-passed while it is empty; fluxpin has none at all.
            self._run("tc qdisc replace dev eth0 root handle 1: mq")
            stack.callback(self._run, "tc qdisc del dev eth0 root")
            for queue in range(1, self.lab.card_queues + 1):
                self._run(f"tc qdisc replace dev eth0 parent 1:{queue} pfifo_fast")
            super().__enter__()
            stack.callback(super().__exit__, None, None, None)
            self.lab.wait_for_carrier()
            # The router is a neighbour before the first packet, as it is for fluxpin.
            self._run(f"ping -c 1 -W 5 {self.lab.backends[0].address}")
            self._before = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._before.__exit__(*exception)

    def _run(self, command):
        self.namespace.run(command.split())

    def taken(self):
        """Packets to VIPs so far."""
        return self.packets()


BALANCERS = {"fluxpin": FluxpinBalancer, "ipvs": IpvsBalancer}


def check(name, tunnel, results, taken):
    """What came back was in the tunnel that was asked for, nothing came twice, and it is what the
    load balancer has taken, or less: frames may be lost behind it, too."""
    for each in results:
        if each["lost"] < 0 or each["received"] == 0 or (
                each["received_as"][tunnel] != each["received"]):
            raise SystemExit(f"{name}: {each}")
    received = sum(each["received"] for each in results)
    if received > taken:
        raise SystemExit(f"{name}: {received} packets came back of {taken} that it has taken")


def measure_one(lab, name, options):
    """Everything that is measured of one load balancer in one round, from its start to its end."""
    results = {"saturation": {}, "rate": {}}
    with BALANCERS[name](lab, options.tunnel) as balancer:
        for flows in options.flows:
            results["saturation"][str(flows)] = lab.traffic(flows, options.seconds)
        for rate in options.rates:
            results["rate"][str(rate)] = lab.traffic(options.flows[-1], options.seconds, rate)
        check(name, options.tunnel,
              [*results["saturation"].values(), *results["rate"].values()], balancer.taken())
        lab.wait_for_service()
        results["http"] = {
            "rate": lab.requests("--rate", options.http_rate, "--seconds", HTTP_SECONDS),
            "saturation": lab.requests("--parallel", HTTP_PARALLEL, "--seconds", HTTP_SECONDS),
        }
    return results
