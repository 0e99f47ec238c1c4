# SPDX-License-Identifier: BSD-2-Clause
"""What is not for a VIP reaches the kernel of the load balancer, as if fluxpin were not there."""

import random
import socket
import struct
import time

import pytest
from capture import Capture
from fluxpin import Fluxpin, configuration, pool, vips

MODES = ["copy", "skb"]  # native and generic XDP
ALL_QUEUES = {"queues": "0-3", "cpus": "0-1"}


@pytest.fixture(params=MODES)
def fluxpin(request, lab):
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text, mode=request.param, **ALL_QUEUES) as running:
        yield running


def tcp_exchange(server, address, client):
    """Connects from one namespace to another, sends a word and gets it back."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server.socket(family) as listener, client.socket(family) as connection:
        listener.bind((address, 0))
        listener.listen()
        connection.settimeout(5)
        connection.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            connection.sendall(b"flux")
            accepted.sendall(accepted.recv(16))
            assert connection.recv(16) == b"flux"


def test_arp_ping_and_tcp_both_ways(lab, fluxpin):
    """ARP for the LB's own address, ping and TCP to it, and connections that it opens itself."""
    lab.router.ip("neigh flush dev lb")
    lab.client.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", lab.lb.address])
    assert lab.router.ip_json("neigh show dev lb")[0]["lladdr"]
    tcp_exchange(lab.lb, lab.lb.address, lab.client)

    lab.lb.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", lab.client.address])
    tcp_exchange(lab.client, lab.client.address, lab.lb)
    for backend in lab.backends:
        tcp_exchange(backend, backend.address, lab.lb)
    metrics = fluxpin.assert_balanced()
    assert metrics.sum("fluxpin_worker_slow_path_packets_total") > 20
    assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0


def test_load_balancer_resolves_a_new_neighbour(lab, fluxpin):
    """ARP replies to the LB's own requests arrive on the NIC, not on the TAP."""
    lab.lb.ip("neigh flush dev eth0")
    lab.lb.run(["ping", "-c", "1", "-W", "2", "10.0.0.1"])
    devices = {entry["dev"] for entry in lab.lb.ip_json("neigh show")}
    assert devices == {"eth0"}
    assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
    fluxpin.assert_balanced()


def random_frames(mac, count, seed):
    """Frames of all lengths that IP does not touch, and some that it does."""
    generator = random.Random(seed)
    for number in range(count):
        length = generator.randrange(46, 1601)
        kind = generator.choice([0x88B5, 0x88B6, 0x86DD])  # experimental ones, IPv6
        source = b"\x02" + generator.randbytes(5)
        destination = generator.choice([mac, b"\xff" * 6, b"\x01\x00\x5e\x00\x00\x01",
                                        b"\x02\x99\x99\x99\x99\x99"])
        body = struct.pack("!I", number) + generator.randbytes(length - 4)
        if kind == 0x86DD:  # to nobody here; without a right header it would be dropped
            body = struct.pack("!IHBB", 6 << 28 | number, length - 40, 59, 64) + body[8:]
        yield destination + source + struct.pack("!H", kind) + body


def test_frames_reach_the_kernel_bit_for_bit(lab, fluxpin):
    frames = list(random_frames(lab.lb.mac(), 300, seed=2))
    with Capture(lab.lb, "eth0") as capture:
        with lab.router.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("lb", 0))
            for frame in frames:
                sender.send(frame)
                time.sleep(0.001)
        fluxpin.wait_for(
            lambda metrics: metrics.sum("fluxpin_worker_slow_path_packets_total") >= len(frames)
        )
    seen = {frame for _, frame in capture.frames}
    missing = [frame for frame in frames if frame not in seen]
    assert not missing, f"{len(missing)} of {len(frames)}: {missing[0].hex()}"
    fluxpin.assert_balanced()


def test_a_tap_that_takes_nothing_costs_only_those_frames(lab, fluxpin):
    tap = next(link["ifname"] for link in lab.lb.ip_json("link show")
               if link["ifname"].startswith("fluxpin"))
    assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
    lab.lb.ip(f"link set {tap} down")
    lab.client.run(["ping", "-c", "5", "-i", "0.2", "-W", "1", lab.lb.address], check=False)
    result = lab.load("http", lab.http_vip, "--requests", 50, "--parallel", 5).result()
    assert result["failed_count"] == 0, result
    metrics = fluxpin.assert_balanced()
    refused = metrics.sum("fluxpin_worker_dropped_packets_total", reason="slow_path_refused")
    assert refused >= 5
    lab.lb.ip(f"link set {tap} up")
    lab.client.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", lab.lb.address])


@pytest.mark.parametrize("mode", MODES)
def test_slow_path_pass(lab, mode):
    """The XDP program passes what is for no VIP, also after a reload that changes the VIPs."""
    both = vips(lab)
    text = configuration([pool(lab)], both[:1], slow_path="pass")
    with Fluxpin(lab, text, mode=mode, **ALL_QUEUES) as fluxpin:
        assert not [link for link in lab.lb.ip_json("link show")
                    if link["ifname"].startswith("fluxpin")]
        lab.client.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", lab.lb.address])
        tcp_exchange(lab.lb, lab.lb.address, lab.client)
        tcp_exchange(lab.client, lab.client.address, lab.lb)
        assert lab.load("http", lab.http_vip, "--requests", 50).result()["failed_count"] == 0
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_slow_path_packets_total") == 0
        received = metrics.sum("fluxpin_worker_received_packets_total")
        assert received == metrics.sum("fluxpin_worker_forwarded_packets_total")
        assert fluxpin.reload(configuration([pool(lab)], both[1:], slow_path="pass"))
        assert lab.load("udp", lab.dns_vip, "--source-ports", 20).result()["failed_count"] == 0
        lab.load("http", lab.http_vip, "--requests", 1, "--timeout", 1).result()
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0, "the old VIP is passed"


@pytest.fixture
def link_local(lab):
    """IPv6 on the link between router and load balancer: fe80::1 and fe80::5."""
    ends = ((lab.router, "lb", "fe80::1"), (lab.lb, "eth0", "fe80::5"))
    for namespace, device, address in ends:
        namespace.run(["sysctl", "-q", "-w", f"net.ipv6.conf.{device}.disable_ipv6=0"])
        namespace.ip(f"addr add {address}/64 dev {device} nodad")
    yield
    for namespace, device, _ in ends:
        namespace.run(["sysctl", "-q", "-w", f"net.ipv6.conf.{device}.disable_ipv6=1"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("link_local")
def test_pass_with_a_vip_for_all_of_ipv6(lab, mode):
    """The XDP program passes IPv4 and what belongs to the link, whatever ::/0 holds."""
    text = configuration([pool(lab)], [*vips(lab), {"name": "all6", "address": "::/0",
                                                    "protocol": "any", "pool": "web"}],
                         slow_path="pass")
    with Fluxpin(lab, text, mode=mode, **ALL_QUEUES) as running:
        lab.router.ip("neigh flush dev lb")
        lab.client.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", lab.lb.address])
        tcp_exchange(lab.lb, lab.lb.address, lab.client)
        lab.router.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", "fe80::5%lb"])
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
        assert running.assert_balanced().sum("fluxpin_worker_dropped_packets_total") == 0
