# SPDX-License-Identifier: BSD-2-Clause
"""fluxpin check against bad configurations: every error, in its place, and nothing else."""
import json
import os
import pathlib
import subprocess
import sys
import uuid

import pytest

import cases

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FLUXPIN = os.environ.get("FLUXPIN", str(ROOT / "build/dev/src/cli/fluxpin"))


def check(path, *options, namespace=None, wrapper=()):
    command = [*wrapper, FLUXPIN, "check", "-c", str(path), *options]
    if namespace:
        command = ["ip", "netns", "exec", namespace, *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def errors_of(result, path):
    return [p.finding for p in cases.parse_findings(result.stderr, path)]


def test_table_is_large():
    assert len(cases.BAD) >= 50


@pytest.mark.parametrize("path", cases.BAD, ids=lambda path: path.stem)
def test_bad(path):
    expected = cases.read_expectations(path)
    assert any(not finding.is_warning for finding in expected), "the file expects no error"
    result = check(path, "--offline")
    printed = cases.parse_findings(result.stderr, path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert sorted(p.finding for p in printed) == expected
    positions = [(p.finding.line, p.finding.column) for p in printed]
    assert positions == sorted(positions)
    for one in printed:
        cases.check_caret(one, path)


@pytest.mark.parametrize("path", cases.BAD, ids=lambda path: path.stem)
def test_bad_json(path):
    result = check(path, "--offline", "--json")
    document = json.loads(result.stdout)
    assert result.returncode == 1
    assert result.stderr == ""
    assert sorted(document) == ["errors", "file", "valid", "warnings"]
    assert document["file"] == str(path)
    assert document["valid"] is False
    found = [
        cases.Finding(one["line"], one["column"], one["message"], kind == "warnings")
        for kind in ("errors", "warnings")
        for one in document[kind]
    ]
    assert sorted(found) == cases.read_expectations(path)


@pytest.mark.parametrize("path", cases.GOOD, ids=lambda path: path.stem)
def test_good(path):
    result = check(path, "--offline")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{path}: valid: ")
    assert result.stdout.count("\n") == 1
    found = sorted(errors_of(result, path))
    assert found == cases.read_expectations(path)
    document = json.loads(check(path, "--offline", "--json").stdout)
    assert document["valid"] is True
    assert document["errors"] == []


def test_summary():
    path = ROOT / "conf/fluxpin.conf"
    result = check(path, "--offline")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{path}: valid: 3 VIPs, 2 pools, 5 backends\n"


def test_summary_of_one(tmp_path):
    path = tmp_path / "one.conf"
    path.write_text(
        'hash_seed = "1"; pools = ( { name = "a"; backends = ( { address = "10.0.0.1"; } ); } );'
        'vips = ( { address = "192.0.2.1"; protocol = "any"; pool = "a"; } );'
    )
    assert check(path).stdout == f"{path}: valid: 1 VIP, 1 pool, 1 backend\n"


def test_unreadable_files(tmp_path):
    def message_of(path):
        result = check(path)
        assert (result.returncode, result.stdout) == (1, "")
        return result.stderr

    assert message_of(tmp_path) == f"{tmp_path}: cannot be read: Is a directory\n"
    missing = tmp_path / "missing.conf"
    assert message_of(missing) == f"{missing}: cannot be read: No such file or directory\n"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert message_of(pipe) == f"{pipe}: not a regular file\n"
    large = tmp_path / "large.conf"
    large.write_bytes(b"#" * ((16 << 20) + 1))
    assert message_of(large) == f"{large}: larger than 16 MiB\n"


def test_largest_file_is_read(tmp_path):
    path = tmp_path / "large.conf"
    path.write_bytes(b"#" * (16 << 20))
    result = check(path)
    assert result.returncode == 0, result.stderr


def test_limits(tmp_path):
    """As many backends and VIPs as there may be are read in time, one more is refused."""
    path = tmp_path / "limits.conf"

    def write(backends, vips):
        with path.open("w") as file:
            file.write('hash_seed = "1";\npools = ( { name = "p"; table_size = 655373; backends = (\n')
            file.write(",\n".join(
                f'{{ address = "10.{i >> 16}.{i >> 8 & 255}.{i & 255}"; }}'
                for i in range(1, backends + 1)))
            file.write("\n); } );\nvips = (\n")
            file.write(",\n".join(
                f'{{ address = "198.18.0.1"; protocol = "tcp"; port = {i}; pool = "p"; }}'
                for i in range(1, vips + 1)))
            file.write("\n);\n")

    write(65535, 65535)
    result = check(path)
    assert result.returncode == 0, result.stderr[:1000]
    assert result.stdout == f"{path}: valid: 65535 VIPs, 1 pool, 65535 backends\n"
    write(65536, 0)
    errors = [finding for finding in errors_of(check(path), path) if not finding.is_warning]
    assert errors == [cases.Finding(
        2, 57, "too many backends: 65536 with those of the pools before, at most 65535")]
    write(1, 1)
    text = path.read_text()
    one = '{ address = "198.18.0.1"; protocol = "tcp"; port = 1; pool = "p"; }'
    path.write_text(text.replace(one, ",\n".join([one] * 65536)))
    errors = errors_of(check(path), path)
    assert errors == [cases.Finding(5, 8, "too many VIPs: 65536, at most 65535")]


def test_limits_with_peers(tmp_path):
    """Peers count among backends and have a pool of their own, this load balancer included."""
    path = tmp_path / "peers.conf"

    def errors(backends, peers, pools=1):
        with path.open("w") as file:
            file.write('hash_seed = "1"; source_address = { ipv4 = "10.255.0.5"; };\npeers = (')
            file.write(", ".join(f'"10.255.{i // 200}.{i % 200 + 6}"' for i in range(peers)))
            file.write(');\npools = ( { name = "p"; backends = (\n')
            file.write(",\n".join(f'{{ address = "10.{i >> 16}.{i >> 8 & 255}.{i & 255}"; }}'
                                  for i in range(1, backends + 1)))
            file.write("\n); }")
            file.write("".join(f',\n{{ name = "p{i}"; backends = (); }}' for i in range(1, pools)))
            file.write(');\nvips = ( { address = "198.18.0.1"; protocol = "tcp"; port = 1; pool = "p"; } );\n')
        result = check(path)
        found = [finding for finding in errors_of(result, path) if not finding.is_warning]
        assert result.returncode == (1 if found else 0)
        return [finding.message for finding in found]

    assert errors(1, 256) == []
    assert errors(1, 257) == ['"peers" must have 1 to 256 entries, found 257']
    many = "too many pools or backends: peers count among them"
    assert errors(65535 - 2, 1) == []
    assert errors(65535 - 1, 1) == [many]
    assert errors(1, 1, 65534) == []
    # Behind more warnings, of pools without backends, than are listed.
    assert errors(1, 1, 65535) == ["1 more errors"]


def test_findings_are_capped(tmp_path):
    path = tmp_path / "many.conf"
    path.write_text('hash_seed = "1";\nvips = (' + ",\n".join(["1"] * 3000) + ");\n")
    result = check(path)
    assert result.returncode == 1
    assert result.stderr.count("a VIP must be a group") == 1000
    assert result.stderr.endswith(f"{path}: 2000 more errors\n")


LISTEN_WRONG = [
    "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:09105", "127.0.0.1:65536", "127.0.0.1:99999999999",
    "127.0.0.1:+80", ":9105", "", ":", "127.1:9105", "[127.0.0.1]:9105", "::1:9105", "[::1:9105",
    "[]:9105", "[::1]9105", "127.0.0.1:80 ", " 127.0.0.1:80", "1" * 70 + ":1", "[" + "1" * 70 + "]:1",
]
LISTEN_PUBLIC = ["[::]:9105", "192.0.2.1:9105", "[2001:db8::1]:9105", "[::ffff:192.0.2.1]:9105",
                 "128.0.0.1:9105", "126.255.255.255:9105", "[::2]:9105"]
LISTEN_GOOD = ["127.0.0.1:1", "127.0.0.1:65535", "127.255.255.254:9105", "[::1]:9105",
               "[::ffff:127.0.0.1]:9105"]


def listen_messages(tmp_path, text):
    path = tmp_path / "listen.conf"
    path.write_text(f'hash_seed = "1"; metrics = {{ listen = "{text}"; }};')
    return [finding.message for finding in errors_of(check(path), path) if not finding.is_warning]


@pytest.mark.parametrize("text", LISTEN_WRONG)
def test_listen_is_no_address_and_port(tmp_path, text):
    assert listen_messages(tmp_path, text) == [
        '"listen" must be an address and a port of 1 to 65535, such as "127.0.0.1:9105" or '
        f'"[::1]:9105", found "{text[:63]}"']


@pytest.mark.parametrize("text", LISTEN_PUBLIC)
def test_listen_is_no_loopback_address(tmp_path, text):
    assert listen_messages(tmp_path, text) == [
        '"listen" must be a loopback address (127.0.0.0/8 or [::1]), found '
        f'"{text}": whoever reaches it may read, without authentication']


@pytest.mark.parametrize("text", LISTEN_GOOD)
def test_listen_is_right(tmp_path, text):
    assert listen_messages(tmp_path, text) == []


def files_findings(tmp_path, ca_file=None, control=None, more=""):
    """What is said about files, on this host; nothing is said offline, and the file is valid."""
    path = tmp_path / "files.conf"
    check_text = f'type = "https"; port = 443; ca_file = "{ca_file}"; {more}'
    path.write_text(
        'hash_seed = "1";\n' + (f'control = "{control}";\n' if control else "\n") +
        "pools = ( " + ", ".join(
            f'{{ name = "{name}"; backends = ( {{ address = "10.0.0.1"; }} ); '
            + (f"health_check = {{ {check_text} }}; " if ca_file else "") + "}"
            for name in ("a", "b")) + " );\n"
        'vips = ( { address = "192.0.2.1"; protocol = "any"; pool = "a"; } );')
    result = check(path)
    assert result.returncode == 0 and "valid" in result.stdout
    assert errors_of(check(path, "--offline"), path) == [
        each for each in errors_of(result, path) if "means nothing" in each.message]
    printed = cases.parse_findings(result.stderr, path)
    for one in printed:
        cases.check_caret(one, path)
        assert one.finding.is_warning
        assert path.read_text().splitlines()[one.finding.line - 1][one.finding.column - 1] == '"' or (
            "means nothing" in one.finding.message)
    return [one.finding.message for one in printed]


@pytest.fixture(name="certificate", scope="module")
def make_certificate(tmp_path_factory):
    """The text of one."""
    path = tmp_path_factory.mktemp("certificate") / "ca"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test",
                    "-keyout", f"{path}.key", "-out", f"{path}.pem"], check=True, capture_output=True)
    return path.with_suffix(".pem").read_text(), path.with_suffix(".key").read_text()


def test_ca_file(tmp_path, certificate):
    text, key = certificate
    ca_file = tmp_path / "ca.pem"

    def said(content, **more):
        ca_file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [message.removeprefix(f'"{ca_file}" ')
                for message in files_findings(tmp_path, ca_file, **more)]

    trusted = subprocess.run(["openssl", "x509", "-trustout", "-addtrust", "serverAuth"], input=text,
                             capture_output=True, text=True, check=True).stdout
    for good in (text, "a comment\n" + text + "\n" + text, key + text, text.replace("\n", "\r\n"),
                 trusted, text.rstrip("\n")):
        assert said(good) == []
    none = "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
    for bad in ("", key, "x" + text.replace("\n", " "), b"\0" + text.encode(), b"\x30\x82\x01"):
        assert said(bad) == [none], bad
    lines = text.splitlines(keepends=True)
    third = ["".join(lines[:3] + [begin + lines[3][len(begin):]] + lines[4:]) for begin in ("====", "?")]
    for bad in (*third, "".join(lines[:5]), "".join(lines[:5] + lines[6:]), "".join(lines[:1] + lines[-1:]),
                "".join(lines[:1] + lines[2:]), text.replace("CERTIFICATE", TRUSTED)[:-60]):
        assert said(bad) == ["is no PEM: certificate 1 in it is cut off or broken"], bad
    assert said(text + "".join(lines[:5])) == ["is no PEM: certificate 2 in it is cut off or broken"]
    # What has no effect is not looked at.
    assert said("", more="insecure = true;") == ['"ca_file" means nothing beside insecure = true'] * 2


TRUSTED = "TRUSTED CERTIFICATE"


def test_ca_file_that_cannot_be_read(tmp_path):
    def said(path):
        return files_findings(tmp_path, path)

    assert said("/nonexistent/ca.pem") == [
        '"/nonexistent/ca.pem" cannot be read: No such file or directory']
    assert said(tmp_path) == [f'"{tmp_path}" cannot be read: Is a directory']
    os.mkfifo(tmp_path / "pipe")
    assert said(tmp_path / "pipe") == [f'"{tmp_path}/pipe" cannot be read: Invalid argument']
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", (16 << 20) + 1)
    assert said(tmp_path / "large") == [f'"{tmp_path}/large" cannot be read: File too large']


def test_folder_of_the_control_socket(tmp_path):
    folder = tmp_path / "run"

    def said(path):
        return files_findings(tmp_path, control=path)

    assert said("/run/fluxpin/control.sock") == []
    assert said(folder / "c.sock") == [
        f"the folder of the control socket, {folder}, cannot be used: No such file or directory"]
    folder.touch()
    assert said(folder / "c.sock") == [
        f"the control socket would be in {folder}, which is not a folder"]
    folder.unlink()
    folder.mkdir()
    for mode, warns in ((0o755, False), (0o1777, False), (0o775, False), (0o757, True), (0o777, True)):
        folder.chmod(mode)
        assert said(folder / "c.sock") == [
            f"anybody may write to the folder of the control socket, {folder}, and so take its place "
            f"(chmod o-w {folder})"] * warns
    assert said("/c.sock") == [] and said("c.sock") == []


USAGE = [
    ((), 2, "stderr"),
    (("--help",), 0, "stdout"),
    (("-h",), 0, "stdout"),
    (("help",), 0, "stdout"),
    (("chekc",), 2, "stderr"),
    (("check",), 2, "stderr"),
    (("check", "-c"), 2, "stderr"),
    (("check", "--help"), 0, "stdout"),
    (("check", "-c", "x", "y"), 2, "stderr"),
    (("check", "-c", "x", "--nonsense"), 2, "stderr"),
    (("version", "x"), 2, "stderr"),
]


@pytest.mark.parametrize("arguments, status, stream", USAGE, ids=lambda value: str(value))
def test_usage(arguments, status, stream):
    result = subprocess.run(
        [FLUXPIN, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    other = "stderr" if stream == "stdout" else "stdout"
    assert result.returncode == status
    assert getattr(result, stream) != ""
    assert getattr(result, other) == ""


def test_unknown_command_gets_a_suggestion():
    result = subprocess.run([FLUXPIN, "chekc"], capture_output=True, text=True, check=False)
    assert result.stderr.startswith('fluxpin: unknown command "chekc"; did you mean "check"?\n')


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_version(argument):
    result = subprocess.run([FLUXPIN, argument], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "fluxpin 0.1.0\n", "")


def test_full_standard_output_is_a_failure():
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([FLUXPIN, "version"], stdout=full, stderr=subprocess.PIPE,
                                text=True, check=False)
    assert result.returncode == 1
    assert "No space left on device" in result.stderr


@pytest.fixture(name="namespace", scope="module")
def make_namespace():
    """A network namespace with lb0, a veth of two queues."""
    name = f"fluxpin-check-{uuid.uuid4().hex[:8]}"
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a network namespace")

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, timeout=60)

    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "add", "lb0", "numrxqueues", "2", "numtxqueues", "2", "type",
           "veth", "peer", "name", "peer0")
        ip("-n", name, "link", "add", "lb1", "type", "veth", "peer", "name", "peer1")
        yield name
    finally:
        ip("netns", "del", name)


HOST = """hash_seed = "1";
interfaces = ( { %s } );
umem = { frame_size = %d; };
pools = ( { name = "web"; backends = ( { address = "10.0.0.1"; } ); } );
vips = ( { address = "192.0.2.1"; protocol = "tcp"; port = 80; pool = "web"; } );
"""
NAME_COLUMN = len('interfaces = ( { name = "')
ONLINE = pathlib.Path("/sys/devices/system/cpu/online").read_text(encoding="ascii").strip()


def host_findings(tmp_path, namespace, interface, frame_size=2048, wrapper=()):
    path = tmp_path / "host.conf"
    path.write_text(HOST % (interface, frame_size))
    result = check(path, namespace=namespace, wrapper=wrapper)
    printed = cases.parse_findings(result.stderr, path)
    findings = [p.finding for p in printed]
    for one in printed:
        cases.check_caret(one, path)
    has_errors = any(not finding.is_warning for finding in findings)
    assert result.returncode == (1 if has_errors else 0)
    assert (result.stdout == "") == has_errors
    # What the file asks of the host is not asked offline.
    assert check(path, "--offline").returncode == 0
    return findings


def set_mtu(namespace, name, mtu):
    subprocess.run(["ip", "-n", namespace, "link", "set", name, "mtu", str(mtu)], check=True)


def test_host_is_as_configured(tmp_path, namespace):
    assert host_findings(tmp_path, namespace, 'name = "lb0"; queues = "0-1";') == []
    assert host_findings(tmp_path, namespace, 'name = "lb0"; cpus = "0";') == []


def test_host_interface_does_not_exist(tmp_path, namespace):
    assert host_findings(tmp_path, namespace, 'name = "lb9";') == [
        cases.Finding(2, NAME_COLUMN, "interface lb9 does not exist")]
    # As copied from ip link, or CPUs without queues.
    assert host_findings(tmp_path, namespace, 'name = "lb0@if5";') == [
        cases.Finding(2, NAME_COLUMN, 'interface lb0@if5 does not exist (ip link shows a name before '
                      '"@"; CPUs stand behind queues: -i eth0:0-3@2-5)')]


def test_host_queue_does_not_exist(tmp_path, namespace):
    assert host_findings(tmp_path, namespace, 'name = "lb1"; queues = "1";') == [
        cases.Finding(2, NAME_COLUMN + 16, "queue 1 does not exist: lb1 has 1 queue (0)")]
    assert host_findings(tmp_path, namespace, 'name = "lb0"; queues = "0-3";') == [
        cases.Finding(2, NAME_COLUMN + 16, "queues 2-3 do not exist: lb0 has 2 queues (0-1)")]


def test_host_queue_is_not_served(tmp_path, namespace):
    assert host_findings(tmp_path, namespace, 'name = "lb0"; queues = "1";') == [
        cases.Finding(2, NAME_COLUMN + 16,
                      "lb0 has 2 queues (0-1) and only 1 will be served: packets that arrive on "
                      "the others bypass fluxpin", True)]


def test_host_cpu_does_not_exist(tmp_path, namespace):
    assert host_findings(tmp_path, namespace, 'name = "lb0"; cpus = "8000,8002-8003";') == [
        cases.Finding(2, NAME_COLUMN + 14,
                      f"CPUs 8000,8002-8003 are not online: this host has CPUs {ONLINE}")]


@pytest.mark.parametrize("is_denied", [False, True])
def test_host_cpu_that_the_process_was_not_started_with(tmp_path, namespace, is_denied):
    """Those of isolcpus= may be listed; those outside the cpuset may not."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("needs two CPUs")
    first, second = sorted(allowed)[:2]
    wrapper = ["taskset", "-c", str(first)]
    if is_denied:
        wrapper += [sys.executable, ROOT / "test/lib/denied.py", "affinity"]
    found = host_findings(tmp_path, namespace, f'name = "lb0"; cpus = "{second}";',
                          wrapper=wrapper)
    assert found == ([cases.Finding(
        2, NAME_COLUMN + 14, f"CPU {second} may not be used by this process, only {first}")]
        if is_denied else [])


def test_host_mtu(tmp_path, namespace):
    try:
        set_mtu(namespace, "lb1", 599)
        assert host_findings(tmp_path, namespace, 'name = "lb1";') == [
            cases.Finding(2, NAME_COLUMN,
                          "the MTU of lb1, 599, is too small: 576 bytes of inner packet and 24 of "
                          "outer headers need 600")]
        set_mtu(namespace, "lb1", 600)
        assert host_findings(tmp_path, namespace, 'name = "lb1";') == []
        set_mtu(namespace, "lb1", 1770)
        assert host_findings(tmp_path, namespace, 'name = "lb1";') == []
        set_mtu(namespace, "lb1", 9000)
        assert host_findings(tmp_path, namespace, 'name = "lb1";') == [
            cases.Finding(2, NAME_COLUMN,
                          "the MTU of lb1, 9000, does not fit a frame of 2048 bytes: packets of "
                          "more than 1770 bytes are dropped (umem.frame_size = 4096 makes room "
                          "for more)", True)]
        assert host_findings(tmp_path, namespace, 'name = "lb1";', 4096) == [
            cases.Finding(2, NAME_COLUMN,
                          "the MTU of lb1, 9000, does not fit a frame of 4096 bytes: packets of "
                          "more than 3818 bytes are dropped", True)]
    finally:
        set_mtu(namespace, "lb1", 1500)


IPV6_VIP = 'vips = ( { address = "2001:db8::1"; protocol = "tcp"; port = 80; pool = "web"; } );\n'


def test_host_mtu_for_ipv6(tmp_path, namespace, monkeypatch):
    """1280 bytes and the outer header of the pools that IPv6 VIPs use; of IPv4 nothing is said."""
    def said(text, mtu):
        set_mtu(namespace, "lb1", mtu)
        monkeypatch.setitem(globals(), "HOST", text)
        return host_findings(tmp_path, namespace, 'name = "lb1";')

    over_ipv4, before = HOST[: HOST.index("vips")] + IPV6_VIP, HOST
    over_ipv6 = over_ipv4.replace("10.0.0.1", "fd00::1")
    try:
        for text, needed in ((over_ipv4, 1304), (over_ipv6, 1324)):
            assert said(text, needed) == []
            assert said(text, needed - 1) == [
                cases.Finding(2, NAME_COLUMN,
                              f"the MTU of lb1, {needed - 1}, is too small for IPv6: packets of 1280 "
                              f"bytes, which need {needed} with outer headers, are dropped, and no "
                              "sender makes them smaller", True)]
        assert said(before, 700) == []
    finally:
        set_mtu(namespace, "lb1", 1500)


def test_host_address_in_a_vip(tmp_path, namespace):
    """Without a source_address, that of the interface is the load balancer's own."""
    path = tmp_path / "host.conf"
    wide = '{ address = "192.0.2.0/24"; protocol = "tcp"; port = 0; pool = "web"; }'
    text = HOST[: HOST.index("vips")] % ('name = "lb1";', 2048) + f"vips = ( {wide} );\n"
    own = "addr add 192.0.2.9/24 dev lb1"
    for command in (own, "link set lb1 up"):
        subprocess.run(["ip", "-n", namespace, *command.split()], check=True)
    try:
        path.write_text(text)
        assert errors_of(check(path, namespace=namespace), path) == [
            cases.Finding(5, text.splitlines()[4].index('"192') + 1,
                          "this VIP holds 192.0.2.9, the address of an interface: all TCP to the load "
                          "balancer itself goes to the backends", True)]
        path.write_text('source_address = { ipv4 = "10.0.0.9"; };\n' + text)
        assert errors_of(check(path, namespace=namespace), path) == []
    finally:
        subprocess.run(["ip", "-n", namespace, *own.replace("addr add", "addr del").split()], check=True)
