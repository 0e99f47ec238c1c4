# SPDX-License-Identifier: BSD-2-Clause
"""fluxpin in a namespace of the lab: its configuration, its life, its log and its metrics."""

import json
import re
import signal
import subprocess
import time

from namespaces import PATIENCE, stop, wait_until

WORKER_OUTCOMES = (
    "fluxpin_worker_forwarded_packets_total",
    "fluxpin_worker_slow_path_packets_total",
    "fluxpin_worker_answered_packets_total",
    "fluxpin_worker_dropped_packets_total",
)
TOTALS = re.compile(
    r"^info: (?P<interface>\S+) queue (?P<queue>\d+): (?P<totals>received .*)$", re.MULTILINE
)
TOTAL = re.compile(r"([a-z][a-z ]*) (\d+)")
SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


# Configuration


def libconfig(value, depth=0):
    """A Python value in libconfig's syntax: dicts are groups, lists of dicts are lists."""
    indent = "  " * depth
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        lines = [f"{indent}  {key} = {libconfig(item, depth + 1)};" for key, item in value.items()]
        return "{\n" + "\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)):
        if not value:
            return "()"
        if isinstance(value[0], dict):
            items = [f"{indent}  {libconfig(item, depth + 1)}" for item in value]
            return "(\n" + ",\n".join(items) + f"\n{indent})"
        return "[" + ", ".join(libconfig(item) for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False)


def configuration(pools, vips, **more):
    """The text of a configuration file; `more` are further settings of the top level."""
    settings = {"hash_seed": "0123456789abcdef", **more, "pools": pools, "vips": vips}
    return "".join(f"{key} = {libconfig(value)};\n" for key, value in settings.items())


def pool(lab, name="web", backends=None, **more):
    """A pool of the lab's backends (namespaces, or dicts as they shall stand in the file)."""
    entries = [
        each if isinstance(each, dict) else {"name": each.name_in_pool, "address": each.address}
        for each in (lab.backends if backends is None else backends)
    ]
    return {"name": name, "encapsulation": "gre", **more, "backends": entries}


def http_health_check(**more):
    check = {"type": "http", "port": 8080, "path": "/healthz", "interval": "200ms"}
    return {**check, "timeout": "200ms", "rise": 2, "fall": 2, **more}


def tunnel_health_check(**more):
    """Through the tunnel; the port is that of the VIP."""
    check = http_health_check(via="tunnel", path="/id", **more)
    del check["port"]
    return check


def vips(lab, pool="web", **more):
    """The lab's two VIPs, both to one pool."""
    return [
        {"name": "web", "address": lab.http_vip, "protocol": "tcp", "port": 80, "pool": pool}
        | more,
        {"name": "dns", "address": lab.dns_vip, "protocol": "udp", "port": 53, "pool": pool}
        | more,
    ]


# Metrics


class Metrics(dict):
    """{(name, frozenset of (label, value)): number}, as one textfile had them."""

    def get_one(self, name, **labels):
        """The one sample of that name with these labels among its own."""
        found = self.select(name, **labels)
        if len(found) != 1:
            raise KeyError(f"{name}{labels}: {len(found)} samples")
        return next(iter(found.values()))

    def sum(self, name, **labels):
        return sum(self.select(name, **labels).values())

    def select(self, name, **labels):
        return {
            key: value
            for key, value in self.items()
            if key[0] == name and labels.items() <= dict(key[1]).items()
        }

    def by_label(self, name, label):
        """{value of the label: sum}."""
        found = {}
        for (_, labels), value in self.select(name).items():
            each = dict(labels)[label]
            found[each] = found.get(each, 0) + value
        return found

    def workers(self):
        name = "fluxpin_worker_received_packets_total"
        return sorted(
            (dict(labels)["interface"], dict(labels)["queue"])
            for _, labels in self.select(name)
        )


def parse_metrics(text):
    """The samples of the text format. Anything else is an error, and a sample twice is, too."""
    metrics = Metrics()
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        if not match:
            raise ValueError(f"no sample: {line!r}")
        labels = frozenset(
            (name, re.sub(r"\\.", lambda escape: ESCAPES[escape[0]], value))
            for name, value in LABEL.findall(match["labels"] or "")
        )
        key = match["name"], labels
        if key in metrics:
            raise ValueError(f"twice: {line!r}")
        value = match["value"]
        metrics[key] = int(value) if value.lstrip("-").isdigit() else float(value)
    return metrics


# The daemon


# Of a configuration that names none; Fluxpin's own, below, is much of an emulated CPU.
DEFAULT_METRICS_INTERVAL = "10s"


class Fluxpin:
    """`fluxpin run` in a load balancer's namespace (lab.lb by default).

    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin: ...

    bpffs: whether there is a BPF file system on its /sys/fs/bpf.
    frames: UMEM frames of a worker, to compare the ledger with.

    Leaving the block stops it and checks that it left nothing behind; after an exception it is
    only stopped.
    """

    def __init__(
        self,
        lab,
        text,
        mode="auto",
        queues="0-1",
        cpus="0-1",
        namespace=None,
        bpffs=True,
        interval="100ms",
        frames=8192,
        arguments=(),
        environment=None,
        start=True,
    ):
        self.lab = lab
        self.namespace = namespace or lab.lb
        self.directory = self.namespace.directory
        self.file = self.directory / "fluxpin.conf"
        self.metrics_file = self.directory / "fluxpin.prom"
        self.log_file = self.directory / "fluxpin.log"
        self.control = self.directory / "control.sock"
        self.bpffs = bpffs
        self.interval = interval
        self.frames = frames
        self.process = None
        self._log_offset = 0
        self._log_start = 0
        self.command = [lab.fluxpin, "run", "-c", self.file, "-i", f"eth0:{queues}@{cpus}"]
        self.command += ["--mode", mode, "--metrics-file", self.metrics_file, *arguments]
        if environment:
            self.command = ["env", *(f"{k}={v}" for k, v in environment.items()), *self.command]
        self.write(text)
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process is None:
            return
        if kind is None:
            self.stop()
        else:
            print(f"--- {self.log_file}\n{self.log()}")
            stop(self.process)

    def without(self, *options):
        """Before the start: its command line has none of these, nor their values: what the file
        says counts."""
        for option in options:
            at = self.command.index(option)
            del self.command[at : at + 2]
        return self

    def set_option(self, option, value):
        """Before the start: another value on the command line."""
        self.command[self.command.index(option) + 1] = value
        return self

    def write(self, text):
        """Writes the configuration; the metrics' interval and the control socket are set here
        unless the text does."""
        if not re.search(r"^metrics\b", text, re.MULTILINE):
            metrics = {"textfile": self.metrics_file, "interval": self.interval}
            text = f"metrics = {libconfig(metrics)};\n{text}"
        if not re.search(r"^control\b", text, re.MULTILINE):
            text = f"control = {libconfig(self.control)};\n{text}"
        self.file.write_text(text)

    def start(self, timeout=15):
        """Starts it and waits until it says that it is ready."""
        self.launch()
        self.wait_for_log(r"\bready\b", timeout)
        self.wait_for_metrics(timeout)
        return self

    def launch(self):
        """Starts it and waits for nothing."""
        with open(self.log_file, "ab") as log:
            self._log_start, self._log_offset = log.tell(), 0
            self.process = self.namespace.popen(
                self.command, bpffs=self.bpffs, stdout=log, stderr=log
            )

    # Its log

    def log(self):
        """What it wrote since it was started; what others wrote before, in the same lab, is not
        its own."""
        return self.log_file.read_bytes()[self._log_start :].decode()

    def wait_for_log(self, pattern, timeout=10):
        """The match in what it wrote since it was started, or since the last match."""

        def look():
            text = self.log()
            if match := re.search(pattern, text[self._log_offset :], re.MULTILINE):
                self._log_offset += match.end()
                return match
            if self.process.poll() is not None:
                raise RuntimeError(f"fluxpin: exit {self.process.returncode}\n{text}")
            return None

        try:
            return wait_until(look, timeout, f"{pattern!r} in fluxpin's log")
        except TimeoutError as error:
            raise TimeoutError(f"{error}:\n{self.log()}") from None

    def reload(self, text=None, timeout=10):
        """SIGHUP. Returns the generation that is active then, or None when it was refused."""
        if text is not None:
            self.write(text)
        self._log_offset = len(self.log())
        self.signal(signal.SIGHUP)
        match = self.wait_for_log(
            r"configuration generation (\d+) active|reload refused", timeout
        )
        if not match[1]:
            return None
        generation = int(match[1])
        wait_until(
            lambda: self.metrics().sum("fluxpin_config_generation") == generation,
            timeout,
            f"generation {generation} in the metrics",
        )
        return generation

    # Its metrics

    def metrics(self):
        """What the textfile says now; empty while there is none."""
        try:
            return parse_metrics(self.metrics_file.read_text())
        except FileNotFoundError:
            return Metrics()

    def wait_for_metrics(self, timeout=10):
        """Waits until the textfile is written again, and so later than this call."""
        called = time.time()

        def newer():
            try:
                # The kernel's clock for files is coarse: a tick of 10 ms at the most.
                return self.metrics_file.stat().st_mtime > called + 0.01
            except FileNotFoundError:
                return False

        wait_until(newer, timeout, "new metrics")
        return self.metrics()

    def wait_for(self, condition, timeout=10, what="condition of the metrics"):
        """Waits until condition(metrics) is true; returns those metrics."""
        return wait_until(
            lambda: next((each for each in [self.metrics()] if condition(each)), None),
            timeout,
            what,
        )

    def wait_for_health(self, pool="web", **healthy):
        """Waits until the metrics say so: wait_for_health(web_1=0, web_2=1). Without a pool, None, it
        is the sum over all of them."""
        labels = {} if pool is None else {"pool": pool}
        wanted = {name.replace("_", "-"): value for name, value in healthy.items()}

        def is_so(metrics):
            found = {name: metrics.select("fluxpin_backend_healthy", backend=name, **labels)
                     for name in wanted}
            return all(found.values()) and wanted == {
                name: sum(each.values()) for name, each in found.items()}

        return self.wait_for(is_so, 15, f"health of pool {pool}: {wanted}")

    def quiescent(self, timeout=10):
        """Metrics of a moment at which no more VIP packets come: two readings alike."""
        names = {"fluxpin_vip_packets_total", WORKER_OUTCOMES[0], WORKER_OUTCOMES[3]}
        deadline = time.monotonic() + timeout * PATIENCE
        before = None
        while True:
            metrics = self.wait_for_metrics()
            now = {key: value for key, value in metrics.items() if key[0] in names}
            if now == before:
                return metrics
            if time.monotonic() > deadline:
                raise TimeoutError(f"traffic does not end within {timeout} s")
            before = now

    def assert_balanced(self, timeout=5):
        """Every packet has one outcome, and every UMEM frame is somewhere.

        Health checks and ARP go on meanwhile, so a reading may fall between a packet's two
        counters: one of several in a row has to balance.
        """
        self.quiescent()
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            metrics = self.wait_for_metrics()
            wrong = imbalances(metrics, self.frames)
            if not wrong:
                return metrics
            assert time.monotonic() < deadline, "\n".join(wrong)

    # Its end

    def signal(self, number):
        """To fluxpin itself, which has replaced the commands that started it."""
        self.process.send_signal(number)

    def stop(self, timeout=10, number=None):
        """SIGTERM or another one; it must exit with 0, leave nothing behind, and have every packet
        and every frame accounted for."""
        wrong = lost_frames(self.metrics(), self.frames)
        self.signal(number or signal.SIGTERM)
        try:
            status = self.process.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            stop(self.process)
            raise AssertionError(f"fluxpin does not end after SIGTERM:\n{self.log()}") from None
        self.process = None
        assert status == 0, f"exit {status}:\n{self.log()}"
        assert not wrong, "\n".join(wrong)
        self.assert_totals_balance()
        self.assert_nothing_left()

    def totals(self):
        """{(interface, queue): totals} as this process logged them when it stopped."""
        return {
            (match["interface"], match["queue"]): {
                name: int(value) for name, value in TOTAL.findall(match["totals"])
            }
            for match in TOTALS.finditer(self.log())
        }

    def assert_totals_balance(self):
        """The last totals, when all traffic has ended: exact, whatever was under way."""
        found = self.totals()
        assert found, f"no totals in the log:\n{self.log()}"
        for worker, totals in found.items():
            received = totals.pop("received")
            assert received == sum(totals.values()), (worker, received, totals)

    def assert_nothing_left(self):
        assert self.namespace.xdp() is None, f"XDP is attached: {self.namespace.xdp()}"
        links = [link["ifname"] for link in self.namespace.ip_json("link show")]
        assert not [name for name in links if name.startswith("fluxpin")], links
        assert not self.metrics_file.exists(), "the metrics file is there"
        leftovers = [each.name for each in self.directory.glob(self.metrics_file.name + "*")]
        assert not leftovers, leftovers
        assert not self.control.exists(), "the control socket is there"

    def kill9(self):
        """Ends it without a chance to clean up."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process = None


def imbalances(metrics, frames):
    """Sentences about workers whose packets or UMEM frames do not add up."""
    found = []
    if not metrics.workers():
        found.append("no worker in the metrics")
    for interface, queue in metrics.workers():
        worker = {"interface": interface, "queue": queue}
        received = metrics.sum("fluxpin_worker_received_packets_total", **worker)
        outcomes = {name: metrics.sum(name, **worker) for name in WORKER_OUTCOMES}
        if received != sum(outcomes.values()):
            found.append(f"{interface}:{queue} received {received}, but {outcomes}")
    return found + lost_frames(metrics, frames)


def lost_frames(metrics, frames):
    """Sentences about workers whose UMEM frames do not add up; traffic may go on meanwhile."""
    found = []
    for interface, queue in metrics.workers():
        worker = {"interface": interface, "queue": queue}
        states = metrics.select("fluxpin_worker_umem_frames", **worker)
        if sum(states.values()) != frames:
            found.append(f"{interface}:{queue} has {frames} frames, but {states}")
    return found
