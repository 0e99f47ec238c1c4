# SPDX-License-Identifier: BSD-2-Clause
"""What a process holds while its NIC's link goes down and up, which must not grow."""

from namespaces import wait_until
from process import descriptors, memory_kib

FLAPS = 50
FIRST_FLAPS = 5
# Frames that are used for the first time may be a transparent page of 2 MB.
GROWTH_KIB = 2048 + 1024


class Steady:
    """The memory and the descriptors that a process has now."""

    def __init__(self, pid):
        self._pid = pid
        self._memory_kib = memory_kib(pid)
        self._descriptors = descriptors(pid)

    def assert_kept(self, growth_kib=GROWTH_KIB):
        """No more of them, but for what is open for a moment only."""
        grown = memory_kib(self._pid) - self._memory_kib
        assert grown < growth_kib, f"{grown} KiB more"
        wait_until(lambda: descriptors(self._pid) <= self._descriptors, 10, "closed descriptors")


def flap_often(pid, flap):
    """Calls flap(number) again and again, FLAPS times once all is allocated that is allocated once.
    Returns what the process held before those."""
    for number in range(FIRST_FLAPS):
        flap(number)
    before = Steady(pid)
    for number in range(FLAPS):
        flap(number)
    return before
