#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command that the kernel lets choose no CPUs, with EINVAL, as it does for CPUs outside the
cpuset.

    denied_affinity.py COMMAND...
"""

import ctypes
import os
import struct
import sys

SCHED_SETAFFINITY = {"x86_64": 203, "aarch64": 122}
EINVAL = 22
# Of linux/seccomp.h, sys/prctl.h and linux/bpf_common.h
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
NUMBER = 0  # offset into struct seccomp_data


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def deny():
    steps = [
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 1, SCHED_SETAFFINITY[os.uname().machine]),
        (RETURN, 0, 0, ERROR | EINVAL),
        (RETURN, 0, 0, ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(steps), code)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    deny()
    os.execvp(sys.argv[1], sys.argv[1:])
