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
        # Length and checksum differ: they are the packet's.
        assert len(outer) == 24
        assert (outer[:2], outer[4:10], outer[12:]) == (frame[14:16], frame[18:24], frame[26:38])
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


@pytest.mark.parametrize("arguments", [
    (), ("a", "b"), ("tcp",), ("tcp 1.2.3.4:1",), ("tcp 1.2.3.4 5.6.7.8:80",),
    ("tcp 1.2.3.4:1 5.6.7.8:99999",), ("sctp 1.2.3.4:1 5.6.7.8:80",),
    ("tcp 1.2.3.4:1 5.6.7.8:80 more",), ("tcp 1.2.3.4:1 [2001:db8::1]:80",),
    ("tcp 2001:db8::1:1 [2001:db8::1]:80",), ("tcp 1.2.3.4:1 5.6.7.8:-80",), ("x" * 1000,),
])
def test_wrong_usage(arguments, tmp_path):
    done = explain(tmp_path, *arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr
