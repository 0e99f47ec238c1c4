# SPDX-License-Identifier: BSD-2-Clause
"""The interrupts of a network card."""

import pathlib


def vectors(namespace, interface):
    """The numbers of its interrupts: they stand with the PCI device, one level above virtio's."""
    folders = [f"/sys/class/net/{interface}/device/{above}msi_irqs" for above in ("", "../")]
    script = " || ".join(f"ls {each} 2>/dev/null" for each in folders)
    return namespace.output(["sh", "-c", script]).split()


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
