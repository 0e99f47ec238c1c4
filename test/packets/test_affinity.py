# SPDX-License-Identifier: BSD-2-Clause
"""affinity = "source": all flows of a client choose the same backend, and errors about them follow."""

import json
import subprocess

import pytest
from frames import ICMP, IP, TCP, UDP, IPv6, Raw, ethernet, raw
from replay import FLUXPIN, replay
from scapy.layers.inet import fragment
from scapy.layers.inet6 import ICMPv6TimeExceeded
from scapy.layers.l2 import GRE

VIP = {4: "203.0.113.10", 6: "2001:db8::10"}
ROUTER = {4: "192.0.2.200", 6: "2001:db8:9::1"}
PORTS = (1024, 1025, 40000, 65535)


def client(inner, number):
    return f"198.51.{number >> 8}.{number & 255}" if inner == 4 else f"2001:db8:1:{number:x}::7"


def configuration(count, tracking="true", affinity="source"):
    backends = ", ".join(f'{{ name = "b{n}"; address = "10.1.0.{n}"; }}' for n in range(1, count + 1))
    vips = ", ".join(f'{{ address = "{VIP[inner]}"; protocol = "{protocol}"; port = {port}; pool = "web"; '
                     f'tracking = {tracking}; affinity = "{affinity}"; }}'
                     for inner in (4, 6) for protocol, port in (("tcp", 80), ("tcp", 443), ("udp", 0)))
    return (f'hash_seed = "1"; source_address = {{ ipv4 = "10.0.0.5"; }};'
            f'pools = ( {{ name = "web"; backends = ( {backends} ); }} ); vips = ( {vips} );')


def ip(inner, number):
    addresses = {"src": client(inner, number), "dst": VIP[inner]}
    return IP(**addresses) if inner == 4 else IPv6(**addresses)


def flow(inner, number, port, flags="S", service=80):
    return ethernet(ip(inner, number) / TCP(sport=port, dport=service, flags=flags))


def error(inner, number, port):
    """A router's, about a packet from the VIP to that client's port."""
    if inner == 4:
        quoted = raw(IP(src=VIP[4], dst=client(4, number)) / TCP(sport=80, dport=port))[:28]
        return ethernet(IP(src=ROUTER[4], dst=VIP[4]) / ICMP(type=11) / Raw(quoted))
    quoted = raw(IPv6(src=VIP[6], dst=client(6, number)) / TCP(sport=80, dport=port))[:48]
    return ethernet(IPv6(src=ROUTER[6], dst=VIP[6]) / ICMPv6TimeExceeded() / Raw(quoted))


def backends(result):
    assert result.status == 0, result.stderr
    assert result.summary["forwarded"] == result.summary["frames"] > 0
    return [data[33] for _, data in result.sent]


def by_client(used, each):
    return [set(used[first : first + each]) for first in range(0, len(used), each)]


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("tracking", ["true", "false"])
def test_all_flows_of_a_client_choose_alike(inner, tracking):
    """Whatever the port, the service and the protocol; and at every worker."""
    frames = []
    for number in range(1, 101):
        frames += [flow(inner, number, port) for port in PORTS]
        frames += [flow(inner, number, 5, service=443), flow(inner, number, 6, "A"),
                   ethernet(ip(inner, number) / UDP(sport=7, dport=53) / Raw(b"question"))]
    used = backends(replay(configuration(5, tracking), frames))
    sets = by_client(used, len(PORTS) + 3)
    assert all(len(each) == 1 for each in sets) and len(set().union(*sets)) == 5
    assert backends(replay(configuration(5, tracking), frames, "--workers", 5)) == used
    plain = by_client(backends(replay(configuration(5, tracking, "5tuple"), frames)), len(PORTS) + 3)
    assert sum(len(each) > 1 for each in plain) > 90


@pytest.mark.parametrize("inner", [4, 6])
def test_after_a_change_old_flows_stay_and_new_ones_go_together(inner):
    numbers = range(1, 101)
    frames = [(1.0, flow(inner, number, port)) for number in numbers for port in PORTS]
    frames += [(3.0, flow(inner, number, port, "A")) for number in numbers for port in PORTS]
    frames += [(4.0, flow(inner, number, port + 1)) for number in numbers for port in (2000, 2002)]
    used = backends(replay(configuration(3), frames, events="1 reload more.conf",
                           files={"more.conf": configuration(5)}))
    each = 100 * len(PORTS)
    assert used[:each] == used[each : 2 * each]
    new = by_client(used[2 * each :], 2)
    assert all(len(choice) == 1 for choice in new)
    fresh = by_client(backends(replay(configuration(5), frames[-200:])), 2)
    assert new == fresh != by_client(used[:each], len(PORTS))


@pytest.mark.parametrize("inner", [4, 6])
def test_a_lost_backend_moves_the_client_as_a_whole(inner):
    numbers = range(1, 101)
    frames = [(time, flow(inner, number, port, flags)) for time, flags in ((1.0, "S"), (3.0, "A"))
              for number in numbers for port in PORTS]
    used = backends(replay(configuration(5), frames, events="1 down web/b2"))
    before, after = used[: len(used) // 2], used[len(used) // 2 :]
    assert 2 in before and 2 not in after
    assert all(old == new for old, new in zip(before, after) if old != 2)
    assert all(len(each) == 1 for each in by_client(after, len(PORTS)))


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("affinity", ["5tuple", "source"])
@pytest.mark.parametrize("is_tunnelled", [False, True])
def test_errors_find_the_flow_at_whichever_worker_it_is(inner, affinity, is_tunnelled):
    """Errors have no ports, so each goes to a worker by other rules than its flow; all that come in a
    tunnel go to one."""
    numbers = range(1, 101)
    ingress = 'decapsulation = { sources = ( "10.9.0.1" ); };'
    frames = [(1.0, flow(inner, number, 1024)) for number in numbers]
    for number in numbers:
        packet = error(inner, number, 1024)
        if is_tunnelled:
            outer = IP(src="10.9.0.1", dst="10.0.0.5") / GRE(proto=0x0800 if inner == 4 else 0x86DD)
            packet = ethernet(outer / Raw(packet[14:]))
        frames.append((3.0, packet))
    used = backends(replay(configuration(3, "true", affinity) + ingress, frames, "--workers", 5,
                           events="2 reload more.conf",
                           files={"more.conf": configuration(5, "true", affinity) + ingress}))
    assert used[:100] == used[100:]
    fresh = backends(replay(configuration(5, "true", affinity), [frame for _, frame in frames[:100]]))
    assert sum(old != new for old, new in zip(used, fresh)) > 20


@pytest.mark.parametrize("inner", [4, 6])
def test_errors_follow_the_flow_on_record_and_else_the_client(inner):
    numbers = range(1, 101)
    flows = [flow(inner, number, 1024) for number in numbers]
    errors = [error(inner, number, 1024) for number in numbers]
    chosen = backends(replay(configuration(5), flows))
    assert backends(replay(configuration(5), errors)) == chosen
    assert backends(replay(configuration(5, "false"), errors)) == chosen
    frames = [(1.0, frame) for frame in flows] + [(3.0, frame) for frame in errors]
    used = backends(replay(configuration(3), frames, events="1 reload more.conf",
                           files={"more.conf": configuration(5)}))
    assert used[:100] == used[100:] != chosen


@pytest.mark.parametrize("tracking", ["true", "false"])
def test_fragments_go_where_the_client_goes(tracking):
    """All parts of a datagram, in any order, to the backend of the client's other flows."""
    numbers = range(1, 101)
    chosen = backends(replay(configuration(5, tracking), [flow(4, number, 1024) for number in numbers]))
    frames = []
    for number in numbers:
        parts = fragment(ip(4, number) / UDP(sport=7, dport=53) / Raw(b"x" * 3000), fragsize=1400)
        assert len(parts) == 3
        parts = parts if number % 2 else parts[::-1]
        frames += [ethernet(part) for part in parts]
    used = by_client(backends(replay(configuration(5, tracking), frames)), 3)
    assert used == [{backend} for backend in chosen]


def test_explain_says_the_same(tmp_path):
    (tmp_path / "a.conf").write_text(configuration(5))
    (tmp_path / "b.conf").write_text(configuration(5, affinity="5tuple"))

    def explain(file, text):
        done = subprocess.run([FLUXPIN, "explain", "-c", file, text, "--json"], cwd=tmp_path,
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    for inner in (4, 6):
        for number in range(1, 11):
            ends = [(client(inner, number), VIP[inner]) if inner == 4 else
                    (f"[{client(inner, number)}]", f"[{VIP[inner]}]")][0]
            said = [explain("a.conf", f"tcp {ends[0]}:{port} {ends[1]}:80") for port in PORTS]
            used = backends(replay(configuration(5), [flow(inner, number, 1024)]))
            assert {each["backend"] for each in said} == {f"b{used[0]}"}
            assert {each["affinity"] for each in said} == {"source"}
            for each in said:
                assert each["slot"] == (int(each["hash"], 16) >> 32) * each["table_size"] >> 32
            plain = [explain("b.conf", f"tcp {ends[0]}:{port} {ends[1]}:80") for port in PORTS]
            assert {each["affinity"] for each in plain} == {"5tuple"}
            assert len({each["hash"] for each in plain}) == len(PORTS)
