# SPDX-License-Identifier: BSD-2-Clause
"""Reloads under traffic: no failed request, no flow that moves without a reason."""

import random
import re
import time

import pytest

import servers
from capture import Capture
from control_client import run
from fluxpin import Fluxpin, configuration, http_health_check, pool, vips
from namespaces import stop

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


class Timeline:
    """Which backends were active when: a reload takes effect somewhere between its two times."""

    def __init__(self, addresses):
        self.changes = [(0.0, 0.0, frozenset(addresses))]

    def add(self, start, end, addresses):
        self.changes.append((start, end, frozenset(addresses)))

    def possible(self, start, end):
        """The sets that may have been active at some time from start to end."""
        found = []
        for i, (begins, _, addresses) in enumerate(self.changes):
            ends = self.changes[i + 1][1] if i + 1 < len(self.changes) else float("inf")
            if begins <= end and ends >= start:
                found.append(addresses)
        return found


def is_of_forgotten(before, packet):
    """Whether a packet is the RST, without ACK, of a client that has forgotten what it closed: so it
    answers what the server sends again (RFC 9293, 3.10.7.1)."""
    return before.flags & (FIN | RST) and packet.flags == RST


class Flows:
    """The flows of forwarded packets, and what became of them.

    A flow stays with its backend from its SYN on, until that backend is removed; then it is `lost`.
    A FIN or RST of a lost flow is sent by hash and not recorded, so it may move again. So may the RST
    of a client that has forgotten a closed connection: a socket of the kernel's own sends it, which
    on veth often takes another queue, whose worker does not know the flow.
    """

    def __init__(self, packets, timeline):
        self.lost = set()  # source ports that lost their backend, at any time
        self.problems = []  # sentences about packets that moved without a cause
        last, dead = {}, set()
        for packet in packets:
            if not any(packet.backend in each for each in timeline.possible(packet.time, packet.time)):
                self.problems.append(f"{packet}: not a backend at that time")
            flow = packet.protocol, packet.source, packet.source_port, packet.destination
            before = last.get(flow)
            if before is not None and is_of_forgotten(before, packet):
                continue
            last[flow] = packet
            if packet.flags & (SYN | ACK) == SYN:
                dead.discard(flow)
            elif before is not None and before.backend != packet.backend:
                active = timeline.possible(before.time, packet.time)
                if not all(before.backend in each for each in active):
                    dead.add(flow)
                    self.lost.add(packet.source_port)
                elif flow not in dead or not packet.flags & (FIN | RST):
                    self.problems.append(f"{before} -> {packet}")


def variations(lab, count, seed):
    """Lists of backends: one removed, one added, weights changed; two always stay."""
    generator = random.Random(seed)
    stay = [
        {"name": each.name_in_pool, "address": each.address} for each in lab.backends[:2]
    ]
    extra = {"name": lab.backends[2].name_in_pool, "address": lab.backends[2].address}
    for number in range(count):
        weights = [generator.choice([1, 50, 100, 1000]) for _ in range(3)]
        backends = [
            {**each, "weight": weight} for each, weight in zip(stay + [extra], weights)
        ]
        if number % 4 == 1:
            backends.pop()  # removed: its flows are lost at once
        elif number % 4 == 3:
            backends[2]["weight"] = 0  # drained: it keeps its flows
        generator.shuffle(backends)
        yield backends


@pytest.mark.sanitizer
def test_requests_survive_200_reloads(own_lab):
    """2,000 requests in 20 streams, 200 reloads: failures only where the backend was removed."""
    lab = own_lab
    text = configuration([pool(lab)], vips(lab))
    timeline = Timeline(each.address for each in lab.backends)
    with Fluxpin(lab, text) as fluxpin, Capture(lab.router, "lb", 128) as capture:
        load = lab.load("http", lab.http_vip, "--parallel", 20, "--hold", "--rate", 60, "--ports")
        load.wait_for_line()
        for backends in variations(lab, 200, seed=1):
            start = time.time()
            assert fluxpin.reload(configuration([pool(lab, backends=backends)], vips(lab)))
            timeline.add(start, time.time(), (each["address"] for each in backends))
        load.go_on()
        first = load.result(120)
        rest = lab.load("http", lab.http_vip, "--parallel", 20, "--requests",
                        max(1, 2000 - first["requests"])).result(120)
        metrics = fluxpin.assert_balanced()
        capture.stop()
    packets = capture.forwarded()
    flows = Flows(packets, timeline)
    assert not flows.problems, f"{len(flows.problems)} of {len(packets)}:\n" + "\n".join(
        flows.problems[:20])
    assert first["requests"] + rest["requests"] >= 2000
    assert rest["failed_count"] == 0, rest["failed"]
    assert len(first["failed"]) == first["failed_count"]
    for failure in first["failed"]:
        assert failure["port"] in flows.lost, (failure, sorted(flows.lost))
    assert len(packets) == metrics.sum("fluxpin_worker_forwarded_packets_total")


def backend_of(capture, port):
    """The address that packets for this port of a VIP are forwarded to."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = {each.backend for each in capture.forwarded() if each.destination_port == port}
        if found:
            assert len(found) == 1, found
            return found.pop()
        time.sleep(0.05)
    raise TimeoutError(f"nothing forwarded to port {port}")


def test_long_connections_survive_50_reloads_of_other_backends(lab):
    """A download of 100 MB and an idle connection, while every other backend comes and goes."""
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        with Capture(lab.router, "lb", 128) as capture:
            idle = lab.load("keepalive", lab.http_vip, "--parallel", 1)
            assert idle.wait_for_line() == "holding"
            used = {backend_of(capture, 80)}
        with Capture(lab.router, "lb", 128) as capture:
            download = lab.load("download", lab.http_vip, "--rate", 8e6, "--timeout", 10)
            used.add(backend_of(capture, 80))
        keep = [each for each in lab.backends if each.address in used]
        others = [each for each in lab.backends if each.address not in used]
        for number in range(50):
            changed = [] if number % 2 else [
                {"name": each.name_in_pool, "address": each.address, "weight": 7 * number}
                for each in others
            ]
            changed += [
                {"name": each.name_in_pool, "address": each.address, "weight": 1 + number}
                for each in keep
            ]
            assert fluxpin.reload(configuration([pool(lab, backends=changed)], vips(lab)))
        assert download.process.poll() is None, download.result()
        result = download.result(60)
        assert result["ok"] == 1 and result["bytes"] == 100_000_000, result
        result = idle.result(30)
        assert result["failed_count"] == 0 and result["moved"] == 0, result
        fluxpin.assert_balanced()


def test_draining_backend_keeps_its_flows_and_gets_no_new_ones(lab):
    everyone = [
        {"name": each.name_in_pool, "address": each.address} for each in lab.backends
    ]
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        load = lab.load("keepalive", lab.http_vip, "--parallel", 60)
        assert load.wait_for_line() == "holding"
        # The least weight above 0 would be a third of the new flows.
        drained = [{**each, "weight": int(each != everyone[0])} for each in everyone]
        assert fluxpin.reload(configuration([pool(lab, backends=drained)], vips(lab)))
        fresh = lab.load("http", lab.http_vip, "--requests", 100, "--parallel", 5).result()
        assert fresh["failed_count"] == 0
        assert "web-1" not in fresh["by_backend"], fresh
        result = load.result()
        assert result["failed_count"] == 0 and result["moved"] == 0, result
        assert result["by_backend"]["web-1"] > 0, result
        fluxpin.assert_balanced()


def test_refused_reload_takes_no_index_from_the_first_state(lab):
    """More backends than there are indexes are refused; the flows of the start keep theirs."""
    everyone = [
        {"name": each.name_in_pool, "address": each.address} for each in lab.backends
    ]
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        load = lab.load("keepalive", lab.http_vip, "--parallel", 60)
        assert load.wait_for_line() == "holding"
        many = [
            {"name": f"n{i}", "address": f"10.{2 + i // 65536}.{i // 256 % 256}.{i % 256}"}
            for i in range(256, 65535 + 256)
        ]
        text = configuration([pool(lab, backends=many, table_size=65537)], vips(lab))
        assert not fluxpin.reload(text)
        assert "together have more than 65535 backends" in fluxpin.log()
        before = fluxpin.wait_for_metrics().sum("fluxpin_backend_packets_total")
        drained = [{**everyone[0], "weight": 0}] + everyone[1:]
        assert fluxpin.reload(configuration([pool(lab, backends=drained)], vips(lab)))
        result = load.result()
        assert result["failed_count"] == 0 and result["moved"] == 0, result
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_connection_lookups_total", result="stale") == 0
        assert metrics.sum("fluxpin_backend_packets_total") >= before > 0


def test_vip_and_pool_come_and_go(lab):
    """A reload changes VIPs and pools, not only backends; what is gone gets no traffic."""
    both = vips(lab)
    with Fluxpin(lab, configuration([pool(lab)], both[:1])) as fluxpin:
        assert lab.load("udp", lab.dns_vip, "--source-ports", 1, "--timeout", 1).result()["ok"] == 0
        second = pool(lab, name="echo", backends=lab.backends[1:2])
        text = configuration([pool(lab), second], [both[0], {**both[1], "pool": "echo"}])
        assert fluxpin.reload(text)
        result = lab.load("udp", lab.dns_vip, "--source-ports", 20).result()
        assert result["by_backend"] == {"web-2": 20}, result
        metrics = fluxpin.wait_for(
            lambda metrics: metrics.sum("fluxpin_backend_packets_total", pool="echo") == 20)
        assert metrics.sum("fluxpin_backend_packets_total", pool="web") == 0
        assert fluxpin.reload(configuration([pool(lab)], both[1:]))
        failed = lab.load("http", lab.http_vip, "--requests", 1, "--timeout", 1).result()
        assert failed["ok"] == 0
        assert lab.load("udp", lab.dns_vip, "--source-ports", 50).result()["failed_count"] == 0
        metrics = fluxpin.assert_balanced()
        assert metrics.by_label("fluxpin_vip_packets_total", "vip").keys() == {"dns"}


def test_what_needs_a_restart_is_said(lab):
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        times = {"tcp_idle": "5m", "tcp_syn_idle": "10s", "new_rate": 1000}
        assert fluxpin.reload(configuration([pool(lab)], vips(lab), connections=times))
        assert "takes a restart" not in fluxpin.log()
        text = configuration([pool(lab)], vips(lab), connections={"capacity": 2048},
                             slow_path="pass", umem={"frames": 2048},
                             fragments={"timeout": "1s"})
        assert fluxpin.reload(text)
        log = fluxpin.log()
        for what in ("connections", "slow_path", "umem", "fragments"):
            assert f"{what} changed; that takes a restart" in log
        assert "interfaces changed" not in log and "hash_seed" not in log
        seed = text.replace("0123456789abcdef", "0123456789abcdee")
        assert fluxpin.reload(seed)
        assert "hash_seed changed; open connections lose their backend" in fluxpin.log()
        assert lab.load("http", lab.http_vip, "--requests", 10).result()["failed_count"] == 0


def test_a_mode_of_the_command_line_counts(lab):
    """Another one in the file would not be in force after a restart either."""
    def text(**more):
        nic = {"name": "eth0", "queues": "0-1", "mode": "copy", **more}
        return configuration([pool(lab)], vips(lab), interfaces=[nic])

    with Fluxpin(lab, text(), mode="skb", start=False).without("-i").start() as fluxpin:
        assert fluxpin.reload(text(mode="auto")) == 2
        assert "takes a restart" not in fluxpin.log()
        assert fluxpin.reload(text(queues="0")) == 3
        assert "interfaces changed; that takes a restart" in fluxpin.log()


def test_interfaces_of_the_file(lab):
    """Without -i: mode, queues and CPUs of the file; a reload says that they take a restart, and
    refuses queues that there are not."""
    def text(**more):
        nic = {"name": "eth0", "queues": "1-2", "cpus": "1,0", "mode": "skb", **more}
        return configuration([pool(lab)], vips(lab), interfaces=[nic])

    with Fluxpin(lab, text(), start=False).without("-i", "--mode").start() as fluxpin:
        assert "eth0 queue 1: copy (generic XDP), driver veth, CPU 1" in fluxpin.log()
        assert "eth0 queue 2: copy (generic XDP), driver veth, CPU 0" in fluxpin.log()
        assert fluxpin.metrics().workers() == [("eth0", "1"), ("eth0", "2")]
        assert fluxpin.reload() == 2
        assert "takes a restart" not in fluxpin.log()
        for generation, more in enumerate(
            [{"queues": "0-1"}, {"cpus": "0"}, {"mode": "copy"}, {"busy_poll": True},
             {"name": "lo", "queues": "0"}], 3
        ):
            seen = len(fluxpin.log())
            assert fluxpin.reload(text(**more)) == generation, fluxpin.log()
            assert "interfaces changed; that takes a restart" in fluxpin.log()[seen:], more
        seen = len(fluxpin.log())
        # What the file cannot know, but this host does, is refused like any other error.
        for more, message in (
            ({"queues": "3-4"}, ":10:14: queue 4 does not exist: eth0 has 4 queues (0-3)"),
            ({"name": "eth7"}, "interface eth7 does not exist"),
        ):
            seen = len(fluxpin.log())
            assert fluxpin.reload(text(**more)) is None, more
            assert message in fluxpin.log()[seen:]
        assert fluxpin.metrics().workers() == [("eth0", "1"), ("eth0", "2")]


def test_new_flows_follow_the_weights(lab):
    """Weights 1, 1 and 8: equal ones would give the last backend a third of the flows."""
    heavy = [
        {"name": each.name_in_pool, "address": each.address, "weight": weight}
        for each, weight in zip(lab.backends, (1, 1, 8))
    ]
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        assert fluxpin.reload(configuration([pool(lab, backends=heavy)], vips(lab)))
        result = lab.load("udp", lab.dns_vip, "--source-ports", 300).result()
        assert result["failed_count"] == 0 and set(result["by_backend"]) == {
            "web-1", "web-2", "web-3"}, result
        assert result["by_backend"]["web-3"] > 180, result
        metrics = fluxpin.assert_balanced()
        weights = {
            each["name"]: metrics.get_one("fluxpin_backend_weight", backend=each["name"])
            for each in heavy
        }
        assert weights == {"web-1": 1, "web-2": 1, "web-3": 8}


def test_a_backend_that_changes_its_address_is_another_one(lab):
    """The name stays: flows of the old address must not go on to the new one as if tracked."""
    before = [{"name": "a", "address": lab.backends[0].address}]
    after = [{"name": "a", "address": lab.backends[1].address}]
    with Fluxpin(lab, configuration([pool(lab, backends=before)], vips(lab))) as fluxpin:
        load = lab.load("udp", lab.dns_vip, "--source-ports", 20, "--rounds", 2, "--hold")
        assert load.wait_for_line() == "holding"
        assert fluxpin.reload(configuration([pool(lab, backends=after)], vips(lab)))
        result = load.result()
        assert result["by_backend"] == {"web-1": 20, "web-2": 20}, result
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_connection_lookups_total", result="stale") == 20
        assert metrics.sum("fluxpin_backend_packets_total") == 20, "counts of the old address"


def nonzero(metrics, name, label):
    """The values of a label whose samples are above zero."""
    return {value for value, count in metrics.by_label(name, label).items() if count}


def test_an_index_that_is_used_again_starts_afresh(lab):
    """
    Reload after reload, other backends and VIPs take the indexes in turn, in the end those of the
    removed backend and VIP too: its flows must not follow its index, nor its counters.
    """
    gone, stay = lab.backends[0], lab.backends[1:]
    web, dns = vips(lab)

    def others(number):
        """200 backends of weight 0 behind the default gateway, and 200 VIPs without traffic."""
        backends = [
            {"name": f"{number}-{each}", "address": f"10.2.0.{each + 1}", "weight": 0}
            for each in range(200)
        ] + [{"name": each.name_in_pool, "address": each.address} for each in stay]
        ports = [
            {**web, "name": f"{number}-{each}", "port": 10000 + each} for each in range(200)
        ]
        return configuration([pool(lab, backends=backends)], [dns, *ports])

    with Fluxpin(lab, configuration([pool(lab)], [web, dns])) as fluxpin:
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
        load = lab.load("udp", lab.dns_vip, "--source-ports", 60, "--rounds", 2, "--hold")
        assert load.wait_for_line() == "holding"
        # 1200 names: the registry comes round after 1024.
        for number in range(6):
            assert fluxpin.reload(others(number))
            metrics = fluxpin.metrics()
            assert nonzero(metrics, "fluxpin_vip_packets_total", "vip") == {"dns"}
            counted = nonzero(metrics, "fluxpin_backend_packets_total", "backend")
            assert counted == {each.name_in_pool for each in stay}
        result = load.result()
        assert result["failed_count"] == 0 and result["moved"] > 0, result
        metrics = fluxpin.assert_balanced()
        stale = metrics.sum("fluxpin_connection_lookups_total", result="stale")
        assert stale == result["moved"], (stale, result)
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        assert fluxpin.reload(configuration([pool(lab)], [web, dns]))
        metrics = fluxpin.metrics()
        assert metrics.get_one("fluxpin_backend_packets_total", backend=gone.name_in_pool) == 0
        assert metrics.get_one("fluxpin_vip_packets_total", vip="web") == 0


def many(lab, name, count, second):
    """A pool of backends that are nowhere."""
    addresses = (f"10.{second}.{i // 256}.{i % 256}" for i in range(256, count + 256))
    return pool(lab, name=name, backends=[{"address": each} for each in addresses])


def test_a_reload_that_fails_late_changes_nothing(lab):
    """The indexes do not hold both configurations together. That is found when all is read and the
    checks are prepared: a backend that the new file leaves out is checked on as before."""
    first, others = lab.backends[0], lab.backends[1:]
    check = http_health_check(interval="100ms", timeout="100ms")

    def text(backends, name, count, second, tunnel=False):
        more = {"via": "tunnel", "path": "/id"} if tunnel else {}
        settings = {key: value for key, value in (check | more).items()
                    if key != "port" or not tunnel}
        return configuration([pool(lab, backends=backends, health_check=settings),
                              many(lab, name, count, second)], vips(lab))

    stop(first.nginx)
    with Fluxpin(lab, text(lab.backends, "old", 33000, 64)) as fluxpin:
        changes = {"pool": "web", "backend": "web-1"}
        fluxpin.wait_for_log("backend web/web-1 .* is down")
        failures = lambda metrics: metrics.get_one("fluxpin_health_probes_total",
                                                   result="failure", **changes)
        before = failures(fluxpin.wait_for_metrics())
        for tunnel in (False, True):
            assert fluxpin.reload(text(others, "new", 33000, 68, tunnel), timeout=30) is None
            done = run(fluxpin, "reload")
            assert done.status == 1 and done.output == ""
            assert re.search(
                "error: reload: .* more than 65535 backends: reload a file first", fluxpin.log())
            # Behind the warnings about the file, which must not hide it.
            assert "warning: table_size 65537 is small" in done.errors
            assert done.errors.endswith(
                f"\n{fluxpin.file}: the active and the new configuration together have more than 65535 "
                "backends: reload a file first that leaves out what is to go, and then this one, or "
                "restart fluxpin\n"
                "fluxpin reload: refused: generation 1 stays active\n"), done
            metrics = fluxpin.wait_for_metrics()
            assert failures(metrics) >= before
            assert metrics.get_one("fluxpin_backend_healthy", **changes) == 0
            assert metrics.get_one("fluxpin_backend_health_changes_total", **changes) == 1
            assert metrics.get_one("fluxpin_config_generation") == 1
            assert "fwmark" not in lab.lb.output(["ip", "rule", "show"])
            before = failures(fluxpin.wait_for(lambda metrics: failures(metrics) > before))
        servers.start_nginx(first)
        fluxpin.wait_for_log("backend web/web-1 .* is up")
        # As it said.
        assert fluxpin.reload(text(others, "new", 0, 68), timeout=30) == 2
        assert fluxpin.reload(text(others, "new", 33000, 68), timeout=30) == 3
