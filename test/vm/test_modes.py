# SPDX-License-Identifier: BSD-2-Clause
"""The ladder of modes: what each kernel grants, and that fluxpin says which."""

import pytest
from curl import get, upload
from vm_lab import REQUESTS, VmFluxpin, has_zero_copy, text


def assert_forwards(lab, fluxpin):
    for vip in (lab.http_vip, lab.http_vip_ipv6):
        assert set(get(lab, vip, REQUESTS)) == {"web-1", "web-2"}
        assert upload(lab, vip, 100_000)
    metrics = fluxpin.assert_balanced()
    assert metrics.sum("fluxpin_worker_dropped_packets_total") == 0


def assert_granted(lab, fluxpin, granted):
    for queue in (0, 1):
        assert f"eth0 queue {queue}: {granted}, driver {lab.driver}," in fluxpin.log()
    zero_copy = fluxpin.metrics().select("fluxpin_worker_zero_copy").values()
    assert set(zero_copy) == {int(granted == "zero-copy")} and len(zero_copy) == 2
    assert (lab.lb.xdp()[0] == "xdpgeneric") == (granted == "copy (generic XDP)")


@pytest.mark.parametrize("mode, granted", [
    ("copy", "copy (native XDP)"), ("skb", "copy (generic XDP)"),
])
def test_mode(lab, mode, granted):
    with VmFluxpin(lab, text(lab, "gre", "ipv4"), mode=mode) as fluxpin:
        assert_granted(lab, fluxpin, granted)
        assert_forwards(lab, fluxpin)


def test_best_mode_also_after_a_kill(lab):
    """What the driver has; a killed process leaves the NIC to the kernel, and the next one takes it
    over."""
    granted = "zero-copy" if has_zero_copy(lab) else "copy (native XDP)"
    fluxpin = VmFluxpin(lab, text(lab, "gre", "ipv4"))
    assert_granted(lab, fluxpin, granted)
    refused = f"eth0 queue 0 (driver {lab.driver}): zero-copy refused: Operation not supported; using copy"
    assert (refused in fluxpin.log()) != has_zero_copy(lab)
    assert_forwards(lab, fluxpin)
    fluxpin.kill9()
    lab.wait_for_carrier()
    lab.client.run(["ping", "-c", "2", "-W", "10", lab.lb.address])
    fluxpin.metrics_file.unlink(missing_ok=True)
    with fluxpin.start():
        assert_granted(lab, fluxpin, granted)
        assert_forwards(lab, fluxpin)


def test_zero_copy_or_nothing(lab):
    """--mode zerocopy ends with a reason where it is not granted: a veth, an old kernel."""
    namespace = lab.backends[0] if has_zero_copy(lab) else lab.lb
    driver = "veth" if has_zero_copy(lab) else lab.driver
    file = namespace.directory / "refused.conf"
    file.write_text(text(lab, "gre", "ipv4"))
    done = namespace.run([lab.fluxpin, "run", "-c", file, "-i", "eth0", "--mode", "zerocopy"],
                         check=False)
    assert done.returncode == 1, done
    assert f"eth0 queue 0 (driver {driver}): mode zerocopy: zero-copy refused: " in done.stderr
    assert namespace.xdp() is None
