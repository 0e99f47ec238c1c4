# SPDX-License-Identifier: BSD-2-Clause
"""The lab of namespaces with network cards of the virtual machine in it.

The load balancer's eth0 and its peer in the router are two cards of one driver (see
test/vm/host/machine.py); everything else is as in test/lab/lab.py. Backends take tunnels apart with
the kernel's own devices:

    GRE over IPv4, IPv6         ip_gre, ip6_gre
    IPv4, IPv6 in IPv4          ipip, sit
    IPv4, IPv6 in IPv6          ip6_tunnel
    GUE, to UDP port 6080       fou and fou6, then as without UDP

The second backend has its addresses on a VLAN device.
"""

import collections
import json
import socket
import subprocess

from curl import get
from fluxpin import Fluxpin, configuration, pool
from lab import OFFLOADS, Lab
from namespaces import KERNEL, wait_until
from traffic import Traffic

# What the last two bytes of a card's MAC address say, as test/vm/host/machine.py gives them.
DRIVERS = {"igb": 1, "virtio_net": 2}
SIDES = {"lb": 1, "router": 2}
CARRIER_TIMEOUT = 60  # igb takes its link down for seconds, in emulated time
MTU = 1600
VLAN = 100
# All to one of two backends of the same weight: once in eight million times.
REQUESTS = 24

TUNNELS = (
    "link add gre4 type gre local {ipv4}",
    "link add gre6 type ip6gre local {ipv6}",
    "link add ipip4 type ipip local {ipv4}",
    "link add sit4 type sit local {ipv4}",
    "link add tunnel6 type ip6tnl mode any local {ipv6}",
    "fou add port 6080 gue",
    "-6 fou add port 6080 gue",
)

# The devices that take an encapsulation apart, over this outer family: IPv4 and IPv6 inside.
TUNNEL_DEVICES = {
    ("gre", "ipv4"): {"gre4"},
    ("gre", "ipv6"): {"gre6"},
    ("ipip", "ipv4"): {"ipip4", "sit4"},
    ("ipip", "ipv6"): {"tunnel6"},
    ("gue", "ipv4"): {"ipip4", "sit4"},
    ("gue", "ipv6"): {"tunnel6"},
}

# The first kernels whose drivers have AF_XDP zero-copy.
ZERO_COPY_SINCE = {"igb": (6, 14), "virtio_net": (6, 13)}


def has_zero_copy(lab):
    return KERNEL >= ZERO_COPY_SINCE[lab.driver]


def find_card(driver, side, pair):
    """The name of a card in the machine's own namespace, or None while it is not there."""
    mac = f"52:54:00:f1:{DRIVERS[driver]:02}:{2 * pair + SIDES[side]:02}"
    links = json.loads(subprocess.run(["ip", "-j", "link", "show"], check=True,
                                      capture_output=True, text=True).stdout)
    return next((link["ifname"] for link in links if link["address"] == mac), None)


def wait_for_carrier(namespace, name):
    wait_until(lambda: "LOWER_UP" in namespace.ip_json(f"link show {name}")[0]["flags"],
               CARRIER_TIMEOUT, f"carrier of {name} in {namespace.role}", 0.2)


class VmLab(Lab):
    """A Lab whose load balancer has a card of `driver`.

    tunnels: whether the backends' kernels decapsulate; without, `endpoint` says what does.
    vlan: whether the second backend's addresses are on a VLAN device.
    pair: which pair of cards of this driver, from 0; tests have one.
    """

    def __init__(self, driver, tunnels=True, vlan=True, pair=0, **more):
        self.driver = driver
        self._pair = pair
        self._tunnels = tunnels
        self._vlan = vlan
        super().__init__(**{"ipv6": True, "endpoint": None, **more})

    def _link(self, namespace, router_interface, mtu, **more):
        if namespace.role != "lb":
            super()._link(namespace, router_interface, mtu, **more)
            return
        self._take_card("lb", namespace, "eth0")
        self._take_card("router", self.router, router_interface)

    def _take_card(self, side, namespace, name):
        """Moves a card into a namespace; the kernel gives it back when that is removed."""
        card = wait_until(lambda: find_card(self.driver, side, self._pair), 30,
                          f"{self.driver} of {side}")
        subprocess.run(["ip", "link", "set", card, "down"], check=True)
        subprocess.run(["ip", "link", "set", card, "netns", namespace.name, "name", name],
                       check=True)
        namespace.ip(f"link set {name} mtu {MTU} up")
        if side == "router":
            # What it sends and counts is as on a wire.
            namespace.run(["ethtool", "-K", name, *OFFLOADS])

    def _build_backend(self, number):
        super()._build_backend(number)
        backend = self.backends[-1]
        if number == 2 and self._vlan:
            self._move_to_vlan(backend)
        if self._tunnels:
            for line in TUNNELS:
                line = line.format(ipv4=backend.address, ipv6=backend.ipv6_address)
                backend.run(["ip", *line.split()])
                if line.startswith("link add"):
                    backend.ip(f"link set {line.split()[2]} up")

    def _move_to_vlan(self, backend):
        port, vlan = backend.router_port, f"{backend.router_port}.{VLAN}"
        self.router.ip(
            f"link set {port} nomaster",
            f"link add link {port} name {vlan} type vlan id {VLAN}",
            f"link set {vlan} addrgenmode none",
            f"link set {vlan} master br0",
            f"link set {vlan} up",
        )
        # The tag is in the frame, not beside it.
        self.router.run(["ethtool", "-K", port, "txvlan", "off"])
        backend.interface = f"eth0.{VLAN}"
        backend.ip(
            # Its routes go with it.
            "link set eth0 down",
            "addr flush dev eth0",
            "link set eth0 up",
            f"link add link eth0 name {backend.interface} type vlan id {VLAN}",
            f"link set {backend.interface} up",
            *self._addresses(backend.interface, f"{backend.address}/24",
                             f"{backend.ipv6_address}/64"),
            *self._gateway("10.1.0.1", "fd00:1::1", "mtu 1500"),
        )

    def take_card_again(self):
        """After the driver of the load balancer's card was taken off and put back."""
        self._take_card("lb", self.lb, "eth0")
        self.restore_addresses()

    def restore_addresses(self):
        """Those of the load balancer, and its routes: the kernel drops IPv6 addresses and the ways
        out with a link that goes down."""
        self.lb.ip(
            *self._addresses("eth0", f"{self.lb.address}/24", f"{self.lb.ipv6_address}/64"),
            *self._gateway("10.0.0.1", "fd00::1"),
        )

    def end_connections(self):
        """Ends what earlier tests left: of a connection that lost its packets or its backend, both
        sides send again for minutes, and the client answers what it no longer knows."""
        for namespace in (self.client, *self.backends):
            left = namespace.output(["ss", "-H", "-n", "-t", "-K", "state", "connected",
                                     "exclude", "time-wait"])
            print(f"ended in {namespace.role}:\n{left}" if left else "", end="")

    def wait_for_carrier(self):
        """The cards' links come up seconds after fluxpin has taken their queues."""
        wait_for_carrier(self.lb, "eth0")
        wait_for_carrier(self.router, "lb")

    def tunnel_packets(self):
        """{device: packets that the backends' devices of that name took apart}."""
        found = collections.Counter()
        for backend in self.backends:
            statistics = backend.statistics()
            for device in set().union(*TUNNEL_DEVICES.values()):
                found[device] += statistics[device]["rx"]["packets"]
        return found

    def udp_packets(self):
        """UDP packets that sockets of the backends took, whatever is in them: also those of fou."""
        command = ["awk", '$1 == "Udp:" {print $2} $1 == "Udp6InDatagrams" {print $2}',
                   "/proc/net/snmp", "/proc/net/snmp6"]
        return sum(int(value) for backend in self.backends
                   for value in backend.output(command).split() if value.isdigit())

    def send_long_datagrams(self, count):
        """UDP to the DNS VIP in IPv4 packets of 1400 bytes without DF."""
        with self.client.socket(kind=socket.SOCK_DGRAM) as sender:
            # IP_MTU_DISCOVER and IP_PMTUDISC_DONT of linux/in.h
            sender.setsockopt(socket.IPPROTO_IP, 10, 0)
            sender.settimeout(60)
            for _ in range(count):
                sender.sendto(bytes(1372), (self.dns_vip, 53))
            # Answers to a socket that is gone would be reported to the VIP.
            for _ in range(count):
                sender.recv(2000)


class VmFluxpin(Fluxpin):
    """fluxpin on a card; started when the link is up again."""

    def start(self, timeout=60):
        self.lab.end_connections()
        super().start(timeout)
        self.lab.wait_for_carrier()
        # Backends need a neighbour, which could not be asked for while there was no link.
        self.lab.lb.run(["ping", "-c", "1", "-W", "5", self.lab.backends[0].address])
        return self


def text(lab, encapsulation, outer, weights=(), **more):
    """A configuration: the HTTP and DNS VIPs to a pool of backends of the outer family."""
    backends = [
        {"name": each.name_in_pool,
         "address": each.ipv6_address if outer == "ipv6" else each.address}
        for each in lab.backends
    ]
    for backend, weight in zip(backends, weights):
        backend["weight"] = weight
    vips = [
        {"name": "web4", "address": lab.http_vip, "protocol": "tcp", "port": 80, "pool": "web"},
        {"name": "web6", "address": lab.http_vip_ipv6, "protocol": "tcp", "port": 80,
         "pool": "web"},
        {"name": "dns4", "address": lab.dns_vip, "protocol": "udp", "port": 53, "pool": "web"},
        {"name": "dns6", "address": lab.dns_vip_ipv6, "protocol": "udp", "port": 53,
         "pool": "web"},
    ]
    source = {"ipv4": lab.lb.address, "ipv6": lab.lb.ipv6_address}
    web = pool(lab, backends=backends, encapsulation=encapsulation)
    return configuration([web], vips, **{"source_address": source, **more})


def traffic(lab):
    """As much as an emulated CPU can take besides."""
    return Traffic(lab, parallel=2, rate=20, timeout=5)


def wait_until_forwarded(lab, fluxpin):
    """Packets of the traffic that goes on; before, something happened to the card."""

    def forwarded(metrics):
        return metrics.sum("fluxpin_worker_forwarded_packets_total")

    lab.wait_for_carrier()
    lab.restore_addresses()
    before = forwarded(fluxpin.wait_for_metrics())
    fluxpin.wait_for(lambda now: forwarded(now) > before, 30, "forwarded packets")


def assert_serves(lab, fluxpin, workers=2):
    """After something happened to the card, and without traffic: in the same mode, without a frame
    lost."""
    lab.wait_for_carrier()
    lab.restore_addresses()
    wait_until(lambda: lab.client.run(["ping", "-c", "1", "-W", "2", lab.lb.address],
                                      check=False).returncode == 0, 30, "answer of the host")
    wait_until(lambda: len(get(lab, lab.http_vip, 10)) == 2, 30, "answers of both backends")
    assert get(lab, lab.http_vip, 10).total() == 10
    metrics = fluxpin.assert_balanced()
    zero_copy = metrics.select("fluxpin_worker_zero_copy")
    assert len(zero_copy) == workers and set(zero_copy.values()) == {int(has_zero_copy(lab))}
    assert metrics.sum("fluxpin_xsk_tx_invalid_total") == 0
