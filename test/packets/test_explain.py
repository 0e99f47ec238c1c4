# SPDX-License-Identifier: BSD-2-Clause
"""explain says what replay does."""

import json
import subprocess

import pytest
from frames import BACKENDS, CLIENT, CONFIGURATION, HTTP_VIP, tcp, udp
from replay import FLUXPIN, replay


def explain(tmp_path, *arguments, configuration=CONFIGURATION):
    (tmp_path / "a.conf").write_text(configuration)
    return subprocess.run([FLUXPIN, "explain", "-c", "a.conf", *arguments], cwd=tmp_path,
                          capture_output=True, text=True, check=False)


def document(tmp_path, flow, **more):
    done = explain(tmp_path, flow, "--json", **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_agrees_with_replay(tmp_path):
    for port in range(1000, 1040):
        said = document(tmp_path, f"tcp {CLIENT}:{port} {HTTP_VIP}:80")
        frame = replay(CONFIGURATION, [tcp(source_port=port)]).sent[0][1]
        outer = bytes.fromhex(said["outer_header"])
        assert said["verdict"] == "forward" and said["vip"] == "http" and said["pool"] == "web"
        assert BACKENDS[said["backend"]] == said["address"]
        assert frame[30:34] == bytes(map(int, said["address"].split(".")))
        # The replayed SYN is as long as the one that explain makes up.
        assert len(outer) == 24 and outer == frame[14:38]
        assert 0 <= said["slot"] < said["table_size"] == 65537


def test_vips_that_do_not_match_say_why(tmp_path):
    more = CONFIGURATION.replace('vips = (', '''vips = (
  { name = "wide"; address = "203.0.113.0/24"; protocol = "tcp"; port = 0; pool = "web"; },
  { name = "udp80"; address = "203.0.113.10"; protocol = "udp"; port = 80; pool = "web"; },
  { name = "tls"; address = "203.0.113.10"; protocol = "tcp"; port = 443; pool = "web"; },''')
    said = document(tmp_path, f"tcp {CLIENT}:1 {HTTP_VIP}:80", configuration=more)
    why = {each["name"]: (each["chosen"], each["why"]) for each in said["vips"]}
    assert why["http"] == (True, "matches")
    assert why["wide"] == (False, "no: matches, but less specifically")
    assert why["udp80"] == (False, "no: another protocol")
    assert why["tls"] == (False, "no: another port")
    assert why["dns"] == (False, "no: another address")


def test_everything_of_ipv6_does_not_mean_ipv4(tmp_path):
    more = CONFIGURATION.replace('vips = (', '''vips = (
  { name = "all6"; address = "::/0"; protocol = "any"; pool = "web"; },''')

    def said(flow):
        answer = document(tmp_path, flow, configuration=more)
        why = {each["name"]: each["why"] for each in answer["vips"]}
        return answer["verdict"], why["all6"]

    assert said(f"tcp {CLIENT}:1 {HTTP_VIP}:80") == ("forward", "no: another address")
    assert said(f"tcp {CLIENT}:1 {HTTP_VIP}:81") == ("slow_path", "no: another address")
    assert said("tcp [2001:db8::1]:1 [2001:db8::2]:80") == ("forward", "matches")
    assert said("udp [fe80::1]:546 [fe80::2]:547") == ("slow_path", "no: another address")
    assert said("udp [fe80::1]:1 [ff02::1]:1") == ("slow_path", "no: another address")


def test_no_vip_and_no_backend(tmp_path):
    said = document(tmp_path, f"tcp {CLIENT}:1 203.0.113.11:80")
    assert said["verdict"] == "slow_path" and "vip" not in said
    said = document(tmp_path, f"tcp {CLIENT}:1 203.0.113.99:80")
    assert (said["verdict"], said["reason"], said["vip"]) == ("drop", "no_backend", "nobody")


def test_the_hash_depends_on_the_seed_and_nothing_else(tmp_path):
    flow = f"udp {CLIENT}:5 203.0.113.53:53"
    first = document(tmp_path, flow)
    assert document(tmp_path, flow) == first
    other = CONFIGURATION.replace("0123456789abcdef", "0123456789abcdee")
    assert document(tmp_path, flow, configuration=other)["hash"] != first["hash"]
    assert replay(CONFIGURATION, [udp(source_port=5)]).status == 0


def test_text(tmp_path):
    done = explain(tmp_path, f"tcp {CLIENT}:40000 {HTTP_VIP}:80")
    assert done.returncode == 0
    assert "this pool has no backends" in done.stderr, "warnings do not mix with the answer"
    for part in ("http (203.0.113.10 tcp port 80): matches", "hash ", "slot ", "of 65537, pool web",
                 "backend   web-", "gre, source 10.0.0.5, 24 bytes: 4500", "verdict   forward"):
        assert part in done.stdout, done.stdout


def test_text_of_other_verdicts(tmp_path):
    more = CONFIGURATION.replace('"net";', '"net"; icmp_echo = "forward";').replace(
        'name = "web";', 'name = "web"; encapsulation = "l2";')
    assert "net" in more and "l2" in more
    for flow, parts in {
        f"icmp {CLIENT} {HTTP_VIP}": ["VIPs      http ", ": matches", "verdict   answer: "],
        f"icmp {CLIENT} 192.0.2.1": ["net (192.0.2.0/24 any port 0): matches", "outer     l2: none",
                                     "verdict   forward (", "of a packet of 28 bytes)"],
        f"esp {CLIENT} {HTTP_VIP}": ["http (203.0.113.10 tcp port 80): no: another protocol",
                                     "verdict   slow path: "],
        "sctp 127.0.0.1 192.0.2.1": [": matches", "verdict   drop: martian_source ("],
        f"tcp {CLIENT}:1 203.0.113.99:80": ["slot ", "verdict   drop: no_backend ("],
    }.items():
        done = explain(tmp_path, flow, configuration=more)
        assert done.returncode == 0
        for part in parts:
            assert part in done.stdout, (flow, part, done.stdout)


@pytest.mark.parametrize("arguments", [
    (), ("a", "b"), ("tcp",), ("tcp 1.2.3.4:1",), ("tcp 1.2.3.4 5.6.7.8:80",),
    ("tcp 1.2.3.4:1 5.6.7.8:99999",), ("sctp 1.2.3.4:1 5.6.7.8:80",),
    ("tcp 1.2.3.4:1 5.6.7.8:80 more",), ("tcp 1.2.3.4:1 [2001:db8::1]:80",),
    ("tcp 2001:db8::1:1 [2001:db8::1]:80",), ("tcp 1.2.3.4:1 5.6.7.8:-80",), ("x" * 1000,),
])
def test_wrong_usage(arguments, tmp_path):
    done = explain(tmp_path, *arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr


@pytest.mark.parametrize("flow, error", [
    ("", "a flow is "), ("esp", "a flow is "), ("esp 1.2.3.4 5.6.7.8 9", "a flow is "),
    ("esp " + "1" * 300 + " 5.6.7.8", "a flow is "),
    ("0 1.2.3.4 5.6.7.8", "the protocol is "), ("256 1.2.3.4 5.6.7.8", "the protocol is "),
    ("+1 1.2.3.4 5.6.7.8", "the protocol is "), ("99999999999 1.2.3.4 5.6.7.8", "the protocol is "),
    ("ESP 1.2.3.4 5.6.7.8", "the protocol is "), ("quic 1.2.3.4 5.6.7.8", "the protocol is "),
    ("tcp 1.2.3.4 5.6.7.8", "tcp and udp go from "), ("6 1.2.3.4 5.6.7.8", "tcp and udp go from "),
    ("udp 2001:db8::1 2001:db8::2", "tcp and udp go from "),
    ("udp 1.2.3.4:1 5.6.7.8:", "tcp and udp go from "), ("udp 1.2.3.4:x 5.6.7.8:1", "tcp and udp go from "),
    ("udp [1.2.3.4]:1 5.6.7.8:1", "tcp and udp go from "),
    ("esp 1.2.3.4:500 5.6.7.8:500", "only flows of tcp and udp "),
    ("icmp 1.2.3.4 5.6.7.8:8", "only flows of tcp and udp "),
    ("132 [2001:db8::1]:1 [2001:db8::2]:2", "only flows of tcp and udp "),
    ("esp 1.2.3 5.6.7.8", "not an IPv4 or IPv6 address"), ("esp [1.2.3.4] 5.6.7.8", "not an IPv4 or IPv6 "),
    ("esp 1.2.3.4/24 5.6.7.8", "not an IPv4 or IPv6 "), ("esp example.com 5.6.7.8", "not an IPv4 or IPv6 "),
    ("esp ::ffff:1.2.3.4 ::ffff:5.6.7.8", "not an IPv4 or IPv6 "),
    ("esp 1.2.3.4 2001:db8::1", "source and destination are of different families"),
    ("tcp [2001:db8::1]:1 5.6.7.8:80", "source and destination are of different families"),
    ("icmp 2001:db8::1 2001:db8::2", "icmp is of IPv4"), ("icmpv6 1.2.3.4 5.6.7.8", "icmp is of IPv4"),
])
def test_flows_that_are_none(flow, error, tmp_path):
    done = explain(tmp_path, flow)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f'fluxpin explain: "{flow}": {error}'), done.stderr
