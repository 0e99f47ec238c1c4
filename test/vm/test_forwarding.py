# SPDX-License-Identifier: BSD-2-Clause
"""Every encapsulation to backends that decapsulate with the kernel's own devices, in the best mode
that the kernel has: zero-copy on every queue, and in any mode each frame sent in place."""

import os
import re

import pytest
from curl import get, upload
from namespaces import stop
from vm_lab import REQUESTS, TUNNEL_DEVICES, VmFluxpin, has_zero_copy, text

UPLOAD = 150_000  # bytes: some 100 full-size segments


@pytest.fixture(scope="module")
def fluxpin(lab):
    """One process for the whole module, until its last test: starting takes the link down for
    seconds."""
    mode = "zerocopy" if has_zero_copy(lab) else "copy"
    started = VmFluxpin(lab, text(lab, "gre", "ipv4"), mode=mode)
    yield started
    if started.process is not None:
        print(f"--- {started.log_file}\n{started.log()}")
        stop(started.process)


def test_every_queue_is_bound_zero_copy(lab, fluxpin):
    """By fluxpin's log and metrics, and by the kernel's own account of the sockets."""
    if not has_zero_copy(lab):
        pytest.skip(f"Linux {os.uname().release}: no zero-copy in {lab.driver}")
    frame_size = 4096 if lab.driver == "igb" else 2048
    for queue in (0, 1):
        assert re.search(rf"eth0 queue {queue}: zero-copy, driver {lab.driver}, CPU {queue}, "
                         rf"8192 frames of {frame_size} bytes", fluxpin.log())
    assert (lab.driver == "virtio_net") == ("virtio_net, as a module, may" in fluxpin.log())
    metrics = fluxpin.metrics()
    assert len(metrics.workers()) == 2
    assert set(metrics.select("fluxpin_worker_zero_copy").values()) == {1}
    sockets = lab.lb.output(["ss", "--xdp", "-e", "-H"])
    assert len(re.findall(r"\bqid:[01]\b.*\bzc:1\b", sockets)) == 2, sockets
    assert lab.lb.xdp()[0] in ("xdpdrv", "multi")


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
@pytest.mark.parametrize("encapsulation", ["gre", "ipip", "gue"])
def test_http(lab, fluxpin, encapsulation, outer):
    """Both families of clients over both families of backends; every frame that leaves is the one
    that came in."""
    assert fluxpin.reload(text(lab, encapsulation, outer))
    before, devices_before = fluxpin.quiescent(), lab.tunnel_packets()
    udp_before = lab.udp_packets()
    for vip in (lab.http_vip, lab.http_vip_ipv6):
        answers = get(lab, vip, REQUESTS)
        assert set(answers) == {"web-1", "web-2"} and answers.total() == REQUESTS, answers
        assert upload(lab, vip, UPLOAD)
    after = fluxpin.assert_balanced()

    def grown(name, **labels):
        return after.sum(name, **labels) - before.sum(name, **labels)

    forwarded = grown("fluxpin_worker_forwarded_packets_total")
    assert forwarded > 2 * (REQUESTS * 4 + UPLOAD // 1500)
    assert grown("fluxpin_worker_dropped_packets_total") == 0
    assert grown("fluxpin_worker_sent_in_place_packets_total") == forwarded
    assert after.sum("fluxpin_xsk_tx_invalid_total") == 0
    # Taken apart by the devices that are for it, and by no others.
    devices = {device: packets - devices_before[device]
               for device, packets in lab.tunnel_packets().items()}
    expected = TUNNEL_DEVICES[encapsulation, outer]
    assert sum(devices[device] for device in expected) == forwarded, devices
    assert min(devices[device] for device in expected) > 0, devices
    # GUE and IP in IP end at the same devices; of GUE a socket takes UDP off before.
    assert lab.udp_packets() - udp_before == (forwarded if encapsulation == "gue" else 0)


def test_both_queues_work(lab, fluxpin):
    metrics = fluxpin.quiescent()
    by_queue = metrics.by_label("fluxpin_worker_forwarded_packets_total", "queue")
    assert set(by_queue) == {"0", "1"} and min(by_queue.values()) > 100, by_queue


def test_parts_are_not_in_place(lab, fluxpin):
    """Of a packet that is split, one part goes in the frame that came in, and the other does not
    count as sent in place."""
    lab.lb.ip("route replace 10.1.0.0/24 via 10.0.0.1 mtu 1300")
    try:
        assert fluxpin.reload(text(lab, "gre", "ipv4"))
        before = fluxpin.quiescent()
        lab.send_long_datagrams(10)
        after = fluxpin.assert_balanced()
    finally:
        lab.lb.ip("route del 10.1.0.0/24")
    grown = {name: after.sum(f"fluxpin_worker_{name}_total") -
             before.sum(f"fluxpin_worker_{name}_total")
             for name in ("forwarded_packets", "parts_sent", "sent_in_place_packets")}
    assert grown["parts_sent"] == 10, grown
    assert grown["sent_in_place_packets"] == grown["forwarded_packets"] >= 10, grown


def test_slow_path(lab, fluxpin):
    """The host itself is reached through the NIC whose queues fluxpin holds, and reaches others."""
    lab.router.ip("neigh flush dev lb")
    for address in (lab.lb.address, lab.lb.ipv6_address):
        lab.client.run(["ping", "-c", "3", "-i", "0.2", "-W", "5", address])
    for address in (lab.client.address, lab.client.ipv6_address):
        lab.lb.run(["ping", "-c", "3", "-i", "0.2", "-W", "5", address])
    assert fluxpin.assert_balanced().sum("fluxpin_worker_slow_path_packets_total") >= 12


def test_stop_leaves_nothing(lab, fluxpin):
    """And the NIC is the kernel's again."""
    fluxpin.stop(timeout=60)
    lab.wait_for_carrier()
    lab.client.run(["ping", "-c", "1", "-W", "10", lab.lb.address])
