# SPDX-License-Identifier: BSD-2-Clause
"""A virtual machine on the machine's own root, with network cards that fluxpin's tests use.

Each of the two drivers under test has two cards, one for the load balancer and one for the router,
or several such pairs:

    igb       both on a hub inside QEMU
    virtio    on multi-queue TAPs, which a hub does not have, and a bridge between them

QEMU runs in a network namespace of its own, in which TAPs and bridges are all there is, so nothing
that the guest sends leaves it. They vanish with QEMU.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import initramfs

MEMORY_MB = 3072
CPUS = 2
QUEUES = 2  # of the virtio cards
# What a card's last two bytes of the MAC address say: driver, and side: of the first pair 1 for the
# load balancer's and 2 for the router's, of the next 3 and 4. test/vm/vm_lab.py reads them.
MAC = "52:54:00:f1:{driver:02}:{side:02}"

# As on a real link: complete checksums, no frame that is longer than the MTU.
VIRTIO = ("csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,"
          "guest_ufo=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off")

# virtio_net as a module maps the header of zero-copy frames for DMA, a variable of the module
# (xsk_hdr in virtnet_xsk_pool_enable, Linux 6.13 to 7.3 at least), as if it were in the kernel's
# linear map. So the device reads other memory in its place, and drops the frames unless that is
# zero. Without address randomisation that memory is in these 256 MB; nobody else gets them, and
# they stay zero.
XSK_HDR = "nokaslr memmap=256M$1G"

# What ask() asks the kernel by its console.
SYSRQ = "sysrq_always_enabled"

# Each saves emulated time: waits of RCU, pages that are cleared twice, checks of every file.
SHORTCUTS = "rcupdate.rcu_expedited=1 init_on_alloc=0 apparmor=0 nowatchdog"

NETWORK = """
set -e
for each in all default; do
    echo 1 >/proc/sys/net/ipv6/conf/$each/disable_ipv6
done
ip link set lo up
for pair in $(seq {pairs}); do
    ip link add bridge$pair mtu {mtu} type bridge stp_state 0 mcast_snooping 0 forward_delay 0
    ip link set bridge$pair up
    for tap in lb$pair router$pair; do
        ip tuntap add dev $tap mode tap multi_queue vnet_hdr
        ip link set $tap mtu {mtu} master bridge$pair up
    done
done
exec "$@"
"""
MTU = 9000

BOOTS = 3
BOOT_LIMIT = 300  # seconds until the first test: twenty times what it takes
QUIET_LIMIT = 600  # seconds without a word: longer than any test takes
DRAIN_LIMIT = 30  # seconds for what a machine that hangs says of itself
STALL = "detected stalls on CPUs/tasks"


def network_arguments(pairs):
    arguments = ["-nic", "none"]
    cards = [(pair, f"{name}{pair}") for pair in range(1, pairs + 1) for name in ("lb", "router")]
    for side, (pair, name) in enumerate(cards, 1):
        arguments += [
            "-netdev", f"hubport,id=igb-{name},hubid={pair}",
            "-device", f"igb,netdev=igb-{name},mac={MAC.format(driver=1, side=side)},romfile=",
            "-netdev", f"tap,id=virtio-{name},ifname={name},queues={QUEUES},vhost=off,"
                       "script=no,downscript=no",
            # Without an IOMMU's address translation announced, virtio_net refuses zero-copy.
            "-device", f"virtio-net-pci,netdev=virtio-{name},romfile=,"
                       f"mac={MAC.format(driver=2, side=side)},mq=on,vectors={2 * QUEUES + 2},"
                       f"iommu_platform=on,disable-legacy=on,{VIRTIO}",
        ]
    return arguments


def node_arguments():
    """A NUMA node for each CPU."""
    arguments = []
    for node in range(CPUS):
        arguments += ["-object", f"memory-backend-ram,id=node{node},size={MEMORY_MB // CPUS}M",
                      "-numa", f"node,nodeid={node},cpus={node},memdev=node{node}"]
    return arguments


def qemu_command(qemu, kernel, image, results, sockets, pairs):
    """sockets: the folder `results` by a name that is short enough for the address of a socket."""
    return [
        *qemu.command,
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
        "-smp", str(CPUS), "-m", str(MEMORY_MB), *node_arguments(),
        "-kernel", str(kernel.image), "-initrd", str(image),
        "-append", "console=ttyS0 panic=-1 net.ifnames=0 mitigations=off quiet loglevel=4 "
                   f"{XSK_HDR} {SYSRQ} {SHORTCUTS}",
        # Ahead of all that takes a slot: an igb has the 16th and the 17th after its own, too.
        *network_arguments(pairs),
        "-monitor", f"unix:{sockets}/monitor,server=on,wait=off",
        "-chardev", f"socket,id=console,path={sockets}/console-input,server=on,wait=off,"
                    f"logfile={results}/console",
        "-serial", "chardev:console",
        "-virtfs", "local,path=/,mount_tag=machine,security_model=none,readonly=on,"
                   "multidevs=remap",
        "-virtfs", f"local,path={results},mount_tag=results,security_model=none",
        "-object", "rng-random,id=random,filename=/dev/urandom",
        "-device", "virtio-rng-pci,rng=random",
    ]


def show_new(path, offset):
    """Prints what a file has beyond the offset; returns its end."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            file.seek(offset)
            print(file.read(), end="", flush=True)
            return file.tell()
    except FileNotFoundError:
        return offset


@contextlib.contextmanager
def short_name(folder):
    """A descriptor of a folder, and a name that leads there in every process that has it: an address of
    a socket has 107 characters at most."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def start(qemu, kernel, results, pairs):
    with open(results / "qemu", "w", encoding="utf-8") as messages, \
            short_name(results) as (descriptor, sockets):
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net",
             "sh", "-c", NETWORK.format(mtu=MTU, pairs=pairs), "sh",
             *qemu_command(qemu, kernel, results / "initramfs", results, sockets, pairs)],
            stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, env=qemu.environment,
            start_new_session=True, pass_fds=[descriptor])


def hangs(results, since):
    """Why the machine is to be ended before its time, or None; `since`: it started, or printed its
    last result. In the boot the kernel comes to a stop now and then, with the timer of an emulated
    CPU that never fires; later, what is tested may be the cause."""
    console = results / "console"
    quiet = time.monotonic() - since
    if (results / "output").exists():
        return "silent" if quiet > QUIET_LIMIT else None
    is_stalled = console.exists() and STALL in console.read_text(errors="replace")
    return "stalled" if is_stalled or quiet > BOOT_LIMIT else None


def drain(connection):
    """What comes until a second without a word, or for DRAIN_LIMIT."""
    text, end = b"", time.monotonic() + DRAIN_LIMIT
    connection.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while time.monotonic() < end and (part := connection.recv(65536)):
            text += part
    return text


def ask(results):
    """What a machine that hangs is doing: its CPUs' registers and timers into the file `hang`, and what
    the kernel says of its processes, if it still hears, to the console; what it said by itself is in
    `console-before`."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(results / "console", results / "console-before")
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        monitor, console = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        _, sockets = stack.enter_context(short_name(results))
        monitor.connect(f"{sockets}/monitor")
        console.connect(f"{sockets}/console-input")
        lapics = [f"info lapic {cpu}" for cpu in range(CPUS)]
        for each in ("info registers -a", *lapics, "info pic"):
            monitor.sendall(f"{each}\n".encode())
        (results / "hang").write_bytes(drain(monitor))
        for key in b"8wt":  # all that it says; what waits for something; every thread
            monitor.sendall(b"chardev-send-break console\n")
            time.sleep(0.5)
            console.settimeout(DRAIN_LIMIT)
            console.sendall(bytes([key]))
            drain(console)


def run_once(qemu, kernel, results, pairs, deadline):
    """Runs a machine to its end. Returns "off", "late", "stalled" in the boot, or "silent" later."""
    process, since, shown = start(qemu, kernel, results, pairs), time.monotonic(), 0
    try:
        while process.poll() is None:
            time.sleep(0.2)
            before, shown = shown, show_new(results / "output", shown)
            if shown != before:
                since = time.monotonic()
            reason = "late" if time.monotonic() > deadline else hangs(results, since)
            if reason is not None:
                ask(results)
                return reason
        return "off"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        show_new(results / "output", shown)


def boot(qemu, kernel, tree, results, fluxpin, command, limit, pairs):
    """Boots a machine with so many pairs of cards of each driver, runs the command in the guest, in the
    folder `tree`, and waits until the machine is off; what it prints is shown as it comes. Its tests
    are those of the program `fluxpin`. Returns its exit status, or a sentence about why there is none.
    The folder `results` is empty before."""
    (results / "fluxpin").write_text(f"{fluxpin.resolve()}\n")
    (results / "command").write_text("".join(f"{each}\n" for each in command))
    (results / "initramfs").write_bytes(
        initramfs.build(kernel, {"tree": tree, "modules": kernel.modules.parent}))
    deadline = time.monotonic() + limit
    for number in range(1, BOOTS + 1):
        end = run_once(qemu, kernel, results, pairs, deadline)
        if end != "stalled":
            break
        print(f"\n{kernel.name}: hung in boot {number} of at most {BOOTS}", flush=True)
        # Those of the last one keep their names, for who shows them.
        for each in ("output", "console", "console-before", "hang") if number < BOOTS else ():
            with contextlib.suppress(FileNotFoundError):
                (results / each).rename(results / f"{each}.boot-{number}")
    if end == "late":
        return f"not done after {limit} s"
    if end == "stalled":
        return f"hung in each of {BOOTS} boots"
    if end == "silent":
        return f"not a word for {QUIET_LIMIT} s"
    try:
        return int((results / "status").read_text())
    except (FileNotFoundError, ValueError):
        return "it ended without a result"
