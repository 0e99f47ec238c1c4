# SPDX-License-Identifier: BSD-2-Clause
"""fluxpin endpoint: what the XDP program of a backend does with IPv4 in GRE over IPv4 and with what
it leaves alone, and the commands. The other tunnels and IPv6 are in test_endpoint_tunnels.py.
"""

import contextlib
import json
import random
import subprocess

import pytest
from scapy.layers.inet import GRE, IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from endpoint_frames import (
    MODES,
    Counted,
    attached,
    capture,
    counted_frames,
    endpoint,
    ethernet,
    fix_neighbours,
    inner_udp,
    outer,
    receive,
    send,
    status,
    udp_client,
)
from link_frames import tampered
from lab import CLIENT_ADDRESS, Lab


@pytest.fixture(scope="module")
def lab():
    with Lab(backends=1, endpoint=None) as built:
        fix_neighbours(built)
        yield built


@contextlib.contextmanager
def foreign_program(lab, directory, name="other_program", mode="xdpgeneric"):
    """Another XDP program on the backend's NIC."""
    source = (
        '#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\nSEC("xdp") int %s(struct xdp_md *c)'
        '{ return c->data ? XDP_PASS : XDP_DROP; } char l[] SEC("license") = "GPL";' % name
    )
    multiarch = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True).stdout
    subprocess.run(
        ["clang", "-target", "bpf", "-O2", "-g", f"-I/usr/include/{multiarch.strip()}"]
        + ["-x", "c", "-c", "-", "-o", directory / "other.o"],
        input=source,
        text=True,
        check=True,
    )
    backend = lab.backends[0]
    backend.run(["ip", "link", "set", "eth0", mode, "obj", directory / "other.o", "sec", "xdp"])
    try:
        yield
    finally:
        backend.run(["ip", "link", "set", "eth0", mode, "off"])


# Decapsulation


@pytest.mark.parametrize("mode", MODES)
def test_udp_in_gre_is_answered_to_the_client(lab, mode):
    with attached(lab, mode), udp_client(lab, 4001) as client:
        with Counted(lab, decapsulated_gre_ipv4=1):
            send(lab, ethernet(lab) / outer(lab) / GRE() / inner_udp(lab, 4001))
            assert client.recv(100) == b"web-1 hello"


@pytest.mark.parametrize("mode", MODES)
def test_syn_in_gre_is_answered_to_the_client(lab, mode):
    syn = IP(src=CLIENT_ADDRESS, dst=lab.http_vip) / TCP(sport=4002, dport=80, seq=7)
    with attached(lab, mode), capture(lab.client) as sniffer:
        send(lab, ethernet(lab) / outer(lab) / GRE() / syn)
        answer = Ether(receive(sniffer))
        while TCP not in answer:  # the router may ask for the client's MAC address
            answer = Ether(receive(sniffer))
        assert (answer[IP].src, answer[TCP].sport) == (lab.http_vip, 80)
        assert (answer[TCP].flags, answer[TCP].ack) == ("SA", 8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kind", ["plain", "padding", "outer options", "inner options", "fragment", "minimum", "full"]
)
def test_inner_packet_arrives_untouched(lab, mode, kind):
    more = {"tos": 0xB9, "ttl": 37, "id": 4711}
    inner = {
        "inner options": lambda: inner_udp(lab, options=[b"\x01" * 8], **more),
        "fragment": lambda: inner_udp(lab, flags="MF", frag=3, **more),
        "minimum": lambda: IP(src=CLIENT_ADDRESS, dst=lab.dns_vip, proto=253, **more),
        "full": lambda: inner_udp(lab, payload=bytes(range(256)) * 5 + b"x" * 192, **more),
    }.get(kind, lambda: inner_udp(lab, **more))()
    options = {"options": [b"\x01" * 12]} if kind == "outer options" else {}
    padding = b"\xa5" * 40 if kind == "padding" else b""
    frame = bytes(ethernet(lab) / outer(lab, **options) / GRE() / inner) + padding
    with attached(lab, mode), capture(lab.backends[0]) as sniffer:
        with Counted(lab, decapsulated_gre_ipv4=1):
            send(lab, frame)
            assert receive(sniffer) == frame[:14] + bytes(inner) + padding


@pytest.mark.parametrize("mode", MODES)
def test_frames_larger_than_a_page(lab, mode):
    backend = lab.backends[0]
    payload = random.Random(1).randbytes(7000)
    inner = inner_udp(lab, 4003, payload)
    backend.ip("link set eth0 mtu 9000")
    lab.router.ip(f"link set {backend.router_port} mtu 9000")
    try:
        with attached(lab, mode), udp_client(lab, 4003) as client:
            with Counted(lab, decapsulated_gre_ipv4=1):
                send(lab, ethernet(lab) / outer(lab) / GRE() / inner)
                assert client.recv(9000) == b"web-1 " + payload
    finally:
        lab.router.ip(f"link set {backend.router_port} mtu 1600")
        backend.ip("link set eth0 mtu 1600")


# What is not for it, or broken


def odd_frames(lab):
    """name: (frame, the counter that goes up)"""
    inner = inner_udp(lab)
    good = bytes(ethernet(lab) / outer(lab) / GRE() / inner)

    def with_inner(offset, value):
        return tampered(good, 14 + 20 + 4 + offset, value)

    def with_outer(payload=GRE() / inner, **more):
        return ethernet(lab) / outer(lab, **more) / payload

    return {
        "GRE checksum": (with_outer(GRE(chksum_present=1) / inner), "passed_other_gre"),
        "GRE key": (with_outer(GRE(key_present=1, key=7) / inner), "passed_other_gre"),
        "GRE sequence": (with_outer(GRE(seqnum_present=1) / inner), "passed_other_gre"),
        "GRE reserved bit": (tampered(good, 35, b"\x08"), "passed_other_gre"),
        "GRE version 1": (tampered(good, 35, b"\x01"), "passed_other_gre"),
        "GRE with a short IPv6": (with_outer(GRE(proto=0x86DD) / inner), "dropped_inner_length"),
        "GRE with Ethernet": (with_outer(GRE(proto=0x6558) / inner), "passed_other_gre"),
        "to another host": (with_outer(dst="10.1.0.77"), "passed_not_local"),
        "to loopback": (with_outer(dst="127.0.0.1"), "passed_not_local"),
        "first fragment": (with_outer(flags="MF"), "passed_fragment"),
        "later fragment": (with_outer(flags=0, frag=2), "passed_fragment"),
        "outer version 6": (tampered(good, 14, b"\x65"), "dropped_outer_header"),
        "outer IHL 4": (tampered(good, 14, b"\x44"), "dropped_outer_header"),
        "outer IHL 0": (tampered(good, 14, b"\x40"), "dropped_outer_header"),
        "outer IHL beyond the total": (
            bytes(with_outer(len=40, ihl=15)),
            "dropped_outer_header",
        ),
        "outer total beyond the frame": (with_outer(len=len(good)), "dropped_outer_length"),
        "outer ends before GRE": (with_outer(len=20), "dropped_outer_length"),
        "outer ends within GRE": (with_outer(len=23), "dropped_outer_length"),
        "outer checksum": (tampered(good, 24, b"\x12\x34"), "dropped_outer_checksum"),
        "outer bit error": (tampered(good, 22, b"\x3f"), "dropped_outer_checksum"),
        "inner version 6": (with_inner(0, b"\x65"), "dropped_inner_header"),
        "inner IHL 4": (with_inner(0, b"\x44"), "dropped_inner_header"),
        "inner IHL beyond its total": (with_inner(0, b"\x4f"), "dropped_inner_header"),
        "inner total below its header": (with_inner(2, b"\0\x13"), "dropped_inner_header"),
        "inner total beyond the outer": (
            with_inner(2, (len(inner) + 1).to_bytes(2, "big")),
            "dropped_inner_length",
        ),
        "inner total only with padding": (
            bytes(with_outer(len=24 + len(inner) - 1)) + bytes(20),
            "dropped_inner_length",
        ),
        "no inner": (with_outer(GRE(proto=0x800)), "dropped_inner_length"),
        "inner header cut": (
            with_outer(GRE(proto=0x800) / bytes(inner)[:19]),
            "dropped_inner_length",
        ),
        "to a group MAC": (
            ethernet(lab, dst="01:00:5e:00:00:01") / outer(lab) / GRE() / inner,
            "passed",
        ),
        "broadcast": (
            ethernet(lab, dst="ff:ff:ff:ff:ff:ff") / outer(lab) / GRE() / inner,
            "passed",
        ),
        "no IPv4 header": (ethernet(lab, type=0x800) / Raw(b"\x45" + bytes(10)), "passed"),
        "Ethernet header alone": (ethernet(lab, type=0x800), "passed"),
        "ARP": (ethernet(lab) / ARP(psrc="10.1.0.1", pdst="10.1.0.99"), "passed"),
        "VLAN tag, and no IP": (tampered(good, 12, b"\x81\x00"), "passed"),
        "VLAN tag, cut": (ethernet(lab, type=0x8100) / Raw(b"\x01"), "passed"),
    }


@pytest.mark.parametrize("mode", MODES)
def test_each_odd_frame_has_its_counter(lab, mode):
    with attached(lab, mode):
        for name, (frame, counter) in odd_frames(lab).items():
            frame = bytes(frame)
            with capture(lab.backends[0]) as sniffer:
                try:
                    with Counted(lab, **{counter: 1}):
                        send(lab, frame)
                    if name == "VLAN tag, cut":
                        pass  # the kernel drops it
                    elif counter.startswith("passed"):
                        assert receive(sniffer) == frame
                    else:
                        sniffer.settimeout(0)
                        with pytest.raises(BlockingIOError):
                            receive(sniffer)
                except AssertionError as error:
                    raise AssertionError(f"{name}: {error}") from None


@pytest.mark.parametrize("mode", MODES)
def test_every_frame_counts_once(lab, mode):
    """Any bytes changed, any length cut: one counter goes up, and nothing breaks."""
    chance = random.Random(47)
    good = bytes(ethernet(lab) / outer(lab) / GRE() / inner_udp(lab))
    frames = []
    for _ in range(3000):
        frame = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            frame[chance.randrange(12, 60)] = chance.randrange(256)
        frames.append(bytes(frame[: chance.choice([len(frame), chance.randrange(14, len(frame))])]))
    with attached(lab, mode):
        before = counted_frames(lab)
        # The host may answer some of them, and be answered: what arrives is what the NIC counts.
        arrived = lab.backends[0].received()
        send(lab, *frames)
        arrived = lab.backends[0].received() - arrived
        assert arrived >= len(frames)
        assert counted_frames(lab) - before == arrived
    assert b"web-1" in udp_answer(lab, mode)


def udp_answer(lab, mode):
    with attached(lab, mode), udp_client(lab, 4004) as client:
        send(lab, ethernet(lab) / outer(lab) / GRE() / inner_udp(lab, 4004))
        return client.recv(100)


@pytest.mark.parametrize("mode", MODES)
def test_other_traffic_is_unharmed(lab, mode):
    backend = lab.backends[0]
    with attached(lab, mode):
        with Counted(lab, passed=3):
            lab.router.run(["ping", "-c3", "-i0.05", "-W1", backend.address])
        page = lab.router.output(["curl", "-s", "-m5", f"http://{backend.address}:8080/id"])
        assert page == "web-1\n"
        lab.client.run(["ping", "-c1", "-W1", "-s1400", backend.address])


# Commands


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bpffs", [False, True])
def test_attach_outlives_the_command(lab, mode, bpffs):
    done = endpoint(lab, "attach", "-i", "eth0", "--mode", mode, bpffs=bpffs)
    assert done.stdout == "" and f"{mode} mode" in done.stderr
    found = status(lab, bpffs=bpffs)
    assert (found["interface"], found["attached"], found["mode"]) == ("eth0", True, mode)
    assert set(found["counters"].values()) == {0}
    kernel = {"native": "xdpdrv", "skb": "xdpgeneric"}[mode]
    assert lab.backends[0].xdp() == (kernel, found["program_id"])
    table = endpoint(lab, "status", "-i", "eth0").stdout
    assert f"attached, {mode} mode" in table and "decapsulated_gre_ipv4" in table
    endpoint(lab, "detach", "-i", "eth0", bpffs=bpffs)
    assert lab.backends[0].xdp() is None
    assert status(lab) == {"interface": "eth0", "attached": False}


def test_attach_twice_refreshes_the_addresses(lab):
    backend = lab.backends[0]
    frame = ethernet(lab) / outer(lab, dst="10.1.0.200") / GRE() / inner_udp(lab, 4005)
    with attached(lab), udp_client(lab, 4005) as client:
        program = status(lab)["program_id"]
        with Counted(lab, passed_not_local=1):
            send(lab, frame)
        backend.ip("addr add 10.1.0.200/32 dev eth0")
        try:
            warned = endpoint(lab, "status", "-i", "eth0", "--json")
            assert json.loads(warned.stdout)["missing_addresses"] == 1
            assert "fluxpin endpoint attach -i eth0" in warned.stderr
            assert "refreshed" in endpoint(lab, "attach", "-i", "eth0").stderr
            with Counted(lab, decapsulated_gre_ipv4=1):
                send(lab, frame)
                assert client.recv(100) == b"web-1 hello"
        finally:
            backend.ip("addr del 10.1.0.200/32 dev eth0")
        endpoint(lab, "attach", "-i", "eth0")
        with Counted(lab, passed_not_local=1):
            send(lab, frame)
        assert status(lab)["program_id"] == program


def test_attach_keeps_the_mode(lab):
    with attached(lab, "skb"):
        done = endpoint(lab, "attach", "-i", "eth0", "--mode", "native", check=False)
        assert done.returncode == 1 and "already attached in skb mode" in done.stderr
        assert status(lab)["mode"] == "skb"


def test_detach_twice(lab):
    endpoint(lab, "attach", "-i", "eth0")
    assert endpoint(lab, "detach", "-i", "eth0").returncode == 0
    done = endpoint(lab, "detach", "-i", "eth0", check=False)
    assert done.returncode == 1 and "eth0: not attached" in done.stderr


@pytest.mark.parametrize("xdp", ["xdpdrv", "xdpgeneric"])
def test_a_foreign_program_is_left_alone(lab, tmp_path, xdp):
    with foreign_program(lab, tmp_path, mode=xdp):
        before = lab.backends[0].xdp()
        for action in ("attach", "detach"):
            done = endpoint(lab, action, "-i", "eth0", check=False)
            assert done.returncode == 1
            assert '"other_program"' in done.stderr and f"{xdp} off" in done.stderr
        found = endpoint(lab, "status", "-i", "eth0", "--json")
        assert json.loads(found.stdout) == {
            "interface": "eth0",
            "attached": False,
            "foreign_program": "other_program",
        }
        assert "other_program" in found.stderr
        assert lab.backends[0].xdp() == before


@pytest.mark.parametrize("name", ["fluxpin_redir", "fluxpin_redir_v"])
def test_a_load_balancers_program_is_not_to_be_detached(lab, tmp_path, name):
    with foreign_program(lab, tmp_path, name=name, mode="xdpdrv"):
        for action in ("attach", "detach"):
            done = endpoint(lab, action, "-i", "eth0", check=False)
            assert done.returncode == 1
            assert "program of fluxpin run" in done.stderr and " off" not in done.stderr


def test_another_version_is_replaced(lab, tmp_path):
    with foreign_program(lab, tmp_path, name="fluxpin_endp", mode="xdpdrv"):
        done = endpoint(lab, "status", "-i", "eth0", check=False)
        assert done.returncode == 1 and "another version" in done.stderr
        assert "replaced" in endpoint(lab, "attach", "-i", "eth0").stderr
        assert "counters" in status(lab)
        endpoint(lab, "detach", "-i", "eth0")


@pytest.mark.parametrize(
    "arguments, exit_status, words",
    [
        ([], 2, "attach, detach, status or doctor is missing"),
        (["attach"], 2, "-i IF is missing"),
        (["flatten", "-i", "eth0"], 2, "doctor is expected, not: flatten"),
        (["attach", "-i", "eth0", "eth1"], 2, "unexpected argument: eth1"),
        (["attach", "--what"], 2, "fluxpin endpoint: unrecognized option '--what'"),
        (["attach", "-i", "eth0", "--mode", "zerocopy"], 2, "auto, native or skb"),
        (["detach", "-i", "eth0", "--json"], 2, "--json is for status"),
        (["status", "-i", "eth0", "--mode", "skb"], 2, "--mode is for attach"),
        (["attach", "-i", "eth7"], 1, "eth7: No such device"),
        (["status", "-i", "a-name-longer-than-names-are"], 1, "No such device"),
        (["attach", "-i", ""], 1, "No such device"),
    ],
)
def test_wrong_use(lab, arguments, exit_status, words):
    done = endpoint(lab, *arguments, check=False)
    assert done.returncode == exit_status
    assert words in done.stderr and done.stdout == ""


def test_help(lab):
    done = endpoint(lab, "--help")
    assert "attach" in done.stdout and done.stderr == ""
