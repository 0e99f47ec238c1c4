# SPDX-License-Identifier: BSD-2-Clause
"""Metrics by HTTP: what they say, who may disturb whom, and what reads them: the node exporter,
Prometheus with the rules that are shipped, and a browser."""

import http.client
import json
import re
import socket
import subprocess

from browser import Browser
from fluxpin import Fluxpin, configuration, http_health_check, parse_metrics, pool, vips
from lab import ROOT
from namespaces import stop, wait_until
from process import descriptors, memory_kib

PORT = 9105
ARTEFACTS = ROOT / "build/artefacts"
DOCUMENTED = re.compile(r"^\| `(fluxpin_\w+)(?:\{([\w,]*)\})?` \| (\w+) \|", re.M)
OF_WORKERS = re.compile(r"fluxpin_(worker|connection|fragment|xsk)")
# Not in this run, or not in every build.
CONDITIONAL = {"fluxpin_vip_announced",
               "fluxpin_worker_sent_in_place_packets_total"}
# What changes without traffic.
UNSTEADY = {"fluxpin_worker_umem_frames", "fluxpin_health_probes_total",
            "fluxpin_health_probe_latency_seconds", "fluxpin_fragment_datagrams",
            "fluxpin_worker_received_packets_total", "fluxpin_worker_received_bytes_total",
            "fluxpin_worker_slow_path_packets_total", "fluxpin_connections",
            "fluxpin_connections_by_state"}


def with_listener(lab, where=f"127.0.0.1:{PORT}", more_vips=(), health=None, **of_vips):
    metrics = {"textfile": lab.lb.directory / "fluxpin.prom", "interval": "100ms"}
    if where:
        metrics["listen"] = where
    pools = [pool(lab, **({"health_check": health} if health else {}))]
    return configuration(pools, vips(lab, **of_vips) + list(more_vips), metrics=metrics)


def connect(lab, port=PORT, address="127.0.0.1", timeout=20):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = lab.lb.socket(family)
    connection.settimeout(timeout)
    try:
        connection.connect((address, port))
    except OSError:
        connection.close()
        raise
    return connection


def fetch(lab, path, port=PORT, address="127.0.0.1", method="GET"):
    """(status, {header: value}, text)."""
    client = http.client.HTTPConnection(address, port)
    client.sock = connect(lab, port, address)
    client.request(method, path)
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    return answer.status, dict(answer.getheaders()), text


def is_refused(lab, port, address="127.0.0.1"):
    try:
        connect(lab, port, address).close()
    except ConnectionRefusedError:
        return True
    return False


def steady(metrics):
    return {key: value for key, value in metrics.items() if key[0] not in UNSTEADY}


def test_metrics_are_those_of_the_textfile(lab):
    """While traffic goes on they only grow; when it has ended, both say the same."""
    with Fluxpin(lab, with_listener(lab)) as fluxpin:
        load = lab.load("http", lab.http_vip, "--requests", 600)
        readings = []
        while load.process.poll() is None:
            status, headers, text = fetch(lab, "/metrics")
            assert (status, headers["Content-Type"]) == (
                200, "text/plain; version=0.0.4; charset=utf-8")
            readings.append(parse_metrics(text))
        assert load.result()["failed_count"] == 0
        for before, after in zip(readings, readings[1:]):
            assert before.keys() == after.keys()
            for (name, labels), value in before.items():
                assert not name.endswith("_total") or after[name, labels] >= value, (name, labels)
        received = {each.sum("fluxpin_vip_packets_total") for each in readings}
        assert len(received) >= 3, "the numbers stand still"
        fluxpin.quiescent()

        def both():
            file = fluxpin.wait_for_metrics()
            found = parse_metrics(fetch(lab, "/metrics")[2])
            assert found.keys() == file.keys()
            return steady(found) == steady(file)

        wait_until(both, 10, "same numbers in the file and by HTTP")
        assert readings[-1].sum("fluxpin_vip_packets_total", vip="web") > 600


def test_families_are_as_documented(lab):
    documented = {name: (set(labels.split(",")) - {""}, kind) for name, labels, kind in
                  DOCUMENTED.findall((ROOT / "docs/metrics.md").read_text())}
    with Fluxpin(lab, with_listener(lab, health=http_health_check())) as fluxpin:
        fluxpin.wait_for(lambda found: found.select("fluxpin_health_probe_latency_seconds"))
        text = fetch(lab, "/metrics")[2]
        check = lab.lb.run(["promtool", "check", "metrics"], input=text, check=False)
        assert check.returncode == 0 and not check.stdout + check.stderr, check.stderr
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        assert kinds.keys() - documented.keys() == set()
        samples = parse_metrics(text)
        assert documented.keys() - kinds.keys() - CONDITIONAL == set()
        for name, kind in kinds.items():
            labels, said = documented[name]
            if OF_WORKERS.match(name):
                labels = labels | {"interface", "queue"}
            assert kind == said, name
            found = samples.select(name)
            assert found, name
            assert {frozenset(dict(each).keys()) for _, each in found} == {frozenset(labels)}, name


def test_pages_and_methods(lab):
    with Fluxpin(lab, with_listener(lab)):
        assert fetch(lab, "/healthz")[::2] == (200, "ok\n")
        status, headers, page = fetch(lab, "/")
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
        # Nothing is loaded from elsewhere.
        assert not re.search(r"https?://|src=|@import|url\(", page)
        for path in ("/", "/metrics", "/healthz"):
            status, headers, text = fetch(lab, path, method="HEAD")
            assert status == 200 and text == "" and int(headers["Content-Length"]) > 0
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"):
                status, headers, _ = fetch(lab, path, method=method)
                assert (status, headers.get("Allow")) == (405, "GET, HEAD"), method
        for path in ("/metric", "/metrics/", "//metrics", "/../etc/passwd", "/%2e%2e/etc/passwd",
                     "/favicon.ico", "/" + "x" * 1000):
            assert fetch(lab, path)[0] == 404, path
        assert fetch(lab, "/metrics?collect[]=x")[0] == 200


def test_reload_moves_the_listener(lab):
    with Fluxpin(lab, with_listener(lab)) as fluxpin:
        assert fluxpin.reload(with_listener(lab, "[::1]:9106")) == 2
        lab.lb.sysctl(net__ipv6__conf__lo__disable_ipv6=0)
        # Without IPv6 on lo the address cannot be had.
        assert "metrics cannot listen on [::1]:9106: Cannot assign requested address" in fluxpin.log()
        assert fetch(lab, "/healthz")[0] == 200
        assert fluxpin.reload() == 3
        assert is_refused(lab, PORT)
        assert "fluxpin_config_generation 3\n" in fetch(lab, "/metrics", 9106, "::1")[2]
        # What another process has stays its own, and the old address is kept.
        holder = lab.lb.socket()
        holder.bind(("127.0.0.1", 9107))
        holder.listen()
        assert fluxpin.reload(with_listener(lab, "127.0.0.1:9107")) == 4
        fluxpin.wait_for_log(
            r"^warning: metrics cannot listen on 127.0.0.1:9107: Address already in use; "
            "they stay where they were$")
        assert fetch(lab, "/healthz", 9106, "::1")[0] == 200
        holder.close()
        assert fluxpin.reload() == 5
        assert is_refused(lab, 9106, "::1")
        assert fetch(lab, "/healthz", 9107)[0] == 200
        # A refused reload changes nothing, and is no illness.
        assert fluxpin.reload(with_listener(lab, "0.0.0.0:9108")) is None
        assert "must be a loopback address" in fluxpin.log()
        assert fetch(lab, "/healthz", 9107)[::2] == (200, "ok\n")
        assert fluxpin.reload(with_listener(lab, None)) == 6
        assert is_refused(lab, 9107)


def test_start_where_another_listens_is_refused(lab):
    with lab.lb.socket() as holder:
        # Connections of the tests before may still be remembered.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", PORT))
        holder.listen()
        fluxpin = Fluxpin(lab, with_listener(lab), start=False)
        fluxpin.launch()
        assert fluxpin.process.wait(15) == 1
        assert (f"error: metrics cannot listen on 127.0.0.1:{PORT}: Address already in use\n"
                in fluxpin.log())
        assert lab.lb.xdp() is None


GARBAGE = [
    b"\r\n\r\n", b"GET\r\n\r\n", b"\x00" * 5000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + b"\xff" * 500,
    b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000, b"GET /" + b"a" * 1000000,
    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 3000,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 500,
]


def send_garbage(lab):
    for data in GARBAGE:
        with connect(lab) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it is cut off, at whatever point


def test_clients_do_not_disturb(lab):
    """1,000 connections, half requests, readers that do not read, and garbage: traffic, the textfile
    and the next client go on, and the memory has its bound."""
    many = [{"name": f"n{i}", "address": f"192.0.2.{i % 250 + 1}", "protocol": "udp", "pool": "web",
             "port": 1000 + i} for i in range(2000)]
    with Fluxpin(lab, with_listener(lab, more_vips=many)) as fluxpin:
        size = len(fetch(lab, "/metrics")[2])
        assert size > 150000
        send_garbage(lab)
        pid = fluxpin.process.pid
        before, open_before = memory_kib(pid), descriptors(pid)
        most = 0
        load = lab.load("http", lab.http_vip, "--requests", 1000)
        held = []
        try:
            for number in range(1000):
                connection = lab.lb.socket()
                # Do not take the answer: a window as small as it can be.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.1", PORT))
                held.append(connection)
                try:
                    connection.send([b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
                                     b"\x00\xff" * 20][number % 4])
                except OSError:
                    pass
                if number % 100 == 99:
                    status, _, text = fetch(lab, "/metrics")
                    assert status == 200 and text.endswith("\n")
                    most = max(most, memory_kib(pid))
            assert fetch(lab, "/healthz")[::2] == (200, "ok\n")
            assert descriptors(pid) <= open_before + 64 + 2
            written = fluxpin.metrics_file.stat().st_mtime_ns
            wait_until(lambda: fluxpin.metrics_file.stat().st_mtime_ns != written, 10, "textfile")
            send_garbage(lab)
            assert load.result()["failed_count"] == 0
            most = max(most, memory_kib(pid))
        finally:
            for connection in held:
                connection.close()
        print(f"memory: {before} kB before, {most} kB at most; a text of {size} bytes")
        # Four texts and what is rendered, 64 clients of 8 KiB, and what malloc rounds up.
        assert most - before < (6 * size + 64 * 8192) / 1024 + 4096, (before, most, size)
        wait_until(lambda: fetch(lab, "/healthz")[0] == 200 and descriptors(pid) <= open_before,
                   20, "closed connections")
        assert fluxpin.reload() == 2


def test_node_exporter_serves_the_textfile(own_lab):
    """Debian's node exporter, as a user who owns nothing, with its textfile collector."""
    lab = own_lab
    with Fluxpin(lab, with_listener(lab)) as fluxpin:
        exporter = lab.lb.popen(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             "prometheus-node-exporter", "--web.listen-address=127.0.0.1:9100",
             "--collector.disable-defaults", "--collector.textfile",
             f"--collector.textfile.directory={fluxpin.directory}"],
            stdout=open(fluxpin.directory / "exporter.log", "w"), stderr=-2)
        wait_until(lambda: not is_refused(lab, 9100), 10, "node exporter")
        assert lab.load("http", lab.http_vip, "--requests", 100).result()["failed_count"] == 0
        fluxpin.quiescent()

        def same():
            own = fluxpin.wait_for_metrics()
            text = fetch(lab, "/metrics", 9100)[2]
            served = parse_metrics("".join(re.findall(r"^fluxpin_.*\n", text, re.M)))
            assert served.keys() == own.keys()
            assert "\nnode_textfile_scrape_error 0\n" in text
            assert f'node_textfile_mtime_seconds{{file="{fluxpin.metrics_file}"}}' in text
            # The types and the words are as we wrote them.
            assert "# TYPE fluxpin_vip_packets_total counter\n" in text
            return steady(served) == steady(own)

        wait_until(same, 10, "same numbers from the node exporter")
        assert fluxpin.metrics().sum("fluxpin_vip_packets_total", vip="web") > 100
        stop(exporter)


PROMETHEUS = """
global: {{ scrape_interval: 250ms, evaluation_interval: 500ms }}
rule_files: [ "{rules}/*.yml" ]
scrape_configs:
  - job_name: fluxpin
    static_configs: [ {{ targets: [ "127.0.0.1:{port}" ] }} ]
"""


def test_prometheus_scrapes_and_evaluates_the_rules(own_lab):
    lab = own_lab

    def query(expression):
        path = "/api/v1/query?query=" + "".join(f"%{byte:02x}" for byte in expression.encode())
        status, _, text = fetch(lab, path, 9090)
        if status == 503:
            return []  # not ready yet
        answer = json.loads(text)
        assert answer["status"] == "success", answer
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    with Fluxpin(lab, with_listener(lab)) as fluxpin:
        file = fluxpin.directory / "prometheus.yml"
        file.write_text(PROMETHEUS.format(rules=ROOT / "conf/prometheus", port=PORT))
        lab.lb.popen(
            ["prometheus", f"--config.file={file}", "--web.listen-address=127.0.0.1:9090",
             f"--storage.tsdb.path={fluxpin.directory}/tsdb"],
            stdout=open(fluxpin.directory / "prometheus.log", "w"), stderr=-2)
        wait_until(lambda: not is_refused(lab, 9090), 20, "Prometheus")
        # It finds its targets after five seconds.
        wait_until(lambda: query('up{job="fluxpin"} == 1'), 20, "scrape")
        load = lab.load("http", lab.http_vip, "--requests", 1000)
        wait_until(lambda: query("instance:fluxpin_received_packets:rate2m > 1"), 20, "rate of packets")

        def health_of_rules():
            groups = json.loads(fetch(lab, "/api/v1/rules", 9090)[2])["data"]["groups"]
            return {rule["health"] for group in groups for rule in group["rules"]}

        wait_until(lambda: health_of_rules() == {"ok"}, 20, "evaluation of every rule")
        # Before the first scrape, everything was absent.
        wait_until(lambda: query("ALERTS") == [], 20, "end of alerts")
        assert fluxpin.reload(with_listener(lab) + "nonsense = 1;\n") is None
        found = wait_until(lambda: query("ALERTS"), 20, "alert")
        assert [metric["alertname"] for metric, _ in found] == ["FluxpinReloadRefused"]
        assert load.result()["failed_count"] == 0
        fluxpin.write(with_listener(lab))


def numbers(rows, column):
    return [float(row[column].split()[0]) for row in rows if row[column] != "-"]


def test_status_page_in_a_browser(own_lab):
    """Headless Chromium: numbers move, nothing is wrong in its console, light and dark."""
    lab = own_lab
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    text = with_listener(lab, health=http_health_check(), icmp_echo="drop")
    with Fluxpin(lab, text) as fluxpin:
        load = lab.load("http", lab.http_vip, "--duration", 120)
        # Something to see in each table: drops, and a backend that is down.
        ping = lab.client.popen(["ping", "-q", "-i", "0.05", lab.http_vip], stdout=subprocess.DEVNULL)
        stop(lab.backends[2].nginx)
        with Browser(lab.lb, f"http://127.0.0.1:{PORT}/") as browser:
            browser.wait_for("document.body.dataset.updates > 1", 30)
            browser.wait_for("[...document.querySelectorAll('#vips tbody td:nth-child(2)')]"
                             ".some(cell => parseFloat(cell.textContent) > 1)", 30)
            queues, services = browser.rows("queues"), browser.rows("vips")
            backends = browser.rows("backends")
            assert [row["queue"] for row in queues] == ["eth0:0", "eth0:1"]
            assert sorted(row["VIP"] for row in services) == ["dns", "web"]
            assert sorted(row["backend"] for row in backends) == ["web-1", "web-2", "web-3"]
            assert sum(numbers(queues, "received/s")) > 1
            assert sum(numbers(backends, "packets/s")) > 1
            assert browser.evaluate("document.getElementById('state').textContent") == "ok"
            browser.wait_for("document.querySelector('#backends tbody .bad') !== null", 30)
            assert [(row["backend"], row["state"], row["weight"]) for row in browser.rows("backends")] == [
                ("web-3", "down", "0"), ("web-1", "healthy", "100"), ("web-2", "healthy", "100")]
            assert all(row["probe"].endswith(" ms") for row in browser.rows("backends")[1:])
            browser.wait_for("document.querySelector('#drops tbody') !== null", 30)
            drops = browser.rows("drops")
            assert [row["reason"] for row in drops] == ["icmp_echo"] and numbers(drops, "dropped")[0] > 1
            before = numbers(services, "packets")
            for scheme in ("light", "dark"):
                seen = browser.evaluate("document.body.dataset.updates")
                browser.set_colours(scheme)
                browser.wait_for(f"document.body.dataset.updates > {seen}", 30)
                picture = ARTEFACTS / f"status-page-{scheme}.png"
                browser.screenshot(picture)
                assert picture.stat().st_size > 20000
                print(f"screenshot: {picture}")
            assert numbers(browser.rows("vips"), "packets") != before
            assert browser.problems == []
            # It says so when the daemon is gone, keeps what it knew, and goes on after.
            stop(load.process)
            stop(ping)
            fluxpin.stop()
            browser.wait_for("document.getElementById('state').textContent"
                             ".startsWith('no answer since')", 30)
            assert browser.rows("queues")
            fluxpin.start()
            browser.wait_for("document.getElementById('state').textContent === 'ok'", 30)
            # The console tells of refused connections, and of nothing else.
            assert all("ERR_CONNECTION_" in each for each in browser.problems), browser.problems
