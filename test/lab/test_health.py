# SPDX-License-Identifier: BSD-2-Clause
"""What each kind of health check sees, with real servers. What becomes of traffic is in
test_backend_states.py; servers that misbehave are in test/unit/test_health_http.c."""

import re
import subprocess

import pytest

import servers
from fluxpin import Fluxpin, configuration, http_health_check, pool, tunnel_health_check, vips
from lab import Lab
from namespaces import PATIENCE, stop

NAME = "inside.example.com"


@pytest.fixture(name="lab", scope="module")
def lab_with_ipv6():
    with Lab(ipv6=True) as built:
        yield built


# Through the tunnel


def rules(lab):
    return [rule for family in ("-4", "-6")
            for rule in lab.lb.ip_json(f"{family} rule show") if "fwmark" in rule]


@pytest.mark.parametrize("encapsulation", ["gre", "ipip", "gue"])
def test_the_tunnel_check_sees_decapsulation_and_vip(lab, encapsulation):
    """A backend that listens and has lost one of them is down, by that check alone."""
    first, second = lab.backends[:2]
    time = f"{200 * PATIENCE}ms"  # no backend is late on a slow machine
    text = configuration(
        [pool(lab, encapsulation=encapsulation, health_check=tunnel_health_check()),
         pool(lab, name="direct", health_check=http_health_check(interval=time, timeout=time))],
        [vips(lab)[0], vips(lab, pool="direct")[1]])
    with Fluxpin(lab, text) as fluxpin:
        for name in ("web", "direct"):
            fluxpin.wait_for_health(name, web_1=1, web_2=1, web_3=1)
        first.run([lab.fluxpin, "endpoint", "detach", "-i", "eth0"])
        second.ip(f"addr del {lab.http_vip}/32 dev lo")
        try:
            metrics = fluxpin.wait_for_health("web", web_1=0, web_2=0, web_3=1)
            assert metrics.sum("fluxpin_backend_healthy", pool="direct") == 3
            fluxpin.wait_for_log(r"backend web/web-1 \(10.1.0.11\) is down: no answer within "
                                 r"200ms \(http, port 80, by the tunnel; bad probes in a row: 2\)")
            fluxpin.wait_for(lambda metrics: metrics.sum(
                "fluxpin_backend_weight", pool="web", backend="web-2") == 0)
            result = lab.load("http", lab.http_vip, "--requests", 200, "--parallel", 10).result()
            assert result["failed_count"] == 0, result
            assert set(result["by_backend"]) == {"web-3"}
        finally:
            first.run([lab.fluxpin, "endpoint", "attach", "-i", "eth0"])
            second.ip(f"addr add {lab.http_vip}/32 dev lo")
        metrics = fluxpin.wait_for_health("web", web_1=1, web_2=1)
        assert metrics.sum("fluxpin_backend_health_changes_total", pool="direct") == 0
        fluxpin.assert_balanced()
    assert rules(lab) == []


def test_the_tunnel_and_ipv6(lab):
    """IPv6 VIPs over IPv4, and the other way round."""
    over_ipv6 = [{"name": each.name_in_pool, "address": each.ipv6_address} for each in lab.backends]
    text = configuration(
        [pool(lab, health_check=tunnel_health_check()),
         pool(lab, name="six", backends=over_ipv6, health_check=tunnel_health_check())],
        [{"address": lab.http_vip_ipv6, "protocol": "tcp", "port": 80, "pool": "web"},
         {"address": lab.http_vip, "protocol": "tcp", "port": 80, "pool": "six"}])
    first, second = lab.backends[:2]
    with Fluxpin(lab, text) as fluxpin:
        first.ip(f"addr del {lab.http_vip}/32 dev lo")
        second.ip(f"addr del {lab.http_vip_ipv6}/128 dev lo")
        try:
            fluxpin.wait_for_health("web", web_1=1, web_2=0, web_3=1)
            fluxpin.wait_for_health("six", web_1=0, web_2=1, web_3=1)
        finally:
            first.ip(f"addr add {lab.http_vip}/32 dev lo")
            second.ip(f"addr add {lab.http_vip_ipv6}/128 dev lo nodad")
        fluxpin.wait_for_health("web", web_1=1, web_2=1, web_3=1)
        fluxpin.wait_for_health("six", web_1=1, web_2=1, web_3=1)


@pytest.mark.sanitizer
def test_what_a_killed_daemon_leaves_goes_at_the_next_start(lab):
    text = configuration([pool(lab, health_check=tunnel_health_check())], vips(lab))
    fluxpin = Fluxpin(lab, text)
    fluxpin.wait_for_health(web_1=1)
    assert len(rules(lab)) == 2
    fluxpin.kill9()
    assert len(rules(lab)) == 2
    with Fluxpin(lab, text) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        assert len(rules(lab)) == 2
        # The last check through the tunnel goes, and one comes again.
        fluxpin.reload(configuration([pool(lab)], vips(lab)))
        assert rules(lab) == []
        fluxpin.reload(text)
        assert len(rules(lab)) == 2
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
    assert rules(lab) == []


# udp


def test_udp(lab):
    check = {"type": "udp", "port": servers.DNS_PORT, "send": "ping", "expect": "web-",
             "interval": "200ms", "timeout": "200ms", "fall": 2, "via": "tunnel", "vip": "dns"}
    first = lab.backends[0]
    with Fluxpin(lab, configuration([pool(lab, health_check=check)], vips(lab))) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        arguments = first.echo.args
        stop(first.echo)
        fluxpin.wait_for_health(web_1=0, web_2=1, web_3=1)
        # Said by the backend itself, for the VIP.
        fluxpin.wait_for_log(r"web/web-1 \(10.1.0.11\) is down: connection refused \(udp, port 53")
        separator = arguments.index("/usr/bin/python3")
        first.echo = first.popen(arguments[separator:])
        fluxpin.wait_for_health(web_1=1)


# https


HTTPS = """
daemon off;
user root;
worker_processes 1;
pid {directory}/https.pid;
error_log {directory}/https-error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/https-body;
    server {{
        listen {address}:8443 ssl;
        ssl_certificate {certificate}.pem;
        ssl_certificate_key {certificate}.key;
        location /healthz {{ return 200 "$ssl_server_name $host\\n"; }}
    }}
}}
"""


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificate(directory, name, subject, ca=None, days=30):
    """DIRECTORY/NAME.pem and .key: of a CA of its own, or by one for a host."""
    path = directory / name
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{path}.key", "-out",
            f"{path}.csr", "-subj", f"/CN={subject}")
    extensions = path.with_suffix(".ext")
    extensions.write_text(f"subjectAltName=DNS:{subject}\n" if ca else "basicConstraints=CA:TRUE\n")
    signer = ["-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial"] if ca else [
        "-signkey", f"{path}.key"]
    openssl("x509", "-req", "-in", f"{path}.csr", "-out", f"{path}.pem", "-days", days,
            "-extfile", extensions, *signer)
    return path


@pytest.fixture(name="https", scope="module")
def https_servers(tmp_path_factory):
    """A lab whose backends serve https: with a good certificate, with one of another name, and with
    one of another CA."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = make_certificate(directory, "ca", "CA of the test")
    stranger = make_certificate(directory, "stranger", "CA of somebody")
    certificates = [make_certificate(directory, "good", NAME, authority),
                    make_certificate(directory, "name", "other.example.com", authority),
                    make_certificate(directory, "stranger-host", NAME, stranger)]
    with Lab() as lab:
        for backend, certificate in zip(lab.backends, certificates):
            path = backend.directory / "https.conf"
            path.write_text(HTTPS.format(directory=backend.directory, address=backend.address,
                                         certificate=certificate))
            log = backend.directory / "https-start.log"
            backend.popen(["nginx", "-p", backend.directory, "-c", path, "-e", log])
        yield lab, authority


def https_check(**more):
    return http_health_check(type="https", port=8443, interval="500ms", timeout="500ms", **more)


def test_https_by_name(https):
    lab, authority = https
    check = https_check(host=f"{NAME}:8443", ca_file=f"{authority}.pem",
                        body=f"{NAME} {NAME}", initial="down")
    with Fluxpin(lab, configuration([pool(lab, health_check=check)], vips(lab))) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=0, web_3=0)
        fluxpin.reload(configuration([pool(lab, health_check=dict(
            check, host="www.example.com", sni=NAME, body=f"{NAME} www.example.com"))], vips(lab)))
        fluxpin.wait_for_health(web_1=1, web_2=0, web_3=0)


def test_https_says_what_is_wrong(https):
    lab, authority = https
    check = https_check(host=NAME, ca_file=f"{authority}.pem")
    with Fluxpin(lab, configuration([pool(lab, health_check=check)], vips(lab))) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=0, web_3=0)
        log = fluxpin.log()
        assert re.search(r"web/web-2 .* is down: .*no alternative certificate subject name matches "
                         rf"target host name '{NAME}'", log), log
        assert re.search(r"web/web-3 .* is down: SSL certificate problem: ", log), log


def test_https_insecure_and_without_name(https):
    lab, authority = https
    insecure = https_check(host=NAME, insecure=True)
    with Fluxpin(lab, configuration([pool(lab, health_check=insecure)], vips(lab))) as fluxpin:
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        # By its address, which no certificate has.
        fluxpin.reload(configuration(
            [pool(lab, health_check=https_check(ca_file=f"{authority}.pem"))], vips(lab)))
        fluxpin.wait_for_health(web_1=0, web_2=0, web_3=0)
        # A file that is not there is an error of the reload, not of the backends.
        fluxpin.reload(configuration([pool(lab, health_check=insecure)], vips(lab)))
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
        assert fluxpin.reload(configuration(
            [pool(lab, health_check=https_check(ca_file="/nonexistent.pem"))], vips(lab))) is None
        assert "CA file /nonexistent.pem: No such file or directory" in fluxpin.log()
        fluxpin.wait_for_health(web_1=1, web_2=1, web_3=1)
