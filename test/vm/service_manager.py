# SPDX-License-Identifier: BSD-2-Clause
"""A systemd that runs conf/fluxpin.service in a namespace of the lab, as it is shipped (ADDITION aside).

It is the first process of a PID namespace and sees what it would on a machine on which fluxpin is
installed: the program at /usr/sbin/fluxpin, the configuration in /etc/fluxpin, a /run/systemd and a
cgroup of its own. Of units there are only the one and the targets that it names: none of the machine's.
"""

import os
import pathlib
import subprocess

from namespaces import wait_until
from vm_lab import VmFluxpin

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT = ROOT / "conf/fluxpin.service"
SYSTEMD = pathlib.Path("/lib/systemd/systemd")
INSTALLED = pathlib.Path("/usr/sbin/fluxpin")
CONFIGURATION = pathlib.Path("/etc/fluxpin/fluxpin.conf")
# What every service is started behind, and what the unit names.
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "lab")
# Of the unit, after a failure.
SHOWN = ("ActiveState", "SubState", "Result", "NRestarts", "MainPID", "ExecMainStatus")
# There is no journal, so fluxpin's log is a file; how each process ended stands in it, too.
ADDITION = """[Service]
StandardOutput=append:{log}
StandardError=append:{log}
ExecStopPost=/bin/sh -c 'echo "ended: $$EXIT_CODE $$EXIT_STATUS"'
"""

# Arguments: a folder that holds units/ and generators/, the program, the configuration.
START = f"""
set -e
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p /run/systemd /run/fluxpin
mount -t tmpfs -o mode=755 systemd /run/systemd
mount -t tmpfs -o mode=755 fluxpin /run/fluxpin
mount --bind "$2" {INSTALLED}
mount --bind "$3" {CONFIGURATION}
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/lab
echo 0 >/sys/fs/cgroup/lab/cgroup.procs
export container=lab SYSTEMD_UNIT_PATH="$1/units" SYSTEMD_GENERATOR_PATH="$1/generators"
exec unshare --cgroup sh -c '
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec {SYSTEMD} --system --unit=lab.target --log-target=kmsg --show-status=no'
"""


class Systemd:
    """with Systemd(namespace, program, configuration, log) as systemd: systemd.control("start", ...)"""

    def __init__(self, namespace, program, configuration, log):
        self._namespace = namespace
        self._folder = namespace.directory / "systemd"
        self._arguments = [self._folder, program, configuration]
        self._log = log
        self._process = None
        self._first = None

    def __enter__(self):
        self._install()
        self._process = self._namespace.popen(
            ["unshare", "--pid", "--uts", "--mount", "--fork", "--kill-child",
             "sh", "-c", START, "sh", *self._arguments], bpffs=True)
        pid = self._process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        try:
            self._first = wait_until(lambda: children.read_text().strip(), 10, "first process")
            wait_until(lambda: self.control("is-system-running", check=False).stdout.strip() == "running",
                       30, "systemd that runs", 0.2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # With its first process, all of the PID namespace end.
        self._process.kill()
        self._process.wait()

    def _install(self):
        (self._folder / "generators").mkdir(parents=True, exist_ok=True)
        units = self._folder / "units"
        (units / f"{UNIT.name}.d").mkdir(parents=True, exist_ok=True)
        for each in TARGETS:
            (units / f"{each}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        (units / UNIT.name).write_bytes(UNIT.read_bytes())
        (units / f"{UNIT.name}.d/lab.conf").write_text(ADDITION.format(log=self._log))
        # What is mounted on top is seen by this systemd alone.
        for each in (INSTALLED, CONFIGURATION):
            each.parent.mkdir(exist_ok=True)
            each.touch()

    def control(self, *arguments, check=True):
        """Runs systemctl."""
        done = subprocess.run(
            ["nsenter", "--target", self._first, "--mount", "--pid", "--", "systemctl", *arguments],
            capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        if check and done.returncode != 0:
            raise RuntimeError(f"systemctl {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
        return done

    def show(self):
        """What it knows of the unit: {property: value}."""
        lines = self.control("show", UNIT.name).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


class ServiceProcess:
    """For Fluxpin: the process that systemd starts, over and over again."""

    returncode = None

    def poll(self):
        """It ends when it is stopped, not with a process."""


class FluxpinService(VmFluxpin):
    """fluxpin that systemd runs.

    with FluxpinService(lab, text) as fluxpin: ...
    """

    def __init__(self, lab, text):
        super().__init__(lab, text, start=False)
        self.systemd = Systemd(self.namespace, lab.fluxpin, self.file, self.log_file)

    def __enter__(self):
        self.systemd.__enter__()
        try:
            return self.start()
        except BaseException:
            self._end()
            raise

    def __exit__(self, kind, *_):
        if kind is not None:
            self._end()
            return
        try:
            self.stop()
        finally:
            self.systemd.__exit__()

    def _end(self):
        try:
            unit = self.systemd.show()
            print(f"--- {({each: unit.get(each) for each in SHOWN})}\n--- {self.log_file}\n{self.log()}")
        finally:
            self.systemd.__exit__()

    def launch(self):
        self.log_file.touch()
        self._log_start, self._log_offset = self.log_file.stat().st_size, 0
        self.process = ServiceProcess()
        self.systemd.control("start", UNIT.name)

    def stop(self):
        self.systemd.control("stop", UNIT.name)
        unit = self.systemd.show()
        assert (unit["ActiveState"], unit["Result"]) == ("inactive", "success"), unit
        self.assert_totals_balance()
        self.assert_nothing_left()
