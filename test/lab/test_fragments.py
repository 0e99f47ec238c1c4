# SPDX-License-Identifier: BSD-2-Clause
"""Datagrams of up to 64 KB in fragments, through real stacks: whole at one backend, whatever way and
in whatever order their fragments come."""

import pathlib
import random
import socket
import struct
import sys

import pytest
from fluxpin import Fluxpin, configuration, pool
from lab import Lab
from namespaces import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import wire  # noqa: E402

IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0
# The first fragment of a new flow goes to the other worker, which may have it on record, and back.
LOOKED_FOR = 2
FLOWS = 6
LARGEST = 65000  # the answer has the backend's name in front


@pytest.fixture(scope="module")
def lab():
    with Lab(ipv6=True, balancers=2) as built:
        yield built


def text(lab, balancer=None, peers=(), **more):
    balancer = balancer or lab.lb
    services = [{"name": f"dns{version}", "address": address, "protocol": "udp", "port": 53,
                 "pool": "web"} for version, address in ((4, lab.dns_vip), (6, lab.dns_vip_ipv6))]
    source = {"ipv4": balancer.address, "ipv6": balancer.ipv6_address}
    listed = ", ".join(f'"{each.address}"' for each in peers)
    return (f"peers = ( {listed} );\n" if peers else "") + configuration(
        [pool(lab)], services, source_address=source, **more)


def addresses(lab, family):
    """The client's and the VIP's."""
    if family == 4:
        return lab.client.address, lab.dns_vip
    return lab.client.ipv6_address, lab.dns_vip_ipv6


def client_socket(lab, family):
    """Bound to a port of its own, for what comes back; UDP that may be fragmented."""
    version = socket.AF_INET if family == 4 else socket.AF_INET6
    client = lab.client.socket(version, socket.SOCK_DGRAM)
    client.bind((addresses(lab, family)[0], 0))
    client.settimeout(5)
    if family == 4:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    return client


def payload_of(number, size):
    return random.Random(number).randbytes(size)


def check_answer(client, payload):
    """It came back whole; returns the name of the backend."""
    name, _, echoed = client.recvfrom(65535)[0].partition(b" ")
    assert echoed == payload
    return name.decode()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [4000, LARGEST])
def test_large_datagrams(lab, family, size):
    """From the client's own stack, one after the other, by several ports."""
    names = set()
    with Fluxpin(lab, text(lab)) as fluxpin:
        for number in range(20):
            client = client_socket(lab, family)
            payload = payload_of(number, size)
            client.sendto(payload, (addresses(lab, family)[1], 53))
            names.add(check_answer(client, payload))
            client.close()
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        assert metrics.sum("fluxpin_fragments_held") == metrics.sum("fluxpin_fragment_datagrams") == 0
        each = -(-(size + 8) // (1480 if family == 4 else 1448))
        assert metrics.sum("fluxpin_worker_forwarded_packets_total") == 20 * each
    assert len(names) > 1


def cut(lab, family, port, payload, ident):
    """The datagram's fragments as frames to the router."""
    source, vip = addresses(lab, family)
    data = wire.transport_sum(family, source, vip, 17, struct.pack(
        "!HHHH", port, 53, 8 + len(payload), 0) + payload, 6)
    step = 1480 if family == 4 else 1448
    link = lab.router.mac("client") + lab.client.mac()
    frames = []
    for at in range(0, len(data), step):
        more, piece = at + step < len(data), data[at : at + step]
        if family == 4:
            packet = wire.ip(4, source, vip, 17, piece, ident=ident,
                             fragment=at // 8 | (0x2000 if more else 0))
        else:
            head = struct.pack("!BHI", 0, at | more, ident)
            packet = wire.ip(6, source, vip, 17, piece, extensions=[(44, head)])
        frames.append(wire.ethernet(packet, link=link))
    return frames


class Sender:
    """Puts frames on the client's wire."""

    def __init__(self, lab):
        self.socket = lab.client.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.bind(("eth0", 0))

    def send(self, frames):
        for frame in frames:
            self.socket.send(frame)


def orders(frames, number):
    yield "in order", frames
    yield "reversed", frames[::-1]
    shuffled = list(frames)
    random.Random(number).shuffle(shuffled)
    yield "shuffled", shuffled
    yield "first one last", [*frames[1:], frames[0]]


@pytest.mark.sanitizer
def test_handing_over_under_sanitizers(lab):
    any_order_on_two_queues(lab, 4, "auto")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("mode", ["auto", "skb"])
def test_any_order_on_two_queues(lab, family, mode):
    any_order_on_two_queues(lab, family, mode)


def any_order_on_two_queues(lab, family, mode):
    """The fragments come by both queues in turn, so half of them are handed over."""
    sender = Sender(lab)
    sent = 0
    with Fluxpin(lab, text(lab), mode=mode) as fluxpin:
        for number in range(FLOWS):
            client = client_socket(lab, family)
            payload = payload_of(number, LARGEST)
            frames = cut(lab, family, client.getsockname()[1], payload, 1 + number)
            for _, ordered in orders(frames, number):
                for queue in (0, 1):
                    # Half of the datagram by each of the two queues, the first by either.
                    lab.steer(queue=queue if number % 2 else 1 - queue)
                    half = len(ordered) // 2
                    sender.send(ordered[:half] if queue == 0 else ordered[half:])
                sent += len(frames)
                check_answer(client, payload)
            client.close()
        lab.steer()
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        assert metrics.sum("fluxpin_worker_forwarded_packets_total") == sent
        handed_over = metrics.sum("fluxpin_worker_handed_over_packets_total") - FLOWS * LOOKED_FOR
        # veth tells generic XDP no queue but the first: all come by that one.
        assert handed_over in ((0, sent) if mode == "skb" else (sent // 2, sent - sent // 2))


def test_waking(lab):
    """A fragment that is handed over to a worker that sleeps is not left there."""
    sender = Sender(lab)
    with Fluxpin(lab, text(lab)) as fluxpin:
        for number in range(FLOWS):
            client = client_socket(lab, 4)
            payload = payload_of(number, 2000)
            lab.steer(queue=number % 2)
            sender.send(cut(lab, 4, client.getsockname()[1], payload, 1 + number))
            check_answer(client, payload)
            client.close()
        lab.steer()
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_handed_over_packets_total") == FLOWS * (1 + LOOKED_FOR)


@pytest.mark.parametrize("family", [4, 6])
def test_ping(lab, family):
    """8000 bytes: each fragment is answered by one, whichever of the two workers it reaches, and the
    client's stack finds the whole right."""
    _, vip = addresses(lab, family)
    count, each = 4, -(-8008 // (1480 if family == 4 else 1448))
    with Fluxpin(lab, text(lab)) as fluxpin:
        for queue in (0, 1):
            lab.steer(queue=queue)
            lab.client.run(["ping", "-c", count, "-i", "0.1", "-W", "5", "-s", "8000", vip])
        lab.steer()
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_answered_packets_total") == 2 * count * each
        assert metrics.sum("fluxpin_worker_handed_over_packets_total") == count * each
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        assert metrics.sum("fluxpin_fragment_datagrams") == 0


def test_waiting_fragments_time_out(lab):
    """Without their first one, they are given up: the frames come back, and all is counted."""
    sender = Sender(lab)
    with Fluxpin(lab, text(lab, fragments={"timeout": "300ms"})) as fluxpin:
        frames = cut(lab, 4, 4000, payload_of(1, 20000), 77)
        sender.send(frames[1:])
        metrics = fluxpin.wait_for(lambda now: now.sum(
            "fluxpin_worker_dropped_packets_total", reason="fragment_timeout") == len(frames) - 1)
        assert metrics.sum("fluxpin_fragments_held") == 0
        fluxpin.assert_balanced()
        # Those that wait when it ends are counted, too: stop() looks at the last totals.
        sender.send(frames[1:])
        fluxpin.wait_for(lambda now: now.sum("fluxpin_fragments_held") > 0)


def test_an_eighth_of_the_frames_may_wait(lab):
    sender = Sender(lab)
    # Made before they are sent: on a slow machine that takes long, and none may time out meanwhile.
    frames = [frame for ident in range(140)
              for frame in cut(lab, 4, 4000, payload_of(ident, 2000), 100 + ident)[1:]]
    with Fluxpin(lab, text(lab, umem={"frames": 1024}, fragments={"timeout": "60s"}), frames=1024) as fluxpin:
        sender.send(frames)
        # The ledger is published apart from the counters.
        metrics = fluxpin.wait_for(lambda now: (
            now.sum("fluxpin_worker_dropped_packets_total", reason="fragment_limit"),
            now.sum("fluxpin_worker_umem_frames", state="hand")) == (140 - 128, 128))
        assert metrics.sum("fluxpin_fragments_held") == 128


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("is_first_apart", [True, False])
def test_cluster(lab, family, is_first_apart):
    """Fragments that reach different load balancers: one of them has the datagram, the others send
    theirs on to it. With the first fragment apart from the rest, and half and half."""
    balancers = lab.balancers
    sender = Sender(lab)
    timeout = {"timeout": "20s"}
    # IPv6 VIPs over IPv4 between the peers.
    with Fluxpin(lab, text(lab, balancers[0], balancers, fragments=timeout)) as one, Fluxpin(
            lab, text(lab, balancers[1], balancers[:1], fragments=timeout), namespace=balancers[1]) as two:
        sent = 0
        try:
            for number in range(4):
                client = client_socket(lab, family)
                payload = payload_of(number, 30000)
                frames = cut(lab, family, client.getsockname()[1], payload, 1 + number)
                at = 1 if is_first_apart else len(frames) // 2
                for balancer, part in zip(balancers, (frames[:at], frames[at:]), strict=True):
                    lab.route_vips([balancers[balancers.index(balancer) ^ number & 1]])
                    sender.send(part)
                    # Sent is not yet arrived: the route may change only behind it.
                    sent += len(part)
                    wait_until(lambda: arrived(one, two) >= sent, 10, "the fragments")
                check_answer(client, payload)
                client.close()
        finally:
            lab.route_vips([lab.lb])
        metrics = one.assert_balanced(), two.assert_balanced()
        redirected = sum(each.sum("fluxpin_backend_packets_total", pool="peers") for each in metrics)
        served = sum(each.sum("fluxpin_backend_packets_total", pool="web") for each in metrics)
        dropped = sum(each.sum("fluxpin_worker_dropped_packets_total") for each in metrics)
        assert (served, dropped) == (sent, 0)
        # Nobody looks for a way to itself.
        for each, balancer in zip((one, two), balancers, strict=True):
            assert f"peers/{balancer.address}" not in each.log()
        # One client has one of them decide on all of its datagrams.
        by_balancer = [each.sum("fluxpin_backend_packets_total", pool="web") for each in metrics]
        assert sorted(by_balancer) == [0, sent]
        assert 0 < redirected < sent


def arrived(*daemons):
    """Fragments that came from the client: what is sent on arrives once more."""
    metrics = [each.metrics() for each in daemons]
    return sum(each.sum("fluxpin_backend_packets_total") + each.sum("fluxpin_fragments_held")
               for each in metrics) - sum(
        each.sum("fluxpin_backend_packets_total", pool="peers") for each in metrics)
