# SPDX-License-Identifier: BSD-2-Clause
"""What the kernel tells of a process (proc(5)): memory, descriptors, threads and their CPU time.

A thread is given as its folder in /proc, as `threads` and `workers` return them.
"""

import os
import pathlib
import re

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def memory_kib(pid, field="VmRSS"):
    """What it has now, or with "VmHWM" had at most."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)[1])


def descriptors(pid):
    """How many are open; what is open only while a file is written or the kernel is asked is among
    them."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    """[(name, thread)]"""
    return [((folder / "comm").read_text().rstrip("\n"), folder)
            for folder in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def workers(pid):
    """The workers' threads, by their names, "w/eth0:0"; at least one."""
    found = [thread for name, thread in sorted(threads(pid)) if name.startswith("w/")]
    if not found:
        raise LookupError(f"process {pid} has no worker")
    return found


def stat_fields(folder):
    """Those of the stat file of a process or thread, from its state on, which is field 3."""
    return (pathlib.Path(folder) / "stat").read_text().rpartition(") ")[2].split()


def state(thread):
    """Its letter: R runs, S sleeps."""
    return stat_fields(thread)[0]


def cpu_ticks(folder):
    """User's and kernel's, of a process or thread."""
    fields = stat_fields(folder)
    return int(fields[11]) + int(fields[12])


def cpu_ns(thread):
    """CPU time by the scheduler's clock, with what the kernel did on the thread's account."""
    return int((thread / "schedstat").read_text().split()[0])
