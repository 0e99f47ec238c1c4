#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command that the kernel refuses one thing, by seccomp.

    denied.py affinity COMMAND...           sched_setaffinity: EINVAL, as for CPUs outside the cpuset
    denied.py option NUMBER COMMAND...      this socket option of SOL_SOCKET: EPERM, as without
                                            CAP_NET_ADMIN
"""

import ctypes
import os
import struct
import sys

SCHED_SETAFFINITY = {"x86_64": 203, "aarch64": 122}
SETSOCKOPT = {"x86_64": 54, "aarch64": 208}
SOL_SOCKET, EPERM, EINVAL = 1, 1, 22
# Of linux/seccomp.h, sys/prctl.h and linux/bpf_common.h
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
# Offsets into struct seccomp_data
NUMBER, SECOND_ARGUMENT, THIRD_ARGUMENT = 0, 24, 32


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def deny(conditions, error):
    """Has calls fail that meet all of the conditions, [(offset, value)]."""
    steps = []
    for number, (offset, value) in enumerate(conditions):
        to_the_end = 2 * (len(conditions) - number) - 1
        steps += [(LOAD, 0, 0, offset), (JUMP_IF_EQUAL, 0, to_the_end, value)]
    steps += [(RETURN, 0, 0, ERROR | error), (RETURN, 0, 0, ALLOW)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(steps), code)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def main(what, *words):
    machine = os.uname().machine
    if what == "affinity":
        deny([(NUMBER, SCHED_SETAFFINITY[machine])], EINVAL)
    else:
        number, *words = words
        deny([(NUMBER, SETSOCKOPT[machine]), (SECOND_ARGUMENT, SOL_SOCKET),
              (THIRD_ARGUMENT, int(number))], EPERM)
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(*sys.argv[1:])
