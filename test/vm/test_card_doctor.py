# SPDX-License-Identifier: BSD-2-Clause
"""The doctor with real drivers on the load balancer, and with backends that decapsulate with the
kernel's own devices."""

import pathlib
import re

import pytest
from doctor_report import doctor, findings, problems
from vm_lab import VmFluxpin, has_zero_copy, text


def examine(lab, namespace, *command):
    """{(check, subject): finding} of what is wrong."""
    return problems(doctor(namespace, lab.fluxpin, *command, "--json"))


def configured(lab, encapsulation="gre", outer="ipv4"):
    return VmFluxpin(lab, text(lab, encapsulation, outer), start=False).file


def examine_backend(lab, file):
    return examine(lab, lab.backends[0], "endpoint", "doctor", "-i", "eth0", "-c", file)


def test_a_card(lab):
    """Whatever the driver has on that harms can be turned off; what is known of it stays."""
    file = configured(lab)
    lab.wait_for_carrier()
    found = examine(lab, lab.lb, "doctor", "-c", file, "-i", "eth0")
    for finding in found.values():
        if finding["command"]:
            lab.lb.run(["sh", "-c", finding["command"]])
    left = examine(lab, lab.lb, "doctor", "-c", file, "-i", "eth0")
    known = {("driver", "eth0")} if lab.driver == "virtio_net" else set()
    assert set(left) <= known, (found, left)


def test_interrupts_of_the_queues(lab):
    """Each that is not on its worker's CPU has its line, which brings it there."""
    file = configured(lab)

    def lines(cpus):
        report = doctor(lab.lb, lab.fluxpin, "doctor", "-c", file, "-i", f"eth0:0-1@{cpus}",
                        "--json")
        return [each["command"] for each in findings(report, "interrupts")]

    for cpus in ("0,1", "1,0"):
        found = lines(cpus)
        for line in found:
            lab.lb.run(["sh", "-c", line])
        assert not lines(cpus)
    assert len(found) == 2  # both were where the other one is now


def test_huge_pages(lab):
    """Those that the doctor asks for are as many as the workers take, where transparent ones are
    off; more than they take where an old kernel refuses igb zero-copy, whose frames are longer."""
    file = configured(lab)
    transparent = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    reserved = pathlib.Path("/proc/sys/vm/nr_hugepages")
    free = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")

    def finding():
        report = doctor(lab.lb, lab.fluxpin, "doctor", "-c", file, "-i", "eth0", "--json")
        return findings(report, "huge_pages")[0]

    before = re.search(r"\[(\w+)\]", transparent.read_text())[1], reserved.read_text()
    transparent.write_text("never")
    try:
        reserved.write_text("1")
        found = finding()
        assert found["message"].startswith("1 2 MB pages are reserved, ")
        lab.lb.run(["sh", "-c", found["command"]])
        assert found["command"].endswith(f"={free.read_text().strip()}")
        assert finding()["severity"] == "ok"
        with VmFluxpin(lab, text(lab, "gre", "ipv4")) as fluxpin:
            assert (free.read_text() == "0\n") == (has_zero_copy(lab) or lab.driver != "igb")
            assert len(re.findall(r"bytes on 2 MB pages", fluxpin.log())) == 2, fluxpin.log()
            assert "on 4 KB pages" not in fluxpin.log()
    finally:
        transparent.write_text(before[0])
        reserved.write_text(before[1])


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
@pytest.mark.parametrize("encapsulation", ["gre", "ipip", "gue"])
def test_the_kernels_devices(lab, encapsulation, outer):
    file = configured(lab, encapsulation, outer)
    assert not examine_backend(lab, file)


@pytest.mark.parametrize(
    "encapsulation, outer, line, undo, key",
    [
        ("gre", "ipv4", "ip link set gre4 down", "ip link set gre4 up", ("decapsulation", "gre4")),
        ("ipip", "ipv4", "ip link set sit4 down", "ip link set sit4 up", ("decapsulation", "sit4")),
        ("gue", "ipv4", "ip fou del port 6080", "ip fou add port 6080 gue",
         ("decapsulation", "eth0")),
        ("gue", "ipv6", "ip -6 fou del port 6080", "ip -6 fou add port 6080 gue",
         ("decapsulation", "eth0")),
        ("gre", "ipv4", "sysctl -qw net.ipv4.conf.gre4.rp_filter=1",
         "sysctl -qw net.ipv4.conf.gre4.rp_filter=0", ("rp_filter", "gre4")),
    ],
)
def test_what_is_broken_of_them(lab, encapsulation, outer, line, undo, key):
    backend = lab.backends[0]
    file = configured(lab, encapsulation, outer)
    backend.run(["sh", "-c", line])
    try:
        found = examine_backend(lab, file)
        assert set(found) == {key}
        backend.run(["sh", "-c", found[key]["command"]])
        assert not examine_backend(lab, file)
    finally:
        backend.run(["sh", "-c", undo], check=False)
