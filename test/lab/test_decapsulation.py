# SPDX-License-Identifier: BSD-2-Clause
"""Encapsulated ingress: the router sends the VIPs in a tunnel to the load balancer's own address."""

import contextlib
import pathlib
import socket
import subprocess

import pytest
from curl import get, upload
from fluxpin import Fluxpin, configuration, pool
from lab import Lab
from namespaces import stop
from test_slow_path import tcp_exchange

KINDS = ["gre", "ipip", "gue"]
ROUTER = {"ipv4": "10.0.0.1", "ipv6": "fd00::1"}
UNLISTED = {"ipv4": "10.0.0.77", "ipv6": "fd00::77"}
DEVICE = "tunnel"
ALL_QUEUES = {"queues": "0-3", "cpus": "0-1"}
SLOW_PATHS = pytest.mark.parametrize("slow_path", ["tap", "pass"])


@pytest.fixture(scope="module")
def lab():
    with Lab(ipv6=True) as built:
        built.router.ip(f"addr add {UNLISTED['ipv4']}/24 dev lb",
                        f"addr add {UNLISTED['ipv6']}/64 dev lb")
        yield built


def own_address(lab, outer):
    return lab.lb.address if outer == "ipv4" else lab.lb.ipv6_address


@contextlib.contextmanager
def tunnel(lab, kind, outer, sources=ROUTER):
    """The router's VIPs go into a tunnel of that kind; afterwards as usual."""
    script = pathlib.Path(__file__).with_name("tunnel.py")
    process = lab.router.popen(
        ["/usr/bin/python3", script, DEVICE, kind, sources[outer], own_address(lab, outer)],
        stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "ready\n"
        lab.router.ip(f"link set {DEVICE} mtu 1500 up",
                      *(f"route replace {vip} dev {DEVICE}" for vip in lab.vips))
        yield
    finally:
        stop(process)
        lab.route_vips([lab.lb])


def text(lab, **more):
    services = [{"name": f"{name}{version}", "address": address, "protocol": protocol,
                 "port": port, "pool": "web"}
                for name, protocol, port, addresses in (
                    ("web", "tcp", 80, (lab.http_vip, lab.http_vip_ipv6)),
                    ("dns", "udp", 53, (lab.dns_vip, lab.dns_vip_ipv6)))
                for version, address in zip((4, 6), addresses)]
    source = {"ipv4": lab.lb.address, "ipv6": lab.lb.ipv6_address}
    # Lists of strings, which libconfig tells from arrays.
    lists = f'decapsulation = {{ sources = ( "{ROUTER["ipv4"]}", "{ROUTER["ipv6"]}" ); }};\n'
    return lists + configuration([pool(lab)], services, source_address=source, **more)


@SLOW_PATHS
@pytest.mark.parametrize("outer", ROUTER)
@pytest.mark.parametrize("kind", KINDS)
def test_servers_answer_what_came_in_a_tunnel(lab, kind, outer, slow_path):
    with Fluxpin(lab, text(lab, slow_path=slow_path), **ALL_QUEUES) as fluxpin, tunnel(lab, kind, outer):
        for vip in (lab.http_vip, lab.http_vip_ipv6):
            answers = get(lab, vip, 30)
            assert set(answers) <= {"web-1", "web-2", "web-3"} and len(answers) > 1, answers
            assert answers.total() == 30
            assert upload(lab, vip, 1000000)
        assert lab.load("udp", lab.dns_vip, "--source-ports", 20).result()["failed_count"] == 0
        metrics = fluxpin.assert_balanced()
        came = metrics.sum("fluxpin_worker_decapsulated_packets_total")
        assert came > 1000
        assert came == metrics.sum("fluxpin_vip_packets_total")
        assert came == metrics.sum("fluxpin_worker_forwarded_packets_total")
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0


class Kernel:
    """A raw socket of the load balancer's own kernel, for GRE."""

    def __init__(self, lab, outer):
        self.header = 20 if outer == "ipv4" else 0  # which the kernel gives along, of IPv4 alone
        self.socket = lab.lb.socket(socket.AF_INET if outer == "ipv4" else socket.AF_INET6,
                                    socket.SOCK_RAW, 47)
        self.socket.settimeout(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self, source, destination):
        """Waits for a tunnel packet with an IPv4 packet inside between these addresses."""
        ends = socket.inet_aton(source) + socket.inet_aton(destination)
        while True:
            gre = self.socket.recv(2048)[self.header :]
            if gre[:4] == b"\0\0\x08\0" and gre[4 + 12 : 4 + 20] == ends:
                return


@SLOW_PATHS
@pytest.mark.parametrize("outer", ROUTER)
def test_an_unlisted_source_is_the_kernels(lab, outer, slow_path):
    plain = text(lab, slow_path=slow_path)
    with Fluxpin(lab, plain, **ALL_QUEUES) as fluxpin, tunnel(lab, "gre", outer, UNLISTED):
        with Kernel(lab, outer) as kernel:
            assert not get(lab, lab.http_vip, 1, timeout=1)
            kernel.receive(lab.client.address, lab.http_vip)
        metrics = fluxpin.assert_balanced()
        assert (metrics.sum("fluxpin_worker_slow_path_packets_total") > 0) == (slow_path == "tap")
        for none in ("decapsulated_packets", "forwarded_packets", "dropped_packets"):
            assert metrics.sum(f"fluxpin_worker_{none}_total") == 0
        # Listed from the next reload on, without a restart, and no longer after another.
        both = plain.replace('"10.0.0.1"', '"10.0.0.0/24"').replace('"fd00::1"', '"fd00::/64"')
        assert fluxpin.reload(both)
        assert get(lab, lab.http_vip, 5).total() == 5
        assert fluxpin.reload(plain)
        with Kernel(lab, outer) as kernel:
            assert not get(lab, lab.http_vip, 1, timeout=1)
            kernel.receive(lab.client.address, lab.http_vip)
        # Nor when no tunnel ends here any more.
        assert fluxpin.reload(plain.partition("\n")[2])
        with Kernel(lab, outer) as kernel:
            assert not get(lab, lab.http_vip, 1, timeout=1)
            kernel.receive(lab.client.address, lab.http_vip)


@SLOW_PATHS
def test_a_tunnel_with_something_else_is_the_kernels(lab, slow_path):
    """From a listed source, but what is inside is for no VIP: the kernel gets the whole frame."""
    plain = text(lab, slow_path=slow_path)
    with Fluxpin(lab, plain, **ALL_QUEUES) as fluxpin, tunnel(lab, "gre", "ipv4"):
        lab.router.ip(f"route add 192.0.2.7/32 dev {DEVICE}")
        with Kernel(lab, "ipv4") as kernel:
            lab.client.run(["ping", "-c", "1", "-W", "1", "192.0.2.7"], check=False)
            kernel.receive(lab.client.address, "192.0.2.7")
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_decapsulated_packets_total") == 0
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0


def echo(server, address, port, client):
    """A datagram from one namespace to another, and back."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server.socket(family, socket.SOCK_DGRAM) as listener, \
            client.socket(family, socket.SOCK_DGRAM) as sender:
        listener.bind((address, port))
        listener.settimeout(5)
        sender.settimeout(5)
        sender.sendto(b"flux", (address, port))
        data, sender_address = listener.recvfrom(16)
        listener.sendto(data, sender_address)
        assert sender.recv(16) == b"flux"


@SLOW_PATHS
def test_the_hosts_own_traffic_to_the_same_address(lab, slow_path):
    """Ping, TCP and UDP to where the tunnels end, from where they come from too; UDP to the tunnels'
    own port from others."""
    with Fluxpin(lab, text(lab, slow_path=slow_path), **ALL_QUEUES) as fluxpin, \
            tunnel(lab, "gue", "ipv4"):
        for address in (lab.lb.address, lab.lb.ipv6_address):
            for client in (lab.router, lab.client):
                client.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", address])
                tcp_exchange(lab.lb, address, client)
                echo(lab.lb, address, 5353, client)
            echo(lab.lb, address, 6080, lab.client)
        assert get(lab, lab.http_vip, 10).total() == 10
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        if slow_path == "pass":
            assert metrics.sum("fluxpin_worker_received_packets_total") == metrics.sum(
                "fluxpin_worker_decapsulated_packets_total") > 0


@pytest.mark.parametrize("mode", ["copy", "skb"])
def test_tunnels_in_each_mode_of_xdp(lab, mode):
    plain = text(lab, slow_path="pass")
    with Fluxpin(lab, plain, mode=mode, **ALL_QUEUES) as fluxpin, tunnel(lab, "gre", "ipv6"):
        assert get(lab, lab.http_vip_ipv6, 10).total() == 10
        assert fluxpin.assert_balanced().sum("fluxpin_worker_decapsulated_packets_total") > 0
