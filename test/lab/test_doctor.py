# SPDX-License-Identifier: BSD-2-Clause
"""fluxpin doctor: nothing is wrong with a healthy lab; each thing that is broken is found by name,
and the command that is printed mends it."""

import contextlib
import os
import socket

import pytest

from doctor_report import doctor, findings, problems
from fluxpin import Fluxpin, configuration, pool, vips
from lab import Lab
from namespaces import KERNEL, wait_until

LB = "eth0:0-3"


def fluxpin_configuration(lab, **more):
    text = configuration([pool(lab, **more.pop("pool", {}))], vips(lab), **more)
    return Fluxpin(lab, text, start=False, queues="0-3")


def examine(lab, file, interface=LB):
    named = ["-i", interface] if interface else []
    return doctor(lab.lb, lab.fluxpin, "doctor", "-c", file, *named, "--json")


def examine_endpoint(lab, file, *arguments):
    command = [lab.fluxpin, "endpoint", "doctor", "-i", "eth0", "-c", file, *arguments, "--json"]
    return doctor(lab.backends[0], *command)


def mend(lab, namespace, finding):
    """Runs the printed command as an operator would."""
    path = f"PATH={lab.fluxpin.parent}:{os.environ['PATH']}"
    namespace.run(["env", path, "sh", "-c", finding["command"]])


def run_lines(namespace, lines):
    for line in lines:
        namespace.run(["sh", "-c", line])


@contextlib.contextmanager
def broken(namespace, lines, undo):
    """Whatever the test does, the lab is whole again."""
    try:
        run_lines(namespace, lines)
        yield
    finally:
        for line in undo:
            namespace.run(["sh", "-c", line], check=False)


# The load balancer


def test_a_healthy_load_balancer(lab):
    fluxpin = fluxpin_configuration(lab)
    assert not problems(examine(lab, fluxpin.file))
    with fluxpin.start():
        report = examine(lab, fluxpin.file)
        assert not problems(report)
        served = findings(report, "program")
        assert served[0]["message"] == "fluxpin serves eth0 by native XDP"
        # It takes nothing from the daemon: the neighbour is managed still.
        assert "managed" in lab.lb.output(["ip", "neigh", "show", "dev", "eth0"])


def test_for_people(lab):
    fluxpin = fluxpin_configuration(lab)
    with broken(lab.lb, ["ip link set eth0 mtu 1500"], ["ip link set eth0 mtu 1600"]):
        done = lab.lb.run(
            [lab.fluxpin, "doctor", "-c", fluxpin.file, "-i", LB], check=False
        )
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and not done.stderr
    assert all(line.split()[0] in ("ok", "note", "warning", "error") or line.startswith(" " * 13)
               for line in lines), lines
    at = next(i for i, line in enumerate(lines) if line.startswith("warning  the MTU of eth0"))
    assert lines[at + 1] == " " * 13 + "ip link set dev eth0 mtu 1524"
    assert lab.lb.run([lab.fluxpin, "doctor"]).returncode == 0


OTHER_DEVICE = "ip link add x0 type veth peer name x1 && ip link set x0 up && ip link set x1 up"
MTU = "ip link set eth0 mtu 1600"
DEFAULT = "ip route replace default via 10.0.0.1"
VIP = "203.0.113.10"

# What is done, what puts it right again, and what is found of it. {index}: eth0's.
BREAKAGES = {
    "MTU without room for the outer header": (
        ["ip link set eth0 mtu 1500"], [MTU], ("mtu", "eth0")),
    "MTU with which fluxpin does not start": (
        ["ip link set eth0 mtu 590"], [MTU], ("mtu", "eth0")),
    "MTU beyond a frame": (["ip link set eth0 mtu 3000"], [MTU], ("frame_size", "eth0")),
    "link down": (["ip link set eth0 down"], ["ip link set eth0 up", DEFAULT], ("link", "eth0")),
    "no ARP": (["ip link set eth0 arp off"], ["ip link set eth0 arp on", DEFAULT],
               ("arp", "eth0")),
    "a queue that cannot transmit": (
        ["ethtool -L eth0 tx 2"], ["ethtool -L eth0 tx 4"], ("queues", "eth0")),
    "strict reverse path filter": (
        [f"sysctl -qw net.ipv4.conf.all.rp_filter=1 && ip route add {VIP} dev lo"],
        ["sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0",
         f"ip route del {VIP} dev lo"], ("rp_filter", "eth0")),
    "no route": (
        ["ip route del default && ip route add 10.1.0.12 via 10.0.0.1"],
        ["ip route del 10.1.0.11", "ip route del 10.1.0.12", DEFAULT], ("route", "web/web-1")),
    "unreachable route": (
        ["ip route add unreachable 10.1.0.0/27 && ip route add 10.1.0.12 via 10.0.0.1"],
        ["ip route del unreachable 10.1.0.0/27", "ip route del 10.1.0.12"],
        ("route", "web/web-1")),
    "blackhole route in another table": (
        ["ip route add blackhole 10.1.0.11 table 77 && ip rule add to 10.1.0.11 lookup 77"],
        ["ip route flush table 77", "ip rule del to 10.1.0.11 lookup 77"],
        ("route", "web/web-1")),
    "route by another interface": (
        [f"{OTHER_DEVICE} && ip route add 10.1.0.11 dev x0"],
        ["ip link del x0", "ip route del 10.1.0.11"], ("route", "web/web-1")),
    "a backend's address on the load balancer": (
        ["ip addr add 10.1.0.11/32 dev lo"], ["ip addr del 10.1.0.11/32 dev lo"],
        ("route", "web/web-1")),
    "a VIP on the load balancer": (
        [f"ip addr add {VIP}/32 dev lo"], [f"ip addr del {VIP}/32 dev lo"],
        ("vip_local", "web")),
    "another XDP program": (
        ["{fluxpin} endpoint attach -i eth0 --mode native"], ["ip link set eth0 xdpdrv off"],
        ("program", "eth0")),
    "another XDP program, generic": (
        ["{fluxpin} endpoint attach -i eth0 --mode skb"], ["ip link set eth0 xdpgeneric off"],
        ("program", "eth0")),
    "a device with the TAP's name": (
        ["ip tuntap add mode tap name fluxpin-{index}"], ["ip link del fluxpin-{index}"],
        ("leftover_tap", "eth0")),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_broken_is_found_and_mended(lab, name):
    fluxpin = fluxpin_configuration(lab)
    lines, undo, key = BREAKAGES[name]
    names = {"index": lab.lb.ip_json("link show eth0")[0]["ifindex"], "fluxpin": lab.fluxpin}
    lines, undo = ([line.format(**names) for line in each] for each in (lines, undo))
    with broken(lab.lb, lines, undo):
        found = problems(examine(lab, fluxpin.file))
        assert key in found, found
        mend(lab, lab.lb, found[key])
        left = problems(examine(lab, fluxpin.file))
        assert key not in left, left
    assert not problems(examine(lab, fluxpin.file))


def test_the_most_specific_route_is_named(lab):
    fluxpin = fluxpin_configuration(lab)
    lines = ["ip route add unreachable 10.1.0.8/29 && ip route add unreachable 10.1.0.0/16"]
    undo = ["ip route del unreachable 10.1.0.8/29", "ip route del unreachable 10.1.0.0/16"]
    with broken(lab.lb, lines, undo):
        for prefix in ("10.1.0.8/29", "10.1.0.0/16"):
            finding = problems(examine(lab, fluxpin.file))["route", "web/web-1"]
            assert f"ip route del unreachable {prefix} " in finding["command"]
            mend(lab, lab.lb, finding)
        assert not problems(examine(lab, fluxpin.file))


def test_queues_without_worker(lab):
    fluxpin = fluxpin_configuration(lab)
    with broken(lab.lb, [], ["ethtool -L eth0 rx 4"]):
        found = problems(examine(lab, fluxpin.file, "eth0:0-1"))
        finding = found["queues", "eth0"]
        assert "4 receive queues, and no worker serves 2-3" in finding["message"]
        mend(lab, lab.lb, finding)
        assert not problems(examine(lab, fluxpin.file, "eth0:0-1"))
        # Fewer than are to be served.
        found = problems(examine(lab, fluxpin.file))
        assert "queue 3 is to be served" in found["queues", "eth0"]["message"]


def test_an_interface_that_is_not_there(lab):
    fluxpin = fluxpin_configuration(lab)
    found = problems(examine(lab, fluxpin.file, "eth7"))
    assert "no such interface" in found["interface", "eth7"]["message"]
    found = problems(examine(lab, fluxpin.file, "lo"))
    assert {check for check, subject in found if subject == "lo"} == {"interface"}


def test_no_carrier(lab):
    fluxpin = fluxpin_configuration(lab)
    with broken(lab.router, ["ip link set lb down"], ["ip link set lb up"]):
        found = problems(examine(lab, fluxpin.file))
        assert "no carrier" in found["link", "eth0"]["message"]
    lab.route_vips([lab.lb])
    wait_until(lambda: not problems(examine(lab, fluxpin.file)), 10, "a healthy lab")


def test_a_neighbour_that_does_not_answer(lab):
    fluxpin = fluxpin_configuration(lab)
    lines = ["ip addr del 10.0.0.1/24 dev lb"]
    undo = ["ip addr add 10.0.0.1/24 dev lb"]
    with broken(lab.router, lines, undo):
        lab.lb.run(["ip", "neigh", "flush", "dev", "eth0"])
        found = problems(examine(lab, fluxpin.file))
        for number in (1, 2, 3):
            message = found["neighbour", f"web/web-{number}"]["message"]
            assert "10.0.0.1, does not answer ARP on eth0" in message
    lab.route_vips([lab.lb])
    assert not problems(examine(lab, fluxpin.file))


def test_offloads(lab):
    """Of the other end, which is in another namespace; VLAN tags are a note without VLANs; GRO
    matters to generic XDP alone."""
    fluxpin = fluxpin_configuration(
        lab, interfaces=[{"name": "eth0", "queues": "0-3", "mode": "skb"}]
    )
    off = ["ethtool -K lb tx off tso off"]
    with broken(lab.router, ["ethtool -K lb tx on tso on"], off):
        finding = problems(examine(lab, fluxpin.file))["peer_offloads", "eth0"]
        assert f"ip netns exec {lab.router.name} ethtool -K lb" in finding["command"]
        mend(lab, lab.lb, finding)
        assert not problems(examine(lab, fluxpin.file))
    with broken(lab.lb, ["ethtool -K eth0 gro on"], ["ethtool -K eth0 gro off"]):
        assert not problems(examine(lab, fluxpin.file))
        finding = problems(examine(lab, fluxpin.file, interface=None))["gro", "eth0"]
        mend(lab, lab.lb, finding)
        assert not problems(examine(lab, fluxpin.file, interface=None))
    undo = ["ethtool -K eth0 rxvlan on rx-vlan-stag-hw-parse on"]
    with broken(lab.lb, [], undo):
        note = problems(examine(lab, fluxpin.file), ["note"])["vlan_offload", "eth0"]
        mend(lab, lab.lb, note)
        assert ("vlan_offload", "eth0") not in problems(examine(lab, fluxpin.file), ["note"])


def test_interrupts_of_every_queue(lab):
    """A veth has none: what the kernel says of a card's is laid over its files. Without a list of
    queues each of the four has a worker."""
    folder = lab.lb.directory / "kernel"
    (folder / "irq").mkdir(parents=True)
    lines = ["      CPU0 CPU1\n"]
    for queue, cpu in enumerate((1, 0, 0, 0)):
        (folder / f"irq/{41 + queue}").mkdir()
        (folder / f"irq/{41 + queue}/smp_affinity_list").write_text(f"{cpu}\n")
        lines.append(f" {41 + queue}: 0 0 PCI-MSI {queue}-edge eth0-TxRx-{queue}\n")
    (folder / "interrupts").write_text("".join(lines))
    overlay = (f"mount --bind {folder}/interrupts /proc/interrupts && "
               f"mount --bind {folder}/irq /proc/irq && exec \"$@\"")

    def commands(*named, **more):
        file = fluxpin_configuration(lab, **more).file
        report = doctor(lab.lb, "unshare", "--mount", "sh", "-c", overlay, "sh", lab.fluxpin, "doctor",
                        "-c", file, *named, "--json")
        return [each["command"] for each in findings(report, "interrupts")]

    assert commands(interfaces=[{"name": "eth0", "cpus": "1,0"}]) == [
        "echo 1 > /proc/irq/43/smp_affinity_list"]
    assert commands("-i", "eth0:0-1@0-1") == [
        f"echo {cpu} > /proc/irq/{41 + cpu}/smp_affinity_list" for cpu in (0, 1)]
    assert commands("-i", "eth0:1@0") == []


RPS = "/sys/class/net/eth0/queues/rx-1/rps_cpus"
NOTES = {
    "forwarding": (["sysctl -qw net.ipv4.ip_forward=1"], ["sysctl -qw net.ipv4.ip_forward=0"],
                   ("ip_forward", "")),
    "RPS": ([f"echo 1 > {RPS}"], [f"echo 0 > {RPS}"], ("rps", "eth0")),
    "strict reverse path filter, harmless": (
        ["sysctl -qw net.ipv4.conf.eth0.rp_filter=1"],
        ["sysctl -qw net.ipv4.conf.eth0.rp_filter=0"], ("rp_filter", "eth0")),
}


@pytest.mark.parametrize("name", NOTES)
def test_notes_are_mended_too(lab, name):
    fluxpin = fluxpin_configuration(lab)
    lines, undo, key = NOTES[name]
    with broken(lab.lb, lines, undo):
        report = examine(lab, fluxpin.file)
        assert report["healthy"]
        mend(lab, lab.lb, problems(report, ["note"])[key])
        assert key not in problems(examine(lab, fluxpin.file), ["note"])


def test_leftovers_of_a_killed_fluxpin(lab):
    fluxpin = fluxpin_configuration(lab)
    fluxpin.start()
    fluxpin.kill9()
    with socket.socket(socket.AF_UNIX) as control:
        fluxpin.control.unlink(missing_ok=True)
        control.bind(str(fluxpin.control))
    found = problems(examine(lab, fluxpin.file))
    assert set(found) == {
        ("leftover_program", "eth0"),
        ("leftover_neighbours", "eth0"),
        ("leftover_metrics", ""),
        ("leftover_control", ""),
    }
    for finding in found.values():
        mend(lab, lab.lb, finding)
    assert not problems(examine(lab, fluxpin.file))
    assert lab.lb.xdp() is None and not fluxpin.metrics_file.exists()


def test_routes_that_announce_without_a_fluxpin(lab):
    fluxpin = fluxpin_configuration(lab, announce={"table": 77})
    line = f"ip route add blackhole {VIP} table 77 proto 213 metric 213"
    with broken(lab.lb, [line], ["ip route flush table 77"]):
        finding = problems(examine(lab, fluxpin.file))["leftover_routes", ""]
        mend(lab, lab.lb, finding)
        assert not problems(examine(lab, fluxpin.file))


def test_a_fluxpin_without_its_program(lab):
    fluxpin = fluxpin_configuration(lab)
    with fluxpin.start():
        lab.lb.run(["ip", "link", "set", "dev", "eth0", "xdp", "off"])
        found = problems(examine(lab, fluxpin.file))
        assert "its XDP program was detached" in found["program", "eth0"]["message"]


def test_a_configuration_that_is_not_valid(lab, tmp_path):
    file = tmp_path / "bad.conf"
    file.write_text('hash_seed = "x";\n')
    found = problems(examine(lab, file))
    assert any(check == "configuration" for check, _ in found)


def test_the_encapsulation_needs_a_neighbour(lab):
    fluxpin = fluxpin_configuration(lab, pool={"encapsulation": "l2"})
    found = problems(examine(lab, fluxpin.file))
    assert "behind a router" in found["route", "web/web-1"]["message"]


# A backend


@pytest.fixture
def backend_file(lab):
    return fluxpin_configuration(lab).file


def test_a_healthy_backend(lab, backend_file):
    report = examine_endpoint(lab, backend_file)
    assert not problems(report)
    checks = {each["check"] for each in report["findings"] if each["severity"] == "ok"}
    assert checks >= {"decapsulation", "vip", "listener", "arp", "rp_filter", "mss", "link"}


BACKEND_BREAKAGES = {
    "decapsulation detached": (
        ["{fluxpin} endpoint detach -i eth0"], [], ("decapsulation", "eth0")),
    "attached in generic mode": (
        ["{fluxpin} endpoint detach -i eth0 && {fluxpin} endpoint attach -i eth0 --mode skb"],
        ["{fluxpin} endpoint detach -i eth0"], ("decapsulation_generic", "eth0")),
    "an address that the program does not know": (
        ["ip addr add 10.1.0.99/32 dev eth0"], ["ip addr del 10.1.0.99/32 dev eth0"],
        ("addresses", "eth0")),
    "no VIP": ([f"ip addr del {VIP}/32 dev lo"], [f"ip addr add {VIP}/32 dev lo"],
               ("vip", VIP)),
    "VIP on the NIC": (
        [f"ip addr del {VIP}/32 dev lo && ip addr add {VIP}/32 dev eth0"],
        [f"ip addr del {VIP}/32 dev eth0", f"ip addr add {VIP}/32 dev lo"],
        ("vip_device", VIP)),
    "strict reverse path filter": (
        [f"sysctl -qw net.ipv4.conf.all.rp_filter=1 && {OTHER_DEVICE}"
         " && ip route add 198.18.0.0/15 dev x0"],
        ["ip link del x0",
         "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0"],
        ("rp_filter", "eth0")),
    "MSS without room for the outer header": (
        ["ip link set eth0 mtu 1500"],
        [MTU, "ip route replace default via 10.1.0.1 mtu 1500"], ("mss", "eth0")),
    "a large MSS on the route": (
        ["ip route replace default via 10.1.0.1 advmss 1460 && ip link set eth0 mtu 1510"],
        [MTU, "ip route replace default via 10.1.0.1 mtu 1500"], ("mss", "eth0")),
    "link down": (
        ["ip link set eth0 down"],
        ["ip link set eth0 up", "ip route replace default via 10.1.0.1 mtu 1500"],
        ("link", "eth0")),
}


@pytest.mark.parametrize("name", BACKEND_BREAKAGES)
def test_what_is_broken_of_a_backend_is_found_and_mended(lab, backend_file, name):
    backend = lab.backends[0]
    lines, undo, key = BACKEND_BREAKAGES[name]
    undo = [*undo, "{fluxpin} endpoint attach -i eth0"]
    lines, undo = ([line.format(fluxpin=lab.fluxpin) for line in each] for each in (lines, undo))
    severities = ("warning", "error")
    if KERNEL < (6, 3) and key[0] == "decapsulation_generic":
        severities = ("note",)  # drivers do not say then whether they have native XDP
    with broken(backend, lines, undo):
        found = problems(examine_endpoint(lab, backend_file), severities)
        assert key in found, found
        if "note" in severities:
            return  # nor can they be told to take it
        mend(lab, backend, found[key])
        left = problems(examine_endpoint(lab, backend_file), severities)
        assert key not in left, left
    assert not problems(examine_endpoint(lab, backend_file))


def test_the_mss_that_is_advised_keeps_the_route(lab, backend_file):
    backend = lab.backends[0]
    undo = [MTU, "ip route replace default via 10.1.0.1 mtu 1500"]
    with broken(backend, ["ip link set eth0 mtu 1500"], undo):
        mend(lab, backend, problems(examine_endpoint(lab, backend_file))["mss", "eth0"])
        route = backend.output(["ip", "route", "show", "default"])
        # 1500 less 24 of GRE over IPv4 and 40 of IPv4 and TCP.
        assert "via 10.1.0.1 dev eth0" in route and "advmss 1436" in route and "mtu 1500" in route


def test_arp_for_vips(lab, backend_file):
    backend = lab.backends[0]
    key = "arp", "eth0"
    undo = ["sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"]
    lines = ["sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0"]
    with broken(backend, lines, undo):
        # Nobody on the link asks for the VIPs of the configuration, which are elsewhere.
        assert key in problems(examine_endpoint(lab, backend_file), ["note"])
        near = ["--vip", "10.1.0.80"]
        finding = problems(examine_endpoint(lab, backend_file, *near))[key]
        mend(lab, backend, finding)
        assert key not in problems(examine_endpoint(lab, backend_file, *near))


def test_a_vip_that_nobody_listens_on(lab):
    fluxpin = fluxpin_configuration(lab)
    text = fluxpin.file.read_text().replace("port = 80;", "port = 81;")
    fluxpin.file.write_text(text)
    found = problems(examine_endpoint(lab, fluxpin.file))
    assert "nobody listens on TCP port 81" in found["listener", "web"]["message"]


def test_a_host_that_is_no_backend(lab, backend_file):
    command = [lab.fluxpin, "endpoint", "doctor", "-i", "eth0", "-c", backend_file, "--json"]
    found = problems(doctor(lab.client, *command))
    assert {"backend", "decapsulation", "vip"} <= {check for check, _ in found}


# Probes


def running(fluxpin, runs):
    return fluxpin.start() if runs else contextlib.nullcontext()


def probe(lab, file, target="web/web-1", *arguments):
    command = [lab.fluxpin, "doctor", "-c", file, "-i", LB, "--probe", target, *arguments]
    report = doctor(lab.lb, *command, "--json")
    last = findings(report, "probe")[-1]
    return report["outcome"], last["message"], problems(report)


@pytest.mark.parametrize("encapsulation", ["gre", "ipip", "gue"])
@pytest.mark.parametrize("runs", [False, True])
def test_a_probe_is_answered(lab, encapsulation, runs):
    fluxpin = fluxpin_configuration(lab, pool={"encapsulation": encapsulation})
    counter = f"decapsulated_{encapsulation}_ipv4"
    before = lab.endpoint_counters(lab.backends[1])[counter]
    with running(fluxpin, runs):
        outcome, message, wrong = probe(lab, fluxpin.file, "web/web-2")
    assert (outcome, wrong) == ("answered", {}), message
    # Two SYNs, and an RST after each. The kernel sends RSTs, too, which fluxpin takes for clients'.
    found = lab.endpoint_counters(lab.backends[1])[counter] - before
    assert found >= 4 if runs else found == 4


def test_a_probe_to_a_vip_of_udp_is_refused_as_it_should(lab, backend_file):
    outcome, message, wrong = probe(lab, backend_file, "web/web-1", "--vip", "dns")
    assert (outcome, wrong) == ("refused", {}), message


def test_a_probe_finds_that_nobody_listens(lab):
    fluxpin = fluxpin_configuration(lab)
    fluxpin.file.write_text(fluxpin.file.read_text().replace("port = 80;", "port = 81;"))
    outcome, message, wrong = probe(lab, fluxpin.file)
    assert outcome == "refused" and "nobody listens" in message and wrong


PROBES = {
    "no VIP": ("backend", [f"ip addr del {VIP}/32 dev lo"], [f"ip addr add {VIP}/32 dev lo"],
               "no answer", "decapsulation or VIP is missing"),
    "no decapsulation": ("backend", ["{fluxpin} endpoint detach -i eth0"],
                         ["{fluxpin} endpoint attach -i eth0"], "icmp error",
                         # "protocol", or "port" of a kernel with tunnel devices of its own.
                         'unreachable" by ICMP to the outer header: nobody takes gre off there'),
    "a router without a route": ("router", ["ip route add unreachable 10.1.0.11"],
                                 ["ip route del unreachable 10.1.0.11"], "icmp error",
                                 '10.0.0.1 answers "host unreachable"'),
    "no route": ("lb", ["ip route add unreachable 10.1.0.11"],
                 ["ip route del unreachable 10.1.0.11"], "no next hop", "no route"),
}


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("name", PROBES)
def test_a_probe_says_how_far_it_came(lab, name, runs):
    fluxpin = fluxpin_configuration(lab)
    where, lines, undo, expected, words = PROBES[name]
    namespace = {"backend": lab.backends[0], "router": lab.router, "lb": lab.lb}[where]
    lines, undo = ([line.format(fluxpin=lab.fluxpin) for line in each] for each in (lines, undo))
    with running(fluxpin, runs):
        with broken(namespace, lines, undo):
            outcome, message, wrong = probe(lab, fluxpin.file)
            assert outcome == expected and words in message and wrong, (outcome, message)
        assert probe(lab, fluxpin.file)[0] == "answered"


def test_a_probe_finds_a_small_mtu_on_the_way(lab, backend_file):
    with broken(lab.router, ["ip link set b1 mtu 1500"], ["ip link set b1 mtu 1600"]):
        outcome, _, wrong = probe(lab, backend_file)
        assert outcome == "answered"
        assert "1524 with the outer header" in wrong["probe_size", "web/web-1"]["message"]
    assert not probe(lab, backend_file)[2]


@pytest.mark.parametrize("arguments, status", [
    (["doctor", "--probe", "web/web-1"], 2),
    (["doctor", "--vip", "web"], 2),
    (["doctor", "more"], 2),
    (["doctor", "-i", "eth0:7-3"], 2),
    (["doctor", "--help"], 0),
    (["endpoint", "doctor"], 2),
    (["endpoint", "doctor", "-i", "eth0", "--vip", "x"], 2),
    (["endpoint", "doctor", "--help"], 0),
])
def test_usage(lab, arguments, status):
    done = lab.lb.run([lab.fluxpin, *arguments], check=False)
    assert done.returncode == status
    assert "usage" in (done.stderr if status else done.stdout)


def test_a_probe_to_nobody(lab, backend_file):
    for target in ("web/web-9", "nowhere/web-1", "web"):
        outcome, message, _ = probe(lab, backend_file, target)
        assert outcome == "impossible" and f"no backend {target}" in message


# IPv6


@pytest.fixture(scope="module")
def lab_ipv6():
    with Lab(backends=1, ipv6=True) as built:
        yield built


def ipv6_configuration(lab, encapsulation="gre"):
    """An IPv6 VIP, and an IPv4 one, of a backend that is reached by IPv6."""
    backend = {"name": "web-1", "address": lab.backends[0].ipv6_address}
    six = {"name": "six", "address": lab.http_vip_ipv6, "protocol": "tcp", "port": 80}
    four = {"name": "four", "address": lab.http_vip, "protocol": "tcp", "port": 80}
    text = configuration(
        [pool(lab, backends=[backend], encapsulation=encapsulation)],
        [{**six, "pool": "web"}, {**four, "pool": "web"}],
    )
    return Fluxpin(lab, text, start=False, queues="0-3").file


IPV6_BREAKAGES = {
    "unreachable route": (
        "lb", ["ip -6 route add unreachable fd00:1::/64"],
        ["ip -6 route del unreachable fd00:1::/64"], ("route", "web/web-1")),
    "a VIP on the load balancer": (
        "lb", ["ip addr add 2001:db8::10/128 dev lo"], ["ip addr del 2001:db8::10/128 dev lo"],
        ("vip_local", "six")),
    "MTU without room for IPv6": (
        "lb", ["ip link set eth0 mtu 1300"], [MTU, "ip -6 route replace default via fd00::1"],
        ("mtu", "eth0")),
    "no VIP": (
        "backend", ["ip addr del 2001:db8::10/128 dev lo"],
        ["ip addr add 2001:db8::10/128 dev lo"], ("vip", "2001:db8::10")),
    "MSS without room for the outer header": (
        "backend", ["ip link set eth0 mtu 1500"],
        [MTU, "ip -6 route replace default via fd00:1::1 mtu 1500",
         "ip route replace default via 10.1.0.1 mtu 1500"], ("mss", "eth0")),
}


@pytest.mark.parametrize("name", IPV6_BREAKAGES)
def test_what_is_broken_of_ipv6(lab_ipv6, name):
    lab = lab_ipv6
    file = ipv6_configuration(lab)
    where, lines, undo, key = IPV6_BREAKAGES[name]
    namespace = lab.lb if where == "lb" else lab.backends[0]
    look = examine if where == "lb" else examine_endpoint
    with broken(namespace, lines, undo):
        found = [each for each in look(lab, file)["findings"]
                 if (each["check"], each["subject"]) == key and each["command"]]
        assert found
        for finding in found:
            mend(lab, namespace, finding)
        assert key not in problems(look(lab, file))
    assert not problems(look(lab, file))


@pytest.mark.parametrize("encapsulation", ["gre", "ipip", "gue"])
@pytest.mark.parametrize("vip", ["six", "four"])
def test_a_probe_over_ipv6(lab_ipv6, encapsulation, vip):
    file = ipv6_configuration(lab_ipv6, encapsulation)
    outcome, message, wrong = probe(lab_ipv6, file, "web/web-1", "--vip", vip)
    assert (outcome, wrong) == ("answered", {}), message
    with broken(
        lab_ipv6.backends[0],
        [f"{lab_ipv6.fluxpin} endpoint detach -i eth0"],
        [f"{lab_ipv6.fluxpin} endpoint attach -i eth0"],
    ):
        outcome, message, wrong = probe(lab_ipv6, file, "web/web-1", "--vip", vip)
        if encapsulation == "gue":
            # UDP over IPv6 without a checksum is thrown away without a word.
            assert outcome == "no answer"
        else:
            assert outcome == "icmp error" and f"nobody takes {encapsulation} off" in message
