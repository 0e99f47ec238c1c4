# SPDX-License-Identifier: BSD-2-Clause
"""What operators do, on purpose and by mistake, while fluxpin runs."""

from fluxpin import Fluxpin, configuration, pool, vips

LEAST = "-all,+net_admin,+net_raw,+bpf,+ipc_lock"


def test_without_cap_sys_admin_the_mode_is_true_and_nothing_is_left(lab):
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    limits = [f"--bounding-set={LEAST}", f"--inh-caps={LEAST}"]
    fluxpin.command = ["setpriv", *limits, *fluxpin.command]
    with fluxpin.start():
        assert lab.load("http", lab.http_vip, "--requests", 10).result()["failed_count"] == 0
        assert lab.lb.xdp()[0] == "xdpdrv"
        assert "eth0 queue 0: copy (native XDP)" in fluxpin.log()
