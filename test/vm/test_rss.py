# SPDX-License-Identifier: BSD-2-Clause
"""Receive-side scaling over four queues of an igb, which hashes TCP and UDP by their ports, and
fragments and ICMP by their addresses alone. Each packet is accounted for."""

import collections
import itertools
import socket

import pytest
from capture import Capture
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from vm_lab import VmFluxpin, has_zero_copy, text

QUEUES = 4
FLOWS = 200
ROUNDS = 3
# With so many, not all have the same queue and the same owner of fragments, whatever the card's key.
CLIENTS = [f"198.51.100.{number}" for number in range(20, 36)]
ROUTERS = [f"192.0.2.{number}" for number in range(1, 9)]
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0


@pytest.fixture(scope="module")
def spread(lab):
    """The lab with four queues that are chosen by ports where there are any."""
    if lab.driver != "igb":
        pytest.skip(f"{lab.driver} has no receive-side scaling here")
    lab.lb.run(["ethtool", "-L", "eth0", "combined", QUEUES])
    lab.lb.run(["ethtool", "-N", "eth0", "rx-flow-hash", "udp4", "sdfn"])
    lab.client.ip(*(f"addr add {address}/24 dev eth0" for address in CLIENTS))
    lab.wait_for_carrier()
    yield lab
    lab.client.ip(*(f"addr del {address}/24 dev eth0" for address in CLIENTS))
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


def flow(lab, address):
    """A client's socket whose datagrams may be fragmented."""
    client = lab.client.socket(kind=socket.SOCK_DGRAM)
    # Always the same flows, so that both backends have some.
    client.bind((address, 20000))
    client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    client.settimeout(120)
    return client


def echo(lab, client, payload):
    """The name of the backend that sent the payload back."""
    client.sendto(payload, (lab.dns_vip, 53))
    name, _, echoed = client.recvfrom(65535)[0].partition(b" ")
    assert echoed == payload
    return name.decode()


def test_flows_spread_over_all_workers_and_each_stays_on_one(spread, fluxpin):
    """A flow on two workers would be a new one for both."""
    growth = Growth(fluxpin)
    result = spread.load("udp", spread.dns_vip, "--source-ports", FLOWS, "--rounds", ROUNDS,
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


def test_fragments_go_where_their_flow_goes(spread, fluxpin):
    """They arrive on another queue than whole packets of the flow, and one worker owns those of a
    client: others hand them over."""
    growth = Growth(fluxpin)
    for address in CLIENTS:
        client = flow(spread, address)
        name = echo(spread, client, b"whole")
        for size in (4000, 3000):
            assert echo(spread, client, bytes(size)) == name
        client.close()
    growth.end()
    assert growth.worker("forwarded") == len(CLIENTS) * (1 + 3 + 3)
    assert growth.worker("dropped") == 0
    assert 0 < growth.worker("handed_over") <= len(CLIENTS) * 6
    assert growth("fluxpin_fragments_held") == growth("fluxpin_fragment_datagrams") == 0


def test_icmp_errors_go_to_the_backend_of_their_flow(spread, fluxpin):
    """From routers, by whose addresses the queue is chosen, about flows that would be another
    backend's if they were new: only the worker that has one on record knows."""
    addresses = {each.name_in_pool: each.address for each in spread.backends}
    clients = [flow(spread, address) for address in CLIENTS]
    backends = {client.getsockname(): addresses[echo(spread, client, b"x")] for client in clients}
    assert set(backends.values()) == set(addresses.values())
    assert fluxpin.reload(text(spread, "gre", "ipv4", weights=(1, 100)))
    growth = Growth(fluxpin)
    try:
        with Capture(spread.router, "lb") as capture:
            for (address, port), router in itertools.product(backends, ROUTERS):
                quoted = IP(src=spread.dns_vip, dst=address, flags="DF") / UDP(sport=53, dport=port)
                error = ICMP(type=3, code=4, nexthopmtu=1400)
                packet = IP(src=router, dst=spread.dns_vip) / error / quoted / bytes(64)
                link = Ether(src=spread.router.mac("lb"), dst=spread.lb.mac())
                spread.router.send_frames("lb", link / packet)
            growth.end()
    finally:
        assert fluxpin.reload(text(spread, "gre", "ipv4"))
    found = collections.defaultdict(collections.Counter)
    for client in clients:
        client.close()
    for _, frame in capture.frames:
        # GRE over IPv4, and in it ICMP over IPv4.
        if frame[12:14] == b"\x08\x00" and frame[23] == 47 and frame[38 + 9] == 1:
            outer, quoted = IP(frame[14:34]), IP(frame[38 + 28:])
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
