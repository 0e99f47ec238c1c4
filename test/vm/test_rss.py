# SPDX-License-Identifier: BSD-2-Clause
"""Receive-side scaling over four queues of an igb, which hashes TCP and UDP by their ports, and
fragments and ICMP by their addresses alone. Each packet is accounted for."""

import collections
import socket

import pytest
from capture import Capture
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from vm_lab import VmFluxpin, has_zero_copy, text

QUEUES = 4
FLOWS = 200
ROUNDS = 3
# With so many, not all have the same queue and the same owner of fragments, whatever the card's key.
CLIENTS = range(20, 36)
ROUTERS = range(1, 9)
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0


class Ipv4:
    family = socket.AF_INET
    type = b"\x08\x00"
    clients = [f"198.51.100.{number}" for number in CLIENTS]
    routers = [f"192.0.2.{number}" for number in ROUTERS]
    network = 24

    @staticmethod
    def vip(lab):
        return lab.dns_vip

    @staticmethod
    def error(router, vip, client, port):
        """A router's answer to what the VIP sent to a client: too long."""
        quoted = IP(src=vip, dst=client, flags="DF") / UDP(sport=53, dport=port) / bytes(64)
        return IP(src=router, dst=vip) / ICMP(type=3, code=4, nexthopmtu=1400) / quoted

    @staticmethod
    def quoted(packet):
        """The packet that an error is about; None of others."""
        return IP(packet[28:]) if packet[9] == socket.IPPROTO_ICMP else None


class Ipv6:
    """As Ipv4."""

    family = socket.AF_INET6
    type = b"\x86\xdd"
    clients = [f"fd00:c::{number}" for number in CLIENTS]
    routers = [f"2001:db8:2::{number}" for number in ROUTERS]
    network = 64

    @staticmethod
    def vip(lab):
        return lab.dns_vip_ipv6

    @staticmethod
    def error(router, vip, client, port):
        quoted = IPv6(src=vip, dst=client) / UDP(sport=53, dport=port) / bytes(64)
        return IPv6(src=router, dst=vip) / ICMPv6PacketTooBig(mtu=1400) / quoted

    @staticmethod
    def quoted(packet):
        return IPv6(packet[48:]) if packet[6] == socket.IPPROTO_ICMPV6 else None


FAMILIES = pytest.mark.parametrize("ip", [Ipv4, Ipv6], ids=["ipv4", "ipv6"])


@pytest.fixture(scope="module")
def spread(lab):
    """The lab with four queues that are chosen by ports where there are any."""
    if lab.driver != "igb":
        pytest.skip(f"{lab.driver} has no receive-side scaling here")
    lab.lb.run(["ethtool", "-L", "eth0", "combined", QUEUES])
    for kind in ("udp4", "udp6"):
        lab.lb.run(["ethtool", "-N", "eth0", "rx-flow-hash", kind, "sdfn"])
    addresses = [f"{address}/{ip.network} dev eth0" for ip in (Ipv4, Ipv6) for address in ip.clients]
    lab.client.ip(*(f"addr add {each}" for each in addresses))
    lab.wait_for_carrier()
    yield lab
    lab.client.ip(*(f"addr del {each}" for each in addresses))
    lab.lb.run(["ethtool", "-L", "eth0", "combined", 2])
    lab.wait_for_carrier()


@pytest.fixture(scope="module")
def fluxpin(spread):
    with VmFluxpin(spread, text(spread, "gre", "ipv4"), queues=f"0-{QUEUES - 1}") as started:
        if has_zero_copy(spread):
            assert list(started.metrics().select("fluxpin_worker_zero_copy").values()) == [1] * QUEUES
        yield started


class Growth:
    """What counters grow by from here on."""

    def __init__(self, fluxpin):
        self._fluxpin = fluxpin
        self._before = fluxpin.quiescent()

    def end(self):
        self._after = self._fluxpin.assert_balanced()
        return self

    def __call__(self, name, **labels):
        return self._after.sum(name, **labels) - self._before.sum(name, **labels)

    def worker(self, name):
        return self(f"fluxpin_worker_{name}_packets_total")

    def by_queue(self, name):
        return [self(name, queue=str(queue)) for queue in range(QUEUES)]


def flow(lab, ip, address):
    """A client's socket whose datagrams may be fragmented."""
    client = lab.client.socket(ip.family, socket.SOCK_DGRAM)
    # Always the same flows, so that both backends have some.
    client.bind((address, 20000))
    if ip is Ipv4:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    client.settimeout(120)
    return client


def echo(vip, client, payload):
    """The name of the backend that sent the payload back."""
    client.sendto(payload, (vip, 53))
    name, _, echoed = client.recvfrom(65535)[0].partition(b" ")
    assert echoed == payload
    return name.decode()


@FAMILIES
def test_flows_spread_over_all_workers_and_each_stays_on_one(spread, fluxpin, ip):
    """A flow on two workers would be a new one for both."""
    growth = Growth(fluxpin)
    result = spread.load("udp", ip.vip(spread), "--source-ports", FLOWS, "--rounds", ROUNDS,
                         "--timeout", 60).result()
    growth.end()
    assert result["failed_count"] == 0 and result["moved"] == 0, result
    assert growth("fluxpin_connections") == FLOWS
    assert growth("fluxpin_connection_lookups_total", result="miss") == FLOWS
    assert growth("fluxpin_connection_lookups_total", result="hit") == FLOWS * (ROUNDS - 1)
    assert growth.worker("forwarded") == FLOWS * ROUNDS
    assert growth.worker("dropped") == growth.worker("handed_over") == 0
    assert min(growth.by_queue("fluxpin_connections")) > 0
    assert min(growth.by_queue("fluxpin_worker_forwarded_packets_total")) >= ROUNDS


@FAMILIES
def test_fragments_go_where_their_flow_goes(spread, fluxpin, ip):
    """They arrive on another queue than whole packets of the flow, and one worker owns those of a
    client: others hand them over. That one has no flow on record that began with whole packets, and
    the backends change before it sees the first fragment."""
    vip, growth = ip.vip(spread), Growth(fluxpin)
    clients = [flow(spread, ip, address) for address in ip.clients]
    names = [echo(vip, client, b"whole") for client in clients]
    assert set(names) == {each.name_in_pool for each in spread.backends}
    assert fluxpin.reload(text(spread, "gre", "ipv4", weights=(1, 100)))
    try:
        for client, name in zip(clients, names):
            for size in (4000, 3000):
                assert echo(vip, client, bytes(size)) == name
            client.close()
    finally:
        assert fluxpin.reload(text(spread, "gre", "ipv4"))
    growth.end()
    assert growth.worker("forwarded") == len(CLIENTS) * (1 + 3 + 3)
    assert growth.worker("dropped") == 0
    # Each may come to another worker than its owner; the first one goes round once.
    assert 0 < growth.worker("handed_over") <= len(CLIENTS) * (6 + QUEUES)
    assert growth("fluxpin_fragments_held") == growth("fluxpin_fragment_datagrams") == 0


@FAMILIES
def test_icmp_errors_go_to_the_backend_of_their_flow(spread, fluxpin, ip):
    """From routers, by whose addresses the queue is chosen, about flows that would be another
    backend's if they were new: only the worker that has one on record knows."""
    vip, addresses = ip.vip(spread), {each.name_in_pool: each.address for each in spread.backends}
    clients = [flow(spread, ip, address) for address in ip.clients]
    backends = {client.getsockname()[:2]: addresses[echo(vip, client, b"x")] for client in clients}
    assert set(backends.values()) == set(addresses.values())
    assert fluxpin.reload(text(spread, "gre", "ipv4", weights=(1, 100)))
    growth = Growth(fluxpin)
    try:
        with Capture(spread.router, "lb") as capture:
            link = Ether(src=spread.router.mac("lb"), dst=spread.lb.mac())
            for address, port in backends:
                spread.router.send_frames("lb", *(link / ip.error(router, vip, address, port)
                                                  for router in ip.routers))
            growth.end()
    finally:
        assert fluxpin.reload(text(spread, "gre", "ipv4"))
    found = collections.defaultdict(collections.Counter)
    for client in clients:
        client.close()
    for _, frame in capture.frames:
        # GRE over IPv4, and in it an ICMP error.
        if frame[12:14] == Ipv4.type and frame[23] == socket.IPPROTO_GRE and frame[36:38] == ip.type:
            outer, quoted = IP(frame[14:34]), ip.quoted(frame[38:])
            if quoted:
                found[quoted.dst, quoted.dport][outer.dst] += 1
    count = len(CLIENTS) * len(ROUTERS)
    assert growth.worker("forwarded") == count and growth.worker("dropped") == 0
    assert found == {flow: {backend: len(ROUTERS)} for flow, backend in backends.items()}
    assert 0 < growth.worker("handed_over") < count * (QUEUES - 1)


def test_answers_to_the_host_itself_come_by_every_queue(spread, fluxpin):
    """Connections of the load balancer's own, to a backend: the slow path of any worker serves."""
    growth = Growth(fluxpin)
    address = f"http://{spread.backends[0].address}:8080/id?[1-20]"
    answers = spread.lb.output(["curl", "-s", "-m", "120", "-H", "Connection: close", address])
    growth.end()
    assert answers.split() == ["web-1"] * 20
    assert growth.worker("slow_path") >= 20 * 4
    assert growth.worker("forwarded") == growth.worker("dropped") == 0
    assert sum(count > 0 for count in
               growth.by_queue("fluxpin_worker_slow_path_packets_total")) > 1
