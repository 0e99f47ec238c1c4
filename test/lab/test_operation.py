# SPDX-License-Identifier: BSD-2-Clause
"""What operators do, on purpose and by mistake, while fluxpin runs."""

import os
import re
import signal
import stat
import threading
import time

import pytest
from fluxpin import Fluxpin, configuration, pool, vips
from namespaces import PATIENCE, wait_until

LEAST = "-all,+net_admin,+net_raw,+bpf,+ipc_lock"
FOR_PASS = ",+perfmon"


@pytest.mark.parametrize("slow_path", ["tap", "pass"])
def test_without_cap_sys_admin_the_mode_is_true_and_nothing_is_left(lab, slow_path):
    text = configuration([pool(lab)], vips(lab), slow_path=slow_path)
    fluxpin = Fluxpin(lab, text, start=False)
    granted = LEAST + (FOR_PASS if slow_path == "pass" else "")
    limits = [f"--bounding-set={granted}", f"--inh-caps={granted}"]
    fluxpin.command = ["setpriv", *limits, *fluxpin.command]
    with fluxpin.start():
        assert lab.load("http", lab.http_vip, "--requests", 10).result()["failed_count"] == 0
        assert lab.lb.xdp()[0] == "xdpdrv"
        assert "eth0 queue 0: copy (native XDP)" in fluxpin.log()


# Metrics


@pytest.mark.parametrize("kind", ["device", "link", "directory"])
def test_metrics_replace_nothing_but_a_file(lab, kind):
    place = lab.lb.directory / kind
    target = lab.lb.directory / "target"
    if kind == "device":
        os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    elif kind == "link":
        target.write_text("mine")
        place.symlink_to(target)
    else:
        place.mkdir()
    before = place.lstat()
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    fluxpin.set_option("--metrics-file", place)
    process = lab.lb.popen(fluxpin.command, stderr=open(fluxpin.log_file, "w"))
    fluxpin.process = process
    fluxpin.wait_for_log(r"\bready\b")
    time.sleep(0.3)
    process.terminate()
    assert process.wait(10) == 0
    assert fluxpin.log().count(f"writing metrics to {place}: not a regular file\n") == 1
    after = place.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert not list(lab.lb.directory.glob(f"{kind}.tmp"))


def test_a_full_disk_is_named_and_survived(lab):
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    disk = lab.lb.directory / "disk"
    disk.mkdir()
    metrics = disk / "fluxpin.prom"
    fluxpin.set_option("--metrics-file", metrics)
    command = f'mount -t tmpfs -o size=128k none {disk} && exec "$@"'
    fluxpin.process = lab.lb.popen(
        ["unshare", "-m", "sh", "-c", command, "sh", *fluxpin.command],
        stderr=open(fluxpin.log_file, "w"),
    )
    fluxpin.wait_for_log(r"\bready\b")
    inside = f"/proc/{fluxpin.process.pid}/root{disk}"
    with pytest.raises(OSError), open(f"{inside}/rubbish", "wb", buffering=0) as rubbish:
        while True:
            rubbish.write(bytes(4096))
    fluxpin.wait_for_log(f"writing metrics to {metrics}: No space left on device")
    time.sleep(0.3)
    os.unlink(f"{inside}/rubbish")
    fluxpin.wait_for_log(f"writing metrics to {metrics} works again")
    assert fluxpin.log().count("No space left") == 1
    fluxpin.process.terminate()
    assert fluxpin.process.wait(10) == 0


# What is taken away from under it


@pytest.mark.parametrize("bpffs", [True, False])
def test_a_program_detached_by_hand_is_told_and_the_end_is_clean(lab, bpffs):
    with Fluxpin(lab, configuration([pool(lab)], vips(lab)), bpffs=bpffs) as fluxpin:
        before = fluxpin.log().count("was detached")
        lab.lb.ip("link set dev eth0 xdp off")
        fluxpin.wait_for_log("eth0: the XDP program was detached: all packets bypass fluxpin", 3)
        lab.lb.ip("link set dev eth0 mtu 1500", "link set dev eth0 mtu 1600")
        time.sleep(0.3)
        assert fluxpin.log().count("was detached") == before + 1


def test_a_tap_that_is_down_is_told(lab):
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        links = [link["ifname"] for link in lab.lb.ip_json("link show")]
        tap = next(name for name in links if name.startswith("fluxpin-"))
        lab.lb.ip(f"link set dev {tap} down")
        fluxpin.wait_for_log(rf"the TAP {tap} is down: .*\(ip link set dev {tap} up\)", 3)
        lab.lb.ip(f"link set dev {tap} up")
        fluxpin.wait_for_log(f"the TAP {tap} is up again", 3)
        assert lab.client.run(["ping", "-c1", "-W2", lab.lb.address]).returncode == 0
        lab.lb.ip(f"link delete dev {tap}")
        fluxpin.wait_for_log(f"the TAP {tap} was deleted", 3)
        assert lab.load("http", lab.http_vip, "--requests", 10).result()["failed_count"] == 0


def test_many_lost_backends_are_told_in_few_lines(lab):
    lost = [{"name": f"b{i}", "address": f"10.77.0.{i}"} for i in range(1, 101)]
    with Fluxpin(lab, configuration([pool(lab, backends=lost)], vips(lab))) as fluxpin:
        before = len(fluxpin.log())
        lab.lb.ip("route add unreachable 10.77.0.0/16")
        fluxpin.wait_for_log("beside these that get no traffic: 80")
        assert fluxpin.log()[before:].count("gets no traffic by eth0") == 20
        lab.lb.ip("route del unreachable 10.77.0.0/16")
        fluxpin.wait_for_log("beside these whose next hop is resolved: 80")
        assert fluxpin.log()[before:].count(": next hop resolved") == 20


def test_a_network_that_flaps_does_not_put_off_the_warning(lab):
    stop = threading.Event()

    def flap():
        while not stop.wait(0.5):
            lab.lb.ip("route replace unreachable 10.1.0.13/32 metric 1", "route del 10.1.0.13/32")

    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        flapping = threading.Thread(target=flap)
        flapping.start()
        try:
            lab.lb.ip("route add unreachable 10.1.0.11/32")
            fluxpin.wait_for_log("backend web/web-1 .* gets no traffic by eth0", 6)
        finally:
            stop.set()
            flapping.join()
            lab.lb.ip("route del unreachable 10.1.0.11/32")


# Signals


def test_a_burst_of_sighup_is_served_by_few_reloads_and_the_last_file(lab):
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        before = fluxpin.log().count("reload: reading")
        for _ in range(100):
            fluxpin.signal(signal.SIGHUP)
            time.sleep(0.0005)
        fluxpin.write(configuration([pool(lab)], vips(lab)[:1]))
        fluxpin.signal(signal.SIGHUP)
        fluxpin.wait_for_log(r"generation \d+ active: VIPs 1,")
        assert 1 <= fluxpin.log().count("reload: reading") - before < 60


# What is lacking


@pytest.mark.parametrize(
    "slow_path, lacking, hint",
    [
        ("tap", "bpf",
         r"native XDP refused: .* \(needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF\)"),
        ("tap", "net_raw", r"socket refused: .* \(needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF\)"),
        ("tap", "ipc_lock", r"socket refused: .* \(too little locked memory: .*CAP_IPC_LOCK\)"),
        ("pass", "perfmon",
         r'native XDP refused: .* \(slow_path = "pass" needs CAP_PERFMON, too\)'),
    ],
)
def test_a_missing_capability_is_named(lab, slow_path, lacking, hint):
    text = configuration([pool(lab)], vips(lab), slow_path=slow_path)
    fluxpin = Fluxpin(lab, text, start=False)
    granted = (LEAST + FOR_PASS).replace(f",+{lacking}", "")
    # A limit of some megabytes is what many hosts have.
    limits = ["prlimit", "--memlock=8388608", "setpriv", f"--bounding-set={granted}"]
    fluxpin.bpffs = False
    fluxpin.command = [*limits, f"--inh-caps={granted}", *fluxpin.command]
    fluxpin.launch()
    wait_until(lambda: fluxpin.process.poll() is not None or "info: ready" in fluxpin.log(), 15,
               "end or start")
    if lacking == "perfmon" and fluxpin.process.poll() is None:
        fluxpin.stop()
        pytest.skip("this kernel loads the program of slow_path = \"pass\" without CAP_PERFMON")
    assert fluxpin.process.wait(10 * PATIENCE) == 1
    assert re.search(hint, fluxpin.log()), fluxpin.log()
    assert lab.lb.xdp() is None
    doctor = [lab.fluxpin, "doctor", "-c", fluxpin.file, "-i", "eth0:0-1"]
    done = lab.lb.run([*limits, f"--inh-caps={granted}", *doctor], check=False)
    assert lacking.upper() in done.stdout, done.stdout


def test_help_of_every_command_is_standard_output(lab):
    overview = lab.lb.run([lab.fluxpin, "--help"]).stdout
    commands = [[each] for each in re.findall(r"^  (\w+) ", overview, re.M)]
    assert ["run"] in commands and ["version"] in commands
    commands += [["endpoint", each] for each in ("attach", "detach", "status", "doctor")]
    for command in commands:
        for option in ("--help", "-h"):
            done = lab.lb.run([lab.fluxpin, *command, option])
            assert done.stdout.startswith(f"usage: fluxpin {command[0]}") and not done.stderr
        # What getopt(3) says has the command's name.
        done = lab.lb.run([lab.fluxpin, *command, "--what"], check=False)
        assert done.returncode == 2 and not done.stdout
        assert done.stderr.startswith(f"fluxpin {command[0]}"), done.stderr
        assert "--what" in done.stderr.splitlines()[0]


def test_an_interface_of_the_command_line_is_not_blamed_on_the_file(lab):
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    for given, message in (("eth7", "interface eth7 does not exist"),
                           ("eth0:0-9", "queues 4-9 do not exist")):
        command = [lab.fluxpin, "run", "-c", fluxpin.file, "-i", given]
        done = lab.lb.run(command, check=False)
        assert done.returncode == 1 and f"-i: {message}" in done.stderr, done.stderr
        assert str(fluxpin.file) not in done.stderr


# Reloads


def test_a_reload_with_interfaces_that_the_host_lacks_is_refused(lab):
    def text(**interface):
        served = {"name": "eth0", "queues": "0-1", "cpus": "0-1"} | interface
        return configuration([pool(lab)], vips(lab), interfaces=[served])

    with Fluxpin(lab, text(), start=False).without("-i").start() as fluxpin:
        for interface, message in (
            ({"name": "gone0"}, r"fluxpin.conf:\d+:\d+: interface gone0 does not exist\n.*gone0"),
            ({"queues": "0-7"}, r"fluxpin.conf:\d+:\d+: queues 4-7 do not exist.*\n.*0-7"),
            ({"cpus": "4095"}, r"fluxpin.conf:\d+:\d+: CPU 4095 is not online.*\n.*4095"),
        ):
            before = len(fluxpin.log())
            assert fluxpin.reload(text(**interface)) is None
            assert re.search(message, fluxpin.log()[before:]), fluxpin.log()[before:]
        assert fluxpin.reload(text()) == 2
        assert lab.load("http", lab.http_vip, "--requests", 10).result()["failed_count"] == 0
