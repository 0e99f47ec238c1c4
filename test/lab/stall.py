# SPDX-License-Identifier: BSD-2-Clause
"""Stops one thread of a process, as a debugger would, and lets it go on again.

SIGSTOP stops all threads; ptrace(2) one. The thread knows nothing of it.

    with stalled(process.pid, "w/eth0:0"):
        ...
"""

import contextlib
import ctypes
import os
import pathlib
import time

from process import threads

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def thread_of(pid, name):
    """The number of the thread of that name."""
    for each, folder in threads(pid):
        if each == name:
            return int(folder.name)
    raise LookupError(f"process {pid} has no thread {name}")


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {thread}")


def _stop(thread):
    _ptrace(PTRACE_SEIZE, thread)
    _ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)


def _is_in_a_call(pid, thread):
    """Whether it was stopped in a system call (proc(5))."""
    return pathlib.Path(f"/proc/{pid}/task/{thread}/syscall").read_text().split()[0] != "-1"


@contextlib.contextmanager
def stalled(pid, name, awake=False):
    """awake: stop it in its own code, outside of system calls, where it must be now and then."""
    thread = thread_of(pid, name)
    _stop(thread)
    while awake and _is_in_a_call(pid, thread):
        _ptrace(PTRACE_DETACH, thread)
        time.sleep(0.001)
        _stop(thread)
    try:
        yield
    finally:
        try:
            _ptrace(PTRACE_DETACH, thread)
        except ProcessLookupError:
            # The process has ended, and its end waits for this thread to be seen.
            os.waitpid(thread, WALL)
