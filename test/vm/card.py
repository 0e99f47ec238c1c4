# SPDX-License-Identifier: BSD-2-Clause
"""The interrupts and the driver of a network card."""

import pathlib
import re

# How drivers name the interrupts of a queue: eth0-TxRx-1, eth0-rx-1, virtio2-input.1.
QUEUE = re.compile(r"-(?:rx|tx|TxRx)-(\d+)$|-(?:input|output)\.(\d+)$")


def vectors(namespace, interface):
    """The numbers of its interrupts: they stand with the PCI device, one level above virtio's."""
    folders = [f"/sys/class/net/{interface}/device/{above}msi_irqs" for above in ("", "../")]
    script = " || ".join(f"ls {each} 2>/dev/null" for each in folders)
    return namespace.output(["sh", "-c", script]).split()


def pin(namespace, interface, cpus):
    """The interrupts of a card's queue N to cpus[N], and over again where there are more queues."""
    numbers = set(vectors(namespace, interface))
    pinned = 0
    for line in pathlib.Path("/proc/interrupts").read_text(encoding="ascii").splitlines():
        number, _, rest = line.strip().partition(":")
        match = QUEUE.search(rest)
        if number in numbers and match:
            affinity = pathlib.Path(f"/proc/irq/{number}/smp_affinity_list")
            affinity.write_text(str(cpus[int(match[1] or match[2]) % len(cpus)]), encoding="ascii")
            pinned += 1
    if pinned == 0:
        raise RuntimeError(f"the interrupts of {interface} in {namespace.role} are not found")


def defer(namespace, interface, hard_irqs, timeout_ns):
    """Holds interrupts back after a poll: how many polls in a row may find nothing, and until the
    kernel polls by itself. 0 and 0: not at all."""
    for name, value in (("napi_defer_hard_irqs", hard_irqs), ("gro_flush_timeout", timeout_ns)):
        namespace.run(["sh", "-c", f"echo {value} > /sys/class/net/{interface}/{name}"])


def interrupts(namespace, interface):
    """{name in /proc/interrupts: how many, of all CPUs}, of a card."""
    numbers = set(vectors(namespace, interface))
    found = {}
    for line in pathlib.Path("/proc/interrupts").read_text().splitlines()[1:]:
        words = line.split()
        if words[0].rstrip(":") in numbers:
            counts = []
            for word in words[1:]:
                if not word.isdigit():
                    break
                counts.append(int(word))
            found[words[-1]] = found.get(words[-1], 0) + sum(counts)
    return found


class Driver:
    """Of a card that has it now, to take it off and put it on again."""

    def __init__(self, namespace, interface):
        path = namespace.output(["readlink", "-f", f"/sys/class/net/{interface}/device"])
        device = pathlib.Path(path.strip())
        while not (device / "driver").exists():
            # virtio_net's is one level below the card's own.
            device = device.parent
        self._device = device.name
        self._folder = (device / "driver").resolve()

    def unbind(self):
        (self._folder / "unbind").write_text(self._device, encoding="ascii")

    def bind(self):
        (self._folder / "bind").write_text(self._device, encoding="ascii")
