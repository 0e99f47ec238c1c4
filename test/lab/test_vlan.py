# SPDX-License-Identifier: BSD-2-Clause
"""VLAN devices of the load balancer towards its backends: the client's side is plain, and the
bridge of the backends is reached under tags.

    client ── router ────────────── eth0 of lb
                lb.100 ══ VLAN 100 ══ eth0.100
                  │ br0
               b1, b2

Skipped where the kernel makes no VLAN devices.
"""

import subprocess

import pytest
from capture import Capture
from curl import get, upload
from link_frames import PAYLOAD, answer, ethernet, ip, send, tagged, untagged
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

from fluxpin import Fluxpin, configuration, pool, vips
from lab import MTU, Lab
from namespaces import wait_until

# (TPID, VLAN), the outermost first.
STACKS = {
    "802.1Q": [(0x8100, 100)],
    "802.1ad": [(0x88A8, 200)],
    "QinQ": [(0x88A8, 200), (0x8100, 7)],
    "802.1Q twice": [(0x8100, 100), (0x8100, 4095 - 1)],
}
PROTOCOLS = {0x8100: "802.1Q", 0x88A8: "802.1ad"}
# Neither side's NIC has it, so that it tells what is used as a source.
VLAN_MAC = "02:00:00:00:01:00"
ADDRESSES = ["10.1.0.5/24", "fd00:1::5/64"]
ELSEWHERE = "10.9.9.9"  # behind the router on the client's side
FOREIGN = bytes.fromhex("8100 a037")  # a VLAN that neither side has a device for


def why_not():
    """Why the kernel makes no VLAN devices, or None."""
    lines = ("ip link add under type veth && "
             "ip link add link under name probe type vlan protocol 802.1ad id 1")
    command = ["unshare", "--net", "sh", "-c", lines]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


@pytest.fixture(scope="module")
def lab():
    if reason := why_not():
        pytest.skip(f"ip link add type vlan: {reason}")
    with Lab(backends=2, ipv6=True) as built:
        # XDP at the other end of a veth does not see a tag that is not in the frame.
        for namespace, interface in ((built.router, "lb"), (built.lb, "eth0")):
            namespace.run(["ethtool", "-K", interface, "txvlan", "off",
                           "tx-vlan-stag-hw-insert", "off"])
        built.lb.ip(f"route add {ELSEWHERE}/32 via 10.0.0.1")
        yield built


class Devices:
    """A stack of VLAN devices on both ends of the link between router and load balancer."""

    def __init__(self, lab, stack, mtu=None):
        self.lab = lab
        self.tags = b"".join(tpid.to_bytes(2, "big") + vlan.to_bytes(2, "big")
                             for tpid, vlan in stack)
        self.mtu = mtu or MTU - 4 * (len(stack) - 1)  # veth has room for one tag
        self.bottom = f"eth0.{stack[0][1]}"
        self.top = self._make(lab.lb, "eth0", stack)
        lab.lb.ip(f"link set {self.top} down", f"link set {self.top} address {VLAN_MAC}",
                  f"link set {self.top} up",
                  *(f"addr add {address} dev {self.top}" for address in ADDRESSES))
        self.port = self._make(lab.router, "lb", stack)
        lab.router.ip(f"link set {self.port} master br0")

    def _make(self, namespace, lower, stack):
        for number, (tpid, vlan) in enumerate(stack):
            name = f"{lower}.{vlan}"
            mtu = self.mtu if number + 1 == len(stack) else MTU
            namespace.ip(f"link add link {lower} name {name} mtu {mtu} type vlan"
                         f" protocol {PROTOCOLS[tpid]} id {vlan}")
            if namespace is self.lab.router:  # a port of the bridge, or below one
                namespace.ip(f"link set {name} addrgenmode none")
            namespace.ip(f"link set {name} up")
            lower = name
        return lower

    def close(self):
        self.lab.lb.run(["ip", "link", "del", self.bottom], check=False)
        self.lab.router.run(["ip", "link", "del", self.bottom.replace("eth0", "lb")], check=False)


@pytest.fixture
def devices(request, lab):
    """The stack that a test's parameter names; VLAN 100 by default."""
    made = Devices(lab, STACKS[getattr(request, "param", "802.1Q")])
    yield made
    made.close()


def text(lab, encapsulation="gre", backends=None, **more):
    return configuration([pool(lab, encapsulation=encapsulation, backends=backends, **more)],
                         [*vips(lab), {"name": "web6", "address": lab.http_vip_ipv6,
                                       "protocol": "tcp", "port": 80, "pool": "web"}])


def await_frame(lab, sent, is_wanted, what):
    """Sends a frame again and again until one of the kind that is wanted comes back: what changes
    is followed, and packets may be lost meanwhile."""
    with Capture(lab.router, "lb") as capture:
        def seen():
            send(lab, sent)
            return any(is_wanted(each) for _, each in list(capture.frames))

        wait_until(seen, 20, what, interval=0.2)


def in_pool(name, address):
    return [{"name": name, "address": address}]


def request_of(lab, payload=PAYLOAD, **more):
    """One that no backend answers: the checksum is wrong, which is theirs to check."""
    udp = UDP(sport=4000, dport=53, chksum=0xBAD)
    return ethernet(lab) / ip(lab.dns_vip, **more) / udp / Raw(payload)


# Each stack and each encapsulation once; the other combinations are exhaustive.
ENCAPSULATIONS = ("gre", "ipip", "gue", "l2")
QUICK = set(zip(STACKS, ENCAPSULATIONS))
COMBINATIONS = [
    pytest.param(stack, encapsulation, id=f"{stack}-{encapsulation}",
                 marks=[] if (stack, encapsulation) in QUICK else pytest.mark.exhaustive)
    for stack in STACKS for encapsulation in ENCAPSULATIONS
]


@pytest.mark.parametrize("devices, encapsulation", COMBINATIONS, indirect=["devices"])
def test_http_over_vlan_devices(lab, devices, encapsulation):
    """Requests and full-size segments of both families; every packet leaves under the tags."""
    with Fluxpin(lab, text(lab, encapsulation)) as fluxpin:
        with Capture(lab.router, "lb") as capture:
            for vip in (lab.http_vip, lab.http_vip_ipv6):
                answers = get(lab, vip, 20)
                assert set(answers) == {"web-1", "web-2"} and answers.total() == 20, answers
                assert upload(lab, vip, 200000)
            metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0
        assert metrics.sum("fluxpin_worker_answered_packets_total") == 0
        source = bytes.fromhex(VLAN_MAC.replace(":", ""))
        sources = (source, lab.lb.mac())
        from_lb = [each for _, each in capture.frames if each[6:12] in sources]
        under_tags = [each for each in from_lb if each[12:].startswith(devices.tags)]
        assert {each[6:12] for each in under_tags} == {source}
        assert len(under_tags) >= metrics.sum("fluxpin_worker_forwarded_packets_total")
        # The kernel itself sends neither tunnels nor TCP there.
        plain = [each for each in from_lb
                 if each[12:14] == b"\x08\x00" and each[23] in (4, 6, 17, 41, 47)]
        assert not plain, plain[0].hex()
    entries = lab.lb.ip_json(f"neigh show dev {devices.top}")
    assert not [entry for entry in entries if entry.get("protocol") == "213"], entries


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
@pytest.mark.parametrize("devices", ["QinQ"], indirect=True)
def test_outer_families(lab, devices, outer):
    backends = [{"name": each.name_in_pool,
                 "address": each.address if outer == "ipv4" else each.ipv6_address}
                for each in lab.backends]
    with Fluxpin(lab, text(lab, "gue", backends)) as fluxpin:
        for vip in (lab.http_vip, lab.http_vip_ipv6):
            answers = get(lab, vip, 20)
            assert set(answers) == {"web-1", "web-2"} and answers.total() == 20, answers
        assert fluxpin.assert_balanced().sum("fluxpin_worker_dropped_packets_total") == 0


@pytest.mark.parametrize("mode", ["copy", "skb"])
@pytest.mark.parametrize("devices", ["802.1Q", "QinQ"], indirect=True)
def test_tags_of_the_packet_do_not_count(lab, devices, mode):
    """Under no tag, another one, or two; to the NIC's address or the VLAN device's: a packet
    leaves under the tags of the way out. Answers keep their own."""
    own = [b"", FOREIGN, b"\x88\xa8\x00\x05" + FOREIGN]
    backends = in_pool("web-1", lab.backends[0].address)
    with Fluxpin(lab, text(lab, backends=backends), mode=mode) as fluxpin:
        for mac in (lab.lb.mac().hex(":"), VLAN_MAC):
            for tags in own:
                sent = bytes(request_of(lab))
                sent = bytes.fromhex(mac.replace(":", "")) + sent[6:]
                got = untagged(answer(lab, lab.router, "lb", tagged(sent, tags)), devices.tags)
                assert got[6:12].hex(":") == VLAN_MAC
                assert got[:6] == lab.backends[0].mac()
                assert got[38:] == sent[14:]
                echo = bytes(ethernet(lab, dst=mac) / ip(lab.dns_vip) / ICMP() / Raw(PAYLOAD))
                got = untagged(answer(lab, lab.router, "lb", tagged(echo, tags)), tags)
                assert got[6:12].hex(":") == mac and IP(got[14:])[ICMP].type == 0
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_forwarded_packets_total") == 6
        assert metrics.sum("fluxpin_worker_answered_packets_total") == 6


def test_the_nic_itself_and_no_devices_at_all(lab, devices):
    """A way out by the NIC has no tag while there are VLAN devices; when the last is gone, packets
    keep their own."""
    with Fluxpin(lab, text(lab, backends=in_pool("elsewhere", ELSEWHERE))) as fluxpin:
        sent = bytes(request_of(lab))
        got = answer(lab, lab.router, "lb", tagged(sent, FOREIGN))
        assert got[12:14] == b"\x08\x00" and got[6:12] == lab.lb.mac()

        devices.close()
        await_frame(lab, tagged(sent, FOREIGN),
                    lambda frame: PAYLOAD in frame and frame[12:16] == FOREIGN,
                    "frames under the packet's own tag")
        again = Devices(lab, STACKS["802.1Q"])
        try:
            await_frame(lab, tagged(sent, FOREIGN),
                        lambda frame: PAYLOAD in frame and frame[12:14] == b"\x08\x00",
                        "frames without tags")
        finally:
            again.close()
        fluxpin.assert_balanced()


def test_changes_are_followed(lab, devices):
    """Down, up, another address, another MTU, gone: without a packet that finds no backend, since
    the default route leads to the backends, too."""
    backends = in_pool("web-1", lab.backends[0].address)
    sent = bytes(request_of(lab))

    def expect(mac, ethertype):
        start = bytes.fromhex(mac.replace(":", "") + ethertype)
        await_frame(lab, sent, lambda frame: PAYLOAD in frame and frame[6:14] == start,
                    f"frames of {mac}, {ethertype}")

    nic = lab.lb.mac().hex(":")
    with Fluxpin(lab, text(lab, backends=backends)) as fluxpin:
        expect(VLAN_MAC, "8100")
        lab.lb.ip(f"link set {devices.top} down")
        expect(nic, "0800")
        lab.lb.ip(f"link set {devices.top} up")
        expect(VLAN_MAC, "8100")
        lab.lb.ip(f"link set {devices.top} address 02:00:00:00:01:77")
        expect("02:00:00:00:01:77", "8100")
        lab.lb.ip(f"link set {devices.top} mtu 1400")
        long = bytes(request_of(lab, bytes(1400 - 24 - 28 + 1), flags="DF"))
        told = (3 << 8 | 4).to_bytes(2, "big"), (1400 - 24).to_bytes(2, "big")
        await_frame(lab, long, lambda frame: (frame[34:36], frame[40:42]) == told,
                    "the MTU of the VLAN device")
        lab.lb.ip(f"link del {devices.top}")
        expect(nic, "0800")
        fluxpin.assert_balanced()
        assert "gets no traffic" not in fluxpin.log()


def test_three_levels(lab):
    """More tags than a frame may have: told, and dropped."""
    devices = Devices(lab, [(0x88A8, 200), (0x8100, 7), (0x8100, 8)])
    try:
        backends = in_pool("web-1", lab.backends[0].address)
        with Fluxpin(lab, text(lab, backends=backends)) as fluxpin:
            fluxpin.wait_for_log(r"web/web-1 .*gets no traffic.*behind more than two VLAN tags")
            send(lab, bytes(request_of(lab)))
            metrics = fluxpin.wait_for(lambda metrics: metrics.sum(
                "fluxpin_worker_dropped_packets_total", reason="no_next_hop") > 0)
            assert metrics.sum("fluxpin_worker_forwarded_packets_total") == 0
    finally:
        devices.close()


def test_an_mtu_without_room_for_two_tags_is_warned_about(lab):
    devices = Devices(lab, STACKS["QinQ"], mtu=MTU)
    try:
        with Fluxpin(lab, text(lab)) as fluxpin:
            fluxpin.wait_for_log(rf"eth0: packets of up to {MTU} bytes leave under two VLAN tags")
    finally:
        devices.close()


@pytest.mark.parametrize("devices", STACKS, indirect=True)
def test_slow_path_under_tags(lab, devices):
    """ARP, neighbour discovery and ping on the VLAN devices, both ways, by the TAP."""
    backend = lab.backends[0]
    with Fluxpin(lab, text(lab), queues="0-3", cpus="0-1") as fluxpin:
        for own, other in zip(ADDRESSES, (backend.address, backend.ipv6_address)):
            backend.ip("neigh flush dev eth0")
            lab.lb.ip(f"neigh flush dev {devices.top}")
            backend.run(["ping", "-c", "2", "-i", "0.2", "-W", "3", own.split("/")[0]])
            lab.lb.run(["ping", "-c", "2", "-i", "0.2", "-W", "3", other])
        metrics = fluxpin.assert_balanced()
        assert metrics.sum("fluxpin_worker_slow_path_packets_total") >= 8
