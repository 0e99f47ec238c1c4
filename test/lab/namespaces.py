# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces that clean up after themselves, and after their dead predecessors.

A run's identity is "fp<pid>-<start time of that process>-<number>": it begins the name of every
namespace, is the name of the temporary directory, and stands as FLUXPIN_LAB in the environment of
every process that is started here; the directory also lists the sessions of those processes. So
whatever a killed run left behind can be told from what a living one uses, and only processes that
a run started itself are ever ended.
"""

import ctypes
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from process import stat_fields

NETNS_DIRECTORY = pathlib.Path("/run/netns")
IDENTITY = re.compile(r"fp(?P<pid>\d+)-(?P<start>\d+)-\d+")
SESSION = re.compile(r"\d+ \d+")
CLONE_NEWNET = 0x40000000
# Waits are for what must come; how long they are says only when to give up. A machine without
# hardware help takes longer for everything.
PATIENCE = 10 if os.environ.get("FLUXPIN_VM") else 1
KERNEL = tuple(map(int, re.match(r"(\d+)\.(\d+)", os.uname().release).groups()))
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def _stat(pid, ended="ZX"):
    """Fields of /proc/PID/stat from the state on (proc(5), field 3), or None for a dead process."""
    try:
        fields = stat_fields(f"/proc/{pid}")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ended else fields


def process_start_time(pid, ended="ZX"):
    """Start time in clock ticks since boot, or None for a process in one of these states."""
    fields = _stat(pid, ended)
    return int(fields[19]) if fields else None


def new_identity():
    return f"fp{os.getpid()}-{process_start_time(os.getpid())}-{next(_numbers)}"


def run_directory(identity):
    return pathlib.Path(tempfile.gettempdir()) / identity


def _sessions_of(identity):
    """Sessions that the run started, except those whose number another process has by now."""
    try:
        lines = (run_directory(identity) / "sessions").read_text().splitlines()
    except FileNotFoundError:
        return set()
    # A run that was killed may have left half a line.
    started = (map(int, line.split()) for line in lines if SESSION.fullmatch(line))
    return {pid for pid, start in started if process_start_time(pid) in (start, None)}


def processes_of(identity):
    """The living processes of a run: by session, or by environment; this process left out."""
    wanted = f"FLUXPIN_LAB={identity}".encode()
    sessions = _sessions_of(identity)
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        fields = _stat(entry.name)
        if not fields:
            continue
        try:
            # Some programs, nginx for one, write their title over their environment.
            if (
                int(fields[3]) in sessions
                or wanted in (entry / "environ").read_bytes().split(b"\0")
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def remove_run(identity, timeout=5.0):
    """Ends the processes of a run and removes its namespaces and directory."""
    deadline = time.monotonic() + timeout
    number = signal.SIGTERM
    while pids := processes_of(identity):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline + timeout:
            raise RuntimeError(f"processes of {identity} do not end: {pids}")
        number = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
        time.sleep(0.05)
    for path in NETNS_DIRECTORY.glob(f"{identity}-*"):
        subprocess.run(["ip", "netns", "delete", path.name], check=False)
    shutil.rmtree(run_directory(identity), ignore_errors=True)


def remove_dead_runs():
    """The janitor: removes what runs left whose process is gone. Returns their identities."""
    places = [NETNS_DIRECTORY, pathlib.Path(tempfile.gettempdir())]
    found = {}
    for place in places:
        for path in place.iterdir() if place.is_dir() else []:
            if match := IDENTITY.match(path.name):
                found[match[0]] = match
    dead = [
        identity
        for identity, match in found.items()
        if process_start_time(int(match["pid"])) != int(match["start"])
    ]
    for identity in dead:
        remove_run(identity)
    return dead


class Namespace:
    """One network namespace of a run. Commands see its own /sys, as `ip netns exec` arranges."""

    def __init__(self, identity, role, directory):
        self.role = role
        self.name = f"{identity}-{role}"
        self.directory = directory
        self.environment = {**os.environ, "FLUXPIN_LAB": identity}
        self.processes = []
        self._bpffs_holder = None
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")

    def __repr__(self):
        return f"<namespace {self.name}>"

    # Commands

    def command(self, arguments, bpffs=False, cpus=None):
        """The command line that runs `arguments` in here, on the CPUs "0-1,3" if given.

        bpffs: with a BPF file system on /sys/fs/bpf, the same one for every command of this
        namespace; without, there is none there.
        """
        prefix = ["ip", "netns", "exec", self.name]
        if bpffs:
            holder = str(self._bpffs_process().pid)
            prefix = ["nsenter", "--target", holder, "--net", "--mount", "--"]
        if cpus is not None:
            prefix += ["taskset", "-c", str(cpus)]
        return prefix + [str(argument) for argument in arguments]

    def _bpffs_process(self):
        # A mount lives as long as a process in its mount namespace: this one holds it.
        if self._bpffs_holder is None or self._bpffs_holder.poll() is not None:
            script = "mount -t bpf bpf /sys/fs/bpf && echo mounted && exec sleep infinity"
            self._bpffs_holder = self.popen(["sh", "-c", script], stdout=subprocess.PIPE)
            if self._bpffs_holder.stdout.readline() != "mounted\n":
                raise RuntimeError(f"{self.name}: cannot mount a BPF file system")
        return self._bpffs_holder

    def run(self, arguments, check=True, timeout=60, bpffs=False, cpus=None, **more):
        """Runs to the end; stdout and stderr are captured as text."""
        done = subprocess.run(
            self.command(arguments, bpffs, cpus),
            capture_output=True,
            text=True,
            timeout=timeout * PATIENCE,
            env=self.environment,
            **more,
        )
        if check and done.returncode != 0:
            raise RuntimeError(
                f"{self.role}: {' '.join(map(str, arguments))}: exit {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done

    def output(self, arguments, **more):
        return self.run(arguments, **more).stdout

    def popen(self, arguments, bpffs=False, cpus=None, **more):
        """Starts a process in a group of its own; it is ended with the namespace at the latest."""
        process = subprocess.Popen(
            self.command(arguments, bpffs, cpus),
            text=True,
            start_new_session=True,
            env=self.environment,
            **{"stdin": subprocess.DEVNULL, **more},
        )
        self.processes.append(process)
        with open(self.directory.parent / "sessions", "a") as sessions:
            # It may have ended already, but nobody has waited for it: a zombie has its time, too.
            print(process.pid, process_start_time(process.pid, ended=""), file=sessions)
        return process

    def ip(self, *lines):
        """Runs lines of ip(8) as one batch."""
        subprocess.run(
            ["ip", "-n", self.name, "-batch", "-"],
            input="\n".join(lines) + "\n",
            text=True,
            check=True,
        )

    def ip_json(self, arguments):
        text = subprocess.run(
            ["ip", "-n", self.name, "-j", *arguments.split()],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return json.loads(text or "[]")

    def sysctl(self, **values):
        """Sets sysctls, their dots written as two underscores: net__ipv4__ip_forward=1."""
        settings = [f"{name.replace('__', '.')}={value}" for name, value in values.items()]
        self.run(["sysctl", "-q", "-w", *settings])

    # Without a process: from the caller itself

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        """A socket of this process that belongs to the namespace."""
        result = []

        def make():
            # The namespace is the thread's, not the process's; the thread ends here.
            with open(NETNS_DIRECTORY / self.name, "rb") as namespace:
                if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    result.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                result.append(socket.socket(family, kind, protocol))
            except OSError as error:
                result.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def send_frames(self, interface, *frames):
        with self.socket(socket.AF_PACKET, socket.SOCK_RAW) as port:
            port.bind((interface, 0))
            for frame in frames:
                port.send(bytes(frame))

    # State

    def mac(self, interface="eth0"):
        return bytes.fromhex(
            self.ip_json(f"link show {interface}")[0]["address"].replace(":", "")
        )

    def xdp(self, interface="eth0"):
        """What XDP is attached: None, or the mode ("xdpdrv", "xdpgeneric") and the program id."""
        link = self.ip_json(f"link show {interface}")[0]
        if "xdp" not in link:
            return None
        mode = {1: "xdpdrv", 2: "xdpgeneric", 3: "xdpoffload", 4: "multi"}[link["xdp"]["mode"]]
        return mode, link["xdp"].get("prog", {}).get("id")

    def statistics(self):
        """Packets and bytes per interface, as the kernel counts them."""
        return {
            link["ifname"]: {way: link["stats64"][way] for way in ("rx", "tx")}
            for link in self.ip_json("-s link show")
        }

    def received(self, interface="eth0"):
        """Packets, as the kernel counts them."""
        return self.statistics()[interface]["rx"]["packets"]

    def queue_statistics(self, interface="eth0"):
        """What the driver counts (ethtool -S), for instance "rx_queue_0_xdp_packets" of a veth."""
        found = {}
        for line in self.output(["ethtool", "-S", interface]).splitlines()[1:]:
            name, _, value = line.rpartition(":")
            found[name.strip()] = int(value)
        return found


def stop(process, timeout=5.0):
    """SIGTERM to a process's group, SIGKILL after the timeout. Returns the exit status."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            process.wait(timeout * PATIENCE)
            break
        except subprocess.TimeoutExpired:
            continue
    for stream in (process.stdout, process.stderr, process.stdin):
        if stream:
            stream.close()
    return process.returncode


def wait_until(condition, timeout, what, interval=0.02):
    """Calls `condition` until it gives something true, and returns that; fails with `what`."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {timeout} s")
        time.sleep(interval)
