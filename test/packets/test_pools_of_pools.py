# SPDX-License-Identifier: BSD-2-Clause
"""Pools that contain other pools: their backends, under the containing pool's own encapsulation."""

from frames import IP, TCP, ethernet
from replay import replay

VIP = "203.0.113.10"
GRE, IPIP = 47, 4
POOLS = """
    {{ name = "front"; encapsulation = "ipip"; pools = ( "rack-1", "racks" );
       backends = ( {{ name = "own"; address = "10.1.0.9"; }} ); }},
    {{ name = "racks"; pools = ( "rack-1", "rack-2" ); }},
    {{ name = "rack-1"; backends = ( {{ name = "a"; address = "10.1.0.1"; }} ); }},
    {{ name = "rack-2"; backends = ( {{ name = "b"; address = "10.1.0.2"; weight = {weight}; }} ); }}
"""
OTHER = """{{ name = "front"; encapsulation = "ipip"; backends = (
    {{ name = "own"; address = "10.1.0.9"; }}, {{ name = "a"; address = "10.1.0.1"; }},
    {{ name = "b"; address = "10.1.0.2"; }} ); }}"""


def configuration(pools=POOLS, weight=100):
    return (f'hash_seed = "1"; source_address = {{ ipv4 = "10.0.0.5"; }};'
            f'pools = ( {pools.format(weight=weight)} ); '
            f'vips = ( {{ address = "{VIP}"; protocol = "tcp"; port = 80; pool = "front"; }} );')


def flows(count, time, flags="S"):
    return [(time + n / 10**6, ethernet(IP(src="192.0.2.1", dst=VIP) /
                                        TCP(sport=1024 + n, dport=80, flags=flags)))
            for n in range(count)]


def used(result):
    """The last byte of each packet's backend."""
    assert result.status == 0, result.stderr
    assert all(data[23] == IPIP for _, data in result.sent)
    return [data[33] for _, data in result.sent]


def test_each_backend_is_there_once():
    counts = used(replay(configuration(), flows(3000, 1)))
    assert set(counts) == {1, 2, 9}
    assert all(850 < counts.count(each) < 1150 for each in (1, 2, 9))


def test_a_pool_of_the_same_backends_chooses_alike():
    frames = flows(500, 1)
    assert used(replay(configuration(), frames)) == used(replay(configuration(OTHER), frames))


def test_weights_come_along():
    counts = used(replay(configuration(weight=0), flows(500, 1)))
    assert set(counts) == {1, 9}


def test_a_drain_at_home_drains_it_everywhere():
    frames = flows(300, 1) + flows(300, 3, "A") + [
        (5 + n / 10**6, ethernet(IP(src="192.0.2.2", dst=VIP) / TCP(sport=1024 + n, dport=80)))
        for n in range(300)]
    result = replay(configuration(), frames, events="1.0 drain rack-1/a\n")
    backends = used(result)
    assert backends[:300] == backends[300:600]
    assert 1 in backends[:300] and set(backends[600:]) == {2, 9}


def test_down_in_the_containing_pool_alone():
    result = replay(configuration(), flows(300, 1) + flows(300, 3, "A"),
                    events="1.0 down front/b\n")
    backends = used(result)
    assert 2 in backends[:300] and 2 not in backends[300:]


def test_traffic_is_counted_by_the_pool_that_serves():
    result = replay(configuration(), flows(300, 1))
    by_pool = {(each["pool"], each["name"]): each["frames"] for each in result.summary["backends"]}
    assert sum(by_pool[("front", name)] for name in ("own", "a", "b")) == 300
    assert by_pool[("rack-1", "a")] == 0


def test_last_resort_of_a_pool_whose_backends_are_all_down():
    """As in the daemon: with on_all_down = "all" everything serves, else nothing does."""
    events = "".join(f"1.0 down front/{name}\n" for name in ("own", "a", "b"))
    frames = flows(10, 1) + flows(300, 3, "A")
    dropped = replay(configuration(OTHER), frames, events=events)
    assert set(dropped.drops.values()) == {"no_backend"} and len(dropped.drops) == 300
    served = replay(configuration(OTHER.replace('"ipip";', '"ipip"; on_all_down = "all";')), frames,
                    events=events)
    assert not served.drops and set(used(served)[10:]) == {1, 2, 9}
