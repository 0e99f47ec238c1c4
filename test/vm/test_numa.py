# SPDX-License-Identifier: BSD-2-Clause
"""NUMA: the machine has two nodes of one CPU each (test/vm/host/machine.py)."""

import pathlib
import re

from doctor_report import doctor, findings
from vm_lab import VmFluxpin, text

LARGE = 8192  # kilobytes: a UMEM has twice as much, a connection table of default size, too


def nodes_of_large_blocks(process):
    """[{node: kilobytes}] of each mapping with so much memory in it."""
    found = []
    text = pathlib.Path(f"/proc/{process.pid}/numa_maps").read_text(encoding="ascii")
    for line in text.splitlines():
        size = int((re.search(r"kernelpagesize_kB=(\d+)", line) or (0, 0))[1])
        nodes = {int(node): int(count) * size
                 for node, count in re.findall(r"\bN(\d+)=(\d+)", line)}
        if sum(nodes.values()) >= LARGE and " file=" not in line:
            found.append(nodes)
    return found


def card_of(lab):
    """The PCI device; virtio_net's own device is one below it."""
    device = "/sys/class/net/eth0/device"
    return device if lab.driver != "virtio_net" else f"{device}/.."


def test_memory_is_near_its_worker(lab):
    """Both workers on CPU 1: frames and tables of both are on its node, whatever CPU the process
    began on."""
    with VmFluxpin(lab, text(lab, "gre", "ipv4"), cpus="1") as fluxpin:
        found = nodes_of_large_blocks(fluxpin.process)
    assert len(found) >= 4
    assert {node for each in found for node in each} == {1}


def test_doctor_names_cpus_that_are_far(lab):
    """The emulated cards are of no node until they are told."""
    file = VmFluxpin(lab, text(lab, "gre", "ipv4"), start=False).file

    def numa(interface="eth0:0-1@1"):
        report = doctor(lab.lb, lab.fluxpin, "doctor", "-c", file, "-i", interface, "--json")
        return findings(report, "numa")

    path = f"{card_of(lab)}/numa_node"
    assert not numa()
    lab.lb.run(["sh", "-c", f"echo 0 >{path}"])
    try:
        (finding,) = numa()
        assert "on NUMA node 0, CPU 1 of its workers on node 1" in finding["message"]
        assert lab.lb.output(["sh", "-c", finding["command"]]).strip() == "0"
        assert not numa("eth0:0@0,1")  # the one worker is on CPU 0
        lab.lb.run(["sh", "-c", f"echo 1 >{path}"])
        assert not numa()
    finally:
        lab.lb.run(["sh", "-c", f"echo -1 >{path}"])
